/* What the trials of attention's kernels share: keys and values, and the answer that a query must get. */
#ifndef OPS_ATTENTION_TRIAL_H
#define OPS_ATTENTION_TRIAL_H

#include "ops/cached_attention.h"

enum { ATTENTION_TRIAL_KEYS = 128 }; /* of a query at most */

/* Fills a mapped buffer with n random numbers of a type; values: what the device will read. */
void attention_trial_fill(const gpu_buffer *buffer, enum kv_type type, float *values, uint64_t n,
                          uint32_t seed);

/* Dimension d of a slot: [slots / 4][head_dim][4] floats. */
double attention_trial_element(const float *x, uint32_t head_dim, uint32_t slot, uint32_t d);

/* One query, in double, that attends to slots first .. first + n - 1 of a head's keys and values. */
typedef struct attention_trial_query {
    uint32_t head_dim, first, n;
    double query[ATTENTION_MAX_HEAD_DIM]; /* exact */
    /* What rounding errors of each of its dimensions scale with. */
    double magnitude[ATTENTION_MAX_HEAD_DIM];
} attention_trial_query;

/* Whether the numbers found, [head_dim], are within the bound of the query's answer (NaN is not). */
bool attention_trial_right(const attention_trial_query *query, const float *keys, const float *values,
                           const float *found);

#endif
