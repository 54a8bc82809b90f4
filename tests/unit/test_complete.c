/* The loop of completions on a small causal model in double (ref/ref_causal.h, which also checks that the
 * rules of model/causal.h are kept): independence of the batch, order and content of callbacks, against plain
 * loops, cancellation, failures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "complete_util.h"
#include "ref/ref_output.h"

static const vkdlm_flow_options flavours[] = {
    {.off = true},
    {0},
    {.solver = VKDLM_SOLVER_EULER, .steps = 6, .estimate = VKDLM_ESTIMATE_AVERAGE},
    {.solver = VKDLM_SOLVER_RK4, .steps = 3, .temperature = "polynomial_1_1"},
    {.solver = VKDLM_SOLVER_HEUN2, .steps = 4, .velocity = VKDLM_VELOCITY_EDM, .end_time = 0.75},
    {.has_class = true, .class_id = 1, .has_guidance = true, .guidance = 1.5},
    {.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 1.6},
    {.budget = VKDLM_BUDGET_CONFIDENCE, .budget_threshold = 0.4, .temperature = "0"},
    {.solver = VKDLM_SOLVER_BOSH3, .estimate = VKDLM_ESTIMATE_AVERAGE, .end_time = 0.9},
    {.solver = VKDLM_SOLVER_FEHLBERG2,
     .max_evaluations = 12,
     .budget = VKDLM_BUDGET_ENTROPY,
     .budget_threshold = 1.6,
     .has_class = true,
     .has_guidance = true,
     .guidance = -0.5},
};
enum { N_FLAVOURS = sizeof flavours / sizeof *flavours };

/* ---- independence of the batch ----------------------------------------------------------------------- */

/* The same tokens, probabilities and counts whatever runs together and however prompts are cut. */
static void batches(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 2, 5, 64}, rows[] = {1, 3, 5, 64};
    for (size_t f = 0; f < N_FLAVOURS; f++) {
        for (int cut = 0; cut < 2; cut++) {
            record first = {0}, other = {0};
            vkdlm_complete_options options = all_prompts();
            options.flow = flavours[f];
            options.temperature = cut ? 0.8 : 0;
            options.top_k = cut ? 6 : 0;
            options.top_p = cut ? 0.9 : 0;
            options.batch = 1;
            complete_small(&small, options, &first);
            assert_int_equal(first.n_samples, N_PROMPTS * 3);
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                ref_causal_config config = small;
                config.auto_rows = rows[i];
                options.batch = sizes[i];
                complete_small(&config, options, &other);
                check_same(&first, &other);
            }
        }
    }
}

/* A run that begins at another stream gives the later samples of the longer run. */
static void streams(void **state)
{
    (void)state;
    record all = {0}, rest = {0};
    vkdlm_complete_options options = all_prompts();
    options.n_prompts = 1;
    options.num_samples = 6;
    complete_small(&small, options, &all);
    options.first_sample = 4;
    options.num_samples = 2;
    complete_small(&small, options, &rest);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(all.samples[i + 4].length, rest.samples[i].length);
        assert_memory_equal(all.tokens[i + 4], rest.tokens[i], rest.samples[i].length * sizeof(int32_t));
    }
    uint32_t n_different = 0;
    for (uint32_t i = 1; i < 6; i++)
        n_different += memcmp(all.tokens[0], all.tokens[i], sizeof all.tokens[0]) != 0;
    assert_int_equal(n_different, 5);
}

/* ---- against plain loops ----------------------------------------------------------------------------- */

static int32_t best_of(const double *logits, const causal_row *row, uint64_t seed)
{
    int32_t token = 0;
    double best = -INFINITY;
    for (uint32_t v = 0; v < VOCAB; v++) {
        double score = logits[v] + (row ? ref_gumbel(seed, v, row->counter, 0, row->sample) : 0);
        if (score > best) {
            best = score;
            token = (int32_t)v;
        }
    }
    return token;
}

