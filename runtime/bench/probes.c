/* The limits of a device as kernels and copies find them: each probe is tried in several forms and the
 * fastest one is kept. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/size.h"
#include "bench.h"

enum {
    FMA_STEPS = 1000, /* iterations of an invocation */
    FMA_PER_STEP = 12 * 16,
    READ_STEPS = 256,
    LEAST_INVOCATIONS = 1024,
    MOST_GROUPS = 16384,
    PROBE_US = 8000,   /* what a probe of the rate is stretched to */
    LIMIT_REPEATS = 3, /* of the probes between rows */
    LATENCY_RUNS = 64, /* dispatches of a submission that measures one */
    TINY_STEPS = 1,    /* of a dispatch that does nothing */
    ALTERNATIVES = 3,  /* timings of each form */
};

/* One dispatch of a probe shader. */
typedef struct shot {
    enum gpu_kernel kernel;
    uint32_t width; /* invocations of a workgroup */
    uint32_t steps, groups;
    bool own_piece;
    double amount; /* operations or bytes of one run */
} shot;

struct bench_probes {
    gpu_buffer seed, pool, sink;
    shot fma, fma_f16, read, tiny;
    const shot *current; /* what record_shot records */
};

static void record_shot(bench_lab *lab, void *self, uint32_t run)
{
    const bench_probes *p = self;
    const shot *s = p->current;
    const gpu_pipeline *pipeline;
    vkdlm_error err;
    bool reads = s->kernel == GPU_KERNEL_PROBE_READ || s->kernel == GPU_KERNEL_PROBE_READ_TEXELS;
    gpu_spec spec = {.n = reads ? 3 : 2, .value = {s->width, s->steps, s->own_piece}};
    (void)run;
    if (gpu_pipeline_get(lab->device, s->kernel, &spec, &pipeline, &err)) {
        gpu_commands_fail(lab->commands, &err);
        return;
    }
    gpu_view views[] = {gpu_view_all(reads ? &p->pool : &p->seed), gpu_view_all(&p->sink)};
    gpu_dispatch(lab->commands, pipeline, views, 2, NULL, 0, s->groups, 1, 1);
}

static vkdlm_status time_shot(bench_lab *lab, bench_probes *p, const shot *s, double *us, vkdlm_error *err)
{
    bool clock;
    p->current = s;
    return bench_time_submission(lab, record_shot, p, 1, us, &clock, err);
}

/* The rate of a form, best of several; 0 for one that cannot be run. */
static vkdlm_status try_form(bench_lab *lab, bench_probes *p, const shot *s, double *rate, vkdlm_error *err)
{
    double us = 0, best = INFINITY;
    vkdlm_status status = time_shot(lab, p, s, &us, err); /* warm-up */
    for (int i = 0; i < ALTERNATIVES && !status; i++) {
        status = time_shot(lab, p, s, &us, err);
        best = fmin(best, us);
    }
    *rate = status ? 0 : s->amount / best;
    return status;
}

static vkdlm_status choose_fma(bench_lab *lab, bench_probes *p, enum gpu_kernel kernel, shot *out,
                               vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(lab->device);
    const uint32_t widths[] = {caps->subgroup_size, 64, 256};
    double best = 0;
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < sizeof widths / sizeof *widths && !status; i++) {
        shot s = {.kernel = kernel, .width = u32_min(widths[i], caps->max_invocations), .steps = FMA_STEPS};
        double rate, us = 0;
        s.groups = LEAST_INVOCATIONS / s.width;
        status = time_shot(lab, p, &s, &us, err); /* warm-up */
        /* From little work to enough of it: devices differ by a factor of a thousand. */
        while (!status && !(status = time_shot(lab, p, &s, &us, err)) && us < PROBE_US &&
               s.groups < MOST_GROUPS)
            s.groups *= 2;
        s.amount = 2.0 * FMA_PER_STEP * FMA_STEPS * s.width * (double)s.groups;
        if (!status)
            status = try_form(lab, p, &s, &rate, err);
        if (!status && rate > best) {
            best = rate;
            *out = s;
        }
    }
    return status;
}

static vkdlm_status choose_read(bench_lab *lab, bench_probes *p, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(lab->device);
    const uint32_t widths[] = {caps->subgroup_size, 256};
    double best = 0;
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < 8 && !status; i++) {
        bool texels = i & 1, own_piece = i & 2;
        uint32_t width = u32_min(widths[i / 4], caps->max_invocations);
        uint64_t group_bytes = (uint64_t)READ_STEPS * 4 * 16 * width;
        shot s = {.kernel = texels ? GPU_KERNEL_PROBE_READ_TEXELS : GPU_KERNEL_PROBE_READ,
                  .width = width,
                  .steps = READ_STEPS,
                  .own_piece = own_piece,
                  .groups = (uint32_t)(p->pool.size_bytes / group_bytes)};
        s.amount = (double)group_bytes * s.groups;
        double rate;
        if (texels && !caps->texel_buffers)
            continue;
        status = try_form(lab, p, &s, &rate, err);
        if (!status && rate > best) {
            best = rate;
            p->read = s;
        }
    }
    return status;
}

