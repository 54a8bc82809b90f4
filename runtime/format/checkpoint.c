#include "format/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"

/* directory/name when it is there, else NULL; false when out of memory. */
static bool find_beside(const char *directory, const char *name, char **out)
{
    *out = file_join(directory, name);
    if (!*out)
        return false;
    if (file_probe(*out) == FILE_MISSING) {
        free(*out);
        *out = NULL;
    }
    return true;
}

static bool is_beside(const char *directory, const char *name, bool *found)
{
    char *path;
    bool ok = find_beside(directory, name, &path);
    *found = path != NULL;
    free(path);
    return ok;
}

static vkdlm_status no_memory(const char *path, vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
}

/* UNSUPPORTED when a directory has only weights of a kind that is not read. */
static vkdlm_status refuse_foreign_weights(const char *directory, vkdlm_error *err)
{
    static const char *const ours[] = {"model.safetensors", "model.safetensors.index.json"};
    static const char *const foreign[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
                                          "flax_model.msgpack"};
    bool found;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (!is_beside(directory, ours[i], &found))
            return no_memory(directory, err);
        if (found)
            return VKDLM_OK;
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (!is_beside(directory, foreign[i], &found))
            return no_memory(directory, err);
        if (found)
            return error_set(err, VKDLM_UNSUPPORTED,
                             "'%s': expected weights in safetensors files, found only %s, which has to be"
                             " converted first",
                             directory, foreign[i]);
    }
    return VKDLM_OK;
}

vkdlm_status checkpoint_open_files(const char *weights, const char *config_path, checkpoint **out,
                                   vkdlm_error *err)
{
    *out = NULL;
    checkpoint *self = calloc(1, sizeof *self);
    if (!self)
        return no_memory(weights, err);
    self->config_path = strdup(config_path);
    self->directory = file_dirname(config_path);
    vkdlm_status status = self->config_path && self->directory ? VKDLM_OK : no_memory(weights, err);
    if (!status)
        status = json_open(config_path, &self->config, err);
    if (!status)
        status = vkdlm_tensors_open(weights, &self->tensors, err);
    if (!status) {
        self->taken = calloc(vkdlm_tensors_count(self->tensors) + 1, sizeof *self->taken);
        if (!self->taken || !find_beside(self->directory, "tokenizer.json", &self->tokenizer_path) ||
            (!self->tokenizer_path && !find_beside(self->directory, "vocab.json", &self->tokenizer_path)))
            status = no_memory(weights, err);
    }
    if (status) {
        checkpoint_close(self);
        return status;
    }
    *out = self;
    return VKDLM_OK;
}

/* Opens a GGUF file, which holds everything. */
static vkdlm_status open_gguf(const char *path, checkpoint **out, vkdlm_error *err)
{
    gguf_string name;
    checkpoint *self = calloc(1, sizeof *self);
    if (!self)
        return no_memory(path, err);
    vkdlm_status status = vkdlm_tensors_open(path, &self->tensors, err);
    if (!status) {
        self->metadata = gguf_of_tensors(self->tensors);
        status = gguf_get_string(self->metadata, "general.architecture", &name, err);
    }
    if (!status) {
        self->architecture = strndup(name.bytes, name.size);
        self->config_path = strdup(path);
        self->directory = file_dirname(path);
        self->taken = calloc(vkdlm_tensors_count(self->tensors) + 1, sizeof *self->taken);
        bool has_tokenizer = gguf_find(self->metadata, "tokenizer.ggml.model") != NULL;
        self->tokenizer_path = has_tokenizer ? strdup(path) : NULL;
        if (!self->architecture || !self->config_path || !self->directory || !self->taken ||
            (has_tokenizer && !self->tokenizer_path))
            status = no_memory(path, err);
    }
    if (status) {
        checkpoint_close(self);
        return status;
    }
    *out = self;
    return VKDLM_OK;
}

vkdlm_status checkpoint_open(const char *path, checkpoint **out, vkdlm_error *err)
{
    *out = NULL;
    file_kind kind = file_probe(path);
    if (kind == FILE_MISSING)
        return error_set(err, VKDLM_NOT_FOUND,
                         "'%s': expected a model directory, a .safetensors or a .gguf file, found nothing",
                         path);
    if (kind == FILE_OTHER)
        return error_set(err, VKDLM_IO,
                         "'%s': expected a model directory, a .safetensors or a .gguf file, found a device"
                         " or a pipe",
                         path);
    if (gguf_probe(path))
        return open_gguf(path, out, err);

    char *directory = kind == FILE_DIRECTORY ? strdup(path) : file_dirname(path);
    char *config = NULL;
    vkdlm_status status = VKDLM_OK;
    if (!directory || !find_beside(directory, "config.json", &config))
        status = no_memory(path, err);
    else if (!config)
        status = error_set(err, VKDLM_NOT_FOUND,
                           "'%s': expected config.json in the model's directory '%s', found none", path,
                           directory);
    else if (kind == FILE_DIRECTORY)
        status = refuse_foreign_weights(path, err);
    if (!status)
        status = checkpoint_open_files(path, config, out, err);
    free(config);
    free(directory);
    return status;
}

