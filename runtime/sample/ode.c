#include "sample/ode.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"

/* Sizes of the next step (torchdiffeq's defaults). */
#define SAFETY         0.9
#define LARGEST_RATIO  10.0
#define SMALLEST_RATIO 0.2

/* 5^24 is beyond 2^52: no smaller step would change the time. */
#define MAX_UNFIT 24u

enum { SMALLEST_STEP_ULP = 16 };

/* What the pending slope is for. */
enum phase {
    PHASE_START, /* k_0 */
    PHASE_PROBE, /* one more, to choose the first step */
    PHASE_TRIAL, /* stage `stage` of a step of size h */
};

static bool all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* out = h sum over j < n_slopes of coefficient[j] slope j. */
static void combine(const ode_adaptive *s, const double *coefficient, uint32_t n_slopes, double *out)
{
    memset(out, 0, s->n * sizeof *out);
    for (uint32_t j = 0; j < n_slopes; j++) {
        double factor = coefficient[j] * s->h;
        if (factor == 0)
            continue;
        for (size_t i = 0; i < s->n; i++)
            out[i] += factor * s->slopes[j][i];
    }
}

/* The same, added to y. */
static void combine_state(const ode_adaptive *s, const double *coefficient, uint32_t n_slopes, double *out)
{
    combine(s, coefficient, n_slopes, out);
    for (size_t i = 0; i < s->n; i++)
        out[i] += s->y[i];
}

static void finish(ode_adaptive *s, ode_end end, const double *state)
{
    s->end = end;
    s->state = state;
}

static bool within_limit(const ode_adaptive *s, uint32_t n_more)
{
    uint64_t limit = s->options.max_evaluations;
    return limit == 0 || (s->n_calls <= limit && n_more <= limit - s->n_calls);
}

static void request(ode_adaptive *s, enum phase phase, double time, const double *state)
{
    s->phase = phase;
    s->request = (ode_request){.time = time, .state = state};
}

/* False when the argument of the slope overflows. */
static bool request_stage(ode_adaptive *s, uint32_t stage)
{
    const ode_tableau *tableau = s->tableau;
    combine_state(s, tableau->beta[stage], stage + 1, s->scratch);
    if (!all_finite(s->scratch, s->n))
        return false;
    s->stage = stage;
    double end = s->time + s->h, alpha = tableau->alpha[stage];
    /* At the end of the step f may jump: the stage belongs to what lies before. */
    request(s, PHASE_TRIAL, alpha == 1 ? nextafter(end, -INFINITY) : s->time + alpha * s->h, s->scratch);
    return true;
}

/* A trial that is not finite tells nothing about the size: try one much smaller, but not for ever. */
static bool shrink_unfit(ode_adaptive *s)
{
    s->n_rejected++;
    s->h *= SMALLEST_RATIO;
    if (++s->n_unfit < MAX_UNFIT)
        return true;
    finish(s, ODE_NOT_FINITE, s->y);
    return false;
}

static void begin_trial(ode_adaptive *s)
{
    double t = fabs(s->time), ulp = nextafter(t, INFINITY) - t;
    do {
        if (!(s->h >= SMALLEST_STEP_ULP * ulp)) {
            finish(s, ODE_TOO_SMALL, s->y);
            return;
        }
        if (!within_limit(s, s->tableau->n_stages)) {
            finish(s, ODE_LIMIT, s->y);
            return;
        }
    } while (!request_stage(s, 0) && shrink_unfit(s));
}

/* sqrt(mean((x_i / (atol + rtol max(|a_i|, |b_i|)))^2)). */
static double scaled_norm(const ode_adaptive *s, const double *x, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        double z = x[i] / (s->options.atol + s->options.rtol * fmax(fabs(a[i]), fabs(b[i])));
        sum += z * z;
    }
    return sqrt(sum / (double)s->n);
}

