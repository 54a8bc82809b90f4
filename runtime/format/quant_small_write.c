/* Writing blocks of 32 elements: rounded as the format's reference does, byte for byte, except for IQ4_NL,
 * whose step is searched. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "format/quant_blocks.h"

#define N_ELEMENTS 32

/* 1 / d, 0 for d = 0. Infinite for the smallest d: then every quotient counts as 0, as in the reference. */
static bool invert(float d, float *out)
{
    *out = d != 0 ? 1 / d : 0;
    return isfinite(*out);
}

void quant_write_q8_0(const float *x, uint8_t *block)
{
    float most = 0, inv;
    for (int j = 0; j < N_ELEMENTS; j++)
        most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
    float d = most / 127;
    bool fits = invert(d, &inv);
    quant_write_half(block, f16_from_f32(d));
    for (int j = 0; j < N_ELEMENTS; j++)
        block[2 + j] = (uint8_t)(fits ? (int)roundf(x[j] * inv) : 0);
}

/* The first of the elements with the largest magnitude. */
static float extreme_of(const float *x)
{
    float extreme = 0;
    for (int j = 0; j < N_ELEMENTS; j++)
        extreme = fabsf(x[j]) > fabsf(extreme) ? x[j] : extreme;
    return extreme;
}

static void range_of(const float *x, float *least, float *most)
{
    *least = *most = x[0];
    for (int j = 1; j < N_ELEMENTS; j++) {
        *least = x[j] < *least ? x[j] : *least;
        *most = x[j] > *most ? x[j] : *most;
    }
}

/* q[j] = min(most, trunc((x[j] - low) / d + offset)), 0 where 1 / d is infinite. */
static void round_levels(const float *x, float low, float d, float offset, int most, uint8_t *q)
{
    float inv;
    bool fits = invert(d, &inv);
    for (int j = 0; j < N_ELEMENTS; j++) {
        int level = fits ? (int)((x[j] - low) * inv + offset) : 0;
        q[j] = (uint8_t)(level < most ? level : most);
    }
}

static void write_nibbles(const uint8_t *q, uint8_t *out)
{
    for (int j = 0; j < N_ELEMENTS / 2; j++)
        out[j] = (uint8_t)((q[j] & 15) | (q[j + N_ELEMENTS / 2] & 15) << 4);
}

static void write_bits_and_nibbles(const uint8_t *q, uint8_t *out)
{
    memset(out, 0, 4);
    for (int j = 0; j < N_ELEMENTS; j++)
        out[j / 8] |= (uint8_t)(q[j] >> 4 << j % 8);
    write_nibbles(q, out + 4);
}

void quant_write_q4_0(const float *x, uint8_t *block)
{
    uint8_t q[N_ELEMENTS];
    float d = extreme_of(x) / -8;
    round_levels(x, 0, d, 8.5f, 15, q);
    quant_write_half(block, f16_from_f32(d));
    write_nibbles(q, block + 2);
}

void quant_write_q5_0(const float *x, uint8_t *block)
{
    uint8_t q[N_ELEMENTS];
    float d = extreme_of(x) / -16;
    round_levels(x, 0, d, 16.5f, 31, q);
    quant_write_half(block, f16_from_f32(d));
    write_bits_and_nibbles(q, block + 2);
}

void quant_write_q4_1(const float *x, uint8_t *block)
{
    uint8_t q[N_ELEMENTS];
    float least, most;
    range_of(x, &least, &most);
    float d = (most - least) / 15;
    round_levels(x, least, d, 0.5f, 15, q);
    quant_write_half(block, f16_from_f32(d));
    quant_write_half(block + 2, f16_from_f32(least));
    write_nibbles(q, block + 4);
}

void quant_write_q5_1(const float *x, uint8_t *block)
{
    uint8_t q[N_ELEMENTS];
    float least, most;
    range_of(x, &least, &most);
    float d = (most - least) / 31;
    round_levels(x, least, d, 0.5f, 31, q);
    quant_write_half(block, f16_from_f32(d));
    quant_write_half(block + 2, f16_from_f32(least));
    write_bits_and_nibbles(q, block + 4);
}

/* Levels for a step, the step that fits them best, and the squared error of the former. */
static float try_step(const float *x, float d, float *fitted, uint8_t *q)
{
    float inv, error = 0, xl = 0, ll = 0;
    int32_t index[N_ELEMENTS] = {0};
    if (!invert(d, &inv))
        inv = 0;
    for (int k = 0; k < 15; k++) {
        float middle = 0.5f * (float)(quant_iq4_nl_levels[k] + quant_iq4_nl_levels[k + 1]);
        for (int j = 0; j < N_ELEMENTS; j++)
            index[j] += x[j] * inv > middle;
    }
    for (int j = 0; j < N_ELEMENTS; j++) {
        float level = quant_iq4_nl_levels[index[j]], e = x[j] - d * level;
        q[j] = (uint8_t)index[j];
        error += e * e;
        xl += x[j] * level;
        ll += level * level;
    }
    *fitted = ll > 0 ? xl / ll : 0;
    return error;
}

void quant_write_iq4_nl(const float *x, uint8_t *block)
{
    enum { N_STARTS = 7, N_ROUNDS = 3 };
    uint8_t q[N_ELEMENTS], best_q[N_ELEMENTS];
    memset(best_q, 8, sizeof best_q);
    uint16_t best_d = 0;
    float extreme = extreme_of(x), best = FLT_MAX;
    for (int start = 0; start < 2 * N_STARTS; start++) {
        /* The element farthest from 0 becomes the lowest level or the highest, or lies near it. */
        float end = start % 2 ? 113.0f : -127.0f;
        float d = extreme / (end * (0.91f + 0.03f * (float)(start / 2)));
        uint32_t last = UINT32_MAX; /* none */
        for (int round = 0; round < N_ROUNDS; round++) {
            uint16_t half = f16_from_f32(d);
            if (half == last)
                break;
            last = half;
            float error = try_step(x, f32_from_f16(half), &d, q);
            if (error < best) {
                best = error;
                best_d = half;
                memcpy(best_q, q, sizeof q);
            }
        }
    }
    quant_write_half(block, best_d);
    write_nibbles(best_q, block + 2);
}
