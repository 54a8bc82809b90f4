#include "golden/solve.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"

enum { MAX_ACCEPTED = 2048 };

/* ---- recorded solves on a grid ------------------------------------------------------------------------ */

typedef struct solve_family {
    const char *prefix;
    const char *temperature;
    bool average, edm, guided;
} solve_family;

static const solve_family families[] = {
    {.prefix = "", .temperature = "0"},
    {.prefix = "row1.", .temperature = "0"},
    {.prefix = "edm.", .temperature = "0", .edm = true},
    {.prefix = "average.tau1.", .temperature = "1", .average = true},
    {.prefix = "average.poly_1_1.", .temperature = "polynomial_1_1", .average = true},
    {.prefix = "average.poly_2_0.8.", .temperature = "polynomial_2_0.8", .average = true},
    {.prefix = "guided.average.w1.5.", .temperature = "1", .average = true, .guided = true},
    {.prefix = "guided.w0.0.", .temperature = "0", .guided = true},
    {.prefix = "guided.w1.0.", .temperature = "0", .guided = true},
    {.prefix = "guided.w1.5.", .temperature = "0", .guided = true},
    {.prefix = "guided.w3.0.", .temperature = "0", .guided = true},
};

static const char *join(char name[96], const char *prefix, const char *part)
{
    snprintf(name, 96, "%s.%s", prefix, part);
    return name;
}

static double scalar(const vkdlm_tensors *file, const char *prefix, const char *part)
{
    char name[96];
    double *p = golden_doubles(file, join(name, prefix, part), 1), value = *p;
    free(p);
    return value;
}

static int32_t integer(const vkdlm_tensors *file, const char *prefix, const char *part)
{
    char name[96];
    int32_t *p = golden_ints(file, join(name, prefix, part), 1), value = *p;
    free(p);
    return value;
}

static bool recorded(const vkdlm_tensors *file, const char *prefix, const char *part)
{
    char name[96];
    return vkdlm_tensors_find(file, join(name, prefix, part)) != NULL;
}

/* How many tensors solve.*.x0 there are on a grid. */
static unsigned count_fixed(const vkdlm_tensors *file)
{
    unsigned n = 0;
    for (size_t i = 0; i < vkdlm_tensors_count(file); i++) {
        const char *name = vkdlm_tensors_at(file, i)->name;
        size_t length = strlen(name);
        n += length > 3 && strncmp(name, "solve.", 6) == 0 && strncmp(name, "solve.adaptive.", 15) != 0 &&
             strcmp(name + length - 3, ".x0") == 0;
    }
    return n;
}

static bool find_case(const vkdlm_tensors *file, const solve_family *family, vkdlm_solver solver,
                      uint32_t steps, solve_case *out)
{
    vkdlm_error err;
    *out = (solve_case){
        .file = file,
        .average = family->average,
        .guided = family->guided,
        .class_id = -1,
        .weight = 1,
        .options = {.solver = solver,
                    .n_points = steps,
                    .end_time = 1,
                    .velocity = family->edm ? VKDLM_VELOCITY_EDM : VKDLM_VELOCITY_CONSTANT},
    };
    snprintf(out->name, sizeof out->name, "solve.%s%s.steps%u", family->prefix, vkdlm_solver_name(solver),
             steps);
    if (!recorded(file, out->name, "x0"))
        return false;
    assert_int_equal(flow_temperature_parse(family->temperature, &out->options.tau, &err), VKDLM_OK);
    out->row = (uint32_t)integer(file, out->name, "row");
    assert_true(out->row < 2);
    if (family->guided) {
        out->class_id = integer(file, out->name, "class");
        out->weight = scalar(file, out->name, "w");
    }
    return true;
}

void solve_each_fixed(const vkdlm_tensors *file, void (*check)(void *user, const solve_case *c), void *user)
{
    unsigned n = 0;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (int solver = VKDLM_SOLVER_DEFAULT + 1; solver < VKDLM_SOLVER_COUNT; solver++)
            for (uint32_t steps = 2; steps <= 8; steps++) {
                solve_case c;
                if (!find_case(file, &families[f], (vkdlm_solver)solver, steps, &c))
                    continue;
                check(user, &c);
                n++;
            }
    assert_true(n > 0);
    assert_int_equal(n, count_fixed(file));
}

