#include "ops/tune_trial.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/rng.h"
#include "format/quant.h"

enum {
    DISTINCT = 37, /* columns of a weight: some types take long to make */
    ROW_SEEDS = 1000000,
};

void tune_random(float *out, uint32_t n, uint32_t seed)
{
    for (uint32_t i = 0; i < n; i++) {
        rng_block block = rng_philox(0, i / 4, seed, 0, 0);
        out[i] = (float)(block.word[i % 4] >> 8) * 0x1p-23f - 1;
    }
}

uint64_t tune_digest(const void *data, size_t n_bytes)
{
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n_bytes; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash ? hash : 1;
}

void tune_fill_rows(const gpu_buffer *rows, uint32_t n_rows, uint32_t n, uint32_t seed)
{
    memset(rows->mapped, 0, rows->size_bytes);
    for (uint32_t m = 0; m < n_rows; m++)
        tune_random((float *)rows->mapped + (size_t)m * weight_pad(n), n, ROW_SEEDS + seed + m);
}

static vkdlm_tensor tensor_of(vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth, const void *data)
{
    return (vkdlm_tensor){
        .name = "trial",
        .dtype = dtype,
        .n_dims = 2,
        .shape = {n_columns, depth},
        .n_elements = (uint64_t)n_columns * depth,
        .n_bytes = n_columns * quant_row_bytes(dtype, depth),
        .data = data,
        .file = "the tuner",
    };
}

/* The columns after the first DISTINCT repeat them. */
static void make_values(vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth, uint32_t seed,
                        unsigned char *bytes, float *values)
{
    size_t row_bytes = (size_t)quant_row_bytes(dtype, depth);
    for (uint32_t c = 0; c < n_columns; c++) {
        unsigned char *row = bytes + c * row_bytes;
        float *to = values + (size_t)c * depth;
        if (c < DISTINCT) {
            tune_random(to, depth, seed + c);
            quant_quantize_row(dtype, to, depth, row);
            quant_dequantize_row(dtype, row, depth, to);
        } else {
            memcpy(row, row - DISTINCT * row_bytes, row_bytes);
            memcpy(to, to - (size_t)DISTINCT * depth, depth * sizeof *to);
        }
    }
}

vkdlm_status tune_make_weight(gpu_device *device, vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth,
                              uint32_t seed, weight *w, float **values, vkdlm_error *err)
{
    gpu_upload *ring = NULL;
    unsigned char *bytes = malloc(n_columns * (size_t)quant_row_bytes(dtype, depth));
    *w = (weight){0};
    *values = malloc((size_t)n_columns * depth * sizeof **values);
    vkdlm_status status = VKDLM_OK;
    if (!bytes || !*values)
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a trial");
    if (!status)
        status = gpu_upload_create(device, 1 << 20, &ring, err);
    if (!status) {
        make_values(dtype, n_columns, depth, seed, bytes, *values);
        vkdlm_tensor tensor = tensor_of(dtype, n_columns, depth, bytes);
        status = weight_upload(device, ring, &tensor, w, err);
    }
    if (!status)
        status = gpu_upload_flush(ring, err);
    gpu_upload_destroy(ring);
    free(bytes);
    if (status) {
        weight_destroy(w);
        free(*values);
        *values = NULL;
    }
    return status;
}

vkdlm_status tune_blank_weight(gpu_device *device, vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth,
                               weight *w, vkdlm_error *err)
{
    vkdlm_tensor tensor = tensor_of(dtype, n_columns, depth, NULL);
    vkdlm_status status = weight_describe(&tensor, w, err);
    if (!status)
        status = gpu_buffer_create(device, GPU_MEMORY_DEVICE, w->bytes, "a trial", &w->buffer, err);
    return status;
}

vkdlm_status tune_make_buffers(gpu_device *device, const tune_buffer *wanted, uint32_t n, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < n && !status; i++)
        status =
            gpu_buffer_create(device, wanted[i].memory, wanted[i].bytes, "a trial", wanted[i].buffer, err);
    return status;
}

vkdlm_status tune_clear(gpu_commands *commands, const gpu_buffer *const *buffers, uint32_t n,
                        vkdlm_error *err)
{
    vkdlm_status status = gpu_commands_begin(commands, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < n; i++)
        gpu_fill(commands, buffers[i], 0, buffers[i]->size_bytes, 0);
    return gpu_submit_wait(commands, err);
}

static double microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

vkdlm_status tune_watch_begin(tune_watch *watch, gpu_commands *commands, vkdlm_error *err)
{
    watch->commands = commands;
    vkdlm_status status = gpu_commands_begin(commands, err);
    if (!status)
        gpu_mark(commands);
    return status;
}

vkdlm_status tune_watch_end(tune_watch *watch, uint32_t repeats, double *us, vkdlm_error *err)
{
    gpu_mark(watch->commands);
    watch->started = microseconds();
    vkdlm_status status = gpu_submit_wait(watch->commands, err);
    double host = microseconds() - watch->started, device = 1e-3 * (double)gpu_mark_ns(watch->commands, 0);
    *us = (device > 0 ? device : host) / repeats;
    return status;
}
