/* Parsing a GGUF file. */
#include "format/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"

enum { MAX_KEY_BYTES = 65535, MAX_NAME_BYTES = 63, MAX_DIMS = 4, DEFAULT_ALIGNMENT = 32 };

/* The least that a pair and a tensor's description take: a key of one byte with a value of one, a name of one
 * byte without dimensions. */
enum { MIN_PAIR_BYTES = 8 + 1 + 4 + 1, MIN_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8 };

/* The bytes not yet read. */
typedef struct reader {
    const unsigned char *begin, *at, *end;
    const char *path;
    vkdlm_error *err;
} reader;

/* ---- primitives --------------------------------------------------------------------------------------- */

static uint64_t left(const reader *r)
{
    return (uint64_t)(r->end - r->at);
}

static vkdlm_status ends(const reader *r, const char *what, uint64_t n_bytes)
{
    return error_set(r->err, VKDLM_MALFORMED,
                     "'%s': expected %" PRIu64 " bytes of %s at byte %" PRIu64 ", found only %" PRIu64,
                     r->path, n_bytes, what, (uint64_t)(r->at - r->begin), left(r));
}

static vkdlm_status read_u32(reader *r, const char *what, uint32_t *out)
{
    if (left(r) < 4)
        return ends(r, what, 4);
    *out = 0;
    for (int i = 3; i >= 0; i--)
        *out = *out << 8 | r->at[i];
    r->at += 4;
    return VKDLM_OK;
}

static uint64_t u64_at(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static vkdlm_status read_u64(reader *r, const char *what, uint64_t *out)
{
    if (left(r) < 8)
        return ends(r, what, 8);
    *out = u64_at(r->at);
    r->at += 8;
    return VKDLM_OK;
}

/* The bytes of a string lie in the file. */
static vkdlm_status read_string(reader *r, const char *what, gguf_string *out)
{
    uint64_t size = 0;
    vkdlm_status status = read_u64(r, what, &size);
    if (status)
        return status;
    if (size > left(r))
        return ends(r, what, size);
    *out = (gguf_string){(const char *)r->at, (size_t)size};
    r->at += size;
    return VKDLM_OK;
}

/* A key or the name of a tensor. */
static vkdlm_status read_name(reader *r, const char *what, size_t max_bytes, gguf_string *out)
{
    vkdlm_status status = read_string(r, what, out);
    if (status)
        return status;
    if (out->size == 0 || out->size > max_bytes)
        return error_set(r->err, VKDLM_MALFORMED, "'%s': expected %s of 1 to %zu bytes, found %zu", r->path,
                         what, max_bytes, out->size);
    if (!utf8_valid((const unsigned char *)out->bytes, out->size) || memchr(out->bytes, 0, out->size))
        return error_set(r->err, VKDLM_MALFORMED, "'%s': expected %s of UTF-8 without NUL, found '%.*s'",
                         r->path, what, (int)(out->size < 64 ? out->size : 64), out->bytes);
    return VKDLM_OK;
}

/* ---- key-value pairs ---------------------------------------------------------------------------------- */

/* Bytes of a value; 0 for a string or an array, and -1 for a number that is no type. */
static int type_size(uint32_t type)
{
    static const signed char sizes[] = {
#define TYPE_SIZE(suffix, number, name, size) [number] = size,
        GGUF_TYPE_LIST(TYPE_SIZE)
#undef TYPE_SIZE
    };
    return type < sizeof sizes ? sizes[type] : -1;
}

static vkdlm_status refuse_type(const reader *r, const char *key, const char *what, uint32_t type)
{
    return error_set(r->err, VKDLM_MALFORMED, "'%s': %.200s: expected %s from 0 to 12, found %u", r->path,
                     key, what, type);
}

/* n bools, each 0 or 1. */
static vkdlm_status check_bools(const reader *r, const char *key, const unsigned char *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i] > 1)
            return error_set(r->err, VKDLM_MALFORMED, "'%s': %.200s: expected a bool of 0 or 1, found %u",
                             r->path, key, bytes[i]);
    return VKDLM_OK;
}

