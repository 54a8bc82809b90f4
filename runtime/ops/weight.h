/* Weights of linear layers on the device: [N, K] tensors of a file, repacked for wide loads.
 *
 * Layout ("panels"): N and K are padded with zeros to multiples of 32. Panel p holds columns n = 32p ..
 * 32p+31 of X . W^T as [K][32], k-major, in the element type of the file; panels follow one another. A slice
 * of whole panels is contiguous, and its offset is a multiple of 2048 bytes, whatever the element type.
 * Quantised types stay quantised: their panels are in planes (weight_blocks.h) and multiples of 64 bytes; K
 * is a multiple of the block's elements. */
#ifndef OPS_WEIGHT_H
#define OPS_WEIGHT_H

#include <vkdlm/tensors.h>

#include "gpu/gpu.h"

#define WEIGHT_PANEL_COLUMNS 32u

/* Floats from one row of activations to the next, and the padded N or K. */
static inline uint32_t weight_pad(uint32_t n)
{
    return (n + 31u) / 32u * 32u;
}

typedef struct weight {
    gpu_buffer buffer;  /* zeroed until uploaded */
    vkdlm_dtype dtype;  /* F32, F16, BF16 or quantised */
    uint32_t n_columns; /* N */
    uint32_t depth;     /* K */
    uint32_t n_panels;
    uint64_t panel_bytes, bytes;
} weight;

/* Shape, type and device size of a weight; the buffer stays zeroed. UNSUPPORTED (file, tensor, expected,
 * found) for another type, MALFORMED for a tensor that is not a matrix of 1 .. 2^24 rows and columns. */
vkdlm_status weight_describe(const vkdlm_tensor *tensor, weight *out, vkdlm_error *err);

/* Writes panels first .. first+n-1 of the tensor to dst (n * panel_bytes). The tensor must have been
 * described. */
void weight_pack_panels(void *dst, const vkdlm_tensor *tensor, uint32_t first, uint32_t n);

/* Describes the tensor, creates the buffer and sends every panel through the upload ring (complete after
 * gpu_upload_flush). On failure *out is zeroed. */
vkdlm_status weight_upload(gpu_device *device, gpu_upload *upload, const vkdlm_tensor *tensor, weight *out,
                           vkdlm_error *err);
void weight_destroy(weight *w);

/* ---- weights put together from several tensors ---------------------------------------------------- */

/* Rows first .. first+n_rows-1 of an [N, K] tensor, or columns of a [K, N] one. */
typedef struct weight_part {
    const vkdlm_tensor *tensor; /* a matrix of F32, F16, BF16, or quantised */
    bool transposed;            /* the tensor is [K, N], not quantised */
    /* Heads of this many outputs, an even divisor of N, lie in pairs: output i of a head is row 2i, output
     * i + interleaved / 2 row 2i + 1. 0: in order. Not with transposed. */
    uint32_t interleaved;
    uint32_t first, n_columns; /* n_columns 0: all */
} weight_part;

enum weight_layout {
    /* Part i begins at the next multiple of column_step behind part i - 1; what lies between is zero. */
    WEIGHT_STACKED,
    /* Two parts of the same size: columns 8u .. 8u+3 are columns 4u .. 4u+3 of part 0, columns 8u+4 .. 8u+7
     * those of part 1 (the pad of N included), for MATMUL_SWIGLU. */
    WEIGHT_PAIRED,
};

typedef struct weight_source {
    const weight_part *parts; /* [n_parts], all of the same depth, and of the same type unless widen */
    uint32_t n_parts;
    enum weight_layout layout;
    uint32_t column_step; /* of WEIGHT_STACKED: a multiple of 4; 0: 32 */
    bool diagonal; /* part i has values from k = i * weight_part_depth(K) on, and zero elsewhere; not with
                      quantised parts */
    bool widen;    /* f32 on the device, whatever the tensors' type; quantised parts with dequantise only */
    float scale;   /* of every value, with widen; 0: 1 */
    /* Writes the n values of whole blocks to out. */
    void (*dequantise)(vkdlm_dtype dtype, const void *blocks, uint64_t n, float *out);
    const char *name; /* for messages of missing memory */
} weight_source;

/* Values of k from one part of a diagonal weight to the next: K rounded up to a multiple of 4, which is also
 * the column_step of the stacked weight whose product it takes. */
static inline uint32_t weight_part_depth(uint32_t depth)
{
    return (depth + 3u) / 4u * 4u;
}

/* The first column of part i. */
uint32_t weight_part_column(const weight_source *source, uint32_t part);
vkdlm_status weight_describe_source(const weight_source *source, weight *out, vkdlm_error *err);
/* As weight_pack_panels and weight_upload. */
void weight_pack_source(void *dst, const weight_source *source, uint32_t first, uint32_t n);
vkdlm_status weight_upload_source(gpu_device *device, gpu_upload *upload, const weight_source *source,
                                  weight *out, vkdlm_error *err);
/* The first n_columns columns (a multiple of 32) as a weight of their own; shares the buffer and must not be
 * destroyed. */
weight weight_first_columns(const weight *w, uint32_t n_columns);

/* How many panels one slice holds: all, or what one storage-buffer binding holds, so that slices begin where
 * a binding may; 0 when it holds too few. */
uint32_t weight_panels_per_slice(const weight *w, const gpu_caps *caps);
/* The same for slices of at most n panels. */
uint32_t weight_align_panels(const weight *w, uint32_t n);

#endif
