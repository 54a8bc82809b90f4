/* The memory of a workspace: many views, cut from one buffer for each kind of memory. */
#ifndef MODEL_ARENA_H
#define MODEL_ARENA_H

#include <stddef.h>

#include "gpu/gpu.h"

/* Rows are held up to the next multiple of this many. */
#define ARENA_ROW_STEP 64u

/* One view. */
typedef struct arena_piece {
    size_t offset; /* of the gpu_view in the workspace's struct */
    enum gpu_memory memory;
    uint64_t bytes;
    bool sliced; /* bound in slices by its operation: may be larger than one binding */
} arena_piece;

typedef struct arena {
    gpu_buffer device, upload, readback;
} arena;

/* Bytes of f32 rows of `columns` floats, both padded. */
uint64_t arena_rows_bytes(uint64_t rows, uint64_t columns);

/* Bytes of all pieces. */
uint64_t arena_total_bytes(const arena_piece *pieces, uint32_t n);

/* Whether every piece can be bound and every buffer allocated. */
bool arena_fits(const gpu_caps *caps, const arena_piece *pieces, uint32_t n);

/* Creates the buffers and sets the views in the struct at `into`. On failure nothing is held. */
vkdlm_status arena_create(gpu_device *device, const arena_piece *pieces, uint32_t n, void *into, arena *out,
                          vkdlm_error *err);
/* A zeroed arena is allowed. */
void arena_destroy(arena *a);

/* Copies n rows of `columns` floats out of rows of ld floats, in host memory. */
void arena_copy_rows(float *to, const float *from, uint32_t n, uint32_t columns, uint32_t ld);

/* Host address of a view into mapped memory. */
static inline void *view_mapped(gpu_view view)
{
    return (char *)view.buffer->mapped + view.offset_bytes;
}

/* Part of a view, from a byte offset on. */
static inline gpu_view view_from(gpu_view view, uint64_t offset_bytes)
{
    return (gpu_view){view.buffer, view.offset_bytes + offset_bytes, view.bytes - offset_bytes};
}

#endif
