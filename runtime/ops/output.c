#include "ops/output.h"

#include "base/error.h"
#include "base/size.h"
#include "ops/matmul_select.h"

enum {
    RECORD_BYTES = 32, /* of output_sample.comp, for each row and panel */
    CHUNK_ROWS = 512,  /* the weights are read once for so many rows */
    ROW_STEP = 64,
};

/* With candidates, logits and records of a row lie there together. */
static uint64_t listed_row_bytes(const weight *w)
{
    return (uint64_t)w->n_panels * (WEIGHT_PANEL_COLUMNS * sizeof(float) + RECORD_BYTES);
}

uint64_t output_scratch_bytes(const weight *w, uint32_t n_rows)
{
    uint64_t records = size_round_up(u32_min(n_rows, CHUNK_ROWS), ROW_STEP) * w->n_panels * RECORD_BYTES;
    uint64_t logits = (uint64_t)ROW_STEP * w->n_panels * WEIGHT_PANEL_COLUMNS * sizeof(float);
    return records > logits ? records : logits;
}

uint64_t output_list_scratch_bytes(const weight *w, uint32_t n_rows)
{
    uint64_t plain = output_scratch_bytes(w, n_rows), listed = ROW_STEP * listed_row_bytes(w);
    return plain > listed ? plain : listed;
}

bool output_shape_usable(const gpu_caps *caps, const matmul_shape *shape)
{
    if (!matmul_shape_usable(caps, shape))
        return false;
    switch (shape->family) {
    case MATMUL_SUBGROUP:
    case MATMUL_TEXELS:
        /* A workgroup holds whole panels, and their logits in shared memory. */
        return matmul_shape_lanes(caps, shape) >= 8 &&
               shape->rows * shape->lane_columns * matmul_shape_lanes(caps, shape) * sizeof(float) <=
                   caps->max_shared_bytes;
    case MATMUL_STREAM:
        return false;
    default:
        return true;
    }
}

static const enum gpu_kernel kernels[MATMUL_N_FAMILIES][MATMUL_N_TYPES] = {
#define KERNELS(family)                                                            \
    {                                                                              \
        GPU_KERNEL_OUTPUT_##family##_F32, GPU_KERNEL_OUTPUT_##family##_F16,        \
            GPU_KERNEL_OUTPUT_##family##_BF16, GPU_KERNEL_OUTPUT_##family##_BLOCKS \
    }
    [MATMUL_SUBGROUP] = KERNELS(SUBGROUP), [MATMUL_TEXELS] = KERNELS(TEXELS),
    [MATMUL_PLAIN_1] = KERNELS(PLAIN_1),   [MATMUL_PLAIN_4] = KERNELS(PLAIN_4),
    [MATMUL_SHARED] = KERNELS(SHARED),
#undef KERNELS
};

static vkdlm_status too_narrow(const gpu_caps *caps, const output_args *a, vkdlm_error *err)
{
    return error_set(
        err, VKDLM_UNSUPPORTED,
        "an output layer of %u tokens needs wider storage buffers than the %llu bytes of device '%s'",
        a->vocab_size, (unsigned long long)caps->max_storage_range_bytes, caps->name);
}

/* The rows of a chunk: a multiple of 64 (so that views of chunks are aligned) whose scratch and hidden rows
 * can be bound at once; 0 when there is none. */
static uint32_t chunk_rows(const gpu_caps *caps, const output_args *a, uint64_t scratch_row_bytes)
{
    uint64_t scratch = u64_min(a->scratch.bytes, caps->max_storage_range_bytes) / scratch_row_bytes;
    uint64_t hidden = caps->max_storage_range_bytes / (a->ld * sizeof(float));
    return (uint32_t)u64_min(u64_min(scratch, hidden), CHUNK_ROWS) / ROW_STEP * ROW_STEP;
}

/* ---- fused ------------------------------------------------------------------------------------- */

