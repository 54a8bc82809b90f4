#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/tokenizer.h"

struct vkdlm_decoder {
    const vkdlm_tokenizer *tokenizer;
    bool skip_special;
    bool any;           /* a token was shown */
    text_bytes pending; /* bytes to be shown; between calls an unfinished character */
    text_bytes text;    /* what one call shows */
};

static const char replacement[] = "\xEF\xBF\xBD";

/* True when n bytes at the end of what is known must wait for more. Nothing can complete the first two
 * bytes of an encoded surrogate, but the reference decides on it only when the third is there. */
static bool must_wait(const unsigned char *s, size_t n)
{
    return utf8_is_prefix(s, n) || (n == 2 && s[0] == 0xED && s[1] >= 0xA0 && s[1] <= 0xBF);
}

/* Moves what can be shown from pending to text; false when out of memory. */
static bool show(vkdlm_decoder *d, bool last)
{
    const unsigned char *s = (const unsigned char *)d->pending.data;
    size_t n = d->pending.size;
    size_t i = 0;
    /* A byte gives at most one replacement of three. */
    if (n == 0)
        return true;
    if (n > SIZE_MAX / 4 || !text_bytes_reserve(&d->text, 3 * n))
        return false;
    while (i < n) {
        uint32_t cp;
        size_t length = utf8_decode(s + i, n - i, &cp);
        if (cp != UTF8_INVALID)
            text_bytes_append(&d->text, s + i, length);
        else if (!last && must_wait(s + i, n - i))
            break;
        else
            text_bytes_append(&d->text, replacement, 3);
        i += length;
    }
    memmove(d->pending.data, d->pending.data + i, n - i);
    d->pending.size = n - i;
    return true;
}

/* Appends a token's bytes to pending; false when out of memory. */
static bool push_token(vkdlm_decoder *d, int32_t id)
{
    const vocab *v = &d->tokenizer->vocab;
    const vocab_token *token = vocab_get(v, id);
    if (!token || (d->skip_special && token->flags & VOCAB_SPECIAL))
        return true;
    const char *string = vocab_string(v, token);
    size_t size;
    if (!text_bytes_reserve(&d->pending, token->size + 1u))
        return false;
    if (!d->tokenizer->decode_byte_level) {
        if (d->any)
            text_bytes_append(&d->pending, " ", 1);
        d->any = true;
    } else if (byte_level_read(string, token->size, d->pending.data + d->pending.size, &size)) {
        d->pending.size += size;
        return true;
    }
    return text_bytes_append(&d->pending, string, token->size);
}

static vkdlm_status out_of_memory(vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for the text of tokens");
}

vkdlm_status vkdlm_detokenize(const vkdlm_tokenizer *tokenizer, const int32_t *ids, size_t count,
                              bool skip_special, vkdlm_text *out, vkdlm_error *err)
{
    if (!out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_detokenize: out is NULL");
    *out = (vkdlm_text){0};
    if (!tokenizer || (!ids && count))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_detokenize: %s is NULL",
                         tokenizer ? "ids" : "tokenizer");
    vkdlm_decoder d = {.tokenizer = tokenizer, .skip_special = skip_special};
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++)
        ok = push_token(&d, ids[i]);
    ok = ok && show(&d, true) && text_bytes_reserve(&d.text, 1);
    text_bytes_deinit(&d.pending);
    if (!ok) {
        text_bytes_deinit(&d.text);
        return out_of_memory(err);
    }
    d.text.data[d.text.size] = 0;
    *out = (vkdlm_text){d.text.data, d.text.size};
    return VKDLM_OK;
}

vkdlm_status vkdlm_tokenizer_piece(const vkdlm_tokenizer *tokenizer, int32_t id, vkdlm_text *out,
                                   vkdlm_error *err)
{
    if (!tokenizer || !out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tokenizer_piece: %s is NULL",
                         tokenizer ? "out" : "tokenizer");
    *out = (vkdlm_text){0};
    /* Not the first of its text: words come with the space before them. */
    vkdlm_decoder d = {.tokenizer = tokenizer, .any = true};
    if (!push_token(&d, id) || !text_bytes_reserve(&d.pending, 1)) {
        text_bytes_deinit(&d.pending);
        return out_of_memory(err);
    }
    d.pending.data[d.pending.size] = 0;
    *out = (vkdlm_text){d.pending.data, d.pending.size};
    return VKDLM_OK;
}

vkdlm_status vkdlm_decoder_create(const vkdlm_tokenizer *tokenizer, bool skip_special, vkdlm_decoder **out,
                                  vkdlm_error *err)
{
    if (out)
        *out = NULL;
    if (!tokenizer || !out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_decoder_create: %s is NULL",
                         tokenizer ? "out" : "tokenizer");
    vkdlm_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return out_of_memory(err);
    d->tokenizer = tokenizer;
    d->skip_special = skip_special;
    *out = d;
    return VKDLM_OK;
}

void vkdlm_decoder_destroy(vkdlm_decoder *decoder)
{
    if (!decoder)
        return;
    text_bytes_deinit(&decoder->pending);
    text_bytes_deinit(&decoder->text);
    free(decoder);
}

/* Hands the text shown by one call to the caller. */
static vkdlm_status give_piece(vkdlm_decoder *d, bool ok, const char **piece, size_t *size, vkdlm_error *err)
{
    if (!ok || !text_bytes_reserve(&d->text, 1)) {
        *piece = "";
        *size = 0;
        return out_of_memory(err);
    }
    d->text.data[d->text.size] = 0;
    *piece = d->text.data;
    *size = d->text.size;
    return VKDLM_OK;
}

vkdlm_status vkdlm_decoder_push(vkdlm_decoder *decoder, int32_t id, const char **piece, size_t *size,
                                vkdlm_error *err)
{
    if (!decoder || !piece || !size)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_decoder_push: %s is NULL",
                         !decoder ? "decoder"
                         : !piece ? "piece"
                                  : "size");
    decoder->text.size = 0;
    return give_piece(decoder, push_token(decoder, id) && show(decoder, false), piece, size, err);
}

vkdlm_status vkdlm_decoder_flush(vkdlm_decoder *decoder, const char **piece, size_t *size, vkdlm_error *err)
{
    if (!decoder || !piece || !size)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_decoder_flush: %s is NULL",
                         !decoder ? "decoder"
                         : !piece ? "piece"
                                  : "size");
    decoder->text.size = 0;
    return give_piece(decoder, show(decoder, true), piece, size, err);
}
