/* Prompts, templates, ids and JSON lines as canvases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/canvas.h"

enum { MASK = 4096, MODEL_LENGTH = 32 };

typedef struct fixture {
    vkdlm_tokenizer *tokenizer;
    canvas_rules rules;
    canvas_set set;
    vkdlm_error err;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (!f || vkdlm_tokenizer_open(MODELS_DIR "/kjv-mdlm/tokenizer.json", &f->tokenizer, &f->err))
        return -1;
    f->rules = (canvas_rules){.tokenizer = f->tokenizer,
                              .vocab_size = MASK + 1,
                              .mask_id = MASK,
                              .model_length = MODEL_LENGTH,
                              .length = 8};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    canvas_set_deinit(&f->set);
    vkdlm_tokenizer_close(f->tokenizer);
    free(f);
    return 0;
}

/* Canvas `index` is `given` (n ids) and then masks up to `length`. */
static void expect_canvas(const fixture *f, uint32_t index, const int32_t *given, uint32_t n, uint32_t length)
{
    assert_true(index < f->set.n);
    const vkdlm_canvas *canvas = &f->set.canvases[index];
    assert_int_equal(canvas->length, length);
    for (uint32_t i = 0; i < length; i++)
        assert_int_equal(canvas->tokens[i], i < n ? given[i] : MASK);
}

static void expect_message(const fixture *f, vkdlm_status found, vkdlm_status expected, const char *part)
{
    if (found != expected || !strstr(f->err.message, part))
        fail_msg("status %d, '%s'; expected status %d, '%s'", (int)found, f->err.message, (int)expected,
                 part);
}

static void test_ids(void **state)
{
    fixture *f = *state;
    const int32_t ids[] = {5, MASK, 7};
    assert_int_equal(canvas_add_ids(&f->set, &f->rules, "x", ids, 3, &f->err), VKDLM_OK);
    assert_int_equal(canvas_add_ids(&f->set, &f->rules, "x", NULL, 0, &f->err), VKDLM_OK);
    assert_int_equal(canvas_set_finish(&f->set, &f->err), VKDLM_OK);
    assert_int_equal(f->set.n, 2);
    expect_canvas(f, 0, ids, 3, 8);
    expect_canvas(f, 1, NULL, 0, 8);
}

static void test_bad_ids(void **state)
{
    fixture *f = *state;
    const int32_t large[] = {MASK + 1}, negative[] = {-1}, full[8] = {1, 2, 3, 4, 5, 6, 7, 8}, nine[9] = {0};
    expect_message(f, canvas_add_ids(&f->set, &f->rules, "x", large, 1, &f->err), VKDLM_MALFORMED,
                   "0 to 4096");
    expect_message(f, canvas_add_ids(&f->set, &f->rules, "x", negative, 1, &f->err), VKDLM_MALFORMED,
                   "is -1");
    expect_message(f, canvas_add_ids(&f->set, &f->rules, "x", nine, 9, &f->err), VKDLM_MALFORMED,
                   "x has 9 tokens, more than the canvas of 8 (the model's length is 32)");
    expect_message(f, canvas_add_ids(&f->set, &f->rules, "x", full, 8, &f->err), VKDLM_MALFORMED,
                   "leaves nothing to generate");
    assert_int_equal(f->set.n, 0);
    f->rules.may_be_full = true;
    assert_int_equal(canvas_add_ids(&f->set, &f->rules, "x", full, 8, &f->err), VKDLM_OK);
}

static void test_text(void **state)
{
    fixture *f = *state;
    vkdlm_ids expected = {0};
    const char *text = "In the beginning";
    assert_int_equal(vkdlm_tokenize(f->tokenizer, text, strlen(text), 0, &expected, &f->err), VKDLM_OK);
    assert_int_equal(canvas_add_text(&f->set, &f->rules, "x", text, strlen(text), &f->err), VKDLM_OK);
    assert_int_equal(canvas_set_finish(&f->set, &f->err), VKDLM_OK);
    expect_canvas(f, 0, expected.ids, (uint32_t)expected.count, 8);
    vkdlm_ids_free(&expected);
    f->rules.tokenizer = NULL;
    expect_message(f, canvas_add_text(&f->set, &f->rules, "x", text, strlen(text), &f->err),
                   VKDLM_UNSUPPORTED, "--tokenizer");
}

