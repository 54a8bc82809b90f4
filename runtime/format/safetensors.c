#include "format/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "format/json.h"

/* The file being parsed: its path and the data section. */
typedef struct source {
    const char *path;
    const unsigned char *data;
    uint64_t n_data_bytes;
    vkdlm_error *err;
} source;

/* Splits the file into the header's JSON text, without its padding, and the data. */
static vkdlm_status split_file(const unsigned char *bytes, size_t size, source *src, const char **text,
                               size_t *n_text)
{
    if (size < 8)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': expected 8 bytes of header length, found a file of %zu bytes", src->path,
                         size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > SAFETENSORS_MAX_HEADER_BYTES)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': expected a header of at most %u bytes, found a length of %" PRIu64, src->path,
                         SAFETENSORS_MAX_HEADER_BYTES, length);
    if (length > size - 8)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': expected a header of %" PRIu64
                         " bytes, found only %zu bytes after the length",
                         src->path, length, size - 8);
    *text = (const char *)bytes + 8;
    *n_text = (size_t)length;
    while (*n_text > 0 && (*text)[*n_text - 1] == ' ')
        --*n_text;
    if (*n_text < 2 || (*text)[0] != '{' || (*text)[*n_text - 1] != '}')
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': expected a header that begins with '{' and ends with '}' and spaces,"
                         " found other bytes",
                         src->path);
    src->data = bytes + 8 + length;
    src->n_data_bytes = size - 8 - length;
    return VKDLM_OK;
}

static vkdlm_status check_metadata(const source *src, const json_t *metadata)
{
    json_scope root = {.file = src->path};
    json_scope scope = {.object = metadata, .file = src->path, .name = SAFETENSORS_METADATA, .parent = &root};
    if (!json_is_object(metadata))
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': " SAFETENSORS_METADATA ": expected an object of strings, found another type",
                         src->path);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        if (!json_is_string(value))
            return json_refuse(&scope, key, "a string", src->err);
    }
    return VKDLM_OK;
}

static vkdlm_status parse_dtype(const source *src, const json_scope *entry, vkdlm_tensor *tensor)
{
    const char *name = NULL;
    vkdlm_status status = json_get_string(entry, "dtype", &name, src->err);
    if (status)
        return status;
    for (int dtype = 0; vkdlm_dtype_size((vkdlm_dtype)dtype) > 0; dtype++) {
        if (strcmp(name, vkdlm_dtype_name((vkdlm_dtype)dtype)) == 0) {
            tensor->dtype = (vkdlm_dtype)dtype;
            return VKDLM_OK;
        }
    }
#define DTYPE_TEXT(suffix, text, size) " " text
    return json_refuse(entry, "dtype", "one of" VKDLM_DTYPE_LIST(DTYPE_TEXT), src->err);
#undef DTYPE_TEXT
}

/* Element number `index` of the array under `key`: an integer that is not negative. */
static vkdlm_status parse_size(const source *src, const json_scope *entry, const char *key, size_t index,
                               uint64_t *out)
{
    const json_t *value = json_array_get(json_object_get(entry->object, key), index);
    json_int_t integer = json_integer_value(value);
    if (!json_is_integer(value) || integer < 0) {
        char found[128];
        json_describe(value, found, sizeof found);
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': %.200s.%s[%zu]: expected an integer that is not negative, found %s",
                         src->path, entry->name, key, index, found);
    }
    *out = (uint64_t)integer;
    return VKDLM_OK;
}

/* shape, n_elements and n_bytes. */
static vkdlm_status parse_shape(const source *src, const json_scope *entry, vkdlm_tensor *tensor)
{
    const json_t *shape;
    vkdlm_status status = json_get_array(entry, "shape", &shape, src->err);
    if (status)
        return status;
    size_t n_dims = json_array_size(shape);
    if (n_dims > VKDLM_MAX_DIMS)
        return error_set(src->err, VKDLM_UNSUPPORTED,
                         "'%s': %.200s.shape: expected at most %d dimensions, found %zu", src->path,
                         entry->name, VKDLM_MAX_DIMS, n_dims);
    tensor->n_dims = (uint32_t)n_dims;
    /* Without zeros, so that the product of any of the dimensions fits too. */
    uint64_t product = vkdlm_dtype_size(tensor->dtype);
    bool empty = false;
    for (size_t i = 0; i < n_dims; i++) {
        status = parse_size(src, entry, "shape", i, &tensor->shape[i]);
        if (status)
            return status;
        empty |= tensor->shape[i] == 0;
        if (tensor->shape[i] > 0 && !size_mul(product, tensor->shape[i], &product))
            return error_set(src->err, VKDLM_MALFORMED,
                             "'%s': %.200s.shape: expected a size that fits 64 bits,"
                             " found dimensions whose product does not",
                             src->path, entry->name);
    }
    tensor->n_bytes = empty ? 0 : product;
    tensor->n_elements = tensor->n_bytes / vkdlm_dtype_size(tensor->dtype);
    return VKDLM_OK;
}

