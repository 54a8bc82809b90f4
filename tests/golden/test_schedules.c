/* Noise schedules: against the authors' values, against long double where double would cancel, and bad
 * parameters. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "sample/schedule.h"

enum { N_TIMES = 33 };

static schedule make(vkdlm_schedule kind)
{
    schedule s;
    assert_int_equal(schedule_init(&s, &(vkdlm_noise){.schedule = kind}, NULL), VKDLM_OK);
    return s;
}

/* 1e-12, relative above 1 and absolute below. */
static void check(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * fmax(fabs(expected), 1)))
        fail_msg("%s: expected %.17g, found %.17g", what, expected, found);
}

static void authors_values(void **state)
{
    (void)state;
    vkdlm_tensors *file = golden_open(GOLDEN_MDLM("schedules.safetensors"));
    for (int kind = 0; kind < VKDLM_SCHEDULE_COUNT; kind++) {
        schedule s = make((vkdlm_schedule)kind);
        const char *name = vkdlm_schedule_name((vkdlm_schedule)kind);
        char key[64];
        double *columns[3];
        const char *const suffixes[] = {"t", "sigma", "dsigma"};
        for (int i = 0; i < 3; i++) {
            snprintf(key, sizeof key, "%s.%s", name, suffixes[i]);
            columns[i] = golden_doubles(file, key, N_TIMES);
        }
        for (int i = 0; i < N_TIMES; i++) {
            double t = columns[0][i], sigma = columns[1][i];
            check(name, schedule_sigma(&s, t), sigma);
            check(name, schedule_dsigma(&s, t), columns[2][i]);
            check(name, schedule_alpha(&s, t), exp(-sigma));
            check(name, schedule_move_chance(&s, t), -expm1(-sigma));
            if (i > 0) /* infinite at t = 0 where mc is 0 */
                check(name, schedule_weight(&s, t), columns[2][i] / expm1(sigma));
        }
        for (int i = 0; i < 3; i++)
            free(columns[i]);
    }
    vkdlm_tensors_close(file);
}

/* mc(t) in long double, straight from the definitions of sigma. */
static long double move_chance_reference(vkdlm_schedule kind, long double t)
{
    const long double pi = 3.14159265358979323846264338327950288L;
    const long double eps = 1e-3; /* the double, as the schedule holds it */
    switch (kind) {
    case VKDLM_SCHEDULE_LOGLINEAR:
        return (1 - eps) * t;
    case VKDLM_SCHEDULE_COSINE:
        return (1 - eps) * (1 - cosl(pi * t / 2));
    case VKDLM_SCHEDULE_COSINESQR:
        return (1 - eps) * (1 - cosl(pi * t / 2) * cosl(pi * t / 2));
    case VKDLM_SCHEDULE_LINEAR:
        return -expm1l(-10 * t);
    default:
        return -expm1l(-powl((long double)1e-3, 1 - t));
    }
}

/* The chance to unmask in one of a thousand steps keeps its relative precision, at the very end too. */
static void steps_do_not_cancel(void **state)
{
    (void)state;
    const int n_steps = 1000;
    for (int kind = 0; kind < VKDLM_SCHEDULE_COUNT; kind++) {
        schedule s = make((vkdlm_schedule)kind);
        for (int i = 0; i < n_steps; i++) {
            double from = 1 + i * (1e-5 - 1) / n_steps, to = 1 + (i + 1) * (1e-5 - 1) / n_steps;
            long double mc_from = move_chance_reference((vkdlm_schedule)kind, (long double)from);
            long double mc_to = move_chance_reference((vkdlm_schedule)kind, (long double)to);
            double expected = (double)((mc_from - mc_to) / mc_from);
            double found = schedule_unmask(&s, from, to);
            if (!(fabs(found - expected) <= 1e-11 * expected))
                fail_msg("%s, step %d: expected %.17g, found %.17g",
                         vkdlm_schedule_name((vkdlm_schedule)kind), i, expected, found);
            check("stay + unmask", schedule_stay(&s, from, to) + found, 1);
        }
        assert_true(schedule_unmask(&s, 0.25, 0.25) == 0);
    }
    schedule s = make(VKDLM_SCHEDULE_LOGLINEAR);
    assert_true(schedule_unmask(&s, 1.0 / 3, 0) == 1);
    assert_true(schedule_weight(&s, 1e-3) == 1 / 1e-3);
}

