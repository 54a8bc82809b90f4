/* Runs that go on from where others were stopped: their rest to the bit, on networks in double precision. And
 * runs with the options that a recording of another tells: the same again. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <vkdlm/trajectory.h>

#include "golden/golden.h"
#include "ref/ref_causal.h"
#include "ref/ref_denoiser.h"
#include "sample/complete.h"
#include "sample/masked.h"

/* ---- masked -------------------------------------------------------------------------------------------- */

enum { LENGTH = 12, STEPS = 7, MAX_ROWS = 40, GIVEN = 3 };

typedef struct masked_row {
    int32_t tokens[LENGTH];
    uint32_t step, n_steps, n_masked, n_changed;
    uint32_t changed[LENGTH];
    float probability[LENGTH], entropy[LENGTH];
    double time;
} masked_row;

typedef struct masked_seen {
    masked_row rows[MAX_ROWS];
    uint32_t n, n_samples;
    int32_t tokens[LENGTH]; /* of the sample that was delivered */
} masked_seen;

static bool see_step(void *user, const vkdlm_step *step)
{
    masked_seen *seen = user;
    assert_true(seen->n < MAX_ROWS && step->length == LENGTH);
    masked_row *row = &seen->rows[seen->n++];
    *row = (masked_row){.step = step->step,
                        .n_steps = step->n_steps,
                        .n_masked = step->n_masked,
                        .n_changed = step->n_changed,
                        .time = step->time};
    memcpy(row->tokens, step->tokens, sizeof row->tokens);
    memcpy(row->changed, step->changed, step->n_changed * sizeof *row->changed);
    memcpy(row->probability, step->probability, step->n_changed * sizeof *row->probability);
    memcpy(row->entropy, step->entropy, step->n_changed * sizeof *row->entropy);
    assert_int_equal(step->evaluations, seen->n);
    return true;
}

static bool see_sample(void *user, const vkdlm_sample *sample)
{
    masked_seen *seen = user;
    assert_true(sample->complete && sample->length == LENGTH);
    assert_int_equal(sample->evaluations, seen->n);
    memcpy(seen->tokens, sample->tokens, sizeof seen->tokens);
    seen->n_samples++;
    return true;
}

