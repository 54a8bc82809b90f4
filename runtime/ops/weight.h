/* Weights of linear layers on the device: [N, K] tensors of a file, repacked for wide loads.
 *
 * Layout ("panels"): N and K are padded with zeros to multiples of 32. Panel p holds columns n = 32p ..
 * 32p+31 of X . W^T as [K][32], k-major, in the element type of the file; panels follow one another. A slice
 * of whole panels is contiguous, and its offset is a multiple of 2048 bytes, whatever the element type. */
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
    vkdlm_dtype dtype;  /* F32, F16 or BF16 */
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

/* How many panels one storage-buffer binding holds, 0 when not even one fits. */
uint32_t weight_panels_per_slice(const weight *w, const gpu_caps *caps);

#endif
