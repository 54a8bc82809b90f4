/* Splits by regular expressions, with what Oniguruma gives, and normalization. */
#include "test_tokenizer_util.h"

#include "text/normalize.h"
#include "text/pretokenize.h"

/* Writes each word behind a bar. */
static vkdlm_status join_word(void *user, const char *word, size_t n, vkdlm_error *err)
{
    (void)err;
    text_bytes *joined = user;
    return text_bytes_append(joined, "|", 1) && text_bytes_append(joined, word, n) ? VKDLM_OK
                                                                                   : VKDLM_OUT_OF_HOST_MEMORY;
}

static vkdlm_status split_text(const pretokenizer *p, const char *text, size_t n, text_bytes *joined,
                               vkdlm_error *err)
{
    pretokenizer_run run = {
        .p = p, .match = regex_match_create(), .word = join_word, .user = joined, .err = err};
    assert_non_null(run.match);
    vkdlm_status status = pretokenizer_split(&run, text, n);
    regex_match_destroy(run.match);
    text_bytes_deinit(&run.prefixed);
    return status;
}

typedef struct split_case {
    const char *pattern, *text, *words; /* each word behind a bar */
} split_case;

static void expect_words(const pretokenizer *p, const char *what, const char *text, const char *words)
{
    text_bytes joined = {0};
    vkdlm_error err = {0};
    if (split_text(p, text, strlen(text), &joined, &err))
        fail_msg("%s: %s", what, err.message);
    assert_true(text_bytes_append(&joined, "", 1));
    if (strcmp(joined.data, words) != 0)
        fail_msg("%s: '%s', expected '%s'", what, joined.data, words);
    text_bytes_deinit(&joined);
}

static const split_case isolated[] = {
    {"\\s",
     "a\xE1\xA0\x8E"
     "b\xE3\x80\x80"
     "c\x1C",
     "|a\xE1\xA0\x8E"
     "b|\xE3\x80\x80|c\x1C"},
    {"[^\\s]", "a \xC2\x85", "|a| \xC2\x85"},
    {"[\\S ]+", "ab c\nd", "|ab c|\n|d"},
    {"(?i:'s)", "x'S'\xC5\xBF", "|x|'S|'\xC5\xBF"},
    {"\\p{N}{1,3}", "12345\xC2\xB2", "|123|45\xC2\xB2"},
    {"\\p{N}{1,3}+", "12345", "|12345"},
    {"a{2}?", "aaaaa", "|aa|aa|a"},
    {"(ab|c){2}?d", "ababd", "|ababd"},
    {"a{,2}b", "aaab", "|a|aab"},
    {"a{x", "aa{x", "|a|a{x"},
    {"\\h+", "xfz", "|x|f|z"},
    {"\\v", "a\x0B\n", "|a|\x0B|\n"},
    {"\\u4e00|\\x{4e01}|\\x61",
     "a\xE4\xB8\x80\xE4\xB8\x81"
     "b",
     "|a|\xE4\xB8\x80|\xE4\xB8\x81|b"},
    {"\\w+", "a\xC2\xB2\xE2\x92\xB6-\xCC\x81", "|a\xC2\xB2\xE2\x92\xB6|-|\xCC\x81"},
    {"[\\w]+", "a\xC2\xB2", "|a|\xC2\xB2"},
    {"\\b", "ab cd", "|ab| |cd"},
    {"\\p{Han}+", "a\xE3\x80\x85\xE4\xB8\x80\xE3\x80\x81", "|a|\xE3\x80\x85\xE4\xB8\x80|\xE3\x80\x81"},
    {"\\p{^Letter}|\\P{L}", "a1b", "|a|1|b"},
    {"^a|b$", "a\nab\na", "|a|\n|a|b|\n|a"},
    {"x*", "abxxc", "|a|b|xx|c"},
    {"(?=a)", "bab", "|b|ab"},
    {"(?<=a)b|(?<!a)c", "abcac", "|a|b|c|ac"},
    {"(?>a+)b|a++c|b?+c", "aabaac", "|aab|aac"},
    {"(?i)B", "abB", "|a|b|B"},
    {"[\\]\\-]", "a]-b", "|a|]|-|b"},
    {".", "a\n\r", "|a|\n|\r"},
    {"", "ab", "|a|b"},
};

static void test_isolated(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof isolated / sizeof *isolated; i++) {
        const split_case *c = &isolated[i];
        pretokenizer p = {0};
        vkdlm_error err = {0};
        if (pretokenizer_add_split(&p, c->pattern, strlen(c->pattern), false, SPLIT_ISOLATED, false, &err))
            fail_msg("%s: %s", c->pattern, err.message);
        expect_words(&p, c->pattern, c->text, c->words);
        pretokenizer_deinit(&p);
    }
}

