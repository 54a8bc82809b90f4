/* How integrations end that do not reach their end, what they cost, and bad input. tests/golden/test_ode.c
 * compares numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample/ode.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static bool out_of_memory;

void *__wrap_malloc(size_t size)
{
    return out_of_memory ? NULL : __real_malloc(size);
}

enum { N = 3, MANY_CALLS = 100000 };

static const double start[N] = {1, -2, 30};

static ode_adaptive_options make(vkdlm_solver solver)
{
    return (ode_adaptive_options){.solver = solver, .rtol = 1e-5, .atol = 1e-5, .t1 = 1};
}

/* Runs to the end; what f asks for must be finite and within a bounded number of calls. */
static void run(ode_adaptive *s, ode_function *f)
{
    double slope[N];
    uint64_t n_calls = 0;
    for (const ode_request *r; (r = ode_adaptive_next(s)); n_calls++) {
        assert_true(isfinite(r->time));
        for (int i = 0; i < N; i++)
            assert_true(isfinite(r->state[i]));
        assert_true(n_calls < MANY_CALLS);
        assert_ptr_equal(ode_adaptive_next(s), r);
        f(s, r->time, r->state, slope);
        ode_adaptive_supply(s, slope);
    }
    assert_int_equal(s->n_calls, n_calls);
    assert_true(s->end != ODE_RUNNING);
    for (int i = 0; i < N; i++)
        assert_true(isfinite(s->state[i]));
    /* Nobody listens any more. */
    ode_adaptive_supply(s, slope);
    assert_int_equal(s->n_calls, n_calls);
}

static ode_adaptive begin(const ode_adaptive_options *options)
{
    ode_adaptive s;
    vkdlm_error err = {0};
    if (ode_adaptive_begin(&s, options, start, N, &err) != VKDLM_OK)
        fail_msg("%s", err.message);
    return s;
}

static void decay(void *user, double t, const double *y, double *slope)
{
    (void)user;
    (void)t;
    for (int i = 0; i < N; i++)
        slope[i] = -y[i];
}

static void still(void *user, double t, const double *y, double *slope)
{
    (void)user;
    (void)t;
    (void)y;
    memset(slope, 0, N * sizeof *slope);
}

static void nan_always(void *user, double t, const double *y, double *slope)
{
    still(user, t, y, slope);
    slope[1] = NAN;
}

static void nan_later(void *user, double t, const double *y, double *slope)
{
    decay(user, t, y, slope);
    if (t > 0.3)
        slope[2] = NAN;
}

static void infinite_at_start(void *user, double t, const double *y, double *slope)
{
    decay(user, t, y, slope);
    if (t > 0)
        slope[0] = INFINITY;
}

/* Blows up at t = 1/30. */
static void square(void *user, double t, const double *y, double *slope)
{
    (void)user;
    (void)t;
    for (int i = 0; i < N; i++)
        slope[i] = y[i] * y[i];
}

/* Finite slopes with which every sum overflows. */
static void huge(void *user, double t, const double *y, double *slope)
{
    (void)user;
    (void)t;
    (void)y;
    for (int i = 0; i < N; i++)
        slope[i] = 1e308;
}

/* Differs from call to call: only the smallest steps are good, and 10^20 of them would be needed. */
static void restless(void *user, double t, const double *y, double *slope)
{
    const ode_adaptive *s = user;
    (void)t;
    (void)y;
    for (int i = 0; i < N; i++)
        slope[i] = s->n_calls % 2 ? 1e20 : -1e20;
}

typedef void each_function(vkdlm_solver solver);

static void for_each_solver(each_function *f)
{
    for (int s = VKDLM_SOLVER_EULER; s < VKDLM_SOLVER_COUNT; s++)
        if (vkdlm_solver_is_adaptive((vkdlm_solver)s))
            f((vkdlm_solver)s);
}

