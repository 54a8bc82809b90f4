#include "ops/matmul.h"

#include <assert.h>

#include "base/error.h"
#include "base/size.h"
#include "ops/matmul_select.h"
#include "ops/weight_blocks.h"
#include "shaders/params.h"

/* ROWS x STEP / 4 loads of X an iteration are spread over the lanes; with few rows a longer step keeps them
 * busy. */
const matmul_shape matmul_shapes[MATMUL_N_SHAPES] = {
    {"texels 1", MATMUL_TEXELS, 1, 0, 8, 32, 0},     {"texels 2", MATMUL_TEXELS, 2, 0, 8, 16, 0},
    {"texels 4", MATMUL_TEXELS, 4, 0, 8, 8, 0},      {"texels 8", MATMUL_TEXELS, 8, 0, 8, 8, 0},
    {"texels 16", MATMUL_TEXELS, 16, 0, 8, 8, 0},    {"subgroup 1", MATMUL_SUBGROUP, 1, 0, 4, 32, 0},
    {"subgroup 2", MATMUL_SUBGROUP, 2, 0, 4, 16, 0}, {"subgroup 4", MATMUL_SUBGROUP, 4, 0, 4, 8, 0},
    {"subgroup 8", MATMUL_SUBGROUP, 8, 0, 4, 8, 0},  {"subgroup 32", MATMUL_SUBGROUP, 32, 0, 4, 8, 0},
    {"plain 1", MATMUL_PLAIN_1, 4, 32, 0, 0, 0},     {"plain 4", MATMUL_PLAIN_4, 16, 32, 0, 0, 0},
    {"shared 64", MATMUL_SHARED, 64, 64, 0, 0, 0},   {"stream 256", MATMUL_STREAM, 256, 0, 8, 128, 0},
    {"wave32 1", MATMUL_SUBGROUP, 1, 0, 4, 32, 32},  {"wave32 2", MATMUL_SUBGROUP, 2, 0, 4, 16, 32},
    {"wave32 4", MATMUL_SUBGROUP, 4, 0, 4, 8, 32},   {"wave32 8", MATMUL_SUBGROUP, 8, 0, 4, 8, 32},
    {"wave64 1", MATMUL_SUBGROUP, 1, 0, 4, 32, 64},  {"wave64 2", MATMUL_SUBGROUP, 2, 0, 4, 16, 64},
    {"wave64 4", MATMUL_SUBGROUP, 4, 0, 4, 8, 64},   {"wave64 8", MATMUL_SUBGROUP, 8, 0, 4, 8, 64},
};

/* Sums that a lane of a GPU keeps in registers. Twice as many take all 256 that there are, or spill
 * (docs/gpu_kernels.md); CPU drivers keep them in memory anyway. */
enum { GPU_LANE_SUMS = 64 };

uint32_t matmul_shape_lanes(const gpu_caps *caps, const matmul_shape *shape)
{
    return shape->lanes ? shape->lanes : caps->subgroup_size;
}

/* Another subgroup size than the device's own, which it lets pipelines ask for. */
static bool has_lanes(const gpu_caps *caps, uint32_t lanes)
{
    return caps->subgroup_size_control && lanes != caps->subgroup_size && lanes >= caps->min_subgroup_size &&
           lanes <= caps->max_subgroup_size && lanes <= caps->max_invocations;
}

bool matmul_shape_usable(const gpu_caps *caps, const matmul_shape *shape)
{
    if (shape->lanes && !has_lanes(caps, shape->lanes))
        return false;
    switch (shape->family) {
    case MATMUL_TEXELS:
    case MATMUL_SUBGROUP:
        return caps->subgroup_shuffle && caps->subgroup_size >= 4 && caps->subgroup_size <= 64 &&
               (shape->family == MATMUL_SUBGROUP
                    ? caps->type == GPU_TYPE_CPU || shape->rows * shape->lane_columns <= GPU_LANE_SUMS
                    : caps->type == GPU_TYPE_CPU && caps->texel_buffers);
    case MATMUL_STREAM:
        return caps->type == GPU_TYPE_CPU && caps->texel_buffers && caps->subgroup_shuffle &&
               caps->subgroup_size >= 4 && caps->subgroup_size <= 64;
    case MATMUL_SHARED:
        return caps->max_shared_bytes >= 16384 && caps->max_invocations >= 128;
    default:
        return true;
    }
}

