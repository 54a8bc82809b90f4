/* ODE solvers against torchdiffeq: coefficients, fixed grids, adaptive steps and interpolated states. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "golden/golden.h"
#include "sample/ode.h"

enum { MAX_STEPS = 8192 };

/* One initial value problem; its constants in the order of the README. */
typedef struct problem {
    const char *name;
    ode_function *slope;
    const char *constants[3];
    vkdlm_tensors *file;
    double *c[3];
    double *y0, *span, *t_out;
    size_t n, n_out;
} problem;

static void linear(void *user, double t, const double *y, double *slope)
{
    const problem *p = user;
    (void)t;
    for (size_t i = 0; i < p->n; i++) {
        slope[i] = 0;
        for (size_t j = 0; j < p->n; j++)
            slope[i] += p->c[0][i * p->n + j] * y[j];
    }
}

static void lotka_volterra(void *user, double t, const double *y, double *slope)
{
    const problem *p = user;
    const double *c = p->c[0];
    (void)t;
    slope[0] = c[0] * y[0] - c[1] * y[0] * y[1];
    slope[1] = -c[2] * y[1] + c[3] * y[0] * y[1];
}

static void relax(void *user, double t, const double *y, double *slope)
{
    const problem *p = user;
    for (size_t i = 0; i < p->n; i++)
        slope[i] = (p->c[0][i] + p->c[1][i] * sin(p->c[2][0] * t) - y[i]) / (1.25 - t);
}

static void boundary(void *user, double t, const double *y, double *slope)
{
    const problem *p = user;
    for (size_t i = 0; i < p->n; i++)
        slope[i] = t < 1 ? (p->c[0][i] + p->c[1][i] * tanh(3 * t) - y[i]) / (1 - t) : 0;
}

static const problem problems[] = {
    {.name = "linear", .slope = linear, .constants = {"A"}},
    {.name = "lotka_volterra", .slope = lotka_volterra, .constants = {"params"}},
    {.name = "relax", .slope = relax, .constants = {"a", "b", "omega"}},
    {.name = "boundary", .slope = boundary, .constants = {"a", "b"}},
};

static problem open_problem(const problem *from)
{
    problem p = *from;
    char path[256];
    snprintf(path, sizeof path, TESTS_DIR "/golden/ode/%s.safetensors", p.name);
    p.file = golden_open(path);
    for (size_t i = 0; i < 3 && p.constants[i]; i++) {
        const vkdlm_tensor *t = vkdlm_tensors_find(p.file, p.constants[i]);
        assert_non_null(t);
        p.c[i] = golden_doubles(p.file, p.constants[i], (size_t)t->n_elements);
    }
    p.n = golden_extent(p.file, "y0", 0);
    p.n_out = golden_extent(p.file, "t_out", 0);
    p.y0 = golden_doubles(p.file, "y0", p.n);
    p.span = golden_doubles(p.file, "t_span", 2);
    p.t_out = golden_doubles(p.file, "t_out", p.n_out);
    return p;
}

static void close_problem(problem *p)
{
    for (size_t i = 0; i < 3; i++)
        free(p->c[i]);
    free(p->y0);
    free(p->span);
    free(p->t_out);
    vkdlm_tensors_close(p->file);
}

/* The tensor `run`.`name` of n values; the caller frees it. */
static double *expected(const problem *p, const char *run, const char *name, size_t n)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s", run, name);
    return golden_doubles(p->file, key, n);
}

static int32_t expected_count(const problem *p, const char *run, const char *name)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s", run, name);
    int32_t *tensor = golden_ints(p->file, key, 1), value = *tensor;
    free(tensor);
    return value;
}

/* Every value within tolerance of its own size, or of `floor` where that is larger. Returns the largest
 * deviation. */
static double check_values(const problem *p, const char *run, const char *what, const double *found,
                           const double *want, size_t n, double tolerance, double floor)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double deviation = fabs(found[i] - want[i]) / fmax(fabs(want[i]), floor);
        if (!(deviation <= tolerance))
            fail_msg("%s %s %s[%zu]: expected %.17g, found %.17g: off by %g, at most %g", p->name, run, what,
                     i, want[i], found[i], deviation, tolerance);
        worst = fmax(worst, deviation);
    }
    return worst;
}

