/* What the trials of the kernel groups share. */
#ifndef OPS_TUNE_TRIAL_H
#define OPS_TUNE_TRIAL_H

#include "gpu/gpu.h"
#include "ops/weight.h"

#define TUNE_NAN 0x7FC00000u /* what results are filled with before a check */

/* n floats in [-1, 1), the same for the same seed. */
void tune_random(float *out, uint32_t n, uint32_t seed);

/* Never 0. */
uint64_t tune_digest(const void *data, size_t n_bytes);

/* Writes rows 0 .. n_rows-1 of n random floats into a mapped buffer of rows of weight_pad(n), and zeros past
 * them; a row's numbers do not depend on n_rows. */
void tune_fill_rows(const gpu_buffer *rows, uint32_t n_rows, uint32_t n, uint32_t seed);

/* A weight of random values in [-1, 1) as the type holds them, and these values, [n_columns, depth], which
 * the caller frees. On failure *w is zeroed and *values NULL. */
vkdlm_status tune_make_weight(gpu_device *device, vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth,
                              uint32_t seed, weight *w, float **values, vkdlm_error *err);

/* A weight whose contents are undefined. */
vkdlm_status tune_blank_weight(gpu_device *device, vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth,
                               weight *w, vkdlm_error *err);

typedef struct tune_buffer {
    gpu_buffer *buffer;
    enum gpu_memory memory;
    uint64_t bytes;
} tune_buffer;

/* Creates buffers up to the first that fails; the caller destroys them in any case. */
vkdlm_status tune_make_buffers(gpu_device *device, const tune_buffer *wanted, uint32_t n, vkdlm_error *err);

/* Fills buffers of a timed problem with zeros. */
vkdlm_status tune_clear(gpu_commands *commands, const gpu_buffer *const *buffers, uint32_t n,
                        vkdlm_error *err);

/* A stopwatch around one submission: by the device's clock where it has one, else by the host's. begin starts
 * the recording, end submits it and waits. */
typedef struct tune_watch {
    gpu_commands *commands;
    double started;
} tune_watch;

vkdlm_status tune_watch_begin(tune_watch *watch, gpu_commands *commands, vkdlm_error *err);
/* *us: microseconds of one of the `repeats` runs that were recorded. */
vkdlm_status tune_watch_end(tune_watch *watch, uint32_t repeats, double *us, vkdlm_error *err);

#endif