static void test_template(void **state)
{
    fixture *f = *state;
    const char *text = "And[MASK:3] said[MASK][MASK] x";
    vkdlm_ids first = {0}, second = {0}, last = {0};
    assert_int_equal(vkdlm_tokenize(f->tokenizer, "And", 3, VKDLM_TOKENIZE_NO_SPECIAL, &first, &f->err),
                     VKDLM_OK);
    assert_int_equal(vkdlm_tokenize(f->tokenizer, " said", 5, VKDLM_TOKENIZE_NO_SPECIAL, &second, &f->err),
                     VKDLM_OK);
    assert_int_equal(vkdlm_tokenize(f->tokenizer, " x", 2, VKDLM_TOKENIZE_NO_SPECIAL, &last, &f->err),
                     VKDLM_OK);
    assert_int_equal(canvas_add_template(&f->set, &f->rules, text, strlen(text), &f->err), VKDLM_OK);
    assert_int_equal(canvas_set_finish(&f->set, &f->err), VKDLM_OK);
    const vkdlm_canvas *canvas = f->set.canvases;
    size_t n = 0;
    assert_int_equal(canvas->length, first.count + 3 + second.count + 2 + last.count);
    for (size_t i = 0; i < first.count; i++)
        assert_int_equal(canvas->tokens[n++], first.ids[i]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(canvas->tokens[n++], MASK);
    for (size_t i = 0; i < second.count; i++)
        assert_int_equal(canvas->tokens[n++], second.ids[i]);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(canvas->tokens[n++], MASK);
    for (size_t i = 0; i < last.count; i++)
        assert_int_equal(canvas->tokens[n++], last.ids[i]);
    vkdlm_ids_free(&first);
    vkdlm_ids_free(&second);
    vkdlm_ids_free(&last);
}

static void test_template_of_masks(void **state)
{
    fixture *f = *state;
    assert_int_equal(canvas_add_template(&f->set, &f->rules, "[MASK:32]", 9, &f->err), VKDLM_OK);
    assert_int_equal(canvas_set_finish(&f->set, &f->err), VKDLM_OK);
    expect_canvas(f, 0, NULL, 0, MODEL_LENGTH);
}

static void test_bad_templates(void **state)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"", "marks nothing"},
        {"no marks", "marks nothing"},
        {"[MASKED] [MASK", "marks nothing"},
        {"a [MASK:0]", "'[MASK:0]'"},
        {"a [MASK:33]", "1 to the model's length, 32"},
        {"a [MASK:99999999999999999999999]", "1 to the model's length, 32"},
        {"a [MASK:]", "'[MASK:]'"},
        {"a [MASK:-1]", "'[MASK:-'"},
        {"a [MASK:3", "'[MASK:3'"},
        {"a [MASK: 3]", "'[MASK: '"},
        {"[MASK:20][MASK:13]", "more tokens than the model's length, 32"},
        {"[MASK:32] a", "more tokens than the model's length, 32"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_message(f, canvas_add_template(&f->set, &f->rules, bad[i].text, strlen(bad[i].text), &f->err),
                       VKDLM_MALFORMED, bad[i].part);
    assert_int_equal(f->set.n, 0);
    assert_int_equal(f->set.n_tokens, 0);
}

static vkdlm_status add_lines(fixture *f, const char *lines)
{
    return canvas_add_jsonl(&f->set, &f->rules, "p.jsonl", lines, strlen(lines), &f->err);
}

static void test_jsonl(void **state)
{
    fixture *f = *state;
    const int32_t ids[] = {1, MASK}, one[] = {2};
    assert_int_equal(
        add_lines(f, "{\"ids\":[1,4096]}\r\n\n  \n{\"ids\":[2],\"note\":\"kept out\"}\n{\"text\":\"\"}"),
        VKDLM_OK);
    assert_int_equal(canvas_set_finish(&f->set, &f->err), VKDLM_OK);
    assert_int_equal(f->set.n, 3);
    expect_canvas(f, 0, ids, 2, 8);
    expect_canvas(f, 1, one, 1, 8);
    expect_canvas(f, 2, NULL, 0, 8);
}

static void test_many_lines(void **state)
{
    fixture *f = *state;
    char lines[4096] = "";
    for (int i = 0; i < 100; i++)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "{\"ids\":[%d]}\n", i);
    assert_int_equal(add_lines(f, lines), VKDLM_OK);
    assert_int_equal(canvas_set_finish(&f->set, &f->err), VKDLM_OK);
    assert_int_equal(f->set.n, 100);
    for (int32_t i = 0; i < 100; i++)
        expect_canvas(f, (uint32_t)i, &i, 1, 8);
}

