/* RMSNorm, modulated or not, in one pass (shaders/rms.comp). */
#ifndef OPS_RMS_H
#define OPS_RMS_H

#include "gpu/gpu.h"

/* One normalisation of n_rows rows of n_columns floats, s = source[r] or r, m = row_mod[r] or 0:
 *   z    = x[s], or with `add`: x[s] + gate[m] * add[r]
 *   y[r] = z / sqrt(mean(z^2) + eps) * weight, or with a modulation: (weight + scale[m]), + shift[m].
 * Modulation rows hold scale, shift and gate at their offsets. */
typedef struct rms_args {
    gpu_view x;      /* f32, rows of ld floats */
    gpu_view y;      /* f32, rows of ld floats; must not overlap x unless it is x and source is absent */
    gpu_view weight; /* f32 [ld] */
    uint32_t n_rows, n_columns, ld; /* ld: a multiple of 32; the pad of every row of y becomes 0 */
    float eps;

    gpu_view source;  /* u32 [n_rows]; buffer NULL: the same row */
    gpu_view row_mod; /* u32 [n_rows]; buffer NULL: modulation row 0 */

    gpu_view modulation; /* f32, rows of mod_stride floats; buffer NULL: no modulation and no `add` */
    uint32_t mod_stride; /* floats, a multiple of 4, as are the offsets; each part has ld floats */
    bool scale_shift;    /* scale and shift are used */
    uint32_t scale_offset, shift_offset, gate_offset;
    gpu_view add; /* f32, rows of ld floats; buffer NULL: none */
} rms_args;

/* Records it. A row's result depends on nothing but its inputs and n_columns. With gate 0 the result is
 * that without `add`, bit for bit. A failure is remembered by the commands. */
void ops_rms(gpu_device *device, gpu_commands *commands, const rms_args *args);

#endif
