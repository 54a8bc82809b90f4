/* Public measurements: chooses the rows, measures them one by one between probes of the limits. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "device.h"

/* Bytes that a row's runs walk through: more than the caches that are near a processor. */
#define CPU_POOL_BYTES  (64ull << 20)
#define GPU_POOL_BYTES  (256ull << 20)
#define DEFAULT_SECONDS 0.25
#define MOST_RUN_S      4.0 /* expected of one run of a row that was not asked for */

static const bench_group *const groups[] = {
    &bench_matmul, &bench_output, &bench_attention, &bench_prefill, &bench_cached, &bench_cache_write,
    &bench_rotary, &bench_norm,   &bench_rms,       &bench_embed,   &bench_layer,
};

const char *vkdlm_bench_kind_name(vkdlm_bench_kind kind)
{
    static const char *const names[] = {
#define KIND_NAME(suffix, name) name,
        VKDLM_BENCH_KIND_LIST(KIND_NAME)
#undef KIND_NAME
    };
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

/* ---- which rows --------------------------------------------------------------------------------------- */

static bool is_wanted(const vkdlm_bench_options *options, const bench_case *one)
{
    char text[BENCH_TEXT];
    bench_case_text(one, text);
    return options->only ? bench_matches(options->only, text) : options->all || one->selected;
}

/* A probe is measured unless rows were chosen that it is not one of; the limits always are. */
static bool wants_probe(const vkdlm_bench_options *options, uint32_t index)
{
    return bench_probe_is_limit(index) || !options->only ||
           bench_matches(options->only, bench_probe_text(index));
}

static uint32_t count_probes(const vkdlm_bench_options *options)
{
    uint32_t n = 0;
    for (uint32_t i = 0; options->only && bench_probe_text(i); i++)
        n += bench_matches(options->only, bench_probe_text(i));
    return n;
}

/* All cases that are wanted, in order. */
static vkdlm_status choose(const vkdlm_bench_options *options, bench_list *list, vkdlm_error *err)
{
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        groups[i]->list(groups[i], list);
    vkdlm_status status = bench_models_list(options, list, err);
    if (!status && list->failed)
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for the list of rows");
    if (status)
        return status;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (is_wanted(options, &list->cases[i]))
            list->cases[n++] = list->cases[i];
    list->n = n;
    if (n == 0 && count_probes(options) == 0)
        return error_set(
            err, VKDLM_INVALID_ARGUMENT,
            "only: '%.200s' matches no row; rows are named like 'matmul q4_0 768x256x3072 mdlm-owt down'",
            options->only ? options->only : "");
    return VKDLM_OK;
}

/* ---- one row ------------------------------------------------------------------------------------------ */

static vkdlm_bench_row blank_row(const bench_case *one, char type[16])
{
    type[0] = 0;
    if (one->typed)
        bench_type_name(one->dtype, type);
    return (vkdlm_bench_row){.kind = one->group ? VKDLM_BENCH_KERNEL : VKDLM_BENCH_MODEL,
                             .group = one->group ? one->group->name : "model",
                             .type = type,
                             .of = one->of,
                             .m = one->m,
                             .n = one->n,
                             .k = one->k,
                             .variant = "",
                             .seconds_per_model = NAN,
                             .evaluations = NAN,
                             .seconds_per_evaluation = NAN,
                             .tokens_per_second = NAN};
}

/* Rows of the selection end in minutes also on devices that are too slow for some of them: what a run will
 * take is told by the limit, and by the row before if it had the same kernel. */
static vkdlm_status check_patience(bench_lab *lab, const bench_case *one, const bench_cost *cost,
                                   vkdlm_error *err)
{
    const vkdlm_bench_options *o = lab->options;
    const bench_case *last = lab->last;
    if (o->only || o->all)
        return VKDLM_OK;
    vkdlm_status status = bench_probes_sample(lab, err);
    if (status)
        return status;
    double seconds = cost->flops * 1e-9 / bench_probes_limits(lab).gflops;
    if (last && last->group == one->group && last->dtype == one->dtype && last->m == one->m &&
        last->k == one->k)
        seconds = fmax(seconds, cost->flops * 1e-9 / lab->last_gflops);
    if (seconds <= MOST_RUN_S)
        return VKDLM_OK;
    return error_set(err, VKDLM_UNSUPPORTED,
                     "one run would take about %.0f s on this device; 'only' and 'all' measure it", seconds);
}

static vkdlm_status measure_kernel(bench_lab *lab, const bench_case *one, vkdlm_bench_row *row,
                                   vkdlm_error *err)
{
    void *self = NULL;
    bench_cost cost = {0};
    bench_times t = {0};
    vkdlm_status status = one->group->create(lab, one, &self, &cost, err);
    if (!status)
        status = check_patience(lab, one, &cost, err);
    if (!status)
        status = bench_measure(lab, one->group->record, self, BENCH_MAX_RUNS, &t, err);
    one->group->destroy(self);
    if (status)
        return status;
    row->variant = cost.variant;
    row->us = t.us;
    row->us_min = t.us_min;
    row->us_max = t.us_max;
    row->repeats = t.repeats;
    row->device_clock = t.device_clock;
    row->gflops = cost.flops / t.us * 1e-3;
    row->gbps = cost.bytes / t.us * 1e-3;
    lab->last = one;
    lab->last_gflops = row->gflops;
    if (cost.layers > 0)
        row->seconds_per_model = cost.layers * t.us * 1e-6;
    return VKDLM_OK;
}

/* Holds a row against what the probes gave meanwhile. */
static void judge(vkdlm_bench_row *row, const bench_limits *limits)
{
    row->limit_gflops = limits->gflops;
    row->limit_gbps = limits->gbps;
    double of_flops = row->gflops / row->limit_gflops, of_bytes = row->gbps / row->limit_gbps;
    row->compute_bound = of_flops > of_bytes;
    row->percent_of_limit = 100 * fmax(of_flops, of_bytes);
}

static vkdlm_status deliver(const bench_lab *lab, const vkdlm_bench_row *row, vkdlm_error *err)
{
    const vkdlm_bench_options *o = lab->options;
    if (!o->on_row || o->on_row(o->user, row))
        return VKDLM_OK;
    return error_set(err, VKDLM_CANCELLED, "cancelled by the caller");
}

/* ---- the run ------------------------------------------------------------------------------------------ */

static vkdlm_status run_probes(bench_lab *lab, bench_probes *probes, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; bench_probe_text(i) && !status; i++) {
        vkdlm_bench_row row;
        if (!wants_probe(lab->options, i))
            continue;
        lab->row = bench_probe_text(i);
        status = bench_check(lab, err);
        if (!status)
            status = bench_probe_row(lab, probes, i, &row, err);
        if (!status && row.repeats)
            status = deliver(lab, &row, err);
    }
    return status;
}

