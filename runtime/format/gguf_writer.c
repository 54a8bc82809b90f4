#include "format/gguf_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"

enum { VERSION = 3, MAX_KEY_BYTES = 65535, MAX_NAME_BYTES = 63, MAX_DIMS = 4 };

/* Bytes that grow. */
typedef struct bytes {
    char *data;
    size_t size;
    FILE *stream;
} bytes;

typedef struct name_list {
    char **names;
    size_t n, capacity;
} name_list;

struct gguf_writer {
    char *path;
    bytes values, infos;
    name_list keys, tensors;
    uint64_t *sizes; /* bytes of each tensor, [tensors.capacity] */
    uint64_t data_bytes;
    uint64_t header_bytes; /* with its padding */
    vkdlm_error failure;   /* of a declaration */
    vkdlm_status status;
    file_output *output;
    size_t current;     /* tensor that is being written */
    uint64_t n_written; /* of it */
};

static const char padding[GGUF_WRITER_ALIGNMENT_BYTES];

static uint64_t aligned(uint64_t size)
{
    return size_round_up(size, GGUF_WRITER_ALIGNMENT_BYTES);
}

/* Keeps the first failure. */
static void fail(gguf_writer *w, vkdlm_status status, const char *what, const char *name, const char *why)
{
    if (w->status)
        return;
    w->status = status;
    if (status == VKDLM_OUT_OF_HOST_MEMORY)
        error_set(&w->failure, status, "'%s': out of memory", w->path);
    else
        error_set(&w->failure, status, "cannot write '%s': %s '%.100s': %s", w->path, what, name, why);
}

static void out_of_memory(gguf_writer *w)
{
    fail(w, VKDLM_OUT_OF_HOST_MEMORY, "", "", "");
}

static void append(gguf_writer *w, bytes *to, const void *data, size_t size)
{
    if (!w->status && size > 0 && fwrite(data, 1, size, to->stream) != size)
        out_of_memory(w);
}

static void append_u32(gguf_writer *w, bytes *to, uint32_t value)
{
    unsigned char field[4];
    for (int i = 0; i < 4; i++)
        field[i] = (unsigned char)(value >> 8 * i);
    append(w, to, field, sizeof field);
}

static void append_u64(gguf_writer *w, bytes *to, uint64_t value)
{
    append_u32(w, to, (uint32_t)value);
    append_u32(w, to, (uint32_t)(value >> 32));
}

static void append_string(gguf_writer *w, bytes *to, const char *text, size_t size)
{
    append_u64(w, to, size);
    append(w, to, text, size);
}

/* Checks and keeps a key or a name of a tensor. */
static void keep_name(gguf_writer *w, name_list *list, const char *what, const char *name, size_t max_bytes)
{
    if (w->status)
        return;
    size_t size = strlen(name);
    if (size == 0 || size > max_bytes || !utf8_valid((const unsigned char *)name, size)) {
        char why[80];
        snprintf(why, sizeof why, "expected 1 to %zu bytes of UTF-8, found others", max_bytes);
        fail(w, VKDLM_INVALID_ARGUMENT, what, name, why);
        return;
    }
    if (list->n == list->capacity) {
        size_t capacity = 2 * list->capacity + 64;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (!names) {
            out_of_memory(w);
            return;
        }
        list->names = names;
        list->capacity = capacity;
    }
    list->names[list->n] = strdup(name);
    if (list->names[list->n])
        list->n++;
    else
        out_of_memory(w);
}

vkdlm_status gguf_writer_create(const char *path, gguf_writer **out, vkdlm_error *err)
{
    gguf_writer *w = calloc(1, sizeof *w);
    *out = NULL;
    if (w) {
        w->path = strdup(path);
        w->values.stream = open_memstream(&w->values.data, &w->values.size);
        w->infos.stream = open_memstream(&w->infos.data, &w->infos.size);
    }
    if (!w || !w->path || !w->values.stream || !w->infos.stream) {
        gguf_writer_abort(w);
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    }
    *out = w;
    return VKDLM_OK;
}

/* ---- metadata ----------------------------------------------------------------------------------------- */

static void begin_value(gguf_writer *w, const char *key, gguf_type type)
{
    keep_name(w, &w->keys, "key", key, MAX_KEY_BYTES);
    append_string(w, &w->values, key, strlen(key));
    append_u32(w, &w->values, type);
}

void gguf_writer_put_u32(gguf_writer *w, const char *key, uint32_t value)
{
    begin_value(w, key, GGUF_U32);
    append_u32(w, &w->values, value);
}

void gguf_writer_put_f32(gguf_writer *w, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    begin_value(w, key, GGUF_F32);
    append_u32(w, &w->values, bits);
}

void gguf_writer_put_f64(gguf_writer *w, const char *key, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    begin_value(w, key, GGUF_F64);
    append_u64(w, &w->values, bits);
}

void gguf_writer_put_bool(gguf_writer *w, const char *key, bool value)
{
    begin_value(w, key, GGUF_BOOL);
    append(w, &w->values, value ? "\1" : "\0", 1);
}

