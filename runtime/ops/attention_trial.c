#include "ops/attention_trial.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "ops/tune_trial.h"

void attention_trial_fill(const gpu_buffer *buffer, enum kv_type type, float *values, uint64_t n,
                          uint32_t seed)
{
    tune_random(values, (uint32_t)n, seed);
    for (uint64_t i = 0; i < n; i++)
        if (type == KV_F16) {
            uint16_t half = f16_from_f32(values[i]);
            memcpy((char *)buffer->mapped + i * sizeof half, &half, sizeof half);
            values[i] = f32_from_f16(half);
        } else
            memcpy((char *)buffer->mapped + i * sizeof *values, &values[i], sizeof *values);
}

double attention_trial_element(const float *x, uint32_t head_dim, uint32_t slot, uint32_t d)
{
    return (double)x[((size_t)(slot / 4) * head_dim + d) * 4 + slot % 4];
}

/* A score of magnitude s carries a rounding error of a few 2^-24 times the magnitudes of its terms, which is
 * a relative error of every weight; the weights' own is 1e-5. */
bool attention_trial_right(const attention_trial_query *query, const float *keys, const float *values,
                           const float *found)
{
    double weights[ATTENTION_TRIAL_KEYS], total = 0, max = -INFINITY, magnitude = 0;
    assert(query->n <= ATTENTION_TRIAL_KEYS);
    for (uint32_t j = 0; j < query->n; j++) {
        double score = 0, terms = 0;
        for (uint32_t d = 0; d < query->head_dim; d++) {
            double key = attention_trial_element(keys, query->head_dim, query->first + j, d);
            score += query->query[d] * key;
            terms += query->magnitude[d] * fabs(key);
        }
        weights[j] = score;
        max = fmax(max, score);
        magnitude = fmax(magnitude, terms);
    }
    for (uint32_t j = 0; j < query->n; j++)
        total += weights[j] = exp2(weights[j] - max);
    for (uint32_t d = 0; d < query->head_dim; d++) {
        double sum = 0, largest = 0;
        for (uint32_t j = 0; j < query->n; j++) {
            double value = attention_trial_element(values, query->head_dim, query->first + j, d);
            sum += weights[j] * value;
            largest = fmax(largest, fabs(value));
        }
        if (!(fabs((double)found[d] - sum / total) <= largest * (1e-5 + 8 * 0x1p-24 * magnitude)))
            return false;
    }
    return true;
}
