/* Two runs side by side. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_lines.h"
#include "message.h"
#include "report.h"

/* ---- matching ----------------------------------------------------------------------------------------- */

static int compare_counts(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_rows(const bench_line *a, const bench_line *b)
{
    int order = strcmp(a->kind, b->kind);
    order = order ? order : strcmp(a->group, b->group);
    order = order ? order : strcmp(a->type, b->type);
    order = order ? order : strcmp(a->of, b->of);
    order = order ? order : compare_counts(a->m, b->m);
    order = order ? order : compare_counts(a->n, b->n);
    return order ? order : compare_counts(a->k, b->k);
}

/* Equal rows in the order of the file. */
static int compare_places(const void *a, const void *b)
{
    const bench_line *x = *(const bench_line *const *)a, *y = *(const bench_line *const *)b;
    int order = compare_rows(x, y);
    return order ? order : (x > y) - (x < y);
}

/* The rows in order, without those that equal one before them. */
static const bench_line **sort_rows(const bench_lines *lines, size_t *n)
{
    const bench_line **sorted = malloc(lines->n * sizeof *sorted);
    *n = 0;
    for (size_t i = 0; sorted && i < lines->n; i++)
        sorted[i] = &lines->rows[i];
    if (!sorted)
        return NULL;
    qsort(sorted, lines->n, sizeof *sorted, compare_places);
    for (size_t i = 0; i < lines->n; i++)
        if (!*n || compare_rows(sorted[*n - 1], sorted[i]) != 0)
            sorted[(*n)++] = sorted[i];
    return sorted;
}

static int compare_pairs(const void *a, const void *b)
{
    const bench_pair *x = a, *y = b;
    return (x->a > y->a) - (x->a < y->a);
}

vkdlm_status bench_comparison_make(const bench_lines *a, const bench_lines *b, bench_comparison *out,
                                   vkdlm_error *err)
{
    size_t n_a = 0, n_b = 0;
    const bench_line **of_a = sort_rows(a, &n_a), **of_b = sort_rows(b, &n_b);
    *out = (bench_comparison){.pairs = malloc((a->n + 1) * sizeof *out->pairs)};
    vkdlm_status status = VKDLM_OK;
    if (!of_a || !of_b || !out->pairs)
        status = message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a comparison");
    for (size_t i = 0, j = 0; !status && i < n_a && j < n_b;) {
        int order = compare_rows(of_a[i], of_b[j]);
        if (order == 0)
            out->pairs[out->n++] = (bench_pair){.a = of_a[i],
                                                .b = of_b[j],
                                                .ratio = of_a[i]->us / of_b[j]->us,
                                                .adjusted = of_b[j]->percent / of_a[i]->percent};
        i += order <= 0;
        j += order >= 0;
    }
    if (!status)
        qsort(out->pairs, out->n, sizeof *out->pairs, compare_pairs);
    out->only_a = n_a - out->n;
    out->only_b = n_b - out->n;
    free(of_a);
    free(of_b);
    return status;
}

void bench_comparison_free(bench_comparison *comparison)
{
    free(comparison->pairs);
    *comparison = (bench_comparison){0};
}

size_t bench_comparison_group(const bench_comparison *c, size_t first, double *ratio, double *adjusted)
{
    double sum_ratio = 0, sum_adjusted = 0;
    size_t n = 0;
    for (size_t i = first; i < c->n; i++, n++) {
        const bench_pair *p = &c->pairs[i], *of = &c->pairs[first];
        if (strcmp(p->a->group, of->a->group) != 0 || strcmp(p->a->kind, of->a->kind) != 0)
            break;
        sum_ratio += log(p->ratio);
        sum_adjusted += p->adjusted > 0 ? log(p->adjusted) : NAN;
    }
    *ratio = exp(sum_ratio / (double)n);
    *adjusted = exp(sum_adjusted / (double)n);
    return n;
}

/* ---- reports ------------------------------------------------------------------------------------------ */

/* "1.23", "-" */
static const char *factor(double value, char out[16])
{
    snprintf(out, 16, isfinite(value) ? "%.2f" : "-", value);
    return out;
}

static vkdlm_status print_pair(const bench_pair *p, vkdlm_error *err)
{
    char before[24], after[24], ratio[16], machine[16], adjusted[16], shape[48] = "", name[160];
    bench_format_us(p->a->us, before);
    bench_format_us(p->b->us, after);
    if (p->a->m)
        snprintf(shape, sizeof shape, "%" PRIu32 " x %" PRIu32 " x %" PRIu32, p->a->m, p->a->n, p->a->k);
    snprintf(name, sizeof name, "%s%s%s%s%s", p->a->type, *p->a->type ? " " : "", shape, *shape ? " " : "",
             p->a->of);
    return report_line(err, "  %-54s %10s %10s %7s %8s %8s", name, before, after, factor(p->ratio, ratio),
                       factor(p->ratio / p->adjusted, machine), factor(p->adjusted, adjusted));
}

static vkdlm_status print_table(const bench_comparison *c, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0, n; i < c->n && !status; i += n) {
        double ratio, adjusted;
        char a[16], b[16];
        n = bench_comparison_group(c, i, &ratio, &adjusted);
        status = report_line(err, "%s%-56s %10s %10s %7s %8s %8s", i ? "\n" : "", c->pairs[i].a->group, "A",
                             "B", "A / B", "machine", "adjusted");
        for (size_t j = i; j < i + n && !status; j++)
            status = print_pair(&c->pairs[j], err);
        if (!status)
            status = report_line(err, "  %-54s %10s %10s %7s %8s %8s", "geometric mean", "", "",
                                 factor(ratio, a), "", factor(adjusted, b));
    }
    if (!status)
        status =
            report_line(err,
                        "\n%zu rows compared, %zu in A alone, %zu in B alone. A / B: above 1, B is faster; "
                        "machine: of this, what the limit did; adjusted: the rest.",
                        c->n, c->only_a, c->only_b);
    return status;
}