void checkpoint_close(checkpoint *self)
{
    if (!self)
        return;
    free(self->taken);
    vkdlm_tensors_close(self->tensors);
    json_decref(self->config);
    free(self->architecture);
    free(self->tokenizer_path);
    free(self->config_path);
    free(self->directory);
    free(self);
}

json_scope checkpoint_config(const checkpoint *self)
{
    return (json_scope){.object = self->config, .file = self->config_path};
}

bool checkpoint_has(const checkpoint *self, const char *name)
{
    return vkdlm_tensors_find(self->tensors, name) != NULL;
}

/* Writes "[2, 3]" to out, cut when it does not fit. */
static void format_shape(uint32_t n_dims, const uint64_t *shape, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (uint32_t i = 0; i < n_dims && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%" PRIu64, i ? ", " : "", shape[i]);
    if (n < size)
        snprintf(out + n, size - n, "]");
}

/* vkdlm_tensors_at walks one array. */
static void mark(checkpoint *self, const vkdlm_tensor *tensor)
{
    self->taken[tensor - vkdlm_tensors_at(self->tensors, 0)] = true;
}

vkdlm_status checkpoint_take(checkpoint *self, const char *name, uint32_t n_dims, const uint64_t *shape,
                             const vkdlm_tensor **out, vkdlm_error *err)
{
    *out = NULL;
    char expected[256], found[256];
    format_shape(n_dims, shape, expected, sizeof expected);
    const vkdlm_tensor *tensor = vkdlm_tensors_find(self->tensors, name);
    if (!tensor)
        return error_set(err, VKDLM_MALFORMED, "'%s': tensor '%s': expected shape %s, found no such tensor",
                         checkpoint_name(self), name, expected);
    uint32_t block_bytes;
    bool quantised = vkdlm_dtype_block(tensor->dtype, &block_bytes) > 1;
    if (!(quantised && n_dims == 2) && tensor->dtype != VKDLM_DTYPE_F32 && tensor->dtype != VKDLM_DTYPE_F16 &&
        tensor->dtype != VKDLM_DTYPE_BF16)
        return error_set(err, VKDLM_MALFORMED, "'%s': tensor '%s': expected dtype F32, F16 or BF16, found %s",
                         tensor->file, name, vkdlm_dtype_name(tensor->dtype));
    if (tensor->n_dims != n_dims || memcmp(tensor->shape, shape, n_dims * sizeof *shape) != 0) {
        format_shape(tensor->n_dims, tensor->shape, found, sizeof found);
        return error_set(err, VKDLM_MALFORMED, "'%s': tensor '%s': expected shape %s, found %s", tensor->file,
                         name, expected, found);
    }
    mark(self, tensor);
    *out = tensor;
    return VKDLM_OK;
}

void checkpoint_ignore(checkpoint *self, const char *name)
{
    const vkdlm_tensor *tensor = vkdlm_tensors_find(self->tensors, name);
    if (tensor)
        mark(self, tensor);
}

const vkdlm_tensor *checkpoint_next_unexpected(const checkpoint *self, size_t *cursor)
{
    while (*cursor < vkdlm_tensors_count(self->tensors)) {
        size_t i = (*cursor)++;
        if (!self->taken[i])
            return vkdlm_tensors_at(self->tensors, i);
    }
    return NULL;
}

vkdlm_status checkpoint_refuse_unexpected(const checkpoint *self, vkdlm_error *err)
{
    enum { SHOWN = 3 };
    char names[512] = "";
    size_t cursor = 0, count = 0, used = 0;
    const char *file = NULL;
    const vkdlm_tensor *tensor;
    while ((tensor = checkpoint_next_unexpected(self, &cursor))) {
        if (!file)
            file = tensor->file;
        if (count++ < SHOWN)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s'%.120s'", used ? ", " : "",
                                     tensor->name);
    }
    if (count == 0)
        return VKDLM_OK;
    return error_set(err, VKDLM_MALFORMED,
                     "'%s': expected only tensors of the model, found %zu that it does not use: %s%s", file,
                     count, names, count > SHOWN ? ", ..." : "");
}
