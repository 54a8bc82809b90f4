#include "model/mdlm_weights.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "format/convert.h"
#include "model/modulation.h"

/* ---- vectors -------------------------------------------------------------------------------------- */

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
        vectors_add_tensor(list, from->norm1, &to->norm1);
        vectors_add_tensor(list, from->norm2, &to->norm2);
        vectors_add_tensor(list, from->mlp_up_bias, &to->mlp_up_bias);
        vectors_add_tensor(list, from->mlp_down_bias, &to->mlp_down_bias);
    }
    vectors_add_tensor(list, tensors->final_norm, &model->final_norm);
    vectors_add_tensor(list, tensors->head_bias, &model->head_bias);
    if (model->config.time_conditioning) {
        vectors_add_tensor(list, tensors->time_in_bias, &model->time_in_bias);
        vectors_add_tensor(list, tensors->time_out_bias, &model->time_out_bias);
        add_modulation_bias(model, list, tensors);
    } else {
        float *row = vectors_add(list, modulation_width(&model->config), &model->modulation);
        if (row) {
            vkdlm_status status = modulation_fold(tensors, &model->config, row, err);
            if (status)
                return status;
        }
    }
    return vectors_check(list, err);
}

/* ---- uploads -------------------------------------------------------------------------------------- */

/* Whether all adaLN layers can be stacked. */
static bool is_modulation_uniform(const mdlm_config *config, const mdlm_tensors *tensors)
{
    for (uint32_t i = 0; i < config->n_blocks; i++)
        if (tensors->blocks[i].modulation->dtype != tensors->final_modulation->dtype)
            return false;
    return true;
}

/* The matrices of the model in upload order: calls visit for each; stops at the first failure. */
typedef vkdlm_status (*weight_visitor)(void *user, const weight_source *source, weight *slot,
                                       vkdlm_error *err);

static vkdlm_status visit_tensor(const vkdlm_tensor *tensor, weight_visitor visit, void *user, weight *slot,
                                 vkdlm_error *err)
{
    const weight_part part = {.tensor = tensor};
    const weight_source source = {.parts = &part, .n_parts = 1, .name = tensor->name};
    return visit(user, &source, slot, err);
}

/* The adaLN layers as one weight, or one by one; chunks as in a modulation row. */
static vkdlm_status visit_modulation(const mdlm_config *config, const mdlm_tensors *tensors, mdlm *model,
                                     weight_visitor visit, void *user, vkdlm_error *err)
{
    uint32_t n_chunks = modulation_chunks(config);
    uint32_t step = is_modulation_uniform(config, tensors) ? n_chunks : MODULATION_BLOCK_CHUNKS;
    weight_part *parts = calloc(n_chunks, sizeof *parts);
    if (!parts)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for the modulation");
    for (uint32_t chunk = 0; chunk < n_chunks; chunk++) {
        const vkdlm_tensor *bias;
        parts[chunk] = (weight_part){.n_columns = config->hidden_dim};
        modulation_source(tensors, config, chunk, &parts[chunk].tensor, &bias, &parts[chunk].first);
    }
    vkdlm_status status = VKDLM_OK;
    for (uint32_t first = 0, i = 0; first < n_chunks && !status; first += step, i++) {
        const weight_source source = {.parts = parts + first,
                                      .n_parts = u32_min(step, n_chunks - first),
                                      .column_step = modulation_stride(config),
                                      .name = "modulation"};
        status = visit(user, &source, model ? &model->modulation_weights[i] : NULL, err);
    }
    free(parts);
    return status;
}

static bool is_quantised(const vkdlm_tensor *tensor)
{
    uint32_t block_bytes;
    return vkdlm_dtype_block(tensor->dtype, &block_bytes) > 1;
}

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
            status = visit_tensor(matrices[j], visit, user, slots[j], err);
    }
    if (!status)
        status = visit_tensor(tensors->head, visit, user, model ? &model->head : NULL, err);
    if (!status && is_quantised(tensors->embedding))
        status = visit_tensor(tensors->embedding, visit, user, model ? &model->embedding_weight : NULL, err);
    if (!config->time_conditioning)
        return status;
    if (!status)
        status = visit_tensor(tensors->time_in, visit, user, model ? &model->time_in : NULL, err);
    if (!status)
        status = visit_tensor(tensors->time_out, visit, user, model ? &model->time_out : NULL, err);
    return status ? status : visit_modulation(config, tensors, model, visit, user, err);
}

static vkdlm_status visit_send(void *user, const weight_source *source, weight *slot, vkdlm_error *err)
{
    return loader_send_source(user, source, slot, err);
}

static vkdlm_status visit_count(void *user, const weight_source *source, weight *slot, vkdlm_error *err)
{
    (void)slot;
    weight described;
    vkdlm_status status = weight_describe_source(source, &described, err);
    *(uint64_t *)user += described.bytes;
    return status;
}

vkdlm_status mdlm_weights_estimate(const mdlm_config *config, const mdlm_tensors *tensors, uint64_t *bytes,
                                   vkdlm_error *err)
{
    *bytes = is_quantised(tensors->embedding) ? 0 : tensors->embedding->n_bytes;
    vkdlm_status status = visit_weights(config, tensors, NULL, visit_count, bytes, err);
    uint32_t ld = weight_pad(config->hidden_dim);
    uint64_t vectors = modulation_width(config) + weight_pad(config->vocab_size) +
                       (uint64_t)config->n_blocks * (3 * ld + weight_pad(4 * config->hidden_dim));
    *bytes += vectors * sizeof(float);
    *bytes += (uint64_t)config->length * mdlm_head_dim(config) * sizeof(float);
    return status;
}

vkdlm_status mdlm_weights_upload(mdlm *model, const mdlm_tensors *tensors, loader_progress_fn progress,
                                 void *user, vkdlm_error *err)
{
    const mdlm_config *config = &model->config;
    loader l = {.device = model->device, .progress = progress, .user = user};
    vector_list vectors = {.buffer = &model->vectors};
    uint64_t bytes_before = gpu_device_bytes(model->device);
    vkdlm_status status = mdlm_weights_estimate(config, tensors, &l.total_bytes, err);
    if (status)
        return status;

    model->ld = weight_pad(config->hidden_dim);
    model->blocks = calloc(config->n_blocks, sizeof *model->blocks);
    model->modulation_weights = calloc(config->n_blocks + 1, sizeof *model->modulation_weights);
    if (!model->blocks || !model->modulation_weights)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", config->n_blocks);
    status = collect_vectors(model, &vectors, tensors, err);
    if (!status)
        status = rotary_table_create(model->device, config->length, mdlm_head_dim(config), 10000.0, NULL,
                                     &model->rotary, err);
    if (!status)
        status = loader_begin(&l, err);
    if (!status)
        status = loader_send_vectors(&l, &vectors, &model->vectors, err);
    if (!status && !is_quantised(tensors->embedding))
        status = loader_send_table(&l, tensors->embedding, &model->embedding_buffer, &model->embedding, err);
    if (!status)
        status = visit_weights(config, tensors, model, visit_send, &l, err);
    status = loader_end(&l, status, err);
    if (!status && is_quantised(tensors->embedding))
        model->embedding = embed_table_of(&model->embedding_weight);
    model->weight_bytes = gpu_device_bytes(model->device) - bytes_before;
    free(vectors.data);
    return status;
}
