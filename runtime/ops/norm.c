#include "ops/norm.h"

#include "base/error.h"
#include "ops/groups.h"
#include "ops/rows.h"
#include "shaders/params.h"

/* Lanes of a row on CPU drivers. Measured on Mesa's and SwiftShader's (1024 x 768): a row per invocation
 * is 1.5 to 2 times as fast as a row per subgroup and 5 times as fast as a row per 128 invocations. */
#define CPU_LANES 1u

void ops_norm(gpu_device *device, gpu_commands *commands, const norm_args *a)
{
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    const gpu_caps *caps = gpu_device_caps(device);
    uint32_t size, lanes;
    rows_shape(caps, a->ld, CPU_LANES, &size, &lanes);
    const gpu_spec spec = {.n = 4,
                           .value = {size, lanes, a->source.buffer != NULL, a->row_seq.buffer != NULL}};
    bool texels = rows_use_texels(caps);
    if (gpu_pipeline_get(device, texels ? GPU_KERNEL_NORM_TEXELS : GPU_KERNEL_NORM, &spec, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    /* The shader has the bindings whether they are used or not: x stands in for the absent ones. */
    const gpu_view views[] = {a->x,
                              a->y,
                              a->weight,
                              a->modulation,
                              a->source.buffer ? a->source : a->x,
                              a->row_seq.buffer ? a->row_seq : a->x};
    const struct norm_params push = {
        .n_rows = a->n_rows,
        .n_columns = a->n_columns,
        .ld = a->ld,
        .mod_stride = a->mod_stride,
        .scale_offset = a->scale_offset,
        .shift_offset = a->shift_offset,
        .eps = NORM_EPS,
    };
    uint32_t groups_x, groups_y;
    groups_fold(device, (a->n_rows + size / lanes - 1) / (size / lanes), &groups_x, &groups_y);
    gpu_dispatch(commands, pipeline, views, 6, &push, sizeof push, groups_x, groups_y, 1);
}
