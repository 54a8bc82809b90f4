/* What opening any model does: gathers its vectors, and sends vectors, tables and weights to the device
 * through one staging ring, reporting progress. Used by one thread. */
#ifndef MODEL_LOADER_H
#define MODEL_LOADER_H

#include <vkdlm/tensors.h>

#include "gpu/gpu.h"
#include "ops/embed.h"
#include "ops/weight.h"

/* The staging ring: large enough to hide the latency of a copy, small beside the host's memory. */
#define LOADER_STAGING_BYTES (16u << 20)

/* Called during the upload; false stops it (CANCELLED). */
typedef bool (*loader_progress_fn)(void *user, uint64_t done_bytes, uint64_t total_bytes);

/* ---- vectors -------------------------------------------------------------------------------------- */

/* f32 vectors gathered on the host, to be sent as one buffer. */
typedef struct vector_list {
    float *data;
    uint64_t n, room;         /* floats */
    const gpu_buffer *buffer; /* where they will be */
    bool failed;              /* out of memory; every later call does nothing */
} vector_list;

/* Makes room for a vector of n floats, zeroed, and sets *view to where it will be; NULL when out of memory.
 * The pointer is valid until the next call. */
float *vectors_add(vector_list *list, uint64_t n, gpu_view *view);
/* A tensor's values, widened, with zeros up to a multiple of 32. */
void vectors_add_tensor(vector_list *list, const vkdlm_tensor *tensor, gpu_view *view);
/* OUT_OF_HOST_MEMORY when an addition failed. */
vkdlm_status vectors_check(const vector_list *list, vkdlm_error *err);

/* ---- uploads -------------------------------------------------------------------------------------- */

typedef struct loader {
    gpu_device *device;
    gpu_upload *upload;
    loader_progress_fn progress; /* NULL: none */
    void *user;
    uint64_t done_bytes, total_bytes;
    uint64_t staging_bytes; /* device bytes of the ring, which goes at the end */
} loader;

/* device, progress, user and total_bytes are set. */
vkdlm_status loader_begin(loader *l, vkdlm_error *err);
/* Waits for what was sent, unless status is a failure already; frees the ring; returns the first failure. */
vkdlm_status loader_end(loader *l, vkdlm_status status, vkdlm_error *err);

/* Sends `bytes` of host memory to the beginning of a buffer. */
vkdlm_status loader_send(loader *l, const gpu_buffer *to, const void *data, uint64_t bytes, vkdlm_error *err);
/* Creates the buffer of a list's vectors and sends them. */
vkdlm_status loader_send_vectors(loader *l, const vector_list *list, gpu_buffer *buffer, vkdlm_error *err);
/* On devices that read halves and blocks slowly the weight becomes f32. */
vkdlm_status loader_send_weight(loader *l, const vkdlm_tensor *tensor, weight *out, vkdlm_error *err);
vkdlm_status loader_send_source(loader *l, const weight_source *source, weight *out, vkdlm_error *err);
/* Creates the buffer of a table, as the file has it, and sends it. */
vkdlm_status loader_send_table(loader *l, const vkdlm_tensor *tensor, gpu_buffer *buffer, embed_table *out,
                               vkdlm_error *err);

#endif