/* The base model alone: one draw a token with the number of the token and the stream as counters. */
static void base_tokens(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    for (int greedy = 0; greedy < 2; greedy++) {
        record r = {0};
        vkdlm_complete_options options = all_prompts();
        options.flow.off = true;
        options.greedy = greedy;
        options.first_sample = 100;
        complete_small(&small, options, &r);
        for (uint32_t s = 0; s < r.n_samples; s++) {
            const vkdlm_completion *c = &r.samples[s];
            assert_int_equal(c->prompt, s / 3);
            assert_memory_equal(r.tokens[s], prompts[s / 3].tokens, c->prompt_length * sizeof(int32_t));
            for (uint32_t i = c->prompt_length; i < c->length; i++) {
                double logits[VOCAB];
                causal_row row = {.sample = 100 + s, .counter = i - c->prompt_length};
                ref_causal_base(network, i > 1 ? r.tokens[s][i - 2] : -1, r.tokens[s][i - 1], logits);
                assert_int_equal(r.tokens[s][i], best_of(logits, greedy ? NULL : &row, options.seed));
            }
            assert_true(c->ended || c->length == c->prompt_length + 9);
            for (uint32_t i = c->prompt_length; i + 1 < c->length; i++)
                assert_int_not_equal(r.tokens[s][i], END_ID);
        }
        assert_int_equal(r.stats.counts.path, 0);
    }
    ref_causal_destroy(network);
}

static void velocity(const causal *network, const int32_t *tokens, uint32_t length, const double *x, double t,
                     double *out)
{
    double logits[VOCAB];
    int32_t before = length > 1 ? tokens[length - 2] : -1;
    if (t == 0)
        ref_causal_base(network, before, tokens[length - 1], logits);
    else
        ref_causal_flow(network, before, tokens[length - 1], x, t, -1, logits);
    const double *target = ref_causal_vocabulary(network) + best_of(logits, NULL, 0) * DIM;
    for (uint32_t j = 0; j < DIM; j++)
        out[j] = (target[j] - x[j]) / (1 - t);
}

/* Midpoint with x_hat by argmax and x_0 from the seed, written out as the specification says it. */
static void midpoint_tokens(void **state)
{
    (void)state;
    enum { POINTS = 5 };
    record r = {0};
    vkdlm_complete_options options = all_prompts();
    options.greedy = true;
    options.ignore_end = true;
    options.flow = (vkdlm_flow_options){.temperature = "0", .steps = POINTS};
    complete_small(&small, options, &r);
    causal *network = ref_causal_create(&small);
    uint32_t n_other = 0;
    for (uint32_t s = 0; s < r.n_samples; s++) {
        const vkdlm_completion *c = &r.samples[s];
        assert_int_equal(c->length, c->prompt_length + 9);
        for (uint32_t i = c->prompt_length; i < c->length; i++) {
            double x[DIM], half[DIM], v[DIM], logits[VOCAB], h = 1.0 / (POINTS - 1);
            rng_normals(options.seed, i - c->prompt_length, (uint32_t)RNG_STATE << 28, s, x, DIM);
            for (uint32_t j = 0; j < DIM; j++)
                x[j] *= 64;
            for (uint32_t k = 0; k + 1 < POINTS; k++) {
                velocity(network, r.tokens[s], i, x, k * h, v);
                for (uint32_t j = 0; j < DIM; j++)
                    half[j] = x[j] + h / 2 * v[j];
                velocity(network, r.tokens[s], i, half, (k + 0.5) * h, v);
                for (uint32_t j = 0; j < DIM; j++)
                    x[j] += h * v[j];
            }
            int32_t before = i > 1 ? r.tokens[s][i - 2] : -1, last = r.tokens[s][i - 1];
            ref_causal_flow(network, before, last, x, 1, -1, logits);
            assert_int_equal(r.tokens[s][i], best_of(logits, NULL, 0));
            ref_causal_base(network, before, last, logits);
            n_other += best_of(logits, NULL, 0) != r.tokens[s][i];
        }
    }
    /* The flow must matter for this to say anything. */
    assert_true(n_other > 10);
    ref_causal_destroy(network);
}

/* ---- ends, cancellation, failures -------------------------------------------------------------------- */

