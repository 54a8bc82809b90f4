/* Rotary embedding and attention of one sequence in scalar double precision, written from the formulas alone.
 */
#ifndef REF_ATTENTION_H
#define REF_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ref_attention_shape {
    uint32_t n_heads, n_kv_heads, dim; /* dim: of a head */
    double base;
    bool causal;
} ref_attention_shape;

/* Rotates a head vector: (x[i], x[i + dim/2]) by the angle position * base^(-2i/dim). */
void ref_rotary(double *x, uint32_t dim, uint32_t position, double base);

/* out [n_rows, n_heads * dim] = softmax(q k^T / sqrt(dim)) v for the queries first .. first + n_rows - 1 of a
 * sequence of `length` rows of ld floats (queries of all heads, keys, values), positions 0 .. length - 1.
 * Returns the largest magnitude of a score. */
double ref_attention(const ref_attention_shape *shape, const float *qkv, size_t ld, uint32_t length,
                     uint32_t first, uint32_t n_rows, double *out);

/* out [n_heads * dim]: the same for one query row of all heads, at `position`, over keys and values as a
 * cache holds them, [position + 1][n_kv_heads][dim], keys already rotated. */
double ref_attention_row(const ref_attention_shape *shape, const float *query, uint32_t position,
                         const float *keys, const float *values, double *out);

#endif
