/* LayerNorm and modulation in one pass (shaders/norm.comp). */
#ifndef OPS_NORM_H
#define OPS_NORM_H

#include "gpu/gpu.h"

#define NORM_EPS 1e-5f

/* One normalisation of n_rows rows of n_columns floats:
 *   y[r] = LN(x[s]) * weight * (1 + scale[m]) + shift[m],  s = source[r] or r,  m = row_seq[r] or 0. */
typedef struct norm_args {
    gpu_view x;      /* f32, rows of ld floats */
    gpu_view y;      /* f32, rows of ld floats; must not overlap x unless it is x and source is absent */
    gpu_view weight; /* f32 [ld] */
    uint32_t n_rows, n_columns, ld; /* ld: a multiple of 32; the pad of every row of y becomes 0 */

    gpu_view modulation; /* f32, rows of mod_stride floats */
    uint32_t mod_stride, scale_offset,
        shift_offset; /* floats, multiples of 4; within a row: ld floats each */

    gpu_view source;  /* u32 [n_rows]: the row of x for each row of y; buffer NULL: the same row */
    gpu_view row_seq; /* u32 [n_rows]: the modulation row for each row of y; buffer NULL: row 0 */
} norm_args;

/* Records it; eps is NORM_EPS. A row's result depends on nothing but its inputs and n_columns. A failure is
 * remembered by the commands. */
void ops_norm(gpu_device *device, gpu_commands *commands, const norm_args *args);

#endif
