/* Text that is written while it is generated. */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include <stdio.h>

#include <vkdlm/tokenizer.h>

typedef struct stream stream;

/* Writes to `out`; characters appear when they are complete, special tokens never. Without a tokenizer (NULL)
 * ids are written. NULL when out of memory. */
stream *stream_create(const vkdlm_tokenizer *tokenizer, FILE *out);
void stream_destroy(stream *s);

/* The text is tokens[first .. length): writes what of it is new since the last call. Errors: IO. */
vkdlm_status stream_push(stream *s, const int32_t *tokens, uint32_t first, uint32_t length, vkdlm_error *err);

/* Ends the text with a line feed; the next push begins another one. Nothing when none has begun. */
vkdlm_status stream_end(stream *s, vkdlm_error *err);

/* True between the first push and the end. */
bool stream_began(const stream *s);

#endif
