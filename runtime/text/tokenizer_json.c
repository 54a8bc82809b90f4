#include "text/tokenizer_json.h"

#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

const json_t *tokenizer_json_get(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

vkdlm_status tokenizer_json_expected(const char *component, const char *key, const char *expected,
                                     vkdlm_error *err)
{
    return error_set(err, VKDLM_MALFORMED, "%s: '%s' is not %s", component, key, expected);
}

vkdlm_status tokenizer_json_flag(const json_t *object, const char *component, const char *key, int otherwise,
                                 bool *out, vkdlm_error *err)
{
    const json_t *value = tokenizer_json_get(object, key);
    *out = otherwise > 0;
    if (!value && otherwise >= 0)
        return VKDLM_OK;
    if (!json_is_boolean(value))
        return tokenizer_json_expected(component, key, "true or false", err);
    *out = json_is_true(value);
    return VKDLM_OK;
}

static vkdlm_status parse(const char *text, size_t n, json_t **out, vkdlm_error *err)
{
    json_error_t error;
    *out = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!*out && json_error_code(&error) == json_error_out_of_memory)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for reading JSON");
    if (!*out)
        return error_set(err, VKDLM_MALFORMED, "not JSON, line %d: %s", error.line, error.text);
    return VKDLM_OK;
}

static vkdlm_status read_vocab(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json))
        return error_set(err, VKDLM_MALFORMED, "the vocabulary is not an object");
    json_object_foreach((json_t *)json, key, value)
    {
        if (!json_is_integer(value))
            return error_set(err, VKDLM_MALFORMED, "vocabulary: the id of '%.64s' is not an integer", key);
        vkdlm_status status =
            vocab_add(&t->vocab, key, strlen(key), json_integer_value(value), VOCAB_MODEL, err);
        if (status)
            return status;
    }
    t->n_model_tokens = t->vocab.n_tokens;
    return VKDLM_OK;
}

static bool is_version(const char *s, size_t n)
{
    return n >= 8 && memcmp(s, "#version", 8) == 0;
}

static vkdlm_status read_merges(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    if (!json_is_array(json))
        return tokenizer_json_expected("model", "merges", "an array", err);
    size_t n = json_array_size(json);
    uint32_t rank = 0;
    vkdlm_status status = bpe_init(&t->model, n, err);
    for (size_t i = 0; i < n && !status; i++) {
        const json_t *merge = json_array_get(json, i);
        const json_t *left = json_array_get(merge, 0);
        const json_t *right = json_array_get(merge, 1);
        if (json_is_string(merge)) {
            const char *text = json_string_value(merge);
            if (is_version(text, json_string_length(merge)))
                continue;
            status = tokenizer_add_merge(t, rank, text, json_string_length(merge), err);
        } else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right)) {
            status =
                bpe_add_merge(&t->model, &t->vocab, rank, json_string_value(left), json_string_length(left),
                              json_string_value(right), json_string_length(right), err);
        } else {
            status = error_set(err, VKDLM_MALFORMED, "merge %zu: expected a string or a pair of strings", i);
        }
        rank++;
    }
    return status;
}

/* Refuses an option of the model unless it is absent or means nothing. */
static vkdlm_status refuse_text_option(const json_t *model, const char *key, vkdlm_error *err)
{
    const json_t *value = tokenizer_json_get(model, key);
    if (!value || (json_is_string(value) && json_string_length(value) == 0))
        return VKDLM_OK;
    if (!json_is_string(value))
        return tokenizer_json_expected("model", key, "a string", err);
    return error_set(err, VKDLM_UNSUPPORTED, "model: %s '%.64s' is not supported", key,
                     json_string_value(value));
}

