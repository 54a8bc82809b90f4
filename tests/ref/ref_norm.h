/* LayerNorm with modulation and RMSNorm in double precision. */
#ifndef REF_NORM_H
#define REF_NORM_H

#include <stdint.h>

/* y[c] = (x[c] - mean) / sqrt(variance + eps) * weight[c] * (1 + scale[c]) + shift[c], c < n. */
void ref_norm(const float *x, const float *weight, const float *scale, const float *shift, uint32_t n,
              double eps, double *y);

/* z[c] = x[c] + gate[c] * add[c], y[c] = z[c] / sqrt(mean of z^2 + eps) * (weight[c] + scale[c]) + shift[c],
 * c < n. gate and add together, scale and shift together may be NULL, for zeros. */
void ref_rms(const float *x, const float *gate, const float *add, const float *weight, const float *scale,
             const float *shift, uint32_t n, double eps, double *y);

#endif
