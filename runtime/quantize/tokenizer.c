/* A tokenizer.json and a chat template as GGUF metadata. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/tokenizer.h>

#include "base/error.h"
#include "base/file.h"
#include "quantize.h"

#define KEY(name)          "tokenizer.ggml." name
#define MAX_TEMPLATE_BYTES (1u << 20)

enum token_type { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_UNUSED = 5 };

/* Splits into words: contractions, words with one character before them, runs of `numbers`, the rest. */
#define WORDS(numbers)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* What a name of a pre-tokenizer implies. */
static const struct pre {
    const char *name;
    const char *words; /* NULL: those of GPT-2 */
    bool nfc, ignore_merges;
} pres[] = {
    {"gpt-2", NULL, false, false},
    {"llama-bpe", WORDS("\\p{N}{1,3}"), false, true},
    {"qwen2", WORDS("\\p{N}"), true, false},
};

/* The lists of a file that is written; strings point into the document or into memory. */
typedef struct lists {
    gguf_string *tokens, *merges;
    int32_t *types;
    char **memory; /* [n_memory] */
    size_t n_memory, n_tokens, n_merges;
} lists;

static vkdlm_status unsupported(const json_scope *file, const char *what, vkdlm_error *err)
{
    return error_set(err, VKDLM_UNSUPPORTED,
                     "'%s': expected a tokenizer that the metadata of GGUF files describes, found %s",
                     file->file, what);
}

static vkdlm_status out_of_memory(const json_scope *file, vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory for a tokenizer", file->file);
}

static bool text_is(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && strcmp(value, text) == 0;
}

/* The expression of a split in front of the byte-level stage; *gpt2 when there is only that stage. NULL
 * with *gpt2 false: another chain. */
static const char *find_words(const json_t *stage, bool *gpt2)
{
    *gpt2 = false;
    if (text_is(stage, "type", "ByteLevel")) {
        *gpt2 = !json_is_true(json_object_get(stage, "add_prefix_space")) &&
                !json_is_false(json_object_get(stage, "use_regex"));
        return NULL;
    }
    const json_t *stages = json_object_get(stage, "pretokenizers");
    const json_t *split = json_array_get(stages, 0), *last = json_array_get(stages, 1);
    if (json_array_size(stages) != 2 || !text_is(split, "type", "Split") ||
        !text_is(split, "behavior", "Isolated") || json_is_true(json_object_get(split, "invert")) ||
        !text_is(last, "type", "ByteLevel") || !json_is_false(json_object_get(last, "use_regex")) ||
        json_is_true(json_object_get(last, "add_prefix_space")))
        return NULL;
    return json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
}

static vkdlm_status find_pre(const json_scope *file, const json_t *model, const struct pre **out,
                             vkdlm_error *err)
{
    bool gpt2;
    const char *words = find_words(json_object_get(file->object, "pre_tokenizer"), &gpt2);
    const json_t *normalizer = json_object_get(file->object, "normalizer");
    bool plain = !normalizer || json_is_null(normalizer), nfc = text_is(normalizer, "type", "NFC");
    bool ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        const struct pre *p = &pres[i];
        bool same_words = p->words ? words && strcmp(words, p->words) == 0 : gpt2;
        if (same_words && (p->nfc ? nfc : plain) && p->ignore_merges == ignore_merges) {
            *out = p;
            return VKDLM_OK;
        }
    }
    return unsupported(file, "a way to cut text into words that is none of gpt-2, llama-bpe, qwen2", err);
}

/* Enters a token; ids are below n_tokens and occur once, but for an added token that is in the vocabulary. */
static vkdlm_status enter(const json_scope *file, lists *to, const char *text, const json_t *id,
                          enum token_type type, vkdlm_error *err)
{
    json_int_t index = json_is_integer(id) ? json_integer_value(id) : -1;
    if (!text || index < 0 || (uint64_t)index >= to->n_tokens)
        return unsupported(file, "a token whose id the network does not have", err);
    gguf_string *token = &to->tokens[index];
    if (token->bytes && (type == TYPE_NORMAL || strcmp(token->bytes, text) != 0))
        return unsupported(file, "two tokens of one id", err);
    *token = (gguf_string){text, strlen(text)};
    to->types[index] = (int32_t)type;
    return VKDLM_OK;
}

