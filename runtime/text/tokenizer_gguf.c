#include "text/tokenizer_gguf.h"

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"

#define KEY(name) "tokenizer.ggml." name

/* Contractions, words with one character before them, runs of `numbers`, other signs, lines, spaces. */
#define WORDS(numbers)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct pre {
    const char *name;
    const char *words; /* NULL: those of GPT-2 */
    size_t size;
    bool nfc, ignore_merges, add_begin;
} pres[] = {
    {"gpt-2", NULL, 0, false, false, false},
    {"llama-bpe", WORDS("\\p{N}{1,3}"), sizeof WORDS("\\p{N}{1,3}") - 1, false, true, true},
    {"qwen2", WORDS("\\p{N}"), sizeof WORDS("\\p{N}") - 1, true, false, false},
};

/* Types of tokens. All others are ordinary entries of the vocabulary. */
enum token_type { TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_UNUSED = 5 };

/* The lists of a file. */
typedef struct lists {
    const gguf_value *tokens, *merges;
    const gguf_value *types; /* NULL: all ordinary */
} lists;

static vkdlm_status out_of_memory(const gguf *file, vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory for a tokenizer", file->path);
}

/* Puts the file's name before a message that lacks it. */
static vkdlm_status in_file(const gguf *file, vkdlm_status status, const vkdlm_error *inner, vkdlm_error *err)
{
    return status ? error_set(err, status, "'%s': %s", file->path, inner->message) : VKDLM_OK;
}

static vkdlm_status find_pre(const gguf *file, const struct pre **out, vkdlm_error *err)
{
    gguf_string model, name;
    vkdlm_status status = gguf_get_string(file, KEY("model"), &model, err);
    if (!status && !gguf_string_is(model, "gpt2"))
        status = error_set(err, VKDLM_UNSUPPORTED,
                           "'%s': " KEY("model") ": expected \"gpt2\" (byte-level BPE), found \"%.*s\"",
                           file->path, (int)(model.size < 64 ? model.size : 64), model.bytes);
    if (!status)
        status = gguf_get_string(file, KEY("pre"), &name, err);
    if (status)
        return status;
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (gguf_string_is(name, pres[i].name)) {
            *out = &pres[i];
            return VKDLM_OK;
        }
    return error_set(err, VKDLM_UNSUPPORTED,
                     "'%s': " KEY("pre") ": expected \"gpt-2\", \"llama-bpe\" or \"qwen2\", found \"%.*s\"",
                     file->path, (int)(name.size < 64 ? name.size : 64), name.bytes);
}

static vkdlm_status find_lists(const gguf *file, lists *out, vkdlm_error *err)
{
    *out = (lists){0};
    vkdlm_status status = gguf_get_array(file, KEY("tokens"), GGUF_STRING, &out->tokens, err);
    if (!status)
        status = gguf_get_array(file, KEY("merges"), GGUF_STRING, &out->merges, err);
    if (!status && gguf_find(file, KEY("token_type")))
        status = gguf_get_array(file, KEY("token_type"), GGUF_I32, &out->types, err);
    if (!status && out->types && out->types->count != out->tokens->count)
        status = gguf_refuse(file, KEY("token_type"), "one type for each token", err);
    return status;
}

static bool is_added(int32_t type)
{
    return type == TYPE_CONTROL || type == TYPE_USER_DEFINED;
}

/* Enters the ordinary tokens, or (`added`) those that are cut out of the text. */
static vkdlm_status add_tokens(const lists *from, bool added, vkdlm_tokenizer *t, vkdlm_error *err)
{
    const unsigned char *cursor = from->tokens->data;
    vkdlm_status status = VKDLM_OK;
    for (uint64_t id = 0; id < from->tokens->count && !status; id++) {
        gguf_string token = gguf_next_string(&cursor);
        int32_t type = from->types ? gguf_i32_at(from->types, id) : 0;
        bool special = type == TYPE_CONTROL;
        if (type == TYPE_UNUSED || is_added(type) != added)
            continue;
        if (!utf8_valid((const unsigned char *)token.bytes, token.size) || (added && token.size == 0))
            return error_set(err, VKDLM_MALFORMED, "expected UTF-8 as token %llu, found %s",
                             (unsigned long long)id, token.size ? "other bytes" : "nothing");
        uint32_t kind = !added ? VOCAB_MODEL : special ? VOCAB_ADDED | VOCAB_SPECIAL : VOCAB_ADDED;
        status = vocab_add(&t->vocab, token.bytes, token.size, (int64_t)id, kind, err);
        if (!status && added)
            status = added_tokens_add(&t->added, token.bytes, token.size, (int32_t)id,
                                      special ? ADDED_SPECIAL : 0, &t->normalizer, err);
    }
    return status;
}

