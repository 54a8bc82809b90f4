/* Wall-clock time for the statistics of a run. */
#ifndef SAMPLE_CLOCK_H
#define SAMPLE_CLOCK_H

#include <time.h>

/* Seconds since some fixed moment; never goes backwards. */
static inline double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
