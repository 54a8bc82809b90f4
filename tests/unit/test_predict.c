/* Next-token predictions on a small causal model in double (ref/ref_causal.h): averages and standard errors,
 * windows, draws, budgets, independence of the batch, given noise, cancellation, failures, refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "ref/ref_causal.h"
#include "ref/ref_output.h"
#include "sample/predict.h"

enum { VOCAB = 9, CONTEXT = 16, DIM = 3, N_TOKENS = 53, WINDOW = 10 };

static const ref_causal_config small = {.vocab_size = VOCAB,
                                        .context = CONTEXT,
                                        .flow_dim = DIM,
                                        .n_classes = 2,
                                        .sharpness = 1.5,
                                        .auto_rows = 4,
                                        .seed = 8};

static vkdlm_model_info info_of(const ref_causal_config *config)
{
    vkdlm_model_info info = {.family = VKDLM_FAMILY_CAUSAL};
    if (config->flow_dim)
        info.flow = (vkdlm_flow_info){.present = true, .dim = config->flow_dim, .temperature = "1"};
    return info;
}

static int32_t text[N_TOKENS];

static int write_text(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_TOKENS; i++)
        text[i] = (int32_t)(rng_philox(1, i, 0, 0, 0).word[0] % VOCAB);
    return 0;
}

static vkdlm_status predict(const ref_causal_config *config, const vkdlm_predict_options *options,
                            vkdlm_predict_result *out, vkdlm_error *err)
{
    causal *network = ref_causal_create(config);
    vkdlm_model_info info = info_of(config);
    vkdlm_status status = predict_run(network, &info, text, N_TOKENS, options, out, err);
    ref_causal_destroy(network);
    return status;
}

static vkdlm_predict_result predict_well(const ref_causal_config *config, vkdlm_predict_options options)
{
    vkdlm_predict_result out;
    vkdlm_error err = {0};
    if (predict(config, &options, &out, &err) != VKDLM_OK)
        fail_msg("%s", err.message);
    return out;
}

static void check_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.9g, found %.9g", expected, found);
}

/* ---- against plain loops ------------------------------------------------------------------------------ */

typedef struct scores {
    double accuracy[N_TOKENS], expected[N_TOKENS], nats[N_TOKENS], entropy[N_TOKENS];
} scores;

static void score(const double *logits, int32_t target, double weight, uint32_t i, scores *s)
{
    bool keep[VOCAB];
    uint32_t order[VOCAB], best = 0;
    ref_distribution d = ref_output(logits, VOCAB, -1, 0, 1, keep, order);
    for (uint32_t v = 1; v < VOCAB; v++)
        best = logits[v] > logits[best] ? v : best;
    double log_prob = logits[target] - d.log_sum_exp;
    s->accuracy[i] += weight * (best == (uint32_t)target);
    s->expected[i] += weight * exp(log_prob);
    s->nats[i] -= weight * log_prob;
    s->entropy[i] += weight * d.entropy;
}

static void check_mean(const double *values, uint32_t n, double mean, double stderr_)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += values[i];
    for (uint32_t i = 0; i < n; i++)
        squares += (values[i] - sum / n) * (values[i] - sum / n);
    check_near(mean, sum / n, 1e-6);
    check_near(stderr_, sqrt(squares / (n - 1) / n), 1e-6);
}

static void check_quality(const scores *s, uint32_t n, const vkdlm_prediction_quality *q)
{
    check_mean(s->accuracy, n, q->accuracy, q->accuracy_stderr);
    check_mean(s->expected, n, q->expected_accuracy, q->expected_accuracy_stderr);
    check_mean(s->nats, n, q->nats, q->nats_stderr);
    double entropy = 0;
    for (uint32_t i = 0; i < n; i++)
        entropy += s->entropy[i];
    check_near(q->entropy, entropy / n, 1e-6);
}

/* What the first n predictions of windows of WINDOW tokens are by definition; refined by one interval of
 * Euler (x_1 = x_hat whatever x_0 is), x_hat drawn anew for each of `draws`. */
