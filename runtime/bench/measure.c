/* Timing of recorded work and of calls, and the buffers that rows work on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/size.h"
#include "bench.h"
#include "ops/weight_blocks.h"

enum {
    MIN_REPEATS = 3,
    MAX_REPEATS = 101,
    SUBMISSION_US = 4000, /* what one submission is filled up to, so that its own cost is small */
    MIN_SAMPLES = 3,      /* of the limits */
    PATIENCE = 6,         /* times the lab's seconds after which fewer timings are enough */
};

/* Between samples of the limits, beside rows that take longer. */
#define SAMPLE_INTERVAL_S 0.04

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

vkdlm_status bench_check(const bench_lab *lab, vkdlm_error *err)
{
    const vkdlm_bench_options *o = lab->options;
    if (!o->progress || o->progress(o->user, lab->done, lab->total, lab->row))
        return VKDLM_OK;
    return error_set(err, VKDLM_CANCELLED, "cancelled by the caller");
}

/* ---- timing ------------------------------------------------------------------------------------------- */

vkdlm_status bench_time_submission(bench_lab *lab, bench_record_fn record, void *self, uint32_t n_runs,
                                   double *us, bool *device_clock, vkdlm_error *err)
{
    vkdlm_status status = gpu_commands_begin(lab->commands, err);
    if (status)
        return status;
    gpu_mark(lab->commands);
    for (uint32_t i = 0; i < n_runs; i++)
        record(lab, self, i);
    gpu_mark(lab->commands);
    double start = now();
    status = gpu_submit_wait(lab->commands, err);
    double wall_us = (now() - start) * 1e6, device_us = (double)gpu_mark_ns(lab->commands, 0) * 1e-3;
    /* A clock that runs backwards, stands still or claims more than went by is none. */
    *device_clock = device_us > 0 && device_us <= wall_us;
    *us = *device_clock ? device_us : wall_us;
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_summarise(double *us, uint32_t n, bench_times *out)
{
    qsort(us, n, sizeof *us, ascending);
    out->us = n % 2 ? us[n / 2] : 0.5 * (us[n / 2 - 1] + us[n / 2]);
    out->us_min = us[0];
    out->us_max = us[n - 1];
    out->repeats = n;
}

/* Whether one more timing is wanted after n that took so many seconds. */
static bool wants_more(const bench_lab *lab, uint32_t n, double seconds)
{
    if (n < MIN_REPEATS)
        return n == 0 || seconds < PATIENCE * lab->seconds;
    return n < MAX_REPEATS && seconds < lab->seconds;
}

/* After each timing: is the caller still interested, and what are the limits now. */
static vkdlm_status pause_between(bench_lab *lab, double *sampled, vkdlm_error *err)
{
    vkdlm_status status = bench_check(lab, err);
    if (status || now() - *sampled < SAMPLE_INTERVAL_S)
        return status;
    status = bench_probes_sample(lab, err);
    *sampled = now();
    return status;
}

static vkdlm_status complete_samples(bench_lab *lab, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    while (!status && lab->probes && lab->n_samples < MIN_SAMPLES)
        status = bench_probes_sample(lab, err);
    return status;
}

vkdlm_status bench_measure(bench_lab *lab, bench_record_fn record, void *self, uint32_t most_runs,
                           bench_times *out, vkdlm_error *err)
{
    double us[MAX_REPEATS], first_us, spent = 0, sampled = 0;
    uint32_t n = 0;
    bool clock, all_clock = true;
    vkdlm_status status = bench_time_submission(lab, record, self, 1, &first_us, &clock, err);
    if (!status)
        status = pause_between(lab, &sampled, err);
    if (!status)
        status = bench_time_submission(lab, record, self, 1, &first_us, &clock, err);
    if (status)
        return status;
    uint32_t n_runs = (uint32_t)fmin(fmax(ceil(SUBMISSION_US / first_us), 1), most_runs);
    if (n_runs == 1) {
        us[n++] = first_us;
        spent = first_us * 1e-6;
        all_clock = clock;
    }
    while (!status && wants_more(lab, n, spent)) {
        double start = now(), total;
        status = bench_time_submission(lab, record, self, n_runs, &total, &clock, err);
        us[n++] = total / n_runs;
        all_clock &= clock;
        spent += now() - start;
        if (!status)
            status = pause_between(lab, &sampled, err);
    }
    if (!status)
        status = complete_samples(lab, err);
    if (!status)
        bench_summarise(us, n, out);
    out->device_clock = all_clock;
    return status;
}

vkdlm_status bench_measure_calls(bench_lab *lab, bench_call_fn call, void *self, bench_times *out,
                                 vkdlm_error *err)
{
    double us[MAX_REPEATS], spent = 0, sampled = 0;
    uint32_t n = 0;
    vkdlm_status status = call(self, err);
    if (!status)
        status = pause_between(lab, &sampled, err);
    while (!status && wants_more(lab, n, spent)) {
        double start = now();
        status = call(self, err);
        us[n] = (now() - start) * 1e6;
        spent += us[n++] * 1e-6;
        if (!status)
            status = pause_between(lab, &sampled, err);
    }
    if (!status)
        status = complete_samples(lab, err);
    if (!status)
        bench_summarise(us, n, out);
    out->device_clock = false;
    return status;
}

/* ---- buffers ------------------------------------------------------------------------------------------ */

uint32_t bench_copies(const bench_lab *lab, uint64_t bytes)
{
    uint64_t n = (lab->pool_bytes + bytes - 1) / bytes;
    return (uint32_t)u64_min(n, BENCH_MAX_COPIES);
}

/* The pattern goes to the front, then what is filled is doubled. */
static vkdlm_status fill(bench_lab *lab, const gpu_buffer *pattern, uint64_t pattern_bytes,
                         const gpu_buffer *to, uint64_t bytes, vkdlm_error *err)
{
    vkdlm_status status = gpu_commands_begin(lab->commands, err);
    if (status)
        return status;
    gpu_copy(lab->commands, pattern, 0, to, 0, u64_min(pattern_bytes, bytes));
    for (uint64_t done = pattern_bytes; done < bytes; done *= 2)
        gpu_copy(lab->commands, to, 0, to, done, u64_min(done, bytes - done));
    return gpu_submit_wait(lab->commands, err);
}

vkdlm_status bench_buffer(bench_lab *lab, uint64_t bytes, const void *pattern, uint64_t pattern_bytes,
                          gpu_buffer *out, vkdlm_error *err)
{
    gpu_buffer staging = {0};
    vkdlm_status status = gpu_buffer_create(lab->device, GPU_MEMORY_DEVICE, bytes, "a measurement", out, err);
    if (!status)
        status = gpu_buffer_create(lab->device, GPU_MEMORY_UPLOAD, pattern_bytes, "a pattern", &staging, err);
    if (!status) {
        memcpy(staging.mapped, pattern, pattern_bytes);
        status = fill(lab, &staging, pattern_bytes, out, bytes, err);
    }
    gpu_buffer_destroy(&staging);
    if (status)
        gpu_buffer_destroy(out);
    return status;
}

/* Signs and mantissas are arbitrary, exponents those of 1/4 to 1/2; of halves that are scales 1/256 to 1/128.
 */
struct pattern {
    uint32_t keep, set;
};
static const struct pattern f32_values = {0x807FFFFF, 0x3E800000}, f16_values = {0x83FF83FF, 0x34003400},
                            bf16_values = {0x807F807F, 0x3E803E80}, f16_scales = {0x03FF03FF, 0x1C001C00},
                            any_bits = {UINT32_MAX, 0};

/* Arbitrary words of which the pattern keeps some bits and sets others. */
static void fill_words(void *out, uint64_t n_bytes, struct pattern pattern)
{
    unsigned char *to = out;
    for (uint64_t i = 0; i < n_bytes; i += 4) {
        rng_block block = rng_philox(1, (uint32_t)(i / 16), 0, 0, 0);
        uint32_t word = (block.word[i / 4 % 4] & pattern.keep) | pattern.set;
        memcpy(to + i, &word, u64_min(4, n_bytes - i));
    }
}

vkdlm_status bench_floats(bench_lab *lab, uint64_t bytes, gpu_buffer *out, vkdlm_error *err)
{
    uint32_t pattern[4096];
    fill_words(pattern, sizeof pattern, f32_values);
    return bench_buffer(lab, bytes, pattern, sizeof pattern, out, err);
}

static void fill_panel(unsigned char *panel, const weight *w)
{
    uint64_t planes[WEIGHT_BLOCKS_N_PLANES];
    if (w->dtype == VKDLM_DTYPE_F32) {
        fill_words(panel, w->panel_bytes, f32_values);
    } else if (w->dtype == VKDLM_DTYPE_F16) {
        fill_words(panel, w->panel_bytes, f16_values);
    } else if (w->dtype == VKDLM_DTYPE_BF16) {
        fill_words(panel, w->panel_bytes, bf16_values);
    } else {
        weight_blocks_planes(w->dtype, w->depth, planes);
        fill_words(panel, w->panel_bytes, any_bits);
        /* Halves are in the last plane, whichever that is. */
        uint64_t before = planes[0] + planes[1] + (planes[3] ? planes[2] : 0);
        fill_words(panel + before, planes[3] ? planes[3] : planes[2], f16_scales);
    }
}

vkdlm_status bench_weight(bench_lab *lab, vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth, weight *out,
                          vkdlm_error *err)
{
    vkdlm_tensor shape = {
        .name = "weight", .file = "bench", .dtype = dtype, .n_dims = 2, .shape = {n_columns, depth}};
    vkdlm_status status = weight_describe(&shape, out, err);
    if (status)
        return status;
    unsigned char *panel = malloc(out->panel_bytes);
    if (!panel)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a weight");
    fill_panel(panel, out);
    status = bench_buffer(lab, out->bytes, panel, out->panel_bytes, &out->buffer, err);
    free(panel);
    return status;
}
