/* Solvers of ordinary differential equations dy/dt = f(t, y), as torchdiffeq 0.2.5 defines them.
 *
 * Nobody calls back: f is a network whose evaluations are batched over many integrations, so an integration
 * says where it wants the slope next and is handed it when it is there.
 *
 *   ode.c           the adaptive solvers: error control, interpolation at the end
 *   ode_tableaus.c  their coefficients
 *   ode_fixed.c     the solvers on a fixed grid, whose calls are known beforehand
 *
 * Everything is double, unless a grid asks for times in single precision. */
#ifndef SAMPLE_ODE_H
#define SAMPLE_ODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vkdlm/flow.h>

/* ------------------------------------------------------------------------------------- fixed grids */

#define ODE_MAX_SLOPES 4u /* of one step of a solver on a fixed grid */

/* A grid of n_points >= 2 times from t0 to t1 > t0, evenly spaced from both ends: t0 + i h in its lower half,
 * t1 - (n_points - 1 - i) h in its upper. With single_times all of this, and the times between grid points,
 * is single-precision arithmetic. */
typedef struct ode_fixed {
    vkdlm_solver solver; /* not an adaptive one */
    uint32_t n_points;
    double t0, t1;
    bool single_times;
} ode_fixed;

/* One call of f, at (time, x), and what follows from it: with x_grid the state at the last grid point,
 * the next x = x_grid + sum over i <= slope of step[i] * slopes[i]. */
typedef struct ode_fixed_call {
    double time;
    uint32_t slope;              /* number of the slope that the call gives, 0 at a grid point */
    double step[ODE_MAX_SLOPES]; /* the coefficients hold the interval; 0 above `slope` */
    bool advance;                /* the next x is the state at the next grid point */
} ode_fixed_call;

double ode_fixed_time(const ode_fixed *grid, uint32_t point);
/* Slopes of one interval. */
uint32_t ode_fixed_n_slopes(vkdlm_solver solver);
/* Calls of the whole grid: (n_points - 1) * ode_fixed_n_slopes. */
uint64_t ode_fixed_n_calls(const ode_fixed *grid);
ode_fixed_call ode_fixed_call_at(const ode_fixed *grid, uint64_t index);

/* f(t, y) into slope; y and slope are [n]. */
typedef void ode_function(void *user, double t, const double *y, double *slope);

/* Runs the grid on the host from states[0..n): the state at every grid point, [n_points, n].
 * Errors: OUT_OF_HOST_MEMORY. */
vkdlm_status ode_fixed_run(const ode_fixed *grid, ode_function *f, void *user, size_t n, double *states,
                           vkdlm_error *err);

/* --------------------------------------------------------------------------------- adaptive solvers */

#define ODE_MAX_STAGES 13u

/* An explicit Runge-Kutta pair. A step of size h from (t, y) with slope k_0 = f(t, y):
 *     k_{i+1} = f(t + alpha_i h, y + h sum over j <= i of beta_ij k_j),  i = 0 .. n_stages - 1
 *     y1 = y + h sum sol_j k_j,  error = h sum error_j k_j,  y(t + h/2) ~ y + h sum mid_j k_j */
typedef struct ode_tableau {
    uint32_t n_stages, order;
    double alpha[ODE_MAX_STAGES];
    double beta[ODE_MAX_STAGES][ODE_MAX_STAGES];
    double sol[ODE_MAX_STAGES + 1], error[ODE_MAX_STAGES + 1], mid[ODE_MAX_STAGES + 1];
} ode_tableau;

/* NULL for a solver that is not adaptive. */
const ode_tableau *ode_tableau_of(vkdlm_solver solver);

/* What an integration leaves behind besides its end; every array is the caller's. */
typedef struct ode_trace {
    const double *times; /* [n_times], ascending, in [t0, t1] */
    size_t n_times;
    double *states;           /* [n_times, n]: interpolated inside the step that contains each time */
    double *step_t, *step_dt; /* [max_steps]: start and size of the first max_steps accepted steps */
    size_t max_steps;
} ode_trace;

typedef struct ode_adaptive_options {
    vkdlm_solver solver;      /* an adaptive one */
    double rtol, atol;        /* rtol >= 0, atol > 0 */
    double t0, t1;            /* t1 > t0 */
    double first_step;        /* 0 or less: chosen from f at t0 */
    uint64_t max_evaluations; /* 0: no limit */
    const ode_trace *trace;   /* NULL: none; else it outlives the integration */
} ode_adaptive_options;

typedef enum ode_end {
    ODE_RUNNING,
    ODE_REACHED,    /* the state is that at t1 */
    ODE_TOO_SMALL,  /* the next step would be below 16 units in the last place of the time */
    ODE_LIMIT,      /* the next step would take more than max_evaluations */
    ODE_NOT_FINITE, /* the start is not finite, or no step was small enough for finite slopes */
} ode_end;

/* Where the slope is wanted. */
typedef struct ode_request {
    double time;
    const double *state; /* [n]; valid until the slope is supplied */
} ode_request;

/* One integration. Read what is under "results"; the rest belongs to ode.c. */
typedef struct ode_adaptive {
    /* Results. */
    ode_end end;
    double time;         /* that `state` belongs to: t1, or the end of the last accepted step */
    const double *state; /* [n] once `end` is not ODE_RUNNING; valid until restart or deinit */
    uint64_t n_calls, n_accepted, n_rejected;

    ode_adaptive_options options;
    const ode_tableau *tableau;
    size_t n;
    double *memory;
    double *y, *y1, *scratch; /* [n] each: at `time`, after the step, argument of the next slope */
    double *slopes[ODE_MAX_STAGES + 1];
    double h;
    uint32_t phase, stage;
    uint32_t n_unfit; /* trials in a row that were not finite */
    size_t next_output;
    double probe_step, d1; /* of the automatic first step */
    ode_request request;
} ode_adaptive;

/* Starts an integration from y0 [n], n > 0, in one allocation. A step that passes t1 is not clipped: the
 * state at t1 is the quartic through it, and f is asked for times beyond t1. A trial step that is not finite
 * is repeated at a fifth of its size, 24 times in a row at most. A trial begins only when all its evaluations
 * are within max_evaluations; without that limit an f that is noise may take 10^15 steps.
 *
 * Errors: INVALID_ARGUMENT names the option; OUT_OF_HOST_MEMORY. *s needs no deinit after an error. */
vkdlm_status ode_adaptive_begin(ode_adaptive *s, const ode_adaptive_options *options, const double *y0,
                                size_t n, vkdlm_error *err);
/* The same with another start, in the same memory. y0 may be s->state. */
void ode_adaptive_restart(ode_adaptive *s, const double *y0);
/* Frees; a zeroed *s is allowed. */
void ode_adaptive_deinit(ode_adaptive *s);

/* The slope that is wanted next, the same until it is supplied; NULL when the integration has ended. */
const ode_request *ode_adaptive_next(const ode_adaptive *s);
/* Takes f at the pending request, [n]. Does nothing when the integration has ended. */
void ode_adaptive_supply(ode_adaptive *s, const double *slope);

#endif