static vkdlm_status read_array(reader *r, gguf_value *value)
{
    uint32_t element = 0;
    vkdlm_status status = read_u32(r, "an array's type", &element);
    if (!status)
        status = read_u64(r, "an array's count", &value->count);
    if (status)
        return status;
    int size = type_size(element);
    if (size < 0)
        return refuse_type(r, value->key, "an array of a type", element);
    if (element == GGUF_ARRAY)
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': %.200s: expected an array of plain values, found an array of arrays", r->path,
                         value->key);
    value->element = (gguf_type)element;
    value->data = r->at;
    uint64_t least = element == GGUF_STRING ? 8 : (uint64_t)size;
    if (value->count > left(r) / least)
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': %.200s: expected an array that ends within the file, found %" PRIu64
                         " elements and %" PRIu64 " bytes",
                         r->path, value->key, value->count, left(r));
    if (element == GGUF_STRING) {
        gguf_string ignored;
        for (uint64_t i = 0; i < value->count && !status; i++)
            status = read_string(r, "a string", &ignored);
        return status;
    }
    r->at += value->count * least;
    return element == GGUF_BOOL ? check_bools(r, value->key, value->data, value->count) : VKDLM_OK;
}

/* The type and the value behind a key. */
static vkdlm_status read_value(reader *r, gguf_value *value)
{
    uint32_t type = 0;
    vkdlm_status status = read_u32(r, "a value's type", &type);
    if (status)
        return status;
    int size = type_size(type);
    if (size < 0)
        return refuse_type(r, value->key, "a value of a type", type);
    value->type = (gguf_type)type;
    if (type == GGUF_ARRAY)
        return read_array(r, value);
    if (type == GGUF_STRING) {
        gguf_string string = {0};
        status = read_string(r, "a string", &string);
        value->data = (const unsigned char *)string.bytes;
        value->count = string.size;
        return status;
    }
    if (left(r) < (uint64_t)size)
        return ends(r, "a value", (uint64_t)size);
    value->data = r->at;
    r->at += size;
    return type == GGUF_BOOL ? check_bools(r, value->key, value->data, 1) : VKDLM_OK;
}

/* A copy with a NUL behind it that belongs to the file; NULL when out of memory. */
static const char *keep_name(gguf *out, gguf_string name)
{
    char *copy = malloc(name.size + 1);
    if (!copy)
        return NULL;
    memcpy(copy, name.bytes, name.size);
    copy[name.size] = 0;
    return out->names[out->n_names++] = copy;
}

static vkdlm_status out_of_memory(const reader *r)
{
    return error_set(r->err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory for its metadata", r->path);
}

static int compare_keys(const void *a, const void *b)
{
    const gguf_value *const *s = a, *const *t = b;
    return strcmp((*s)->key, (*t)->key);
}

static vkdlm_status read_values(reader *r, gguf *out)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < out->n_values && !status; i++) {
        gguf_string key = {0};
        status = read_name(r, "a key", MAX_KEY_BYTES, &key);
        if (status)
            return status;
        out->values[i].key = keep_name(out, key);
        out->by_key[i] = &out->values[i];
        if (!out->values[i].key)
            return out_of_memory(r);
        status = read_value(r, &out->values[i]);
    }
    if (status)
        return status;
    qsort(out->by_key, out->n_values, sizeof *out->by_key, compare_keys);
    for (size_t i = 1; i < out->n_values; i++)
        if (strcmp(out->by_key[i - 1]->key, out->by_key[i]->key) == 0)
            return error_set(r->err, VKDLM_MALFORMED, "'%s': %.200s: expected the key once, found it twice",
                             r->path, out->by_key[i]->key);
    return VKDLM_OK;
}

static vkdlm_status read_alignment(const reader *r, gguf *out)
{
    static const char key[] = "general.alignment";
    const gguf_value *value = gguf_find(out, key);
    out->alignment = DEFAULT_ALIGNMENT;
    if (!value)
        return VKDLM_OK;
    int64_t number = 0;
    if (value->type == GGUF_U32)
        gguf_get_integer(out, key, 0, UINT32_MAX, &number, NULL);
    if (number == 0 || (number & (number - 1)))
        return gguf_refuse(out, key, "a u32 that is a power of two", r->err);
    out->alignment = (uint64_t)number;
    return VKDLM_OK;
}

