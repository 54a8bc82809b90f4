/* What the files of the command `bench` share. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <stdio.h>

#include <jansson.h>
#include <vkdlm/bench.h>

#include "options.h"

/* The conditions that a run was made under. */
typedef struct bench_conditions {
    const vkdlm_device_info *device;
    char time[32]; /* UTC, ISO 8601 */
    long n_cpus;
    const char *only; /* NULL: none */
    bool all;
    double seconds;
} bench_conditions;

/* ---- one object a line (bench_json.c) ----------------------------------------------------------------- */

json_t *bench_conditions_json(const bench_conditions *conditions);
/* Without what is NaN or "". */
json_t *bench_row_json(const vkdlm_bench_row *row);

/* ---- a table for people (bench_table.c) --------------------------------------------------------------- */

typedef struct bench_table {
    const char *group; /* whose heading was printed last */
} bench_table;

vkdlm_status bench_table_conditions(const bench_conditions *conditions, vkdlm_error *err);
vkdlm_status bench_table_row(bench_table *table, const vkdlm_bench_row *row, vkdlm_error *err);

/* "12.3 us", "4.56 ms" */
void bench_format_us(double us, char out[24]);

/* ---- pictures (bench_plot.c, or bench_plot_absent.c without cairo) ------------------------------------- */

/* One kernel in the picture. */
typedef struct bench_point {
    char group[32];
    char type[16];
    uint32_t n;               /* rows */
    double intensity, gflops; /* operations a byte; 10^9 a second */
} bench_point;

typedef struct bench_picture {
    const bench_conditions *conditions;
    double limit_gflops, limit_gflops_f16, limit_gbps; /* medians of the run; f16 0: not measured */
    const bench_point *points;
    size_t n_points;
} bench_picture;

/* Whether a picture can be written to `path`: before what it shows is measured. */
vkdlm_status bench_plot_check(const char *path, vkdlm_error *err);
/* Writes the roofline to a PNG file, under a temporary name that becomes `path` when it is complete. */
vkdlm_status bench_plot(const char *path, const bench_picture *picture, vkdlm_error *err);

/* ---- two runs (bench_compare.c) ------------------------------------------------------------------------ */

/* `bench --compare A.json B.json`; returns the exit status. */
vkdlm_status bench_compare(const char *a, const char *b, bool json, vkdlm_error *err);

#endif
