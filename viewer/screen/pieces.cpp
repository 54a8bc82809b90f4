#include "screen/pieces.h"

#include <algorithm>
#include <cmath>

namespace viewer
{
namespace
{

constexpr float fewest_pixels = 4096; /* of a piece that stands alone */

piece_kind kind_of(const ImDrawVert *const corners[3], ImVec2 white)
{
    bool opaque = true;
    for (int i = 0; i < 3; i++) {
        if (corners[i]->uv.x != white.x || corners[i]->uv.y != white.y)
            return piece_kind::textured;
        opaque = opaque && corners[i]->col >> 24 == 0xFF;
    }
    return opaque ? piece_kind::solid : piece_kind::blended;
}

float area_of(const ImDrawVert *const corners[3])
{
    const ImVec2 a = corners[0]->pos, b = corners[1]->pos, c = corners[2]->pos;
    return std::fabs((b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y)) / 2;
}

/* Adds a piece, to the last one where it is drawn no worse by that. */
void add_piece(std::vector<piece> &out, const piece &p)
{
    const bool joins =
        !out.empty() &&
        (out.back().kind == p.kind ||
         (p.pixels < fewest_pixels && (out.back().kind > p.kind || out.back().pixels < fewest_pixels)));
    if (!joins) {
        out.push_back(p);
        return;
    }
    piece &last = out.back();
    last.kind = std::max(last.kind, p.kind);
    last.n_indices += p.n_indices;
    last.pixels += p.pixels;
}

} // namespace

std::vector<piece> find_pieces(const ImDrawVert *vertices, const ImDrawIdx *indices, uint32_t n_indices,
                               ImVec2 white)
{
    std::vector<piece> out;
    piece run = {piece_kind::solid, 0, 0};
    for (uint32_t i = 0; i + 2 < n_indices; i += 3) {
        const ImDrawVert *const corners[3] = {&vertices[indices[i]], &vertices[indices[i + 1]],
                                              &vertices[indices[i + 2]]};
        const piece_kind kind = kind_of(corners, white);
        if (run.n_indices && kind != run.kind) {
            add_piece(out, run);
            run = {kind, 0, 0};
        }
        run.kind = kind;
        run.n_indices += 3;
        run.pixels += area_of(corners);
    }
    if (run.n_indices)
        add_piece(out, run);
    return out;
}

} // namespace viewer
