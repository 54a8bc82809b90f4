/* What the benchmarks share: timing items in turn, so that a drift of the machine's speed touches all alike.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <vkdlm/status.h>

/* One thing to be timed. */
typedef struct bench_item {
    char name[64];
    void (*run)(void *user);
    void *user;
    double *seconds; /* filled: [n_rounds], ascending after bench_run */
} bench_item;

/* Runs every item once to warm up, then n_rounds times in turn. Allocates seconds; bench_free releases it. */
void bench_run(bench_item *items, uint32_t n_items, uint32_t n_rounds);
void bench_free(bench_item *items, uint32_t n_items);

/* Prints the message and exits. */
_Noreturn void bench_die(const vkdlm_error *err);

/* Seconds since some fixed moment. */
double bench_clock(void);

static inline double bench_median(const bench_item *item, uint32_t n_rounds)
{
    return item->seconds[n_rounds / 2];
}

#endif