vkdlm_status bench_probes_create(bench_lab *lab, bench_probes **out, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(lab->device);
    bench_probes *p = calloc(1, sizeof *p);
    *out = p;
    if (!p)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for probes");
    const float half = 0.5f; /* a <- 0.5 a + 0.5 converges to 1, never to numbers that are slow */
    vkdlm_status status = bench_buffer(lab, 256, &half, sizeof half, &p->seed, err);
    if (!status)
        status = bench_buffer(lab, 256, &half, sizeof half, &p->sink, err);
    if (!status)
        status = bench_buffer(lab, u64_min(lab->pool_bytes, caps->max_storage_range_bytes), &half,
                              sizeof half, &p->pool, err);
    if (!status)
        status = choose_fma(lab, p, GPU_KERNEL_PROBE_FMA, &p->fma, err);
    if (!status && caps->f16_arithmetic && gpu_kernel_built(GPU_KERNEL_PROBE_FMA_F16))
        status = choose_fma(lab, p, GPU_KERNEL_PROBE_FMA_F16, &p->fma_f16, err);
    if (!status)
        status = choose_read(lab, p, err);
    p->tiny = p->fma;
    p->tiny.steps = TINY_STEPS;
    p->tiny.groups = 1;
    return status;
}

void bench_probes_destroy(bench_probes *p)
{
    if (!p)
        return;
    gpu_buffer_destroy(&p->seed);
    gpu_buffer_destroy(&p->pool);
    gpu_buffer_destroy(&p->sink);
    free(p);
}

vkdlm_status bench_probes_sample(bench_lab *lab, vkdlm_error *err)
{
    bench_probes *p = lab->probes;
    double fma, read;
    if (!p || lab->n_samples == BENCH_MAX_SAMPLES)
        return VKDLM_OK;
    vkdlm_status status = time_shot(lab, p, &p->fma, &fma, err);
    if (!status)
        status = time_shot(lab, p, &p->read, &read, err);
    if (status)
        return status;
    lab->fma[lab->n_samples] = fma;
    lab->read[lab->n_samples++] = read;
    return VKDLM_OK;
}

bench_limits bench_probes_limits(bench_lab *lab)
{
    const bench_probes *p = lab->probes;
    bench_times fma, read;
    bench_summarise(lab->fma, lab->n_samples, &fma);
    bench_summarise(lab->read, lab->n_samples, &read);
    return (bench_limits){p->fma.amount / fma.us * 1e-3, p->read.amount / read.us * 1e-3};
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static void record_copy(bench_lab *lab, void *self, uint32_t run)
{
    const bench_probes *p = self;
    uint64_t half = p->pool.size_bytes / 2;
    gpu_copy(lab->commands, &p->pool, run % 2 ? half : 0, &p->pool, run % 2 ? 0 : half, half);
}

static vkdlm_status submit_once(void *self, vkdlm_error *err)
{
    bench_lab *lab = self;
    vkdlm_status status = gpu_commands_begin(lab->commands, err);
    return status ? status : gpu_submit_wait(lab->commands, err);
}

enum probe { PROBE_FMA, PROBE_FMA_F16, PROBE_READ, PROBE_COPY, PROBE_DISPATCH, PROBE_SUBMISSION, N_PROBES };

static const struct {
    const char *group, *type, *of, *text;
} probes[N_PROBES] = {
    [PROBE_FMA] = {"multiply-add", "f32", "", "probe multiply-add f32"},
    [PROBE_FMA_F16] = {"multiply-add", "f16", "", "probe multiply-add f16"},
    [PROBE_READ] = {"read", "", "bytes of a buffer", "probe read"},
    [PROBE_COPY] = {"copy", "", "bytes read and written", "probe copy"},
    [PROBE_DISPATCH] = {"dispatch", "", "behind a barrier", "probe dispatch"},
    [PROBE_SUBMISSION] = {"submission", "", "and its end seen by the host", "probe submission"},
};

const char *bench_probe_text(uint32_t index)
{
    return index < N_PROBES ? probes[index].text : NULL;
}

bool bench_probe_is_limit(uint32_t index)
{
    return index == PROBE_FMA || index == PROBE_READ;
}

/* Which form of a probe was the fastest. */
static const char *form_name(const shot *s)
{
    static const char *const names[2][2] = {{"buffer, side by side", "buffer, piece by piece"},
                                            {"texels, side by side", "texels, piece by piece"}};
    return names[s->kernel == GPU_KERNEL_PROBE_READ_TEXELS][s->own_piece];
}

vkdlm_status bench_probe_row(bench_lab *lab, bench_probes *p, uint32_t index, vkdlm_bench_row *row,
                             vkdlm_error *err)
{
    bench_times t = {0};
    double flops = NAN, bytes = NAN;
    vkdlm_status status = VKDLM_OK;
    *row = (vkdlm_bench_row){.kind = VKDLM_BENCH_PROBE,
                             .group = probes[index].group,
                             .type = probes[index].type,
                             .of = probes[index].of,
                             .variant = ""};
    switch ((enum probe)index) {
    case PROBE_FMA:
    case PROBE_FMA_F16:
        p->current = index == PROBE_FMA ? &p->fma : &p->fma_f16;
        flops = p->current->amount;
        if (p->current->groups)
            status = bench_measure(lab, record_shot, p, 1, &t, err);
        break;
    case PROBE_READ:
        p->current = &p->read;
        bytes = p->read.amount;
        row->variant = form_name(&p->read);
        status = bench_measure(lab, record_shot, p, 1, &t, err);
        break;
    case PROBE_COPY:
        bytes = (double)(p->pool.size_bytes / 2 * 2);
        status = bench_measure(lab, record_copy, p, 1, &t, err);
        break;
    case PROBE_DISPATCH:
        p->current = &p->tiny;
        status = bench_measure(lab, record_shot, p, LATENCY_RUNS, &t, err);
        break;
    case PROBE_SUBMISSION:
        status = bench_measure_calls(lab, submit_once, lab, &t, err);
        break;
    case N_PROBES:
        break;
    }
    row->us = t.us;
    row->us_min = t.us_min;
    row->us_max = t.us_max;
    row->repeats = t.repeats;
    row->device_clock = t.device_clock;
    row->gflops = flops / t.us * 1e-3;
    row->gbps = bytes / t.us * 1e-3;
    return status;
}
