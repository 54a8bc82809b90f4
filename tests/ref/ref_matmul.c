#include "ref/ref_matmul.h"

#include <math.h>

void ref_matmul(const float *x, uint32_t ldx, const double *w, const float *bias, uint32_t n_rows,
                uint32_t n_columns, uint32_t depth, double *y, double *bound)
{
    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t n = 0; n < n_columns; n++) {
            double sum = bias ? (double)bias[n] : 0, scale = fabs(sum);
            for (uint32_t k = 0; k < depth; k++) {
                double term = (double)x[(uint64_t)m * ldx + k] * w[(uint64_t)n * depth + k];
                sum += term;
                scale += fabs(term);
            }
            y[(uint64_t)m * n_columns + n] = sum;
            bound[(uint64_t)m * n_columns + n] = scale;
        }
}

double ref_gelu(double v)
{
    return 0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
}

double ref_silu(double v)
{
    return v / (1 + exp(-v));
}
