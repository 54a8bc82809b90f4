#include "sample/flow_grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Scales outside these bounds leave single precision when squared. */
#define MIN_SCALE 1e-15
#define MAX_SCALE 1e15

#define MIN_TAU      1e-30
#define MIN_END_TIME 1e-6

/* How far ahead of a call tau is taken, in units of the last interval. */
static const double tau_ahead[VKDLM_SOLVER_COUNT] = {
    [VKDLM_SOLVER_EULER] = 1, [VKDLM_SOLVER_MIDPOINT] = 0.5, [VKDLM_SOLVER_HEUN2] = 1,
    [VKDLM_SOLVER_HEUN3] = 1, [VKDLM_SOLVER_RK4] = 1,
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A number without sign at *text, which moves behind it: at most one unit in the last place off. strtod would
 * read what the locale says. */
static bool read_number(const char **text, double *out)
{
    enum { MAX_DIGITS = 19, MAX_EXPONENT = 1000 };
    const char *p = *text;
    uint64_t digits = 0;
    int n_digits = 0, exponent = 0;
    bool point = false;
    for (; is_digit(*p) || (*p == '.' && !point); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (++n_digits > MAX_DIGITS)
            return false;
        digits = digits * 10 + (uint64_t)(*p - '0');
        exponent -= point;
    }
    if (n_digits == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        int sign = *p == '-' ? -1 : 1, value = 0;
        p += *p == '-' || *p == '+';
        if (!is_digit(*p))
            return false;
        for (; is_digit(*p); p++)
            value = value < MAX_EXPONENT ? value * 10 + (*p - '0') : value;
        exponent += sign * value;
    }
    *text = p;
    *out = exponent < 0 ? (double)digits / pow(10, -exponent) : (double)digits * pow(10, exponent);
    return isfinite(*out);
}

vkdlm_status flow_temperature_parse(const char *text, flow_temperature *out, vkdlm_error *err)
{
    static const char prefix[] = "polynomial_";
    const char *p = text;
    flow_temperature t = {0};
    bool read;
    if (strncmp(text, prefix, sizeof prefix - 1) == 0) {
        t.polynomial = true;
        p += sizeof prefix - 1;
        read = read_number(&p, &t.power) && *p++ == '_' && read_number(&p, &t.end) && t.end > 0;
    } else {
        bool negative = *p == '-';
        p += negative;
        read = read_number(&p, &t.value);
        if (negative)
            t.value = -t.value;
    }
    if (!read || *p != '\0')
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "temperature schedule: expected a number or 'polynomial_P_E' with numbers P and "
                         "E above 0, found '%s'",
                         text);
    *out = t;
    return VKDLM_OK;
}

double flow_tau(const flow_temperature *schedule, double s)
{
    double tau = schedule->value;
    if (schedule->polynomial)
        tau = s < schedule->end ? pow(1 - s / schedule->end, schedule->power) : 0;
    return tau > 0 && tau < MIN_TAU ? 0 : tau;
}

static vkdlm_status check_number(const char *name, double value, double min, double max, vkdlm_error *err)
{
    if (value >= min && value <= max)
        return VKDLM_OK;
    return error_set(err, VKDLM_INVALID_ARGUMENT, "%s: expected a number from %g to %g, found %g", name, min,
                     max, value);
}

vkdlm_status flow_options_check(const flow_options *o, vkdlm_error *err)
{
    if (o->solver == VKDLM_SOLVER_DEFAULT || (unsigned)o->solver >= VKDLM_SOLVER_COUNT)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "solver: expected number 1 to %d, found %d",
                         (int)VKDLM_SOLVER_COUNT - 1, (int)o->solver);
    if (o->velocity == VKDLM_VELOCITY_DEFAULT || (unsigned)o->velocity >= VKDLM_VELOCITY_COUNT)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "velocity: expected constant or edm, found number %d",
                         (int)o->velocity);
    if (!vkdlm_solver_is_adaptive(o->solver) &&
        (o->n_points < FLOW_MIN_POINTS || o->n_points > FLOW_MAX_POINTS))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "steps: expected %u to %u grid points, found %u",
                         FLOW_MIN_POINTS, FLOW_MAX_POINTS, o->n_points);
    const flow_temperature *tau = &o->tau;
    struct {
        const char *name;
        double value, min, max;
    } numbers[] = {
        {"end time", o->end_time, MIN_END_TIME, 1},
        {"noise scale", o->sigma, MIN_SCALE, MAX_SCALE},
        {"vocabulary variance", o->variance, MIN_SCALE, MAX_SCALE},
        {"temperature", tau->polynomial ? 0 : tau->value, -MAX_SCALE, MAX_SCALE},
        {"power of the temperature schedule", tau->polynomial ? tau->power : 0, 0, MAX_SCALE},
        {"end of the temperature schedule", tau->polynomial ? tau->end : 1, MIN_SCALE, MAX_SCALE},
    };
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == VKDLM_OK; i++)
        status = check_number(numbers[i].name, numbers[i].value, numbers[i].min, numbers[i].max, err);
    return status;
}

static double input_scale(const flow_options *o, double t)
{
    double noise = (1 - t) * o->sigma;
    return 1 / sqrt(noise * noise + t * t * o->variance);
}

static flow_call call_ahead(const flow_options *o, double t, double ahead)
{
    flow_call call = {.kind = t <= 0 ? FLOW_BASE : t < 1 ? FLOW_NETWORK : FLOW_ZERO, .time = t};
    call.tau = flow_tau(&o->tau, t + ahead);
    call.input_scale = input_scale(o, t);
    if (call.kind != FLOW_ZERO) {
        call.factor = 1 / (1 - t);
        if (o->velocity == VKDLM_VELOCITY_EDM)
            call.factor *= call.factor;
    }
    return call;
}

flow_call flow_call_at(const flow_options *options, double time)
{
    return call_ahead(options, time, 0);
}

vkdlm_status flow_grid_build(const flow_options *options, flow_grid *out, vkdlm_error *err)
{
    *out = (flow_grid){0};
    vkdlm_status status = flow_options_check(options, err);
    if (status != VKDLM_OK)
        return status;
    if (vkdlm_solver_is_adaptive(options->solver))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "solver: expected one on a fixed grid, found %s",
                         vkdlm_solver_name(options->solver));
    const ode_fixed fixed = {
        .solver = options->solver,
        .n_points = options->n_points,
        .t1 = options->end_time,
        .single_times = true,
    };
    uint32_t last = fixed.n_points - 1;
    double end_time = ode_fixed_time(&fixed, last);
    double ahead = tau_ahead[fixed.solver] * (end_time - ode_fixed_time(&fixed, last - 1));
    uint32_t n_calls = (uint32_t)ode_fixed_n_calls(&fixed);
    flow_grid grid = {.n_calls = n_calls, .n_points = fixed.n_points, .end_time = end_time};
    grid.final_input_scale = input_scale(options, end_time);
    grid.calls = malloc(n_calls * sizeof *grid.calls);
    if (!grid.calls)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a grid of %u points",
                         grid.n_points);
    for (uint32_t i = 0; i < n_calls; i++) {
        ode_fixed_call from = ode_fixed_call_at(&fixed, i);
        flow_call *call = &grid.calls[i];
        *call = call_ahead(options, from.time, ahead);
        call->slope = from.slope;
        memcpy(call->step, from.step, sizeof call->step);
        call->advance = from.advance;
        grid.n_network += call->kind == FLOW_NETWORK;
    }
    *out = grid;
    return VKDLM_OK;
}

void flow_grid_deinit(flow_grid *grid)
{
    free(grid->calls);
    *grid = (flow_grid){0};
}
