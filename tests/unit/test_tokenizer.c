/* The tokenizer's public functions, on small tokenizers and on files that are not there. */
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test_tokenizer_util.h"

#define SPECIAL ",'special':true"
#define FLAGS   "[" ADDED("12", "<s>", SPECIAL) "," ADDED("13", "<t>", "") "," ADDED("14", "\xC3\xA9", "") "]"

static const char simple[] = TOKENIZER_FILE(MODEL, "[]", "null", BYTE_LEVEL, "null", BYTE_LEVEL);
static const char with_added[] = TOKENIZER_FILE(MODEL, FLAGS, "null", BYTE_LEVEL, "null", BYTE_LEVEL);

static void test_lookup(void **state)
{
    (void)state;
    vkdlm_tokenizer *t = must_parse(with_added);
    assert_int_equal(vkdlm_tokenizer_vocab_size(t), 15);
    assert_int_equal(vkdlm_tokenizer_find(t, "abc"), 7);
    assert_int_equal(vkdlm_tokenizer_find(t, "\xC4\xA0"
                                             "a"),
                     8);
    assert_int_equal(vkdlm_tokenizer_find(t, " a"), -1);
    assert_int_equal(vkdlm_tokenizer_find(t, "<s>"), 12);
    assert_int_equal(vkdlm_tokenizer_find(t, ""), -1);
    assert_true(vkdlm_tokenizer_is_special(t, 12));
    assert_false(vkdlm_tokenizer_is_special(t, 13));
    assert_false(vkdlm_tokenizer_is_special(t, 0));
    assert_false(vkdlm_tokenizer_is_special(t, -1));
    assert_false(vkdlm_tokenizer_is_special(t, INT32_MAX));
    vkdlm_tokenizer_close(t);
    vkdlm_tokenizer_close(NULL);
}

static void test_encode(void **state)
{
    (void)state;
    vkdlm_tokenizer *t = must_parse(with_added);
    expect_ids(t, "", 0, "");
    expect_ids(t, "abc ab a", 0, "7 3 6 8");
    expect_ids(t, "abcabc", 0, "7 7");
    expect_ids(t, "a<s>b<t>", 0, "0 12 1 13");
    expect_ids(t, "\xC3\xA9", 0, "14");
    /* Special tokens are text, of bytes that this vocabulary lacks; others are still found. */
    expect_ids(t, "a<s>b<t>", VKDLM_TOKENIZE_PLAIN, "0 1 13");
    vkdlm_tokenizer_close(t);
}

static void test_template(void **state)
{
    (void)state;
    static const char file[] = TOKENIZER_FILE(
        MODEL, FLAGS, "null", BYTE_LEVEL,
        "{'type':'Sequence','processors':[" BYTE_LEVEL ",{'type':'TemplateProcessing','single':["
        "{'SpecialToken':{'id':'x','type_id':0}},{'Sequence':{'id':'A','type_id':0}},"
        "{'SpecialToken':{'id':'y','type_id':0}}],'pair':[],"
        "'special_tokens':{'x':{'id':'x','ids':[12,13],'tokens':['<s>','<t>']},'y':{'id':'y','ids':[12],'"
        "tokens':['<s>']}}}]}",
        BYTE_LEVEL);
    vkdlm_tokenizer *t = must_parse(file);
    expect_ids(t, "a", VKDLM_TOKENIZE_DEFAULT, "12 13 0 12");
    expect_ids(t, "", VKDLM_TOKENIZE_DEFAULT, "12 13 12");
    expect_ids(t, "a", VKDLM_TOKENIZE_NO_SPECIAL, "0");
    expect_ids(t, "a<s>", VKDLM_TOKENIZE_PLAIN, "0");
    vkdlm_tokenizer_close(t);
}

static void test_nul_is_text(void **state)
{
    (void)state;
    static const char text[] = "a\0b";
    vkdlm_tokenizer *t = must_parse(simple);
    vkdlm_ids ids;
    assert_int_equal(vkdlm_tokenize(t, text, 3, 0, &ids, NULL), VKDLM_OK);
    assert_int_equal(ids.count, 2);
    assert_int_equal(ids.ids[1], 1);
    vkdlm_ids_free(&ids);
    assert_null(ids.ids);
    vkdlm_ids_free(NULL);
    vkdlm_tokenizer_close(t);
}

static void test_unknown_bytes(void **state)
{
    (void)state;
#define UNK_MODEL(fuse) \
    "{'type':'BPE','vocab':{'a':0,'b':1,'ab':2,'?':3},'merges':['a b'],'unk_token':'?','fuse_unk':" fuse "}"
    vkdlm_tokenizer *t =
        must_parse(TOKENIZER_FILE(UNK_MODEL("false"), "[]", "null", PLAIN_LEVEL, "null", BYTE_LEVEL));
    expect_ids(t, "axyb", 0, "0 3 3 1");
    vkdlm_tokenizer_close(t);
    t = must_parse(TOKENIZER_FILE(UNK_MODEL("true"), "[]", "null", PLAIN_LEVEL, "null", BYTE_LEVEL));
    expect_ids(t, "axyb", 0, "0 3 1");
    vkdlm_tokenizer_close(t);
    /* Without an unknown token such bytes vanish, and what is left may merge. */
    t = must_parse(TOKENIZER_FILE(MODEL, "[]", "null", PLAIN_LEVEL, "null", BYTE_LEVEL));
    expect_ids(t, "axyb", 0, "6");
    vkdlm_tokenizer_close(t);
}

