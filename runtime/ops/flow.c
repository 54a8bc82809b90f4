#include "ops/flow.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "ops/groups.h"
#include "ops/rows.h"
#include "shaders/params.h"

/* Slopes of one kind lie behind one another in rows rounded up to so many (flow.h). */
enum { ROW_STEP = 64 };

/* Lanes of a row on CPU drivers. Measured on Mesa's CPU driver
 * with rows of 256: one state takes 25 us with 4 lanes and 43 with one, eight take 66 and 54; of the
 * vocabulary 1024 tokens take 0.7 and 1.6 ms. */
#define CPU_LANES 4u

/* ---- a velocity and a step ------------------------------------------------------------------------ */

void ops_flow_stage(gpu_device *device, gpu_commands *commands, const flow_stage_args *a)
{
    assert(a->slope < FLOW_MAX_SLOPES && a->n_branches >= 1 && a->n_branches <= FLOW_MAX_BRANCHES);
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    uint32_t size, lanes;
    rows_shape(gpu_device_caps(device), a->ld, CPU_LANES, &size, &lanes);
    const gpu_spec spec = {.n = 4, .value = {size, lanes, a->n_branches, a->normalise}};
    if (gpu_pipeline_get(device, GPU_KERNEL_FLOW_STAGE, &spec, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    const gpu_view views[] = {a->target, a->state, a->stage, a->slopes, a->input};
    const struct flow_stage_params push = {
        .n_rows = a->n_rows,
        .n_columns = a->n_columns,
        .ld = a->ld,
        .slope = a->slope,
        .slope_stride = (uint32_t)size_round_up(a->n_rows, ROW_STEP) * a->ld,
        .advance = a->advance,
        .rescale = a->rescale,
        .branch_weight0 = a->branch_weight[0],
        .branch_weight1 = a->branch_weight[1],
        .factor = a->factor,
        .step0 = a->step[0],
        .step1 = a->step[1],
        .step2 = a->step[2],
        .step3 = a->step[3],
        .input_scale = a->input_scale,
    };
    uint32_t groups_x, groups_y;
    groups_fold(device, ((uint64_t)a->n_rows + size / lanes - 1) / (size / lanes), &groups_x, &groups_y);
    gpu_dispatch(commands, pipeline, views, 5, &push, sizeof push, groups_x, groups_y, 1);
}

/* ---- probabilities --------------------------------------------------------------------------------- */

/* Invocations of a row. A row is read three times, and one driver ends an invocation after 65,535 loop
 * iterations in all. */
static uint32_t softmax_size(const gpu_caps *caps, uint32_t ld)
{
    uint32_t size = caps->type == GPU_TYPE_CPU ? 16 : 128;
    while (size < 128 && ld / 4 / size > 20000)
        size *= 2;
    return size;
}

void ops_flow_softmax(gpu_device *device, gpu_commands *commands, gpu_view logits, uint32_t n_rows,
                      uint32_t n_columns, uint32_t ld, gpu_view inv_temperature)
{
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    const gpu_caps *caps = gpu_device_caps(device);
    const gpu_spec spec = {.n = 1, .value = {softmax_size(caps, ld)}};
    if (gpu_pipeline_get(device,
                         rows_use_texels(caps) ? GPU_KERNEL_FLOW_SOFTMAX_TEXELS : GPU_KERNEL_FLOW_SOFTMAX,
                         &spec, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    const gpu_view views[] = {logits, logits, inv_temperature};
    const struct flow_softmax_params push = {n_rows, n_columns, ld};
    uint32_t groups_x, groups_y;
    groups_fold(device, n_rows, &groups_x, &groups_y);
    gpu_dispatch(commands, pipeline, views, 3, &push, sizeof push, groups_x, groups_y, 1);
}

/* ---- the vocabulary -------------------------------------------------------------------------------- */

weight flow_vocabulary_describe(uint32_t vocab_size, uint32_t n_columns)
{
    weight w;
    memset(&w, 0, sizeof w);
    w.dtype = VKDLM_DTYPE_F32;
    w.n_columns = n_columns;
    w.depth = vocab_size;
    w.n_panels = weight_pad(n_columns) / WEIGHT_PANEL_COLUMNS;
    w.panel_bytes = (uint64_t)weight_pad(vocab_size) * WEIGHT_PANEL_COLUMNS * sizeof(float);
    w.bytes = w.panel_bytes * w.n_panels;
    return w;
}

void ops_flow_vocabulary(gpu_device *device, gpu_commands *commands, const weight *vocabulary, uint32_t first,
                         gpu_view u, uint32_t n_rows, uint32_t ld, float rescale)
{
    assert(first <= vocabulary->depth && n_rows <= vocabulary->depth - first);
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    const gpu_caps *caps = gpu_device_caps(device);
    uint32_t size, lanes, slice = weight_panels_per_slice(vocabulary, caps);
    rows_shape(caps, ld, CPU_LANES, &size, &lanes);
    const gpu_spec spec = {.n = 2, .value = {size, lanes}};
    vkdlm_status status = VKDLM_OK;
    if (slice == 0)
        status = error_set(&err, VKDLM_UNSUPPORTED,
                           "a diffusion vocabulary of %u tokens needs storage buffers of %llu bytes, device "
                           "'%s' has %llu",
                           vocabulary->depth, (unsigned long long)vocabulary->panel_bytes, caps->name,
                           (unsigned long long)caps->max_storage_range_bytes);
    else
        status = gpu_pipeline_get(
            device, rows_use_texels(caps) ? GPU_KERNEL_FLOW_VOCABULARY_TEXELS : GPU_KERNEL_FLOW_VOCABULARY,
            &spec, &pipeline, &err);
    if (status) {
        gpu_commands_fail(commands, &err);
        return;
    }
    uint32_t groups_x, groups_y;
    groups_fold(device, ((uint64_t)n_rows + size / lanes - 1) / (size / lanes), &groups_x, &groups_y);
    for (uint32_t panel = 0; panel < vocabulary->n_panels; panel += slice) {
        uint32_t n_panels = u32_min(slice, vocabulary->n_panels - panel);
        const gpu_view views[] = {
            u, {&vocabulary->buffer, panel * vocabulary->panel_bytes, n_panels * vocabulary->panel_bytes}};
        const struct flow_vocabulary_params push = {
            .n_rows = n_rows,
            .n_columns = vocabulary->n_columns,
            .ld = ld,
            .first_row = first,
            .depth = weight_pad(vocabulary->depth),
            .first_panel = panel,
            .n_panels = n_panels,
            .rescale = rescale,
        };
        gpu_dispatch(commands, pipeline, views, 2, &push, sizeof push, groups_x, groups_y, 1);
    }
}

/* ---- differences of rows ------------------------------------------------------------------------------ */

void ops_flow_difference(gpu_device *device, gpu_commands *commands, gpu_view x, uint32_t n_rows,
                         uint32_t n_columns, uint32_t ldx, gpu_view base, gpu_view y, uint32_t ldy)
{
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    if (gpu_pipeline_get(device, GPU_KERNEL_FLOW_DIFFERENCE, NULL, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    const gpu_view views[] = {x, base, y};
    const struct flow_difference_params push = {
        .n_rows = n_rows, .n_columns = n_columns, .ldx = ldx, .ldy = ldy};
    uint32_t size[3], groups_x, groups_y;
    gpu_pipeline_local_size(pipeline, size);
    groups_fold(device, ((uint64_t)n_rows * (n_columns / 4) + size[0] - 1) / size[0], &groups_x, &groups_y);
    gpu_dispatch(commands, pipeline, views, 3, &push, sizeof push, groups_x, groups_y, 1);
}
