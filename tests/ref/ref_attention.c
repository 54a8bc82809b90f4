#include "ref/ref_attention.h"

#include <math.h>
#include <stdlib.h>

void ref_rotary(double *x, uint32_t dim, uint32_t position, double base)
{
    for (uint32_t i = 0; i < dim / 2; i++) {
        double angle = position * pow(base, -2.0 * i / dim);
        double a = x[i], b = x[i + dim / 2];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + dim / 2] = b * cos(angle) + a * sin(angle);
    }
}

static void rotated(const float *from, uint32_t dim, uint32_t position, double base, double *to)
{
    for (uint32_t d = 0; d < dim; d++)
        to[d] = (double)from[d];
    ref_rotary(to, dim, position, base);
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

double ref_attention(const ref_attention_shape *s, const float *qkv, size_t ld, uint32_t length,
                     uint32_t first, uint32_t n_rows, double *out)
{
    uint32_t dim = s->dim, share = s->n_heads / s->n_kv_heads;
    double *keys = malloc((size_t)length * dim * sizeof *keys);
    double *query = malloc(dim * sizeof *query);
    double *weight = malloc(length * sizeof *weight);
    if (!keys || !query || !weight)
        abort();
    double largest = 0;
    for (uint32_t h = 0; h < s->n_heads; h++) {
        const float *k = qkv + (size_t)(s->n_heads + h / share) * dim;
        const float *v = k + (size_t)s->n_kv_heads * dim;
        for (uint32_t j = 0; j < length; j++)
            rotated(k + j * ld, dim, j, s->base, keys + (size_t)j * dim);
        for (uint32_t r = 0; r < n_rows; r++) {
            uint32_t row = first + r, n = s->causal ? row + 1 : length;
            rotated(qkv + row * ld + (size_t)h * dim, dim, row, s->base, query);
            double highest = -INFINITY, total = 0;
            for (uint32_t j = 0; j < n; j++) {
                weight[j] = dot(query, keys + (size_t)j * dim, dim) / sqrt(dim);
                highest = fmax(highest, weight[j]);
                largest = fmax(largest, fabs(weight[j]));
            }
            double *o = out + ((size_t)r * s->n_heads + h) * dim;
            for (uint32_t d = 0; d < dim; d++)
                o[d] = 0;
            for (uint32_t j = 0; j < n; j++) {
                double p = exp(weight[j] - highest);
                total += p;
                for (uint32_t d = 0; d < dim; d++)
                    o[d] += p * (double)v[j * ld + d];
            }
            for (uint32_t d = 0; d < dim; d++)
                o[d] /= total;
        }
    }
    free(keys);
    free(query);
    free(weight);
    return largest;
}

double ref_attention_row(const ref_attention_shape *s, const float *q, uint32_t position, const float *keys,
                         const float *values, double *out)
{
    uint32_t dim = s->dim, share = s->n_heads / s->n_kv_heads, n = position + 1;
    double *query = malloc(dim * sizeof *query);
    double *weight = malloc(n * sizeof *weight);
    if (!query || !weight)
        abort();
    double largest = 0;
    for (uint32_t h = 0; h < s->n_heads; h++) {
        rotated(q + (size_t)h * dim, dim, position, s->base, query);
        double highest = -INFINITY, total = 0;
        for (uint32_t j = 0; j < n; j++) {
            const float *key = keys + ((size_t)j * s->n_kv_heads + h / share) * dim;
            weight[j] = 0;
            for (uint32_t d = 0; d < dim; d++)
                weight[j] += query[d] * (double)key[d] / sqrt(dim);
            highest = fmax(highest, weight[j]);
            largest = fmax(largest, fabs(weight[j]));
        }
        double *o = out + (size_t)h * dim;
        for (uint32_t d = 0; d < dim; d++)
            o[d] = 0;
        for (uint32_t j = 0; j < n; j++) {
            const float *value = values + ((size_t)j * s->n_kv_heads + h / share) * dim;
            double p = exp(weight[j] - highest);
            total += p;
            for (uint32_t d = 0; d < dim; d++)
                o[d] += p * (double)value[d];
        }
        for (uint32_t d = 0; d < dim; d++)
            o[d] /= total;
    }
    free(query);
    free(weight);
    return largest;
}