/* Encodes n letters and returns the number of tokens. */
static size_t count_run(const vkdlm_tokenizer *t, size_t n)
{
    char *text = malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        text[i] = "abc"[i % 3];
    vkdlm_ids ids;
    assert_int_equal(vkdlm_tokenize(t, text, n, 0, &ids, NULL), VKDLM_OK);
    for (size_t i = 0; i < ids.count; i++)
        assert_int_equal(ids.ids[i], 7);
    size_t count = ids.count;
    vkdlm_ids_free(&ids);
    free(text);
    return count;
}

/* One word of three million letters would take hours in a quadratic loop. */
static void test_long_word(void **state)
{
    (void)state;
    vkdlm_tokenizer *t = must_parse(simple);
    for (size_t n = 3; n <= 300; n += 3)
        assert_int_equal(count_run(t, n), n / 3);
    assert_int_equal(count_run(t, 3000000), 1000000);
    vkdlm_tokenizer_close(t);
}

static void expect_text(const vkdlm_tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                        const char *expected)
{
    vkdlm_text text;
    assert_int_equal(vkdlm_detokenize(t, ids, n, skip_special, &text, NULL), VKDLM_OK);
    assert_string_equal(text.bytes, expected);
    assert_int_equal(text.size, strlen(expected));
    vkdlm_text_free(&text);
    assert_null(text.bytes);
}

static void test_decode(void **state)
{
    (void)state;
    static const int32_t ids[] = {12, 7, -1, 99, INT32_MIN, INT32_MAX, 8, 4, 5, 13};
    static const int32_t cut[] = {4, 0};
    static const int32_t spelled[] = {14};
    vkdlm_tokenizer *t = must_parse(with_added);
    expect_text(t, ids, 10, true, "abc a\xC3\xA9<t>");
    expect_text(t, ids, 10, false, "<s>abc a\xC3\xA9<t>");
    expect_text(t, cut, 2, true,
                "\xEF\xBF\xBD"
                "a");
    expect_text(t, cut, 1, true, "\xEF\xBF\xBD");
    expect_text(t, NULL, 0, true, "");
    /* The added token is the character that spells the byte E9. */
    expect_text(t, spelled, 1, true, "\xEF\xBF\xBD");
    vkdlm_text_free(NULL);
    vkdlm_tokenizer_close(t);
}

static void test_decode_without_decoder(void **state)
{
    (void)state;
    static const int32_t ids[] = {6, 8, 9};
    vkdlm_tokenizer *t = must_parse(TOKENIZER_FILE(MODEL, "[]", "null", BYTE_LEVEL, "null", "null"));
    expect_text(t, ids, 3, true,
                "ab \xC4\xA0"
                "a \xC3\x83\xC2\xA9");
    vkdlm_tokenizer_close(t);
}

/* The pieces of random tokens, cut characters among them, join to what detokenizing gives. */
static void test_stream(void **state)
{
    (void)state;
    vkdlm_tokenizer *t = must_parse(with_added);
    uint32_t random = 1;
    for (int round = 0; round < 2000; round++) {
        int32_t ids[12];
        char joined[256] = "";
        const char *piece;
        size_t size;
        vkdlm_decoder *d;
        assert_int_equal(vkdlm_decoder_create(t, round % 2, &d, NULL), VKDLM_OK);
        for (size_t i = 0; i < 12; i++) {
            random = random * 1664525u + 1013904223u;
            ids[i] = (int32_t)(random >> 16) % 16 - 1;
            assert_int_equal(vkdlm_decoder_push(d, ids[i], &piece, &size, NULL), VKDLM_OK);
            assert_int_equal(strlen(piece), size);
            strcat(joined, piece);
        }
        assert_int_equal(vkdlm_decoder_flush(d, &piece, &size, NULL), VKDLM_OK);
        strcat(joined, piece);
        expect_text(t, ids, 12, round % 2, joined);
        vkdlm_decoder_destroy(d);
    }
    vkdlm_decoder_destroy(NULL);
    vkdlm_tokenizer_close(t);
}

