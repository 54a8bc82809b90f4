#include "ops/embed.h"

#include "base/error.h"
#include "base/size.h"
#include "ops/groups.h"
#include "shaders/params.h"

static bool choose_kernel(vkdlm_dtype dtype, enum gpu_kernel *kernel, vkdlm_error *err)
{
    switch (dtype) {
    case VKDLM_DTYPE_F32:
        *kernel = GPU_KERNEL_EMBED_F32;
        return true;
    case VKDLM_DTYPE_F16:
        *kernel = GPU_KERNEL_EMBED_F16;
        return true;
    case VKDLM_DTYPE_BF16:
        *kernel = GPU_KERNEL_EMBED_BF16;
        return true;
    default:
        error_set(err, VKDLM_UNSUPPORTED, "an embedding table of type %s cannot be used on the device",
                  vkdlm_dtype_name(dtype));
        return false;
    }
}

void ops_embed(gpu_device *device, gpu_commands *commands, const embed_table *table, gpu_view tokens,
               uint32_t token_stride, uint32_t n_tokens, gpu_view x, uint32_t ld)
{
    vkdlm_error err;
    enum gpu_kernel kernel;
    const gpu_pipeline *pipeline;
    const gpu_caps *caps = gpu_device_caps(device);
    uint64_t element_bytes = vkdlm_dtype_size(table->dtype);
    uint64_t row_bytes = table->n_columns * element_bytes;
    if (!choose_kernel(table->dtype, &kernel, &err) ||
        gpu_pipeline_get(device, kernel, NULL, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    /* A slice starts on a whole word at the binding's alignment, at most `slack` bytes before its first row.
     */
    uint64_t slack = caps->storage_alignment_bytes < 4 ? 4 : caps->storage_alignment_bytes;
    uint64_t slice_rows = (caps->max_storage_range_bytes - 2 * slack) / row_bytes;
    uint32_t groups_x, groups_y;
    groups_fold(device, n_tokens, &groups_x, &groups_y);
    for (uint64_t first = 0; first < table->n_rows; first += slice_rows) {
        uint64_t n_rows = u64_min(slice_rows, table->n_rows - first);
        uint64_t begin = table->offset_bytes + first * row_bytes;
        uint64_t end = size_round_up(begin + n_rows * row_bytes, 4);
        uint64_t bound = begin / slack * slack;
        gpu_view views[3] = {{table->buffer, bound, end - bound}, tokens, x};
        struct embed_params push = {
            .n_tokens = n_tokens,
            .token_stride = token_stride,
            .n_columns = table->n_columns,
            .ld = ld,
            .first_row = (uint32_t)first,
            .n_rows = (uint32_t)n_rows,
            .first_unit = (uint32_t)((begin - bound) / element_bytes),
        };
        gpu_dispatch(commands, pipeline, views, 3, &push, sizeof push, groups_x, groups_y, 1);
    }
}
