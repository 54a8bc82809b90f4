/* Likelihood bounds: the authors' losses, the exact bound of short sequences, honest standard errors,
 * windows, cancellation, refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "ref/ref_denoiser.h"
#include "sample/likelihood.h"

typedef struct fixture {
    ref_mdlm *net;
    denoiser *network;
} fixture;

static fixture open_model(const char *dir)
{
    fixture f = {.net = ref_mdlm_open(dir)};
    assert_non_null(f.net);
    f.network = ref_denoiser_create(f.net, 512);
    return f;
}

static void close_model(fixture *f)
{
    ref_denoiser_destroy(f->network);
    ref_mdlm_close(f->net);
}

/* ---- the authors' losses ----------------------------------------------------------------------------- */

static const char *key_of(char *key, size_t size, const char *prefix, const char *what)
{
    snprintf(key, size, "%s.%s", prefix, what);
    return key;
}

static void check_losses(const fixture *f, const vkdlm_tensors *file, const char *prefix, vkdlm_schedule kind,
                         vkdlm_bound bound)
{
    char key[64];
    schedule noise;
    assert_int_equal(schedule_init(&noise, &(vkdlm_noise){.schedule = kind}, NULL), VKDLM_OK);
    size_t n_sequences = golden_extent(file, key_of(key, sizeof key, prefix, "x0"), 0);
    size_t n = golden_extent(file, key, 1);
    int32_t *x0 = golden_ints(file, key_of(key, sizeof key, prefix, "x0"), n_sequences * n);
    int32_t *xt = golden_ints(file, key_of(key, sizeof key, prefix, "xt"), n_sequences * n);
    double *t = golden_doubles(file, key_of(key, sizeof key, prefix, "t"), n_sequences);
    double *sigma = golden_doubles(file, key_of(key, sizeof key, prefix, "sigma"), n_sequences);
    double *expected = golden_doubles(file, key_of(key, sizeof key, prefix, "loss"), n_sequences * n);
    double *loss = malloc(n_sequences * n * sizeof *loss);
    assert_non_null(loss);
    for (size_t i = 0; i < n_sequences; i++) {
        assert_true(fabs(schedule_sigma(&noise, t[i]) - sigma[i]) <= 1e-12);
        assert_int_equal(likelihood_loss(f->network, &noise, bound, x0 + i * n, xt + i * n, (uint32_t)n, t[i],
                                         loss + i * n, NULL),
                         VKDLM_OK);
        /* a loss goes through one float */
        golden_check_close(prefix, loss + i * n, expected + i * n, n, 1e-6, false);
    }
    if (bound == VKDLM_BOUND_DISCRETE) {
        double *drawn = golden_doubles(file, key_of(key, sizeof key, prefix, "t_drawn"), n_sequences);
        int32_t *n_steps = golden_ints(file, key_of(key, sizeof key, prefix, "T"), 1);
        for (size_t i = 0; i < n_sequences; i++)
            assert_true(likelihood_discrete_time(drawn[i], (uint32_t)*n_steps) == t[i]);
        free(n_steps);
        free(drawn);
    }
    free(loss);
    free(expected);
    free(sigma);
    free(t);
    free(xt);
    free(x0);
}

static void authors_losses(void **state)
{
    (void)state;
    const char *const dirs[] = {GOLDEN_MDLM("tc"), GOLDEN_MDLM("notc")};
    for (int i = 0; i < 2; i++) {
        char path[512];
        fixture f = open_model(dirs[i]);
        snprintf(path, sizeof path, "%s/expected.safetensors", dirs[i]);
        vkdlm_tensors *file = golden_open(path);
        check_losses(&f, file, "nll.cont.loglinear", VKDLM_SCHEDULE_LOGLINEAR, VKDLM_BOUND_CONTINUOUS);
        check_losses(&f, file, "nll.cont.cosine", VKDLM_SCHEDULE_COSINE, VKDLM_BOUND_CONTINUOUS);
        check_losses(&f, file, "nll.disc.loglinear", VKDLM_SCHEDULE_LOGLINEAR, VKDLM_BOUND_DISCRETE);
        vkdlm_tensors_close(file);
        close_model(&f);
    }
}

static void discrete_times(void **state)
{
    (void)state;
    schedule noise;
    assert_int_equal(schedule_init(&noise, &(vkdlm_noise){0}, NULL), VKDLM_OK);
    assert_true(likelihood_discrete_time(0, 16) == 1.0 / 16);
    assert_true(likelihood_discrete_time(0.0625, 16) == 2.0 / 16);
    assert_true(likelihood_discrete_time(0.999, 16) == 1);
    assert_true(likelihood_discrete_time(1, 16) == 1);
    /* finite at the first time, where the authors' code divides 0 by 0, and clamped at the last */
    assert_true(likelihood_weight(&noise, VKDLM_BOUND_DISCRETE, 1.0 / 16) == 16);
    assert_true(likelihood_weight(&noise, VKDLM_BOUND_DISCRETE, 1) == 1 / (1 - 1e-4));
}