static vkdlm_status report_pair(const bench_pair *p, vkdlm_error *err)
{
    json_t *object =
        json_pack("{s:s,s:o,s:o,s:o,s:o}", "kind", p->a->kind, "group", report_string(p->a->group), "type",
                  report_string(p->a->type), "of", report_string(p->a->of), "m", report_count(p->a->m));
    json_t *rest =
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "n", report_count(p->a->n), "k", report_count(p->a->k), "us_a",
                  report_real(p->a->us), "us_b", report_real(p->b->us), "ratio", report_real(p->ratio),
                  "adjusted", report_real(p->adjusted));
    bool good = object && rest && !json_object_update(object, rest);
    json_decref(rest);
    if (!good) {
        json_decref(object);
        object = NULL;
    }
    return report_object(object, err);
}

static vkdlm_status report_all(const bench_comparison *c, bool complete, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < c->n && !status; i++)
        status = report_pair(&c->pairs[i], err);
    for (size_t i = 0, n; i < c->n && !status; i += n) {
        double ratio, adjusted;
        n = bench_comparison_group(c, i, &ratio, &adjusted);
        status = report_object(json_pack("{s:s,s:s,s:o,s:o,s:o}", "kind", "mean", "group",
                                         c->pairs[i].a->group, "rows", report_count(n), "ratio",
                                         report_real(ratio), "adjusted", report_real(adjusted)),
                               err);
    }
    if (status)
        return status;
    return report_object(json_pack("{s:s,s:o,s:o,s:o,s:b}", "kind", "summary", "rows", report_count(c->n),
                                   "only_a", report_count(c->only_a), "only_b", report_count(c->only_b),
                                   "complete", complete),
                         err);
}

/* "A: device, driver, time", of the conditions that the file tells, and whether rows may be missing. */
static vkdlm_status print_conditions(const char *name, const char *path, const bench_lines *lines,
                                     vkdlm_error *err)
{
    static const char *const keys[] = {"device", "driver", "version", "time"};
    char text[640];
    size_t used = (size_t)snprintf(text, sizeof text, "%s: %.200s", name, path);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && used < sizeof text; i++) {
        const char *value = json_string_value(json_object_get(lines->conditions, keys[i]));
        if (value)
            used += (size_t)snprintf(text + used, sizeof text - used, ", %.80s", value);
    }
    if (!lines->complete && used < sizeof text)
        snprintf(text + used, sizeof text - used, ", not complete");
    message_sanitize(text);
    return report_line(err, "%s", text);
}

vkdlm_status bench_compare(const char *path_a, const char *path_b, bool json, vkdlm_error *err)
{
    bench_lines a = {0}, b = {0};
    bench_comparison c = {0};
    vkdlm_status status = bench_lines_read(path_a, &a, err);
    if (!status)
        status = bench_lines_read(path_b, &b, err);
    if (!status)
        status = bench_comparison_make(&a, &b, &c, err);
    if (!status && !c.n)
        status =
            message_set(err, VKDLM_MALFORMED, "'%.300s' and '%.300s' have no row in common", path_a, path_b);
    if (!status && !json)
        status = print_conditions("A", path_a, &a, err);
    if (!status && !json)
        status = print_conditions("B", path_b, &b, err);
    if (!status)
        status = json ? report_all(&c, a.complete && b.complete, err) : print_table(&c, err);
    bench_comparison_free(&c);
    bench_lines_free(&a);
    bench_lines_free(&b);
    return status;
}
