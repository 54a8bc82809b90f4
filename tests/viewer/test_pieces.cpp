/* What the panels draw, cut where pixels become cheaper. */
#include "check.h"
#include "screen/pieces.h"

using namespace viewer;

static const ImVec2 white(0.25F, 0.5F);

struct triangles {
    std::vector<ImDrawVert> vertices;
    std::vector<ImDrawIdx> indices;

    /* A square of so many pixels a side. */
    void add(float side, uint32_t colour, ImVec2 uv = white)
    {
        const auto first = static_cast<ImDrawIdx>(vertices.size());
        for (const ImVec2 corner : {ImVec2(0, 0), ImVec2(side, 0), ImVec2(side, side), ImVec2(0, side)})
            vertices.push_back({corner, uv, colour});
        for (int i : {0, 1, 2, 0, 2, 3})
            indices.push_back(static_cast<ImDrawIdx>(first + i));
    }
    std::vector<piece> cut() const
    {
        return find_pieces(vertices.data(), indices.data(), static_cast<uint32_t>(indices.size()), white);
    }
};

static void check_piece(const piece &p, piece_kind kind, uint32_t n_squares, float pixels)
{
    assert_true(p.kind == kind);
    assert_int_equal(p.n_indices, 6 * n_squares);
    assert_true(p.pixels == pixels);
}

constexpr uint32_t opaque = 0xFF102030, clear = 0x80102030;
static const ImVec2 letter(0.75F, 0.5F);

static void large_areas_stand_alone(void **)
{
    triangles t;
    t.add(100, opaque);
    t.add(200, opaque);
    t.add(100, clear);
    t.add(100, clear, letter);
    t.add(100, opaque);
    const std::vector<piece> pieces = t.cut();
    assert_int_equal(pieces.size(), 4);
    check_piece(pieces[0], piece_kind::solid, 2, 50000);
    check_piece(pieces[1], piece_kind::blended, 1, 10000);
    check_piece(pieces[2], piece_kind::textured, 1, 10000);
    check_piece(pieces[3], piece_kind::solid, 1, 10000);
}

static void small_areas_go_with_their_neighbours(void **)
{
    triangles t;
    for (int i = 0; i < 10; i++) {
        t.add(20, opaque);
        t.add(8, opaque, letter);
    }
    std::vector<piece> pieces = t.cut();
    assert_int_equal(pieces.size(), 1);
    check_piece(pieces[0], piece_kind::textured, 20, 4640);
    /* But never so that a large area becomes dearer. */
    t.add(100, opaque);
    t.add(8, clear);
    pieces = t.cut();
    assert_int_equal(pieces.size(), 3);
    check_piece(pieces[1], piece_kind::solid, 1, 10000);
    check_piece(pieces[2], piece_kind::blended, 1, 64);
}

static void one_corner_decides(void **)
{
    triangles t;
    t.add(100, opaque);
    t.vertices[1].col = clear; /* of the first triangle only */
    t.add(100, opaque);
    t.vertices[7].uv = letter; /* of the last one only */
    const std::vector<piece> pieces = t.cut();
    assert_int_equal(pieces.size(), 3);
    assert_true(pieces[0].kind == piece_kind::blended && pieces[0].n_indices == 3);
    assert_true(pieces[1].kind == piece_kind::solid && pieces[1].n_indices == 6);
    assert_true(pieces[2].kind == piece_kind::textured && pieces[2].n_indices == 3);
    assert_int_equal(find_pieces(nullptr, nullptr, 0, white).size(), 0);
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(large_areas_stand_alone),
        cmocka_unit_test(small_areas_go_with_their_neighbours),
        cmocka_unit_test(one_corner_decides),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