static void check_end(vkdlm_solver solver, ode_function *f, double first_step, ode_end expected)
{
    ode_adaptive_options options = make(solver);
    options.first_step = first_step;
    ode_adaptive s = begin(&options);
    run(&s, f);
    if (s.end != expected)
        fail_msg("%s: expected end %d, found %d after %llu calls", vkdlm_solver_name(solver), (int)expected,
                 (int)s.end, (unsigned long long)s.n_calls);
    /* The same again. */
    uint64_t n_calls = s.n_calls, n_accepted = s.n_accepted, n_rejected = s.n_rejected;
    double state[N], time = s.time;
    memcpy(state, s.state, sizeof state);
    ode_adaptive_restart(&s, start);
    run(&s, f);
    assert_int_equal(s.n_calls, n_calls);
    assert_int_equal(s.n_accepted, n_accepted);
    assert_int_equal(s.n_rejected, n_rejected);
    assert_true(s.end == expected && s.time == time);
    assert_memory_equal(s.state, state, sizeof state);
    ode_adaptive_deinit(&s);
}

static void ends(vkdlm_solver solver)
{
    check_end(solver, decay, 0, ODE_REACHED);
    check_end(solver, still, 0, ODE_REACHED);
    check_end(solver, decay, 1e300, ODE_NOT_FINITE);
    check_end(solver, decay, 1e10, ODE_REACHED);
    check_end(solver, nan_always, 0, ODE_NOT_FINITE);
    check_end(solver, nan_later, 0, ODE_TOO_SMALL);
    check_end(solver, infinite_at_start, 0.05, ODE_NOT_FINITE);
    check_end(solver, infinite_at_start, 0, ODE_NOT_FINITE);
    check_end(solver, square, 0, ODE_TOO_SMALL);
    check_end(solver, huge, 0, ODE_NOT_FINITE);
}

static void test_ends(void **state)
{
    (void)state;
    for_each_solver(ends);
}

/* What the state belongs to when a solver gives up. */
static void gives_up(vkdlm_solver solver)
{
    ode_adaptive_options options = make(solver);
    ode_adaptive s = begin(&options);
    run(&s, nan_later);
    assert_true(s.time > 0 && s.time <= 0.3);
    for (int i = 0; i < N; i++)
        assert_true(fabs(s.state[i] - start[i] * exp(-s.time)) < 1e-2 * fabs(start[i]));
    ode_adaptive_restart(&s, (double[N]){1, NAN, 3});
    assert_null(ode_adaptive_next(&s));
    assert_int_equal(s.end, ODE_NOT_FINITE);
    ode_adaptive_deinit(&s);
}

static void test_gives_up(void **state)
{
    (void)state;
    for_each_solver(gives_up);
}

/* Every limit is kept, and every call below it is part of a whole trial. */
static void limit(vkdlm_solver solver)
{
    ode_adaptive_options options = make(solver);
    ode_adaptive s = begin(&options);
    run(&s, decay);
    uint64_t needed = s.n_calls;
    uint32_t n_stages = ode_tableau_of(solver)->n_stages;
    ode_adaptive_deinit(&s);
    for (uint64_t max = 1; max <= needed + 1; max++) {
        options.max_evaluations = max;
        s = begin(&options);
        run(&s, decay);
        assert_true(s.n_calls <= max);
        assert_int_equal(s.end, max < needed ? ODE_LIMIT : ODE_REACHED);
        if (max < needed) {
            assert_true(max - s.n_calls < n_stages);
            assert_true(s.time < 1 && (s.time > 0) == (s.n_accepted > 0));
        }
        if (s.n_accepted == 0)
            assert_memory_equal(s.state, start, sizeof start);
        ode_adaptive_deinit(&s);
    }
    options.max_evaluations = 500;
    s = begin(&options);
    run(&s, restless);
    assert_true(s.end == ODE_LIMIT || s.end == ODE_REACHED);
    ode_adaptive_deinit(&s);
    /* What a trial costs, and the start: one call, and one for the first step. */
    assert_int_equal((needed - 2) % n_stages, 0);
}

static void test_limit(void **state)
{
    (void)state;
    for_each_solver(limit);
}

