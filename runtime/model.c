/* Public models: opening a checkpoint of any family on a device. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "device.h"
#include "format/checkpoint.h"
#include "model/l2d_checkpoint.h"
#include "session.h"

/* The tokenizer may know at most the ids that the network embeds. A masked network embeds one more, its mask,
 * unless the tokenizer knows the mask itself; tables of causal networks are often padded. */
static vkdlm_status check_tokenizer(const vkdlm_tokenizer *tokenizer, uint32_t vocab_size, bool masked,
                                    const char *file, vkdlm_error *err)
{
    uint32_t found = vkdlm_tokenizer_vocab_size(tokenizer);
    if (masked ? found == vocab_size || found + 1 == vocab_size : found <= vocab_size)
        return VKDLM_OK;
    if (!masked)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "'%s': expected at most the model's %u tokens, found a tokenizer of %u", file,
                         vocab_size, found);
    return error_set(
        err, VKDLM_INVALID_ARGUMENT,
        "'%s': expected the model's %u tokens (or %u with the mask token), found a tokenizer of %u", file,
        vocab_size - 1, vocab_size, found);
}

/* Ids that the network of a checkpoint embeds. */
static vkdlm_status read_vocab_size(const checkpoint *ck, uint32_t *out, vkdlm_error *err)
{
    llm_config of_causal;
    mdlm_config of_masked;
    bool causal_model = llm_config_is(ck);
    vkdlm_status status =
        causal_model ? llm_config_read(ck, &of_causal, err) : mdlm_config_read(ck, &of_masked, err);
    if (!status)
        *out = causal_model ? of_causal.vocab_size : of_masked.vocab_size;
    return status;
}

static vkdlm_status open_tokenizer(vkdlm_model *model, const checkpoint *ck, const char *given,
                                   vkdlm_error *err)
{
    const char *path = given ? given : ck->tokenizer_path;
    uint32_t vocab_size;
    vkdlm_status status = read_vocab_size(ck, &vocab_size, err);
    if (status || !path)
        return status;
    status = vkdlm_tokenizer_open(path, &model->tokenizer, err);
    return status ? status : check_tokenizer(model->tokenizer, vocab_size, !llm_config_is(ck), path, err);
}

static vkdlm_status open_network(vkdlm_model *model, checkpoint *ck, checkpoint *l2d,
                                 const vkdlm_model_options *options, vkdlm_error *err)
{
    gpu_device *gpu = model->device->gpu;
    if (llm_config_is(ck))
        return llm_open(gpu, ck, l2d, options->progress, options->user, &model->llm, err);
    if (l2d)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "'%s': expected a Llama or Qwen2 model beside a diffusion path, found another kind",
                         ck->config_path);
    return mdlm_open(gpu, ck, options->progress, options->user, &model->mdlm, err);
}

vkdlm_status vkdlm_model_open(vkdlm_device *device, const char *path, const vkdlm_model_options *options,
                              vkdlm_model **out, vkdlm_error *err)
{
    *out = NULL;
    vkdlm_model_options defaults = {0};
    if (!options)
        options = &defaults;
    checkpoint *ck = NULL, *l2d = NULL;
    vkdlm_model *model = NULL;
    vkdlm_status status = checkpoint_open(path, &ck, err);
    if (!status)
        status = l2d_checkpoint_open(options->l2d, ck->directory, &l2d, err);
    if (status)
        goto fail;
    model = calloc(1, sizeof *model);
    if (!model) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", path);
        goto fail;
    }
    model->device = device;
    uint64_t file_bytes;
    model->n_parameters = tensors_count_elements(ck->tensors, &file_bytes);
    if (l2d)
        model->n_parameters += tensors_count_elements(l2d->tensors, &file_bytes);
    status = open_tokenizer(model, ck, options->tokenizer, err);
    if (!status)
        status = open_network(model, ck, l2d, options, err);
    if (status)
        goto fail;
    checkpoint_close(ck);
    checkpoint_close(l2d);
    *out = model;
    return VKDLM_OK;
fail:
    vkdlm_model_close(model);
    checkpoint_close(ck);
    checkpoint_close(l2d);
    return status;
}

void vkdlm_model_close(vkdlm_model *model)
{
    if (!model)
        return;
    mdlm_close(model->mdlm);
    llm_close(model->llm);
    vkdlm_tokenizer_close(model->tokenizer);
    free(model);
}

static void masked_info(const vkdlm_model *model, vkdlm_model_info *info)
{
    const mdlm_config *config = mdlm_get_config(model->mdlm);
    *info = (vkdlm_model_info){
        .architecture = "mdlm",
        .family = VKDLM_FAMILY_MASKED,
        .vocab_size = config->vocab_size,
        .mask_id = (int32_t)config->vocab_size - 1,
        .length = config->length,
        .hidden_dim = config->hidden_dim,
        .n_blocks = config->n_blocks,
        .n_heads = config->n_heads,
        .cond_dim = config->cond_dim,
        .begin_id = -1,
        .time_conditioning = config->time_conditioning,
        .weight_bytes = mdlm_weight_bytes(model->mdlm),
    };
}

static void causal_info(const vkdlm_model *model, vkdlm_model_info *info)
{
    const llm_config *config = llm_get_config(model->llm);
    const l2d_config *path = llm_get_path_config(model->llm);
    *info = (vkdlm_model_info){
        .architecture = config->architecture,
        .family = VKDLM_FAMILY_CAUSAL,
        .vocab_size = config->vocab_size,
        .mask_id = -1,
        .length = config->context,
        .hidden_dim = config->hidden_dim,
        .n_blocks = config->n_blocks,
        .n_heads = config->n_heads,
        .n_kv_heads = config->n_kv_heads,
        .head_dim = config->head_dim,
        .mlp_dim = config->mlp_dim,
        .cond_dim = path ? path->cond_dim : 0,
        .time_conditioning = path != NULL,
        .begin_id = config->begin_id,
        .n_end_ids = config->n_end_ids,
        .weight_bytes = llm_weight_bytes(model->llm),
    };
    memcpy(info->end_ids, config->end_ids, sizeof info->end_ids);
    if (path)
        flow_info_fill(path, &info->flow);
}

void vkdlm_model_get_info(const vkdlm_model *model, vkdlm_model_info *info)
{
    if (model->llm)
        causal_info(model, info);
    else
        masked_info(model, info);
    info->n_parameters = model->n_parameters;
}

const vkdlm_tokenizer *vkdlm_model_tokenizer(const vkdlm_model *model)
{
    return model->tokenizer;
}