static void record_panels(gpu_device *device, gpu_commands *commands, const output_args *a,
                          const matmul_shape *shape, const gpu_pipeline *sample, gpu_view records,
                          uint32_t first_row, uint32_t n_rows)
{
    const gpu_caps *caps = gpu_device_caps(device);
    uint32_t slice = weight_panels_per_slice(a->w, caps),
             capacity = (uint32_t)size_round_up(n_rows, ROW_STEP);
    for (uint32_t panel = 0; panel < a->w->n_panels; panel += slice) {
        uint32_t n_panels = u32_min(slice, a->w->n_panels - panel);
        uint64_t panel_records = (uint64_t)capacity * RECORD_BYTES;
        gpu_view views[5] = {
            gpu_view_rows(a->hidden, first_row, capacity, (uint64_t)a->ld * sizeof(float)),
            {&a->w->buffer, panel * a->w->panel_bytes, n_panels * a->w->panel_bytes},
            gpu_view_rows(records, panel, n_panels, panel_records),
            a->bias.buffer ? a->bias : a->hidden, /* bound, not read */
            gpu_view_rows(a->draws, first_row, n_rows, sizeof(output_draw)),
        };
        struct output_params push = {
            .n_columns = n_panels * WEIGHT_PANEL_COLUMNS,
            .first_column = panel * WEIGHT_PANEL_COLUMNS,
            .depth = weight_pad(a->w->depth),
            .ldx = a->ld,
            .n_rows = n_rows,
            .row_capacity = capacity,
            .vocab_size = a->vocab_size,
            .excluded = a->excluded,
            .seed_low = (uint32_t)a->seed,
            .seed_high = (uint32_t)(a->seed >> 32),
        };
        uint32_t x, y;
        matmul_core_groups(caps, shape, n_rows, push.n_columns, &x, &y);
        gpu_dispatch(commands, sample, views, 5, &push, sizeof push, x, y, 1);
    }
}

enum { MERGE_INVOCATIONS = 64 };

/* Invocations that share a row when its panels are merged (output_merge.comp). */
static uint32_t merge_lanes(const gpu_caps *caps, uint32_t n_panels)
{
    uint32_t lanes = 1;
    while (caps->type != GPU_TYPE_CPU && lanes < MERGE_INVOCATIONS && 2 * lanes <= n_panels)
        lanes *= 2;
    return lanes;
}

static uint32_t merge_groups(uint32_t n_rows, uint32_t lanes)
{
    return (uint32_t)(((uint64_t)n_rows * lanes + MERGE_INVOCATIONS - 1) / MERGE_INVOCATIONS);
}

/* The records of n rows become their results. */
static vkdlm_status record_merge(gpu_device *device, gpu_commands *commands, const output_args *a,
                                 gpu_view records, uint32_t row, uint32_t n, vkdlm_error *err)
{
    const gpu_pipeline *merge;
    uint32_t lanes = merge_lanes(gpu_device_caps(device), a->w->n_panels);
    const gpu_spec spec = {.n = 2, .value = {MERGE_INVOCATIONS, lanes}};
    vkdlm_status status = gpu_pipeline_get(device, GPU_KERNEL_OUTPUT_MERGE, &spec, &merge, err);
    if (status)
        return status;
    gpu_view views[2] = {records, gpu_view_rows(a->results, row, n, sizeof(output_result))};
    struct output_merge_params push = {n, a->w->n_panels, (uint32_t)size_round_up(n, ROW_STEP), a->excluded};
    gpu_dispatch(commands, merge, views, 2, &push, sizeof push, merge_groups(n, lanes), 1, 1);
    return VKDLM_OK;
}

static vkdlm_status record_fused(gpu_device *device, gpu_commands *commands, const output_args *a,
                                 const matmul_shape *shape, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(device);
    uint64_t row_records = (uint64_t)a->w->n_panels * RECORD_BYTES;
    uint32_t chunk = chunk_rows(caps, a, row_records);
    if (chunk == 0 || weight_panels_per_slice(a->w, caps) == 0)
        return too_narrow(caps, a, err);
    gpu_spec spec = matmul_core_spec(caps, shape, a->w->dtype);
    spec.value[3] = a->bias.buffer != NULL;
    const gpu_pipeline *sample;
    vkdlm_status status =
        gpu_pipeline_get(device, kernels[shape->family][matmul_type_index(a->w->dtype)], &spec, &sample, err);
    for (uint32_t row = 0; row < a->n_rows && !status; row += chunk) {
        uint32_t n = u32_min(chunk, a->n_rows - row), capacity = (uint32_t)size_round_up(n, ROW_STEP);
        gpu_view records = {a->scratch.buffer, a->scratch.offset_bytes, capacity * row_records};
        record_panels(device, commands, a, shape, sample, records, row, n);
        status = record_merge(device, commands, a, records, row, n, err);
    }
    return status;
}