/* ---- tensors ------------------------------------------------------------------------------------------ */

/* Types that have a number and no reader here. */
static const char *foreign_type(uint32_t type)
{
    static const char *const names[] = {
        [9] = "Q8_1",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS",
        [19] = "IQ1_S", [21] = "IQ3_S", [22] = "IQ2_S",   [23] = "IQ4_XS", [29] = "IQ1_M",
        [34] = "TQ1_0", [35] = "TQ2_0", [39] = "MXFP4",   [40] = "NVFP4",
    };
    return type < sizeof names / sizeof *names ? names[type] : NULL;
}

static bool find_dtype(uint32_t type, vkdlm_dtype *out)
{
    static const struct {
        uint32_t type;
        vkdlm_dtype dtype;
    } dtypes[] = {
        {0, VKDLM_DTYPE_F32},     {1, VKDLM_DTYPE_F16},   {2, VKDLM_DTYPE_Q4_0},  {3, VKDLM_DTYPE_Q4_1},
        {6, VKDLM_DTYPE_Q5_0},    {7, VKDLM_DTYPE_Q5_1},  {8, VKDLM_DTYPE_Q8_0},  {10, VKDLM_DTYPE_Q2_K},
        {11, VKDLM_DTYPE_Q3_K},   {12, VKDLM_DTYPE_Q4_K}, {13, VKDLM_DTYPE_Q5_K}, {14, VKDLM_DTYPE_Q6_K},
        {20, VKDLM_DTYPE_IQ4_NL}, {24, VKDLM_DTYPE_I8},   {25, VKDLM_DTYPE_I16},  {26, VKDLM_DTYPE_I32},
        {27, VKDLM_DTYPE_I64},    {28, VKDLM_DTYPE_F64},  {30, VKDLM_DTYPE_BF16},
    };
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].type == type) {
            *out = dtypes[i].dtype;
            return true;
        }
    return false;
}

static vkdlm_status read_shape(reader *r, vkdlm_tensor *tensor)
{
    vkdlm_status status = read_u32(r, "a tensor's number of dimensions", &tensor->n_dims);
    if (status)
        return status;
    if (tensor->n_dims > MAX_DIMS)
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': tensor '%s': expected at most %d dimensions, found %u", r->path, tensor->name,
                         MAX_DIMS, tensor->n_dims);
    bool empty = false;
    uint64_t product = 1;
    for (uint32_t i = tensor->n_dims; i-- > 0;) {
        uint64_t *extent = &tensor->shape[i];
        status = read_u64(r, "a tensor's dimension", extent);
        if (status)
            return status;
        empty = empty || *extent == 0;
        if (*extent > INT64_MAX || (*extent && !size_mul(product, *extent, &product)))
            return error_set(r->err, VKDLM_MALFORMED,
                             "'%s': tensor '%s': expected a size that fits 64 bits, found dimension %" PRIu64,
                             r->path, tensor->name, *extent);
    }
    tensor->n_elements = empty ? 0 : product;
    return VKDLM_OK;
}

#define LIST_TYPE(suffix, name, block, size) ", " name

/* dtype and n_bytes. */
static vkdlm_status read_dtype(reader *r, vkdlm_tensor *tensor)
{
    uint32_t type = 0, block_bytes;
    vkdlm_status status = read_u32(r, "a tensor's type", &type);
    if (status)
        return status;
    if (!find_dtype(type, &tensor->dtype)) {
        const char *foreign = foreign_type(type);
        if (foreign)
            return error_set(r->err, VKDLM_UNSUPPORTED,
                             "'%s': tensor '%s': expected a type that this version reads (F32, F16, "
                             "BF16" VKDLM_BLOCK_DTYPE_LIST(LIST_TYPE) "), found %s",
                             r->path, tensor->name, foreign);
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': tensor '%s': expected the number of a tensor type, found %u", r->path,
                         tensor->name, type);
    }
    uint64_t block = vkdlm_dtype_block(tensor->dtype, &block_bytes);
    uint64_t row = tensor->n_dims ? tensor->shape[tensor->n_dims - 1] : 1;
    if (row % block != 0)
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': tensor '%s': expected rows of whole %s blocks of %" PRIu64
                         " elements, found %" PRIu64 " elements",
                         r->path, tensor->name, vkdlm_dtype_name(tensor->dtype), block, row);
    if (!size_mul(tensor->n_elements / block, block_bytes, &tensor->n_bytes))
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': tensor '%s': expected a size that fits 64 bits, found %" PRIu64
                         " elements of type %s",
                         r->path, tensor->name, tensor->n_elements, vkdlm_dtype_name(tensor->dtype));
    return VKDLM_OK;
}