static uint32_t expected_scores(const causal *network, uint32_t n, uint32_t draws, uint64_t seed,
                                scores *base, scores *refined)
{
    memset(base, 0, sizeof *base);
    memset(refined, 0, sizeof *refined);
    uint32_t done = 0;
    for (uint32_t i = 1; i < N_TOKENS && done < n; i++) {
        if (i % WINDOW == 0)
            continue;
        double logits[VOCAB], flow[VOCAB];
        int32_t before = i % WINDOW > 1 ? text[i - 2] : -1;
        ref_causal_base(network, before, text[i - 1], logits);
        score(logits, text[i], 1, done, base);
        for (uint32_t k = 0; k < draws; k++) {
            uint32_t y = 0;
            double best = -INFINITY;
            for (uint32_t v = 0; v < VOCAB; v++) {
                double noisy = logits[v] + ref_gumbel(seed, v, i, 1, k);
                if (noisy > best) {
                    best = noisy;
                    y = v;
                }
            }
            ref_causal_flow(network, before, text[i - 1], ref_causal_vocabulary(network) + y * DIM, 1, -1,
                            flow);
            score(flow, text[i], 1.0 / draws, done, refined);
        }
        done++;
    }
    return done;
}

static void averages(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    static const uint32_t limits[] = {0, 1, 8, 9, 10, 30, 47, 1000};
    for (size_t c = 0; c < sizeof limits / sizeof *limits; c++) {
        scores base, refined;
        vkdlm_predict_options options = {.window = WINDOW,
                                         .max_tokens = limits[c],
                                         .draws = 3,
                                         .seed = 21,
                                         .flow = {.solver = VKDLM_SOLVER_EULER, .steps = 2}};
        uint32_t n = expected_scores(network, limits[c] ? limits[c] : N_TOKENS, 3, 21, &base, &refined);
        vkdlm_predict_result r = predict_well(&small, options);
        assert_int_equal(r.tokens, n);
        assert_int_equal(r.windows, (n + WINDOW - 2) / (WINDOW - 1));
        assert_int_equal(r.draws, 3);
        assert_true(r.has_refined);
        assert_int_equal(r.counts.main, n);
        assert_int_equal(r.counts.refined, 3 * n);
        assert_int_equal(r.counts.path, 3 * n);
        assert_int_equal(r.counts.velocity_calls, 3 * n);
        if (n == 1) {
            assert_true(isnan(r.base.nats_stderr) && isnan(r.stderr_windows));
            continue;
        }
        check_quality(&base, n, &r.base);
        check_quality(&refined, n, &r.refined);
    }
    ref_causal_destroy(network);
}

/* The standard error over windows is that of a ratio. */
static void window_errors(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    scores base, refined;
    uint32_t n = expected_scores(network, N_TOKENS, 0, 0, &base, &refined), windows = 6;
    vkdlm_predict_result r =
        predict_well(&small, (vkdlm_predict_options){.window = WINDOW, .flow.off = true});
    assert_false(r.has_refined);
    assert_int_equal(r.windows, windows);
    double squares = 0;
    for (uint32_t w = 0; w < windows; w++) {
        double residual = 0;
        for (uint32_t i = w * (WINDOW - 1); i < n && i < (w + 1) * (WINDOW - 1); i++)
            residual += base.nats[i] - r.base.nats;
        squares += residual * residual;
    }
    check_near(r.stderr_windows, sqrt(squares * windows / (windows - 1)) / n, 1e-6);
    r = predict_well(&small, (vkdlm_predict_options){.window = WINDOW, .max_tokens = 5});
    assert_true(isnan(r.stderr_windows));
    ref_causal_destroy(network);
}

/* ---- the same whatever runs together ----------------------------------------------------------------- */

static void check_same_quality(const vkdlm_prediction_quality *a, const vkdlm_prediction_quality *b)
{
    check_near(a->accuracy, b->accuracy, 1e-12);
    check_near(a->expected_accuracy, b->expected_accuracy, 1e-12);
    check_near(a->nats, b->nats, 1e-12);
    check_near(a->nats_stderr, b->nats_stderr, 1e-12);
    check_near(a->entropy, b->entropy, 1e-12);
}

static const vkdlm_flow_options flavours[] = {
    {.off = true},
    {.steps = 4},
    {.solver = VKDLM_SOLVER_HEUN3, .steps = 3, .estimate = VKDLM_ESTIMATE_AVERAGE, .end_time = 0.8},
    {.has_class = true, .has_guidance = true, .guidance = 2},
    {.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 1.5},
    {.budget = VKDLM_BUDGET_CONFIDENCE,
     .budget_threshold = 0.45,
     .solver = VKDLM_SOLVER_BOSH3,
     .end_time = 0.9,
     .estimate = VKDLM_ESTIMATE_AVERAGE},
};