void gguf_writer_put_string(gguf_writer *w, const char *key, const char *text)
{
    size_t size = strlen(text);
    if (!utf8_valid((const unsigned char *)text, size))
        fail(w, VKDLM_INVALID_ARGUMENT, "key", key, "expected a value in UTF-8, found other bytes");
    begin_value(w, key, GGUF_STRING);
    append_string(w, &w->values, text, size);
}

/* Bytes of a value; 0 where they differ. */
static size_t type_size(gguf_type type)
{
    static const unsigned char sizes[] = {
#define TYPE_SIZE(suffix, number, name, size) [number] = size,
        GGUF_TYPE_LIST(TYPE_SIZE)
#undef TYPE_SIZE
    };
    return sizes[type];
}

void gguf_writer_put_array(gguf_writer *w, const char *key, gguf_type element, const void *data, uint64_t n)
{
    begin_value(w, key, GGUF_ARRAY);
    append_u32(w, &w->values, element);
    append_u64(w, &w->values, n);
    append(w, &w->values, data, (size_t)n * type_size(element));
}

void gguf_writer_put_strings(gguf_writer *w, const char *key, const gguf_string *strings, uint64_t n)
{
    begin_value(w, key, GGUF_ARRAY);
    append_u32(w, &w->values, GGUF_STRING);
    append_u64(w, &w->values, n);
    for (uint64_t i = 0; i < n; i++)
        append_string(w, &w->values, strings[i].bytes, strings[i].size);
}

void gguf_writer_put_value(gguf_writer *w, const gguf_value *value)
{
    if (value->type == GGUF_ARRAY && value->element != GGUF_STRING) {
        gguf_writer_put_array(w, value->key, value->element, value->data, value->count);
        return;
    }
    begin_value(w, value->key, value->type);
    if (value->type == GGUF_STRING) {
        append_string(w, &w->values, (const char *)value->data, (size_t)value->count);
    } else if (value->type == GGUF_ARRAY) {
        const unsigned char *cursor = value->data;
        append_u32(w, &w->values, GGUF_STRING);
        append_u64(w, &w->values, value->count);
        for (uint64_t i = 0; i < value->count; i++) {
            gguf_string string = gguf_next_string(&cursor);
            append_string(w, &w->values, string.bytes, string.size);
        }
    } else {
        append(w, &w->values, value->data, type_size(value->type));
    }
}

/* ---- tensors ------------------------------------------------------------------------------------------ */

/* Number of a type in the file, -1 for one that GGUF lacks. */
static int dtype_number(vkdlm_dtype dtype)
{
    static const unsigned char numbers[VKDLM_DTYPE_COUNT] = {
        [VKDLM_DTYPE_F16] = 1,   [VKDLM_DTYPE_Q4_0] = 2,  [VKDLM_DTYPE_Q4_1] = 3,  [VKDLM_DTYPE_Q5_0] = 6,
        [VKDLM_DTYPE_Q5_1] = 7,  [VKDLM_DTYPE_Q8_0] = 8,  [VKDLM_DTYPE_Q2_K] = 10, [VKDLM_DTYPE_Q3_K] = 11,
        [VKDLM_DTYPE_Q4_K] = 12, [VKDLM_DTYPE_Q5_K] = 13, [VKDLM_DTYPE_Q6_K] = 14, [VKDLM_DTYPE_IQ4_NL] = 20,
        [VKDLM_DTYPE_I8] = 24,   [VKDLM_DTYPE_I16] = 25,  [VKDLM_DTYPE_I32] = 26,  [VKDLM_DTYPE_I64] = 27,
        [VKDLM_DTYPE_F64] = 28,  [VKDLM_DTYPE_BF16] = 30,
    };
    if (dtype >= VKDLM_DTYPE_COUNT || (numbers[dtype] == 0 && dtype != VKDLM_DTYPE_F32))
        return -1;
    return numbers[dtype];
}

/* NULL, or what is wrong; *n_bytes gets the size. */
static const char *check_shape(vkdlm_dtype dtype, uint32_t n_dims, const uint64_t *shape, uint64_t *n_bytes)
{
    uint32_t block_bytes;
    if (dtype_number(dtype) < 0)
        return "expected a type of GGUF files, found another";
    if (n_dims < 1 || n_dims > MAX_DIMS)
        return "expected 1 to 4 dimensions, found others";
    uint64_t block = vkdlm_dtype_block(dtype, &block_bytes), n = 1;
    if (shape[n_dims - 1] % block != 0)
        return "expected rows of whole blocks, found others";
    for (uint32_t i = 0; i < n_dims; i++)
        if (!size_mul(n, shape[i], &n))
            return "expected a size that fits 63 bits, found a larger one";
    if (!size_mul(n / block, block_bytes, n_bytes) || *n_bytes > INT64_MAX / 2)
        return "expected a size that fits 63 bits, found a larger one";
    return NULL;
}