static vkdlm_status add_merges(const gguf_value *merges, vkdlm_tokenizer *t, vkdlm_error *err)
{
    const unsigned char *cursor = merges->data;
    vkdlm_status status = bpe_init(&t->model, (size_t)merges->count, err);
    for (uint64_t i = 0; i < merges->count && !status; i++) {
        gguf_string merge = gguf_next_string(&cursor);
        status = tokenizer_add_merge(t, (uint32_t)i, merge.bytes, merge.size, err);
    }
    return status;
}

static vkdlm_status add_stages(const struct pre *pre, vkdlm_tokenizer *t, vkdlm_error *err)
{
    vkdlm_status status = pre->nfc ? normalizer_add(&t->normalizer, NORMAL_FORM_C, err) : VKDLM_OK;
    if (!status && pre->words)
        status = pretokenizer_add_split(&t->pretokenizer, pre->words, pre->size, false, SPLIT_ISOLATED, false,
                                        err);
    return status ? status : pretokenizer_add_byte_level(&t->pretokenizer, false, !pre->words, err);
}

/* Everything whose errors do not name the file. */
static vkdlm_status fill(const lists *from, const struct pre *pre, vkdlm_tokenizer *t, vkdlm_error *err)
{
    vkdlm_status status = add_tokens(from, false, t, err);
    if (status)
        return status;
    t->n_model_tokens = t->vocab.n_tokens;
    status = add_merges(from->merges, t, err);
    if (status)
        return status;
    bpe_set_bytes(&t->model, &t->vocab);
    t->model.ignore_merges = pre->ignore_merges;
    t->decode_byte_level = true;
    status = add_stages(pre, t, err);
    if (!status)
        status = add_tokens(from, true, t, err);
    return status ? status : tokenizer_finish(t, err);
}

/* Puts the token of `key` into the template when `flag` (or its default) says so. */
static vkdlm_status add_to_template(const gguf *file, const char *flag, bool otherwise, const char *key,
                                    vkdlm_tokenizer *t, vkdlm_error *err)
{
    bool wanted;
    int64_t id, last = (int64_t)vkdlm_tokenizer_vocab_size(t) - 1;
    vkdlm_status status = gguf_get_bool_or(file, flag, otherwise, &wanted, err);
    if (status || !wanted)
        return status;
    status = gguf_get_integer(file, key, 0, last, &id, err);
    if (status)
        return status;
    return text_ids_push(&t->template_ids, (int32_t)id) ? VKDLM_OK : out_of_memory(file, err);
}

static vkdlm_status make_template(const gguf *file, const struct pre *pre, vkdlm_tokenizer *t,
                                  vkdlm_error *err)
{
    t->template_ids.count = 0;
    vkdlm_status status =
        add_to_template(file, KEY("add_bos_token"), pre->add_begin, KEY("bos_token_id"), t, err);
    if (!status && !text_ids_push(&t->template_ids, TEMPLATE_TEXT))
        status = out_of_memory(file, err);
    return status ? status : add_to_template(file, KEY("add_eos_token"), false, KEY("eos_token_id"), t, err);
}

vkdlm_status tokenizer_from_gguf(const gguf *file, vkdlm_tokenizer **out, vkdlm_error *err)
{
    const struct pre *pre = NULL;
    lists from;
    vkdlm_error inner;
    *out = NULL;
    vkdlm_status status = find_pre(file, &pre, err);
    if (!status)
        status = find_lists(file, &from, err);
    if (status)
        return status;
    vkdlm_tokenizer *t = tokenizer_create();
    if (!t)
        return out_of_memory(file, err);
    status = in_file(file, fill(&from, pre, t, &inner), &inner, err);
    if (!status)
        status = make_template(file, pre, t, err);
    if (status)
        vkdlm_tokenizer_close(t);
    else
        *out = t;
    return status;
}

vkdlm_status tokenizer_open_gguf(const char *path, vkdlm_tokenizer **out, vkdlm_error *err)
{
    file_map map;
    gguf file;
    *out = NULL;
    vkdlm_status status = file_map_open(path, &map, err);
    if (status)
        return status;
    status = gguf_parse(map.data, map.size, path, &file, err);
    if (!status)
        status = tokenizer_from_gguf(&file, out, err);
    gguf_deinit(&file);
    file_map_close(&map);
    return status;
}