static vkdlm_status parse_offsets(const source *src, const json_scope *entry, vkdlm_tensor *tensor)
{
    const json_t *offsets;
    vkdlm_status status = json_get_array(entry, "data_offsets", &offsets, src->err);
    if (status)
        return status;
    if (json_array_size(offsets) != 2)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': %.200s.data_offsets: expected a begin and an end, found %zu elements",
                         src->path, entry->name, json_array_size(offsets));
    uint64_t begin = 0, end = 0;
    status = parse_size(src, entry, "data_offsets", 0, &begin);
    if (!status)
        status = parse_size(src, entry, "data_offsets", 1, &end);
    if (status)
        return status;
    if (end < begin)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': %.200s.data_offsets: expected an end after the begin %" PRIu64
                         ", found %" PRIu64,
                         src->path, entry->name, begin, end);
    if (end > src->n_data_bytes)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': %.200s.data_offsets: expected an end within the %" PRIu64
                         " bytes of data, found %" PRIu64,
                         src->path, entry->name, src->n_data_bytes, end);
    if (end - begin != tensor->n_bytes)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': %.200s.data_offsets: expected %" PRIu64 " bytes for its shape and dtype %s,"
                         " found %" PRIu64,
                         src->path, entry->name, tensor->n_bytes, vkdlm_dtype_name(tensor->dtype),
                         end - begin);
    tensor->data = src->data + begin;
    return VKDLM_OK;
}

static vkdlm_status parse_entry(const source *src, const char *name, const json_t *value,
                                vkdlm_tensor *tensor)
{
    json_scope root = {.file = src->path};
    json_scope entry = {.object = value, .file = src->path, .name = name, .parent = &root};
    if (name[0] == 0)
        return error_set(src->err, VKDLM_MALFORMED, "'%s': expected tensor names, found an empty one",
                         src->path);
    if (!json_is_object(value)) {
        char found[128];
        json_describe(value, found, sizeof found);
        return error_set(src->err, VKDLM_MALFORMED, "'%s': %.200s: expected an object, found %s", src->path,
                         name, found);
    }
    *tensor = (vkdlm_tensor){.file = src->path};
    vkdlm_status status = parse_dtype(src, &entry, tensor);
    if (!status)
        status = parse_shape(src, &entry, tensor);
    if (!status)
        status = parse_offsets(src, &entry, tensor);
    return status;
}

/* All entries, in the header's order; names are copied behind one another. */
static vkdlm_status parse_entries(const source *src, json_t *root, safetensors *out)
{
    size_t n_tensors = 0, n_name_bytes = 0;
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        if (strcmp(name, SAFETENSORS_METADATA) == 0)
            continue;
        n_tensors++;
        n_name_bytes += strlen(name) + 1;
    }
    out->tensors = calloc(n_tensors + 1, sizeof *out->tensors);
    out->names = malloc(n_name_bytes + 1);
    if (!out->tensors || !out->names)
        return error_set(src->err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory for %zu tensors", src->path,
                         n_tensors);

    char *next_name = out->names;
    json_object_foreach(root, name, value)
    {
        vkdlm_status status;
        if (strcmp(name, SAFETENSORS_METADATA) == 0) {
            status = check_metadata(src, value);
            out->metadata = json_incref(value);
        } else {
            vkdlm_tensor *tensor = &out->tensors[out->n_tensors++];
            status = parse_entry(src, name, value, tensor);
            size_t n = strlen(name) + 1;
            tensor->name = memcpy(next_name, name, n);
            next_name += n;
        }
        if (status)
            return status;
    }
    return VKDLM_OK;
}

static int compare_data(const void *a, const void *b)
{
    const vkdlm_tensor *s = a, *t = b;
    uintptr_t p = (uintptr_t)s->data, q = (uintptr_t)t->data;
    if (p != q)
        return p < q ? -1 : 1;
    if (s->n_bytes != t->n_bytes)
        return s->n_bytes < t->n_bytes ? -1 : 1;
    return strcmp(s->name, t->name);
}

/* Sorts the tensors by their data and checks that they own every byte of it exactly once. */
static vkdlm_status check_coverage(const source *src, safetensors *out)
{
    qsort(out->tensors, out->n_tensors, sizeof *out->tensors, compare_data);
    uint64_t end = 0;
    for (size_t i = 0; i < out->n_tensors; i++) {
        const vkdlm_tensor *tensor = &out->tensors[i];
        uint64_t begin = (uint64_t)((const unsigned char *)tensor->data - src->data);
        if (begin != end)
            return error_set(src->err, VKDLM_MALFORMED,
                             "'%s': %.200s: expected its data at byte %" PRIu64
                             ", where the tensor before it ends, found byte %" PRIu64,
                             src->path, tensor->name, end, begin);
        end += tensor->n_bytes;
    }
    if (end != src->n_data_bytes)
        return error_set(src->err, VKDLM_MALFORMED,
                         "'%s': expected %" PRIu64 " bytes of data for its tensors, found %" PRIu64,
                         src->path, end, src->n_data_bytes);
    return VKDLM_OK;
}

vkdlm_status safetensors_parse(const unsigned char *bytes, size_t size, const char *path, safetensors *out,
                               vkdlm_error *err)
{
    *out = (safetensors){0};
    source src = {.path = path, .err = err};
    const char *text = NULL;
    size_t n_text = 0;
    vkdlm_status status = split_file(bytes, size, &src, &text, &n_text);
    if (status)
        return status;

    char where[512];
    snprintf(where, sizeof where, "'%.480s': header", path);
    json_t *root;
    status = json_parse_object(text, n_text, where, &root, err);
    if (status)
        return status;
    status = parse_entries(&src, root, out);
    if (!status)
        status = check_coverage(&src, out);
    json_decref(root);
    if (status)
        safetensors_deinit(out);
    return status;
}

void safetensors_deinit(safetensors *contents)
{
    json_decref(contents->metadata);
    free(contents->names);
    free(contents->tensors);
    *contents = (safetensors){0};
}
