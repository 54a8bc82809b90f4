/* The parts of `bench` that need no device: which rows a pattern chooses, rows as JSON, and the arithmetic of
 * a comparison. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/bench.h"
#include "cli/bench.h"
#include "cli/bench_lines.h"

static const char row_text[] = "matmul q4_0 2048x256x2048 square, llama-3.2-1b o";

static void test_patterns(void **state)
{
    static const char *const match[] = {"matmul",      "MATMUL Q4_0", "q4",           "2048x", "matmul 2048x",
                                        "*x256x*",     "m*256",       "matmul llama", "q4_?",  "rms,q4_0",
                                        "rms, matmul", "*",           "*1b o"};
    static const char *const miss[] = {
        "rms",          "atmul",      "4_0",  "x256x", "q4_0 matmul", "matmul q4_0 q4_0", "q8,q6",
        "*x256x204800", "q4_0??2048", "o 1b", "",      ",",           "matmul  rms"};
    (void)state;
    for (size_t i = 0; i < sizeof match / sizeof *match; i++)
        if (!bench_matches(match[i], row_text))
            fail_msg("'%s' does not match", match[i]);
    for (size_t i = 0; i < sizeof miss / sizeof *miss; i++)
        if (bench_matches(miss[i], row_text))
            fail_msg("'%s' matches", miss[i]);
}

/* Hostile patterns end in a time that does not explode. */
static void test_pattern_of_stars(void **state)
{
    char pattern[4096];
    (void)state;
    for (size_t i = 0; i < sizeof pattern - 2; i += 2)
        memcpy(pattern + i, "*m", 2);
    memcpy(pattern + sizeof pattern - 2, "~", 2);
    assert_false(bench_matches(pattern, row_text));
}

/* Every case of every group has a text of its own, or two rows would be one to a comparison. */
static void test_cases(void **state)
{
    static const bench_group *const groups[] = {
        &bench_matmul, &bench_output, &bench_attention, &bench_prefill, &bench_cached, &bench_cache_write,
        &bench_rotary, &bench_norm,   &bench_rms,       &bench_embed,   &bench_layer};
    bench_list list = {0};
    char one[BENCH_TEXT], other[BENCH_TEXT];
    uint32_t n_square = 0;
    (void)state;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        size_t before = list.n;
        groups[i]->list(groups[i], &list);
        assert_true(list.n > before);
    }
    assert_false(list.failed);
    for (size_t i = 0; i < list.n; i++) {
        bench_case_text(&list.cases[i], one);
        n_square += list.cases[i].selected && bench_matches("matmul *2048x*x2048", one);
        for (size_t j = 0; j < i; j++) {
            bench_case_text(&list.cases[j], other);
            assert_string_not_equal(one, other);
        }
    }
    assert_int_equal(n_square, 14 * 4); /* every type of weights at 1, 8, 64 and 256 rows */
    free(list.cases);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void test_row_json(void **state)
{
    const vkdlm_bench_row row = {.kind = VKDLM_BENCH_KERNEL,
                                 .group = "matmul",
                                 .type = "q4_0",
                                 .of = "",
                                 .m = 2048,
                                 .n = 1,
                                 .k = 768,
                                 .variant = "texels 1",
                                 .us = 12.5,
                                 .us_min = 12,
                                 .us_max = 20,
                                 .repeats = 7,
                                 .gflops = 3,
                                 .gbps = 4,
                                 .limit_gflops = 30,
                                 .limit_gbps = 5,
                                 .percent_of_limit = 80,
                                 .seconds_per_model = NAN,
                                 .evaluations = NAN,
                                 .seconds_per_evaluation = NAN,
                                 .tokens_per_second = NAN};
    json_t *object = bench_row_json(&row);
    (void)state;
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "kind")), "kernel");
    assert_string_equal(json_string_value(json_object_get(object, "type")), "q4_0");
    assert_string_equal(json_string_value(json_object_get(object, "bound")), "memory");
    assert_string_equal(json_string_value(json_object_get(object, "variant")), "texels 1");
    assert_int_equal(json_integer_value(json_object_get(object, "m")), 2048);
    assert_int_equal(json_integer_value(json_object_get(object, "n")), 1);
    assert_int_equal(json_integer_value(json_object_get(object, "k")), 768);
    assert_true(number(object, "us") == 12.5);
    assert_true(number(object, "percent_of_limit") == 80);
    assert_null(json_object_get(object, "of"));
    assert_null(json_object_get(object, "tokens_per_second"));
    json_decref(object);
}

static bench_lines parse(const char *text)
{
    bench_lines lines;
    vkdlm_error err = {0};
    if (bench_lines_parse("a.json", text, strlen(text), &lines, &err))
        fail_msg("%s", err.message);
    return lines;
}