static void coefficients(void **state)
{
    (void)state;
    json_error_t error;
    json_t *root = json_load_file(TESTS_DIR "/golden/ode/tableaus.json", 0, &error);
    if (!root)
        fail_msg("tableaus.json: %s", error.text);
    size_t n_solvers = 0;
    for (int i = VKDLM_SOLVER_EULER; i < VKDLM_SOLVER_COUNT; i++) {
        const ode_tableau *found = ode_tableau_of((vkdlm_solver)i);
        const json_t *want = json_object_get(root, vkdlm_solver_name((vkdlm_solver)i));
        assert_true((found != NULL) == (want != NULL));
        assert_true((found != NULL) == vkdlm_solver_is_adaptive((vkdlm_solver)i));
        if (!found)
            continue;
        n_solvers++;
        assert_int_equal(found->order, json_integer_value(json_object_get(want, "order")));
        assert_int_equal(found->n_stages, json_array_size(json_object_get(want, "alpha")));
        const json_t *beta = json_object_get(want, "beta");
        struct {
            const double *values;
            const json_t *row;
        } rows[4 + ODE_MAX_STAGES] = {{found->alpha, json_object_get(want, "alpha")},
                                      {found->sol, json_object_get(want, "c_sol")},
                                      {found->error, json_object_get(want, "c_error")},
                                      {found->mid, json_object_get(want, "mid")}};
        for (uint32_t k = 0; k < found->n_stages; k++) {
            rows[4 + k].values = found->beta[k];
            rows[4 + k].row = json_array_get(beta, k);
            assert_int_equal(json_array_size(rows[4 + k].row), k + 1);
        }
        for (uint32_t r = 0; r < 4 + found->n_stages; r++)
            for (size_t k = 0; k < json_array_size(rows[r].row); k++) {
                double value = json_number_value(json_array_get(rows[r].row, k));
                if (!(fabs(rows[r].values[k] - value) <= 1e-16))
                    fail_msg("%s, row %u, %zu: expected %.17g, found %.17g",
                             vkdlm_solver_name((vkdlm_solver)i), r, k, value, rows[r].values[k]);
            }
    }
    assert_int_equal(n_solvers, json_object_size(root));
    json_decref(root);
}

typedef struct counted {
    problem *p;
    int32_t n_calls;
} counted;

static void count_slope(void *user, double t, const double *y, double *slope)
{
    counted *c = user;
    c->n_calls++;
    c->p->slope(c->p, t, y, slope);
}

static void fixed_grids(void **state)
{
    (void)state;
    static const uint32_t points[] = {3, 9};
    double worst = 0;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        problem p = open_problem(&problems[i]);
        for (int s = VKDLM_SOLVER_EULER; s < VKDLM_SOLVER_COUNT; s++) {
            for (size_t k = 0; k < 2 && !vkdlm_solver_is_adaptive((vkdlm_solver)s); k++) {
                ode_fixed grid = {
                    .solver = (vkdlm_solver)s, .n_points = points[k], .t0 = p.span[0], .t1 = p.span[1]};
                char run[64];
                snprintf(run, sizeof run, "%s.points%u", vkdlm_solver_name(grid.solver), points[k]);
                size_t n = points[k] * p.n;
                double *want = expected(&p, run, "y", n), *found = malloc(n * sizeof *found);
                assert_non_null(found);
                memcpy(found, p.y0, p.n * sizeof *found);
                counted counter = {.p = &p};
                assert_int_equal(ode_fixed_run(&grid, count_slope, &counter, p.n, found, NULL), VKDLM_OK);
                assert_int_equal(counter.n_calls, expected_count(&p, run, "nfe"));
                assert_int_equal(counter.n_calls, ode_fixed_n_calls(&grid));
                worst = fmax(worst, check_values(&p, run, "y", found, want, n, 1e-12, 1));
                free(found);
                free(want);
            }
        }
        close_problem(&p);
    }
    print_message("largest deviation of a state: %g\n", worst);
}

typedef struct worst_of {
    double states, sizes;
} worst_of;

