/* Rotary embedding on queries and keys, fused with their write (and the values') into attention's layout. */
#ifndef OPS_ROTARY_H
#define OPS_ROTARY_H

#include "gpu/gpu.h"
#include "ops/attention.h"

/* Cosines and sines of position * w_i, w_i = base^(-2i/head_dim) or what scaling makes of it, i < head_dim/2,
 * on the device. */
typedef struct rotary_table {
    gpu_buffer buffer; /* [max_length][head_dim/2] of (cos, sin), f32 rounded from double */
    uint32_t max_length, head_dim;
} rotary_table;

/* What becomes of the inverse frequencies w_i: w_i / divisors[i] / factor, or with original_length not 0
 * Llama 3's change of w = w_i / divisors[i], by their wavelength l = 2 pi / w and the length o that the
 * model was first trained on: l < o / high_freq_factor keeps w, l > o / low_freq_factor gives w / factor, and
 * between them (1 - m) w / factor + m w with m = (o / l - low_freq_factor) / (high_freq_factor -
 * low_freq_factor). All are positive and finite, low_freq_factor < high_freq_factor. */
typedef struct rotary_scaling {
    double factor, low_freq_factor, high_freq_factor;
    uint32_t original_length;
    const float *divisors; /* [head_dim / 2]; NULL: all are 1 */
} rotary_scaling;

/* Computes and uploads the table. scaling NULL: none. *out must be zeroed. Errors: OUT_OF_*, DEVICE_LOST. */
vkdlm_status rotary_table_create(gpu_device *device, uint32_t max_length, uint32_t head_dim, double base,
                                 const rotary_scaling *scaling, rotary_table *out, vkdlm_error *err);
void rotary_table_destroy(rotary_table *table);

/* Records the kernel: reads qkv, [rows, ld] as the projection wrote it (queries of all heads, keys, values,
 * each head-major), and fills the workspace for attention_record. plan and index: ops/attention_plan.h; the
 * table's head_dim is the shape's and its max_length at least the plan's. */
void rotary_record(gpu_commands *commands, const attention *op, const rotary_table *table,
                   const attention_plan *plan, gpu_view qkv, uint32_t ld, gpu_view index, gpu_view workspace);

#endif