static vkdlm_status list_tokens(const json_scope *file, const json_t *model, lists *to, vkdlm_error *err)
{
    static const char *const flags[] = {"lstrip", "rstrip", "single_word"};
    const char *text;
    json_t *id, *token;
    size_t i;
    vkdlm_status status = VKDLM_OK;
    json_object_foreach(json_object_get(model, "vocab"), text, id)
    {
        status = enter(file, to, text, id, TYPE_NORMAL, err);
        if (status)
            return status;
    }
    json_array_foreach(json_object_get(file->object, "added_tokens"), i, token)
    {
        for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
            if (json_is_true(json_object_get(token, flags[f])))
                return unsupported(file, "an added token that takes spaces or whole words", err);
        status = enter(
            file, to, json_string_value(json_object_get(token, "content")), json_object_get(token, "id"),
            json_is_true(json_object_get(token, "special")) ? TYPE_CONTROL : TYPE_USER_DEFINED, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

/* Memory for a text of up to size bytes, which lives as long as the lists; NULL without memory. */
static char *keep(lists *to, size_t size)
{
    char *text = malloc(size);
    if (text)
        to->memory[to->n_memory++] = text;
    return text;
}

/* Ids that no token has. */
static vkdlm_status pad_tokens(const json_scope *file, lists *to, vkdlm_error *err)
{
    for (size_t i = 0; i < to->n_tokens; i++) {
        if (to->tokens[i].bytes)
            continue;
        char *text = keep(to, 32);
        if (!text)
            return out_of_memory(file, err);
        to->tokens[i] = (gguf_string){text, (size_t)snprintf(text, 32, "[PAD%zu]", i)};
        to->types[i] = TYPE_UNUSED;
    }
    return VKDLM_OK;
}

/* Merges are "a b" or ["a", "b"]. */
static vkdlm_status list_merges(const json_scope *file, const json_t *merges, lists *to, vkdlm_error *err)
{
    size_t i;
    json_t *merge;
    json_array_foreach(merges, i, merge)
    {
        const char *text = json_string_value(merge);
        if (!text) {
            const char *a = json_string_value(json_array_get(merge, 0));
            const char *b = json_string_value(json_array_get(merge, 1));
            if (!a || !b)
                return unsupported(file, "a merge that is no pair of texts", err);
            size_t size = strlen(a) + strlen(b) + 2;
            char *joined = keep(to, size);
            if (!joined)
                return out_of_memory(file, err);
            snprintf(joined, size, "%s %s", a, b);
            text = joined;
        }
        to->merges[to->n_merges++] = (gguf_string){text, strlen(text)};
    }
    return VKDLM_OK;
}

/* Whether a text begins with the model's begin token; nothing else may be added. */
static vkdlm_status find_begin(const checkpoint *ck, const json_scope *file, bool *out, vkdlm_error *err)
{
    vkdlm_tokenizer *tokenizer = NULL;
    vkdlm_ids all = {0}, bare = {0};
    int64_t begin = -1;
    json_scope config = checkpoint_config(ck);
    vkdlm_status status = vkdlm_tokenizer_open(file->file, &tokenizer, err);
    if (!status)
        status = json_get_integer_or(&config, "bos_token_id", 0, INT32_MAX, -1, &begin, err);
    if (!status)
        status = vkdlm_tokenize(tokenizer, "a", 1, VKDLM_TOKENIZE_DEFAULT, &all, err);
    if (!status)
        status = vkdlm_tokenize(tokenizer, "a", 1, VKDLM_TOKENIZE_NO_SPECIAL, &bare, err);
    if (!status) {
        size_t n = all.count - bare.count;
        *out = n == 1;
        if (n > 1 || (n == 1 && all.ids[0] != begin) ||
            memcmp(all.ids + n, bare.ids, bare.count * sizeof *bare.ids) != 0)
            status = unsupported(file, "one that adds more than the model's bos_token_id", err);
    }
    vkdlm_ids_free(&all);
    vkdlm_ids_free(&bare);
    vkdlm_tokenizer_close(tokenizer);
    return status;
}

/* The text of `chat_template`: a string, or the one named "default" of a list. */
static const char *template_of(const json_t *config)
{
    const json_t *value = json_object_get(config, "chat_template");
    size_t i;
    json_t *entry;
    if (json_is_string(value))
        return json_string_value(value);
    json_array_foreach(value, i, entry)
    {
        if (text_is(entry, "name", "default"))
            return json_string_value(json_object_get(entry, "template"));
    }
    return NULL;
}

static vkdlm_status put_template(const checkpoint *ck, gguf_writer *w, vkdlm_error *err)
{
    char *jinja = file_join(ck->directory, "chat_template.jinja"), *text = NULL;
    char *config_path = file_join(ck->directory, "tokenizer_config.json");
    json_t *config = NULL;
    size_t size;
    vkdlm_status status = VKDLM_OK;
    if (!jinja || !config_path) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", ck->directory);
    } else if (file_probe(jinja) != FILE_MISSING) {
        status = file_read(jinja, MAX_TEMPLATE_BYTES, &text, &size, err);
        if (!status)
            gguf_writer_put_string(w, "tokenizer.chat_template", text);
    } else if (file_probe(config_path) != FILE_MISSING) {
        status = json_open(config_path, &config, err);
        if (!status && template_of(config))
            gguf_writer_put_string(w, "tokenizer.chat_template", template_of(config));
    }
    json_decref(config);
    free(text);
    free(jinja);
    free(config_path);
    return status;
}

static vkdlm_status fill(const json_scope *file, const json_t *model, lists *to, vkdlm_error *err)
{
    const json_t *merges = json_object_get(model, "merges");
    to->tokens = calloc(to->n_tokens + 1, sizeof *to->tokens);
    to->types = calloc(to->n_tokens + 1, sizeof *to->types);
    to->merges = calloc(json_array_size(merges) + 1, sizeof *to->merges);
    to->memory = calloc(to->n_tokens + json_array_size(merges) + 1, sizeof *to->memory);
    if (!to->tokens || !to->types || !to->merges || !to->memory)
        return out_of_memory(file, err);
    vkdlm_status status = list_tokens(file, model, to, err);
    if (!status)
        status = pad_tokens(file, to, err);
    return status ? status : list_merges(file, merges, to, err);
}

static void lists_deinit(lists *l)
{
    for (size_t i = 0; i < l->n_memory; i++)
        free(l->memory[i]);
    free(l->memory);
    free(l->tokens);
    free(l->types);
    free(l->merges);
}

vkdlm_status quantize_put_tokenizer(const checkpoint *ck, uint64_t n_ids, gguf_writer *w, vkdlm_error *err)
{
    const struct pre *pre = NULL;
    lists l = {.n_tokens = (size_t)n_ids};
    bool begins = false;
    json_t *root = NULL;
    if (!ck->tokenizer_path || !file_has_suffix(ck->tokenizer_path, "tokenizer.json"))
        return error_set(err, VKDLM_UNSUPPORTED, "'%s': expected a tokenizer.json, found %s", ck->directory,
                         ck->tokenizer_path ? "another tokenizer" : "none");
    vkdlm_status status = json_open(ck->tokenizer_path, &root, err);
    json_scope file = {.object = root, .file = ck->tokenizer_path};
    const json_t *model = json_object_get(root, "model");
    if (!status)
        status = find_begin(ck, &file, &begins, err);
    if (!status)
        status = find_pre(&file, model, &pre, err);
    if (!status)
        status = fill(&file, model, &l, err);
    if (!status)
        status = put_template(ck, w, err);
    if (!status) {
        gguf_writer_put_string(w, KEY("model"), "gpt2");
        gguf_writer_put_string(w, KEY("pre"), pre->name);
        gguf_writer_put_strings(w, KEY("tokens"), l.tokens, l.n_tokens);
        gguf_writer_put_array(w, KEY("token_type"), GGUF_I32, l.types, l.n_tokens);
        gguf_writer_put_strings(w, KEY("merges"), l.merges, l.n_merges);
        gguf_writer_put_bool(w, KEY("add_bos_token"), begins);
    }
    lists_deinit(&l);
    json_decref(root);
    return status;
}
