/* The calls of L2D's inner loop against what the authors' code recorded, and the schedules' text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "sample/flow_grid.h"

enum { N_TAU = 21 };

static const char *const cases[] = {"llama-lora", "llama-full", "qwen2-lora-cfg", "qwen2-full"};

static vkdlm_tensors *open_case(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, TESTS_DIR "/golden/l2d/%s/expected.safetensors", name);
    return golden_open(path);
}

static flow_options make(vkdlm_solver solver, uint32_t n_points)
{
    return (flow_options){.solver = solver,
                          .n_points = n_points,
                          .end_time = 1,
                          .velocity = VKDLM_VELOCITY_CONSTANT,
                          .sigma = 64,
                          .variance = 1};
}

static flow_grid build(const flow_options *options)
{
    flow_grid grid;
    vkdlm_error err = {0};
    if (flow_grid_build(options, &grid, &err) != VKDLM_OK)
        fail_msg("%s", err.message);
    return grid;
}

static void check(const char *what, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance * fmax(fabs(expected), 1)))
        fail_msg("%s: expected %.17g, found %.17g", what, expected, found);
}

static void temperatures(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *text;
    } schedules[] = {{"tau.p0.5_end0.8", "polynomial_0.5_0.8"},
                     {"tau.p1_end0.9", "polynomial_1_0.9"},
                     {"tau.p1_end1", "polynomial_1_1"},
                     {"tau.p2_end1", "polynomial_2_1.0"},
                     {"tau.p3_end0.5", "polynomial_3e0_5E-1"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        vkdlm_tensors *file = open_case(cases[c]);
        double *t = golden_doubles(file, "tau.t", N_TAU);
        for (size_t k = 0; k < sizeof schedules / sizeof *schedules; k++) {
            flow_temperature schedule;
            assert_int_equal(flow_temperature_parse(schedules[k].text, &schedule, NULL), VKDLM_OK);
            double *want = golden_doubles(file, schedules[k].tensor, N_TAU);
            for (int i = 0; i < N_TAU; i++)
                check(schedules[k].text, flow_tau(&schedule, t[i]), want[i], 1e-15);
            free(want);
        }
        free(t);
        vkdlm_tensors_close(file);
    }
}

static int32_t one_int(const vkdlm_tensors *file, const char *run, const char *name)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s", run, name);
    int32_t *tensor = golden_ints(file, key, 1), value = *tensor;
    free(tensor);
    return value;
}

/* "solve.[..].SOLVER.stepsN" */
static uint32_t points_of(const char *run)
{
    uint32_t n_points = 0;
    const char *steps = strstr(run, ".steps");
    assert_non_null(steps);
    assert_int_equal(sscanf(steps, ".steps%u", &n_points), 1);
    return n_points;
}

static vkdlm_solver solver_of(const char *run)
{
    for (int s = VKDLM_SOLVER_EULER; s < VKDLM_SOLVER_COUNT; s++) {
        char part[64];
        snprintf(part, sizeof part, ".%s.steps", vkdlm_solver_name((vkdlm_solver)s));
        if (strstr(run, part))
            return (vkdlm_solver)s;
    }
    fail_msg("no solver in '%s'", run);
    return VKDLM_SOLVER_DEFAULT;
}

/* Times, counts and kinds of one recorded solve. */
static void check_solve(const vkdlm_tensors *file, const char *run, double *worst)
{
    flow_options options = make(solver_of(run), points_of(run));
    flow_grid grid = build(&options);
    char key[160];
    snprintf(key, sizeof key, "%s.t", run);
    double *t = golden_doubles(file, key, grid.n_calls);
    snprintf(key, sizeof key, "%s.xhat_id", run);
    size_t n_branches = golden_extent(file, key, 1);
    int32_t *ids = golden_ints(file, key, grid.n_calls * n_branches);
    assert_int_equal(grid.n_calls, one_int(file, run, "nfe"));
    /* The authors run the network at t = 0 too, once a branch. */
    assert_int_equal((grid.n_network + 1) * n_branches, one_int(file, run, "nfe_net"));
    for (uint32_t i = 0; i < grid.n_calls; i++) {
        check(run, grid.calls[i].time, t[i], 1e-6);
        *worst = fmax(*worst, fabs(grid.calls[i].time - t[i]));
        assert_int_equal(grid.calls[i].kind == FLOW_ZERO, ids[i * n_branches] < 0);
        assert_int_equal(grid.calls[i].kind == FLOW_BASE, i == 0);
    }
    flow_grid_deinit(&grid);
    free(ids);
    free(t);
}

