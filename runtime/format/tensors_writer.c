/* vkdlm_tensors_writer: a safetensors file, its header first, then data in any order. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/tensors.h>

#include "base/error.h"
#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"
#include "format/safetensors.h"

/* The header is padded so that the data begins at a multiple of this. */
#define ALIGNMENT_BYTES 8

typedef struct entry {
    char *name;
    uint64_t begin; /* in the data */
    uint64_t n_bytes;
    uint64_t n_written;
} entry;

struct vkdlm_tensors_writer {
    char *path;
    file_output *output;
    uint64_t n_header_bytes; /* with its length field */
    entry *entries;
    size_t n_entries;
};

static vkdlm_status refuse(vkdlm_error *err, const char *path, const char *name, const char *what)
{
    return error_set(err, VKDLM_INVALID_ARGUMENT, "cannot write tensor '%.200s' to '%s': %s", name, path,
                     what);
}

static bool is_text(const char *text)
{
    return text && utf8_valid((const unsigned char *)text, strlen(text));
}

/* Checks spec and fills *out except for begin. */
static vkdlm_status check_spec(const char *path, const vkdlm_tensor_spec *spec, entry *out, vkdlm_error *err)
{
    if (!is_text(spec->name))
        return refuse(err, path, spec->name ? spec->name : "", "expected a name in UTF-8, found other bytes");
    if (spec->name[0] == 0 || strcmp(spec->name, SAFETENSORS_METADATA) == 0)
        return refuse(err, path, spec->name, "expected a name of a tensor, found an empty or reserved one");
    if (vkdlm_dtype_size(spec->dtype) == 0)
        return refuse(err, path, spec->name, "expected a dtype of vkdlm_dtype, found an unknown number");
    if (spec->n_dims > VKDLM_MAX_DIMS)
        return refuse(err, path, spec->name, "expected at most 8 dimensions, found more");
    uint64_t product = vkdlm_dtype_size(spec->dtype);
    bool empty = false;
    for (uint32_t i = 0; i < spec->n_dims; i++) {
        empty |= spec->shape[i] == 0;
        if (spec->shape[i] > 0 && (!size_mul(product, spec->shape[i], &product) || product > INT64_MAX))
            return refuse(err, path, spec->name, "expected a size that fits 63 bits, found a larger one");
    }
    out->n_bytes = empty ? 0 : product;
    out->name = strdup(spec->name);
    return out->name ? VKDLM_OK : error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
}

/* Places larger elements first, so that every tensor is aligned to its element. */
static vkdlm_status place(vkdlm_tensors_writer *self, const vkdlm_tensor_spec *specs, vkdlm_error *err)
{
    uint64_t end = 0;
    for (size_t size = 8; size > 0; size /= 2) {
        for (size_t i = 0; i < self->n_entries; i++) {
            if (vkdlm_dtype_size(specs[i].dtype) != size)
                continue;
            self->entries[i].begin = end;
            if (!size_add(end, self->entries[i].n_bytes, &end) ||
                end > INT64_MAX - SAFETENSORS_MAX_HEADER_BYTES - ALIGNMENT_BYTES)
                return refuse(err, self->path, specs[i].name,
                              "expected a file size that fits 63 bits, found a larger one");
        }
    }
    return VKDLM_OK;
}

static json_t *entry_json(const vkdlm_tensor_spec *spec, const entry *e)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < spec->n_dims; i++)
        json_array_append_new(shape, json_integer((json_int_t)spec->shape[i]));
    if (json_array_size(shape) != spec->n_dims) {
        json_decref(shape);
        shape = NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", vkdlm_dtype_name(spec->dtype), "shape", shape,
                     "data_offsets", (json_int_t)e->begin, (json_int_t)(e->begin + e->n_bytes));
}

/* The header's object; INVALID_ARGUMENT for names or keys that occur twice. */
static vkdlm_status build_header(const vkdlm_tensors_writer *self, const vkdlm_tensor_spec *specs,
                                 const char *const (*metadata)[2], size_t n_metadata, json_t *root,
                                 vkdlm_error *err)
{
    json_t *texts = json_object();
    int failed = 0;
    for (size_t i = 0; i < n_metadata; i++) {
        const char *key = metadata[i][0], *value = metadata[i][1];
        if (!is_text(key) || !is_text(value) || json_object_get(texts, key)) {
            json_decref(texts);
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "cannot write '%s': metadata pair %zu: expected a new key and a value in UTF-8,"
                             " found others",
                             self->path, i);
        }
        failed |= json_object_set_new(texts, key, json_string(value));
    }
    if (n_metadata > 0)
        failed |= json_object_set_new(root, SAFETENSORS_METADATA, texts);
    else
        json_decref(texts);
    for (size_t i = 0; i < self->n_entries; i++) {
        if (json_object_get(root, specs[i].name))
            return refuse(err, self->path, specs[i].name, "expected different names, found this one twice");
        failed |= json_object_set_new(root, specs[i].name, entry_json(&specs[i], &self->entries[i]));
    }
    return failed ? error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", self->path) : VKDLM_OK;
}