static void test_arguments(void **state)
{
    (void)state;
    vkdlm_tokenizer *t = must_parse(simple), *none;
    vkdlm_ids ids = {(int32_t *)&ids, 7};
    vkdlm_text text;
    vkdlm_decoder *d;
    vkdlm_error err = {0};
    const char *piece;
    size_t size;
    assert_int_equal(vkdlm_tokenizer_open(NULL, &none, &err), VKDLM_INVALID_ARGUMENT);
    assert_null(none);
    assert_int_equal(vkdlm_tokenizer_open("x", NULL, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(vkdlm_tokenize(t, NULL, 1, 0, &ids, &err), VKDLM_INVALID_ARGUMENT);
    assert_null(ids.ids);
    assert_int_equal(ids.count, 0);
    assert_int_equal(vkdlm_tokenize(t, NULL, 0, 0, &ids, &err), VKDLM_OK);
    assert_int_equal(vkdlm_tokenize(t, "a", 1, 4, &ids, &err), VKDLM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "0x4"));
    assert_int_equal(vkdlm_tokenize(t, "a", SIZE_MAX, 0, &ids, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(vkdlm_tokenize(NULL, "a", 1, 0, &ids, NULL), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(vkdlm_detokenize(t, NULL, 1, false, &text, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(vkdlm_detokenize(t, NULL, 0, false, NULL, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(vkdlm_decoder_create(NULL, false, &d, &err), VKDLM_INVALID_ARGUMENT);
    assert_null(d);
    assert_int_equal(vkdlm_decoder_push(NULL, 0, &piece, &size, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(vkdlm_decoder_flush(NULL, &piece, &size, &err), VKDLM_INVALID_ARGUMENT);
    vkdlm_tokenizer_close(t);
}

static void expect_failure(const char *path, vkdlm_status expected, const char *part)
{
    vkdlm_tokenizer *t;
    vkdlm_error err = {0};
    assert_int_equal(vkdlm_tokenizer_open(path, &t, &err), expected);
    assert_null(t);
    assert_int_equal(err.status, expected);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not mention '%s'", err.message, part);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void test_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/vkdlm_tokenizer_XXXXXX";
    char vocab_path[64], merges_path[64], json_path[64];
    vkdlm_tokenizer *t;
    vkdlm_error err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(vocab_path, sizeof vocab_path, "%s/vocab.json", folder);
    snprintf(merges_path, sizeof merges_path, "%s/merges.txt", folder);
    snprintf(json_path, sizeof json_path, "%s/tokenizer.json", folder);

    expect_failure("/nonexistent/tokenizer.json", VKDLM_NOT_FOUND, "/nonexistent/tokenizer.json");
    expect_failure(folder, VKDLM_NOT_FOUND, folder);
    expect_failure(vocab_path, VKDLM_NOT_FOUND, vocab_path);
    write_file(vocab_path, "{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}");
    expect_failure(folder, VKDLM_NOT_FOUND, merges_path);
    write_file(merges_path, "#version: 0.2\na b\n");
    assert_int_equal(vkdlm_tokenizer_open(folder, &t, &err), VKDLM_OK);
    assert_int_equal(err.status, VKDLM_OK);
    expect_ids(t, "abab<|endoftext|>", 0, "2 2 3");
    assert_true(vkdlm_tokenizer_is_special(t, 3));
    vkdlm_tokenizer_close(t);
    assert_int_equal(vkdlm_tokenizer_open(vocab_path, &t, &err), VKDLM_OK);
    vkdlm_tokenizer_close(t);
    write_file(merges_path, "#version: 0.2\r\na b");
    assert_int_equal(vkdlm_tokenizer_open(folder, &t, &err), VKDLM_OK);
    vkdlm_tokenizer_close(t);
    write_file(merges_path, "a b\na c\n");
    expect_failure(vocab_path, VKDLM_MALFORMED, "merges.txt: merge 1: 'c'");
    write_file(merges_path, "a b c\n");
    expect_failure(vocab_path, VKDLM_MALFORMED, "merge 0");
    write_file(merges_path, "a b\n\n");
    expect_failure(vocab_path, VKDLM_MALFORMED, "merge 1");
    write_file(merges_path, "a \xFF\n");
    expect_failure(vocab_path, VKDLM_MALFORMED, "UTF-8");
    /* A tokenizer.json comes first. */
    write_file(json_path, "{}");
    expect_failure(folder, VKDLM_MALFORMED, json_path);
    assert_int_equal(unlink(json_path), 0);
    assert_int_equal(mkdir(json_path, 0700), 0);
    expect_failure(folder, VKDLM_IO, json_path);
    rmdir(json_path);
    unlink(vocab_path);
    unlink(merges_path);
    assert_int_equal(rmdir(folder), 0);
}

static void *encode_often(void *tokenizer)
{
    for (int i = 0; i < 200; i++)
        expect_ids(tokenizer, "abc ab a<s>\xC3\xA9 b", 0, "7 3 6 8 12 14 3 1");
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    vkdlm_tokenizer *t = must_parse(with_added);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, t), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    vkdlm_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_template),      cmocka_unit_test(test_nul_is_text),
        cmocka_unit_test(test_unknown_bytes), cmocka_unit_test(test_long_word),
        cmocka_unit_test(test_decode),        cmocka_unit_test(test_decode_without_decoder),
        cmocka_unit_test(test_stream),        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_files),         cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
