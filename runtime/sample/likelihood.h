/* Likelihood bounds of a masked diffusion model by Monte Carlo over times and maskings
 * (Sahoo et al., arXiv 2406.07524; mc(t) and sigma(t) as in sample/schedule.h).
 *
 * Continuous time: t ~ U[1e-3, 1], each token of a window masked with probability mc(t);
 *     nll = dsigma/dt / (e^sigma - 1) * sum over masked positions of -log x_theta(x_t)[x_0].
 * Discrete time with T steps: t is first raised to floor(T t)/T + 1/T, and the weight is 1/min(t, 1 - 1e-4)
 * whatever the schedule. The K draws of a window are stratified: t_k = 1e-3 + (1 - 1e-3) ((u_k/K + k/K) mod
 * 1).
 *
 * Random numbers (base/rng.h): u_k has counter[0] = k, RNG_TIME; the masking of position l in draw k has
 * counter[0] = l, RNG_CORRUPT with step k; the sample word is the window. So a result does not depend on the
 * batch. */
#ifndef SAMPLE_LIKELIHOOD_H
#define SAMPLE_LIKELIHOOD_H

#include <vkdlm/session.h>

#include "model/denoiser.h"
#include "sample/schedule.h"

/* Runs vkdlm_score (vkdlm/session.h) on a denoiser; err may be NULL. A batch counts (window, draw) pairs. A
 * draw that masks nothing has the loss 0 and costs no evaluation.
 *
 * stderr_draws: with one draw in each stratum no stratum shows its own variance, so neighbouring strata are
 * taken together in pairs (the last three when K is odd) and the spread within them is used. It counts the
 * difference between the means of neighbours as noise, so it errs on the large side, by much less than the
 * spread over all draws would. stderr_windows: of the ratio of summed losses to summed tokens, windows taken
 * as independent.
 *
 * On CANCELLED the result covers the windows whose draws are all done (NaN when there are none). Errors:
 * INVALID_ARGUMENT (options; a token that is the mask or outside the vocabulary, with its position), INTERNAL
 * when the network returns no probability, OUT_OF_HOST_MEMORY, and what the denoiser reports. */
vkdlm_status likelihood_run(denoiser *network, const int32_t *ids, size_t n,
                            const vkdlm_score_options *options, vkdlm_score_result *out, vkdlm_error *err);

/* The time that the discrete bound takes for a t in [0, 1]: one of 1/n_steps .. 1. */
double likelihood_discrete_time(double t, uint32_t n_steps);

/* Weight of -log x_theta at time t in (0, 1]; finite. */
double likelihood_weight(const schedule *noise, vkdlm_bound bound, double t);

/* Loss of every position, [length], of x_0 masked to x_t at time t: 0 where x_t is not masked. */
vkdlm_status likelihood_loss(denoiser *network, const schedule *noise, vkdlm_bound bound, const int32_t *x0,
                             const int32_t *xt, uint32_t length, double t, double *loss, vkdlm_error *err);

#endif
