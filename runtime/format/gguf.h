/* The GGUF container in memory, versions 2 and 3, little endian.
 *
 *   "GGUF", u32 version, u64 number of tensors, u64 number of key-value pairs,
 *   pairs: string key, u32 type, value     string: u64 length, bytes     array: u32 type, u64 count, elements
 *   tensors: string name, u32 n_dims, u64 dims[n_dims] (the row length first), u32 type, u64 offset
 *   padding to general.alignment (u32, a power of two, 32 when absent), data, to which the offsets refer
 *
 * Tensors follow one another in the data, each at the next multiple of the alignment; behind the last one
 * anything may follow. Where readers differ: a key is 1 to 65535 bytes of UTF-8 without NUL, a tensor's name
 * 1 to 63; a bool is 0 or 1; a dimension may be 0; tensors may be listed in another order than their data
 * has. */
#ifndef FORMAT_GGUF_H
#define FORMAT_GGUF_H

#include <vkdlm/tensors.h>

/* X(suffix, number in files, name in messages, bytes of a value; 0: they differ) */
#define GGUF_TYPE_LIST(X)     \
    X(U8, 0, "u8", 1)         \
    X(I8, 1, "i8", 1)         \
    X(U16, 2, "u16", 2)       \
    X(I16, 3, "i16", 2)       \
    X(U32, 4, "u32", 4)       \
    X(I32, 5, "i32", 4)       \
    X(F32, 6, "f32", 4)       \
    X(BOOL, 7, "bool", 1)     \
    X(STRING, 8, "string", 0) \
    X(ARRAY, 9, "array", 0)   \
    X(U64, 10, "u64", 8)      \
    X(I64, 11, "i64", 8)      \
    X(F64, 12, "f64", 8)

typedef enum gguf_type {
#define GGUF_TYPE_ENUM(suffix, number, name, size) GGUF_##suffix = number,
    GGUF_TYPE_LIST(GGUF_TYPE_ENUM)
#undef GGUF_TYPE_ENUM
} gguf_type;

/* One key-value pair. */
typedef struct gguf_value {
    const char *key;
    gguf_type type;
    gguf_type element;         /* of an array */
    uint64_t count;            /* elements of an array, bytes of a string */
    const unsigned char *data; /* in the file: the value, a string's bytes, an array's first element */
} gguf_value;

/* Bytes in the file, perhaps not UTF-8. */
typedef struct gguf_string {
    const char *bytes;
    size_t size;
} gguf_string;

typedef struct gguf {
    const char *path;
    uint32_t version;
    uint64_t alignment;
    gguf_value *values; /* in the order of the file */
    size_t n_values;
    const gguf_value **by_key; /* sorted */
    vkdlm_tensor *tensors;     /* in the order of their data */
    size_t n_tensors;
    char **names; /* what keys and names of tensors point to */
    size_t n_names;
} gguf;

/* True for a regular file whose name ends in ".gguf" or that begins as one. */
bool gguf_probe(const char *path);

/* Reads and checks a whole file of `size` bytes. `path` and bytes must outlive *out, whose tensors point into
 * them. Errors: MALFORMED, UNSUPPORTED (a tensor of a type that is not in VKDLM_DTYPE_LIST or
 * VKDLM_BLOCK_DTYPE_LIST), OUT_OF_HOST_MEMORY; then *out is zero. */
vkdlm_status gguf_parse(const unsigned char *bytes, size_t size, const char *path, gguf *out,
                        vkdlm_error *err);
/* Frees and clears; a zeroed struct is allowed. */
void gguf_deinit(gguf *file);

/* The metadata of open tensors; NULL when they are not from a GGUF file. */
const gguf *gguf_of_tensors(const vkdlm_tensors *tensors);

/* ---- values ------------------------------------------------------------------------------------------- */

/* NULL when the file has no such key. */
const gguf_value *gguf_find(const gguf *file, const char *key);

/* Writes what a message calls a value (NULL for absent): "3", "\"text\"" cut to 100 bytes, "an array of 5 x
 * string". size is at least 64. */
void gguf_describe(const gguf_value *value, char *out, size_t size);

/* MALFORMED with "'FILE': KEY: expected EXPECTED, found VALUE". */
vkdlm_status gguf_refuse(const gguf *file, const char *key, const char *expected, vkdlm_error *err);

/* Required values. An integer may have any integer type, a number any but bool; both lie in [min, max].
 * A string is UTF-8 without NUL. Errors: MALFORMED, naming file, key, expected and found. */
vkdlm_status gguf_get_string(const gguf *file, const char *key, gguf_string *out, vkdlm_error *err);
vkdlm_status gguf_get_bool(const gguf *file, const char *key, bool *out, vkdlm_error *err);
vkdlm_status gguf_get_integer(const gguf *file, const char *key, int64_t min, int64_t max, int64_t *out,
                              vkdlm_error *err);
vkdlm_status gguf_get_number(const gguf *file, const char *key, double min, double max, double *out,
                             vkdlm_error *err);
/* An array of that type. */
vkdlm_status gguf_get_array(const gguf *file, const char *key, gguf_type element, const gguf_value **out,
                            vkdlm_error *err);

/* The same with a default for an absent key, which is not checked. */
vkdlm_status gguf_get_bool_or(const gguf *file, const char *key, bool otherwise, bool *out, vkdlm_error *err);
vkdlm_status gguf_get_integer_or(const gguf *file, const char *key, int64_t min, int64_t max,
                                 int64_t otherwise, int64_t *out, vkdlm_error *err);
vkdlm_status gguf_get_number_or(const gguf *file, const char *key, double min, double max, double otherwise,
                                double *out, vkdlm_error *err);

/* True when the string is `text`. */
bool gguf_string_is(gguf_string string, const char *text);

/* The string at *cursor, the next element of an array of strings; *cursor begins as the array's data and
 * moves to the element behind it. */
gguf_string gguf_next_string(const unsigned char **cursor);

/* Element `index` of an array of I32. */
int32_t gguf_i32_at(const gguf_value *array, uint64_t index);

#endif