/* ---- through logits ------------------------------------------------------------------------------ */

/* The logits of n rows, at the start of the scratch. */
static gpu_view record_logits(gpu_device *device, gpu_commands *commands, const output_args *a,
                              const matmul_shape *shape, uint32_t row, uint32_t n)
{
    uint32_t ld = a->w->n_panels * WEIGHT_PANEL_COLUMNS, capacity = (uint32_t)size_round_up(n, ROW_STEP);
    gpu_view logits = {a->scratch.buffer, a->scratch.offset_bytes, (uint64_t)capacity * ld * sizeof(float)};
    matmul_args linear = {
        .w = a->w,
        .x = gpu_view_rows(a->hidden, row, capacity, (uint64_t)a->ld * sizeof(float)),
        .y = logits,
        .ldx = a->ld,
        .ldy = ld,
        .n_rows = n,
        .bias = a->bias,
    };
    ops_matmul_shape(device, commands, &linear, shape);
    return logits;
}

static vkdlm_status record_select(gpu_device *device, gpu_commands *commands, const output_args *a,
                                  gpu_view logits, uint32_t row, uint32_t n, vkdlm_error *err)
{
    const gpu_pipeline *pipeline;
    vkdlm_status status = gpu_pipeline_get(device, GPU_KERNEL_OUTPUT_SELECT, NULL, &pipeline, err);
    if (status)
        return status;
    gpu_view views[3] = {logits, gpu_view_rows(a->draws, row, n, sizeof(output_draw)),
                         gpu_view_rows(a->results, row, n, sizeof(output_result))};
    struct output_select_params push = {
        .ld = a->w->n_panels * WEIGHT_PANEL_COLUMNS,
        .vocab_size = a->vocab_size,
        .excluded = a->excluded,
        .seed_low = (uint32_t)a->seed,
        .seed_high = (uint32_t)(a->seed >> 32),
        .top_k = a->top_k,
        .top_p = a->top_p,
    };
    gpu_dispatch(commands, pipeline, views, 3, &push, sizeof push, n, 1, 1);
    return VKDLM_OK;
}

static vkdlm_status record_records(gpu_device *device, gpu_commands *commands, const output_args *a,
                                   gpu_view logits, gpu_view records, uint32_t row, uint32_t n,
                                   vkdlm_error *err)
{
    const gpu_pipeline *pipeline;
    vkdlm_status status = gpu_pipeline_get(device, GPU_KERNEL_OUTPUT_RECORDS, NULL, &pipeline, err);
    if (status)
        return status;
    gpu_view views[3] = {logits, gpu_view_rows(a->draws, row, n, sizeof(output_draw)), records};
    struct output_records_params push = {
        .n_rows = n,
        .ld = a->w->n_panels * WEIGHT_PANEL_COLUMNS,
        .row_capacity = (uint32_t)size_round_up(n, ROW_STEP),
        .vocab_size = a->vocab_size,
        .excluded = a->excluded,
        .seed_low = (uint32_t)a->seed,
        .seed_high = (uint32_t)(a->seed >> 32),
    };
    uint32_t groups_y = u32_min(a->w->n_panels, gpu_device_caps(device)->max_workgroups[1]);
    gpu_dispatch(commands, pipeline, views, 3, &push, sizeof push, (n + 63) / 64, groups_y, 1);
    return VKDLM_OK;
}

/* Candidates that one dispatch finds: a round looks at every panel's maximum and into few panels, at most
 * those that it took a candidate from before and some dozen. */
static uint32_t list_rounds(const output_args *a, uint32_t lanes)
{
    enum { MAX_ITERATIONS = 30000, OTHER_PANELS = 24, PANEL_UNITS = WEIGHT_PANEL_COLUMNS / 4 };
    uint32_t inside = u32_min(a->n_candidates, a->w->n_panels) + OTHER_PANELS;
    uint32_t iterations = a->w->n_panels / lanes + 1 + PANEL_UNITS * inside;
    return iterations < MAX_ITERATIONS ? MAX_ITERATIONS / iterations : 1;
}

