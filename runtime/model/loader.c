#include "model/loader.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "format/convert.h"
#include "format/quant.h"
#include "ops/weight_blocks.h"

#define VECTOR_ALIGNMENT_BYTES 256u

/* ---- vectors -------------------------------------------------------------------------------------- */

float *vectors_add(vector_list *list, uint64_t n, gpu_view *view)
{
    uint64_t start = size_round_up(list->n, VECTOR_ALIGNMENT_BYTES / sizeof(float));
    if (list->failed)
        return NULL;
    if (start + n > list->room) {
        uint64_t room = 2 * (start + n);
        float *grown = realloc(list->data, room * sizeof *grown);
        if (!grown) {
            list->failed = true;
            return NULL;
        }
        list->data = grown;
        list->room = room;
    }
    memset(list->data + list->n, 0, (start + n - list->n) * sizeof *list->data);
    list->n = start + n;
    *view = (gpu_view){list->buffer, start * sizeof(float), n * sizeof(float)};
    return list->data + start;
}

void vectors_add_tensor(vector_list *list, const vkdlm_tensor *tensor, gpu_view *view)
{
    float *out = vectors_add(list, weight_pad((uint32_t)tensor->n_elements), view);
    for (uint64_t i = 0; out && i < tensor->n_elements; i++)
        out[i] = convert_element(tensor, i);
}

vkdlm_status vectors_check(const vector_list *list, vkdlm_error *err)
{
    if (list->failed)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory gathering the norms and biases");
    return VKDLM_OK;
}

/* ---- uploads -------------------------------------------------------------------------------------- */

vkdlm_status loader_begin(loader *l, vkdlm_error *err)
{
    uint64_t before = gpu_device_bytes(l->device);
    vkdlm_status status = gpu_upload_create(l->device, LOADER_STAGING_BYTES / 2, &l->upload, err);
    l->staging_bytes = gpu_device_bytes(l->device) - before;
    return status;
}

vkdlm_status loader_end(loader *l, vkdlm_status status, vkdlm_error *err)
{
    if (!status)
        status = gpu_upload_flush(l->upload, err);
    gpu_upload_destroy(l->upload);
    l->upload = NULL;
    return status;
}

static vkdlm_status advance(loader *l, uint64_t bytes, vkdlm_error *err)
{
    l->done_bytes += bytes;
    if (l->progress && !l->progress(l->user, l->done_bytes, l->total_bytes))
        return error_set(err, VKDLM_CANCELLED, "loading the model was cancelled");
    return VKDLM_OK;
}

vkdlm_status loader_send(loader *l, const gpu_buffer *to, const void *data, uint64_t bytes, vkdlm_error *err)
{
    uint64_t step = gpu_upload_max_bytes(l->upload);
    for (uint64_t at = 0; at < bytes; at += step) {
        uint64_t n = u64_min(step, bytes - at);
        void *staging;
        vkdlm_status status = gpu_upload_reserve(l->upload, to, at, n, &staging, err);
        if (status)
            return status;
        memcpy(staging, (const char *)data + at, n);
        status = advance(l, n, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

vkdlm_status loader_send_vectors(loader *l, const vector_list *list, gpu_buffer *buffer, vkdlm_error *err)
{
    uint64_t bytes = list->n * sizeof(float);
    vkdlm_status status =
        gpu_buffer_create(l->device, GPU_MEMORY_DEVICE, bytes, "norms and biases", buffer, err);
    return status ? status : loader_send(l, buffer, list->data, bytes, err);
}

/* A CPU driver without 16-bit types unpacks halves several times more slowly than it multiplies, and blocks
 * more slowly yet (SwiftShader: 0.4 against 1.9 GFLOP/s): there weights are widened as they are sent, which
 * changes no bit of any result. Blocks grow by up to twelve times: only while they and the rest of the model
 * as it is take no more than half of the memory. */
static bool widens_weight(const loader *l, const weight *described)
{
    const gpu_caps *caps = gpu_device_caps(l->device);
    uint64_t widened_bytes =
        (uint64_t)described->n_panels * WEIGHT_PANEL_COLUMNS * weight_pad(described->depth) * sizeof(float);
    if (caps->type != GPU_TYPE_CPU || caps->storage_16bit || caps->f16_arithmetic)
        return false;
    return !weight_blocks_supported(described->dtype) ||
           widened_bytes + l->total_bytes - l->done_bytes <= gpu_device_available_bytes(l->device) / 2;
}

vkdlm_status loader_send_source(loader *l, const weight_source *source, weight *out, vkdlm_error *err)
{
    weight described;
    weight_source sent = *source;
    vkdlm_status status = weight_describe_source(source, &described, err);
    if (!status && widens_weight(l, &described)) {
        sent.widen = true;
        sent.dequantise = quant_dequantize_row;
    }
    if (!status)
        status = weight_upload_source(l->device, l->upload, &sent, out, err);
    return status ? status : advance(l, described.bytes, err);
}

vkdlm_status loader_send_weight(loader *l, const vkdlm_tensor *tensor, weight *out, vkdlm_error *err)
{
    const weight_part part = {.tensor = tensor};
    const weight_source source = {.parts = &part, .n_parts = 1, .name = tensor->name};
    return loader_send_source(l, &source, out, err);
}

vkdlm_status loader_send_table(loader *l, const vkdlm_tensor *tensor, gpu_buffer *buffer, embed_table *out,
                               vkdlm_error *err)
{
    /* Elements may be two bytes, and the kernel reads whole words. */
    uint64_t bytes = size_round_up(tensor->n_bytes, 4);
    vkdlm_status status = gpu_buffer_create(l->device, GPU_MEMORY_DEVICE, bytes, tensor->name, buffer, err);
    if (status)
        return status;
    *out = (embed_table){.buffer = buffer,
                         .dtype = tensor->dtype,
                         .n_rows = (uint32_t)tensor->shape[0],
                         .n_columns = (uint32_t)tensor->shape[1]};
    uint64_t whole = tensor->n_bytes / 4 * 4;
    status = loader_send(l, buffer, tensor->data, whole, err);
    if (!status && whole < tensor->n_bytes) {
        void *staging;
        status = gpu_upload_reserve(l->upload, buffer, whole, 4, &staging, err);
        if (!status) {
            memset(staging, 0, 4);
            memcpy(staging, (const char *)tensor->data + whole, (size_t)(tensor->n_bytes - whole));
        }
    }
    return status;
}
