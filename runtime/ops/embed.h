/* Embedding gather (shaders/embed.comp). */
#ifndef OPS_EMBED_H
#define OPS_EMBED_H

#include <vkdlm/tensors.h>

#include "gpu/gpu.h"
#include "ops/weight.h"

/* A table [n_rows, n_columns] on the device. It may be larger than one storage range. It is row-major and
 * dense as in the file, of type F32, F16 or BF16, offset_bytes (a multiple of 4) into the buffer, or it is
 * the weight of a linear layer, of any type, whose outputs are its rows: the head of a model that ties both.
 */
typedef struct embed_table {
    const gpu_buffer *buffer;
    uint64_t offset_bytes;
    vkdlm_dtype dtype;
    uint32_t n_rows, n_columns;
    const weight *tied; /* NULL: row-major */
} embed_table;

/* The table that a linear layer's weight is; it must outlive the table. */
embed_table embed_table_of(const weight *w);

/* Records x[r, c] = table[token_base + tokens[r], c], r < n_tokens, c < n_columns, and x[r, c] = 0 for
 * n_columns <= c < ld. tokens: one 32-bit id every token_stride words, all within the table (the rows of
 * others keep what they held). x: f32, rows of ld floats (a multiple of 32). Values of all types are widened
 * exactly. A failure is remembered by the commands. */
void ops_embed(gpu_device *device, gpu_commands *commands, const embed_table *table, gpu_view tokens,
               uint32_t token_stride, uint32_t token_base, uint32_t n_tokens, gpu_view x, uint32_t ld);

#endif