/* Everything but the data; offsets gets where that is in the data section. */
static vkdlm_status read_tensors(reader *r, gguf *out, uint64_t *offsets)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < out->n_tensors && !status; i++) {
        vkdlm_tensor *tensor = &out->tensors[i];
        gguf_string name = {0};
        status = read_name(r, "a tensor's name", MAX_NAME_BYTES, &name);
        if (status)
            return status;
        tensor->file = r->path;
        tensor->name = keep_name(out, name);
        if (!tensor->name)
            return out_of_memory(r);
        status = read_shape(r, tensor);
        if (!status)
            status = read_dtype(r, tensor);
        if (!status)
            status = read_u64(r, "a tensor's offset", &offsets[i]);
        if (!status && offsets[i] % out->alignment != 0)
            status = error_set(r->err, VKDLM_MALFORMED,
                               "'%s': tensor '%s': expected an offset that is a multiple of %" PRIu64
                               ", found %" PRIu64,
                               r->path, tensor->name, out->alignment, offsets[i]);
    }
    return status;
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

static int compare_names(const void *a, const void *b)
{
    const vkdlm_tensor *s = a, *t = b;
    return strcmp(s->name, t->name);
}

static vkdlm_status check_names(const reader *r, gguf *out)
{
    qsort(out->tensors, out->n_tensors, sizeof *out->tensors, compare_names);
    for (size_t i = 1; i < out->n_tensors; i++)
        if (strcmp(out->tensors[i - 1].name, out->tensors[i].name) == 0)
            return error_set(r->err, VKDLM_MALFORMED,
                             "'%s': tensor '%s': expected the name once, found it twice", r->path,
                             out->tensors[i].name);
    return VKDLM_OK;
}

/* Sorts the tensors by their data and checks that there is no gap between them. */
static vkdlm_status check_coverage(const reader *r, gguf *out, const unsigned char *data)
{
    qsort(out->tensors, out->n_tensors, sizeof *out->tensors, compare_data);
    uint64_t expected = 0;
    for (size_t i = 0; i < out->n_tensors; i++) {
        const vkdlm_tensor *tensor = &out->tensors[i];
        uint64_t offset = (uint64_t)((const unsigned char *)tensor->data - data);
        if (offset != expected)
            return error_set(r->err, VKDLM_MALFORMED,
                             "'%s': tensor '%s': expected its data at offset %" PRIu64
                             ", behind the tensor before it, found offset %" PRIu64,
                             r->path, tensor->name, expected, offset);
        expected = size_round_up(offset + tensor->n_bytes, out->alignment);
    }
    return VKDLM_OK;
}

/* Points the tensors at their data, which must lie in the file. */
static vkdlm_status place_tensors(const reader *r, gguf *out, const uint64_t *offsets)
{
    if (out->n_tensors == 0)
        return VKDLM_OK;
    uint64_t header = (uint64_t)(r->at - r->begin), size = (uint64_t)(r->end - r->begin);
    uint64_t start = size_round_up(header, out->alignment);
    if (start > size)
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': expected its data from byte %" PRIu64 " on, found a file of %" PRIu64
                         " bytes",
                         r->path, start, size);
    const unsigned char *data = r->begin + start;
    for (size_t i = 0; i < out->n_tensors; i++) {
        vkdlm_tensor *tensor = &out->tensors[i];
        if (offsets[i] > size - start || tensor->n_bytes > size - start - offsets[i])
            return error_set(r->err, VKDLM_MALFORMED,
                             "'%s': tensor '%s': expected %" PRIu64 " bytes at offset %" PRIu64
                             ", found %" PRIu64 " bytes of data in the file",
                             r->path, tensor->name, tensor->n_bytes, offsets[i], size - start);
        tensor->data = data + offsets[i];
    }
    vkdlm_status status = check_names(r, out);
    return status ? status : check_coverage(r, out, data);
}
/* ---- the whole ---------------------------------------------------------------------------------------- */