void gguf_writer_declare(gguf_writer *w, const char *name, vkdlm_dtype dtype, uint32_t n_dims,
                         const uint64_t *shape)
{
    uint64_t n_bytes = 0;
    const char *why = check_shape(dtype, n_dims, shape, &n_bytes);
    if (!why && w->data_bytes > INT64_MAX / 2 - aligned(n_bytes))
        why = "expected a file that fits 63 bits, found a larger one";
    if (why)
        fail(w, VKDLM_INVALID_ARGUMENT, "tensor", name, why);
    keep_name(w, &w->tensors, "tensor", name, MAX_NAME_BYTES);
    if (w->status)
        return;
    uint64_t *sizes = realloc(w->sizes, w->tensors.capacity * sizeof *sizes);
    if (!sizes) {
        out_of_memory(w);
        return;
    }
    w->sizes = sizes;
    sizes[w->tensors.n - 1] = n_bytes;
    append_string(w, &w->infos, name, strlen(name));
    append_u32(w, &w->infos, n_dims);
    for (uint32_t i = n_dims; i-- > 0;)
        append_u64(w, &w->infos, shape[i]);
    append_u32(w, &w->infos, (uint32_t)dtype_number(dtype));
    append_u64(w, &w->infos, w->data_bytes);
    w->data_bytes += aligned(n_bytes);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    const char *const *s = a, *const *t = b;
    return strcmp(*s, *t);
}

/* Sorts the names. */
static void refuse_twice(gguf_writer *w, name_list *list, const char *what)
{
    if (list->n > 1)
        qsort(list->names, list->n, sizeof *list->names, compare_names);
    for (size_t i = 1; i < list->n; i++)
        if (strcmp(list->names[i - 1], list->names[i]) == 0)
            fail(w, VKDLM_INVALID_ARGUMENT, what, list->names[i], "expected it once, found it twice");
}

/* Behind tensors that are complete, their padding. */
static vkdlm_status advance(gguf_writer *w, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    while (!status && w->current < w->tensors.n && w->n_written == w->sizes[w->current]) {
        status = file_output_write(w->output, padding, (size_t)(aligned(w->n_written) - w->n_written), err);
        w->current++;
        w->n_written = 0;
    }
    return status;
}

vkdlm_status gguf_writer_begin(gguf_writer *w, vkdlm_error *err)
{
    refuse_twice(w, &w->keys, "key");
    refuse_twice(w, &w->tensors, "tensor");
    if (fflush(w->values.stream) != 0 || fflush(w->infos.stream) != 0)
        out_of_memory(w);
    if (w->status) {
        if (err)
            *err = w->failure;
        return w->status;
    }
    unsigned char head[24] = {'G', 'G', 'U', 'F', VERSION};
    for (int i = 0; i < 8; i++) {
        head[8 + i] = (unsigned char)((uint64_t)w->tensors.n >> 8 * i);
        head[16 + i] = (unsigned char)((uint64_t)w->keys.n >> 8 * i);
    }
    uint64_t n_bytes = sizeof head + w->values.size + w->infos.size;
    w->header_bytes = aligned(n_bytes);
    vkdlm_status status = file_output_create(w->path, &w->output, err);
    if (!status)
        status = file_output_write(w->output, head, sizeof head, err);
    if (!status)
        status = file_output_write(w->output, w->values.data, w->values.size, err);
    if (!status)
        status = file_output_write(w->output, w->infos.data, w->infos.size, err);
    if (!status)
        status = file_output_write(w->output, padding, (size_t)(w->header_bytes - n_bytes), err);
    return status ? status : advance(w, err);
}

vkdlm_status gguf_writer_write(gguf_writer *w, const void *data, uint64_t n_bytes, vkdlm_error *err)
{
    const char *from = data;
    vkdlm_status status = VKDLM_OK;
    while (!status && n_bytes > 0) {
        if (w->current == w->tensors.n)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "cannot write '%s': expected the data of %zu tensors, found %" PRIu64
                             " bytes more",
                             w->path, w->tensors.n, n_bytes);
        uint64_t n = u64_min(n_bytes, w->sizes[w->current] - w->n_written);
        status = file_output_write(w->output, from, (size_t)n, err);
        from += n;
        n_bytes -= n;
        w->n_written += n;
        if (!status)
            status = advance(w, err);
    }
    return status;
}

uint64_t gguf_writer_file_bytes(const gguf_writer *w)
{
    return w->header_bytes + w->data_bytes;
}

vkdlm_status gguf_writer_finish(gguf_writer *w, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    if (!w->output || w->current < w->tensors.n)
        status = error_set(err, VKDLM_INVALID_ARGUMENT,
                           "cannot complete '%s': expected the data of %zu tensors, found %zu", w->path,
                           w->tensors.n, w->current);
    if (!status) {
        status = file_output_commit(w->output, true, err);
        w->output = NULL;
    }
    gguf_writer_abort(w);
    return status;
}

static void free_names(name_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->names[i]);
    free(list->names);
}

static void free_bytes(bytes *b)
{
    if (b->stream)
        fclose(b->stream);
    free(b->data);
}

void gguf_writer_abort(gguf_writer *w)
{
    if (!w)
        return;
    file_output_abort(w->output);
    free_bytes(&w->values);
    free_bytes(&w->infos);
    free_names(&w->keys);
    free_names(&w->tensors);
    free(w->sizes);
    free(w->path);
    free(w);
}