static void supply_start(ode_adaptive *s, bool fit)
{
    if (!fit) {
        finish(s, ODE_NOT_FINITE, s->y);
        return;
    }
    if (s->options.first_step > 0) {
        s->h = s->options.first_step;
        begin_trial(s);
        return;
    }
    double d0 = scaled_norm(s, s->y, s->y, s->y);
    s->d1 = scaled_norm(s, s->slopes[0], s->y, s->y);
    s->h = d0 < 1e-5 || s->d1 < 1e-5 ? 1e-6 : 0.01 * d0 / s->d1;
    if (!(s->h > 0 && s->h < INFINITY))
        s->h = 1e-6; /* a norm overflowed */
    s->probe_step = s->h;
    if (!within_limit(s, 1)) {
        finish(s, ODE_LIMIT, s->y);
        return;
    }
    const double one = 1;
    combine_state(s, &one, 1, s->scratch);
    if (all_finite(s->scratch, s->n))
        request(s, PHASE_PROBE, s->time + s->h, s->scratch);
    else
        begin_trial(s);
}

static void supply_probe(ode_adaptive *s)
{
    const double h0 = s->probe_step, d1 = s->d1;
    for (size_t i = 0; i < s->n; i++)
        s->slopes[1][i] -= s->slopes[0][i];
    double d2 = scaled_norm(s, s->slopes[1], s->y, s->y) / h0;
    /* A probe that is not finite leaves d1 to decide: fmax passes over a NaN. */
    double h1 = d1 <= 1e-15 && d2 <= 1e-15 ? fmax(1e-6, h0 * 1e-3)
                                           : pow(0.01 / fmax(d1, d2), 1.0 / s->tableau->order);
    s->h = fmin(100 * h0, h1);
    if (!(s->h > 0))
        s->h = h0;
    begin_trial(s);
}

/* The state at t_out in the step from `time` to `time` + h, into out [n]: the quartic with the states and
 * slopes of both ends and the state in the middle. scratch becomes that state. */
static void interpolate(const ode_adaptive *s, double t_out, double *out)
{
    const double *k0 = s->slopes[0], *k1 = s->slopes[s->tableau->n_stages];
    const double h = s->h, x = (t_out - s->time) / h;
    combine_state(s, s->tableau->mid, s->tableau->n_stages + 1, s->scratch);
    for (size_t i = 0; i < s->n; i++) {
        double y = s->y[i], y1 = s->y1[i], middle = s->scratch[i];
        double c2 = h * (k1[i] - 4 * k0[i]) - 11 * y - 5 * y1 + 16 * middle;
        double c3 = h * (5 * k0[i] - 3 * k1[i]) + 18 * y + 14 * y1 - 32 * middle;
        double c4 = 2 * h * (k1[i] - k0[i]) - 8 * (y + y1) + 16 * middle;
        out[i] = y + x * (h * k0[i] + x * (c2 + x * (c3 + x * c4)));
    }
}

static void trace_step(ode_adaptive *s, double end)
{
    const ode_trace *trace = s->options.trace;
    if (s->n_accepted < trace->max_steps) {
        trace->step_t[s->n_accepted] = s->time;
        trace->step_dt[s->n_accepted] = s->h;
    }
    for (; s->next_output < trace->n_times && trace->times[s->next_output] <= end; s->next_output++)
        interpolate(s, trace->times[s->next_output], trace->states + s->next_output * s->n);
}

static void accept_step(ode_adaptive *s, double next_h)
{
    double end = s->time + s->h;
    if (s->options.trace)
        trace_step(s, end);
    s->n_accepted++;
    if (end >= s->options.t1) {
        interpolate(s, s->options.t1, s->scratch);
        if (all_finite(s->scratch, s->n)) {
            s->time = s->options.t1;
            finish(s, ODE_REACHED, s->scratch);
        } else {
            finish(s, ODE_NOT_FINITE, s->y);
        }
        return;
    }
    double *y = s->y, *first = s->slopes[0], **last = &s->slopes[s->tableau->n_stages];
    s->y = s->y1;
    s->y1 = y;
    s->slopes[0] = *last;
    *last = first;
    s->time = end;
    s->h = next_h;
    begin_trial(s);
}

static void finish_trial(ode_adaptive *s)
{
    const ode_tableau *tableau = s->tableau;
    combine_state(s, tableau->sol, tableau->n_stages + 1, s->y1);
    combine(s, tableau->error, tableau->n_stages + 1, s->scratch);
    double error = scaled_norm(s, s->scratch, s->y, s->y1);
    if (!isfinite(error) || !all_finite(s->y1, s->n)) {
        if (shrink_unfit(s))
            begin_trial(s);
        return;
    }
    s->n_unfit = 0;
    double least = error < 1 ? 1 : SMALLEST_RATIO;
    double ratio = error == 0 ? LARGEST_RATIO
                              : fmin(LARGEST_RATIO, fmax(SAFETY * pow(error, -1.0 / tableau->order), least));
    if (error <= 1) {
        accept_step(s, s->h * ratio);
        return;
    }
    s->n_rejected++;
    s->h *= ratio;
    begin_trial(s);
}