static void batches(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 2, 3, 100}, rows[] = {1, 3, 7, 64};
    for (size_t f = 0; f < sizeof flavours / sizeof *flavours; f++) {
        vkdlm_predict_options options = {
            .draws = 3, .batch = 1, .seed = 4, .window = WINDOW, .flow = flavours[f]};
        vkdlm_predict_result first = predict_well(&small, options);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            ref_causal_config config = small;
            config.auto_rows = rows[i];
            options.batch = sizes[i];
            vkdlm_predict_result r = predict_well(&config, options);
            check_same_quality(&first.base, &r.base);
            if (first.has_refined)
                check_same_quality(&first.refined, &r.refined);
            assert_memory_equal(&first.counts, &r.counts, sizeof r.counts);
            assert_int_equal(first.windows, r.windows);
        }
    }
}

/* ---- budgets, noise ---------------------------------------------------------------------------------- */

static void budgets(void **state)
{
    (void)state;
    vkdlm_predict_options options = {.window = WINDOW, .draws = 2};
    vkdlm_predict_result all = predict_well(&small, options);
    options.flow = (vkdlm_flow_options){.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 30};
    vkdlm_predict_result none = predict_well(&small, options);
    assert_int_equal(none.counts.path + none.counts.refined, 0);
    check_same_quality(&none.base, &none.refined);
    options.flow = (vkdlm_flow_options){.budget = VKDLM_BUDGET_CONFIDENCE, .budget_threshold = 1};
    vkdlm_predict_result same = predict_well(&small, options);
    check_same_quality(&all.refined, &same.refined);
    options.flow = (vkdlm_flow_options){.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 1.5};
    vkdlm_predict_result some = predict_well(&small, options);
    check_same_quality(&all.base, &some.base);
    assert_true(some.counts.refined > 0 && some.counts.refined < all.counts.refined);
    assert_int_equal(some.counts.path * all.counts.refined, all.counts.path * some.counts.refined);
}

static void given_noise(void **state)
{
    (void)state;
    enum { DRAWS = 2, N = 47 };
    static float noise[N][DRAWS][DIM];
    vkdlm_predict_options options = {.window = WINDOW, .draws = DRAWS, .seed = 3, .flow.temperature = "0"};
    vkdlm_predict_result seeded = predict_well(&small, options);
    uint32_t prediction = 0;
    for (uint32_t i = 1; i < N_TOKENS; i++) {
        if (i % WINDOW == 0)
            continue;
        for (uint32_t k = 0; k < DRAWS; k++) {
            double x[DIM];
            rng_normals(3, i, rng_counter2(RNG_STATE, 0), k, x, DIM);
            for (uint32_t j = 0; j < DIM; j++)
                noise[prediction][k][j] = (float)(64 * x[j]);
        }
        prediction++;
    }
    assert_int_equal(prediction, N);
    options.flow.noise = &noise[0][0][0];
    options.flow.noise_rows = DRAWS;
    options.flow.noise_tokens = N;
    vkdlm_predict_result given = predict_well(&small, options);
    check_same_quality(&seeded.refined, &given.refined);
    noise[20][1][0] += 100;
    given = predict_well(&small, options);
    assert_true(given.refined.nats != seeded.refined.nats);
}

/* ---- cancellation, failures, refusals ----------------------------------------------------------------- */

typedef struct watcher {
    uint64_t last, stop;
} watcher;

static bool watch(void *user, uint64_t done, uint64_t total)
{
    watcher *w = user;
    assert_int_equal(total, 47);
    assert_true(done > w->last && done <= total);
    w->last = done;
    return done < w->stop;
}