static void time_of_move_chance(void **state)
{
    (void)state;
    for (int kind = 0; kind < VKDLM_SCHEDULE_COUNT; kind++) {
        schedule s = make((vkdlm_schedule)kind);
        const double times[] = {1e-4, 0.01, 0.3, 0.7, 0.999};
        for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
            double t = schedule_time(&s, schedule_move_chance(&s, times[i]));
            double tolerance = kind == VKDLM_SCHEDULE_LINEAR ? 1e-10 : 1e-11; /* mc(0.999) = 1 - 4.6e-5 */
            assert_true(fabs(t - times[i]) <= tolerance);
        }
        assert_true(schedule_time(&s, 0) == 0);
        assert_true(schedule_time(&s, 1) == 1);
    }
}

static void given_parameters(void **state)
{
    (void)state;
    schedule s;
    vkdlm_noise noise = {.schedule = VKDLM_SCHEDULE_LINEAR, .sigma_min = 1e-3, .sigma_max = 7};
    assert_int_equal(schedule_init(&s, &noise, NULL), VKDLM_OK);
    check("linear", schedule_sigma(&s, 0.5), (1e-3 + 7) / 2);
    noise = (vkdlm_noise){.schedule = VKDLM_SCHEDULE_COSINE, .eps = 0.1};
    assert_int_equal(schedule_init(&s, &noise, NULL), VKDLM_OK);
    check("cosine", schedule_alpha(&s, 1), 0.1);
    /* each parameter that is not given takes its own default */
    noise = (vkdlm_noise){.schedule = VKDLM_SCHEDULE_GEOMETRIC, .sigma_max = 5};
    assert_int_equal(schedule_init(&s, &noise, NULL), VKDLM_OK);
    check("geometric", schedule_sigma(&s, 0), 1e-3);
    check("geometric", schedule_sigma(&s, 1), 5);
}

static void bad_parameters(void **state)
{
    (void)state;
    static const struct {
        vkdlm_noise noise;
        const char *words[3];
    } cases[] = {
        {{.schedule = VKDLM_SCHEDULE_LOGLINEAR, .eps = 1}, {"--schedule-eps", "between 0 and 1", "found 1"}},
        {{.schedule = VKDLM_SCHEDULE_LOGLINEAR, .eps = NAN}, {"--schedule-eps", "nan", ""}},
        {{.schedule = VKDLM_SCHEDULE_COSINE, .eps = -0.5}, {"--schedule-eps", "found -0.5", ""}},
        {{.schedule = VKDLM_SCHEDULE_COSINE, .sigma_max = 3}, {"--sigma-max", "cosine", "--schedule-eps"}},
        {{.schedule = VKDLM_SCHEDULE_COSINESQR, .sigma_min = 3},
         {"--sigma-min", "cosinesqr", "--schedule-eps"}},
        {{.schedule = VKDLM_SCHEDULE_LINEAR, .eps = 0.1}, {"--schedule-eps", "linear", "--sigma-min"}},
        {{.schedule = VKDLM_SCHEDULE_LINEAR, .sigma_min = 11}, {"--sigma-max", "above", "found 10"}},
        {{.schedule = VKDLM_SCHEDULE_LINEAR, .sigma_min = -1}, {"--sigma-min", "at least 0", "found -1"}},
        {{.schedule = VKDLM_SCHEDULE_GEOMETRIC, .sigma_max = INFINITY},
         {"--sigma-max", "at most 700", "inf"}},
        {{.schedule = VKDLM_SCHEDULE_GEOMETRIC, .sigma_min = NAN}, {"--sigma-min", "nan", ""}},
        {{.schedule = VKDLM_SCHEDULE_COUNT}, {"--schedule", "loglinear", "number 5"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        schedule s;
        vkdlm_error err = {0};
        assert_int_equal(schedule_init(&s, &cases[i].noise, &err), VKDLM_INVALID_ARGUMENT);
        for (int j = 0; j < 3; j++)
            if (!strstr(err.message, cases[i].words[j]))
                fail_msg("case %zu: expected '%s' in '%s'", i, cases[i].words[j], err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authors_values),      cmocka_unit_test(steps_do_not_cancel),
        cmocka_unit_test(time_of_move_chance), cmocka_unit_test(given_parameters),
        cmocka_unit_test(bad_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
