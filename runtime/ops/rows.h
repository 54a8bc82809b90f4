/* What the kernels that share a row among invocations have in common (shaders/lib/rows.glsl). */
#ifndef OPS_ROWS_H
#define OPS_ROWS_H

#include "gpu/gpu.h"

/* Invocations of a workgroup and how many of them share a row of ld floats. cpu_lanes: on CPU drivers, whose
 * best is measured kernel by kernel. A GPU needs the wide form to fill itself with few rows. The number never
 * depends on how many rows there are: it fixes the order of the sums. */
static inline void rows_shape(const gpu_caps *caps, uint32_t ld, uint32_t cpu_lanes, uint32_t *size,
                              uint32_t *lanes)
{
    if (caps->type == GPU_TYPE_CPU) {
        *size = 8;
        *lanes = cpu_lanes;
        return;
    }
    *size = 128;
    *lanes = 8;
    while (*lanes < *size && *lanes * 4 < ld)
        *lanes *= 2;
}

/* Texels are 2 to 4 times as fast on Mesa's CPU driver; GPUs load four floats at once either way. */
static inline bool rows_use_texels(const gpu_caps *caps)
{
    return caps->type == GPU_TYPE_CPU && caps->texel_buffers;
}

#endif