uint32_t matmul_type_index(vkdlm_dtype dtype)
{
    return dtype == VKDLM_DTYPE_F32 ? 0 : dtype == VKDLM_DTYPE_F16 ? 1 : dtype == VKDLM_DTYPE_BF16 ? 2 : 3;
}

gpu_spec matmul_core_spec(const gpu_caps *caps, const matmul_shape *shape, vkdlm_dtype dtype)
{
    gpu_spec spec = {.n = 11};
    bool subgroup =
        shape->family == MATMUL_SUBGROUP || shape->family == MATMUL_TEXELS || shape->family == MATMUL_STREAM;
    spec.value[0] = matmul_shape_lanes(caps, shape);
    spec.value[1] = shape->rows;
    spec.value[2] = shape->step;
    /* unpackHalf2x16 is exact on the CPU drivers (tested); GPUs may flush subnormals and have integer units
     * to spare. */
    spec.value[9] = caps->type == GPU_TYPE_CPU;
    spec.value[10] = weight_blocks_code(dtype);
    if (subgroup && caps->subgroup_size_control)
        spec.subgroup_size = spec.value[0];
    return spec;
}

void matmul_core_groups(const gpu_caps *caps, const matmul_shape *shape, uint32_t n_rows, uint32_t n_columns,
                        uint32_t *x, uint32_t *y)
{
    uint32_t columns =
        shape->columns ? shape->columns : shape->lane_columns * matmul_shape_lanes(caps, shape);
    *x = (n_columns + columns - 1) / columns;
    *y = (n_rows + shape->rows - 1) / shape->rows;
}

