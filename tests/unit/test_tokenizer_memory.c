/* Tokenizers while memory runs out: whichever allocation fails, the answer is a status or the right ids, and
 * nothing leaks (the last under AddressSanitizer). The linker routes this library's allocations through
 * here. */
#include "test_tokenizer_util.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* Allocations that still succeed; negative when none fails. */
static int remaining = -1;

static bool exhausted(void)
{
    if (remaining > 0)
        remaining--;
    else if (remaining == 0)
        return true;
    return false;
}

void *__wrap_malloc(size_t size)
{
    return exhausted() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return exhausted() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return exhausted() ? NULL : __real_realloc(old, size);
}

#define PIECE_ID "{'SpecialToken':{'id':'<s>','type_id':0}}"

static const char file[] =
    TOKENIZER_FILE("{'type':'BPE','ignore_merges':true,'vocab':" VOCAB ",'merges':" MERGES "}",
                   "[" ADDED("12", "<s>", ",'special':true,'lstrip':true") "," ADDED(
                       "13", "\xC3\xA9\xCC\xA3", ",'normalized':true") "]",
                   "{'type':'NFC'}",
                   "{'type':'Sequence','pretokenizers':[{'type':'Split','pattern':{'Regex':'\\\\s+|b{1,2}+x'}"
                   ",'behavior':'Isolated'},"
                   "{'type':'ByteLevel','add_prefix_space':true,'use_regex':true}]}",
                   "{'type':'TemplateProcessing','single':[" PIECE_ID
                   ",{'Sequence':{'id':'A','type_id':0}}],'special_tokens':"
                   "{'<s>':{'ids':[12]}}}",
                   BYTE_LEVEL);

static char *json;

static vkdlm_status open_tokenizer(const vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)t;
    vkdlm_tokenizer *other;
    vkdlm_status status = tokenizer_parse_json(json, strlen(json), &other, err);
    assert_true((status == VKDLM_OK) == (other != NULL));
    vkdlm_tokenizer_close(other);
    return status;
}

static vkdlm_status open_gpt2(const vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)t;
    static const char vocab_json[] = "{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}";
    vkdlm_tokenizer *other;
    vkdlm_status status = tokenizer_parse_gpt2(vocab_json, strlen(vocab_json), "a b\n", 4, &other, err);
    assert_true((status == VKDLM_OK) == (other != NULL));
    vkdlm_tokenizer_close(other);
    return status;
}

/* A text that is not UTF-8, needs normalization, and has a word for the heap. */
static vkdlm_status encode(const vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const char text[] = "ab <s> \xFF"
                               "e\xCC\xA3\xCC\x81 abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc";
    static const int32_t expected[] = {12, 3, 6, 12, 3, 3, 13, 3, 3, 7, 7, 7, 7, 7,
                                       7,  7, 7, 7,  7, 7, 7,  7, 7, 7, 7, 7, 7, 7};
    vkdlm_ids ids;
    vkdlm_status status = vkdlm_tokenize(t, text, sizeof text - 1, 0, &ids, err);
    if (status) {
        assert_null(ids.ids);
        return status;
    }
    assert_int_equal(ids.count, sizeof expected / sizeof *expected);
    assert_memory_equal(ids.ids, expected, sizeof expected);
    vkdlm_ids_free(&ids);
    return VKDLM_OK;
}

static vkdlm_status decode(const vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const int32_t ids[] = {7, 4, 4, 5, 8};
    static const char expected[] = "abc\xEF\xBF\xBD\xC3\xA9 a";
    vkdlm_text text;
    vkdlm_status status = vkdlm_detokenize(t, ids, 5, true, &text, err);
    if (status) {
        assert_null(text.bytes);
        return status;
    }
    assert_string_equal(text.bytes, expected);
    vkdlm_text_free(&text);
    return VKDLM_OK;
}

static vkdlm_status stream(const vkdlm_tokenizer *t, vkdlm_error *err)
{
    vkdlm_decoder *d;
    const char *piece;
    size_t size;
    vkdlm_status status = vkdlm_decoder_create(t, true, &d, err);
    if (!status)
        status = vkdlm_decoder_push(d, 7, &piece, &size, err);
    if (!status)
        status = vkdlm_decoder_flush(d, &piece, &size, err);
    vkdlm_decoder_destroy(d);
    return status;
}

/* Runs the function with 0, 1, 2, ... allocations until it succeeds. */
static void test_exhaustion(void **state)
{
    static const struct {
        const char *what;
        vkdlm_status (*run)(const vkdlm_tokenizer *t, vkdlm_error *err);
        int min_allocations;
    } runs[] = {
        {"open", open_tokenizer, 20}, {"open vocab.json", open_gpt2, 8},
        {"encode", encode, 8},        {"decode", decode, 2},
        {"stream", stream, 2},
    };
    (void)state;
    vkdlm_tokenizer *t = must_parse(file);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        vkdlm_status status = VKDLM_OUT_OF_HOST_MEMORY;
        int n = 0;
        for (; status; n++) {
            vkdlm_error err = {0};
            remaining = n;
            status = runs[i].run(t, &err);
            remaining = -1;
            if (status && status != VKDLM_OUT_OF_HOST_MEMORY)
                fail_msg("%s with %d allocations: %s", runs[i].what, n, err.message);
            assert_int_equal(err.status, status);
        }
        assert_true(n > runs[i].min_allocations);
    }
    vkdlm_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exhaustion)};
    json = strdup(file);
    if (!json)
        return 1;
    for (char *s = json; *s; s++)
        if (*s == '\'')
            *s = '"';
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(json);
    return failed;
}
