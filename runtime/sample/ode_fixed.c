#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "sample/ode.h"

/* One interval of size h from t: slope i is taken at t + alpha[i] h; what follows it is the state plus
 * h sum over j <= i of row[i][j] slope j. The last row gives the next grid point. */
typedef struct fixed_rule {
    uint32_t n_slopes;
    double alpha[ODE_MAX_SLOPES];
    double row[ODE_MAX_SLOPES][ODE_MAX_SLOPES];
} fixed_rule;

static const fixed_rule rules[VKDLM_SOLVER_COUNT] = {
    [VKDLM_SOLVER_EULER] = {1, {0}, {{1}}},
    [VKDLM_SOLVER_MIDPOINT] = {2, {0, 1.0 / 2}, {{1.0 / 2}, {0, 1}}},
    [VKDLM_SOLVER_HEUN2] = {2, {0, 1}, {{1}, {1.0 / 2, 1.0 / 2}}},
    [VKDLM_SOLVER_HEUN3] = {3, {0, 1.0 / 3, 2.0 / 3}, {{1.0 / 3}, {0, 2.0 / 3}, {1.0 / 4, 0, 3.0 / 4}}},
    [VKDLM_SOLVER_RK4] = {4,
                          {0, 1.0 / 3, 2.0 / 3, 1},
                          {{1.0 / 3}, {-1.0 / 3, 1}, {1, -1, 1}, {1.0 / 8, 3.0 / 8, 3.0 / 8, 1.0 / 8}}},
};

double ode_fixed_time(const ode_fixed *grid, uint32_t point)
{
    uint32_t n_intervals = grid->n_points - 1;
    bool upper = point >= grid->n_points / 2;
    uint32_t from_end = upper ? n_intervals - point : point;
    if (grid->single_times) {
        float t0 = (float)grid->t0, t1 = (float)grid->t1;
        float offset = (t1 - t0) / (float)n_intervals * (float)from_end;
        return (double)(upper ? t1 - offset : t0 + offset);
    }
    double offset = (grid->t1 - grid->t0) / n_intervals * from_end;
    return upper ? grid->t1 - offset : grid->t0 + offset;
}

uint32_t ode_fixed_n_slopes(vkdlm_solver solver)
{
    return rules[solver].n_slopes;
}

uint64_t ode_fixed_n_calls(const ode_fixed *grid)
{
    return (uint64_t)(grid->n_points - 1) * rules[grid->solver].n_slopes;
}

static double time_between(const ode_fixed *grid, double t, double next, double alpha)
{
    /* Both ends exactly: the interval before the last grid point must end on it, where the slope may jump. */
    if (alpha == 0)
        return t;
    if (alpha == 1)
        return next;
    if (grid->single_times)
        return (double)((float)t + ((float)next - (float)t) * (float)alpha);
    return t + (next - t) * alpha;
}

ode_fixed_call ode_fixed_call_at(const ode_fixed *grid, uint64_t index)
{
    const fixed_rule *rule = &rules[grid->solver];
    assert(rule->n_slopes > 0 && grid->n_points >= 2 && index < ode_fixed_n_calls(grid));
    uint32_t point = (uint32_t)(index / rule->n_slopes), slope = (uint32_t)(index % rule->n_slopes);
    double t = ode_fixed_time(grid, point), next = ode_fixed_time(grid, point + 1);
    double h = grid->single_times ? (double)((float)next - (float)t) : next - t;
    ode_fixed_call call = {.time = time_between(grid, t, next, rule->alpha[slope]),
                           .slope = slope,
                           .advance = slope + 1 == rule->n_slopes};
    for (uint32_t j = 0; j <= slope; j++)
        call.step[j] = h * rule->row[slope][j];
    return call;
}

vkdlm_status ode_fixed_run(const ode_fixed *grid, ode_function *f, void *user, size_t n, double *states,
                           vkdlm_error *err)
{
    uint64_t n_calls = ode_fixed_n_calls(grid), bytes = 0;
    double *slopes = NULL;
    if (size_mul(n, (ODE_MAX_SLOPES + 1) * sizeof *slopes, &bytes) && bytes <= SIZE_MAX)
        slopes = malloc((size_t)bytes);
    if (!slopes)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a state of %zu numbers", n);
    double *x = slopes + ODE_MAX_SLOPES * n, *at = states;
    memcpy(x, states, n * sizeof *x);
    for (uint64_t c = 0; c < n_calls; c++) {
        ode_fixed_call call = ode_fixed_call_at(grid, c);
        f(user, call.time, x, slopes + call.slope * n);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (uint32_t j = 0; j <= call.slope; j++)
                sum += call.step[j] * slopes[j * n + i];
            x[i] = at[i] + sum;
        }
        if (call.advance) {
            at += n;
            memcpy(at, x, n * sizeof *x);
        }
    }
    free(slopes);
    return VKDLM_OK;
}