/* ---- the exact bound --------------------------------------------------------------------------------- */

/* Expected loss at time t: every way of masking x0. */
static double expected_loss(const fixture *f, const schedule *noise, vkdlm_bound bound, const int32_t *x0,
                            double t)
{
    double mc = schedule_move_chance(noise, t), total = 0;
    for (uint32_t mask = 1; mask < 8; mask++) {
        int32_t xt[3];
        double loss[3], probability = 1;
        for (uint32_t l = 0; l < 3; l++) {
            bool masked = mask >> l & 1;
            xt[l] = masked ? f->network->mask_id : x0[l];
            probability *= masked ? mc : 1 - mc;
        }
        assert_int_equal(likelihood_loss(f->network, noise, bound, x0, xt, 3, t, loss, NULL), VKDLM_OK);
        total += probability * (loss[0] + loss[1] + loss[2]);
    }
    return total;
}

static double exact_bound(const fixture *f, const vkdlm_score_options *options, const int32_t *x0)
{
    /* Enough for 1e-4 by the midpoint rule: the integrand is smooth; discrete times are whole strata of it.
     */
    const int n = 4096;
    schedule noise;
    double sum = 0;
    assert_int_equal(schedule_init(&noise, &options->noise, NULL), VKDLM_OK);
    for (int i = 0; i < n; i++) {
        double t = 1e-3 + (1 - 1e-3) * (i + 0.5) / n;
        if (options->bound == VKDLM_BOUND_DISCRETE)
            t = likelihood_discrete_time(t, options->steps);
        sum += expected_loss(f, &noise, options->bound, x0, t) / n;
    }
    return sum / 3;
}

static void bounds_of_short_sequences(void **state)
{
    (void)state;
    static const vkdlm_score_options cases[] = {
        {.noise.schedule = VKDLM_SCHEDULE_LOGLINEAR},
        {.noise.schedule = VKDLM_SCHEDULE_COSINE},
        {.noise.schedule = VKDLM_SCHEDULE_LINEAR, .noise.sigma_max = 4},
        {.bound = VKDLM_BOUND_DISCRETE, .steps = 4},
        {.bound = VKDLM_BOUND_DISCRETE, .steps = 16, .noise.schedule = VKDLM_SCHEDULE_COSINE},
    };
    const int32_t x0[] = {2, 0, 3};
    const char *const dirs[] = {GOLDEN_MDLM("tiny"), GOLDEN_MDLM("tiny-tc")};
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            if (d == 1 && cases[i].noise.schedule != VKDLM_SCHEDULE_COSINE)
                continue;
            fixture f = open_model(dirs[d]);
            vkdlm_score_options options = cases[i];
            vkdlm_score_result result;
            options.draws = d ? 10000 : 100000;
            options.seed = 17;
            double exact = exact_bound(&f, &options, x0);
            assert_int_equal(likelihood_run(f.network, x0, 3, &options, &result, NULL), VKDLM_OK);
            print_message("bound %.5f +- %.5f, exact %.5f\n", result.nats_per_token, result.stderr_draws,
                          exact);
            assert_true(result.stderr_draws < 0.02);
            /* false alarm in one of 16,000 seeds; the midpoint rule adds its own error */
            assert_true(fabs(result.nats_per_token - exact) <= 4 * result.stderr_draws + 2e-4);
            assert_true(isnan(result.stderr_windows));
            assert_int_equal(result.windows, 1);
            assert_int_equal(result.tokens, 3);
            close_model(&f);
        }
}

/* Over many seeds the results scatter as the standard error says: never more, and less by some tenths at most
 * because neighbouring strata differ. */
static void standard_errors_are_honest(void **state)
{
    (void)state;
    enum { N_SEEDS = 2000 };
    const int32_t ids[] = {2, 0, 3, 1, 1, 0, 3, 2};
    const uint32_t draws[] = {2, 3, 16};
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    for (size_t i = 0; i < sizeof draws / sizeof *draws; i++) {
        double sum = 0, squares = 0, reported = 0;
        for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
            vkdlm_score_options options = {.draws = draws[i], .seed = seed};
            vkdlm_score_result r;
            assert_int_equal(likelihood_run(f.network, ids, 8, &options, &r, NULL), VKDLM_OK);
            assert_int_equal(r.windows, 3);
            sum += r.nats_per_token;
            squares += r.nats_per_token * r.nats_per_token;
            reported += r.stderr_draws * r.stderr_draws / N_SEEDS;
        }
        double scatter = squares / N_SEEDS - sum / N_SEEDS * (sum / N_SEEDS);
        print_message("%2u draws: variance %.4g, reported %.4g\n", draws[i], scatter, reported);
        /* 2000 seeds know a variance to a few per cent */
        assert_true(reported > 0.85 * scatter);
        assert_true(reported < 1.5 * scatter);
    }
    close_model(&f);
}

/* ---- windows, batches, cancellation ------------------------------------------------------------------ */