static vkdlm_status read_version(reader *r, uint32_t *version)
{
    if (left(r) < 4 || memcmp(r->at, "GGUF", 4) != 0)
        return error_set(r->err, VKDLM_MALFORMED, "'%s': expected a file that begins with GGUF, found %s",
                         r->path, left(r) < 4 ? "a shorter one" : "other bytes");
    r->at += 4;
    vkdlm_status status = read_u32(r, "a version", version);
    if (status || *version == 2 || *version == 3)
        return status;
    if (*version != 0 && *version % 0x10000 == 0)
        return error_set(r->err, VKDLM_MALFORMED,
                         "'%s': expected a little-endian file, found a big-endian one", r->path);
    return error_set(r->err, VKDLM_MALFORMED, "'%s': expected GGUF version 2 or 3, found %u", r->path,
                     *version);
}

/* A number of things of at least `least` bytes each that the rest of the file can hold. */
static vkdlm_status check_count(const reader *r, const char *what, uint64_t count, uint64_t least)
{
    if (count <= left(r) / least)
        return VKDLM_OK;
    return error_set(r->err, VKDLM_MALFORMED,
                     "'%s': expected at most %" PRIu64 " %s in what remains of the file, found %" PRIu64,
                     r->path, left(r) / least, what, count);
}

/* The counts, and arrays of that many elements. */
static vkdlm_status read_counts(reader *r, gguf *out)
{
    uint64_t n_tensors = 0, n_values = 0;
    vkdlm_status status = read_u64(r, "a number of tensors", &n_tensors);
    if (!status)
        status = read_u64(r, "a number of key-value pairs", &n_values);
    if (!status)
        status = check_count(r, "key-value pairs", n_values, MIN_PAIR_BYTES);
    if (!status)
        status = check_count(r, "tensors", n_tensors, MIN_TENSOR_BYTES);
    if (status)
        return status;
    out->n_values = (size_t)n_values;
    out->n_tensors = (size_t)n_tensors;
    out->values = calloc(out->n_values + 1, sizeof *out->values);
    out->by_key = calloc(out->n_values + 1, sizeof *out->by_key);
    out->tensors = calloc(out->n_tensors + 1, sizeof *out->tensors);
    out->names = calloc(out->n_values + out->n_tensors + 1, sizeof *out->names);
    return out->values && out->by_key && out->tensors && out->names ? VKDLM_OK : out_of_memory(r);
}

vkdlm_status gguf_parse(const unsigned char *bytes, size_t size, const char *path, gguf *out,
                        vkdlm_error *err)
{
    static const unsigned char none[1];
    *out = (gguf){.path = path};
    if (size == 0)
        bytes = none;
    reader r = {.begin = bytes, .at = bytes, .end = bytes + size, .path = path, .err = err};
    uint64_t *offsets = NULL;
    vkdlm_status status = read_version(&r, &out->version);
    if (!status)
        status = read_counts(&r, out);
    if (!status)
        status = read_values(&r, out);
    if (!status)
        status = read_alignment(&r, out);
    if (!status) {
        offsets = calloc(out->n_tensors + 1, sizeof *offsets);
        status = offsets ? read_tensors(&r, out, offsets) : out_of_memory(&r);
    }
    if (!status)
        status = place_tensors(&r, out, offsets);
    free(offsets);
    if (status)
        gguf_deinit(out);
    return status;
}

void gguf_deinit(gguf *file)
{
    for (size_t i = 0; i < file->n_names; i++)
        free(file->names[i]);
    free(file->names);
    free(file->tensors);
    free(file->by_key);
    free(file->values);
    *file = (gguf){0};
}

bool gguf_probe(const char *path)
{
    if (file_probe(path) != FILE_REGULAR)
        return false;
    if (file_has_suffix(path, ".gguf"))
        return true;
    file_map map;
    bool is =
        file_map_open(path, &map, NULL) == VKDLM_OK && map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    file_map_close(&map);
    return is;
}
