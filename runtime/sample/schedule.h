/* Noise schedules of masked diffusion (Sahoo et al., arXiv 2406.07524): a token is still unmasked at time t
 * in [0, 1] with probability alpha(t) = exp(-sigma(t)), masked with the move chance mc(t) = 1 - alpha(t).
 *
 * Everything is double and in a form that does not cancel: 1 - exp(-sigma) in single precision is off by
 * 2.6e-3 of itself near the end of a thousand cosine steps. Times must be in [0, 1]. */
#ifndef SAMPLE_SCHEDULE_H
#define SAMPLE_SCHEDULE_H

#include <vkdlm/session.h>

typedef struct schedule {
    vkdlm_schedule kind;
    double eps;                  /* loglinear, cosine, cosinesqr */
    double sigma_min, sigma_max; /* linear, geometric */
} schedule;

/* Resolves defaults (each parameter that is zero takes the schedule's own) and checks the rest.
 * Errors: INVALID_ARGUMENT names the option, its bounds and what was found; a parameter that the schedule
 * does not have is an error that names those it has. */
vkdlm_status schedule_init(schedule *out, const vkdlm_noise *noise, vkdlm_error *err);

/* sigma(t) and its derivative. */
double schedule_sigma(const schedule *s, double t);
double schedule_dsigma(const schedule *s, double t);

double schedule_alpha(const schedule *s, double t);
double schedule_move_chance(const schedule *s, double t);

/* One reverse step from `from` down to `to` (to <= from, mc(from) > 0): the probability mc(to)/mc(from) that
 * a masked position stays masked, and that it does not. */
double schedule_stay(const schedule *s, double from, double to);
double schedule_unmask(const schedule *s, double from, double to);

/* dsigma(t) / (e^sigma(t) - 1), the weight of the continuous-time bound; t > 0. For loglinear it is 1/t. */
double schedule_weight(const schedule *s, double t);

/* The time at which the move chance is mc; outside [mc(0), mc(1)] the nearer end. */
double schedule_time(const schedule *s, double mc);

#endif