void solve_check(const solve_case *c, const char *part, const double *found, size_t n, double tolerance,
                 bool absolute)
{
    char name[96];
    double *expected = golden_doubles(c->file, join(name, c->name, part), n);
    golden_check_close(name, found, expected, n, tolerance, absolute);
    free(expected);
}

void solve_check_states(const solve_case *c, const char *part, const double *found, size_t n,
                        const solve_tolerance *tolerance)
{
    char name[96];
    double *expected = golden_doubles(c->file, join(name, c->name, part), n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(found[i] - expected[i]) <= tolerance->state + 1e-5 * fabs(expected[i])))
            fail_msg("%s[%zu]: expected %.17g, found %.17g", name, i, expected[i], found[i]);
    free(expected);
}

double *solve_start(const solve_case *c, uint32_t n)
{
    char name[96];
    return golden_doubles(c->file, join(name, c->name, "x0"), n);
}

void solve_check_calls(const solve_case *c, const flow_grid *grid)
{
    double *times = calloc(grid->n_calls, sizeof *times);
    assert_non_null(times);
    int32_t n_network = 0, n_branches = c->guided ? 2 : 1;
    for (uint32_t i = 0; i < grid->n_calls; i++) {
        times[i] = grid->calls[i].time;
        n_network += grid->calls[i].kind != FLOW_ZERO;
    }
    assert_int_equal(grid->n_calls, integer(c->file, c->name, "nfe"));
    assert_int_equal(n_network * n_branches, integer(c->file, c->name, "nfe_net"));
    assert_int_equal(grid->n_network, n_network - 1);
    solve_check(c, "t", times, grid->n_calls, 1e-6, true);
    free(times);
}

/* ---- running them on the host -------------------------------------------------------------------------- */

static int32_t argmax(const double *values, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = values[i] > values[best] ? i : best;
    return (int32_t)best;
}

/* Memory of a run on the host. */
typedef struct host_solve {
    double *state, *x, *x_hat; /* [n] */
    double *slopes;            /* [ODE_MAX_SLOPES, n] */
    double *states;            /* [n_points, n] */
    double *logits;            /* [V] */
    int32_t *tokens;           /* [n_calls, n_branches] */
} host_solve;

/* Velocity of one call into its slope. */
static void run_call(const solve_network *network, const solve_case *c, const flow_call *call,
                     uint32_t n_branches, host_solve *run, int32_t *tokens)
{
    uint32_t n = network->n;
    double *slope = run->slopes + (size_t)call->slope * n;
    memset(slope, 0, n * sizeof *slope);
    for (uint32_t b = 0; b < n_branches; b++) {
        tokens[b] = -1;
        if (call->kind == FLOW_ZERO)
            continue;
        double weight = n_branches == 1 ? 1 : b == 0 ? c->weight : 1 - c->weight;
        network->evaluate(network->self,
                          &(solve_point){.row = c->row,
                                         .x = run->x,
                                         .t = call->time,
                                         .class_id = b == 0 ? c->class_id : -1,
                                         .tau = call->tau,
                                         .average = c->average},
                          run->x_hat, run->logits);
        tokens[b] = argmax(run->logits, network->vocab_size);
        for (uint32_t i = 0; i < n; i++)
            slope[i] += weight * call->factor * (run->x_hat[i] - run->x[i]);
    }
}

static void check_tokens(const solve_case *c, const int32_t *tokens, uint32_t n)
{
    char name[96];
    int32_t *expected = golden_ints(c->file, join(name, c->name, "xhat_id"), n);
    for (uint32_t i = 0; i < n; i++)
        if (tokens[i] != expected[i])
            fail_msg("%s[%u]: expected token %d, found %d", name, i, expected[i], tokens[i]);
    free(expected);
}

static void advance(const flow_call *call, uint32_t n, host_solve *run)
{
    for (uint32_t i = 0; i < n; i++) {
        run->x[i] = run->state[i];
        for (uint32_t j = 0; j <= call->slope; j++)
            run->x[i] += call->step[j] * run->slopes[(size_t)j * n + i];
    }
    if (call->advance)
        memcpy(run->state, run->x, n * sizeof *run->state);
}

