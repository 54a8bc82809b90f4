#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>

#include "report.h"

struct stream {
    vkdlm_decoder *decoder; /* NULL without a tokenizer */
    FILE *out;
    uint32_t n_written; /* tokens */
    bool began;
};

stream *stream_create(const vkdlm_tokenizer *tokenizer, FILE *out)
{
    stream *s = calloc(1, sizeof *s);
    vkdlm_error err;
    if (!s)
        return NULL;
    s->out = out;
    if (tokenizer && vkdlm_decoder_create(tokenizer, true, &s->decoder, &err)) {
        free(s);
        return NULL;
    }
    return s;
}

void stream_destroy(stream *s)
{
    if (!s)
        return;
    vkdlm_decoder_destroy(s->decoder);
    free(s);
}

vkdlm_status stream_push(stream *s, const int32_t *tokens, uint32_t first, uint32_t length, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    if (!s->began)
        s->n_written = first;
    s->began = true;
    for (; s->n_written < length && !status; s->n_written++) {
        char id[16];
        const char *piece = id;
        size_t size = 0;
        if (s->decoder) {
            status = vkdlm_decoder_push(s->decoder, tokens[s->n_written], &piece, &size, err);
        } else {
            int n =
                snprintf(id, sizeof id, "%s%" PRId32, s->n_written > first ? " " : "", tokens[s->n_written]);
            size = n > 0 ? (size_t)n : 0;
        }
        if (!status)
            status = report_text_to(s->out, piece, size, err);
    }
    return status ? status : report_flush_to(s->out, err);
}

vkdlm_status stream_end(stream *s, vkdlm_error *err)
{
    const char *piece = "";
    size_t size = 0;
    if (!s->began)
        return VKDLM_OK;
    s->began = false;
    vkdlm_status status = s->decoder ? vkdlm_decoder_flush(s->decoder, &piece, &size, err) : VKDLM_OK;
    if (!status)
        status = report_text_to(s->out, piece, size, err);
    if (!status)
        status = report_text_to(s->out, "\n", 1, err);
    return status ? status : report_flush_to(s->out, err);
}

bool stream_began(const stream *s)
{
    return s->began;
}
