/* LayerNorm with modulation in double precision. */
#ifndef REF_NORM_H
#define REF_NORM_H

#include <stdint.h>

/* y[c] = (x[c] - mean) / sqrt(variance + eps) * weight[c] * (1 + scale[c]) + shift[c], c < n. */
void ref_norm(const float *x, const float *weight, const float *scale, const float *shift, uint32_t n,
              double eps, double *y);

#endif
