/* Public checkpoints: looking into model files without a device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "format/checkpoint.h"
#include "model/l2d_checkpoint.h"
#include "model/mdlm.h"
#include "session.h"

uint64_t tensors_count_elements(const vkdlm_tensors *tensors, uint64_t *n_bytes)
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

void flow_info_fill(const l2d_config *config, vkdlm_flow_info *out)
{
    *out = (vkdlm_flow_info){.present = true,
                             .dim = config->flow_dim,
                             .n_classes = config->n_classes,
                             .lora_rank = config->lora_rank,
                             .noise_scale = config->noise_scale,
                             .steps = config->steps,
                             .solver = config->solver,
                             .estimate = config->estimate,
                             .velocity = config->velocity,
                             .temperature = config->temperature,
                             .rtol = config->rtol,
                             .atol = config->atol,
                             .end_time = config->end_time};
}

/* A configuration entry as text. */
typedef struct parameter_text {
    const char *name; /* in the configuration */
    char value[120];
} parameter_text;

struct vkdlm_checkpoint {
    checkpoint *files, *l2d; /* l2d: NULL without a diffusion path */
    char *path_text;
    vkdlm_checkpoint_info info;
    l2d_config path; /* what info.flow points into */
    vkdlm_error why_not;
    parameter_text *parameters; /* scalars of the configuration */
    size_t n_parameters;
};

/* Copies what fits of n bytes of text, whole characters; a byte that is none becomes '?'. */
static void copy_text(const char *text, size_t n, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = utf8_decode((const unsigned char *)text + i, n - i, &cp);
        bool valid = cp != UTF8_INVALID && cp != 0;
        if (used + (valid ? length : 1) >= size)
            break;
        memcpy(out + used, valid ? text + i : "?", valid ? length : 1);
        used += valid ? length : 1;
        i += length;
    }
    out[used] = 0;
}

/* Prints a scalar; false for null, arrays and objects. */
static bool print_scalar(const json_t *value, char *out, size_t size)
{
    if (json_is_string(value))
        copy_text(json_string_value(value), json_string_length(value), out, size);
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

/* All pairs of a GGUF file. */
static void list_metadata(vkdlm_checkpoint *self, const gguf *metadata)
{
    for (size_t i = 0; i < metadata->n_values; i++) {
        const gguf_value *value = &metadata->values[i];
        parameter_text *p = &self->parameters[self->n_parameters++];
        p->name = value->key;
        if (value->type == GGUF_STRING)
            copy_text((const char *)value->data, (size_t)value->count, p->value, sizeof p->value);
        else
            gguf_describe(value, p->value, sizeof p->value);
    }
}

static vkdlm_status list_parameters(vkdlm_checkpoint *self, vkdlm_error *err)
{
    const gguf *metadata = self->files->metadata;
    json_t *config = checkpoint_config(self->files).object ? self->files->config : NULL;
    self->parameters =
        calloc((metadata ? metadata->n_values : json_object_size(config)) + 1, sizeof *self->parameters);
    if (!self->parameters)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory reading '%s'", self->path_text);
    if (metadata)
        list_metadata(self, metadata);
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

/* Whether it can be run, and what that takes. */
static void examine(vkdlm_checkpoint *self)
{
    vkdlm_checkpoint_info *info = &self->info;
    vkdlm_status status;
    if (llm_config_is(self->files)) {
        status = llm_estimate(self->files, self->l2d, &info->device_bytes, &self->why_not);
        info->family = VKDLM_FAMILY_CAUSAL;
        if (!status && self->l2d && l2d_config_read(self->l2d, &self->path, NULL) == VKDLM_OK)
            flow_info_fill(&self->path, &info->flow);
    } else {
        status = mdlm_estimate(self->files, &info->device_bytes, &self->why_not);
        info->family = VKDLM_FAMILY_MASKED;
    }
    info->runnable = status == VKDLM_OK;
    info->why_not = info->runnable ? NULL : self->why_not.message;
}

vkdlm_status vkdlm_checkpoint_open(const char *path, vkdlm_checkpoint **out, vkdlm_error *err)
{
    return vkdlm_checkpoint_open_l2d(path, NULL, out, err);
}

vkdlm_status vkdlm_checkpoint_open_l2d(const char *path, const char *l2d, vkdlm_checkpoint **out,
                                       vkdlm_error *err)
{
    *out = NULL;
    vkdlm_checkpoint *self = calloc(1, sizeof *self);
    if (!self)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", path);
    vkdlm_status status;
    self->path_text = strdup(path);
    if (!self->path_text) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", path);
        goto fail;
    }
    status = checkpoint_open(path, &self->files, err);
    if (!status)
        status = l2d_checkpoint_open(l2d, self->files->directory, &self->l2d, err);
    if (!status)
        status = list_parameters(self, err);
    if (status)
        goto fail;

    vkdlm_checkpoint_info *info = &self->info;
    json_scope config = checkpoint_config(self->files);
    if (self->files->metadata)
        info->architecture = self->files->architecture;
    else if (json_get_string_or(&config, "model_type", "unknown", &info->architecture, NULL))
        info->architecture = "unknown";
    info->path = self->path_text;
    info->tokenizer = self->files->tokenizer_path;
    info->n_parameters = tensors_count_elements(self->files->tensors, &info->file_bytes);
    examine(self);
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
    checkpoint_close(self->l2d);
    free(self->path_text);
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

const char *vkdlm_checkpoint_l2d_path(const vkdlm_checkpoint *self)
{
    return self->l2d ? checkpoint_name(self->l2d) : NULL;
}

char *vkdlm_checkpoint_l2d_config(const vkdlm_checkpoint *self)
{
    return self->l2d ? json_dumps(self->l2d->config, JSON_COMPACT) : NULL;
}

const vkdlm_tensors *vkdlm_checkpoint_l2d_tensors(const vkdlm_checkpoint *self)
{
    return self->l2d ? self->l2d->tensors : NULL;
}
