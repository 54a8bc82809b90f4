#include "ops/embed.h"

#include "base/error.h"
#include "base/size.h"
#include "ops/groups.h"
#include "ops/weight_blocks.h"
#include "shaders/params.h"

embed_table embed_table_of(const weight *w)
{
    return (embed_table){
        .buffer = &w->buffer, .dtype = w->dtype, .n_rows = w->n_columns, .n_columns = w->depth, .tied = w};
}

static bool choose_kernel(const embed_table *table, enum gpu_kernel *kernel, vkdlm_error *err)
{
    static const struct {
        vkdlm_dtype dtype;
        enum gpu_kernel kernels[2]; /* row-major, panels */
    } choices[] = {{VKDLM_DTYPE_F32, {GPU_KERNEL_EMBED_F32, GPU_KERNEL_EMBED_PANELS_F32}},
                   {VKDLM_DTYPE_F16, {GPU_KERNEL_EMBED_F16, GPU_KERNEL_EMBED_PANELS_F16}},
                   {VKDLM_DTYPE_BF16, {GPU_KERNEL_EMBED_BF16, GPU_KERNEL_EMBED_PANELS_BF16}}};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (choices[i].dtype == table->dtype) {
            *kernel = choices[i].kernels[table->tied != NULL];
            return true;
        }
    if (table->tied && weight_blocks_supported(table->dtype)) {
        *kernel = GPU_KERNEL_EMBED_PANELS_BLOCKS;
        return true;
    }
    error_set(err, VKDLM_UNSUPPORTED, "an embedding table of type %s cannot be used on the device",
              vkdlm_dtype_name(table->dtype));
    return false;
}

/* A slice starts on a whole word at the binding's alignment, at most so many bytes before its first row. */
static uint64_t slack_bytes(const gpu_caps *caps)
{
    return caps->storage_alignment_bytes < 4 ? 4 : caps->storage_alignment_bytes;
}

/* Rows that one binding holds. */
static uint64_t slice_rows(const gpu_caps *caps, const embed_table *table)
{
    if (table->tied)
        return (uint64_t)weight_panels_per_slice(table->tied, caps) * WEIGHT_PANEL_COLUMNS;
    uint64_t row_bytes = (uint64_t)table->n_columns * vkdlm_dtype_size(table->dtype);
    return (caps->max_storage_range_bytes - 2 * slack_bytes(caps)) / row_bytes;
}

/* Rows first .. first + n_rows - 1; *first_unit: elements from the view's beginning to the first of them. */
static gpu_view slice_view(const gpu_caps *caps, const embed_table *table, uint64_t first, uint64_t n_rows,
                           uint32_t *first_unit)
{
    *first_unit = 0;
    if (table->tied) {
        uint64_t panel = first / WEIGHT_PANEL_COLUMNS,
                 n = (n_rows + WEIGHT_PANEL_COLUMNS - 1) / WEIGHT_PANEL_COLUMNS;
        return (gpu_view){table->buffer, panel * table->tied->panel_bytes, n * table->tied->panel_bytes};
    }
    uint64_t element_bytes = vkdlm_dtype_size(table->dtype), row_bytes = table->n_columns * element_bytes;
    uint64_t begin = table->offset_bytes + first * row_bytes;
    uint64_t end = size_round_up(begin + n_rows * row_bytes, 4);
    uint64_t bound = begin / slack_bytes(caps) * slack_bytes(caps);
    *first_unit = (uint32_t)((begin - bound) / element_bytes);
    return (gpu_view){table->buffer, bound, end - bound};
}

void ops_embed(gpu_device *device, gpu_commands *commands, const embed_table *table, gpu_view tokens,
               uint32_t token_stride, uint32_t token_base, uint32_t n_tokens, gpu_view x, uint32_t ld)
{
    vkdlm_error err;
    enum gpu_kernel kernel;
    const gpu_pipeline *pipeline;
    const gpu_caps *caps = gpu_device_caps(device);
    gpu_spec spec = {.n = 11, .value = {[10] = weight_blocks_code(table->dtype)}};
    if (!choose_kernel(table, &kernel, &err) || gpu_pipeline_get(device, kernel, &spec, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    uint64_t at_once = slice_rows(caps, table);
    if (at_once == 0) {
        error_set(
            &err, VKDLM_UNSUPPORTED,
            "an embedding table of %u columns needs wider storage buffers than the %llu bytes of device '%s'",
            table->n_columns, (unsigned long long)caps->max_storage_range_bytes, caps->name);
        gpu_commands_fail(commands, &err);
        return;
    }
    uint32_t groups_x, groups_y;
    groups_fold(device, n_tokens, &groups_x, &groups_y);
    for (uint64_t first = 0; first < table->n_rows; first += at_once) {
        uint64_t n_rows = u64_min(at_once, table->n_rows - first);
        struct embed_params push = {
            .n_tokens = n_tokens,
            .token_stride = token_stride,
            .n_columns = table->n_columns,
            .ld = ld,
            .first_row = (uint32_t)first,
            .n_rows = (uint32_t)n_rows,
            .token_base = token_base,
        };
        gpu_view views[3] = {slice_view(caps, table, first, n_rows, &push.first_unit), tokens, x};
        gpu_dispatch(commands, pipeline, views, 3, &push, sizeof push, groups_x, groups_y, 1);
    }
}
