/* The rows of a file that `bench --json` wrote, and two such files side by side. */
#ifndef CLI_BENCH_LINES_H
#define CLI_BENCH_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <vkdlm/status.h>

/* What a row measures, and what it found. */
typedef struct bench_line {
    char kind[8], group[32], type[16], of[96];
    uint32_t m, n, k;
    double us;      /* > 0 */
    double percent; /* of the limit; NaN: a probe */
} bench_line;

typedef struct bench_lines {
    bench_line *rows;
    size_t n;
    json_t *conditions; /* the object of that kind, NULL: none */
    bool complete;      /* its summary says so: neither was the run stopped, nor is the file cut off */
} bench_lines;

/* MALFORMED: file, line, what is wrong. *out is zeroed on failure. */
vkdlm_status bench_lines_parse(const char *path, const char *bytes, size_t size, bench_lines *out,
                               vkdlm_error *err);
vkdlm_status bench_lines_read(const char *path, bench_lines *out, vkdlm_error *err);
void bench_lines_free(bench_lines *lines);

/* A row that both files have. */
typedef struct bench_pair {
    const bench_line *a, *b;
    double ratio;    /* time of a / time of b: above 1, b is faster */
    double adjusted; /* share of the limit in b / share in a: the same without the drift of the machine; NaN
                        where there are no limits */
} bench_pair;

typedef struct bench_comparison {
    bench_pair *pairs; /* in a's order */
    size_t n, only_a, only_b;
} bench_comparison;

/* Matches rows by what they measure; of equal ones the first counts. Both must outlive the comparison. */
vkdlm_status bench_comparison_make(const bench_lines *a, const bench_lines *b, bench_comparison *out,
                                   vkdlm_error *err);
void bench_comparison_free(bench_comparison *comparison);

/* Geometric means over the pairs from `first` on that are of the same kind and group; returns how many those
 * are. Of values that are NaN or 0 there is none (NaN). */
size_t bench_comparison_group(const bench_comparison *comparison, size_t first, double *ratio,
                              double *adjusted);

#endif