static vkdlm_status write_header(vkdlm_tensors_writer *self, const json_t *root, vkdlm_error *err)
{
    char *text = json_dumps(root, JSON_COMPACT);
    if (!text)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", self->path);
    size_t n_text = strlen(text);
    uint64_t length = size_round_up(n_text, ALIGNMENT_BYTES);
    unsigned char length_field[8];
    for (int i = 0; i < 8; i++)
        length_field[i] = (unsigned char)(length >> 8 * i);
    self->n_header_bytes = 8 + length;
    vkdlm_status status = VKDLM_OK;
    if (length > SAFETENSORS_MAX_HEADER_BYTES)
        status = error_set(err, VKDLM_INVALID_ARGUMENT,
                           "cannot write '%s': expected a header of at most %u bytes, found %" PRIu64,
                           self->path, SAFETENSORS_MAX_HEADER_BYTES, length);
    if (!status)
        status = file_output_create(self->path, &self->output, err);
    if (!status)
        status = file_output_write(self->output, length_field, sizeof length_field, err);
    if (!status)
        status = file_output_write(self->output, text, n_text, err);
    if (!status)
        status = file_output_write(self->output, "       ", (size_t)length - n_text, err);
    if (!status)
        status = file_output_flush(self->output, err);
    free(text);
    return status;
}

vkdlm_status vkdlm_tensors_writer_create(const char *path, const vkdlm_tensor_spec *specs, size_t n_specs,
                                         const char *const (*metadata)[2], size_t n_metadata,
                                         vkdlm_tensors_writer **out, vkdlm_error *err)
{
    if (!out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tensors_writer_create: out is NULL");
    *out = NULL;
    if (!path || (n_specs && !specs) || (n_metadata && !metadata))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tensors_writer_create: an argument is NULL");

    vkdlm_tensors_writer *self = calloc(1, sizeof *self);
    json_t *root = json_object();
    vkdlm_status status = VKDLM_OK;
    if (self) {
        self->path = strdup(path);
        self->entries = calloc(n_specs + 1, sizeof *self->entries);
    }
    if (!self || !root || !self->path || !self->entries)
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    for (size_t i = 0; !status && i < n_specs; i++) {
        status = check_spec(path, &specs[i], &self->entries[i], err);
        self->n_entries++;
    }
    if (!status)
        status = place(self, specs, err);
    if (!status)
        status = build_header(self, specs, metadata, n_metadata, root, err);
    if (!status)
        status = write_header(self, root, err);
    json_decref(root);
    if (status) {
        vkdlm_tensors_writer_abort(self);
        return status;
    }
    *out = self;
    return VKDLM_OK;
}

vkdlm_status vkdlm_tensors_writer_write(vkdlm_tensors_writer *writer, size_t index, uint64_t offset,
                                        const void *data, size_t n_bytes, vkdlm_error *err)
{
    if (index >= writer->n_entries)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "cannot write '%s': expected a tensor below %zu, found %zu", writer->path,
                         writer->n_entries, index);
    entry *e = &writer->entries[index];
    if (offset > e->n_bytes || n_bytes > e->n_bytes - offset)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "cannot write tensor '%.200s' to '%s': expected bytes within %" PRIu64
                         ", found %zu at %" PRIu64,
                         e->name, writer->path, e->n_bytes, n_bytes, offset);
    if (n_bytes == 0)
        return VKDLM_OK;
    e->n_written += n_bytes;
    return file_output_write_at(writer->output, writer->n_header_bytes + e->begin + offset, data, n_bytes,
                                err);
}

vkdlm_status vkdlm_tensors_writer_finish(vkdlm_tensors_writer *writer, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; !status && i < writer->n_entries; i++) {
        const entry *e = &writer->entries[i];
        if (e->n_written < e->n_bytes)
            status = error_set(err, VKDLM_INVALID_ARGUMENT,
                               "cannot complete '%s': tensor '%.200s': expected %" PRIu64
                               " bytes written, found %" PRIu64,
                               writer->path, e->name, e->n_bytes, e->n_written);
    }
    if (!status) {
        status = file_output_commit(writer->output, true, err);
        writer->output = NULL;
    }
    vkdlm_tensors_writer_abort(writer);
    return status;
}

void vkdlm_tensors_writer_abort(vkdlm_tensors_writer *writer)
{
    if (!writer)
        return;
    file_output_abort(writer->output);
    for (size_t i = 0; i < writer->n_entries; i++)
        free(writer->entries[i].name);
    free(writer->entries);
    free(writer->path);
    free(writer);
}
