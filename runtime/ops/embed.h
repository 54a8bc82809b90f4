/* Embedding gather (shaders/embed.comp). */
#ifndef OPS_EMBED_H
#define OPS_EMBED_H

#include <vkdlm/tensors.h>

#include "gpu/gpu.h"

/* A table [n_rows, n_columns] on the device, row-major and dense as in the file, of type F32, F16 or BF16. It
 * may be larger than one storage range. offset_bytes is a multiple of 4. */
typedef struct embed_table {
    const gpu_buffer *buffer;
    uint64_t offset_bytes;
    vkdlm_dtype dtype;
    uint32_t n_rows, n_columns;
} embed_table;

/* Records x[r, c] = table[tokens[r], c], r < n_tokens, c < n_columns, and x[r, c] = 0 for n_columns <= c <
 * ld. tokens: one 32-bit id every token_stride words, all below n_rows (the rows of others keep what they
 * held). x: f32, rows of ld floats (a multiple of 32). 16-bit values are widened exactly. A failure is
 * remembered by the commands. */
void ops_embed(gpu_device *device, gpu_commands *commands, const embed_table *table, gpu_view tokens,
               uint32_t token_stride, uint32_t n_tokens, gpu_view x, uint32_t ld);

#endif
