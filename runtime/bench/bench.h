/* What the files behind vkdlm_bench share: bench.c runs, measure.c times, probes.c knows the
 * device's limits, matmul.c, attention.c, rows.c and layer.c have the kernel groups,
 * models.c whole models. */
#ifndef RUNTIME_BENCH_H
#define RUNTIME_BENCH_H

#include <vkdlm/bench.h>

#include "gpu/gpu.h"
#include "ops/weight.h"

/* ---- the place where things are measured ------------------------------------------------------------ */

typedef struct bench_limits {
    double gflops, gbps;
} bench_limits;

typedef struct bench_probes bench_probes;

enum { BENCH_MAX_SAMPLES = 64 };

typedef struct bench_lab {
    vkdlm_device *owner;
    gpu_device *device;
    gpu_commands *commands;
    const vkdlm_bench_options *options;
    double seconds;
    /* Bytes that runs of one row walk through in turn, so that weights come from where a model's weights come
     * from: the probe of the read bandwidth walks through as many. */
    uint64_t pool_bytes;
    uint32_t done, total;
    const char *row;               /* being measured */
    const struct bench_case *last; /* the kernel that was measured last, NULL: none; and its speed */
    double last_gflops;
    /* What the probes gave while the row was measured. */
    bench_probes *probes; /* NULL: none are taken */
    double fma[BENCH_MAX_SAMPLES], read[BENCH_MAX_SAMPLES];
    uint32_t n_samples;
} bench_lab;

/* CANCELLED when the caller wants to stop. */
vkdlm_status bench_check(const bench_lab *lab, vkdlm_error *err);

/* ---- cases -------------------------------------------------------------------------------------------- */

enum { BENCH_TEXT = 160 };

/* One row to be measured. */
typedef struct bench_case {
    const struct bench_group *group;
    vkdlm_dtype dtype;
    bool typed; /* dtype means something */
    char of[96];
    uint32_t m, n, k;
    const void *detail; /* the group's own */
    uint32_t variation; /* the group's own */
    bool selected;      /* one of the selection that is measured by default */
} bench_case;

typedef struct bench_list {
    bench_case *cases;
    size_t n, capacity;
    bool failed; /* out of host memory */
} bench_list;

void bench_list_add(bench_list *list, const bench_case *one);

/* "q4_0": the dtype's name as options and reports write it. */
void bench_type_name(vkdlm_dtype dtype, char out[16]);

/* What a pattern is compared with: "matmul q4_0 2048x256x2048 llama-3.2-1b o". */
void bench_case_text(const bench_case *one, char out[BENCH_TEXT]);

/* The rule of vkdlm_bench_options.only. */
bool bench_matches(const char *pattern, const char *text);

/* ---- groups ------------------------------------------------------------------------------------------- */

/* What one run of a row does. */
typedef struct bench_cost {
    double flops, bytes;
    double layers; /* of the model that the row is a layer of; 0: it is none */
    const char *variant;
} bench_cost;

typedef struct bench_group {
    const char *name;
    void (*list)(const struct bench_group *group, bench_list *list);
    /* Makes what a row needs on the device and describes it. *self is given to destroy also after a failure.
     */
    vkdlm_status (*create)(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                           vkdlm_error *err);
    /* Records run number `run` of a submission. */
    void (*record)(bench_lab *lab, void *self, uint32_t run);
    void (*destroy)(void *self);
} bench_group;

extern const bench_group bench_matmul, bench_output, bench_attention, bench_prefill, bench_cached,
    bench_cache_write, bench_rotary, bench_norm, bench_rms, bench_embed, bench_layer;

/* ---- timing ------------------------------------------------------------------------------------------- */

typedef struct bench_times {
    double us, us_min, us_max; /* of one run */
    uint32_t repeats;
    bool device_clock;
} bench_times;

/* Runs work until the lab's seconds are over, at least three times unless one takes very long, after a
 * warm-up in which pipelines are compiled. most_runs: runs that may share a submission. */
typedef void (*bench_record_fn)(bench_lab *lab, void *self, uint32_t run);
vkdlm_status bench_measure(bench_lab *lab, bench_record_fn record, void *self, uint32_t most_runs,
                           bench_times *out, vkdlm_error *err);

/* The same for work that submits itself and takes the host's time. */
typedef vkdlm_status (*bench_call_fn)(void *self, vkdlm_error *err);
vkdlm_status bench_measure_calls(bench_lab *lab, bench_call_fn call, void *self, bench_times *out,
                                 vkdlm_error *err);

/* Device microseconds of one submission of n_runs runs; *device_clock tells by which clock. */
vkdlm_status bench_time_submission(bench_lab *lab, bench_record_fn record, void *self, uint32_t n_runs,
                                   double *us, bool *device_clock, vkdlm_error *err);

/* Sorts and takes the median, the least and the most. */
void bench_summarise(double *us, uint32_t n, bench_times *out);

/* ---- probes ------------------------------------------------------------------------------------------- */

/* Finds out in which form each probe is fastest on this device. */
vkdlm_status bench_probes_create(bench_lab *lab, bench_probes **out, vkdlm_error *err);
void bench_probes_destroy(bench_probes *probes);

/* Takes one more sample of the two limits into the lab, in some hundredths of a second; nothing without
 * probes or when there are enough. */
vkdlm_status bench_probes_sample(bench_lab *lab, vkdlm_error *err);
/* Medians of the samples. */
bench_limits bench_probes_limits(bench_lab *lab);

/* What a pattern is compared with, NULL past the last probe; whether rows are held against it; and its row. A
 * probe that the device lacks the features for has repeats 0. */
const char *bench_probe_text(uint32_t index);
bool bench_probe_is_limit(uint32_t index);
vkdlm_status bench_probe_row(bench_lab *lab, bench_probes *probes, uint32_t index, vkdlm_bench_row *row,
                             vkdlm_error *err);

/* ---- what groups share -------------------------------------------------------------------------------- */

/* A device buffer whose bytes repeat `pattern`. */
vkdlm_status bench_buffer(bench_lab *lab, uint64_t bytes, const void *pattern, uint64_t pattern_bytes,
                          gpu_buffer *out, vkdlm_error *err);
/* The same with floats of magnitude 1/4 to 1/2. */
vkdlm_status bench_floats(bench_lab *lab, uint64_t bytes, gpu_buffer *out, vkdlm_error *err);
/* A weight of n_columns outputs and `depth` inputs with arbitrary values of such magnitude. */
vkdlm_status bench_weight(bench_lab *lab, vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth, weight *out,
                          vkdlm_error *err);
/* How many copies of so many bytes the runs of a row take in turn. */
uint32_t bench_copies(const bench_lab *lab, uint64_t bytes);
enum { BENCH_MAX_COPIES = 64, BENCH_MAX_RUNS = 256 };

/* ---- whole models ------------------------------------------------------------------------------------- */

typedef struct bench_models bench_models;

/* Looks into the models' files and appends their cases, whose `detail` is of no concern to others. */
vkdlm_status bench_models_list(const vkdlm_bench_options *options, bench_list *list, vkdlm_error *err);
/* Measures one of them; the model stays open until another is asked for. *models is NULL at first. */
vkdlm_status bench_models_run(bench_lab *lab, bench_models **models, const bench_case *one,
                              vkdlm_bench_row *row, vkdlm_error *err);
void bench_models_close(bench_models *models);

#endif