/* Runs a recorded solve with its own x_hat: V_y of the recorded tokens, mixed by the guidance. */
static void check_trajectory(const vkdlm_tensors *file, const char *run, double *worst)
{
    size_t vocab = golden_extent(file, "vocab.V_y", 0), n = golden_extent(file, "vocab.V_y", 1);
    flow_options options = make(solver_of(run), points_of(run));
    if (strncmp(run, "solve.edm.", 10) == 0)
        options.velocity = VKDLM_VELOCITY_EDM;
    double weight = 1;
    if (strncmp(run, "solve.guided.", 13) == 0)
        assert_int_equal(sscanf(run, "solve.guided.w%lf", &weight), 1);
    flow_grid grid = build(&options);
    char key[160];
    snprintf(key, sizeof key, "%s.xhat_id", run);
    size_t n_branches = golden_extent(file, key, 1);
    int32_t *ids = golden_ints(file, key, grid.n_calls * n_branches);
    snprintf(key, sizeof key, "%s.traj", run);
    double *want = golden_doubles(file, key, grid.n_points * n);
    double *v_y = golden_doubles(file, "vocab.V_y", vocab * n);
    double *slopes = calloc((ODE_MAX_SLOPES + 2) * n, sizeof *slopes);
    assert_non_null(slopes);
    double *x = slopes + ODE_MAX_SLOPES * n, *at = x + n;
    memcpy(x, want, n * sizeof *x);
    memcpy(at, want, n * sizeof *at);
    uint32_t point = 0;
    for (uint32_t c = 0; c < grid.n_calls; c++) {
        const flow_call *call = &grid.calls[c];
        const int32_t *id = ids + c * n_branches;
        for (size_t i = 0; i < n; i++) {
            double x_hat = call->kind == FLOW_ZERO ? 0 : v_y[(size_t)id[0] * n + i];
            if (call->kind != FLOW_ZERO && n_branches == 2)
                x_hat = weight * x_hat + (1 - weight) * v_y[(size_t)id[1] * n + i];
            slopes[call->slope * n + i] = call->factor * (x_hat - x[i]);
        }
        for (size_t i = 0; i < n; i++) {
            x[i] = at[i];
            for (uint32_t j = 0; j <= call->slope; j++)
                x[i] += call->step[j] * slopes[j * n + i];
        }
        if (!call->advance)
            continue;
        point++;
        memcpy(at, x, n * sizeof *at);
        for (size_t i = 0; i < n; i++) {
            double expected = want[point * n + i], deviation = fabs(x[i] - expected);
            if (!(deviation <= 1e-4 + 1e-5 * fabs(expected)))
                fail_msg("%s, point %u, %zu: expected %.17g, found %.17g", run, point, i, expected, x[i]);
            *worst = fmax(*worst, deviation / fmax(fabs(expected), 1));
        }
    }
    assert_int_equal(point, grid.n_points - 1);
    flow_grid_deinit(&grid);
    free(slopes);
    free(v_y);
    free(want);
    free(ids);
}

static void recorded_solves(void **state)
{
    (void)state;
    double worst = 0, worst_state = 0;
    unsigned n_solves = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        vkdlm_tensors *file = open_case(cases[c]);
        for (size_t i = 0; i < vkdlm_tensors_count(file); i++) {
            const char *name = vkdlm_tensors_at(file, i)->name;
            size_t length = strlen(name);
            if (strncmp(name, "solve.", 6) != 0 || length < 2 || strcmp(name + length - 2, ".t") != 0)
                continue;
            char run[128];
            snprintf(run, sizeof run, "%.*s", (int)(length - 2), name);
            check_solve(file, run, &worst);
            if (!strstr(run, ".average.")) /* the mean over the vocabulary is not recorded */
                check_trajectory(file, run, &worst_state);
            n_solves++;
        }
        vkdlm_tensors_close(file);
    }
    assert_in_range(n_solves, 100, 1000);
    print_message("%u solves: call times off by %g, states by %g of their size\n", n_solves, worst,
                  worst_state);
}

static void calls_ahead(void **state)
{
    (void)state;
    /* The schedule runs ahead by the last interval, 1/4, and by half of it for midpoint. */
    static const struct {
        vkdlm_solver solver;
        double ahead;
    } rows[] = {{VKDLM_SOLVER_EULER, 0.25},
                {VKDLM_SOLVER_MIDPOINT, 0.125},
                {VKDLM_SOLVER_HEUN2, 0.25},
                {VKDLM_SOLVER_HEUN3, 0.25},
                {VKDLM_SOLVER_RK4, 0.25}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        flow_options options = make(rows[k].solver, 5);
        assert_int_equal(flow_temperature_parse("polynomial_2_0.8", &options.tau, NULL), VKDLM_OK);
        options.variance = 0.25;
        flow_grid grid = build(&options);
        for (uint32_t i = 0; i < grid.n_calls; i++) {
            const flow_call *call = &grid.calls[i];
            double t = call->time, s = t + rows[k].ahead, rest = 1 - s / 0.8;
            check("tau", call->tau, s < 0.8 ? rest * rest : 0, 1e-12);
            check("input scale", call->input_scale, 1 / hypot((1 - t) * 64, t * 0.5), 1e-12);
            check("factor", call->factor, t < 1 ? 1 / (1 - t) : 0, 1e-12);
            flow_call same = flow_call_at(&options, t);
            assert_int_equal(same.kind, call->kind);
            assert_true(same.factor == call->factor && same.input_scale == call->input_scale);
            rest = 1 - t / 0.8;
            check("tau at a time", same.tau, t < 0.8 ? rest * rest : 0, 1e-12);
        }
        assert_true(grid.end_time == 1);
        check("final input scale", grid.final_input_scale, 2, 1e-12);
        flow_grid_deinit(&grid);
    }
    /* A grid that ends before 1 runs the network at its end as at any other time. */
    flow_options options = make(VKDLM_SOLVER_HEUN2, 4);
    options.end_time = 0.9;
    flow_grid grid = build(&options);
    assert_int_equal(grid.n_network, grid.n_calls - 1);
    check("end", grid.end_time, 0.9, 1e-6);
    check("last call", grid.calls[grid.n_calls - 1].time, 0.9, 1e-6);
    flow_grid_deinit(&grid);
    flow_call beyond = flow_call_at(&options, 1.5);
    assert_int_equal(beyond.kind, FLOW_ZERO);
    assert_true(beyond.factor == 0);
    options.velocity = VKDLM_VELOCITY_EDM;
    check("edm", flow_call_at(&options, 0.75).factor, 16, 0);
}