void solve_check_fixed(const solve_network *network, const solve_case *c, const solve_tolerance *tolerance)
{
    vkdlm_error err = {0};
    flow_grid grid;
    flow_options options = c->options;
    options.sigma = network->sigma;
    options.variance = network->variance;
    if (flow_grid_build(&options, &grid, &err) != VKDLM_OK)
        fail_msg("%s: %s", c->name, err.message);
    solve_check_calls(c, &grid);

    uint32_t n = network->n, n_branches = c->guided ? 2 : 1, point = 0;
    host_solve run = {.state = solve_start(c, n),
                      .x = calloc(n, sizeof *run.x),
                      .x_hat = calloc(n, sizeof *run.x_hat),
                      .slopes = calloc((size_t)ODE_MAX_SLOPES * n, sizeof *run.slopes),
                      .states = calloc((size_t)grid.n_points * n, sizeof *run.states),
                      .logits = calloc(network->vocab_size, sizeof *run.logits),
                      .tokens = calloc((size_t)grid.n_calls * n_branches, sizeof *run.tokens)};
    assert_true(run.x && run.x_hat && run.slopes && run.states && run.logits && run.tokens);
    memcpy(run.x, run.state, n * sizeof *run.x);
    memcpy(run.states, run.state, n * sizeof *run.states);
    for (uint32_t i = 0; i < grid.n_calls; i++) {
        run_call(network, c, &grid.calls[i], n_branches, &run, run.tokens + (size_t)i * n_branches);
        advance(&grid.calls[i], n, &run);
        if (grid.calls[i].advance)
            memcpy(run.states + (size_t)++point * n, run.state, n * sizeof *run.states);
    }
    assert_int_equal(point + 1, c->options.n_points);
    check_tokens(c, run.tokens, grid.n_calls * n_branches);
    solve_check_states(c, "traj", run.states, (size_t)grid.n_points * n, tolerance);
    solve_check_states(c, "x1", run.state, n, tolerance);
    network->evaluate(
        network->self,
        &(solve_point){.row = c->row, .x = run.state, .t = grid.end_time, .class_id = c->class_id}, NULL,
        run.logits);
    solve_check(c, "logits", run.logits, network->vocab_size,
                c->average ? tolerance->average_logits : tolerance->logits, true);

    free(run.tokens);
    free(run.logits);
    free(run.states);
    free(run.slopes);
    free(run.x_hat);
    free(run.x);
    free(run.state);
    flow_grid_deinit(&grid);
}

/* ---- adaptive solves ----------------------------------------------------------------------------------- */

/* Integrates from x0; returns the calls that ran the network. */
static int32_t integrate(const solve_network *network, uint32_t row, ode_adaptive *solve, double *logits)
{
    uint32_t n = network->n;
    int32_t n_network = 0;
    flow_options options = {.solver = solve->options.solver,
                            .n_points = FLOW_MIN_POINTS,
                            .end_time = 1,
                            .tau = {.value = 1},
                            .sigma = network->sigma,
                            .variance = network->variance};
    double *slope = calloc(n, sizeof *slope);
    assert_non_null(slope);
    const ode_request *request;
    while ((request = ode_adaptive_next(solve))) {
        flow_call call = flow_call_at(&options, request->time);
        memset(slope, 0, n * sizeof *slope);
        if (call.kind != FLOW_ZERO) {
            n_network++;
            network->evaluate(network->self,
                              &(solve_point){.row = row,
                                             .x = request->state,
                                             .t = call.time,
                                             .class_id = -1,
                                             .tau = call.tau,
                                             .average = true},
                              slope, logits);
            for (uint32_t i = 0; i < n; i++)
                slope[i] = call.factor * (slope[i] - request->state[i]);
        }
        ode_adaptive_supply(solve, slope);
    }
    free(slope);
    return n_network;
}

/* Accepted steps: all of them for a solve to 0.9; those that start below 0.9 for one to 1, since what follows
 * is decided by rounding. Of dopri5 and dopri8 to 1 only the first: their second trial has a stage so near 1
 * that an error of 1e-6 in x_hat moves the step that follows by 0.01, and one of 1e-5 by 0.09. */
