/* Text of a canvas on which masks may be left. */
#ifndef CLI_DECODE_H
#define CLI_DECODE_H

#include <vkdlm/tokenizer.h>

#define DECODE_MASK "[MASK]"

/* Valid UTF-8 for n ids, special tokens included, DECODE_MASK where an id is mask_id. *out is freed with
 * free(): size bytes and a NUL. */
vkdlm_status decode_canvas(const vkdlm_tokenizer *tokenizer, const int32_t *ids, size_t n, int32_t mask_id,
                           char **out, size_t *size, vkdlm_error *err);

#endif