static void temperature_texts(void **state)
{
    (void)state;
    flow_temperature t;
    static const struct {
        const char *text;
        double value;
    } numbers[] = {{"0", 0},        {"0.7", 0.7},    {"-1", -1},  {"2.50", 2.5},
                   {"1e-05", 1e-5}, {"1.0e+2", 100}, {".5", 0.5}, {"0.69999999999999996", 0.7}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(flow_temperature_parse(numbers[i].text, &t, NULL), VKDLM_OK);
        assert_false(t.polynomial);
        check(numbers[i].text, flow_tau(&t, 0.3), numbers[i].value, 3e-16);
    }
    static const char *const bad[] = {"",
                                      "-",
                                      ".",
                                      "e5",
                                      "1e",
                                      "1e+",
                                      "nan",
                                      "inf",
                                      "1,5",
                                      "1.2.3",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1e999",
                                      "0e9999",
                                      "12345678901234567890",
                                      "polynomial",
                                      "polynomial_",
                                      "polynomial_1",
                                      "polynomial_1_",
                                      "polynomial_1_0",
                                      "polynomial_-1_1",
                                      "polynomial_1_-1",
                                      "polynomial_1_1_",
                                      "polynomial_1_1x",
                                      "cosine_1_1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        vkdlm_error err = {0};
        if (flow_temperature_parse(bad[i], &t, &err) != VKDLM_INVALID_ARGUMENT)
            fail_msg("'%s' was read", bad[i]);
        assert_non_null(strstr(err.message, "polynomial_P_E"));
    }
    /* So small that its inverse would overflow. */
    assert_int_equal(flow_temperature_parse("polynomial_12_1", &t, NULL), VKDLM_OK);
    assert_true(flow_tau(&t, 1 - 1e-3) == 0);
    assert_true(flow_tau(&t, 0.9) > 0);
}

static void bad_options(void **state)
{
    (void)state;
    flow_options rows[12];
    size_t n = sizeof rows / sizeof *rows, k = 0;
    for (size_t i = 0; i < n; i++)
        rows[i] = make(VKDLM_SOLVER_EULER, 4);
    rows[k++].solver = VKDLM_SOLVER_DOPRI5;
    rows[k++].solver = VKDLM_SOLVER_DEFAULT;
    rows[k++].solver = VKDLM_SOLVER_COUNT;
    rows[k++].velocity = VKDLM_VELOCITY_DEFAULT;
    rows[k++].n_points = 1;
    rows[k++].n_points = FLOW_MAX_POINTS + 1;
    rows[k++].end_time = 1.5;
    rows[k++].end_time = NAN;
    rows[k++].sigma = 0;
    rows[k++].variance = -1;
    rows[k++].tau.value = INFINITY;
    rows[k++].tau = (flow_temperature){.polynomial = true, .power = -1, .end = 1};
    assert_int_equal(k, n);
    for (size_t i = 0; i < n; i++) {
        flow_grid grid;
        vkdlm_error err = {0};
        assert_int_equal(flow_grid_build(&rows[i], &grid, &err), VKDLM_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "expected"));
        assert_null(grid.calls);
    }
    rows[0].n_points = 0; /* an adaptive solver has no grid */
    assert_int_equal(flow_options_check(&rows[0], NULL), VKDLM_OK);

    flow_options largest = make(VKDLM_SOLVER_RK4, FLOW_MAX_POINTS);
    flow_grid grid = build(&largest);
    for (uint32_t i = 1; i < grid.n_calls; i++)
        assert_true(grid.calls[i].time >= grid.calls[i - 1].time && isfinite(grid.calls[i].factor));
    assert_int_equal(grid.n_calls, 4 * (FLOW_MAX_POINTS - 1));
    assert_int_equal(grid.n_network, grid.n_calls - 2);
    flow_grid_deinit(&grid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(temperatures),      cmocka_unit_test(recorded_solves), cmocka_unit_test(calls_ahead),
        cmocka_unit_test(temperature_texts), cmocka_unit_test(bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