static void test_bad_jsonl(void **state)
{
    static const struct {
        const char *lines, *part;
    } bad[] = {
        {"", "holds no prompt"},
        {"\n\n", "holds no prompt"},
        {"{\"ids\":[1]}\n{", "line 2 of 'p.jsonl' is not JSON"},
        {"[1]", "line 1 of 'p.jsonl'"},
        {"3", "line 1"},
        {"{}", "either \"text\" or \"ids\""},
        {"{\"text\":\"a\",\"ids\":[1]}", "either \"text\" or \"ids\""},
        {"{\"text\":3}", "not a string"},
        {"{\"ids\":3}", "not an array"},
        {"{\"ids\":[1.5]}", "not a token id"},
        {"{\"ids\":[-1]}", "not a token id"},
        {"{\"ids\":[2147483648]}", "not a token id"},
        {"{\"ids\":[99999]}", "0 to 4096"},
        {"{\"ids\":[1],\"ids\":[2]}", "is not JSON"},
        {"{\"ids\":[1,2,3,4,5,6,7,8,9]}", "more than the canvas of 8"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_message(f, add_lines(f, bad[i].lines), VKDLM_MALFORMED, bad[i].part);
}

static void test_read_ids(void **state)
{
    fixture *f = *state;
    int32_t *ids = NULL;
    size_t n = 0;
    const char *text = " 1,2\n3\t2147483647, ";
    assert_int_equal(canvas_read_ids("x", text, strlen(text), &ids, &n, &f->err), VKDLM_OK);
    assert_int_equal(n, 4);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[2], 3);
    assert_int_equal(ids[3], INT32_MAX);
    free(ids);
    assert_int_equal(canvas_read_ids("x", "", 0, &ids, &n, &f->err), VKDLM_OK);
    assert_null(ids);
    static const char *const bad[] = {"1 x", "-1",  "2147483648", "99999999999999999999",
                                      "1.5", "1;2", "0x10"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_message(f, canvas_read_ids("x", bad[i], strlen(bad[i]), &ids, &n, &f->err),
                       VKDLM_INVALID_ARGUMENT, "not a token id");
        assert_null(ids);
    }
    /* A NUL is no separator. */
    expect_message(f,
                   canvas_read_ids("x",
                                   "1\0"
                                   "2",
                                   3, &ids, &n, &f->err),
                   VKDLM_INVALID_ARGUMENT, "entry 0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Prompts of an autoregressive model are what is given, each as long as it is. */
static void test_prompts(void **state)
{
    fixture *f = *state;
    const int32_t ids[] = {5, 6, 7};
    int32_t long_ids[MODEL_LENGTH] = {0};
    f->rules.causal = true;
    f->rules.mask_id = -1;
    f->rules.length = MODEL_LENGTH - 1;
    f->rules.empty_id = 9;
    assert_int_equal(canvas_add_ids(&f->set, &f->rules, "x", ids, 3, &f->err), VKDLM_OK);
    assert_int_equal(canvas_add_ids(&f->set, &f->rules, "x", NULL, 0, &f->err), VKDLM_OK);
    assert_int_equal(canvas_add_empty(&f->set, &f->rules, &f->err), VKDLM_OK);
    assert_int_equal(canvas_add_ids(&f->set, &f->rules, "x", long_ids, MODEL_LENGTH - 1, &f->err), VKDLM_OK);
    assert_int_equal(canvas_add_text(&f->set, &f->rules, "x", "In the beginning", 16, &f->err), VKDLM_OK);
    expect_message(f, canvas_add_ids(&f->set, &f->rules, "x", long_ids, MODEL_LENGTH, &f->err),
                   VKDLM_MALFORMED, "x has 32 tokens, but the model's context of 32 has room for 31");
    long_ids[2] = MASK + 1;
    expect_message(f, canvas_add_ids(&f->set, &f->rules, "x", long_ids, 3, &f->err), VKDLM_MALFORMED,
                   "token 2 is 4097");
    f->rules.empty_id = -1;
    expect_message(f, canvas_add_empty(&f->set, &f->rules, &f->err), VKDLM_MALFORMED, "the prompt is empty");
    assert_int_equal(canvas_set_finish(&f->set, &f->err), VKDLM_OK);
    assert_int_equal(f->set.n, 5);
    expect_canvas(f, 0, ids, 3, 3);
    expect_canvas(f, 1, (const int32_t[]){9}, 1, 1);
    expect_canvas(f, 2, (const int32_t[]){9}, 1, 1);
    assert_int_equal(f->set.canvases[3].length, MODEL_LENGTH - 1);
    expect_canvas(f, 4, (const int32_t[]){41, 78, 259, 2073}, 4, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ids),      TEST(test_bad_ids),           TEST(test_text),
        TEST(test_template), TEST(test_template_of_masks), TEST(test_bad_templates),
        TEST(test_jsonl),    TEST(test_many_lines),        TEST(test_bad_jsonl),
        TEST(test_read_ids), TEST(test_prompts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
