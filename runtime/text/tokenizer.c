#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "text/word_cache.h"

/* Largest text of one call, so that no word is longer than BPE can take even when normalization makes it
 * a few times longer. */
#define MAX_TEXT_BYTES ((size_t)BPE_MAX_WORD / 16)

vkdlm_tokenizer *tokenizer_create(void)
{
    vkdlm_tokenizer *t = calloc(1, sizeof *t);
    if (t && !text_ids_push(&t->template_ids, TEMPLATE_TEXT)) {
        vkdlm_tokenizer_close(t);
        return NULL;
    }
    return t;
}

void vkdlm_tokenizer_close(vkdlm_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    text_ids_deinit(&tokenizer->template_ids);
    pretokenizer_deinit(&tokenizer->pretokenizer);
    added_tokens_deinit(&tokenizer->added);
    bpe_deinit(&tokenizer->model);
    vocab_deinit(&tokenizer->vocab);
    free(tokenizer);
}

vkdlm_status tokenizer_add_token(vkdlm_tokenizer *t, const char *string, size_t n, int64_t declared_id,
                                 uint32_t flags, vkdlm_error *err)
{
    int shown = (int)(n < 64 ? n : 64);
    if (n == 0)
        return error_set(err, VKDLM_MALFORMED, "the added token with id %lld is empty",
                         (long long)declared_id);
    uint32_t kind = flags & ADDED_SPECIAL ? VOCAB_ADDED | VOCAB_SPECIAL : VOCAB_ADDED;
    vocab_token *known = vocab_find(&t->vocab, string, n);
    if (known) {
        if (known->flags & VOCAB_ADDED)
            return error_set(err, VKDLM_MALFORMED, "the added token '%.*s' appears twice", shown, string);
        if (declared_id != known->id)
            return error_set(err, VKDLM_MALFORMED, "the added token '%.*s' has id %lld, %d in the vocabulary",
                             shown, string, (long long)declared_id, known->id);
        known->flags |= kind;
    } else {
        int64_t next = t->n_model_tokens > t->next_added_id ? t->n_model_tokens : t->next_added_id;
        if (declared_id != next)
            return error_set(err, VKDLM_MALFORMED,
                             "the added token '%.*s' has id %lld, expected the next one, %lld", shown, string,
                             (long long)declared_id, (long long)next);
        vkdlm_status status = vocab_add(&t->vocab, string, n, declared_id, kind, err);
        if (status)
            return status;
    }
    if (declared_id >= t->next_added_id)
        t->next_added_id = declared_id + 1;
    return added_tokens_add(&t->added, string, n, (int32_t)declared_id, flags, &t->normalizer, err);
}

vkdlm_status tokenizer_add_merge(vkdlm_tokenizer *t, uint32_t rank, const char *s, size_t n, vkdlm_error *err)
{
    const char *space = memchr(s, ' ', n);
    if (!space || memchr(space + 1, ' ', n - (size_t)(space + 1 - s)))
        return error_set(err, VKDLM_MALFORMED,
                         "merge %u: expected two tokens with a space between them, found '%.*s'", rank,
                         (int)(n < 64 ? n : 64), s);
    size_t left_size = (size_t)(space - s);
    return bpe_add_merge(&t->model, &t->vocab, rank, s, left_size, space + 1, n - left_size - 1, err);
}

vkdlm_status tokenizer_finish(vkdlm_tokenizer *t, vkdlm_error *err)
{
    added_tokens_sort(&t->added);
    if (!t->pretokenizer.byte_level)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "pre_tokenizer: only byte-level BPE is supported, expected ByteLevel");
    return VKDLM_OK;
}

uint32_t vkdlm_tokenizer_vocab_size(const vkdlm_tokenizer *tokenizer)
{
    return tokenizer ? tokenizer->vocab.n_ids : 0;
}

int32_t vkdlm_tokenizer_find(const vkdlm_tokenizer *tokenizer, const char *content)
{
    const vocab_token *token =
        tokenizer && content ? vocab_find(&tokenizer->vocab, content, strlen(content)) : NULL;
    return token ? token->id : -1;
}

bool vkdlm_tokenizer_is_special(const vkdlm_tokenizer *tokenizer, int32_t id)
{
    const vocab_token *token = tokenizer ? vocab_get(&tokenizer->vocab, id) : NULL;
    return token && token->flags & VOCAB_SPECIAL;
}

/* What one call of vkdlm_tokenize works with. */
typedef struct encoding {
    const vkdlm_tokenizer *t;
    bool plain;
    bpe_scratch scratch;
    word_cache cache;
    pretokenizer_run run;
    text_bytes normalized;
    text_ids ids;
} encoding;

static vkdlm_status out_of_memory(vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for tokens");
}

static vkdlm_status encode_word(void *user, const char *word, size_t n, vkdlm_error *err)
{
    encoding *e = user;
    bool found;
    if (!word_cache_find(&e->cache, word, n, &e->ids, &found))
        return out_of_memory(err);
    if (found)
        return VKDLM_OK;
    size_t before = e->ids.count;
    if (!bpe_encode(&e->t->model, &e->t->vocab, &e->scratch, word, n, &e->ids))
        return out_of_memory(err);
    word_cache_store(&e->cache, word, n, e->ids.data + before, e->ids.count - before);
    return VKDLM_OK;
}