/* What concerns one row alone: others may still be measured. */
static bool is_skippable(vkdlm_status status)
{
    return status == VKDLM_OUT_OF_DEVICE_MEMORY || status == VKDLM_UNSUPPORTED ||
           status == VKDLM_OUT_OF_HOST_MEMORY;
}

static vkdlm_status run_cases(bench_lab *lab, const bench_list *list, vkdlm_error *err)
{
    const vkdlm_bench_options *o = lab->options;
    bench_models *models = NULL;
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < list->n && !status; i++, lab->done++) {
        const bench_case *one = &list->cases[i];
        char text[BENCH_TEXT], type[16];
        vkdlm_bench_row row = blank_row(one, type);
        bench_case_text(one, text);
        lab->row = text;
        lab->n_samples = 0;
        status = bench_check(lab, err);
        if (!status)
            status = one->group ? measure_kernel(lab, one, &row, err)
                                : bench_models_run(lab, &models, one, &row, err);
        bool skipped = is_skippable(status);
        if (skipped && o->on_skip)
            o->on_skip(o->user, text, err ? err->message : vkdlm_status_text(status));
        if (skipped)
            status = VKDLM_OK;
        if (!status && !skipped) {
            bench_limits limits = bench_probes_limits(lab);
            judge(&row, &limits);
            status = deliver(lab, &row, err);
        }
    }
    bench_models_close(models);
    return status;
}

vkdlm_status vkdlm_bench(vkdlm_device *device, const vkdlm_bench_options *options, vkdlm_error *err)
{
    const vkdlm_bench_options defaults = {0};
    vkdlm_error local;
    err = err ? err : &local;
    options = options ? options : &defaults;
    if (!(options->seconds >= 0 && options->seconds <= 3600))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "seconds: expected 0 to 3600, found %g",
                         options->seconds);
    const gpu_caps *caps = gpu_device_caps(device->gpu);
    bench_lab lab = {.owner = device,
                     .device = device->gpu,
                     .options = options,
                     .seconds = options->seconds > 0 ? options->seconds : DEFAULT_SECONDS,
                     .pool_bytes = caps->type == GPU_TYPE_CPU ? CPU_POOL_BYTES : GPU_POOL_BYTES,
                     .row = "probes"};
    bench_list list = {0};
    bench_probes *probes = NULL;
    vkdlm_status status = choose(options, &list, err);
    lab.total = (uint32_t)list.n;
    if (!status)
        status = gpu_commands_create(device->gpu, &lab.commands, err);
    if (!status)
        status = bench_check(&lab, err);
    if (!status)
        status = bench_probes_create(&lab, &probes, err);
    if (!status)
        status = run_probes(&lab, probes, err);
    lab.probes = probes;
    if (!status)
        status = run_cases(&lab, &list, err);
    bench_probes_destroy(probes);
    gpu_commands_destroy(lab.commands);
    free(list.cases);
    return status;
}