static vkdlm_status record_list(gpu_device *device, gpu_commands *commands, const output_args *a,
                                gpu_view logits, gpu_view records, uint32_t row, uint32_t n, vkdlm_error *err)
{
    const gpu_pipeline *pipeline;
    uint32_t lanes = merge_lanes(gpu_device_caps(device), a->w->n_panels);
    const gpu_spec spec = {.n = 2, .value = {MERGE_INVOCATIONS, lanes}};
    vkdlm_status status = gpu_pipeline_get(device, GPU_KERNEL_OUTPUT_LIST, &spec, &pipeline, err);
    if (status)
        return status;
    gpu_view views[5] = {records, logits, gpu_view_rows(a->draws, row, n, sizeof(output_draw)),
                         gpu_view_rows(a->results, row, n, sizeof(output_result)),
                         gpu_view_rows(a->candidates, row, n, a->n_candidates * sizeof(output_candidate))};
    struct output_list_params push = {
        .n_rows = n,
        .n_panels = a->w->n_panels,
        .row_capacity = (uint32_t)size_round_up(n, ROW_STEP),
        .ld = a->w->n_panels * WEIGHT_PANEL_COLUMNS,
        .vocab_size = a->vocab_size,
        .excluded = a->excluded,
        .n_candidates = a->n_candidates,
    };
    uint32_t rounds = list_rounds(a, lanes);
    for (push.first = 0; push.first < a->n_candidates; push.first = push.end) {
        push.end = push.first + u32_min(rounds, a->n_candidates - push.first);
        gpu_dispatch(commands, pipeline, views, 5, &push, sizeof push, merge_groups(n, lanes), 1, 1);
    }
    return VKDLM_OK;
}

static vkdlm_status record_through_logits(gpu_device *device, gpu_commands *commands, const output_args *a,
                                          const matmul_shape *shape, bool cut, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(device);
    uint64_t logits_row = (uint64_t)a->w->n_panels * WEIGHT_PANEL_COLUMNS * sizeof(float);
    uint32_t chunk = chunk_rows(caps, a, a->n_candidates ? listed_row_bytes(a->w) : logits_row);
    if (chunk == 0)
        return too_narrow(caps, a, err);
    vkdlm_status status = VKDLM_OK;
    for (uint32_t row = 0; row < a->n_rows && !status; row += chunk) {
        uint32_t n = u32_min(chunk, a->n_rows - row), capacity = (uint32_t)size_round_up(n, ROW_STEP);
        gpu_view logits = record_logits(device, commands, a, shape, row, n);
        gpu_view records = {logits.buffer, logits.offset_bytes + logits.bytes,
                            (uint64_t)capacity * a->w->n_panels * RECORD_BYTES};
        if (a->n_candidates)
            status = record_records(device, commands, a, logits, records, row, n, err);
        if (!status)
            status = cut ? record_select(device, commands, a, logits, row, n, err)
                         : record_merge(device, commands, a, records, row, n, err);
        if (a->n_candidates && !status)
            status = record_list(device, commands, a, logits, records, row, n, err);
    }
    return status;
}

/* ---- both ------------------------------------------------------------------------------------------ */

void ops_output_shape(gpu_device *device, gpu_commands *commands, const output_args *args,
                      const matmul_shape *shape)
{
    vkdlm_error err;
    bool cut = args->top_k > 0 || args->top_p < 1;
    if (cut || args->n_candidates ? record_through_logits(device, commands, args, shape, cut, &err)
                                  : record_fused(device, commands, args, shape, &err))
        gpu_commands_fail(commands, &err);
}

void ops_output(gpu_device *device, gpu_commands *commands, const output_args *args)
{
    vkdlm_error err;
    const matmul_shape *shape;
    if (matmul_select(device, matmul_key(TUNE_OUTPUT, args->w->dtype, false, args->n_rows), &shape, &err))
        gpu_commands_fail(commands, &err);
    else
        ops_output_shape(device, commands, args, shape);
}
