/* What completions spend on a small causal model in double (ref/ref_causal.h), and what steers it: counts of
 * evaluations, budgets, guidance, given noise, adaptive solvers. */
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

/* ---- counts ------------------------------------------------------------------------------------------ */

static void counts(void **state)
{
    (void)state;
    static const struct {
        vkdlm_solver solver;
        uint32_t slopes, at_end; /* calls an interval, and those of the last interval that lie at t = 1 */
    } solvers[] = {
        {VKDLM_SOLVER_EULER, 1, 0}, {VKDLM_SOLVER_MIDPOINT, 2, 0}, {VKDLM_SOLVER_HEUN2, 2, 1},
        {VKDLM_SOLVER_HEUN3, 3, 0}, {VKDLM_SOLVER_RK4, 4, 1},
    };
    static const struct {
        vkdlm_flow_options flow;
        uint32_t branches;
    } guidance[] = {
        {{0}, 1},
        {{.has_class = true, .class_id = 1}, 1},
        {{.has_class = true, .has_guidance = true, .guidance = 1}, 1},
        {{.has_class = true, .has_guidance = true, .guidance = 0}, 1},
        {{.has_class = true, .has_guidance = true, .guidance = 1.5}, 2},
    };
    for (size_t s = 0; s < sizeof solvers / sizeof *solvers; s++) {
        for (uint32_t points = 2; points < 10; points += 3) {
            for (size_t g = 0; g < sizeof guidance / sizeof *guidance; g++) {
                for (int part = 0; part < 2; part++) {
                    causal *network = ref_causal_create(&small);
                    vkdlm_model_info info = ref_causal_info(&small);
                    record r = {0};
                    vkdlm_complete_options options = all_prompts();
                    options.flow = guidance[g].flow;
                    options.flow.solver = solvers[s].solver;
                    options.flow.steps = points;
                    options.flow.end_time = part ? 0.5 : 0;
                    assert_int_equal(complete_on(network, &info, options, &r), VKDLM_OK);
                    uint32_t calls = (points - 1) * solvers[s].slopes;
                    uint32_t evaluations = calls - 1 - (part ? 0 : solvers[s].at_end);
                    evaluations = evaluations * guidance[g].branches + 1;
                    uint64_t n = r.n_tokens;
                    assert_int_equal(r.stats.counts.main, n);
                    assert_int_equal(r.stats.counts.velocity_calls, n * calls);
                    assert_int_equal(r.stats.counts.path, n * evaluations);
                    assert_int_equal(r.stats.counts.refined, n);
                    assert_int_equal(r.stats.tokens, n);
                    assert_int_equal(r.stats.counts.limited + r.stats.counts.accepted, 0);
                    assert_int_equal(network->counters.path_rows, n * evaluations);
                    /* Each token went through the main path once, but for the last of each sample. */
                    assert_int_equal(r.stats.prompt_tokens, 3 * (2 + 7 + 1 + 12));
                    assert_int_equal(network->counters.main_rows, n + r.stats.prompt_tokens - r.n_samples);
                    ref_causal_destroy(network);
                }
            }
        }
    }
}

/* One submission a token on a fixed grid, and one or two with a budget. */
static void submissions(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    vkdlm_model_info info = ref_causal_info(&small);
    const ref_causal_log *log = ref_causal_get_log(network);
    record r = {0};
    vkdlm_complete_options options = all_prompts();
    options.n_prompts = 1;
    options.num_samples = 1;
    options.ignore_end = true;
    assert_int_equal(complete_on(network, &info, options, &r), VKDLM_OK);
    assert_int_equal(log->n_runs, 1 + 9);
    assert_int_equal(log->n_prompt_runs, 1);
    assert_int_equal(log->n_evaluates, 0);
    assert_int_equal(log->n_prepares, 1);
    assert_int_equal(r.stats.submissions, 10);
    assert_int_equal(r.stats.batch, 1);

    /* Nothing is refined: the first submission has drawn already. */
    options.flow = (vkdlm_flow_options){.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 100};
    assert_int_equal(complete_on(network, &info, options, &r), VKDLM_OK);
    assert_int_equal(r.stats.submissions, 10);
    assert_int_equal(r.stats.counts.path, 0);
    /* ... unless it is drawn from another distribution than the base's. */
    options.temperature = 0.7;
    assert_int_equal(complete_on(network, &info, options, &r), VKDLM_OK);
    assert_int_equal(r.stats.submissions, 19);
    options.temperature = 0;
    options.greedy = true;
    assert_int_equal(complete_on(network, &info, options, &r), VKDLM_OK);
    assert_int_equal(r.stats.submissions, 10);
    ref_causal_destroy(network);
}

