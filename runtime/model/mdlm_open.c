/* Opening and closing MDLM models. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "model/mdlm_workspace.h"

static attention_shape shape_of(const mdlm_config *config)
{
    return (attention_shape){
        .n_heads = config->n_heads, .n_kv_heads = config->n_heads, .head_dim = mdlm_head_dim(config)};
}

/* Config and tensors of a checkpoint; deinit the tensors on success. */
static vkdlm_status read_checkpoint(checkpoint *ck, mdlm_config *config, mdlm_tensors *tensors,
                                    vkdlm_error *err)
{
    vkdlm_status status = mdlm_config_read(ck, config, err);
    return status ? status : mdlm_tensors_bind(ck, config, tensors, err);
}

/* Device bytes of the weights and of a workspace for one full canvas. `model` needs config, ld and what
 * decides the sizes of a workspace. */
static vkdlm_status estimate(mdlm *model, const mdlm_tensors *tensors, uint64_t *bytes, vkdlm_error *err)
{
    vkdlm_status status = mdlm_weights_estimate(&model->config, tensors, bytes, err);
    if (!status)
        status = weight_describe(tensors->head, &model->head, err);
    if (status)
        return status;
    model->ld = weight_pad(model->config.hidden_dim);
    model->attention.shape = shape_of(&model->config);
    mdlm_capacity capacity = {model->config.length, 1, model->config.length, 0};
    /* The staging ring goes before the workspace comes. */
    uint64_t workspace_bytes = mdlm_workspace_bytes(model, &capacity);
    *bytes += workspace_bytes > LOADER_STAGING_BYTES ? workspace_bytes : LOADER_STAGING_BYTES;
    return VKDLM_OK;
}

vkdlm_status mdlm_estimate(checkpoint *ck, uint64_t *device_bytes, vkdlm_error *err)
{
    mdlm model = {0};
    mdlm_tensors tensors;
    *device_bytes = 0;
    vkdlm_status status = read_checkpoint(ck, &model.config, &tensors, err);
    if (status)
        return status;
    status = estimate(&model, &tensors, device_bytes, err);
    mdlm_tensors_deinit(&tensors);
    return status;
}

/* Says how much is needed before anything is uploaded, rather than failing at some tensor in the middle. */
static vkdlm_status check_memory(mdlm *model, const mdlm_tensors *tensors, const checkpoint *ck,
                                 vkdlm_error *err)
{
    uint64_t needed;
    vkdlm_status status = estimate(model, tensors, &needed, err);
    if (status)
        return status;
    uint64_t available = gpu_device_available_bytes(model->device);
    if (needed <= available)
        return VKDLM_OK;
    return error_set(
        err, VKDLM_OUT_OF_DEVICE_MEMORY,
        "'%s': expected %.1f MiB of free memory on device '%s' for the weights and one canvas of %u tokens, "
        "found %.1f MiB",
        checkpoint_name(ck), (double)needed / 0x1p20, gpu_device_caps(model->device)->name,
        model->config.length, (double)available / 0x1p20);
}

vkdlm_status mdlm_open(gpu_device *device, checkpoint *ck, loader_progress_fn progress, void *user,
                       mdlm **out, vkdlm_error *err)
{
    *out = NULL;
    mdlm_tensors tensors = {0};
    mdlm *model = calloc(1, sizeof *model);
    if (!model)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", ck->directory);
    model->device = device;
    vkdlm_status status = read_checkpoint(ck, &model->config, &tensors, err);
    if (!status)
        status = check_memory(model, &tensors, ck, err);
    attention_shape shape = shape_of(&model->config);
    if (!status)
        status = attention_init(&model->attention, device, &shape, NULL, err);
    if (!status)
        status = mdlm_weights_upload(model, &tensors, progress, user, err);
    mdlm_tensors_deinit(&tensors);
    if (status) {
        mdlm_close(model);
        return status;
    }
    *out = model;
    return VKDLM_OK;
}

void mdlm_close(mdlm *model)
{
    if (!model)
        return;
    weight *const weights[] = {&model->head, &model->time_in, &model->time_out, &model->embedding_weight};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        weight_destroy(weights[i]);
    for (uint32_t i = 0; model->blocks && i < model->config.n_blocks; i++) {
        mdlm_block *block = &model->blocks[i];
        weight_destroy(&block->attn_qkv);
        weight_destroy(&block->attn_out);
        weight_destroy(&block->mlp_up);
        weight_destroy(&block->mlp_down);
    }
    for (uint32_t i = 0; model->modulation_weights && i <= model->config.n_blocks; i++)
        weight_destroy(&model->modulation_weights[i]);
    free(model->modulation_weights);
    free(model->blocks);
    gpu_buffer_destroy(&model->embedding_buffer);
    gpu_buffer_destroy(&model->vectors);
    rotary_table_destroy(&model->rotary);
    free(model);
}

const mdlm_config *mdlm_get_config(const mdlm *model)
{
    return &model->config;
}

uint64_t mdlm_weight_bytes(const mdlm *model)
{
    return model->weight_bytes;
}