static void check_steps(const vkdlm_tensors *file, const char *prefix, const ode_adaptive *solve,
                        const double *step_t, bool counted)
{
    char name[96];
    size_t n = golden_extent(file, join(name, prefix, "accepted_t"), 0);
    double *expected = golden_doubles(file, name, n);
    vkdlm_solver solver = solve->options.solver;
    bool to_the_end = solve->options.t1 >= 1;
    double tolerance = solver == VKDLM_SOLVER_DOPRI8 ? 5e-2 : 5e-3;
    assert_true(solve->n_accepted <= MAX_ACCEPTED);
    if (counted)
        assert_int_equal(solve->n_accepted, n);
    if (to_the_end && (solver == VKDLM_SOLVER_DOPRI5 || solver == VKDLM_SOLVER_DOPRI8))
        n = 2;
    for (size_t i = 0; i < n && expected[i] < 0.9; i++) {
        assert_true(i < solve->n_accepted);
        if (!(fabs(step_t[i] - expected[i]) <= tolerance))
            fail_msg("%s[%zu]: expected %g, found %g", name, i, expected[i], step_t[i]);
    }
    free(expected);
}

static void check_adaptive(const solve_network *network, const vkdlm_tensors *file, const char *prefix,
                           vkdlm_solver solver, double end_time)
{
    char name[96];
    vkdlm_error err;
    bool to_the_end = end_time >= 1, coarse = solver == VKDLM_SOLVER_DOPRI8;
    bool counted = !to_the_end && !(coarse && network->single);
    double *x0 = golden_doubles(file, join(name, prefix, "x0"), network->n);
    double *logits = calloc(network->vocab_size, sizeof *logits);
    double *step_t = calloc(MAX_ACCEPTED, sizeof *step_t), *step_dt = calloc(MAX_ACCEPTED, sizeof *step_dt);
    assert_true(logits && step_t && step_dt);
    const ode_trace trace = {.step_t = step_t, .step_dt = step_dt, .max_steps = MAX_ACCEPTED};
    const ode_adaptive_options options = {.solver = solver,
                                          .rtol = 1e-3,
                                          .atol = 1e-3,
                                          .t1 = end_time,
                                          .first_step = scalar(file, prefix, "first_step"),
                                          .max_evaluations = 5000,
                                          .trace = &trace};
    uint32_t row = (uint32_t)integer(file, prefix, "row");
    ode_adaptive solve;
    assert_int_equal(ode_adaptive_begin(&solve, &options, x0, network->n, &err), VKDLM_OK);
    int32_t n_network = integrate(network, row, &solve, logits);

    check_steps(file, prefix, &solve, step_t, counted);
    assert_int_not_equal(solve.end, ODE_NOT_FINITE);
    if (!to_the_end)
        assert_int_equal(solve.end, ODE_REACHED);
    if (counted) {
        assert_int_equal(solve.n_calls, integer(file, prefix, "nfe"));
        assert_int_equal(solve.n_rejected, integer(file, prefix, "rejected"));
        assert_true(abs(n_network - integer(file, prefix, "nfe_net")) <= (coarse ? 2 : 0));
    }
    network->evaluate(network->self,
                      &(solve_point){.row = row, .x = solve.state, .t = end_time, .class_id = -1}, NULL,
                      logits);
    double *expected = golden_doubles(file, join(name, prefix, "logits"), network->vocab_size);
    golden_check_close(name, logits, expected, network->vocab_size, to_the_end ? 1 : 5e-3, true);
    free(expected);
    ode_adaptive_deinit(&solve);
    free(step_dt);
    free(step_t);
    free(logits);
    free(x0);
}

uint32_t solve_check_adaptive(const solve_network *network, const vkdlm_tensors *file, double end_time)
{
    uint32_t n = 0;
    for (int solver = VKDLM_SOLVER_DEFAULT + 1; solver < VKDLM_SOLVER_COUNT; solver++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "solve.adaptive.%s.end%.1f", vkdlm_solver_name((vkdlm_solver)solver),
                 end_time);
        if (!recorded(file, prefix, "x0"))
            continue;
        check_adaptive(network, file, prefix, (vkdlm_solver)solver, end_time);
        n++;
    }
    return n;
}