/* ---- budgets ----------------------------------------------------------------------------------------- */

/* A budget that refines everything, or nothing, is as good as none, or as the base alone. */
static void budget_ends(void **state)
{
    (void)state;
    for (int cut = 0; cut < 3; cut++) {
        record all = {0}, none = {0}, r = {0};
        vkdlm_complete_options options = all_prompts();
        options.greedy = cut == 2;
        options.temperature = cut == 1 ? 1.3 : 0;
        complete_small(&small, options, &all);
        options.flow = (vkdlm_flow_options){.budget = VKDLM_BUDGET_CONFIDENCE, .budget_threshold = 1};
        complete_small(&small, options, &r);
        check_same(&all, &r);
        options.flow = (vkdlm_flow_options){.off = true};
        complete_small(&small, options, &none);
        options.flow = (vkdlm_flow_options){.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 50};
        complete_small(&small, options, &r);
        check_same(&none, &r);
    }
}

/* Between them each token is refined exactly where the base distribution says so, whatever the law. */
static void budget_rule(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    for (int kind = 0; kind < 6; kind++) {
        record r = {0};
        bool entropy = kind % 2;
        double threshold = entropy ? 1.7 : 0.35;
        vkdlm_complete_options options = all_prompts();
        options.temperature = kind / 2 == 1 ? 0.6 : 0;
        options.greedy = kind / 2 == 2;
        options.flow =
            (vkdlm_flow_options){.budget = entropy ? VKDLM_BUDGET_ENTROPY : VKDLM_BUDGET_CONFIDENCE,
                                 .budget_threshold = threshold};
        complete_small(&small, options, &r);
        uint64_t n_refined = 0, n = 0;
        for (uint32_t s = 0; s < r.n_samples; s++) {
            const vkdlm_completion *c = &r.samples[s];
            for (uint32_t i = c->prompt_length; i < c->length; i++) {
                double logits[VOCAB];
                bool keep[VOCAB];
                uint32_t order[VOCAB];
                ref_causal_base(network, i > 1 ? r.tokens[s][i - 2] : -1, r.tokens[s][i - 1], logits);
                ref_distribution d = ref_output(logits, VOCAB, -1, 0, 1, keep, order);
                bool wanted = entropy ? d.entropy >= threshold : exp(d.max - d.log_sum_exp) <= threshold;
                assert_int_equal(r.refined[s][i - c->prompt_length], wanted);
                n_refined += wanted;
                n++;
            }
        }
        assert_int_equal(r.stats.counts.refined, n_refined);
        assert_true(n_refined > n / 10 && n_refined < n - n / 10);
    }
    ref_causal_destroy(network);
}

/* ---- guidance ---------------------------------------------------------------------------------------- */

static void guidance_weights(void **state)
{
    (void)state;
    record plain = {0}, class_only = {0}, other = {0};
    vkdlm_complete_options options = all_prompts();
    options.flow = (vkdlm_flow_options){.solver = VKDLM_SOLVER_EULER, .temperature = "0"};
    complete_small(&small, options, &plain);
    options.flow.has_class = true;
    complete_small(&small, options, &class_only);
    options.flow.has_guidance = true;
    options.flow.guidance = 1;
    complete_small(&small, options, &other);
    check_same(&class_only, &other);
    /* Near 1 both branches run and the result hardly moves: with argmax the tokens stay. */
    options.flow.guidance = 1 + 1e-7;
    complete_small(&small, options, &other);
    assert_memory_equal(class_only.tokens, other.tokens, sizeof other.tokens);
    assert_true(other.stats.counts.path > class_only.stats.counts.path);
    /* At 0 the null class alone makes the state, but the final evaluation is the class's. */
    options.flow.guidance = 0;
    complete_small(&small, options, &other);
    assert_true(memcmp(other.tokens, plain.tokens, sizeof plain.tokens) != 0);
    assert_int_equal(other.stats.counts.path * plain.stats.tokens,
                     plain.stats.counts.path * other.stats.tokens);
    options.flow.guidance = 1.5;
    complete_small(&small, options, &other);
    assert_true(memcmp(other.tokens, class_only.tokens, sizeof other.tokens) != 0);
}

/* ---- given noise ------------------------------------------------------------------------------------- */