static const enum gpu_kernel kernels[MATMUL_N_FAMILIES][2][MATMUL_N_TYPES] = {
#define KERNELS(family)                                                                          \
    {                                                                                            \
        {GPU_KERNEL_MATMUL_##family##_F32, GPU_KERNEL_MATMUL_##family##_F16,                     \
         GPU_KERNEL_MATMUL_##family##_BF16, GPU_KERNEL_MATMUL_##family##_BLOCKS},                \
        {                                                                                        \
            GPU_KERNEL_MATMUL_##family##_F32_LORA, GPU_KERNEL_MATMUL_##family##_F16_LORA,        \
                GPU_KERNEL_MATMUL_##family##_BF16_LORA, GPU_KERNEL_MATMUL_##family##_BLOCKS_LORA \
        }                                                                                        \
    }
    [MATMUL_SUBGROUP] = KERNELS(SUBGROUP),
    [MATMUL_TEXELS] = KERNELS(TEXELS),
    [MATMUL_PLAIN_1] = KERNELS(PLAIN_1),
    [MATMUL_PLAIN_4] = KERNELS(PLAIN_4),
    [MATMUL_SHARED] = KERNELS(SHARED),
#undef KERNELS
    [MATMUL_STREAM] = {{GPU_KERNEL_MATMUL_STREAM_F32, GPU_KERNEL_MATMUL_STREAM_F16,
                        GPU_KERNEL_MATMUL_STREAM_BF16, GPU_KERNEL_MATMUL_STREAM_BLOCKS}},
};

/* What one recording needs besides the arguments. */
struct plan {
    const matmul_shape *shape;
    const gpu_pipeline *pipeline; /* but of STREAM */
    gpu_spec spec;
    gpu_view scratch; /* of STREAM */
    uint32_t slice_panels, slice_rows;
};

/* Cuts the slices to sums that the scratch memory holds: few rows at a time, so that they stay in a cache. */
static vkdlm_status fit_scratch(gpu_commands *commands, const gpu_caps *caps, const matmul_args *a,
                                struct plan *plan, vkdlm_error *err)
{
    enum { FEW_ROWS = 256, LEAST_ROWS = 64 };
    vkdlm_status status = gpu_commands_scratch(commands, &plan->scratch, err);
    if (status)
        return status;
    uint64_t columns = (uint64_t)plan->shape->lane_columns * caps->subgroup_size;
    uint64_t rows = u64_min(size_round_up(a->n_rows, LEAST_ROWS), FEW_ROWS), groups;
    while ((groups = plan->scratch.bytes / (rows * columns * sizeof(float))) == 0 && rows > LEAST_ROWS)
        rows -= LEAST_ROWS;
    plan->slice_rows = (uint32_t)u64_min(plan->slice_rows, rows);
    uint64_t n_panels = u64_min(groups * columns / WEIGHT_PANEL_COLUMNS, plan->slice_panels);
    plan->slice_panels = weight_align_panels(a->w, (uint32_t)n_panels);
    return VKDLM_OK;
}

static vkdlm_status make_plan(gpu_device *device, gpu_commands *commands, const matmul_args *a,
                              const matmul_shape *shape, struct plan *plan, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(device);
    assert(!a->lora_b || (a->lora_b->dtype == VKDLM_DTYPE_F32 && a->lora_b->n_panels == a->w->n_panels));
    assert(a->residual.buffer || !a->gate.buffer);
    assert(!a->residual.buffer || a->activation == MATMUL_LINEAR || a->activation == MATMUL_TIMES);
    assert(a->activation != MATMUL_TIMES || (a->residual.buffer && !a->gate.buffer));
    uint64_t widest = a->ldx > a->ldy ? a->ldx : a->ldy;
    if (a->lora_b && a->ldz > widest)
        widest = a->ldz;
    *plan = (struct plan){
        .shape = shape,
        .slice_panels = weight_panels_per_slice(a->w, caps),
        .slice_rows =
            (uint32_t)u64_min(caps->max_storage_range_bytes / (widest * sizeof(float)), UINT32_MAX) / 64 * 64,
    };
    if (a->lora_b)
        plan->slice_panels =
            weight_align_panels(a->w, u32_min(plan->slice_panels, weight_panels_per_slice(a->lora_b, caps)));
    uint64_t most_rows = (uint64_t)caps->max_workgroups[1] * shape->rows / 64 * 64;
    plan->slice_rows = (uint32_t)u64_min(plan->slice_rows, most_rows);
    if (shape->family == MATMUL_STREAM && plan->slice_panels && plan->slice_rows) {
        vkdlm_status status = fit_scratch(commands, caps, a, plan, err);
        if (status)
            return status;
    }
    if (plan->slice_panels == 0 || plan->slice_rows == 0)
        return error_set(
            err, VKDLM_UNSUPPORTED,
            "a linear layer of %u x %u needs wider storage buffers than the %llu bytes of device '%s'",
            a->w->n_columns, a->w->depth, (unsigned long long)caps->max_storage_range_bytes, caps->name);
    gpu_spec *spec = &plan->spec;
    *spec = matmul_core_spec(caps, shape, a->w->dtype);
    spec->value[3] = a->bias.buffer != NULL;
    spec->value[4] = a->activation;
    spec->value[5] = a->row_seq.buffer != NULL;
    spec->value[6] = a->gate.buffer != NULL;
    spec->value[7] = a->residual.buffer != NULL;
    if (shape->family == MATMUL_STREAM)
        return VKDLM_OK;
    return gpu_pipeline_get(device, kernels[shape->family][a->lora_b != NULL][matmul_type_index(a->w->dtype)],
                            spec, &plan->pipeline, err);
}

/* Panels of a weight. */
static gpu_view panels(const weight *w, uint32_t first, uint32_t n)
{
    return (gpu_view){&w->buffer, first * w->panel_bytes, n * w->panel_bytes};
}

/* Parts of the rows of a slice: one, so that weights are unpacked once, or more to keep processors busy. */
static uint32_t row_parts(uint32_t n_rows, uint32_t n_blocks)
{
    enum { WORKGROUPS = 16, LEAST_ROWS = 32 };
    uint32_t n = u32_min(WORKGROUPS / n_blocks, n_rows / LEAST_ROWS);
    return n ? n : 1;
}

/* Products of a slice with all values of k of one weight, a dispatch for each step of them: the sums begin at
 * zero unless `continued`, and are complete after them if `last`. views, push: of the slice and this weight.
 */
static void record_stream(gpu_device *device, gpu_commands *commands, const struct plan *plan,
                          vkdlm_dtype dtype, gpu_view views[9], struct matmul_params *push, bool continued,
                          bool last)
{
    const gpu_caps *caps = gpu_device_caps(device);
    uint32_t x, y;
    matmul_core_groups(caps, plan->shape, push->n_rows, push->n_columns, &x, &y);
    uint32_t parts = row_parts(push->n_rows, x);
    y = parts > y ? parts : y;
    for (uint32_t k = 0, n; k < push->depth; k += n) {
        vkdlm_error err;
        const gpu_pipeline *pipeline;
        n = u32_min(plan->shape->step, push->depth - k);
        bool ends = last && k + n == push->depth;
        gpu_spec spec = matmul_core_spec(caps, plan->shape, dtype);
        /* Sums that go on need no pipelines of each epilogue. */
        if (ends)
            for (uint32_t i = 3; i < 9; i++)
                spec.value[i] = plan->spec.value[i];
        spec.value[2] = n;
        spec.value[11] = ends;
        spec.n = 12;
        if (gpu_pipeline_get(device, kernels[MATMUL_STREAM][0][matmul_type_index(dtype)], &spec, &pipeline,
                             &err)) {
            gpu_commands_fail(commands, &err);
            return;
        }
        push->first_k = k;
        push->continued = continued || k > 0;
        gpu_dispatch(commands, pipeline, views, 9, push, sizeof *push, x, y, 1);
    }
}

static void record_slice(gpu_device *device, gpu_commands *commands, const matmul_args *a,
                         const struct plan *plan, uint32_t first_panel, uint32_t first_row)
{
    uint32_t n_panels = u32_min(plan->slice_panels, a->w->n_panels - first_panel);
    uint32_t n_rows = u32_min(plan->slice_rows, a->n_rows - first_row);
    uint64_t held = size_round_up(n_rows, 64), y_row_bytes = (uint64_t)a->ldy * sizeof(float);
    gpu_view w = panels(a->w, first_panel, n_panels);
    /* What a kernel has a binding for but does not read is bound to the weights. */
    gpu_view views[9] = {
        gpu_view_rows(a->x, first_row, held, (uint64_t)a->ldx * sizeof(float)),
        w,
        gpu_view_rows(a->y, first_row, held, y_row_bytes),
        a->bias.buffer ? a->bias : w,
        a->residual.buffer ? gpu_view_rows(a->residual, first_row, held, y_row_bytes) : w,
        a->gate.buffer ? a->gate : w,
        a->row_seq.buffer ? gpu_view_rows(a->row_seq, first_row, held, sizeof(uint32_t)) : w,
    };
    struct matmul_params push = {
        .n_columns = n_panels * WEIGHT_PANEL_COLUMNS,
        .first_column = first_panel * WEIGHT_PANEL_COLUMNS,
        .depth = weight_pad(a->w->depth),
        .ldx = a->ldx,
        .ldy = a->ldy,
        .ld_gate = a->ld_gate,
        .n_rows = n_rows,
    };
    if (plan->shape->family == MATMUL_STREAM) {
        views[7] = views[8] = plan->scratch;
        record_stream(device, commands, plan, a->w->dtype, views, &push, false, !a->lora_b);
        if (!a->lora_b)
            return;
        views[0] = gpu_view_rows(a->lora_z, first_row, held, (uint64_t)a->ldz * sizeof(float));
        views[1] = panels(a->lora_b, first_panel, n_panels);
        push.depth = weight_pad(a->lora_b->depth);
        push.ldx = a->ldz;
        record_stream(device, commands, plan, VKDLM_DTYPE_F32, views, &push, true, true);
        return;
    }
    if (a->lora_b) {
        views[7] = gpu_view_rows(a->lora_z, first_row, held, (uint64_t)a->ldz * sizeof(float));
        views[8] = panels(a->lora_b, first_panel, n_panels);
        push.lora_depth = weight_pad(a->lora_b->depth);
        push.ldz = a->ldz;
    }
    uint32_t x, y;
    matmul_core_groups(gpu_device_caps(device), plan->shape, n_rows, push.n_columns, &x, &y);
    gpu_dispatch(commands, plan->pipeline, views, a->lora_b ? 9 : 7, &push, sizeof push, x, y, 1);
}

void ops_matmul_shape(gpu_device *device, gpu_commands *commands, const matmul_args *args,
                      const matmul_shape *shape)
{
    vkdlm_error err;
    struct plan plan;
    if (make_plan(device, commands, args, shape, &plan, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    for (uint32_t row = 0; row < args->n_rows; row += plan.slice_rows)
        for (uint32_t panel = 0; panel < args->w->n_panels; panel += plan.slice_panels)
            record_slice(device, commands, args, &plan, panel, row);
}

void ops_matmul(gpu_device *device, gpu_commands *commands, const matmul_args *args)
{
    vkdlm_error err;
    const matmul_shape *shape;
    tune_key key = matmul_key(TUNE_MATMUL, args->w->dtype, args->lora_b != NULL, args->n_rows);
    if (matmul_select(device, key, &shape, &err))
        gpu_commands_fail(commands, &err);
    else
        ops_matmul_shape(device, commands, args, shape);
}
