/* Tensor files: reading and writing safetensors, and looking into any model file without a device.
 *
 * Thread rules: an open file is immutable and may be read from any thread; a writer belongs to one. */
#ifndef VKDLM_TENSORS_H
#define VKDLM_TENSORS_H

#include <vkdlm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(suffix, name in files, bytes of an element) */
#define VKDLM_DTYPE_LIST(X)  \
    X(F32, "F32", 4)         \
    X(F16, "F16", 2)         \
    X(BF16, "BF16", 2)       \
    X(F64, "F64", 8)         \
    X(I64, "I64", 8)         \
    X(I32, "I32", 4)         \
    X(I16, "I16", 2)         \
    X(I8, "I8", 1)           \
    X(U8, "U8", 1)           \
    X(BOOL, "BOOL", 1)       \
    X(U16, "U16", 2)         \
    X(U32, "U32", 4)         \
    X(U64, "U64", 8)         \
    X(F8_E4M3, "F8_E4M3", 1) \
    X(F8_E5M2, "F8_E5M2", 1)

/* Quantised types, in GGUF files only: X(suffix, name, elements of a block, bytes of a block). All blocks run
 * along a row. */
#define VKDLM_BLOCK_DTYPE_LIST(X) \
    X(Q8_0, "Q8_0", 32, 34)       \
    X(Q4_0, "Q4_0", 32, 18)       \
    X(Q4_1, "Q4_1", 32, 20)       \
    X(Q5_0, "Q5_0", 32, 22)       \
    X(Q5_1, "Q5_1", 32, 24)       \
    X(Q2_K, "Q2_K", 256, 84)      \
    X(Q3_K, "Q3_K", 256, 110)     \
    X(Q4_K, "Q4_K", 256, 144)     \
    X(Q5_K, "Q5_K", 256, 176)     \
    X(Q6_K, "Q6_K", 256, 210)     \
    X(IQ4_NL, "IQ4_NL", 32, 18)

typedef enum vkdlm_dtype {
#define VKDLM_DTYPE_ENUM(suffix, name, size) VKDLM_DTYPE_##suffix,
    VKDLM_DTYPE_LIST(VKDLM_DTYPE_ENUM)
#undef VKDLM_DTYPE_ENUM
#define VKDLM_DTYPE_ENUM(suffix, name, block, size) VKDLM_DTYPE_##suffix,
        VKDLM_BLOCK_DTYPE_LIST(VKDLM_DTYPE_ENUM)
#undef VKDLM_DTYPE_ENUM
            VKDLM_DTYPE_COUNT
} vkdlm_dtype;

VKDLM_API const char *vkdlm_dtype_name(vkdlm_dtype dtype);
/* Bytes of an element; 0 for a quantised type. */
VKDLM_API size_t vkdlm_dtype_size(vkdlm_dtype dtype);
/* Elements and bytes of a block; a block of any other type is one element. */
VKDLM_API uint32_t vkdlm_dtype_block(vkdlm_dtype dtype, uint32_t *bytes);

#define VKDLM_MAX_DIMS 8

/* One tensor of an open file. name and data point into the file's mapping and live as long as it. */
typedef struct vkdlm_tensor {
    const char *name;
    vkdlm_dtype dtype;
    uint32_t n_dims;                /* 0 for a scalar */
    uint64_t shape[VKDLM_MAX_DIMS]; /* row-major, slowest dimension first */
    uint64_t n_elements;
    uint64_t n_bytes;
    const void *data; /* little endian, perhaps unaligned */
    const char *file; /* path of the file (the shard) that holds it */
} vkdlm_tensor;

typedef struct vkdlm_tensors vkdlm_tensors;

/* Opens one safetensors or GGUF file, a directory with model.safetensors or model.safetensors.index.json, or
 * such an index itself with its shards, through mmap. Every rule of the format is checked before
 * anything is returned; an index and its shards must name the same tensors.
 * Errors: NOT_FOUND, IO, MALFORMED (file, tensor, expected, found), UNSUPPORTED (more than
 * VKDLM_MAX_DIMS dimensions, a GGUF tensor of another type), OUT_OF_HOST_MEMORY. *out is NULL on failure.
 * NULL may be closed. The files must not shrink while they are open. */
VKDLM_API vkdlm_status vkdlm_tensors_open(const char *path, vkdlm_tensors **out, vkdlm_error *err);
VKDLM_API void vkdlm_tensors_close(vkdlm_tensors *tensors);

VKDLM_API size_t vkdlm_tensors_count(const vkdlm_tensors *tensors);
/* Tensors in the order of their data, shard by shard, as elements of one array; NULL past the end. */
VKDLM_API const vkdlm_tensor *vkdlm_tensors_at(const vkdlm_tensors *tensors, size_t index);
/* NULL when the file has no tensor of that name. */
VKDLM_API const vkdlm_tensor *vkdlm_tensors_find(const vkdlm_tensors *tensors, const char *name);
/* Value of a __metadata__ key of safetensors (of the first shard that has it), NULL when absent. */
VKDLM_API const char *vkdlm_tensors_metadata(const vkdlm_tensors *tensors, const char *key);

/* A safetensors file under construction. Tensors are declared first, then written in any order and
 * in any pieces; the file appears under its final name only when finish succeeds, and a file that
 * already has that name stays until then. */
typedef struct vkdlm_tensors_writer vkdlm_tensors_writer;

/* A declared tensor; name and shape are copied. */
typedef struct vkdlm_tensor_spec {
    const char *name;
    vkdlm_dtype dtype;
    uint32_t n_dims;
    uint64_t shape[VKDLM_MAX_DIMS];
} vkdlm_tensor_spec;

/* Creates `path` with these tensors. metadata: n_metadata pairs key, value (NULL, 0 for none).
 * In the file larger elements come first, so that every tensor is aligned to its element. A path that
 * is no regular file (a pipe) only takes data in that order.
 * Errors: NOT_FOUND (no such directory), IO, INVALID_ARGUMENT (duplicate name, name not UTF-8, size
 * overflow), OUT_OF_HOST_MEMORY. */
VKDLM_API vkdlm_status vkdlm_tensors_writer_create(const char *path, const vkdlm_tensor_spec *specs,
                                                   size_t n_specs, const char *const (*metadata)[2],
                                                   size_t n_metadata, vkdlm_tensors_writer **out,
                                                   vkdlm_error *err);

/* Writes n_bytes at byte offset `offset` of tensor `index` (its position in specs). */
VKDLM_API vkdlm_status vkdlm_tensors_writer_write(vkdlm_tensors_writer *writer, size_t index, uint64_t offset,
                                                  const void *data, size_t n_bytes, vkdlm_error *err);

/* Completes and renames; destroys the writer whatever the outcome (on failure nothing is left).
 * A tensor that was not written completely is an INVALID_ARGUMENT. */
VKDLM_API vkdlm_status vkdlm_tensors_writer_finish(vkdlm_tensors_writer *writer, vkdlm_error *err);

/* Gives up: removes the temporary file, destroys the writer. NULL is allowed. */
VKDLM_API void vkdlm_tensors_writer_abort(vkdlm_tensors_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