/* Without a length a sample goes as far as the context; an end token is kept and stops it. */
static void lengths(void **state)
{
    (void)state;
    record r = {0};
    vkdlm_complete_options options = all_prompts();
    options.max_tokens = 0;
    options.ignore_end = true;
    complete_small(&small, options, &r);
    for (uint32_t s = 0; s < r.n_samples; s++) {
        assert_int_equal(r.samples[s].length, CONTEXT);
        assert_false(r.samples[s].ended);
    }
    options.ignore_end = false;
    complete_small(&small, options, &r);
    uint32_t n_ended = 0;
    for (uint32_t s = 0; s < r.n_samples; s++) {
        const vkdlm_completion *c = &r.samples[s];
        n_ended += c->ended;
        assert_true(c->ended || c->length == CONTEXT);
        for (uint32_t i = c->prompt_length; i + 1 < c->length; i++)
            assert_int_not_equal(r.tokens[s][i], END_ID);
    }
    assert_true(n_ended > 3);
    ref_causal_config config = small;
    config.context = 30;
    options.ignore_end = true;
    complete_small(&config, options, &r);
    assert_int_equal(r.samples[0].length, 30);
}

static void cancellation(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    vkdlm_model_info info = ref_causal_info(&small);
    vkdlm_complete_options options = all_prompts();
    options.batch = 3;
    record all = {0};
    assert_int_equal(complete_on(network, &info, options, &all), VKDLM_OK);
    for (uint32_t stop = 1; stop < all.n_tokens; stop += 4) {
        record r = {.stop_after_tokens = stop};
        assert_int_equal(complete_on(network, &info, options, &r), VKDLM_CANCELLED);
        assert_int_equal(r.err.status, VKDLM_CANCELLED);
        assert_int_equal(r.n_tokens, stop);
        /* Everything that was begun is delivered as far as it came. */
        uint32_t n = 0;
        for (uint32_t s = 0; s < r.n_samples; s++) {
            n += r.samples[s].length - r.samples[s].prompt_length;
            assert_memory_equal(r.tokens[s], all.tokens[s], r.samples[s].length * sizeof(int32_t));
            assert_int_equal(r.samples[s].complete, r.samples[s].length == all.samples[s].length);
        }
        assert_int_equal(n, stop);
    }
    record r = {.stop_after_samples = 4};
    assert_int_equal(complete_on(network, &info, options, &r), VKDLM_CANCELLED);
    assert_int_equal(r.n_samples, 4);
    ref_causal_destroy(network);
}

static void failures(void **state)
{
    (void)state;
    vkdlm_model_info info = ref_causal_info(&small);
    vkdlm_complete_options options = all_prompts();
    options.batch = 3;
    for (uint32_t n = 1; n < 30; n += 4) {
        causal *network = ref_causal_create(&small);
        record r = {.gaps = true};
        ref_causal_fail_at(network, n);
        assert_int_equal(complete_on(network, &info, options, &r), VKDLM_DEVICE_LOST);
        for (uint32_t s = 0; s < r.n_samples; s++)
            assert_true(r.samples[s].complete);
        ref_causal_fail_at(network, 0);
        ref_causal_spoil_at(network, 1);
        assert_int_equal(complete_on(network, &info, options, &r), VKDLM_INTERNAL);
        assert_int_equal(r.n_samples, 0);
        ref_causal_destroy(network);
    }
}

/* A model without a diffusion path, and one whose path is off. */
static void without_path(void **state)
{
    (void)state;
    ref_causal_config config = small;
    config.flow_dim = 0;
    config.n_classes = 0;
    vkdlm_complete_options options = all_prompts();
    record base = {0}, off = {0};
    options.flow = (vkdlm_flow_options){0};
    complete_small(&config, options, &base);
    options.flow.off = true;
    complete_small(&config, options, &off);
    check_same(&base, &off);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),         cmocka_unit_test(streams),      cmocka_unit_test(base_tokens),
        cmocka_unit_test(midpoint_tokens), cmocka_unit_test(lengths),      cmocka_unit_test(cancellation),
        cmocka_unit_test(failures),        cmocka_unit_test(without_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