static void run_masked(denoiser *network, vkdlm_generate_options options, const int32_t *canvas,
                       masked_seen *seen)
{
    vkdlm_error err = {0};
    const vkdlm_canvas canvases[] = {{canvas, LENGTH}};
    *seen = (masked_seen){0};
    options.canvases = canvases;
    options.n_canvases = 1;
    options.on_step = see_step;
    options.on_sample = see_sample;
    options.user = seen;
    if (masked_run(network, &options, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(seen->n_samples, 1);
}

/* Row first and those behind it are the rows of the other run. */
static void check_rest(const masked_seen *whole, uint32_t first, const masked_seen *rest, bool rounded)
{
    assert_int_equal(rest->n, whole->n - first);
    for (uint32_t i = 0; i < rest->n; i++) {
        masked_row a = whole->rows[first + i], b = rest->rows[i];
        if (rounded) {
            assert_true(fabs(a.time - b.time) <= 1e-6);
            b.time = a.time;
            for (uint32_t j = 0; j < a.n_changed; j++) {
                assert_true(fabs((double)(a.probability[j] - b.probability[j])) <= 1e-5);
                assert_true(fabs((double)(a.entropy[j] - b.entropy[j])) <= 1e-5);
            }
            memcpy(b.probability, a.probability, sizeof b.probability);
            memcpy(b.entropy, a.entropy, sizeof b.entropy);
        }
        assert_true(a.step == b.step && a.n_steps == b.n_steps && a.time == b.time);
        assert_true(a.n_masked == b.n_masked && a.n_changed == b.n_changed);
        assert_memory_equal(a.tokens, b.tokens, sizeof a.tokens);
        assert_memory_equal(a.changed, b.changed, sizeof a.changed);
        assert_memory_equal(a.probability, b.probability, sizeof a.probability);
        assert_memory_equal(a.entropy, b.entropy, sizeof a.entropy);
    }
    assert_memory_equal(whole->tokens, rest->tokens, sizeof whole->tokens);
}

static void make_canvas(const denoiser *network, int32_t *canvas)
{
    for (int i = 0; i < LENGTH; i++)
        canvas[i] = i == GIVEN ? 5 : network->mask_id;
}

/* The options as a recording tells them. */
static vkdlm_generate_options retold(const vkdlm_generate_options *options)
{
    vkdlm_generate_options out;
    vkdlm_error err = {0};
    char *text = vkdlm_generate_options_write(options);
    if (vkdlm_generate_options_read(text, &out, &err))
        fail_msg("%s", err.message);
    free(text);
    out.seed = options->seed;
    return out;
}

/* Behind every step of a grid. */
static void check_grid(denoiser *network, vkdlm_generate_options options)
{
    int32_t canvas[LENGTH];
    masked_seen whole, rest;
    make_canvas(network, canvas);
    run_masked(network, options, canvas, &whole);
    run_masked(network, retold(&options), canvas, &rest);
    check_rest(&whole, 0, &rest, false);
    for (uint32_t k = 0; k <= STEPS; k++) {
        uint32_t first = 0;
        while (first < whole.n && whole.rows[first].step <= k)
            first++;
        options.first_step = k;
        run_masked(network, options, first ? whole.rows[first - 1].tokens : canvas, &rest);
        check_rest(&whole, first, &rest, false);
    }
}

static void check_hitting(denoiser *network, vkdlm_generate_options options)
{
    int32_t canvas[LENGTH];
    masked_seen whole, rest;
    make_canvas(network, canvas);
    run_masked(network, options, canvas, &whole);
    assert_int_equal(whole.n, LENGTH - 1);
    for (uint32_t k = 1; k <= whole.n; k++) {
        options.first_step = k;
        options.first_time = fmax(whole.rows[k - 1].time, DBL_MIN);
        run_masked(network, options, whole.rows[k - 1].tokens, &rest);
        check_rest(&whole, k, &rest, true);
        masked_seen again;
        run_masked(network, retold(&options), whole.rows[k - 1].tokens, &again);
        check_rest(&rest, 0, &again, false);
        options.first_time = (double)(float)options.first_time; /* as a recording has it */
        if (options.first_time > 0) {
            run_masked(network, options, whole.rows[k - 1].tokens, &rest);
            check_rest(&whole, k, &rest, true);
        }
    }
}

static void each_model(void (*check)(denoiser *network))
{
    static const char *const models[] = {GOLDEN_MDLM("tc"), GOLDEN_MDLM("notc")};
    for (size_t i = 0; i < 2; i++) {
        ref_mdlm *net = ref_mdlm_open(models[i]);
        assert_non_null(net);
        denoiser *network = ref_denoiser_create(net, 4);
        check(network);
        ref_denoiser_destroy(network);
        ref_mdlm_close(net);
    }
}

static void check_samplers(denoiser *network)
{
    for (int sampler = 0; sampler < VKDLM_SAMPLER_COUNT; sampler++)
        for (int schedule = 0; schedule < VKDLM_SCHEDULE_COUNT; schedule++) {
            vkdlm_generate_options options = {.sampler = (vkdlm_sampler)sampler,
                                              .noise.schedule = (vkdlm_schedule)schedule,
                                              .seed = 3,
                                              .first_sample = 2};
            if (sampler == VKDLM_SAMPLER_DDPM_CACHE && schedule != VKDLM_SCHEDULE_LOGLINEAR)
                continue;
            if (sampler == VKDLM_SAMPLER_FIRST_HITTING) {
                check_hitting(network, options);
                continue;
            }
            options.steps = STEPS;
            check_grid(network, options);
            options.end_time = 0.4;
            options.temperature = 0.7;
            options.top_k = 5;
            check_grid(network, options);
            options.no_final_denoise = true;
            check_grid(network, options);
        }
}

static void test_masked(void **state)
{
    (void)state;
    each_model(check_samplers);
}

/* Three tokens of a finished canvas are masked again, and the process goes on from the middle. */
static void check_remask(denoiser *network)
{
    static const uint32_t again[] = {1, 6, 10};
    for (int sampler = 0; sampler < VKDLM_SAMPLER_COUNT; sampler++) {
        vkdlm_generate_options options = {.sampler = (vkdlm_sampler)sampler, .seed = 4};
        bool hitting = sampler == VKDLM_SAMPLER_FIRST_HITTING;
        int32_t canvas[LENGTH];
        masked_seen whole, rest;
        options.steps = hitting ? 0 : 20;
        make_canvas(network, canvas);
        run_masked(network, options, canvas, &whole);
        memcpy(canvas, whole.tokens, sizeof canvas);
        for (int i = 0; i < 3; i++)
            canvas[again[i]] = network->mask_id;
        options.first_step = 10;
        options.first_time = hitting ? 0.5 : 0;
        run_masked(network, options, canvas, &rest);
        assert_true(rest.n >= 1 && rest.rows[0].step > 10 && rest.rows[0].time < 0.5);
        uint32_t n_changed = 0;
        for (uint32_t i = 0; i < rest.n; i++)
            n_changed += rest.rows[i].n_changed;
        assert_int_equal(n_changed, 3);
        for (uint32_t i = 0; i < LENGTH; i++) {
            assert_int_not_equal(rest.tokens[i], network->mask_id);
            if (i != again[0] && i != again[1] && i != again[2])
                assert_int_equal(rest.tokens[i], whole.tokens[i]);
        }
    }
}

static void test_remask(void **state)
{
    (void)state;
    each_model(check_remask);
}

static void refuse_masked(denoiser *network, vkdlm_generate_options options, const char *expected)
{
    vkdlm_error err = {0};
    vkdlm_status status = masked_run(network, &options, NULL, &err);
    if (status != VKDLM_INVALID_ARGUMENT || strcmp(err.message, expected) != 0)
        fail_msg("expected '%s', found status %d with '%s'", expected, (int)status, err.message);
}

static void check_refusals(denoiser *network)
{
    vkdlm_generate_options options = {.first_step = 65};
    refuse_masked(network, options, "first_step: expected at most 64, found 65");
    options.steps = 9;
    options.first_step = 10;
    refuse_masked(network, options, "first_step: expected at most 9, found 10");
    options.first_step = 0;
    options.first_time = 0.5;
    refuse_masked(network, options,
                  "first_time: expected 0 with --sampler ddpm-cache, whose steps tell the time, found 0.5");
    options.first_time = NAN;
    refuse_masked(network, options,
                  "first_time: expected 0 with --sampler ddpm-cache, whose steps tell the time, found nan");
    options.first_time = 0.25;
    options.stride = options.strides = 2;
    refuse_masked(network, options,
                  "first_time: expected 0 for semi-autoregressive generation (--stride), found 0.25");
    options.first_step = 3;
    refuse_masked(network, options,
                  "first_step: expected 0 for semi-autoregressive generation (--stride), found 3");
    options = (vkdlm_generate_options){.sampler = VKDLM_SAMPLER_FIRST_HITTING, .first_time = 1.5};
    refuse_masked(network, options, "first_time: expected a number above 0 and at most 1, found 1.5");
    options.first_time = -1e-9;
    refuse_masked(network, options, "first_time: expected a number above 0 and at most 1, found -1e-09");
    options.first_time = NAN;
    refuse_masked(network, options, "first_time: expected a number above 0 and at most 1, found nan");
    options.first_time = 1;
    options.first_step = UINT32_MAX;
    vkdlm_error err;
    assert_int_equal(masked_run(network, &options, NULL, &err), VKDLM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "first_step: expected at most "));
}

static void test_refusals(void **state)
{
    (void)state;
    each_model(check_refusals);
}

/* ---- causal -------------------------------------------------------------------------------------------- */

enum { DIM = 3, CONTEXT = 30, NEW = 8, PROMPT = 4, MAX_EVALUATIONS = 3000 };

static const ref_causal_config small = {
    .vocab_size = 11, .context = CONTEXT, .flow_dim = DIM, .n_classes = 2, .sharpness = 1.5, .seed = 3};

typedef struct flow_row {
    uint32_t token_index, index;
    bool last;
    double time;
    float x[DIM];
    int32_t xhat_id;
    float entropy, wd_norm;
} flow_row;

typedef struct token_row {
    int32_t token;
    uint32_t index, max_tokens, first_evaluation;
    float log_prob, entropy, base_entropy;
    bool refined;
} token_row;

typedef struct flow_seen {
    flow_row evaluations[MAX_EVALUATIONS];
    uint32_t n_evaluations;
    token_row tokens[NEW];
    uint32_t n_tokens;
    int32_t output[CONTEXT];
    uint32_t length, prompt_length;
    bool ended;
} flow_seen;

static bool see_flow_step(void *user, const vkdlm_flow_step *step)
{
    flow_seen *seen = user;
    assert_true(seen->n_evaluations < MAX_EVALUATIONS && step->dim == DIM);
    flow_row *row = &seen->evaluations[seen->n_evaluations++];
    *row = (flow_row){.token_index = step->token_index,
                      .index = step->index,
                      .last = step->last,
                      .time = step->time,
                      .xhat_id = step->xhat_id,
                      .entropy = step->entropy,
                      .wd_norm = step->wd_norm};
    memcpy(row->x, step->x, sizeof row->x);
    return true;
}

static bool see_token(void *user, const vkdlm_token_step *step)
{
    flow_seen *seen = user;
    assert_true(seen->n_tokens < NEW);
    uint32_t first = seen->n_evaluations;
    while (first && seen->evaluations[first - 1].token_index == step->index)
        first--;
    seen->tokens[seen->n_tokens++] = (token_row){.token = step->token,
                                                 .index = step->index,
                                                 .max_tokens = step->max_tokens,
                                                 .first_evaluation = first,
                                                 .log_prob = step->log_prob,
                                                 .entropy = step->entropy,
                                                 .base_entropy = step->base_entropy,
                                                 .refined = step->refined};
    return true;
}

static bool see_completion(void *user, const vkdlm_completion *c)
{
    flow_seen *seen = user;
    assert_true(c->complete && c->length <= CONTEXT);
    assert_int_equal(c->counts.main, seen->n_tokens);
    memcpy(seen->output, c->tokens, c->length * sizeof *c->tokens);
    seen->length = c->length;
    seen->prompt_length = c->prompt_length;
    seen->ended = c->ended;
    return true;
}

static vkdlm_status run_flow(vkdlm_complete_options options, const int32_t *prompt, uint32_t length,
                             flow_seen *seen, vkdlm_error *err)
{
    causal *network = ref_causal_create(&small);
    const vkdlm_canvas prompts[] = {{prompt, length}};
    *seen = (flow_seen){0};
    options.prompts = prompts;
    options.n_prompts = 1;
    if (!options.flow.off)
        options.on_flow_step = see_flow_step;
    options.on_token = see_token;
    options.on_sample = see_completion;
    options.user = seen;
    const vkdlm_model_info info = ref_causal_info(&small);
    vkdlm_status status = complete_run(network, &info, &options, NULL, err);
    ref_causal_destroy(network);
    return status;
}

/* The other run is what follows the first k new tokens. */
static void check_flow_rest(const flow_seen *whole, uint32_t k, const flow_seen *rest)
{
    assert_int_equal(rest->prompt_length, PROMPT + k);
    assert_true(rest->length == whole->length && rest->ended == whole->ended);
    assert_memory_equal(rest->output, whole->output, whole->length * sizeof *whole->output);
    assert_int_equal(rest->n_tokens, whole->n_tokens - k);
    uint32_t first = whole->tokens[k].first_evaluation;
    assert_int_equal(rest->n_evaluations, whole->n_evaluations - first);
    for (uint32_t i = 0; i < rest->n_tokens; i++) {
        const token_row *a = &whole->tokens[k + i], *b = &rest->tokens[i];
        assert_true(a->token == b->token && a->index == b->index && a->max_tokens == b->max_tokens);
        assert_true(a->log_prob == b->log_prob && a->entropy == b->entropy &&
                    a->base_entropy == b->base_entropy && a->refined == b->refined);
    }
    for (uint32_t i = 0; i < rest->n_evaluations; i++) {
        const flow_row *a = &whole->evaluations[first + i], *b = &rest->evaluations[i];
        assert_true(a->token_index == b->token_index && a->index == b->index && a->last == b->last);
        assert_true(a->time == b->time && a->xhat_id == b->xhat_id && a->entropy == b->entropy &&
                    a->wd_norm == b->wd_norm);
        assert_memory_equal(a->x, b->x, sizeof a->x);
    }
}

static vkdlm_complete_options retold_flow(const vkdlm_complete_options *options, char *temperature)
{
    vkdlm_complete_options out;
    vkdlm_error err = {0};
    const vkdlm_model_info info = ref_causal_info(&small);
    char *text = vkdlm_complete_options_write(options, &info.flow);
    if (vkdlm_complete_options_read(text, &out, temperature, &err))
        fail_msg("%s", err.message);
    free(text);
    out.seed = options->seed;
    out.flow.noise = options->flow.noise;
    out.flow.noise_tokens = options->flow.noise_tokens;
    out.flow.noise_rows = options->flow.noise_rows;
    return out;
}

static void check_flow(vkdlm_complete_options options)
{
    static flow_seen whole, rest;
    char temperature[VKDLM_TEMPERATURE_BYTES];
    static const int32_t prompt[PROMPT] = {3, 1, 4, 1};
    vkdlm_error err = {0};
    options.seed = 5;
    options.first_sample = 1;
    options.max_tokens = NEW;
    if (run_flow(options, prompt, PROMPT, &whole, &err))
        fail_msg("%s", err.message);
    assert_true(whole.n_tokens > 0 && whole.tokens[0].max_tokens == NEW);
    for (uint32_t k = 0; k < whole.n_tokens; k++) {
        options.first_token = k;
        if (run_flow(options, whole.output, PROMPT + k, &rest, &err))
            fail_msg("%s", err.message);
        check_flow_rest(&whole, k, &rest);
        if (run_flow(retold_flow(&options, temperature), whole.output, PROMPT + k, &rest, &err))
            fail_msg("%s", err.message);
        check_flow_rest(&whole, k, &rest);
    }
}

static void test_flow(void **state)
{
    (void)state;
    float noise[NEW * DIM];
    for (int i = 0; i < NEW * DIM; i++)
        noise[i] = (float)(40 * sin(i * 2.4));
    const vkdlm_flow_options flavours[] = {
        {.off = true},
        {0},
        {.solver = VKDLM_SOLVER_RK4, .steps = 3, .temperature = "polynomial_1_1"},
        {.has_class = true, .class_id = 1, .has_guidance = true, .guidance = 1.5},
        {.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 1.6},
        {.solver = VKDLM_SOLVER_BOSH3, .end_time = 0.9, .max_evaluations = 50},
        {.solver = VKDLM_SOLVER_DOPRI5,
         .estimate = VKDLM_ESTIMATE_AVERAGE,
         .budget = VKDLM_BUDGET_CONFIDENCE,
         .budget_threshold = 0.6,
         .max_evaluations = 50},
        {.noise = noise, .noise_tokens = NEW, .noise_rows = 1},
    };
    for (size_t i = 0; i < sizeof flavours / sizeof *flavours; i++) {
        check_flow((vkdlm_complete_options){.flow = flavours[i]});
        check_flow((vkdlm_complete_options){.flow = flavours[i], .ignore_end = true, .top_k = 6});
    }
}

static void refuse_flow(vkdlm_complete_options options, uint32_t length, const char *expected)
{
    static flow_seen seen;
    int32_t prompt[CONTEXT] = {0};
    vkdlm_error err = {0};
    vkdlm_status status = run_flow(options, prompt, length, &seen, &err);
    if (status != VKDLM_INVALID_ARGUMENT || strcmp(err.message, expected) != 0)
        fail_msg("expected '%s', found status %d with '%s'", expected, (int)status, err.message);
}

static void test_flow_refusals(void **state)
{
    (void)state;
    vkdlm_complete_options options = {.max_tokens = 5, .first_token = 5};
    refuse_flow(options, 9, "first_token: expected less than the 5 new tokens of a sample, found 5");
    options.first_token = 4;
    refuse_flow(options, 4, "first_token: expected less than the 4 tokens of prompt 0, found 4");
    options.first_token = UINT32_MAX;
    refuse_flow(options, 4, "first_token: expected less than the 4 tokens of prompt 0, found 4294967295");
    /* The context holds the prompt and 128 or what is left, of which the given ones are a part. */
    options.max_tokens = 0;
    options.first_token = 20;
    static flow_seen seen;
    int32_t prompt[CONTEXT] = {0};
    vkdlm_error err = {0};
    options.ignore_end = true;
    if (run_flow(options, prompt, CONTEXT - 2, &seen, &err))
        fail_msg("%s", err.message);
    assert_int_equal(seen.n_tokens, 2);
    assert_int_equal(seen.tokens[0].index, 20);
    assert_int_equal(seen.tokens[0].max_tokens, 22);
    options.max_tokens = 23;
    refuse_flow(options, CONTEXT - 2,
                "--length: expected at most 22 new tokens, which the model's context of 30 leaves prompt 0 "
                "of 8, found 23");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked), cmocka_unit_test(test_remask),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_flow),   cmocka_unit_test(test_flow_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
