#include "model/arena.h"

#include <string.h>

#include "base/size.h"

#define ALIGNMENT_BYTES 256u

uint64_t arena_rows_bytes(uint64_t rows, uint64_t columns)
{
    return size_round_up(rows, ARENA_ROW_STEP) * size_round_up(columns, 32) * sizeof(float);
}

/* Bytes of one kind of memory when the pieces follow one another. */
static uint64_t kind_bytes(const arena_piece *pieces, uint32_t n, enum gpu_memory memory)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += pieces[i].memory == memory ? size_round_up(pieces[i].bytes, ALIGNMENT_BYTES) : 0;
    return total;
}

uint64_t arena_total_bytes(const arena_piece *pieces, uint32_t n)
{
    return kind_bytes(pieces, n, GPU_MEMORY_DEVICE) + kind_bytes(pieces, n, GPU_MEMORY_UPLOAD) +
           kind_bytes(pieces, n, GPU_MEMORY_READBACK);
}

bool arena_fits(const gpu_caps *caps, const arena_piece *pieces, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!pieces[i].sliced && pieces[i].bytes > caps->max_storage_range_bytes)
            return false;
    return kind_bytes(pieces, n, GPU_MEMORY_DEVICE) <= caps->max_allocation_bytes;
}

vkdlm_status arena_create(gpu_device *device, const arena_piece *pieces, uint32_t n, void *into, arena *out,
                          vkdlm_error *err)
{
    const struct {
        enum gpu_memory memory;
        gpu_buffer *buffer;
        const char *what;
    } kinds[] = {{GPU_MEMORY_DEVICE, &out->device, "activations"},
                 {GPU_MEMORY_UPLOAD, &out->upload, "inputs"},
                 {GPU_MEMORY_READBACK, &out->readback, "results"}};
    *out = (arena){0};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        vkdlm_status status =
            gpu_buffer_create(device, kinds[k].memory, kind_bytes(pieces, n, kinds[k].memory), kinds[k].what,
                              kinds[k].buffer, err);
        if (status) {
            arena_destroy(out);
            return status;
        }
        uint64_t at = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (pieces[i].memory != kinds[k].memory)
                continue;
            *(gpu_view *)(void *)((char *)into + pieces[i].offset) =
                (gpu_view){kinds[k].buffer, at, pieces[i].bytes};
            at += size_round_up(pieces[i].bytes, ALIGNMENT_BYTES);
        }
    }
    return VKDLM_OK;
}

void arena_destroy(arena *a)
{
    gpu_buffer_destroy(&a->device);
    gpu_buffer_destroy(&a->upload);
    gpu_buffer_destroy(&a->readback);
}

void arena_copy_rows(float *to, const float *from, uint32_t n, uint32_t columns, uint32_t ld)
{
    for (uint32_t r = 0; r < n; r++)
        memcpy(to + (size_t)r * columns, from + (size_t)r * ld, columns * sizeof *to);
}
