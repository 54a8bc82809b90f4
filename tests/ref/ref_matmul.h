/* Scalar linear layer in double precision. */
#ifndef REF_MATMUL_H
#define REF_MATMUL_H

#include <stdint.h>

/* y[m, n] = sum_k x[m, k] w[n, k] (+ bias[n]), and bound[m, n] = sum_k |x w| (+ |bias|), the scale of its
 * rounding error. x [n_rows, ldx], w [n_columns, depth]; y and bound are dense. bias may be NULL. */
void ref_matmul(const float *x, uint32_t ldx, const double *w, const float *bias, uint32_t n_rows,
                uint32_t n_columns, uint32_t depth, double *y, double *bound);

/* 0.5 v (1 + tanh(sqrt(2/pi) (v + 0.044715 v^3))) and v / (1 + exp(-v)) */
double ref_gelu(double v);
double ref_silu(double v);

#endif
