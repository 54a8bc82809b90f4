#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "commands.h"
#include "engine.h"
#include "locate.h"
#include "message.h"
#include "progress.h"
#include "report.h"
#include "signals.h"

typedef struct bench_values {
    common_values common;
    option_value only, all, seconds, model, l2d, png, compare;
} bench_values;

#define AT(field) offsetof(bench_values, field)

static const option_spec specs[] = {
    {"only", 0, OPTION_TEXT, AT(only), "PATTERN",
     "only rows that match, among all there are: words of which each begins a word of \"GROUP TYPE MxNxK "
     "LAYER\", in order, such as 'matmul q4_k', '2048x1x' or 'model'; '*' and '?' stand for any text and any "
     "character, ',' separates alternatives",
     .initially = "a selection of all groups"},
    {"all", 0, OPTION_FLAG, AT(all), .help = "every row there is: hours on a CPU driver"},
    {"seconds", 0, OPTION_NUMBER, AT(seconds), "S",
     "about what the timings of one row take, after its warm-up", "seconds", .initial = "0.25",
     .interval = {0, 3600, true, false}},
    {"model", 'm', OPTION_TEXT, AT(model), "MODEL",
     "whole model to measure: a Hugging Face directory, a .safetensors file beside its config.json, a GGUF "
     "file, or the name of a bundled model",
     .initially = "the bundled default, and kjv-llama with kjv-l2d"},
    {"l2d", 0, OPTION_TEXT, AT(l2d), "PATH", "diffusion path (L2D) of that model",
     .initially = "the one in the model's directory, if any"},
    {"png", 0, OPTION_TEXT, AT(png), "FILE",
     "also draw the roofline: speed against operations a byte, under the two limits", .initially = "none"},
    {"compare", 0, OPTION_FLAG, AT(compare),
     .help = "measure nothing: compare two files that 'bench --json' wrote, A.json and B.json"},
};
static const option_group group = {"Measurements", specs, sizeof specs / sizeof *specs, false};
static const option_group *const groups[] = {&group, &options_common, NULL};

enum { MAX_MODELS = 2 };

/* Values of a probe over the run. */
typedef struct series {
    double *values;
    size_t n, capacity;
} series;

typedef struct run {
    const bench_values *values;
    vkdlm_device *device;
    vkdlm_device_info info;
    bench_conditions conditions;
    vkdlm_bench_model models[MAX_MODELS];
    char *paths[2 * MAX_MODELS]; /* owned */
    uint32_t n_models;
    progress bar;
    bench_table table;
    uint32_t n_rows, n_skipped;
    bool told;           /* the conditions */
    vkdlm_status status; /* of printing */
    vkdlm_error err;
    /* For the picture. */
    bench_point *points;
    size_t n_points, room;
    series gflops, gbps;
    double gflops_f16;
} run;

/* ---- what the picture needs --------------------------------------------------------------------------- */

static void *grow(void *array, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity)
        return array;
    void *grown = realloc(array, (2 * *capacity + 64) * size);
    if (grown)
        *capacity = 2 * *capacity + 64;
    return grown;
}