static void cancellation(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    for (uint64_t stop = 1; stop <= 47; stop += 5) {
        watcher w = {.stop = stop};
        vkdlm_predict_options options = {.window = WINDOW,
                                         .progress = watch,
                                         .user = &w,
                                         .flow = {.solver = VKDLM_SOLVER_EULER, .steps = 2}};
        vkdlm_predict_result r;
        vkdlm_error err = {0};
        assert_int_equal(predict(&small, &options, &r, &err), VKDLM_CANCELLED);
        assert_int_equal(r.tokens, w.last);
        scores base, refined;
        expected_scores(network, (uint32_t)r.tokens, 1, 0, &base, &refined);
        check_quality(&base, (uint32_t)r.tokens, &r.base);
        check_quality(&refined, (uint32_t)r.tokens, &r.refined);
    }
    watcher w = {.stop = 100};
    predict_well(&small, (vkdlm_predict_options){.window = WINDOW, .progress = watch, .user = &w});
    assert_int_equal(w.last, 47);
    ref_causal_destroy(network);
}

static void failures(void **state)
{
    (void)state;
    vkdlm_model_info info = info_of(&small);
    for (uint32_t n = 1; n < 20; n += 3) {
        causal *network = ref_causal_create(&small);
        vkdlm_predict_result r;
        vkdlm_predict_options options = {.window = WINDOW};
        ref_causal_fail_at(network, n);
        assert_int_equal(predict_run(network, &info, text, N_TOKENS, &options, &r, NULL), VKDLM_DEVICE_LOST);
        ref_causal_fail_at(network, 0);
        ref_causal_spoil_at(network, 1);
        assert_int_equal(predict_run(network, &info, text, N_TOKENS, &options, &r, NULL), VKDLM_INTERNAL);
        assert_int_equal(r.tokens, 0);
        assert_true(isnan(r.base.nats));
        ref_causal_destroy(network);
    }
}

static void refuse(const ref_causal_config *config, const int32_t *ids, size_t n,
                   vkdlm_predict_options options, const char *expected)
{
    causal *network = ref_causal_create(config);
    vkdlm_model_info info = info_of(config);
    vkdlm_predict_result r;
    vkdlm_error err = {0};
    vkdlm_status status = predict_run(network, &info, ids, n, &options, &r, &err);
    if (status != VKDLM_INVALID_ARGUMENT || !strstr(err.message, expected))
        fail_msg("expected '%s', found status %d with '%s'", expected, (int)status, err.message);
    assert_int_equal(r.tokens, 0);
    assert_int_equal(ref_causal_get_log(network)->n_runs, 0);
    ref_causal_destroy(network);
}

static void refusals(void **state)
{
    (void)state;
    static const int32_t bad[] = {1, 2, VOCAB, 3};
    static const float noise[50 * DIM];
    ref_causal_config plain = small;
    plain.flow_dim = 0;
    plain.n_classes = 0;
    refuse(&small, bad, 1, (vkdlm_predict_options){0}, "expected 2 to");
    refuse(&small, NULL, 0, (vkdlm_predict_options){0}, "expected 2 to");
    refuse(&small, bad, 4, (vkdlm_predict_options){0}, "position 2: expected a token from 0 to 8, found 9");
    refuse(&small, text, N_TOKENS, (vkdlm_predict_options){.window = 1}, "--window: expected 2 to 16");
    refuse(&small, text, N_TOKENS, (vkdlm_predict_options){.window = 17}, "--window: expected 2 to 16");
    refuse(&small, text, N_TOKENS, (vkdlm_predict_options){.flow.steps = 1}, "--steps: expected 2");
    refuse(&plain, text, N_TOKENS, (vkdlm_predict_options){.draws = 2}, "--draws: expected a diffusion path");
    refuse(&plain, text, N_TOKENS, (vkdlm_predict_options){.flow.steps = 4},
           "--steps: expected a model with");
    vkdlm_predict_options options = {.window = WINDOW, .draws = 3};
    options.flow = (vkdlm_flow_options){.noise = noise, .noise_rows = 1, .noise_tokens = 46};
    refuse(&small, text, N_TOKENS, options, "--noise: expected x_0 of 47 tokens or more, found 46");
    options.flow.noise_rows = 2;
    options.flow.noise_tokens = 47;
    refuse(&small, text, N_TOKENS, options, "--noise: expected 1 row, or one for each of 3 samples, found 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages), cmocka_unit_test(window_errors), cmocka_unit_test(batches),
        cmocka_unit_test(budgets),  cmocka_unit_test(given_noise),   cmocka_unit_test(cancellation),
        cmocka_unit_test(failures), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, write_text, NULL);
}
