/* Text of tokens, and where it is drawn. */
#include "check.h"
#include "fake_run.h"
#include "panels/layout.h"

using namespace viewer;

static float ten(uint32_t code)
{
    return code == 'i' ? 5 : 10;
}

static std::vector<text_token> tokens_of(const std::vector<std::string_view> &texts)
{
    std::vector<text_token> out;
    for (std::string_view text : texts)
        out.push_back({text, true, false, 0});
    return out;
}

static text_layout lay(const std::vector<std::string_view> &texts, float width)
{
    std::vector<character> characters = decode_text(tokens_of(texts));
    return lay_out(characters, static_cast<uint32_t>(texts.size()), ten, width, 3);
}

static void check_box(const text_box &b, uint32_t position, uint32_t line, float x0, float x1, float ink0,
                      float ink1)
{
    assert_int_equal(b.position, position);
    assert_int_equal(b.line, line);
    assert_true(b.x0 == x0 && b.x1 == x1 && b.ink_x0 == ink0 && b.ink_x1 == ink1);
}

static void words_wrap_at_the_width(void **)
{
    text_layout l = lay({"ab", " cd", "ef", " gh"}, 65);
    /* "cdef" is one word of two tokens: it moves as a whole, and the space before it is not drawn. */
    assert_int_equal(l.n_lines, 3);
    assert_int_equal(l.boxes.size(), 4);
    check_box(l.boxes[0], 0, 0, 0, 20, 0, 20);
    check_box(l.boxes[1], 1, 1, 0, 20, 0, 20);
    check_box(l.boxes[2], 2, 1, 20, 40, 20, 40);
    check_box(l.boxes[3], 3, 2, 0, 20, 0, 20);
    l = lay({"ab", " cd", "ef", " gh"}, 70);
    assert_int_equal(l.n_lines, 2);
    check_box(l.boxes[1], 1, 0, 20, 50, 30, 50);
    check_box(l.boxes[2], 2, 0, 50, 70, 50, 70);
}

static void a_token_on_two_lines_has_two_boxes(void **)
{
    text_layout l = lay({"abcdef"}, 30);
    assert_int_equal(l.n_lines, 2);
    assert_int_equal(l.boxes.size(), 2);
    check_box(l.boxes[0], 0, 0, 0, 30, 0, 30);
    check_box(l.boxes[1], 0, 1, 0, 30, 0, 30);
    assert_int_equal(l.boxes[1].first, 3);
    assert_int_equal(l.boxes[1].n, 3);
}

static void line_feeds_end_lines(void **)
{
    text_layout l = lay({"a\n", "\n", "b"}, 100);
    assert_int_equal(l.n_lines, 3);
    assert_true(l.boxes[0].breaks && l.boxes[1].breaks && !l.boxes[2].breaks);
    assert_int_equal(l.boxes[2].line, 2);
}

static void every_position_has_a_box(void **)
{
    /* A character whose bytes are spread over tokens belongs to the first; the others keep a little room. */
    text_layout l = lay({"\xE2\x82", "\xAC", "", "x"}, 100);
    assert_int_equal(l.boxes.size(), 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(l.boxes[i].position, i);
    check_box(l.boxes[1], 1, 0, 10, 13, 10, 13);
    check_box(l.boxes[3], 3, 0, 16, 26, 16, 26);
    assert_int_equal(lay({}, 100).boxes.size(), 0);
    assert_int_equal(lay({"", ""}, 100).boxes.size(), 2);
}

static void ideographs_break_anywhere(void **)
{
    text_layout l = lay({"\u6F22\u5B57\u6F22\u5B57"}, 25);
    assert_int_equal(l.n_lines, 2);
    assert_true(l.boxes[0].x1 == 20);
}

static void bytes_become_characters(void **)
{
    std::vector<character> c = decode_text(tokens_of({"a\xFFz", "\r\n\t", "\xF0\x9F\x98", "\x80"}));
    const uint32_t expected[] = {'a', replacement, 'z', '\n', ' ', 0x1F600};
    assert_int_equal(c.size(), 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(c[i].code, expected[i]);
    assert_int_equal(c[5].position, 2);
    const char *bad[] = {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"};
    for (const char *text : bad) {
        size_t n = 0;
        bool cut = false;
        assert_int_equal(read_utf8(text, &n, &cut), replacement);
        assert_int_equal(n, 1);
    }
    std::string all;
    for (uint32_t code : {0x41U, 0xE9U, 0x20ACU, 0x1F600U})
        append_utf8(all, code);
    assert_string_equal(all.c_str(), "A\u00E9\u20AC\U0001F600");
    fake_run r;
    assert_string_equal(token_label(r, 2).c_str(), "\u2423b\u21B5");
    assert_string_equal(token_label(r, 3).c_str(), "<0xC3>");
    assert_string_equal(token_label(r, 77).c_str(), "[77]");
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(words_wrap_at_the_width),   cmocka_unit_test(a_token_on_two_lines_has_two_boxes),
        cmocka_unit_test(line_feeds_end_lines),      cmocka_unit_test(every_position_has_a_box),
        cmocka_unit_test(ideographs_break_anywhere), cmocka_unit_test(bytes_become_characters),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
