#include "model/mdlm_weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "format/convert.h"
#include "model/modulation.h"

/* Half of the staging ring: large enough to hide the latency of a copy, small beside the host memory. */
#define STAGING_BYTES          (8u << 20)
#define VECTOR_ALIGNMENT_BYTES 256u

/* ---- vectors -------------------------------------------------------------------------------------- */

/* Every f32 vector of the model, gathered on the host and sent as one buffer. */
typedef struct vector_list {
    float *data;
    uint64_t n, room; /* floats */
    const gpu_buffer *buffer;
    bool failed;
} vector_list;

/* Makes room for a vector of n floats, zeroed; NULL when out of memory. *view is where it will be. */
static float *vectors_add(vector_list *list, uint64_t n, gpu_view *view)
{
    uint64_t start = size_round_up(list->n, VECTOR_ALIGNMENT_BYTES / sizeof(float));
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

static void add_tensor(vector_list *list, const vkdlm_tensor *tensor, gpu_view *view)
{
    float *out = vectors_add(list, weight_pad((uint32_t)tensor->n_elements), view);
    for (uint64_t i = 0; out && i < tensor->n_elements; i++)
        out[i] = convert_element(tensor, i);
}

/* The biases of every adaLN layer in the order of a modulation row. */
static void add_modulation_bias(mdlm *model, vector_list *list, const mdlm_tensors *tensors)
{
    uint32_t n_chunks = modulation_chunks(&model->config), stride = modulation_stride(&model->config);
    float *out = vectors_add(list, modulation_width(&model->config), &model->modulation_bias);
    for (uint32_t chunk = 0; out && chunk < n_chunks; chunk++) {
        const vkdlm_tensor *weight_tensor, *bias;
        uint32_t first_row;
        modulation_source(tensors, &model->config, chunk, &weight_tensor, &bias, &first_row);
        for (uint32_t i = 0; i < model->config.hidden_dim; i++)
            out[(size_t)chunk * stride + i] = convert_element(bias, first_row + i);
    }
}

static vkdlm_status collect_vectors(mdlm *model, vector_list *list, const mdlm_tensors *tensors,
                                    vkdlm_error *err)
{
    for (uint32_t i = 0; i < model->config.n_blocks; i++) {
        const mdlm_block_tensors *from = &tensors->blocks[i];
        mdlm_block *to = &model->blocks[i];
        add_tensor(list, from->norm1, &to->norm1);
        add_tensor(list, from->norm2, &to->norm2);
        add_tensor(list, from->mlp_up_bias, &to->mlp_up_bias);
        add_tensor(list, from->mlp_down_bias, &to->mlp_down_bias);
    }
    add_tensor(list, tensors->final_norm, &model->final_norm);
    add_tensor(list, tensors->head_bias, &model->head_bias);
    if (model->config.time_conditioning) {
        add_tensor(list, tensors->time_in_bias, &model->time_in_bias);
        add_tensor(list, tensors->time_out_bias, &model->time_out_bias);
        add_modulation_bias(model, list, tensors);
    } else {
        float *row = vectors_add(list, modulation_width(&model->config), &model->modulation);
        if (row) {
            vkdlm_status status = modulation_fold(tensors, &model->config, row, err);
            if (status)
                return status;
        }
    }
    if (list->failed)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory gathering the norms and biases");
    return VKDLM_OK;
}

/* ---- uploads -------------------------------------------------------------------------------------- */

typedef struct loader {
    mdlm *model;
    gpu_upload *upload;
    mdlm_progress_fn progress;
    void *user;
    uint64_t done_bytes, total_bytes;
} loader;

static vkdlm_status advance(loader *l, uint64_t bytes, vkdlm_error *err)
{
    l->done_bytes += bytes;
    if (l->progress && !l->progress(l->user, l->done_bytes, l->total_bytes))
        return error_set(err, VKDLM_CANCELLED, "loading the model was cancelled");
    return VKDLM_OK;
}

/* Sends `bytes` of host memory to the beginning of a buffer. */
static vkdlm_status send(loader *l, const gpu_buffer *to, const void *data, uint64_t bytes, vkdlm_error *err)
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

static vkdlm_status send_weight(loader *l, const vkdlm_tensor *tensor, weight *out, vkdlm_error *err)
{
    vkdlm_status status = weight_upload(l->model->device, l->upload, tensor, out, err);
    return status ? status : advance(l, out->bytes, err);
}

static vkdlm_status send_embedding(loader *l, const vkdlm_tensor *tensor, vkdlm_error *err)
{
    mdlm *model = l->model;
    /* Elements may be two bytes, and the kernel reads whole words. */
    uint64_t bytes = size_round_up(tensor->n_bytes, 4);
    vkdlm_status status = gpu_buffer_create(model->device, GPU_MEMORY_DEVICE, bytes, tensor->name,
                                            &model->embedding_buffer, err);
    if (status)
        return status;
    model->embedding = (embed_table){.buffer = &model->embedding_buffer,
                                     .dtype = tensor->dtype,
                                     .n_rows = (uint32_t)tensor->shape[0],
                                     .n_columns = (uint32_t)tensor->shape[1]};
    uint64_t whole = tensor->n_bytes / 4 * 4;
    status = send(l, &model->embedding_buffer, tensor->data, whole, err);
    if (!status && whole < tensor->n_bytes) {
        void *staging;
        status = gpu_upload_reserve(l->upload, &model->embedding_buffer, whole, 4, &staging, err);
        if (!status) {
            memset(staging, 0, 4);
            memcpy(staging, (const char *)tensor->data + whole, (size_t)(tensor->n_bytes - whole));
        }
    }
    return status;
}

/* Describes the weight that stacks every adaLN layer: f32, chunks as in a modulation row. */
static void describe_modulation(const mdlm_config *config, weight *out)
{
    uint32_t n_columns = modulation_width(config), depth = config->cond_dim;
    *out = (weight){.dtype = VKDLM_DTYPE_F32,
                    .n_columns = n_columns,
                    .depth = depth,
                    .n_panels = n_columns / WEIGHT_PANEL_COLUMNS,
                    .panel_bytes = (uint64_t)weight_pad(depth) * WEIGHT_PANEL_COLUMNS * sizeof(float)};
    out->bytes = out->panel_bytes * out->n_panels;
}

/* One panel of that weight: [ld(C)][32]. */
static void pack_modulation_panel(const mdlm *model, const mdlm_tensors *tensors, uint32_t panel, float *out)
{
    uint32_t panels_per_chunk = modulation_stride(&model->config) / WEIGHT_PANEL_COLUMNS;
    uint32_t depth = model->config.cond_dim, padded = weight_pad(depth);
    const vkdlm_tensor *from, *bias;
    uint32_t first_row;
    modulation_source(tensors, &model->config, panel / panels_per_chunk, &from, &bias, &first_row);
    uint32_t column = panel % panels_per_chunk * WEIGHT_PANEL_COLUMNS;
    for (uint32_t k = 0; k < padded; k++) {
        for (uint32_t j = 0; j < WEIGHT_PANEL_COLUMNS; j++) {
            bool inside = k < depth && column + j < model->config.hidden_dim;
            uint64_t index = (uint64_t)(first_row + column + j) * depth + k;
            out[(size_t)k * WEIGHT_PANEL_COLUMNS + j] = inside ? convert_element(from, index) : 0.0f;
        }
    }
}

static vkdlm_status send_modulation(loader *l, const mdlm_tensors *tensors, vkdlm_error *err)
{
    mdlm *model = l->model;
    weight *out = &model->modulation_weight;
    weight described;
    describe_modulation(&model->config, &described);
    vkdlm_status status = gpu_buffer_create(model->device, GPU_MEMORY_DEVICE, described.bytes, "modulation",
                                            &described.buffer, err);
    if (status)
        return status;
    *out = described;
    for (uint32_t panel = 0; panel < out->n_panels; panel++) {
        void *staging;
        status = gpu_upload_reserve(l->upload, &out->buffer, panel * out->panel_bytes, out->panel_bytes,
                                    &staging, err);
        if (status)
            return status;
        pack_modulation_panel(model, tensors, panel, staging);
        status = advance(l, out->panel_bytes, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

/* The matrices of the model in upload order: calls visit for each; stops at the first failure. */
typedef vkdlm_status (*weight_visitor)(void *user, const vkdlm_tensor *tensor, weight *slot,
                                       vkdlm_error *err);

static vkdlm_status visit_weights(const mdlm_config *config, const mdlm_tensors *tensors, mdlm *model,
                                  weight_visitor visit, void *user, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < config->n_blocks && !status; i++) {
        const mdlm_block_tensors *from = &tensors->blocks[i];
        mdlm_block *to = model ? &model->blocks[i] : NULL;
        const vkdlm_tensor *const matrices[] = {from->attn_qkv, from->attn_out, from->mlp_up, from->mlp_down};
        weight *const slots[] = {to ? &to->attn_qkv : NULL, to ? &to->attn_out : NULL,
                                 to ? &to->mlp_up : NULL, to ? &to->mlp_down : NULL};
        for (size_t j = 0; j < sizeof slots / sizeof *slots && !status; j++)
            status = visit(user, matrices[j], slots[j], err);
    }
    if (!status)
        status = visit(user, tensors->head, model ? &model->head : NULL, err);
    if (!status && config->time_conditioning)
        status = visit(user, tensors->time_in, model ? &model->time_in : NULL, err);
    if (!status && config->time_conditioning)
        status = visit(user, tensors->time_out, model ? &model->time_out : NULL, err);
    return status;
}

static vkdlm_status visit_send(void *user, const vkdlm_tensor *tensor, weight *slot, vkdlm_error *err)
{
    return send_weight(user, tensor, slot, err);
}

static vkdlm_status visit_count(void *user, const vkdlm_tensor *tensor, weight *slot, vkdlm_error *err)
{
    (void)slot;
    weight described;
    vkdlm_status status = weight_describe(tensor, &described, err);
    *(uint64_t *)user += described.bytes;
    return status;
}

vkdlm_status mdlm_weights_estimate(const mdlm_config *config, const mdlm_tensors *tensors, uint64_t *bytes,
                                   vkdlm_error *err)
{
    *bytes = tensors->embedding->n_bytes;
    vkdlm_status status = visit_weights(config, tensors, NULL, visit_count, bytes, err);
    weight modulation;
    uint32_t ld = weight_pad(config->hidden_dim);
    describe_modulation(config, &modulation);
    uint64_t vectors = modulation.n_columns + weight_pad(config->vocab_size) +
                       (uint64_t)config->n_blocks * (3 * ld + weight_pad(4 * config->hidden_dim));
    *bytes += vectors * sizeof(float) + (config->time_conditioning ? modulation.bytes : 0);
    *bytes += (uint64_t)config->length * mdlm_head_dim(config) * sizeof(float);
    return status;
}

vkdlm_status mdlm_weights_upload(mdlm *model, const mdlm_tensors *tensors, mdlm_progress_fn progress,
                                 void *user, vkdlm_error *err)
{
    const mdlm_config *config = &model->config;
    loader l = {.model = model, .progress = progress, .user = user};
    vector_list vectors = {.buffer = &model->vectors};
    uint64_t bytes_before = gpu_device_bytes(model->device);
    vkdlm_status status = mdlm_weights_estimate(config, tensors, &l.total_bytes, err);
    if (status)
        return status;

    model->ld = weight_pad(config->hidden_dim);
    model->blocks = calloc(config->n_blocks, sizeof *model->blocks);
    if (!model->blocks)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", config->n_blocks);
    status = collect_vectors(model, &vectors, tensors, err);
    if (!status)
        status = gpu_buffer_create(model->device, GPU_MEMORY_DEVICE, vectors.n * sizeof(float),
                                   "norms and biases", &model->vectors, err);
    if (!status)
        status = rotary_table_create(model->device, config->length, mdlm_head_dim(config), 10000.0, NULL,
                                     &model->rotary, err);
    uint64_t bytes_resident = gpu_device_bytes(model->device) - bytes_before;
    if (!status)
        status = gpu_upload_create(model->device, MDLM_STAGING_BYTES / 2, &l.upload, err);
    uint64_t bytes_staging = gpu_device_bytes(model->device) - bytes_before - bytes_resident;
    if (!status)
        status = send(&l, &model->vectors, vectors.data, vectors.n * sizeof(float), err);
    if (!status)
        status = send_embedding(&l, tensors->embedding, err);
    if (!status)
        status = visit_weights(config, tensors, model, visit_send, &l, err);
    if (!status && config->time_conditioning)
        status = send_modulation(&l, tensors, err);
    if (!status)
        status = gpu_upload_flush(l.upload, err);
    model->weight_bytes = gpu_device_bytes(model->device) - bytes_before - bytes_staging;
    gpu_upload_destroy(l.upload);
    free(vectors.data);
    return status;
}
