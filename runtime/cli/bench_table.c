#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "report.h"

void bench_format_us(double us, char out[24])
{
    static const struct {
        double above, unit;
        const char *name;
    } units[] = {{1e6, 1e6, "s "}, {1e3, 1e3, "ms"}, {0, 1, "us"}};
    size_t i = 0;
    while (i < 2 && !(us >= units[i].above))
        i++;
    double value = us / units[i].unit;
    snprintf(out, 24, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[i].name);
}

vkdlm_status bench_table_conditions(const bench_conditions *c, vkdlm_error *err)
{
    return report_line(err,
                       "%s, %s\nvkdlm %s, %s, %ld processors; medians with the least and the most, per cent "
                       "of the limit that binds",
                       c->device->name, c->device->driver, vkdlm_version(), c->time, c->n_cpus);
}

/* "1234", "12.3", "0.12", "" */
static const char *number(double value, char out[16])
{
    if (!(value > 0))
        return "";
    snprintf(out, 16, "%.*f", value < 10 ? 2 : value < 1000 ? 1 : 0, value);
    return out;
}

static vkdlm_status print_heading(const vkdlm_bench_row *row, vkdlm_error *err)
{
    vkdlm_status status = report_line(err, "%s", "");
    if (status)
        return status;
    switch (row->kind) {
    case VKDLM_BENCH_PROBE:
        return report_line(err, "%-40s %10s %22s %8s %8s", "limits", "median", "least .. most", "GFLOP/s",
                           "GB/s");
    case VKDLM_BENCH_KERNEL:
        return report_line(err, "%-17s %-16s %-21s %10s %22s %8s %8s %7s  %-7s %s", row->group,
                           row->type[0] ? "type  m x n x k" : "m x n x k", "layer", "median", "least .. most",
                           "GFLOP/s", "GB/s", "% limit", "bound", "variant");
    case VKDLM_BENCH_MODEL:
        return report_line(err, "%-56s %10s %22s %8s %8s %7s  %-7s %10s %10s", "models", "median",
                           "least .. most", "GFLOP/s", "GB/s", "% limit", "bound", "evaluation", "tokens/s");
    }
    return VKDLM_OK;
}

vkdlm_status bench_table_row(bench_table *table, const vkdlm_bench_row *row, vkdlm_error *err)
{
    char median[24], least[24], most[24], spread[52], shape[48], flops[16], bytes[16], name[80],
        each[24] = "", tokens[16];
    const char *group = row->kind == VKDLM_BENCH_PROBE ? "limits" : row->group;
    vkdlm_status status = VKDLM_OK;
    if (!table->group || strcmp(table->group, group) != 0)
        status = print_heading(row, err);
    table->group = group;
    if (status)
        return status;
    bench_format_us(row->us, median);
    bench_format_us(row->us_min, least);
    bench_format_us(row->us_max, most);
    snprintf(spread, sizeof spread, "%s .. %s", least, most);
    switch (row->kind) {
    case VKDLM_BENCH_PROBE:
        snprintf(name, sizeof name, "%s %s%s%s", row->group, row->type, *row->type ? " " : "", row->of);
        return report_line(err, "%-40s %10s %22s %8s %8s  %s", name, median, spread,
                           number(row->gflops, flops), number(row->gbps, bytes), row->variant);
    case VKDLM_BENCH_KERNEL:
        snprintf(shape, sizeof shape, "%" PRIu32 " x %" PRIu32 " x %" PRIu32, row->m, row->n, row->k);
        snprintf(name, sizeof name, "%-7s %s", row->type, shape);
        status = report_line(err, "  %-32s %-21s %10s %22s %8s %8s %7.1f  %-7s %s", name, row->of, median,
                             spread, number(row->gflops, flops), number(row->gbps, bytes),
                             row->percent_of_limit, row->compute_bound ? "compute" : "memory", row->variant);
        if (!status && !isnan(row->seconds_per_model))
            status = report_line(err, "  %-32s %-21s %8.2f s  for the layers of a whole model", "", "",
                                 row->seconds_per_model);
        return status;
    case VKDLM_BENCH_MODEL:
        if (!isnan(row->seconds_per_evaluation))
            bench_format_us(row->seconds_per_evaluation * 1e6, each);
        return report_line(err, "  %-54s %10s %22s %8s %8s %7.1f  %-7s %10s %10s", row->of, median, spread,
                           number(row->gflops, flops), number(row->gbps, bytes), row->percent_of_limit,
                           row->compute_bound ? "compute" : "memory", each,
                           number(row->tokens_per_second, tokens));
    }
    return VKDLM_OK;
}
