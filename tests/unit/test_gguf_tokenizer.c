/* Tokenizers in GGUF files: recorded ids, and what is refused. */
#include "test_gguf_util.h"

#include <jansson.h>

#include <vkdlm/chat.h>
#include <vkdlm/tokenizer.h>

static const char *const names[] = {"dream-q8_0",         "llada-f16",         "llama-linear-f16",
                                    "llama-tied-q4_k_m",  "llama-untied-q8_0", "qwen2-tied-mixed",
                                    "qwen2-untied-q5_k_m"};

static void check_ids(const vkdlm_tokenizer *t, const json_t *line, const char *key, uint32_t flags)
{
    const json_t *text = json_object_get(line, "text"), *expected = json_object_get(line, key);
    vkdlm_ids ids;
    assert_true(json_is_string(text) && json_is_array(expected));
    assert_int_equal(vkdlm_tokenize(t, json_string_value(text), json_string_length(text), flags, &ids, NULL),
                     VKDLM_OK);
    if (ids.count != json_array_size(expected))
        fail_msg("'%s', %s: expected %zu ids, found %zu", json_string_value(text), key,
                 json_array_size(expected), ids.count);
    for (size_t i = 0; i < ids.count; i++)
        assert_int_equal(ids.ids[i], json_integer_value(json_array_get(expected, i)));
    vkdlm_ids_free(&ids);
}

static void recorded_ids_are_given(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512], *text = NULL;
        size_t room = 0;
        int n_lines = 0;
        vkdlm_error err = {0};
        vkdlm_tokenizer *t;
        snprintf(path, sizeof path, TESTS_DIR "/golden/gguf/%s.gguf", names[i]);
        if (vkdlm_tokenizer_open(path, &t, &err))
            fail_msg("%s", err.message);
        snprintf(path, sizeof path, TESTS_DIR "/golden/gguf/%s.tokenize.jsonl", names[i]);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        while (getline(&text, &room, f) > 0) {
            json_t *line = json_loads(text, JSON_ALLOW_NUL, NULL);
            check_ids(t, line, "ids", VKDLM_TOKENIZE_DEFAULT);
            check_ids(t, line, "ids_no_special", VKDLM_TOKENIZE_NO_SPECIAL);
            json_decref(line);
            n_lines++;
        }
        assert_int_equal(n_lines, 9);
        free(text);
        fclose(f);
        vkdlm_tokenizer_close(t);
    }
}

/* A file with a tokenizer of a few tokens; what is NULL or 0 is left out. */
typedef struct small_file {
    const char *model, *pre, *merge;
    uint32_t begin; /* one more than the id */
    int add_begin;  /* one more than the flag */
    uint32_t n_types;
} small_file;

static vkdlm_status open_small(const char *path, const small_file *from, vkdlm_tokenizer **out,
                               vkdlm_error *err)
{
    static const char *const tokens[] = {"a", "b", "ab", "<s>", "<u>", "[PAD5]"};
    static const unsigned types[] = {1, 1, 1, 3, 4, 5, 1};
    gguf_bytes b;
    gguf_begin(&b);
    if (from->model)
        gguf_put_string(&b, "tokenizer.ggml.model", from->model);
    if (from->pre)
        gguf_put_string(&b, "tokenizer.ggml.pre", from->pre);
    gguf_put_array(&b, "tokenizer.ggml.tokens", GGUF_STRING, 6);
    for (size_t i = 0; i < 6; i++)
        gguf_put_text(&b, tokens[i]);
    if (from->n_types) {
        gguf_put_array(&b, "tokenizer.ggml.token_type", GGUF_I32, from->n_types);
        for (size_t i = 0; i < from->n_types; i++)
            gguf_put(&b, types[i], 4);
    }
    if (from->merge) {
        gguf_put_array(&b, "tokenizer.ggml.merges", GGUF_STRING, 1);
        gguf_put_text(&b, from->merge);
    }
    if (from->begin)
        gguf_put_u32(&b, "tokenizer.ggml.bos_token_id", from->begin - 1);
    if (from->add_begin) {
        gguf_put_key(&b, "tokenizer.ggml.add_bos_token", GGUF_BOOL);
        gguf_put(&b, (uint64_t)from->add_begin - 1, 1);
    }
    temp_write(path, b.data, b.size);
    return vkdlm_tokenizer_open(path, out, err);
}

