#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void bench_die(const vkdlm_error *err)
{
    fprintf(stderr, "benchmark: %s\n", err->message);
    exit(1);
}

double bench_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_run(bench_item *items, uint32_t n_items, uint32_t n_rounds)
{
    for (uint32_t i = 0; i < n_items; i++) {
        items[i].seconds = calloc(n_rounds, sizeof *items[i].seconds);
        if (!items[i].seconds)
            abort();
        items[i].run(items[i].user);
    }
    for (uint32_t round = 0; round < n_rounds; round++) {
        for (uint32_t i = 0; i < n_items; i++) {
            double start = bench_clock();
            items[i].run(items[i].user);
            items[i].seconds[round] = bench_clock() - start;
        }
    }
    for (uint32_t i = 0; i < n_items; i++)
        qsort(items[i].seconds, n_rounds, sizeof *items[i].seconds, ascending);
}

void bench_free(bench_item *items, uint32_t n_items)
{
    for (uint32_t i = 0; i < n_items; i++)
        free(items[i].seconds);
}
