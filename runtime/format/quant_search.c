#include "format/quant_search.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define N_ROUNDS 2  /* turns of rounding and fitting */
#define N_REFITS 3  /* of a block's scales to its whole numbers */
#define N_GRIDS  3  /* whole numbers that the largest step of a block becomes */
#define N_STARTS 12 /* steps tried for a group */

/* Four floats that the compiler may keep in a register; sums are kept in two of them, so that every machine
 * adds in one order. */
typedef float float4 __attribute__((vector_size(16)));
typedef int32_t int4 __attribute__((vector_size(16)));

static inline float4 load(const float *x)
{
    float4 out;
    memcpy(&out, x, sizeof out);
    return out;
}

static inline float sum_lanes(float4 a, float4 b)
{
    float4 sum = a + b;
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* 1 / value, or 0 where that is infinite. */
static float inverse(float value)
{
    return fabsf(value) > 0x1p-120f ? 1 / value : 0;
}

/* Nearest levels within least .. most; v are the levels before rounding. NaN gives least. */
static inline float4 nearest4(float4 v, float least, float most)
{
    float4 t = v + (0.5f - least), end = (float4){0} + (most - least + 0.5f);
    t = (float4)((int4)t & (t > 0));
    int4 inside = t < end;
    t = (float4)(((int4)t & inside) | ((int4)end & ~inside));
    return __builtin_convertvector(__builtin_convertvector(t, int4), float4) + least;
}

static float nearest(float v, float least, float most)
{
    return nearest4((float4){v, v, v, v}, least, most)[0];
}

/* Sum of (x - step level + low)^2 with the best level of each element; n is a multiple of 8. */
static float line_error(const float *x, int n, float step, float low, float least, float most)
{
    float4 sums[2] = {{0}, {0}};
    float inv = inverse(step);
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 2; j++) {
            float4 shifted = load(x + i + 4 * j) + low;
            float4 e = shifted - step * nearest4(shifted * inv, least, most);
            sums[j] += e * e;
        }
    return sum_lanes(sums[0], sums[1]);
}

/* Sums over a group of its levels with a given line. */
typedef struct level_sums {
    float q, qq, xq;
} level_sums;

static level_sums sum_levels(const float *x, int n, float inv, float low, float least, float most)
{
    float4 q[2] = {{0}, {0}}, qq[2] = {{0}, {0}}, xq[2] = {{0}, {0}};
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 2; j++) {
            float4 values = load(x + i + 4 * j), level = nearest4((values + low) * inv, least, most);
            q[j] += level;
            qq[j] += level * level;
            xq[j] += values * level;
        }
    return (level_sums){sum_lanes(q[0], q[1]), sum_lanes(qq[0], qq[1]), sum_lanes(xq[0], xq[1])};
}

static float sum_values(const float *x, int n)
{
    float4 sums[2] = {{0}, {0}};
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 2; j++)
            sums[j] += load(x + i + 4 * j);
    return sum_lanes(sums[0], sums[1]);
}

typedef struct line {
    float step, low;
} line;

/* Least squares: x ~ step level - low with step, low >= 0. */
static line fit_line(level_sums s, float sum_x, int n)
{
    float spread = (float)n * s.qq - s.q * s.q;
    line out = {0, 0};
    if (spread > 0) {
        out.step = ((float)n * s.xq - sum_x * s.q) / spread;
        out.low = (out.step * s.q - sum_x) / (float)n;
    }
    if (!(out.low > 0 && out.step > 0)) {
        out.low = 0;
        out.step = s.qq > 0 && s.xq > 0 ? s.xq / s.qq : 0;
    }
    return out;
}