static void test_behaviors(void **state)
{
    (void)state;
    static const char *const words[2][5] = {
        [false] = {[SPLIT_REMOVED] = "|a|bc|d",
                   [SPLIT_ISOLATED] = "|-|a|-|-|bc|-|d|-",
                   [SPLIT_MERGED_WITH_PREVIOUS] = "|-|a-|-|bc-|d-",
                   [SPLIT_MERGED_WITH_NEXT] = "|-a|-|-bc|-d|-",
                   [SPLIT_CONTIGUOUS] = "|-|a|--|bc|-|d|-"},
        [true] = {[SPLIT_REMOVED] = "|-|-|-|-|-",
                  [SPLIT_ISOLATED] = "|-|a|-|-|bc|-|d|-",
                  [SPLIT_MERGED_WITH_PREVIOUS] = "|-a|-|-bc|-d|-",
                  [SPLIT_MERGED_WITH_NEXT] = "|-|a-|-|bc-|d-",
                  [SPLIT_CONTIGUOUS] = "|-|a|--|bc|-|d|-"},
    };
    for (int invert = 0; invert < 2; invert++)
        for (int b = SPLIT_REMOVED; b <= SPLIT_CONTIGUOUS; b++) {
            pretokenizer p = {0};
            assert_int_equal(pretokenizer_add_split(&p, "-", 1, true, (split_behavior)b, invert, NULL),
                             VKDLM_OK);
            expect_words(&p, "behavior", "-a--bc-d-", words[invert][b]);
            pretokenizer_deinit(&p);
        }
}

static void test_stages(void **state)
{
    (void)state;
    pretokenizer p = {0};
    assert_int_equal(pretokenizer_add_split(&p, ".", 1, true, SPLIT_REMOVED, false, NULL), VKDLM_OK);
    assert_int_equal(pretokenizer_add_byte_level(&p, true, true, NULL), VKDLM_OK);
    expect_words(&p, "prefix", "ab c.d. e.", "| ab| c| d| e");
    assert_int_equal(pretokenizer_add_byte_level(&p, true, true, NULL), VKDLM_UNSUPPORTED);
    pretokenizer_deinit(&p);
}

static const struct {
    const char *pattern;
    vkdlm_status status;
} refused[] = {
    {"[[:alpha:]]", VKDLM_UNSUPPORTED},
    {"[a&&b]", VKDLM_UNSUPPORTED},
    {"(a)\\1", VKDLM_UNSUPPORTED},
    {"(*FAIL)", VKDLM_UNSUPPORTED},
    {"(?m).", VKDLM_UNSUPPORTED},
    {"a(?i)b", VKDLM_UNSUPPORTED},
    {"(?<n>a)", VKDLM_UNSUPPORTED},
    {"(?R)", VKDLM_UNSUPPORTED},
    {"\\K", VKDLM_UNSUPPORTED},
    {"\\p{Klingon}", VKDLM_UNSUPPORTED},
    {"\\pL", VKDLM_UNSUPPORTED},
    {"[\\W]", VKDLM_UNSUPPORTED},
    {"\\xFF", VKDLM_UNSUPPORTED},
    {"a{99999}", VKDLM_UNSUPPORTED},
    {"[]a]", VKDLM_UNSUPPORTED},
    {"((((a{999}){99}){99}){99}){99}", VKDLM_UNSUPPORTED},
    {"[a", VKDLM_MALFORMED},
    {"(a", VKDLM_MALFORMED},
    {"a)", VKDLM_MALFORMED},
    {"\\", VKDLM_MALFORMED},
    {"*a", VKDLM_MALFORMED},
    {"[z-a]", VKDLM_MALFORMED},
    {"\\u12", VKDLM_MALFORMED},
    {"\\x{110000}", VKDLM_MALFORMED},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        regex *re;
        vkdlm_error err = {0};
        vkdlm_status status = regex_create(refused[i].pattern, strlen(refused[i].pattern), false, &re, &err);
        if (status != refused[i].status)
            fail_msg("%s: status %d (%s)", refused[i].pattern, (int)status, err.message);
        assert_null(re);
        assert_non_null(strstr(err.message, "regular expression"));
    }
    char long_pattern[REGEX_MAX_PATTERN + 1];
    char nested[2 * 200];
    regex *re;
    memset(long_pattern, 'a', sizeof long_pattern);
    memset(nested, '(', 200);
    memset(nested + 200, ')', 200);
    assert_int_equal(regex_create(long_pattern, sizeof long_pattern, false, &re, NULL), VKDLM_UNSUPPORTED);
    assert_int_equal(regex_create(nested, sizeof nested, false, &re, NULL), VKDLM_UNSUPPORTED);
}