static void results_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tc"));
    int32_t ids[100];
    for (int i = 0; i < 100; i++)
        ids[i] = i * 37 % 210;
    const uint32_t batches[] = {1, 5, 0};
    vkdlm_score_result first = {0};
    for (int i = 0; i < 3; i++) {
        vkdlm_score_options options = {.draws = 3, .window = 30, .batch = batches[i], .seed = 9};
        vkdlm_score_result r;
        assert_int_equal(likelihood_run(f.network, ids, 100, &options, &r, NULL), VKDLM_OK);
        assert_int_equal(r.windows, 4);
        assert_int_equal(r.tokens, 100);
        assert_int_equal(r.draws, 3);
        assert_true(r.evaluations <= 12 && r.evaluations > 6);
        assert_true(r.stderr_draws > 0 && r.stderr_windows > 0);
        if (i)
            assert_true(r.nats_per_token == first.nats_per_token && r.stderr_draws == first.stderr_draws);
        first = r;
    }
    vkdlm_score_options single = {.draws = 1};
    assert_int_equal(likelihood_run(f.network, ids, 100, &single, &first, NULL), VKDLM_OK);
    assert_int_equal(first.windows, 3); /* of the model's length, 37 */
    assert_true(isnan(first.stderr_draws) && first.stderr_windows > 0);
    close_model(&f);
}

typedef struct progress_log {
    uint64_t done, total, calls, stop;
} progress_log;

static bool log_progress(void *user, uint64_t done, uint64_t total)
{
    progress_log *log = user;
    assert_true(done > log->done && done <= total);
    log->done = done;
    log->total = total;
    return ++log->calls != log->stop;
}

static void cancelled_scores_cover_whole_windows(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    int32_t ids[30];
    for (int i = 0; i < 30; i++)
        ids[i] = i % 4;
    for (uint64_t stop = 0; stop <= 6; stop += 3) {
        progress_log log = {.stop = stop};
        vkdlm_score_options options = {.draws = 4, .batch = 3, .progress = log_progress, .user = &log};
        vkdlm_score_result r;
        vkdlm_error err = {0};
        vkdlm_status status = likelihood_run(f.network, ids, 30, &options, &r, &err);
        assert_int_equal(log.total, 40);
        assert_int_equal(status, stop ? VKDLM_CANCELLED : VKDLM_OK);
        assert_int_equal(log.done, stop ? 3 * stop : 40);
        assert_int_equal(r.windows, stop ? 3 * stop / 4 : 10);
        assert_int_equal(r.tokens, r.windows * 3);
        assert_true(r.nats_per_token > 0);
    }
    progress_log log = {.stop = 1};
    vkdlm_score_options options = {.draws = 4, .batch = 3, .progress = log_progress, .user = &log};
    vkdlm_score_result r;
    assert_int_equal(likelihood_run(f.network, ids, 30, &options, &r, NULL), VKDLM_CANCELLED);
    assert_true(r.windows == 0 && r.tokens == 0 && isnan(r.nats_per_token));
    close_model(&f);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    const int32_t good[] = {0, 1, 2, 3}, masked[] = {0, 1, 2, 4}, high[] = {0, 5, 2, 4},
                  low[] = {-7, 5, 2, 4};
    const struct {
        const int32_t *ids;
        size_t n;
        vkdlm_score_options options;
        const char *words[3];
    } cases[] = {
        {good, 0, {0}, {"text to score", "at least one token", ""}},
        {masked, 4, {0}, {"position 3", "other than the mask 4", "found 4"}},
        {high, 4, {0}, {"position 1", "from 0 to 4", "found 5"}},
        {low, 4, {0}, {"position 0", "from 0 to 4", "found -7"}},
        {good, 4, {.window = 4}, {"--window", "length 3", "found 4"}},
        {good, 4, {.batch = 513}, {"--batch", "at most 512 windows of 3", "found 513"}},
        {good, 4, {.draws = UINT32_MAX}, {"--draws", "at most", "4294967295"}},
        {good, 4, {.steps = 4}, {"--steps", "--bound continuous", ""}},
        {good, 4, {.bound = (vkdlm_bound)7}, {"--bound", "continuous or discrete", "number 7"}},
        {good, 4, {.noise.eps = -1}, {"--schedule-eps", "found -1", ""}},
    };
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_error err = {0};
        vkdlm_score_result r;
        if (likelihood_run(f.network, cases[i].ids, cases[i].n, &cases[i].options, &r, &err) !=
            VKDLM_INVALID_ARGUMENT)
            fail_msg("case %zu is accepted", i);
        for (int j = 0; j < 3; j++)
            if (!strstr(err.message, cases[i].words[j]))
                fail_msg("case %zu: expected '%s' in '%s'", i, cases[i].words[j], err.message);
    }
    close_model(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authors_losses),
        cmocka_unit_test(discrete_times),
        cmocka_unit_test(bounds_of_short_sequences),
        cmocka_unit_test(standard_errors_are_honest),
        cmocka_unit_test(results_do_not_depend_on_the_batch),
        cmocka_unit_test(cancelled_scores_cover_whole_windows),
        cmocka_unit_test(bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