static void given_noise(void **state)
{
    (void)state;
    enum { TOKENS = 9, SAMPLES = N_PROMPTS * 3 };
    static float noise[TOKENS][SAMPLES][DIM], single[TOKENS][1][DIM];
    vkdlm_complete_options options = all_prompts();
    record seeded = {0}, given = {0}, one = {0};
    complete_small(&small, options, &seeded);
    for (uint32_t t = 0; t < TOKENS; t++) {
        for (uint32_t s = 0; s < SAMPLES; s++) {
            double x[DIM];
            rng_normals(options.seed, t, rng_counter2(RNG_STATE, 0), s, x, DIM);
            for (uint32_t j = 0; j < DIM; j++)
                noise[t][s][j] = (float)(64 * x[j]);
        }
        memcpy(single[t][0], noise[t][4], sizeof single[t][0]);
    }
    options.flow.noise = &noise[0][0][0];
    options.flow.noise_tokens = TOKENS;
    options.flow.noise_rows = SAMPLES;
    complete_small(&small, options, &given);
    check_same(&seeded, &given);
    options.flow.noise = &single[0][0][0];
    options.flow.noise_rows = 1;
    complete_small(&small, options, &one);
    assert_memory_equal(one.tokens[4], seeded.tokens[4], sizeof one.tokens[4]);
    assert_true(memcmp(one.tokens, seeded.tokens, sizeof one.tokens) != 0);

    /* An adaptive solver starts from it as well. */
    options.flow.solver = VKDLM_SOLVER_BOSH3;
    options.flow.end_time = 0.8;
    complete_small(&small, options, &one);
    options.flow.noise = NULL;
    complete_small(&small, options, &seeded);
    assert_memory_equal(one.tokens[4], seeded.tokens[4], sizeof one.tokens[4]);
}

/* ---- adaptive solvers -------------------------------------------------------------------------------- */

/* On a smooth field (averages) up to t = 0.9 they come where a fine grid comes. */
static void adaptive_end(void **state)
{
    (void)state;
    record fine = {0}, r = {0};
    vkdlm_complete_options options = all_prompts();
    options.flow = (vkdlm_flow_options){.solver = VKDLM_SOLVER_RK4,
                                        .steps = 400,
                                        .estimate = VKDLM_ESTIMATE_AVERAGE,
                                        .end_time = 0.9,
                                        .has_class = true,
                                        .has_guidance = true,
                                        .guidance = 1.25};
    complete_small(&small, options, &fine);
    static const vkdlm_solver solvers[] = {VKDLM_SOLVER_DOPRI5, VKDLM_SOLVER_BOSH3, VKDLM_SOLVER_FEHLBERG2,
                                           VKDLM_SOLVER_ADAPTIVE_HEUN, VKDLM_SOLVER_DOPRI8};
    for (size_t i = 0; i < sizeof solvers / sizeof *solvers; i++) {
        options.flow.solver = solvers[i];
        options.flow.steps = 0;
        options.flow.rtol = options.flow.atol = 1e-6;
        options.flow.max_evaluations = 20000;
        complete_small(&small, options, &r);
        assert_int_equal(r.stats.counts.limited, 0);
        assert_true(r.stats.counts.accepted > 0);
        assert_int_equal(r.stats.counts.refined, r.stats.tokens);
        /* Two branches an evaluation, but for the one at t = 0, those past 1 and the final one. */
        uint64_t most = 2 * (r.stats.counts.velocity_calls - r.stats.tokens) + r.stats.tokens;
        assert_true(r.stats.counts.path <= most && r.stats.counts.path > most / 2);
        assert_int_equal((r.stats.counts.path - r.stats.tokens) % 2, 0);
        assert_memory_equal(r.tokens, fine.tokens, sizeof r.tokens);
        for (uint32_t s = 0; s < r.n_samples; s++)
            assert_true(fabs(r.samples[s].log_prob - fine.samples[s].log_prob) < 2e-3);
    }
}

/* A limit ends a solve early, and the token is taken from where it stands. */
static void adaptive_limit(void **state)
{
    (void)state;
    record r = {0};
    vkdlm_complete_options options = all_prompts();
    options.flow = (vkdlm_flow_options){.solver = VKDLM_SOLVER_DOPRI5, .max_evaluations = 9};
    complete_small(&small, options, &r);
    assert_int_equal(r.stats.counts.limited, r.stats.tokens);
    assert_true(r.stats.counts.velocity_calls <= 9 * r.stats.tokens);
    /* A field with jumps, to the very end: no failure, and every token is there. */
    options.flow = (vkdlm_flow_options){.solver = VKDLM_SOLVER_ADAPTIVE_HEUN, .temperature = "0"};
    complete_small(&small, options, &r);
    assert_int_equal(r.stats.counts.refined, r.stats.tokens);
    assert_true(r.stats.counts.limited <= r.stats.tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),       cmocka_unit_test(submissions),      cmocka_unit_test(budget_ends),
        cmocka_unit_test(budget_rule),  cmocka_unit_test(guidance_weights), cmocka_unit_test(given_noise),
        cmocka_unit_test(adaptive_end), cmocka_unit_test(adaptive_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
