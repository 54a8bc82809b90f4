#include "ops/weight.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"

enum { MAX_SIDE = 1 << 24, BLOCK = 64 };

vkdlm_status weight_describe(const vkdlm_tensor *tensor, weight *out, vkdlm_error *err)
{
    memset(out, 0, sizeof *out);
    if (tensor->dtype != VKDLM_DTYPE_F32 && tensor->dtype != VKDLM_DTYPE_F16 &&
        tensor->dtype != VKDLM_DTYPE_BF16)
        return error_set(err, VKDLM_UNSUPPORTED, "%s: tensor '%s': a weight is F32, F16 or BF16, found %s",
                         tensor->file, tensor->name, vkdlm_dtype_name(tensor->dtype));
    if (tensor->n_dims != 2 || tensor->shape[0] < 1 || tensor->shape[0] > MAX_SIDE || tensor->shape[1] < 1 ||
        tensor->shape[1] > MAX_SIDE)
        return error_set(
            err, VKDLM_MALFORMED,
            "%s: tensor '%s': a weight has 2 dimensions of 1 to %d, found %u (%" PRIu64 " x %" PRIu64 ")",
            tensor->file, tensor->name, MAX_SIDE, tensor->n_dims, tensor->shape[0], tensor->shape[1]);
    out->dtype = tensor->dtype;
    out->n_columns = (uint32_t)tensor->shape[0];
    out->depth = (uint32_t)tensor->shape[1];
    out->n_panels = weight_pad(out->n_columns) / WEIGHT_PANEL_COLUMNS;
    out->panel_bytes = (uint64_t)weight_pad(out->depth) * WEIGHT_PANEL_COLUMNS * vkdlm_dtype_size(out->dtype);
    out->bytes = out->panel_bytes * out->n_panels;
    return VKDLM_OK;
}

/* Rows k .. k+n_k-1 of one panel; elements are moved as words of `size` bytes. Blocks of k keep both the rows
 * of the source and the block of the destination in the first-level cache. */
static void pack_rows(unsigned char *dst, const vkdlm_tensor *tensor, uint32_t panel, uint32_t k,
                      uint32_t n_k, size_t size)
{
    uint64_t depth = tensor->shape[1];
    uint64_t first = (uint64_t)panel * WEIGHT_PANEL_COLUMNS;
    uint32_t n_columns = (uint32_t)u64_min(WEIGHT_PANEL_COLUMNS, tensor->shape[0] - first);
    uint32_t n_real = k < depth ? (uint32_t)u64_min(n_k, depth - k) : 0;
    if (n_columns < WEIGHT_PANEL_COLUMNS || n_real < n_k)
        memset(dst, 0, n_k * WEIGHT_PANEL_COLUMNS * size);
    for (uint32_t k0 = 0; k0 < n_real; k0 += BLOCK) {
        uint32_t k1 = u32_min(k0 + BLOCK, n_real);
        for (uint32_t j = 0; j < n_columns; j++) {
            const unsigned char *row = (const unsigned char *)tensor->data + ((first + j) * depth + k) * size;
            if (size == 4)
                for (uint32_t i = k0; i < k1; i++)
                    memcpy(dst + ((size_t)i * WEIGHT_PANEL_COLUMNS + j) * 4, row + (size_t)i * 4, 4);
            else
                for (uint32_t i = k0; i < k1; i++)
                    memcpy(dst + ((size_t)i * WEIGHT_PANEL_COLUMNS + j) * 2, row + (size_t)i * 2, 2);
        }
    }
}

void weight_pack_panels(void *dst, const vkdlm_tensor *tensor, uint32_t first, uint32_t n)
{
    uint32_t depth = weight_pad((uint32_t)tensor->shape[1]);
    size_t size = vkdlm_dtype_size(tensor->dtype);
    for (uint32_t i = 0; i < n; i++)
        pack_rows((unsigned char *)dst + (size_t)i * depth * WEIGHT_PANEL_COLUMNS * size, tensor, first + i,
                  0, depth, size);
}

/* One panel that is larger than the staging memory, in pieces of whole k. */
static vkdlm_status upload_in_pieces(gpu_upload *upload, const vkdlm_tensor *tensor, const weight *w,
                                     uint32_t panel, vkdlm_error *err)
{
    size_t size = vkdlm_dtype_size(w->dtype);
    uint64_t row_bytes = WEIGHT_PANEL_COLUMNS * size;
    uint32_t depth = weight_pad(w->depth);
    uint32_t step = (uint32_t)u64_min(gpu_upload_max_bytes(upload) / row_bytes, depth);
    if (step == 0)
        return error_set(err, VKDLM_INTERNAL,
                         "staging memory of %" PRIu64 " bytes cannot hold %" PRIu64 " bytes",
                         gpu_upload_max_bytes(upload), row_bytes);
    for (uint32_t k = 0; k < depth; k += step) {
        uint32_t n = u32_min(step, depth - k);
        void *dst;
        vkdlm_status status = gpu_upload_reserve(upload, &w->buffer, panel * w->panel_bytes + k * row_bytes,
                                                 n * row_bytes, &dst, err);
        if (status)
            return status;
        pack_rows(dst, tensor, panel, k, n, size);
    }
    return VKDLM_OK;
}

vkdlm_status weight_upload(gpu_device *device, gpu_upload *upload, const vkdlm_tensor *tensor, weight *out,
                           vkdlm_error *err)
{
    vkdlm_status status = weight_describe(tensor, out, err);
    if (!status)
        status = gpu_buffer_create(device, GPU_MEMORY_DEVICE, out->bytes, tensor->name, &out->buffer, err);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    uint64_t at_once = u64_min(gpu_upload_max_bytes(upload) / out->panel_bytes, out->n_panels);
    for (uint32_t panel = 0; panel < out->n_panels && !status;) {
        uint32_t n = at_once ? u32_min((uint32_t)at_once, out->n_panels - panel) : 1;
        void *dst;
        if (at_once == 0)
            status = upload_in_pieces(upload, tensor, out, panel, err);
        else if (!(status = gpu_upload_reserve(upload, &out->buffer, panel * out->panel_bytes,
                                               n * out->panel_bytes, &dst, err)))
            weight_pack_panels(dst, tensor, panel, n);
        panel += n;
    }
    if (status) {
        vkdlm_error ignored;
        gpu_upload_flush(upload, &ignored);
        weight_destroy(out);
    }
    return status;
}

void weight_destroy(weight *w)
{
    gpu_buffer_destroy(&w->buffer);
    memset(w, 0, sizeof *w);
}

uint32_t weight_panels_per_slice(const weight *w, const gpu_caps *caps)
{
    return (uint32_t)u64_min(caps->max_storage_range_bytes / w->panel_bytes, w->n_panels);
}