#define ROW(group, type, us, percent)                                                                       \
    "{\"kind\":\"kernel\",\"group\":\"" group "\",\"type\":\"" type "\",\"m\":8,\"n\":1,\"k\":8,\"us\":" us \
    ",\"percent_of_limit\":" percent "}\n"

static void test_comparison(void **state)
{
    bench_lines a = parse("{\"kind\":\"conditions\",\"device\":\"d\"}\n{\"kind\":\"later\"}\n\n" //
                          ROW("matmul", "f32", "10", "40") ROW("matmul", "f16", "30", "20")      //
                          ROW("norm", "f32", "7", "10") ROW("rms", "f32", "7", "10"));
    bench_lines b = parse(ROW("matmul", "f16", "10", "40") ROW("embed", "f32", "1", "1") //
                          ROW("rms", "f32", "14", "10") ROW("matmul", "f32", "20", "40")
                              ROW("matmul", "f32", "5000", "1"));
    bench_comparison c;
    vkdlm_error err = {0};
    double ratio, adjusted;
    (void)state;
    assert_int_equal(a.n, 4);
    assert_non_null(a.conditions);
    assert_int_equal(bench_comparison_make(&a, &b, &c, &err), VKDLM_OK);
    assert_int_equal(c.n, 3);
    assert_int_equal(c.only_a, 1);
    assert_int_equal(c.only_b, 1);
    /* In A's order; of equal rows the first counts. */
    assert_string_equal(c.pairs[0].a->type, "f32");
    assert_true(c.pairs[0].ratio == 0.5);
    assert_true(c.pairs[0].adjusted == 1);
    assert_true(c.pairs[1].ratio == 3);
    assert_true(c.pairs[1].adjusted == 2);
    assert_int_equal(bench_comparison_group(&c, 0, &ratio, &adjusted), 2);
    assert_true(fabs(ratio - sqrt(1.5)) < 1e-12);
    assert_true(fabs(adjusted - sqrt(2)) < 1e-12);
    assert_int_equal(bench_comparison_group(&c, 2, &ratio, &adjusted), 1);
    assert_true(fabs(ratio - 0.5) < 1e-12);
    bench_comparison_free(&c);
    bench_lines_free(&a);
    bench_lines_free(&b);
}

static void test_damaged_lines(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "'a.json' has no row"},
        {"{\"kind\":\"conditions\"}\n", "has no row"},
        {"\n\nnonsense\n", "line 3 of 'a.json' is not JSON"},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":1", "line 1 of 'a.json' is not JSON"},
        {"[1]\n", "line 1 of 'a.json' is not"},
        {"{\"group\":\"x\",\"us\":1}\n", "line 1 of 'a.json' is not an object with a \"kind\""},
        {"{\"kind\":\"kernel\",\"us\":1}\n", "line 1 of 'a.json' has no \"group\""},
        {"{\"kind\":\"kernel\",\"group\":7,\"us\":1}\n", "\"group\" that is not a text"},
        {"{\"kind\":\"kernel\",\"group\":\"0123456789012345678901234567890123456789\",\"us\":1}\n",
         "\"group\" that is not a text of at most 31 bytes"},
        {"{\"kind\":\"kernel\",\"group\":\"x\"}\n", "has no \"us\" above 0"},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":0}\n", "has no \"us\" above 0"},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":-1}\n", "has no \"us\" above 0"},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":\"1\"}\n", "has no \"us\" above 0"},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":1,\"m\":-1}\n", "that is not a whole number"},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":1,\"k\":1.5}\n", "that is not a whole number"},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":1,\"percent_of_limit\":-2}\n", "\"percent_of_limit\""},
        {"{\"kind\":\"kernel\",\"group\":\"x\",\"us\":1}\n{}\n", "line 2 of"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench_lines lines;
        vkdlm_error err = {0};
        assert_int_equal(bench_lines_parse("a.json", cases[i].text, strlen(cases[i].text), &lines, &err),
                         VKDLM_MALFORMED);
        if (!strstr(err.message, cases[i].message))
            fail_msg("'%s' says '%s', not '%s'", cases[i].text, err.message, cases[i].message);
        assert_null(lines.rows);
    }
}

static void test_median(void **state)
{
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2};
    bench_times t;
    (void)state;
    bench_summarise(odd, 3, &t);
    assert_true(t.us == 2 && t.us_min == 1 && t.us_max == 3);
    bench_summarise(even, 4, &t);
    assert_true(t.us == 2.5 && t.us_min == 1 && t.us_max == 4);
    assert_int_equal(t.repeats, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),   cmocka_unit_test(test_pattern_of_stars),
        cmocka_unit_test(test_cases),      cmocka_unit_test(test_row_json),
        cmocka_unit_test(test_comparison), cmocka_unit_test(test_damaged_lines),
        cmocka_unit_test(test_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