/* The last state may be the next start. */
static void test_restart_from_result(void **state)
{
    (void)state;
    ode_adaptive_options options = make(VKDLM_SOLVER_DOPRI5);
    ode_adaptive s = begin(&options);
    run(&s, decay);
    ode_adaptive_restart(&s, s.state);
    run(&s, decay);
    for (int i = 0; i < N; i++)
        assert_true(fabs(s.state[i] - start[i] * exp(-2)) < 1e-3);
    ode_adaptive_deinit(&s);
    ode_adaptive_deinit(&s);
}

static void test_bad_options(void **state)
{
    (void)state;
    ode_adaptive_options rows[10];
    size_t n = sizeof rows / sizeof *rows, k = 0;
    for (size_t i = 0; i < n; i++)
        rows[i] = make(VKDLM_SOLVER_BOSH3);
    rows[k++].solver = VKDLM_SOLVER_RK4;
    rows[k++].solver = VKDLM_SOLVER_COUNT;
    rows[k++].rtol = -1;
    rows[k++].rtol = NAN;
    rows[k++].atol = 0;
    rows[k++].atol = INFINITY;
    rows[k++].t1 = 0;
    rows[k++].t1 = NAN;
    rows[k++].t0 = -INFINITY;
    rows[k++].first_step = NAN;
    assert_int_equal(k, n);
    for (size_t i = 0; i <= n; i++) {
        ode_adaptive s;
        vkdlm_error err = {0};
        ode_adaptive_options good = make(VKDLM_SOLVER_BOSH3);
        assert_int_equal(ode_adaptive_begin(&s, i < n ? &rows[i] : &good, start, i < n ? N : 0, &err),
                         VKDLM_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "expected"));
        ode_adaptive_deinit(&s);
    }
}

static void test_memory(void **state)
{
    (void)state;
    ode_adaptive_options options = make(VKDLM_SOLVER_BOSH3);
    ode_adaptive s;
    vkdlm_error err = {0};
    ode_fixed grid = {.solver = VKDLM_SOLVER_RK4, .n_points = 2, .t1 = 1};
    double states[2 * N];
    memcpy(states, start, sizeof start);
    assert_int_equal(ode_adaptive_begin(&s, &options, start, SIZE_MAX / 8, &err), VKDLM_OUT_OF_HOST_MEMORY);
    out_of_memory = true;
    vkdlm_status adaptive = ode_adaptive_begin(&s, &options, start, N, &err);
    vkdlm_status fixed = ode_fixed_run(&grid, decay, NULL, N, states, &err);
    out_of_memory = false;
    assert_int_equal(adaptive, VKDLM_OUT_OF_HOST_MEMORY);
    assert_int_equal(fixed, VKDLM_OUT_OF_HOST_MEMORY);
    ode_adaptive_deinit(&s);
}

/* A grid in single precision ends exactly where it should, and the times between are in order. */
static void test_single_times(void **state)
{
    (void)state;
    for (int solver = VKDLM_SOLVER_EULER; solver <= VKDLM_SOLVER_RK4; solver++) {
        for (uint32_t n_points = 2; n_points < 400; n_points++) {
            ode_fixed grid = {
                .solver = (vkdlm_solver)solver, .n_points = n_points, .t1 = 1, .single_times = true};
            double before = 0, sum = 0;
            assert_true(ode_fixed_time(&grid, 0) == 0 && ode_fixed_time(&grid, n_points - 1) == 1);
            for (uint64_t i = 0; i < ode_fixed_n_calls(&grid); i++) {
                ode_fixed_call call = ode_fixed_call_at(&grid, i);
                assert_true(call.time >= before && call.time <= 1);
                assert_true(call.time == (double)(float)call.time);
                before = call.time;
                for (uint32_t j = 0; j < ODE_MAX_SLOPES && call.advance; j++)
                    sum += call.step[j];
                for (uint32_t j = call.slope + 1; j < ODE_MAX_SLOPES; j++)
                    assert_true(call.step[j] == 0);
            }
            assert_true(fabs(sum - 1) < 1e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),         cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_limit),        cmocka_unit_test(test_restart_from_result),
        cmocka_unit_test(test_bad_options),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_single_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
