#include "pieces.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#define REPLACEMENT "\xef\xbf\xbd"

struct pieces {
    vkdlm_decoder *decoder; /* of a tokenizer; NULL otherwise */
    const vkdlm_trajectory *trajectory;
    char *text; /* what the last call gave */
    size_t size, capacity;
    unsigned char pending[4]; /* an unfinished character */
    size_t n_pending;
};

pieces *pieces_create(const vkdlm_tokenizer *tokenizer, const vkdlm_trajectory *trajectory)
{
    pieces *p = calloc(1, sizeof *p);
    vkdlm_error err;
    if (!p)
        return NULL;
    p->trajectory = trajectory;
    if (tokenizer && vkdlm_decoder_create(tokenizer, false, &p->decoder, &err)) {
        free(p);
        return NULL;
    }
    return p;
}

void pieces_destroy(pieces *p)
{
    if (!p)
        return;
    vkdlm_decoder_destroy(p->decoder);
    free(p->text);
    free(p);
}

bool pieces_known(const pieces *p)
{
    return p->decoder || p->trajectory;
}

/* Text that does not fit the memory is left out. */
static void append(pieces *p, const void *bytes, size_t n)
{
    if (n > p->capacity - p->size) {
        size_t capacity = 2 * (p->size + n) + 64;
        char *text = realloc(p->text, capacity);
        if (!text)
            return;
        p->text = text;
        p->capacity = capacity;
    }
    memcpy(p->text + p->size, bytes, n);
    p->size += n;
}

/* Bytes of the character that begins with `lead`; 1 for what begins none. */
static size_t length_of(unsigned char lead)
{
    return lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
}

/* Takes one byte of text. */
static void take(pieces *p, unsigned char byte)
{
    if (p->n_pending && (byte & 0xc0) != 0x80) {
        append(p, REPLACEMENT, strlen(REPLACEMENT));
        p->n_pending = 0;
    }
    p->pending[p->n_pending++] = byte;
    if (p->n_pending < length_of(p->pending[0]))
        return;
    utf8proc_int32_t cp;
    bool valid =
        utf8proc_iterate(p->pending, (utf8proc_ssize_t)p->n_pending, &cp) == (utf8proc_ssize_t)p->n_pending;
    if (valid)
        append(p, p->pending, p->n_pending);
    else
        append(p, REPLACEMENT, strlen(REPLACEMENT));
    p->n_pending = 0;
}

static void give(pieces *p, const char **text, size_t *size)
{
    *text = p->text ? p->text : "";
    *size = p->size;
}

void pieces_push(pieces *p, int32_t id, const char **text, size_t *size)
{
    vkdlm_error err;
    *text = "";
    *size = 0;
    p->size = 0;
    if (p->decoder && vkdlm_decoder_push(p->decoder, id, text, size, &err))
        *size = 0;
    if (p->decoder || !p->trajectory)
        return;
    size_t n;
    const char *piece = vkdlm_trajectory_piece(p->trajectory, id, &n);
    char unknown[16];
    if (!piece) {
        int written = snprintf(unknown, sizeof unknown, "<%" PRId32 ">", id);
        piece = unknown;
        n = written > 0 ? (size_t)written : 0;
    }
    for (size_t i = 0; i < n; i++)
        take(p, (unsigned char)piece[i]);
    give(p, text, size);
}

void pieces_flush(pieces *p, const char **text, size_t *size)
{
    vkdlm_error err;
    *text = "";
    *size = 0;
    p->size = 0;
    if (p->decoder && vkdlm_decoder_flush(p->decoder, text, size, &err))
        *size = 0;
    if (p->decoder)
        return;
    if (p->n_pending)
        append(p, REPLACEMENT, strlen(REPLACEMENT));
    p->n_pending = 0;
    give(p, text, size);
}

char *pieces_one(pieces *p, int32_t id, size_t *size)
{
    const char *first, *rest;
    size_t n_first, n_rest;
    pieces_push(p, id, &first, &n_first);
    char *text = malloc(n_first + 64);
    if (!text)
        return NULL;
    memcpy(text, first, n_first);
    pieces_flush(p, &rest, &n_rest);
    /* An unfinished character: one replacement for each of its few bytes at most. */
    n_rest = n_rest < 63 ? n_rest : 63;
    memcpy(text + n_first, rest, n_rest);
    *size = n_first + n_rest;
    text[*size] = 0;
    return text;
}
