#include "ref/ref_norm.h"

#include <math.h>

void ref_norm(const float *x, const float *weight, const float *scale, const float *shift, uint32_t n,
              double eps, double *y)
{
    double mean = 0, variance = 0;
    for (uint32_t c = 0; c < n; c++)
        mean += (double)x[c] / n;
    for (uint32_t c = 0; c < n; c++)
        variance += ((double)x[c] - mean) * ((double)x[c] - mean) / n;
    for (uint32_t c = 0; c < n; c++)
        y[c] = ((double)x[c] - mean) / sqrt(variance + eps) * (double)weight[c] * (1 + (double)scale[c]) +
               (double)shift[c];
}

void ref_rms(const float *x, const float *gate, const float *add, const float *weight, const float *scale,
             const float *shift, uint32_t n, double eps, double *y)
{
    double square = 0;
    for (uint32_t c = 0; c < n; c++) {
        y[c] = (double)x[c] + (add ? (double)gate[c] * (double)add[c] : 0);
        square += y[c] * y[c] / n;
    }
    for (uint32_t c = 0; c < n; c++)
        y[c] = y[c] / sqrt(square + eps) * ((double)weight[c] + (scale ? (double)scale[c] : 0)) +
               (shift ? (double)shift[c] : 0);
}
