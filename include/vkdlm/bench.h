/* Measuring a device: its own limits, the kernels over shapes of real models, and whole models, each against
 * the limit that binds it.
 *
 * Thread rules: a measurement belongs to one thread; what else runs on the device or on the host meanwhile is
 * part of what it measures. */
#ifndef VKDLM_BENCH_H
#define VKDLM_BENCH_H

#include <vkdlm/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(suffix, name in reports) */
#define VKDLM_BENCH_KIND_LIST(X) \
    X(PROBE, "probe")            \
    X(KERNEL, "kernel")          \
    X(MODEL, "model")

typedef enum vkdlm_bench_kind {
#define VKDLM_BENCH_KIND_ENUM(suffix, name) VKDLM_BENCH_##suffix,
    VKDLM_BENCH_KIND_LIST(VKDLM_BENCH_KIND_ENUM)
#undef VKDLM_BENCH_KIND_ENUM
} vkdlm_bench_kind;

VKDLM_API const char *vkdlm_bench_kind_name(vkdlm_bench_kind kind);

/* One measurement: the median of repeated timings after a warm-up. Texts live until the callback returns and
 * may be "".
 *
 * Numbers that mean nothing for a row are NaN. flops counts two for a multiply-add; bytes what one run must
 * at least read and write: weights or cached values once, activations once. */
typedef struct vkdlm_bench_row {
    vkdlm_bench_kind kind;
    const char *group; /* kernel: "matmul", "attention", ...; probe: what it measures; model: "model" */
    const char *type;  /* of weights or cached values: "f32", "q4_0", ... */
    const char *of;    /* kernel: the layer that has this shape; model: its name and what of it is measured */
    uint32_t m, n, k;  /* kernel: outputs of a row, rows, inputs of a row (attention: keys); else 0 */
    const char *variant;
    double us, us_min, us_max; /* of one run, in microseconds */
    uint32_t repeats;          /* timings that the median is of */
    bool device_clock;         /* by the device's timestamps; false: the host's clock, submission included */
    double gflops, gbps;       /* by the median: 10^9 operations, 10^9 bytes a second */
    /* What the probes gave between the timings of this row, and how near it comes to the one that binds it:
     * the limit (multiply-adds or bytes) whose ideal time is the longer one. */
    double limit_gflops, limit_gbps;
    bool compute_bound;
    double percent_of_limit;  /* 100 x ideal time / median */
    double seconds_per_model; /* group "layer": us times the model's layers */
    /* Models: evaluations of the network and tokens in one run. */
    double evaluations, seconds_per_evaluation, tokens_per_second;
} vkdlm_bench_row;

/* A model to measure. */
typedef struct vkdlm_bench_model {
    const char *name; /* in the rows */
    const char *path; /* as for vkdlm_model_open */
    const char *l2d;  /* as in vkdlm_model_options */
} vkdlm_bench_model;

/* A zeroed struct measures a selection of kernels and no models. */
typedef struct vkdlm_bench_options {
    /* Chooses among all rows there are by "GROUP TYPE MxNxK OF" (what is "" or 0 left out), case ignored:
     * words of which each begins a word of the row, in order; '*' stands for any text, '?' for one character,
     * ',' separates alternatives. NULL: a selection, or with `all` every row. The limits are always measured.
     */
    const char *only;
    bool all;
    double seconds; /* about what one row may take, without its warm-up; 0: 0.25 */
    const vkdlm_bench_model *models;
    uint32_t n_models;
    bool (*on_row)(void *user, const vkdlm_bench_row *row); /* false stops the run (CANCELLED) */
    /* A row that this device cannot run, or of the selection one that would take too long on it, and the
     * sentence that says why. May be NULL. */
    void (*on_skip)(void *user, const char *row, const char *why);
    /* Called before each row and between its timings; false stops the run (CANCELLED). May be NULL. */
    bool (*progress)(void *user, uint32_t done, uint32_t total, const char *row);
    void *user;
} vkdlm_bench_options;

/* Measures row by row. Errors: INVALID_ARGUMENT (no row is chosen; seconds), CANCELLED (after the rows that
 * were delivered), errors of models and of the device. */
VKDLM_API vkdlm_status vkdlm_bench(vkdlm_device *device, const vkdlm_bench_options *options,
                                   vkdlm_error *err);

#ifdef __cplusplus
}
#endif

#endif