static void supply_stage(ode_adaptive *s, bool fit)
{
    if (fit && s->stage + 1 == s->tableau->n_stages) {
        finish_trial(s);
        return;
    }
    if (!(fit && request_stage(s, s->stage + 1)) && shrink_unfit(s))
        begin_trial(s);
}

const ode_request *ode_adaptive_next(const ode_adaptive *s)
{
    return s->end == ODE_RUNNING ? &s->request : NULL;
}

void ode_adaptive_supply(ode_adaptive *s, const double *slope)
{
    if (s->end != ODE_RUNNING)
        return;
    s->n_calls++;
    uint32_t number = s->phase == PHASE_START ? 0 : s->phase == PHASE_PROBE ? 1 : s->stage + 1;
    memcpy(s->slopes[number], slope, s->n * sizeof *slope);
    bool fit = all_finite(slope, s->n);
    if (s->phase == PHASE_START)
        supply_start(s, fit);
    else if (s->phase == PHASE_PROBE)
        supply_probe(s);
    else
        supply_stage(s, fit);
}

static vkdlm_status check(const ode_adaptive_options *o, size_t n, vkdlm_error *err)
{
    const vkdlm_status invalid = VKDLM_INVALID_ARGUMENT;
    if (!vkdlm_solver_is_adaptive(o->solver))
        return error_set(err, invalid, "solver: expected an adaptive one, found %s",
                         vkdlm_solver_name(o->solver));
    if (!(o->rtol >= 0 && o->rtol < INFINITY))
        return error_set(err, invalid, "rtol: expected a number of at least 0, found %g", o->rtol);
    if (!(o->atol > 0 && o->atol < INFINITY))
        return error_set(err, invalid, "atol: expected a number above 0, found %g", o->atol);
    if (!(isfinite(o->t0) && isfinite(o->t1) && o->t1 > o->t0))
        return error_set(err, invalid, "end time: expected a number above the start %g, found %g", o->t0,
                         o->t1);
    if (!isfinite(o->first_step))
        return error_set(err, invalid, "first step: expected a number, found %g", o->first_step);
    if (n == 0)
        return error_set(err, invalid, "state: expected at least 1 number, found none");
    return VKDLM_OK;
}

vkdlm_status ode_adaptive_begin(ode_adaptive *s, const ode_adaptive_options *options, const double *y0,
                                size_t n, vkdlm_error *err)
{
    *s = (ode_adaptive){0};
    vkdlm_status status = check(options, n, err);
    if (status != VKDLM_OK)
        return status;
    const ode_tableau *tableau = ode_tableau_of(options->solver);
    uint32_t n_slopes = tableau->n_stages + 1;
    uint64_t bytes = 0;
    double *memory = NULL;
    if (size_mul(n, (n_slopes + 3) * sizeof *memory, &bytes) && bytes <= SIZE_MAX)
        memory = malloc((size_t)bytes);
    if (!memory)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a state of %zu numbers", n);
    s->options = *options;
    s->tableau = tableau;
    s->n = n;
    s->memory = memory;
    s->y = memory;
    s->y1 = memory + n;
    s->scratch = memory + 2 * n;
    for (uint32_t i = 0; i < n_slopes; i++)
        s->slopes[i] = memory + (3 + i) * n;
    ode_adaptive_restart(s, y0);
    return VKDLM_OK;
}

void ode_adaptive_restart(ode_adaptive *s, const double *y0)
{
    assert(s->memory);
    memmove(s->y, y0, s->n * sizeof *y0);
    s->time = s->options.t0;
    s->end = ODE_RUNNING;
    s->state = NULL;
    s->n_calls = s->n_accepted = s->n_rejected = 0;
    s->n_unfit = 0;
    s->next_output = 0;
    if (all_finite(s->y, s->n))
        request(s, PHASE_START, s->time, s->y);
    else
        finish(s, ODE_NOT_FINITE, s->y);
}

void ode_adaptive_deinit(ode_adaptive *s)
{
    free(s->memory);
    *s = (ode_adaptive){0};
}