/* Patterns that backtrack without end are stopped; deep but harmless ones are not. */
static void test_bounded(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'a', SIZE);
    static const struct {
        const char *pattern;
        vkdlm_status status;
    } cases[] = {
        {"(a+)+[bc]", VKDLM_UNSUPPORTED},
        {"(a|aa)+[bc]", VKDLM_UNSUPPORTED},
        {"(?:(?:a*)*)*[bc]", VKDLM_UNSUPPORTED},
        {"(?:a|b)+", VKDLM_OK},
        {"a*[bc]|a", VKDLM_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pretokenizer p = {0};
        text_bytes joined = {0};
        vkdlm_error err = {0};
        /* Quadratic, though each match is cheap. */
        size_t n = cases[i].pattern[1] == '*' ? 2000 : SIZE;
        assert_int_equal(pretokenizer_add_split(&p, cases[i].pattern, strlen(cases[i].pattern), false,
                                                SPLIT_ISOLATED, false, &err),
                         VKDLM_OK);
        vkdlm_status status = split_text(&p, text, n, &joined, &err);
        if (status != cases[i].status)
            fail_msg("%s: status %d (%s)", cases[i].pattern, (int)status, err.message);
        text_bytes_deinit(&joined);
        pretokenizer_deinit(&p);
    }
    free(text);
}

static void expect_normal(normal_form form, const char *text, size_t n, const char *expected,
                          size_t n_expected)
{
    normalizer z = {0};
    text_bytes buffer = {0};
    const char *out;
    size_t size;
    assert_int_equal(normalizer_add(&z, form, NULL), VKDLM_OK);
    assert_int_equal(normalizer_run(&z, text, n, &buffer, &out, &size, NULL), VKDLM_OK);
    if (size != n_expected || memcmp(out, expected, size) != 0)
        fail_msg("'%.*s' gives '%.*s', expected '%.*s'", (int)n, text, (int)size, out, (int)n_expected,
                 expected);
    text_bytes_deinit(&buffer);
}

static void test_normal_forms(void **state)
{
    (void)state;
    static const struct {
        normal_form form;
        const char *text, *expected;
    } cases[] = {
        {NORMAL_FORM_C, "abc", "abc"},
        {NORMAL_FORM_C, "e\xCC\x81", "\xC3\xA9"},
        {NORMAL_FORM_D, "\xC3\xA9", "e\xCC\x81"},
        {NORMAL_FORM_C, "\xE2\x84\xAB", "\xC3\x85"},
        {NORMAL_FORM_C, "\xEF\xAC\x81", "\xEF\xAC\x81"},
        {NORMAL_FORM_KC, "\xEF\xAC\x81", "fi"},
        {NORMAL_FORM_KD, "\xE1\xBA\x9B\xCC\xA3", "s\xCC\xA3\xCC\x87"},
        /* Marks are sorted by class: 316 (220) before 301 (230). */
        {NORMAL_FORM_D, "a\xCC\x81\xCC\x96", "a\xCC\x96\xCC\x81"},
        {NORMAL_FORM_C, "a\xCC\x81\xCC\x96", "\xC3\xA1\xCC\x96"},
        {NORMAL_FORM_C, "a\xCC\x81\xCC\x80", "\xC3\xA1\xCC\x80"},
        /* Hangul; U+11A7 is no trailing consonant. */
        {NORMAL_FORM_C, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81"},
        {NORMAL_FORM_C, "\xEA\xB0\x80\xE1\x86\xA7", "\xEA\xB0\x80\xE1\x86\xA7"},
        /* U+1DF6, a mark of Unicode 10, is an ordinary character: 301 does not pass it. */
        {NORMAL_FORM_C, "a\xE1\xB7\xB6\xCC\x81", "a\xE1\xB7\xB6\xCC\x81"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_normal(cases[i].form, cases[i].text, strlen(cases[i].text), cases[i].expected,
                      strlen(cases[i].expected));
}

/* A long run of marks in the wrong order is sorted in linear time. */
static void test_many_marks(void **state)
{
    (void)state;
    enum { PAIRS = 500000 };
    char *text = malloc(1 + 4 * PAIRS), *expected = malloc(1 + 4 * PAIRS);
    assert_true(text && expected);
    text[0] = expected[0] = 'x';
    for (size_t i = 0; i < PAIRS; i++) {
        memcpy(text + 1 + 4 * i, "\xCC\x81\xCC\x96", 4);
        memcpy(expected + 1 + 2 * i, "\xCC\x96", 2);
        memcpy(expected + 1 + 2 * (PAIRS + i), "\xCC\x81", 2);
    }
    expect_normal(NORMAL_FORM_D, text, 1 + 4 * PAIRS, expected, 1 + 4 * PAIRS);
    free(text);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isolated),   cmocka_unit_test(test_behaviors),
        cmocka_unit_test(test_stages),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounded),    cmocka_unit_test(test_normal_forms),
        cmocka_unit_test(test_many_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
