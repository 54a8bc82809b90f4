#include "ops/rms.h"

#include "base/error.h"
#include "ops/groups.h"
#include "ops/rows.h"
#include "shaders/params.h"

/* Lanes of a row on CPU drivers, by its length. Measured on Mesa's: with one row of 2048 columns 8 lanes take
 * 18 us and one takes 40, of which 10 are the dispatch; with many such rows they are equal. Of 256 columns
 * one row takes 12 to 17 us either way, and of many rows one lane is a third faster. SwiftShader agrees
 * (2048: 74 and 270 us). */
static uint32_t cpu_lanes(uint32_t ld)
{
    return ld >= 1024 ? 8 : 1;
}

void ops_rms(gpu_device *device, gpu_commands *commands, const rms_args *a)
{
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    const gpu_caps *caps = gpu_device_caps(device);
    uint32_t size, lanes;
    rows_shape(caps, a->ld, cpu_lanes(a->ld), &size, &lanes);
    bool has_add = a->add.buffer != NULL;
    const gpu_spec spec = {
        .n = 6,
        .value = {size, lanes, a->source.buffer != NULL, a->row_mod.buffer != NULL, a->scale_shift, has_add}};
    bool texels = rows_use_texels(caps);
    if (gpu_pipeline_get(device, texels ? GPU_KERNEL_RMS_TEXELS : GPU_KERNEL_RMS, &spec, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    /* The shader has the bindings whether they are used or not: x stands in for the absent ones. */
    const gpu_view views[] = {a->x,
                              a->y,
                              a->weight,
                              a->modulation.buffer ? a->modulation : a->x,
                              a->source.buffer ? a->source : a->x,
                              a->row_mod.buffer ? a->row_mod : a->x,
                              has_add ? a->add : a->x};
    const struct rms_params push = {
        .n_rows = a->n_rows,
        .n_columns = a->n_columns,
        .ld = a->ld,
        .mod_stride = a->mod_stride,
        .scale_offset = a->scale_offset,
        .shift_offset = a->shift_offset,
        .gate_offset = a->gate_offset,
        .eps = a->eps,
    };
    uint32_t groups_x, groups_y;
    groups_fold(device, ((uint64_t)a->n_rows + size / lanes - 1) / (size / lanes), &groups_x, &groups_y);
    gpu_dispatch(commands, pipeline, views, 7, &push, sizeof push, groups_x, groups_y, 1);
}
