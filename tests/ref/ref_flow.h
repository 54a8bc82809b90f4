/* What the ODE of a flow needs between two evaluations, in double precision. */
#ifndef REF_FLOW_H
#define REF_FLOW_H

#include <stdbool.h>
#include <stdint.h>

/* out[c] = rescale * u[c] / max(||u||, 1e-12), c < n. */
void ref_flow_normalise(const float *u, uint32_t n, double rescale, double *out);

/* v[c] = sum over b of branch_weight[b] * factor * (x_hat[b][c] - stage[c]), c < n; 0 with factor 0. */
void ref_flow_velocity(const double *const *x_hat, const double *branch_weight, uint32_t n_branches,
                       double factor, const float *stage, uint32_t n, double *v);

/* p[c] = exp(x[c] - max x) / their sum, x = inv_temperature * logits, c < n; with inv_temperature 0, 1 for
 * the lowest c of the largest logit and 0 elsewhere. */
void ref_flow_softmax(const float *logits, uint32_t n, double inv_temperature, double *p);

#endif
