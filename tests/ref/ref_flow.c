#include "ref/ref_flow.h"

#include <math.h>

void ref_flow_normalise(const float *u, uint32_t n, double rescale, double *out)
{
    double square = 0;
    for (uint32_t c = 0; c < n; c++)
        square += (double)u[c] * (double)u[c];
    double norm = fmax(sqrt(square), 1e-12);
    for (uint32_t c = 0; c < n; c++)
        out[c] = rescale * (double)u[c] / norm;
}

void ref_flow_velocity(const double *const *x_hat, const double *branch_weight, uint32_t n_branches,
                       double factor, const float *stage, uint32_t n, double *v)
{
    for (uint32_t c = 0; c < n; c++) {
        v[c] = 0;
        for (uint32_t b = 0; factor != 0 && b < n_branches; b++)
            v[c] += branch_weight[b] * factor * (x_hat[b][c] - (double)stage[c]);
    }
}

void ref_flow_softmax(const float *logits, uint32_t n, double inv_temperature, double *p)
{
    uint32_t best = 0;
    double sum = 0;
    for (uint32_t c = 1; c < n; c++)
        if (logits[c] > logits[best])
            best = c;
    for (uint32_t c = 0; c < n; c++) {
        double x = ((double)logits[c] - (double)logits[best]) * inv_temperature;
        p[c] = inv_temperature == 0 ? c == best : exp(x);
        sum += p[c];
    }
    for (uint32_t c = 0; c < n; c++)
        p[c] /= sum;
}
