/* The loop of completions on a small causal model in double (ref/ref_causal.h, which also checks that the
 * rules of model/causal.h are kept): independence of the batch, order and content of callbacks, counts of
 * evaluations, budgets, guidance, given noise, adaptive solvers, cancellation, failures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "ref/ref_causal.h"
#include "ref/ref_output.h"
#include "sample/complete.h"

enum { VOCAB = 11, CONTEXT = 40, DIM = 3, N_CLASSES = 2, MAX_SAMPLES = 64, END_ID = 7 };

static const ref_causal_config small = {.vocab_size = VOCAB,
                                        .context = CONTEXT,
                                        .flow_dim = DIM,
                                        .n_classes = N_CLASSES,
                                        .sharpness = 1.5,
                                        .seed = 3};

static vkdlm_model_info info_of(const ref_causal_config *config)
{
    vkdlm_model_info info = {
        .family = VKDLM_FAMILY_CAUSAL, .vocab_size = config->vocab_size, .end_ids = {END_ID}, .n_end_ids = 1};
    if (config->flow_dim)
        info.flow = (vkdlm_flow_info){.present = true,
                                      .dim = config->flow_dim,
                                      .n_classes = config->n_classes,
                                      .noise_scale = 64,
                                      .steps = 4,
                                      .solver = VKDLM_SOLVER_MIDPOINT,
                                      .estimate = VKDLM_ESTIMATE_SAMPLE,
                                      .velocity = VKDLM_VELOCITY_CONSTANT,
                                      .temperature = "1",
                                      .rtol = 1e-3,
                                      .atol = 1e-3,
                                      .end_time = 1};
    return info;
}

static const int32_t text[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};
static const vkdlm_canvas prompts[] = {{text, 2}, {text + 2, 7}, {text + 5, 1}, {text, 12}};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts };

/* Everything that a run delivers, with the checks that hold for any run. */
typedef struct record {
    uint32_t n_samples;
    vkdlm_completion samples[MAX_SAMPLES];
    int32_t tokens[MAX_SAMPLES][CONTEXT];
    uint32_t n_tokens; /* calls of on_token in all */
    uint32_t next[MAX_SAMPLES];
    double log_prob[MAX_SAMPLES], entropy[MAX_SAMPLES], base_entropy[MAX_SAMPLES];
    bool refined[MAX_SAMPLES][CONTEXT];
    uint32_t stop_after_tokens, stop_after_samples; /* 0: never */
    bool gaps;                                      /* samples that are not finished may be missing */
    vkdlm_complete_stats stats;
    vkdlm_error err;
} record;

static bool record_token(void *user, const vkdlm_token_step *step)
{
    record *r = user;
    assert_true(step->sample < MAX_SAMPLES && step->length <= CONTEXT);
    assert_int_equal(step->index, r->next[step->sample]);
    assert_true(step->index < step->max_tokens);
    assert_int_equal(step->tokens[step->length - 1], step->token);
    assert_int_equal(step->counts->main, step->index + 1);
    assert_true(step->log_prob <= 0 && step->entropy >= 0 && step->base_entropy >= 0);
    if (!step->refined)
        assert_true(step->entropy == step->base_entropy);
    r->next[step->sample]++;
    r->log_prob[step->sample] += (double)step->log_prob;
    r->entropy[step->sample] += (double)step->entropy;
    r->base_entropy[step->sample] += (double)step->base_entropy;
    r->refined[step->sample][step->index] = step->refined;
    return ++r->n_tokens != r->stop_after_tokens;
}

static bool record_sample(void *user, const vkdlm_completion *c)
{
    record *r = user;
    assert_true(r->gaps ? c->sample >= r->n_samples : c->sample == r->n_samples);
    assert_true(r->n_samples < MAX_SAMPLES && c->length <= CONTEXT);
    uint32_t n = c->length - c->prompt_length;
    assert_int_equal(n, r->next[c->sample]);
    assert_int_equal(c->counts.main, n);
    assert_true(c->log_prob == r->log_prob[c->sample]);
    assert_true(n ? c->mean_entropy == r->entropy[c->sample] / n : isnan(c->mean_entropy));
    assert_true(n ? c->mean_base_entropy == r->base_entropy[c->sample] / n : isnan(c->mean_base_entropy));
    assert_true(c->seconds >= 0);
    if (c->ended)
        assert_int_equal(c->tokens[c->length - 1], END_ID);
    r->samples[r->n_samples] = *c;
    memcpy(r->tokens[r->n_samples], c->tokens, c->length * sizeof *c->tokens);
    return ++r->n_samples != r->stop_after_samples;
}

static vkdlm_complete_options all_prompts(void)
{
    return (vkdlm_complete_options){
        .prompts = prompts, .n_prompts = N_PROMPTS, .num_samples = 3, .max_tokens = 9, .seed = 5};
}

static vkdlm_status complete_on(causal *network, const vkdlm_model_info *info, vkdlm_complete_options options,
                                record *r)
{
    const record before = *r;
    *r = (record){.stop_after_tokens = before.stop_after_tokens,
                  .stop_after_samples = before.stop_after_samples,
                  .gaps = before.gaps};
    options.on_token = record_token;
    options.on_sample = record_sample;
    options.user = r;
    return complete_run(network, info, &options, &r->stats, &r->err);
}

static void complete_small(const ref_causal_config *config, vkdlm_complete_options options, record *r)
{
    causal *network = ref_causal_create(config);
    vkdlm_model_info info = info_of(config);
    vkdlm_status status = complete_on(network, &info, options, r);
    if (status != VKDLM_OK)
        fail_msg("%s", r->err.message);
    assert_int_equal(r->n_samples, r->stats.samples);
    ref_causal_destroy(network);
}

static void check_same(const record *a, const record *b)
{
    assert_int_equal(a->n_samples, b->n_samples);
    for (uint32_t i = 0; i < a->n_samples; i++) {
        const vkdlm_completion *x = &a->samples[i], *y = &b->samples[i];
        assert_int_equal(x->length, y->length);
        assert_memory_equal(a->tokens[i], b->tokens[i], x->length * sizeof(int32_t));
        assert_true(x->log_prob == y->log_prob && x->ended == y->ended);
        assert_memory_equal(&x->counts, &y->counts, sizeof x->counts);
        assert_true(a->base_entropy[i] == b->base_entropy[i] && a->entropy[i] == b->entropy[i]);
    }
}

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
                    vkdlm_model_info info = info_of(&small);
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
    vkdlm_model_info info = info_of(&small);
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
    vkdlm_model_info info = info_of(&small);
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
    vkdlm_model_info info = info_of(&small);
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
        cmocka_unit_test(midpoint_tokens), cmocka_unit_test(counts),       cmocka_unit_test(submissions),
        cmocka_unit_test(budget_ends),     cmocka_unit_test(budget_rule),  cmocka_unit_test(guidance_weights),
        cmocka_unit_test(given_noise),     cmocka_unit_test(adaptive_end), cmocka_unit_test(adaptive_limit),
        cmocka_unit_test(lengths),         cmocka_unit_test(cancellation), cmocka_unit_test(failures),
        cmocka_unit_test(without_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