/* The line of one group, before its step and its low end become whole numbers. */
static line search_line(const float *x, int n, int most_level)
{
    float least = x[0], most = x[0], levels = (float)most_level;
    for (int i = 1; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    least = least < 0 ? least : 0;
    line best = {0, -least};
    if (!(most > least))
        return best;
    float sum_x = sum_values(x, n), best_error = line_error(x, n, 0, -least, 0, levels);
    for (int start = 0; start < N_STARTS; start++) {
        /* More levels than there are cut off the ends, fewer leave room; 0 takes the range as it is. */
        float wanted = levels * (0.88f + 0.04f * (float)start) + (start < 6 ? -0.3f : 0.3f);
        line l = {(most - least) / (wanted > 0.5f ? wanted : 0.5f), -least};
        for (int round = 0; round < N_ROUNDS; round++)
            l = fit_line(sum_levels(x, n, inverse(l.step), l.low, 0, levels), sum_x, n);
        float error = line_error(x, n, l.step, l.low, 0, levels);
        if (error < best_error) {
            best_error = error;
            best = l;
        }
    }
    return best;
}

/* f16 nearest to value, but not zero unless value is. */
static uint16_t stored_scale(float value)
{
    uint16_t half = f16_from_f32(value);
    if ((half & 0x7FFFu) == 0 && value != 0)
        half |= 1u;
    return half;
}

/* Nearest whole number of units, and its neighbours: first .. last within least .. most. */
static void candidates(float value, float unit, int least, int most, int *first, int *last)
{
    int middle = (int)nearest(value * inverse(unit), (float)least, (float)most);
    *first = middle > least ? middle - 1 : least;
    *last = middle < most ? middle + 1 : most;
}

static void write_levels(const float *x, int n, float step, float low, int least, int most, int8_t *out)
{
    float inv = inverse(step);
    for (int i = 0; i < n; i += 4) {
        float4 level = nearest4((load(x + i) + low) * inv, (float)least, (float)most);
        for (int j = 0; j < 4; j++)
            out[i + j] = (int8_t)level[j];
    }
}

/* Chooses scale and low end of every group for the d and dmin of `out`; returns the squared error. */
static float choose_lines(const quant_shape *shape, const float *x, const line *lines, quant_lines *out)
{
    int n = QUANT_K_ELEMENTS / shape->n_groups;
    float d = f32_from_f16(out->d), dmin = f32_from_f16(out->dmin), total = 0;
    for (int g = 0; g < shape->n_groups; g++) {
        int scales[2], lows[2];
        candidates(lines[g].step, d, 0, shape->most_scale, &scales[0], &scales[1]);
        candidates(lines[g].low, dmin, 0, shape->most_scale, &lows[0], &lows[1]);
        float best = INFINITY;
        for (int scale = scales[0]; scale <= scales[1]; scale++)
            for (int low = lows[0]; low <= lows[1]; low++) {
                float error = line_error(x + g * n, n, d * (float)scale, dmin * (float)low, 0,
                                         (float)shape->most_level);
                if (error < best) {
                    best = error;
                    out->scale[g] = (uint8_t)scale;
                    out->low[g] = (uint8_t)low;
                }
            }
        total += best;
    }
    return total;
}

/* Least squares of d and dmin for the whole numbers of a block; false when they do not decide both. */
static bool refit_lines(const quant_shape *shape, const float *x, quant_lines *lines)
{
    int n = QUANT_K_ELEMENTS / shape->n_groups;
    float old_d = f32_from_f16(lines->d), old_dmin = f32_from_f16(lines->dmin);
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0; /* a: scale level, b: low end, of every element */
    for (int g = 0; g < shape->n_groups; g++) {
        double scale = lines->scale[g], low = lines->low[g];
        level_sums s = sum_levels(x + g * n, n, inverse(old_d * (float)scale), old_dmin * (float)low, 0,
                                  (float)shape->most_level);
        aa += scale * scale * (double)s.qq, ab += scale * low * (double)s.q, bb += low * low * n;
        xa += scale * (double)s.xq, xb += low * (double)sum_values(x + g * n, n);
    }
    double spread = aa * bb - ab * ab, d = 0, dmin = 0;
    if (spread > 0) {
        d = (xa * bb - xb * ab) / spread;
        dmin = (xa * ab - xb * aa) / spread;
    } else if (aa > 0) {
        d = xa / aa;
    } else if (bb > 0) {
        dmin = -xb / bb;
    }
    if (!(d >= 0 && dmin >= 0 && d + dmin > 0))
        return false;
    lines->d = stored_scale((float)d);
    lines->dmin = stored_scale((float)dmin);
    return true;
}

void quant_search_lines(const quant_shape *shape, const float *x, quant_lines *out)
{
    int n = QUANT_K_ELEMENTS / shape->n_groups;
    line lines[QUANT_MAX_GROUPS];
    float step = 0, low = 0;
    for (int g = 0; g < shape->n_groups; g++) {
        lines[g] = search_line(x + g * n, n, shape->most_level);
        step = lines[g].step > step ? lines[g].step : step;
        low = lines[g].low > low ? lines[g].low : low;
    }
    float error = INFINITY;
    quant_lines next;
    memset(&next, 0, sizeof next);
    memset(out, 0, sizeof *out);
    for (int grid = 0; grid < N_GRIDS; grid++) {
        float largest = (float)(shape->most_scale - grid);
        next.d = stored_scale(step / largest);
        next.dmin = stored_scale(low / largest);
        float next_error = choose_lines(shape, x, lines, &next);
        if (next_error < error) {
            error = next_error;
            *out = next;
        }
    }
    next = *out;
    for (int i = 0; i < N_REFITS && refit_lines(shape, x, &next); i++) {
        float next_error = choose_lines(shape, x, lines, &next);
        if (!(next_error < error))
            break;
        error = next_error;
        *out = next;
    }
    for (int g = 0; g < shape->n_groups; g++)
        write_levels(x + g * n, n, f32_from_f16(out->d) * (float)out->scale[g],
                     f32_from_f16(out->dmin) * (float)out->low[g], 0, shape->most_level, out->level + g * n);
}

/* The step of one group; levels are -most_level - 1 .. most_level. */
static float search_step(const float *x, int n, int most_level)
{
    float extreme = 0, least = (float)(-most_level - 1), most = (float)most_level;
    for (int i = 0; i < n; i++)
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    float best = 0, best_error = line_error(x, n, 0, 0, least, most);
    if (extreme == 0)
        return best;
    for (int start = 0; start < 2 * N_STARTS; start++) {
        /* The extreme element becomes the lowest level, or the highest, or lies a little beyond or within. */
        float shift = 0.1f * (float)(start / 2 - N_STARTS / 2);
        float level = start % 2 ? most + shift : least + shift;
        float step = extreme / (fabsf(level) > 0.5f ? level : 0.5f);
        for (int round = 0; round < N_ROUNDS; round++) {
            level_sums s = sum_levels(x, n, inverse(step), 0, least, most);
            step = s.qq > 0 ? s.xq / s.qq : 0;
        }
        float error = line_error(x, n, step, 0, least, most);
        if (error < best_error) {
            best_error = error;
            best = step;
        }
    }
    return best;
}

/* Chooses the scale of every group for the d of `out`; returns the squared error. */
static float choose_steps(const quant_shape *shape, const float *x, const float *steps, quant_steps *out)
{
    int n = QUANT_K_ELEMENTS / shape->n_groups;
    float d = f32_from_f16(out->d), total = 0;
    for (int g = 0; g < shape->n_groups; g++) {
        int first, last;
        candidates(steps[g], d, -shape->most_scale - 1, shape->most_scale, &first, &last);
        float best = INFINITY;
        for (int scale = first; scale <= last; scale++) {
            float error = line_error(x + g * n, n, d * (float)scale, 0, (float)(-shape->most_level - 1),
                                     (float)shape->most_level);
            if (error < best) {
                best = error;
                out->scale[g] = (int16_t)scale;
            }
        }
        total += best;
    }
    return total;
}

static bool refit_steps(const quant_shape *shape, const float *x, quant_steps *steps)
{
    int n = QUANT_K_ELEMENTS / shape->n_groups;
    float old_d = f32_from_f16(steps->d);
    double aa = 0, xa = 0; /* a: scale level of every element */
    for (int g = 0; g < shape->n_groups; g++) {
        double scale = steps->scale[g];
        level_sums s = sum_levels(x + g * n, n, inverse(old_d * (float)scale), 0,
                                  (float)(-shape->most_level - 1), (float)shape->most_level);
        aa += scale * scale * (double)s.qq;
        xa += scale * (double)s.xq;
    }
    if (!(aa > 0) || xa == 0)
        return false;
    steps->d = stored_scale((float)(xa / aa));
    return true;
}

void quant_search_steps(const quant_shape *shape, const float *x, quant_steps *out)
{
    int n = QUANT_K_ELEMENTS / shape->n_groups;
    float steps[QUANT_MAX_GROUPS], extreme = 0;
    for (int g = 0; g < shape->n_groups; g++) {
        steps[g] = search_step(x + g * n, n, shape->most_level);
        extreme = fabsf(steps[g]) > fabsf(extreme) ? steps[g] : extreme;
    }
    float error = INFINITY;
    quant_steps next;
    memset(&next, 0, sizeof next);
    memset(out, 0, sizeof *out);
    for (int grid = 0; grid < N_GRIDS; grid++) {
        next.d = stored_scale(extreme / (float)(grid - shape->most_scale - 1));
        float next_error = choose_steps(shape, x, steps, &next);
        if (next_error < error) {
            error = next_error;
            *out = next;
        }
    }
    next = *out;
    for (int i = 0; i < N_REFITS && refit_steps(shape, x, &next); i++) {
        float next_error = choose_steps(shape, x, steps, &next);
        if (!(next_error < error))
            break;
        error = next_error;
        *out = next;
    }
    for (int g = 0; g < shape->n_groups; g++)
        write_levels(x + g * n, n, f32_from_f16(out->d) * (float)out->scale[g], 0, -shape->most_level - 1,
                     shape->most_level, out->level + g * n);
}
