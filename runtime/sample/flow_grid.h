/* The inner loop of L2D (Cetin et al., arXiv 2501.15781): dx/dt = factor(t) (x_hat - x) from t = 0 to the end
 * time, x_hat drawn or averaged from the network's logits at (x, t), its temperature on a schedule.
 *
 * With a solver on a fixed grid every call is known beforehand: this is the list that a device executes. With
 * an adaptive solver (sample/ode.h) flow_call_at tells the same about each time that the solver asks for. */
#ifndef SAMPLE_FLOW_GRID_H
#define SAMPLE_FLOW_GRID_H

#include "model/causal.h"
#include "sample/ode.h"

/* tau(s): a number, or (1 - s/end)^power for s < end and 0 from there on. A tau of 0 or less stands for the
 * argmax. A zeroed struct is the argmax throughout. */
typedef struct flow_temperature {
    bool polynomial;
    double value;      /* otherwise */
    double power, end; /* power >= 0, end > 0 */
} flow_temperature;

/* Reads a number or "polynomial_P_E", numbers as in "2", "0.8" or "1e-05" and with a point whatever the
 * locale. Errors: INVALID_ARGUMENT names what was expected and found. */
vkdlm_status flow_temperature_parse(const char *text, flow_temperature *out, vkdlm_error *err);

/* tau at s >= 0; never between 0 and 1e-30, where 1 / tau times a logit would overflow an f32. */
double flow_tau(const flow_temperature *schedule, double s);

typedef struct flow_options {
    vkdlm_solver solver; /* not the default, as with the velocity */
    uint32_t n_points;   /* of a fixed grid, FLOW_MIN_POINTS to FLOW_MAX_POINTS */
    double end_time;     /* 1e-6 to 1 */
    flow_temperature tau;
    vkdlm_velocity velocity;
    double sigma;    /* scale of the noise x_0 */
    double variance; /* v, of a component of the diffusion vocabulary */
} flow_options;

#define FLOW_MIN_POINTS 2u
#define FLOW_MAX_POINTS 10000u

typedef struct flow_call {
    enum flow_kind kind; /* model/causal.h */
    double time;
    double tau;         /* 0 or less: argmax */
    double factor;      /* of (x_hat - x) in the velocity; 0 for FLOW_ZERO */
    double input_scale; /* of x in this evaluation: 1 / sqrt((1 - t)^2 sigma^2 + t^2 v) */
    /* As in ode_fixed_call; 0 from flow_call_at. */
    uint32_t slope;
    double step[ODE_MAX_SLOPES];
    bool advance;
} flow_call;

typedef struct flow_grid {
    flow_call *calls; /* [n_calls] */
    uint32_t n_calls; /* of the velocity: what the authors count */
    /* Calls that run the network, once whatever the guidance; the evaluation at end_time is not among them.
     */
    uint32_t n_network;
    uint32_t n_points;
    double end_time; /* of the grid, rounded to single precision: where the token's logits are taken */
    double final_input_scale; /* there */
} flow_grid;

/* Errors: INVALID_ARGUMENT names the option, its bounds and what was found. n_points of an adaptive solver is
 * not looked at. */
vkdlm_status flow_options_check(const flow_options *options, vkdlm_error *err);

/* The grid is that of the reference: times in single precision, tau taken ahead of a call by the last
 * interval (half of it for midpoint). flow_grid_deinit frees. Errors: those of flow_options_check;
 * INVALID_ARGUMENT when the solver is adaptive; OUT_OF_HOST_MEMORY. *out is zeroed on failure. */
vkdlm_status flow_grid_build(const flow_options *options, flow_grid *out, vkdlm_error *err);
/* A zeroed grid is allowed. */
void flow_grid_deinit(flow_grid *grid);

/* A call at any time t >= 0, as an adaptive solver makes it: tau is not taken ahead. */
flow_call flow_call_at(const flow_options *options, double time);

#endif