/* One recorded run; counts, steps and states. */
static void check_adaptive(problem *p, vkdlm_solver solver, double tolerance, double first_step,
                           const char *run, worst_of *worst)
{
    double *sensitivity = expected(p, run, "sensitivity", 1);
    char key[160];
    snprintf(key, sizeof key, "%s.accepted_t", run);
    size_t n_steps = golden_extent(p->file, key, 0), n_states = p->n_out * p->n;
    double *want_t = expected(p, run, "accepted_t", n_steps);
    double *want_dt = expected(p, run, "accepted_dt", n_steps);
    double *want_y = expected(p, run, "y", n_states);

    static double step_t[MAX_STEPS], step_dt[MAX_STEPS];
    double *states = calloc(n_states, sizeof *states), *slope = malloc(p->n * sizeof *slope);
    assert_non_null(states);
    assert_non_null(slope);
    ode_trace trace = {p->t_out, p->n_out, states, step_t, step_dt, MAX_STEPS};
    ode_adaptive_options options = {.solver = solver,
                                    .rtol = tolerance,
                                    .atol = tolerance,
                                    .t0 = p->span[0],
                                    .t1 = p->span[1],
                                    .first_step = first_step,
                                    .trace = &trace};
    ode_adaptive s;
    vkdlm_error err = {0};
    if (ode_adaptive_begin(&s, &options, p->y0, p->n, &err) != VKDLM_OK)
        fail_msg("%s %s: %s", p->name, run, err.message);
    /* Twice: the second run in the same memory must not notice the first. */
    for (int repeat = 0; repeat < 2; repeat++) {
        for (const ode_request *r; (r = ode_adaptive_next(&s));) {
            p->slope(p, r->time, r->state, slope);
            ode_adaptive_supply(&s, slope);
        }
        assert_int_equal(s.end, ODE_REACHED);
        assert_true(s.time == p->span[1]);
        assert_memory_equal(s.state, states + (p->n_out - 1) * p->n, p->n * sizeof *states);

        bool noisy = solver == VKDLM_SOLVER_DOPRI8, exact = !noisy || *sensitivity < 1e-4;
        /* Where the steps hang on rounding the states do too: y0 * (1 + 1e-15) moves those of the worst run,
         * whose sensitivity is 0.027, by up to 10 tolerances. */
        double noise = exact ? 1e-2 : fmax(1, 1000 * *sensitivity);
        double state_tolerance = noisy ? noise * tolerance : 1e-9;
        if (exact) {
            assert_int_equal(s.n_calls, expected_count(p, run, "nfe"));
            assert_int_equal(s.n_rejected, expected_count(p, run, "rejected"));
            assert_int_equal(s.n_accepted, n_steps);
            double within = noisy ? 1e-4 : 1e-9 + 1000 * *sensitivity;
            double a = check_values(p, run, "t", step_t, want_t, n_steps, within, 1e-3);
            double b = check_values(p, run, "dt", step_dt, want_dt, n_steps, within, 0);
            worst->sizes = fmax(worst->sizes, fmax(a, b));
        }
        double a = check_values(p, run, "y", states, want_y, n_states, state_tolerance, 1);
        worst->states = fmax(worst->states, a);
        if (repeat == 0) {
            memset(states, 0, n_states * sizeof *states);
            ode_adaptive_restart(&s, p->y0);
        }
    }
    ode_adaptive_deinit(&s);
    free(states);
    free(slope);
    free(want_t);
    free(want_dt);
    free(want_y);
    free(sensitivity);
}

static void adaptive(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } tolerances[] = {{"0.001", 1e-3}, {"1e-06", 1e-6}}, first[] = {{"auto", 0}, {"first0.05", 0.05}};
    for (int s = VKDLM_SOLVER_EULER; s < VKDLM_SOLVER_COUNT; s++) {
        if (!vkdlm_solver_is_adaptive((vkdlm_solver)s))
            continue;
        worst_of worst = {0};
        for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
            problem p = open_problem(&problems[i]);
            for (int k = 0; k < 4; k++) {
                char run[64];
                snprintf(run, sizeof run, "%s.tol%s.%s", vkdlm_solver_name((vkdlm_solver)s),
                         tolerances[k / 2].text, first[k % 2].text);
                check_adaptive(&p, (vkdlm_solver)s, tolerances[k / 2].value, first[k % 2].value, run, &worst);
            }
            close_problem(&p);
        }
        print_message("%s: largest deviation of a state %g, of a step %g\n",
                      vkdlm_solver_name((vkdlm_solver)s), worst.states, worst.sizes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coefficients),
        cmocka_unit_test(fixed_grids),
        cmocka_unit_test(adaptive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