/* What stands for bytes that the vocabulary lacks. */
static vkdlm_status read_unknown(const json_t *model, vkdlm_tokenizer *t, vkdlm_error *err)
{
    bool byte_fallback;
    const json_t *unk = tokenizer_json_get(model, "unk_token");
    vkdlm_status status = tokenizer_json_flag(model, "model", "fuse_unk", false, &t->model.fuse_unk, err);
    if (!status)
        status = tokenizer_json_flag(model, "model", "byte_fallback", false, &byte_fallback, err);
    if (status)
        return status;
    if (unk && !json_is_string(unk))
        return tokenizer_json_expected("model", "unk_token", "a string", err);
    if (bpe_set_bytes(&t->model, &t->vocab))
        return VKDLM_OK;
    if (byte_fallback)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "model: byte_fallback is not supported with a vocabulary that lacks bytes");
    if (!unk)
        return VKDLM_OK;
    const vocab_token *token = vocab_find(&t->vocab, json_string_value(unk), json_string_length(unk));
    if (!token)
        return error_set(err, VKDLM_MALFORMED, "model: unk_token '%.64s' is not in the vocabulary",
                         json_string_value(unk));
    t->model.unk_id = token->id;
    return VKDLM_OK;
}

static vkdlm_status read_model(const json_t *model, vkdlm_tokenizer *t, vkdlm_error *err)
{
    if (!json_is_object(model))
        return error_set(err, VKDLM_MALFORMED, "'model' is not an object");
    const json_t *type = tokenizer_json_get(model, "type");
    if (type && !json_is_string(type))
        return tokenizer_json_expected("model", "type", "a string", err);
    /* Early files do not name the type; merges tell BPE from the others. */
    if (type ? strcmp(json_string_value(type), "BPE") != 0 : !tokenizer_json_get(model, "merges"))
        return error_set(err, VKDLM_UNSUPPORTED, "model: type '%.64s' is not supported, expected BPE",
                         type ? json_string_value(type) : "");
    const json_t *dropout = tokenizer_json_get(model, "dropout");
    if (dropout && !json_is_number(dropout))
        return tokenizer_json_expected("model", "dropout", "a number", err);
    if (dropout && json_number_value(dropout) != 0)
        return error_set(err, VKDLM_UNSUPPORTED, "model: dropout is not supported");
    vkdlm_status status = refuse_text_option(model, "continuing_subword_prefix", err);
    if (!status)
        status = refuse_text_option(model, "end_of_word_suffix", err);
    if (!status)
        status = read_vocab(tokenizer_json_get(model, "vocab"), t, err);
    if (!status)
        status = read_merges(tokenizer_json_get(model, "merges"), t, err);
    if (!status)
        status = tokenizer_json_flag(model, "model", "ignore_merges", false, &t->model.ignore_merges, err);
    return status ? status : read_unknown(model, t, err);
}

static vkdlm_status read_added_token(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const struct {
        const char *key;
        uint32_t flag;
    } flags[] = {{"single_word", ADDED_SINGLE_WORD},
                 {"lstrip", ADDED_LSTRIP},
                 {"rstrip", ADDED_RSTRIP},
                 {"normalized", ADDED_NORMALIZED},
                 {"special", ADDED_SPECIAL}};
    const json_t *content = tokenizer_json_get(json, "content");
    const json_t *id = tokenizer_json_get(json, "id");
    if (!json_is_string(content))
        return tokenizer_json_expected("added_tokens", "content", "a string", err);
    if (!json_is_integer(id))
        return tokenizer_json_expected("added_tokens", "id", "an integer", err);
    uint32_t bits = 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool on;
        vkdlm_status status = tokenizer_json_flag(json, "added_tokens", flags[i].key, false, &on, err);
        if (status)
            return status;
        if (on)
            bits |= flags[i].flag;
    }
    return tokenizer_add_token(t, json_string_value(content), json_string_length(content),
                               json_integer_value(id), bits, err);
}

static vkdlm_status read_added_tokens(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    if (json && !json_is_array(json))
        return error_set(err, VKDLM_MALFORMED, "'added_tokens' is not an array");
    for (size_t i = 0; i < json_array_size(json) && !status; i++)
        status = read_added_token(json_array_get(json, i), t, err);
    return status;
}