static void tokens_have_types(void **state)
{
    static const struct {
        small_file file;
        int32_t ids[8];
        size_t n;
    } cases[] = {
        /* Of "ab<s><u>": */
        {{"gpt2", "gpt-2", "a b", 4, 0, 6}, {2, 3, 4}, 3},
        {{"gpt2", "gpt-2", "a b", 4, 2, 6}, {3, 2, 3, 4}, 4},
        {{"gpt2", "llama-bpe", "a b", 4, 0, 6}, {3, 2, 3, 4}, 4},
        {{"gpt2", "llama-bpe", "a b", 4, 1, 6}, {2, 3, 4}, 3},
        {{"gpt2", "qwen2", "a b", 0, 0, 6}, {2, 3, 4}, 3},
        {{"gpt2", "qwen2", "a b", 0, 0, 0}, {2}, 1}, /* no types: all are ordinary, and these are unknown */
    };
    static const char text[] = "ab<s><u>";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_tokenizer *t;
        vkdlm_error err = {0};
        vkdlm_ids ids;
        if (open_small(temp_path(*state, "t.gguf"), &cases[i].file, &t, &err))
            fail_msg("%zu: %s", i, err.message);
        assert_int_equal(vkdlm_tokenize(t, text, sizeof text - 1, 0, &ids, NULL), VKDLM_OK);
        assert_int_equal(ids.count, cases[i].n);
        for (size_t k = 0; k < ids.count; k++)
            assert_int_equal(ids.ids[k], cases[i].ids[k]);
        bool typed = cases[i].file.n_types != 0;
        assert_true(vkdlm_tokenizer_is_special(t, 3) == typed);
        assert_false(vkdlm_tokenizer_is_special(t, 4));
        assert_int_equal(vkdlm_tokenizer_find(t, "[PAD5]"), typed ? -1 : 5);
        vkdlm_ids_free(&ids);
        vkdlm_tokenizer_close(t);
    }
}

static void bad_tokenizers_are_refused(void **state)
{
    static const struct {
        small_file file;
        vkdlm_status status;
        const char *text;
    } cases[] = {
        {{NULL, "gpt-2", "a b", 0, 0, 6}, VKDLM_MALFORMED, "tokenizer.ggml.model: expected a string"},
        {{"llama", "gpt-2", "a b", 0, 0, 6}, VKDLM_UNSUPPORTED, "found \"llama\""},
        {{"gpt2", NULL, "a b", 0, 0, 6}, VKDLM_MALFORMED, "tokenizer.ggml.pre: expected a string"},
        {{"gpt2", "tekken", "a b", 0, 0, 6}, VKDLM_UNSUPPORTED, "found \"tekken\""},
        {{"gpt2", "gpt-2", NULL, 0, 0, 6}, VKDLM_MALFORMED, "tokenizer.ggml.merges: expected an array"},
        {{"gpt2", "gpt-2", "ab", 0, 0, 6}, VKDLM_MALFORMED, "merge 0"},
        {{"gpt2", "gpt-2", "a c", 0, 0, 6}, VKDLM_MALFORMED, "c"},
        {{"gpt2", "gpt-2", "a b", 0, 0, 5}, VKDLM_MALFORMED, "one type for each token"},
        {{"gpt2", "gpt-2", "a b", 0, 0, 7}, VKDLM_MALFORMED, "one type for each token"},
        {{"gpt2", "llama-bpe", "a b", 0, 0, 6}, VKDLM_MALFORMED, "bos_token_id: expected an integer"},
        {{"gpt2", "llama-bpe", "a b", 7, 0, 6}, VKDLM_MALFORMED, "found 6"},
    };
    const char *path = temp_path(*state, "t.gguf");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_tokenizer *t;
        vkdlm_error err = {0};
        vkdlm_status status = open_small(path, &cases[i].file, &t, &err);
        assert_null(t);
        assert_refused(status, cases[i].status, &err, cases[i].text);
        assert_non_null(strstr(err.message, path));
    }
}

/* The template of the file, with its own token at the beginning. */
static void chat_templates_are_read(void **state)
{
    static const char source[] =
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
        "{{ m['content'] }}<|eot_id|>{% endfor %}";
    const char *path = temp_path(*state, "t.gguf");
    const vkdlm_chat_message message = {"user", "Hello"};
    gguf_bytes b;
    vkdlm_error err = {0};
    vkdlm_chat_template *chat;
    vkdlm_text text;
    gguf_begin(&b);
    gguf_put_array(&b, "tokenizer.ggml.tokens", GGUF_STRING, 2);
    gguf_put_text(&b, "a");
    gguf_put_text(&b, "<begin>");
    gguf_put_u32(&b, "tokenizer.ggml.bos_token_id", 1);
    temp_write(path, b.data, b.size);
    assert_refused(vkdlm_chat_template_open(path, &chat, &err), VKDLM_NOT_FOUND, &err, path);
    assert_null(chat);
    gguf_put_string(&b, "tokenizer.chat_template", source);
    temp_write(path, b.data, b.size);
    if (vkdlm_chat_template_open(path, &chat, &err))
        fail_msg("%s", err.message);
    assert_int_equal(vkdlm_chat_template_family(chat), VKDLM_CHAT_LLAMA3);
    assert_int_equal(vkdlm_chat_format(chat, &message, 1, false, NULL, &text, NULL), VKDLM_OK);
    assert_int_equal(strncmp(text.bytes, "<begin><|start_header_id|>", 26), 0);
    vkdlm_text_free(&text);
    vkdlm_chat_template_close(chat);
    /* A template of no family that is known, and its place. */
    assert_refused(vkdlm_chat_template_open(TESTS_DIR "/golden/gguf/llama-tied-q4_k_m.gguf", &chat, &err),
                   VKDLM_UNSUPPORTED, &err, "llama-tied-q4_k_m.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_ids_are_given),
        cmocka_unit_test_setup_teardown(tokens_have_types, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(chat_templates_are_read, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(bad_tokenizers_are_refused, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