static bool series_add(series *s, double value)
{
    double *values = grow(s->values, s->n, &s->capacity, sizeof *values);
    if (!values)
        return false;
    s->values = values;
    s->values[s->n++] = value;
    return true;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double series_median(series *s)
{
    if (!s->n)
        return NAN;
    qsort(s->values, s->n, sizeof *s->values, ascending);
    return s->values[s->n / 2];
}

static bool keep_point(run *r, const vkdlm_bench_row *row)
{
    bench_point *points = grow(r->points, r->n_points, &r->room, sizeof *points);
    if (!points)
        return false;
    r->points = points;
    bench_point *p = &points[r->n_points++];
    *p = (bench_point){.n = row->n, .intensity = row->gflops / row->gbps, .gflops = row->gflops};
    snprintf(p->group, sizeof p->group, "%s", row->group);
    snprintf(p->type, sizeof p->type, "%s", row->type);
    return true;
}

static bool keep(run *r, const vkdlm_bench_row *row)
{
    if (row->kind == VKDLM_BENCH_PROBE) {
        if (!strcmp(row->group, "multiply-add") && !strcmp(row->type, "f16"))
            r->gflops_f16 = row->gflops;
        if (!strcmp(row->group, "multiply-add") && !strcmp(row->type, "f32"))
            return series_add(&r->gflops, row->gflops);
        return strcmp(row->group, "read") != 0 || series_add(&r->gbps, row->gbps);
    }
    bool good = series_add(&r->gflops, row->limit_gflops) && series_add(&r->gbps, row->limit_gbps);
    return good && (row->kind != VKDLM_BENCH_KERNEL || !(row->gflops > 0) || keep_point(r, row));
}

static vkdlm_status draw(run *r, vkdlm_error *err)
{
    const bench_picture picture = {.conditions = &r->conditions,
                                   .limit_gflops = series_median(&r->gflops),
                                   .limit_gflops_f16 = r->gflops_f16,
                                   .limit_gbps = series_median(&r->gbps),
                                   .points = r->points,
                                   .n_points = r->n_points};
    if (!r->gflops.n || !r->gbps.n)
        return message_set(err, VKDLM_CANCELLED, "nothing was measured, '%.400s' was not drawn",
                           r->values->png.text);
    return bench_plot(r->values->png.text, &picture, err);
}

/* ---- callbacks ---------------------------------------------------------------------------------------- */

/* In front of everything, but not in front of a mistake that leaves nothing to measure. */
static vkdlm_status tell_conditions(run *r, vkdlm_error *err)
{
    if (r->told)
        return VKDLM_OK;
    r->told = true;
    return r->values->common.json.given ? report_object(bench_conditions_json(&r->conditions), err)
                                        : bench_table_conditions(&r->conditions, err);
}

static bool on_row(void *user, const vkdlm_bench_row *row)
{
    run *r = user;
    progress_clear(&r->bar);
    r->status = tell_conditions(r, &r->err);
    if (!r->status)
        r->status = r->values->common.json.given ? report_object(bench_row_json(row), &r->err)
                                                 : bench_table_row(&r->table, row, &r->err);
    if (!r->status)
        r->status = report_flush(&r->err);
    if (!r->status && !keep(r, row))
        r->status = message_set(&r->err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the results");
    r->n_rows += row->kind != VKDLM_BENCH_PROBE;
    return !r->status;
}

static void on_skip(void *user, const char *row, const char *why)
{
    run *r = user;
    progress_clear(&r->bar);
    r->n_skipped++;
    if (r->values->common.json.given)
        r->status = report_object(json_pack("{s:s,s:o,s:o}", "kind", "skipped", "row", report_string(row),
                                            "why", report_string(why)),
                                  &r->err);
    else if (!r->values->common.quiet.given)
        message_note("left out: %s: %s", row, why);
}

static bool on_progress(void *user, uint32_t done, uint32_t total, const char *row)
{
    run *r = user;
    char detail[200];
    snprintf(detail, sizeof detail, "%" PRIu32 " of %" PRIu32 ": %s", done + (done < total), total, row);
    progress_update(&r->bar, total ? (double)done / total : 0, detail);
    return !signals_pending() && !r->status;
}

/* ---- the run ------------------------------------------------------------------------------------------ */

static vkdlm_status add_model(run *r, const char *name, const char *l2d, vkdlm_error *err)
{
    vkdlm_bench_model *m = &r->models[r->n_models];
    char **path = &r->paths[2 * r->n_models], **l2d_path = path + 1;
    vkdlm_status status = locate_model(name, path, err);
    if (!status && l2d)
        status = locate_model(l2d, l2d_path, err);
    if (status)
        return status;
    const char *slash = strrchr(*path, '/');
    *m = (vkdlm_bench_model){.name = slash && slash[1] ? slash + 1 : *path, .path = *path, .l2d = *l2d_path};
    r->n_models++;
    return VKDLM_OK;
}

static vkdlm_status add_models(run *r, vkdlm_error *err)
{
    const bench_values *v = r->values;
    if (v->l2d.given && !v->model.given)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--l2d' needs '--model MODEL'");
    if (v->model.given)
        return add_model(r, v->model.text, v->l2d.text, err);
    vkdlm_status status = add_model(r, NULL, NULL, err);
    return status ? status : add_model(r, "kjv-llama", "kjv-l2d", err);
}

static void note_conditions(run *r)
{
    time_t now = time(NULL);
    struct tm utc;
    r->conditions = (bench_conditions){.device = &r->info,
                                       .n_cpus = sysconf(_SC_NPROCESSORS_ONLN),
                                       .only = r->values->only.text,
                                       .all = r->values->all.given,
                                       .seconds = r->values->seconds.number};
    if (gmtime_r(&now, &utc))
        strftime(r->conditions.time, sizeof r->conditions.time, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static vkdlm_status open_device(run *r, vkdlm_error *err)
{
    vkdlm_device_options options = {.select = r->values->common.device.text,
                                    .memory_limit_bytes = r->values->common.memory_limit.count << 20};
    vkdlm_status status = vkdlm_device_open(&options, &r->device, err);
    if (status)
        return status;
    vkdlm_device_get_info(r->device, &r->info);
    note_conditions(r);
    return VKDLM_OK;
}

static vkdlm_status measure(run *r, vkdlm_error *err)
{
    const bench_values *v = r->values;
    const vkdlm_bench_options options = {.only = v->only.text,
                                         .all = v->all.given,
                                         .seconds = v->seconds.number,
                                         .models = r->models,
                                         .n_models = r->n_models,
                                         .on_row = on_row,
                                         .on_skip = on_skip,
                                         .progress = on_progress,
                                         .user = r};
    double begun = progress_now();
    progress_begin(&r->bar, "measuring");
    vkdlm_status status = vkdlm_bench(r->device, &options, err);
    progress_clear(&r->bar);
    if (r->status) {
        *err = r->err;
        return r->status;
    }
    bool stopped = status == VKDLM_CANCELLED;
    if (status && !stopped)
        return status;
    double seconds = progress_now() - begun;
    vkdlm_status printed = tell_conditions(r, err);
    if (!printed && v->common.json.given)
        printed = report_object(json_pack("{s:s,s:o,s:o,s:o,s:b}", "kind", "summary", "rows",
                                          report_count(r->n_rows), "skipped", report_count(r->n_skipped),
                                          "seconds", report_real(seconds), "complete", (int)!stopped),
                                err);
    else if (!printed && !v->common.quiet.given)
        printed = report_line(err, "\n%" PRIu32 " rows in %.1f s", r->n_rows, seconds);
    if (!printed && v->png.given)
        printed = draw(r, err);
    if (printed)
        return printed;
    return stopped ? message_set(err, VKDLM_CANCELLED, "interrupted after %" PRIu32 " rows", r->n_rows)
                   : VKDLM_OK;
}

static vkdlm_status check(const bench_values *v, const option_parse *parse, vkdlm_error *err)
{
    if (v->compare.given && parse->n_arguments != 2)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--compare' takes two files, A.json and B.json, found %zu", parse->n_arguments);
    if (!v->compare.given && parse->n_arguments)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'bench' takes files with '--compare' only, found '%.200s'", parse->arguments[0]);
    if (v->compare.given && v->png.given)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--compare' draws nothing: '--png' does not fit it");
    return v->png.given ? bench_plot_check(v->png.text, err) : VKDLM_OK;
}

static void close_run(run *r)
{
    vkdlm_device_close(r->device);
    for (size_t i = 0; i < sizeof r->paths / sizeof *r->paths; i++)
        free(r->paths[i]);
    free(r->points);
    free(r->gflops.values);
    free(r->gbps.values);
}

static int run_bench(const command *cmd, void *values, const option_parse *parse)
{
    const bench_values *v = values;
    run r = {.values = v};
    vkdlm_error err = {0};
    (void)cmd;
    progress_init(&r.bar, v->common.quiet.given);
    vkdlm_status status = check(v, parse, &err);
    if (!status && v->compare.given) {
        status = bench_compare(parse->arguments[0], parse->arguments[1], v->common.json.given, &err);
        return status ? message_error(&err) : CLI_OK;
    }
    signals_catch();
    if (!status)
        status = add_models(&r, &err);
    if (!status)
        status = open_device(&r, &err);
    if (!status)
        status = measure(&r, &err);
    close_run(&r);
    if (!status)
        return CLI_OK;
    int code = message_error(&err);
    return status == VKDLM_CANCELLED && signals_pending() ? signals_exit_status() : code;
}

const command command_bench = {
    .name = "bench",
    .summary = "Measures the limits of a device, kernels over shapes of real models, and whole models, each "
               "against the limit that binds it.",
    .arguments = "[A.json B.json]",
    .most_arguments = 2,
    .groups = groups,
    .notes =
        "M x N x K: columns of the output, rows, inputs of a row (of attention: queries and keys). A row is "
        "the "
        "median of repeated timings after a warm-up, with the least and the most; the probes of the two "
        "limits are repeated between them. The limit that binds is the one whose ideal time is "
        "longer, "
        "multiply-adds or bytes; weights are read from a working set as large as the read probe's.\n"
        "--json: an object with \"kind\":\"conditions\", then one a row: \"kind\" (probe, kernel, model), "
        "\"group\", \"type\", \"of\", \"m\", \"n\", \"k\", \"us\", \"us_min\", \"us_max\", \"repeats\", "
        "\"clock\" (whose timestamps), \"gflops\", \"gbps\", \"bound\", \"percent_of_limit\", "
        "\"limit_gflops\" and \"limit_gbps\" (the probes meanwhile), \"variant\", of models "
        "\"evaluations\", \"seconds_per_evaluation\" and \"tokens_per_second\", of layers "
        "\"seconds_per_model\"; at last a \"summary\", \"complete\" or not.",
    .values_size = sizeof(bench_values),
    .run = run_bench,
};