static vkdlm_status read_root(const json_t *root, vkdlm_tokenizer *t, vkdlm_error *err)
{
    if (!json_is_object(root))
        return error_set(err, VKDLM_MALFORMED, "the file's value is not an object");
    vkdlm_status status = read_model(tokenizer_json_get(root, "model"), t, err);
    if (!status)
        status = tokenizer_json_normalizer(tokenizer_json_get(root, "normalizer"), t, err);
    if (!status)
        status = tokenizer_json_pretokenizer(tokenizer_json_get(root, "pre_tokenizer"), t, err);
    if (!status)
        status = read_added_tokens(tokenizer_json_get(root, "added_tokens"), t, err);
    if (!status)
        status = tokenizer_json_post_processor(tokenizer_json_get(root, "post_processor"), t, err);
    if (!status)
        status = tokenizer_json_decoder(tokenizer_json_get(root, "decoder"), t, err);
    return status ? status : tokenizer_finish(t, err);
}

vkdlm_status tokenizer_parse_json(const char *json, size_t n, vkdlm_tokenizer **out, vkdlm_error *err)
{
    json_t *root = NULL;
    *out = NULL;
    vkdlm_tokenizer *t = tokenizer_create();
    if (!t)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a tokenizer");
    vkdlm_status status = parse(json, n, &root, err);
    if (!status)
        status = read_root(root, t, err);
    json_decref(root);
    if (status)
        vkdlm_tokenizer_close(t);
    else
        *out = t;
    return status;
}

/* Reads the lines of a merges.txt; a line that begins "#version" is none. */
static vkdlm_status read_merge_lines(const char *text, size_t n, vkdlm_tokenizer *t, vkdlm_error *err)
{
    size_t n_lines = 1;
    uint32_t rank = 0;
    if (!utf8_valid((const unsigned char *)text, n))
        return error_set(err, VKDLM_MALFORMED, "merges.txt is not UTF-8");
    for (size_t i = 0; i < n; i++)
        n_lines += text[i] == '\n';
    vkdlm_status status = bpe_init(&t->model, n_lines, err);
    for (size_t i = 0; i < n && !status;) {
        const char *line = text + i;
        const char *end = memchr(line, '\n', n - i);
        size_t size = end ? (size_t)(end - line) : n - i;
        i += size + 1;
        if (end && size && line[size - 1] == '\r')
            size--;
        if (!is_version(line, size))
            status = tokenizer_add_merge(t, rank++, line, size, err);
        if (status)
            return error_prefix(err, status, "merges.txt");
    }
    return status;
}

vkdlm_status tokenizer_parse_gpt2(const char *vocab_json, size_t vocab_size, const char *merges,
                                  size_t merges_size, vkdlm_tokenizer **out, vkdlm_error *err)
{
    static const char end_of_text[] = "<|endoftext|>";
    json_t *root = NULL;
    *out = NULL;
    vkdlm_tokenizer *t = tokenizer_create();
    if (!t)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a tokenizer");
    vkdlm_status status = parse(vocab_json, vocab_size, &root, err);
    if (!status)
        status = read_vocab(root, t, err);
    json_decref(root);
    if (!status)
        status = read_merge_lines(merges, merges_size, t, err);
    if (status)
        goto done;
    bpe_set_bytes(&t->model, &t->vocab);
    t->decode_byte_level = true;
    status = pretokenizer_add_byte_level(&t->pretokenizer, false, true, err);
    const vocab_token *token = vocab_find(&t->vocab, end_of_text, sizeof end_of_text - 1);
    if (!status && token)
        status = tokenizer_add_token(t, end_of_text, sizeof end_of_text - 1, token->id, ADDED_SPECIAL, err);
    if (!status)
        status = tokenizer_finish(t, err);
done:
    if (status)
        vkdlm_tokenizer_close(t);
    else
        *out = t;
    return status;
}
