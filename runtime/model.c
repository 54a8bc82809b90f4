/* Public checkpoints and models. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "device.h"
#include "format/checkpoint.h"
#include "model/mdlm.h"
#include "session.h"

static uint64_t count_parameters(const vkdlm_tensors *tensors, uint64_t *n_bytes)
{
    uint64_t n_elements = 0;
    *n_bytes = 0;
    for (size_t i = 0; i < vkdlm_tensors_count(tensors); i++) {
        const vkdlm_tensor *t = vkdlm_tensors_at(tensors, i);
        n_elements += t->n_elements;
        *n_bytes += t->n_bytes;
    }
    return n_elements;
}

/* ---- checkpoints ---------------------------------------------------------------------------------- */

/* A configuration entry as text. */
typedef struct parameter_text {
    const char *name; /* in the configuration */
    char value[120];
} parameter_text;

struct vkdlm_checkpoint {
    checkpoint *files;
    char *path;
    vkdlm_checkpoint_info info;
    vkdlm_error why_not;
    parameter_text *parameters; /* scalars of the configuration */
    size_t n_parameters;
};

/* Prints a scalar; false for null, arrays and objects. */
static bool print_scalar(const json_t *value, char *out, size_t size)
{
    if (json_is_string(value))
        snprintf(out, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(out, size, "%.17g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(out, size, "%s", json_is_true(value) ? "true" : "false");
    else
        return false;
    return true;
}

static vkdlm_status list_parameters(vkdlm_checkpoint *self, vkdlm_error *err)
{
    json_t *config = checkpoint_config(self->files).object ? self->files->config : NULL;
    self->parameters = calloc(json_object_size(config) + 1, sizeof *self->parameters);
    if (!self->parameters)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory reading '%s'", self->path);
    const char *key;
    json_t *value;
    json_object_foreach(config, key, value)
    {
        parameter_text *p = &self->parameters[self->n_parameters];
        p->name = key;
        if (print_scalar(value, p->value, sizeof p->value))
            self->n_parameters++;
    }
    return VKDLM_OK;
}

vkdlm_status vkdlm_checkpoint_open(const char *path, vkdlm_checkpoint **out, vkdlm_error *err)
{
    *out = NULL;
    vkdlm_checkpoint *self = calloc(1, sizeof *self);
    if (!self)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", path);
    vkdlm_status status;
    self->path = strdup(path);
    if (!self->path) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", path);
        goto fail;
    }
    status = checkpoint_open(path, &self->files, err);
    if (status)
        goto fail;
    status = list_parameters(self, err);
    if (status)
        goto fail;

    vkdlm_checkpoint_info *info = &self->info;
    json_scope config = checkpoint_config(self->files);
    if (json_get_string_or(&config, "model_type", "unknown", &info->architecture, NULL))
        info->architecture = "unknown";
    info->path = self->path;
    info->tokenizer = self->files->tokenizer_path;
    info->n_parameters = count_parameters(self->files->tensors, &info->file_bytes);
    info->runnable = mdlm_estimate(self->files, &info->device_bytes, &self->why_not) == VKDLM_OK;
    info->why_not = info->runnable ? NULL : self->why_not.message;
    *out = self;
    return VKDLM_OK;
fail:
    vkdlm_checkpoint_close(self);
    return status;
}

void vkdlm_checkpoint_close(vkdlm_checkpoint *self)
{
    if (!self)
        return;
    free(self->parameters);
    checkpoint_close(self->files);
    free(self->path);
    free(self);
}

void vkdlm_checkpoint_get_info(const vkdlm_checkpoint *self, vkdlm_checkpoint_info *info)
{
    *info = self->info;
}

bool vkdlm_checkpoint_parameter(const vkdlm_checkpoint *self, size_t index, vkdlm_parameter *out)
{
    if (index >= self->n_parameters)
        return false;
    *out = (vkdlm_parameter){self->parameters[index].name, self->parameters[index].value};
    return true;
}

const vkdlm_tensors *vkdlm_checkpoint_tensors(const vkdlm_checkpoint *self)
{
    return self->files->tensors;
}

/* ---- models ---------------------------------------------------------------------------------------- */

/* The network embeds V ids, the last of which is the mask: the tokenizer must give exactly the others. A
 * tokenizer that knows the mask token itself has V. */
static vkdlm_status check_tokenizer(const vkdlm_tokenizer *tokenizer, const mdlm_config *config,
                                    const char *file, vkdlm_error *err)
{
    uint32_t found = vkdlm_tokenizer_vocab_size(tokenizer);
    if (found == config->vocab_size || found + 1 == config->vocab_size)
        return VKDLM_OK;
    return error_set(
        err, VKDLM_INVALID_ARGUMENT,
        "'%s': expected the model's %u tokens (or %u with the mask token), found a tokenizer of %u", file,
        config->vocab_size - 1, config->vocab_size, found);
}

vkdlm_status vkdlm_model_open(vkdlm_device *device, const char *path, const vkdlm_model_options *options,
                              vkdlm_model **out, vkdlm_error *err)
{
    *out = NULL;
    vkdlm_model_options defaults = {0};
    if (!options)
        options = &defaults;
    checkpoint *ck = NULL;
    vkdlm_status status = checkpoint_open(path, &ck, err);
    if (status)
        return status;
    vkdlm_model *model = calloc(1, sizeof *model);
    if (!model) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", path);
        goto fail;
    }
    model->device = device;
    uint64_t file_bytes;
    model->n_parameters = count_parameters(ck->tensors, &file_bytes);
    const char *tokenizer = options->tokenizer ? options->tokenizer : ck->tokenizer_path;
    mdlm_config config;
    status = mdlm_config_read(ck, &config, err);
    if (!status && tokenizer)
        status = vkdlm_tokenizer_open(tokenizer, &model->tokenizer, err);
    if (!status && tokenizer)
        status = check_tokenizer(model->tokenizer, &config, tokenizer, err);
    if (!status)
        status = mdlm_open(device->gpu, ck, options->progress, options->user, &model->network, err);
    if (status)
        goto fail;
    checkpoint_close(ck);
    *out = model;
    return VKDLM_OK;
fail:
    vkdlm_model_close(model);
    checkpoint_close(ck);
    return status;
}

void vkdlm_model_close(vkdlm_model *model)
{
    if (!model)
        return;
    mdlm_close(model->network);
    vkdlm_tokenizer_close(model->tokenizer);
    free(model);
}

void vkdlm_model_get_info(const vkdlm_model *model, vkdlm_model_info *info)
{
    const mdlm_config *config = mdlm_get_config(model->network);
    *info = (vkdlm_model_info){
        .architecture = "mdlm",
        .vocab_size = config->vocab_size,
        .mask_id = (int32_t)config->vocab_size - 1,
        .length = config->length,
        .hidden_dim = config->hidden_dim,
        .n_blocks = config->n_blocks,
        .n_heads = config->n_heads,
        .cond_dim = config->cond_dim,
        .time_conditioning = config->time_conditioning,
        .n_parameters = model->n_parameters,
        .weight_bytes = mdlm_weight_bytes(model->network),
    };
}

const vkdlm_tokenizer *vkdlm_model_tokenizer(const vkdlm_model *model)
{
    return model->tokenizer;
}
