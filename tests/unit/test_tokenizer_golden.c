/* Compares a tokenizer with recorded results, line by line:
 *
 *   test_tokenizer_golden FOLDER
 *
 * FOLDER holds the tokenizer's files, cases.jsonl, and perhaps invalid_utf8.jsonl and stream.jsonl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <vkdlm/tokenizer.h>

typedef struct golden {
    const char *folder;
    vkdlm_tokenizer *tokenizer;
    const char *file;
    int line;
    bool known_characters; /* the regex library's Unicode is that of the reference */
} golden;

static int open_tokenizer(void **state)
{
    golden *g = *state;
    vkdlm_error err = {0};
    if (vkdlm_tokenizer_open(g->folder, &g->tokenizer, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    char version[64] = "";
    g->known_characters =
        pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version) > 0 && strcmp(version, "14.0.0") == 0;
    return 0;
}

static int close_tokenizer(void **state)
{
    golden *g = *state;
    vkdlm_tokenizer_close(g->tokenizer);
    return 0;
}

/* Calls check for every line of a file; returns the number of lines, 0 without the file. */
static int each_line(golden *g, const char *name, void (*check)(golden *g, const json_t *line))
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", g->folder, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    char *text = NULL;
    size_t capacity = 0;
    g->file = name;
    g->line = 0;
    while (getline(&text, &capacity, f) > 0) {
        json_t *line = json_loads(text, JSON_ALLOW_NUL, NULL);
        assert_non_null(line);
        g->line++;
        check(g, line);
        json_decref(line);
    }
    free(text);
    fclose(f);
    return g->line;
}

static void check_ids(const golden *g, const json_t *line, const char *key, const char *text, size_t size,
                      uint32_t flags)
{
    const json_t *expected = json_object_get(line, key);
    assert_true(json_is_array(expected));
    vkdlm_ids ids;
    vkdlm_error err = {0};
    if (vkdlm_tokenize(g->tokenizer, text, size, flags, &ids, &err))
        fail_msg("%s line %d: %s", g->file, g->line, err.message);
    size_t i = 0;
    while (i < ids.count && i < json_array_size(expected) &&
           ids.ids[i] == json_integer_value(json_array_get(expected, i)))
        i++;
    if (i != ids.count || i != json_array_size(expected))
        fail_msg("%s line %d, %s: %zu ids, expected %zu; first difference at %zu", g->file, g->line, key,
                 ids.count, json_array_size(expected), i);
    vkdlm_ids_free(&ids);
}

static void check_text(const golden *g, const char *what, const char *text, size_t size,
                       const json_t *expected)
{
    assert_true(json_is_string(expected));
    if (size != json_string_length(expected) || memcmp(text, json_string_value(expected), size) != 0)
        fail_msg("%s line %d, %s: '%.*s', expected '%s'", g->file, g->line, what, (int)size, text,
                 json_string_value(expected));
}

/* Reads an array of ids; the caller frees it. */
static int32_t *ids_of(const json_t *array, size_t *count)
{
    *count = json_array_size(array);
    int32_t *ids = calloc(*count + 1, sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < *count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return ids;
}

static void check_decoded(const golden *g, const json_t *line, const char *key, bool skip_special)
{
    size_t count;
    int32_t *ids = ids_of(json_object_get(line, "ids"), &count);
    vkdlm_text text;
    assert_int_equal(vkdlm_detokenize(g->tokenizer, ids, count, skip_special, &text, NULL), VKDLM_OK);
    assert_int_equal(text.bytes[text.size], 0);
    check_text(g, key, text.bytes, text.size, json_object_get(line, key));
    vkdlm_text_free(&text);
    free(ids);
}

static void check_line(golden *g, const json_t *line, const char *text, size_t size)
{
    if (g->known_characters || !json_is_true(json_object_get(line, "newer_than_unicode_14"))) {
        check_ids(g, line, "ids", text, size, VKDLM_TOKENIZE_DEFAULT);
        check_ids(g, line, "ids_no_special", text, size, VKDLM_TOKENIZE_NO_SPECIAL);
        check_ids(g, line, "ids_plain", text, size, VKDLM_TOKENIZE_PLAIN);
    }
    check_decoded(g, line, "decoded", true);
    if (json_object_get(line, "decoded_with_special"))
        check_decoded(g, line, "decoded_with_special", false);
}

static void check_case(golden *g, const json_t *line)
{
    const json_t *text = json_object_get(line, "text");
    check_line(g, line, json_string_value(text), json_string_length(text));
}

/* Reads hexadecimal digits into out; returns the number of bytes. */
static size_t bytes_of(const json_t *hex, unsigned char *out, size_t room)
{
    const char *s = json_string_value(hex);
    size_t n = json_string_length(hex) / 2;
    assert_true(n <= room);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(s + 2 * i, "%2x", &byte), 1);
        out[i] = (unsigned char)byte;
    }
    return n;
}

static void check_invalid(golden *g, const json_t *line)
{
    unsigned char bytes[4096];
    size_t n = bytes_of(json_object_get(line, "bytes"), bytes, sizeof bytes);
    check_line(g, line, (const char *)bytes, n);
    check_case(g, line);
}

static void check_stream(golden *g, const json_t *line)
{
    size_t count, size;
    int32_t *ids = ids_of(json_object_get(line, "ids"), &count);
    const json_t *pieces = json_object_get(line, "pieces");
    const char *piece;
    vkdlm_decoder *decoder;
    assert_int_equal(json_array_size(pieces), count);
    assert_int_equal(vkdlm_decoder_create(g->tokenizer, false, &decoder, NULL), VKDLM_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(vkdlm_decoder_push(decoder, ids[i], &piece, &size, NULL), VKDLM_OK);
        check_text(g, "pieces", piece, size, json_array_get(pieces, i));
    }
    assert_int_equal(vkdlm_decoder_flush(decoder, &piece, &size, NULL), VKDLM_OK);
    check_text(g, "flush", piece, size, json_object_get(line, "flush"));
    vkdlm_decoder_destroy(decoder);
    free(ids);
    check_decoded(g, line, "decoded", false);
}

static void test_cases(void **state)
{
    assert_true(each_line(*state, "cases.jsonl", check_case) > 0);
}

static void test_invalid_utf8(void **state)
{
    if (each_line(*state, "invalid_utf8.jsonl", check_invalid) == 0)
        skip();
}

static void test_stream(void **state)
{
    if (each_line(*state, "stream.jsonl", check_stream) == 0)
        skip();
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_tokenizer_golden FOLDER\n");
        return 2;
    }
    golden g = {.folder = argv[1]};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_cases, open_tokenizer, close_tokenizer, &g),
        cmocka_unit_test_prestate_setup_teardown(test_invalid_utf8, open_tokenizer, close_tokenizer, &g),
        cmocka_unit_test_prestate_setup_teardown(test_stream, open_tokenizer, close_tokenizer, &g),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