/* A part of normalized text between added tokens, or one of them. */
static vkdlm_status encode_normalized(void *user, int32_t id, const char *text, size_t n, vkdlm_error *err)
{
    encoding *e = user;
    if (id >= 0)
        return text_ids_push(&e->ids, id) ? VKDLM_OK : out_of_memory(err);
    return pretokenizer_split(&e->run, text, n);
}

/* A part of raw text between added tokens, or one of them. */
static vkdlm_status encode_raw(void *user, int32_t id, const char *text, size_t n, vkdlm_error *err)
{
    encoding *e = user;
    if (id >= 0)
        return text_ids_push(&e->ids, id) ? VKDLM_OK : out_of_memory(err);
    vkdlm_status status = normalizer_run(&e->t->normalizer, text, n, &e->normalized, &text, &n, err);
    if (status)
        return status;
    return added_set_split(&e->t->added.normalized, text, n, e->plain, encode_normalized, e, err);
}

/* Copies text to out with one U+FFFD for each maximal ill-formed subpart. */
static bool repair(const char *text, size_t size, text_bytes *out)
{
    for (size_t i = 0; i < size;) {
        uint32_t cp;
        size_t length = utf8_decode((const unsigned char *)text + i, size - i, &cp);
        bool ok = cp == UTF8_INVALID ? text_bytes_append(out, "\xEF\xBF\xBD", 3)
                                     : text_bytes_append(out, text + i, length);
        if (!ok)
            return false;
        i += length;
    }
    return true;
}

/* Puts the ids of the text where the template has them. */
static bool apply_template(const text_ids *template_ids, bool add_special, text_ids *ids)
{
    text_ids result = {0};
    bool ok = true;
    if (template_ids->count == 1 && template_ids->data[0] == TEMPLATE_TEXT)
        return true;
    for (size_t i = 0; i < template_ids->count && ok; i++) {
        if (template_ids->data[i] == TEMPLATE_TEXT)
            ok = text_ids_append(&result, ids->data, ids->count);
        else if (add_special)
            ok = text_ids_push(&result, template_ids->data[i]);
    }
    text_ids_deinit(ids);
    *ids = result;
    return ok;
}

static vkdlm_status check_arguments(const vkdlm_tokenizer *t, const char *text, size_t size, uint32_t flags,
                                    vkdlm_error *err)
{
    if (!t || (!text && size))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tokenize: %s is NULL", t ? "text" : "tokenizer");
    if (flags & ~(uint32_t)(VKDLM_TOKENIZE_NO_SPECIAL | VKDLM_TOKENIZE_PLAIN))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tokenize: unknown flags 0x%x", flags);
    if (size > MAX_TEXT_BYTES)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tokenize: a text of %zu bytes, at most %zu",
                         size, MAX_TEXT_BYTES);
    return VKDLM_OK;
}

vkdlm_status vkdlm_tokenize(const vkdlm_tokenizer *tokenizer, const char *text, size_t size, uint32_t flags,
                            vkdlm_ids *out, vkdlm_error *err)
{
    if (!out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tokenize: out is NULL");
    *out = (vkdlm_ids){0};
    vkdlm_status status = check_arguments(tokenizer, text, size, flags, err);
    if (status)
        return status;
    encoding e = {.t = tokenizer, .plain = flags & VKDLM_TOKENIZE_PLAIN};
    e.run = (pretokenizer_run){.p = &tokenizer->pretokenizer,
                               .match = regex_match_create(),
                               .word = encode_word,
                               .user = &e,
                               .err = err};
    text_bytes repaired = {0};
    if (!e.run.match) {
        status = out_of_memory(err);
        goto done;
    }
    if (!utf8_valid((const unsigned char *)text, size)) {
        if (!repair(text, size, &repaired)) {
            status = out_of_memory(err);
            goto done;
        }
        text = repaired.data;
        size = repaired.size;
    }
    word_cache_init(&e.cache, size);
    status = added_set_split(&tokenizer->added.raw, text, size, e.plain, encode_raw, &e, err);
    if (!status && !apply_template(&tokenizer->template_ids, flags == VKDLM_TOKENIZE_DEFAULT, &e.ids))
        status = out_of_memory(err);
    if (!status) {
        *out = (vkdlm_ids){e.ids.data, e.ids.count};
        e.ids = (text_ids){0};
    }
done:
    text_bytes_deinit(&repaired);
    text_ids_deinit(&e.ids);
    text_bytes_deinit(&e.normalized);
    text_bytes_deinit(&e.run.prefixed);
    regex_match_destroy(e.run.match);
    word_cache_deinit(&e.cache);
    bpe_scratch_deinit(&e.scratch);
    return status;
}

void vkdlm_ids_free(vkdlm_ids *ids)
{
    if (!ids)
        return;
    free(ids->ids);
    *ids = (vkdlm_ids){0};
}

void vkdlm_text_free(vkdlm_text *text)
{
    if (!text)
        return;
    free(text->bytes);
    *text = (vkdlm_text){0};
}
