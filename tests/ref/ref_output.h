/* Scalar reference of the output layer in double precision. */
#ifndef REF_OUTPUT_H
#define REF_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

/* Gumbel noise of token v: word v % 4 of philox(seed, v / 4, position, step, sample) as g = -log(-log(1 -
 * u)), u = (word + 1/2) 2^-32. */
double ref_gumbel(uint64_t seed, uint32_t v, uint32_t position, uint32_t step, uint32_t sample);

typedef struct ref_distribution {
    double max, log_sum_exp, entropy;
} ref_distribution;

/* Sets keep[v] (as top-k, then top-p cut x, without the token `excluded`) and returns the statistics of
 * softmax(x) over what is kept. order is scratch [n]. */
ref_distribution ref_output(const double *x, uint32_t n, int32_t excluded, uint32_t top_k, double top_p,
                            bool *keep, uint32_t *order);

#endif
