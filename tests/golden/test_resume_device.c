/* Runs on a device that go on from where others were stopped: their rest to the bit.
 * (tests/golden/test_resume.c has every sampler and solver.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "golden/golden.h"

enum { LENGTH = 12, MAX_ROWS = 20, NEW = 4, PROMPT = 3 };

typedef struct masked_row {
    int32_t tokens[LENGTH];
    uint32_t step;
    double time;
    float probability[LENGTH], entropy[LENGTH];
} masked_row;

typedef struct masked_seen {
    masked_row rows[MAX_ROWS];
    uint32_t n;
} masked_seen;

static bool see_step(void *user, const vkdlm_step *step)
{
    masked_seen *seen = user;
    assert_true(seen->n < MAX_ROWS && step->length == LENGTH);
    masked_row *row = &seen->rows[seen->n++];
    *row = (masked_row){.step = step->step, .time = step->time};
    memcpy(row->tokens, step->tokens, sizeof row->tokens);
    memcpy(row->probability, step->probability, step->n_evaluated * sizeof *row->probability);
    memcpy(row->entropy, step->entropy, step->n_evaluated * sizeof *row->entropy);
    return true;
}

static void run_masked(engine_test *engine, vkdlm_generate_options options, const int32_t *canvas,
                       masked_seen *seen)
{
    const vkdlm_canvas canvases[] = {{canvas, LENGTH}};
    vkdlm_error err = {0};
    *seen = (masked_seen){0};
    options.canvases = canvases;
    options.n_canvases = 1;
    options.seed = 6;
    options.evaluate_all = true;
    options.on_step = see_step;
    options.user = seen;
    engine_test_ok(vkdlm_generate(engine->session, &options, NULL, &err), &err);
}

static void test_masked(void **state)
{
    engine_test *engine = *state;
    vkdlm_model_info info;
    engine_test_model(engine, GOLDEN_MDLM("tc"));
    vkdlm_model_get_info(engine->model, &info);
    const vkdlm_generate_options runs[] = {
        {.steps = 6}, {.sampler = VKDLM_SAMPLER_DDPM, .steps = 4}, {.sampler = VKDLM_SAMPLER_FIRST_HITTING}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        masked_seen whole, rest;
        int32_t canvas[LENGTH];
        for (int l = 0; l < LENGTH; l++)
            canvas[l] = l == 2 ? 7 : info.mask_id;
        run_masked(engine, runs[i], canvas, &whole);
        bool hitting = runs[i].sampler == VKDLM_SAMPLER_FIRST_HITTING;
        for (uint32_t k = 1; k < whole.n; k += hitting ? 4 : 1) {
            vkdlm_generate_options options = runs[i];
            options.first_step = whole.rows[k - 1].step;
            options.first_time = hitting ? whole.rows[k - 1].time : 0;
            run_masked(engine, options, whole.rows[k - 1].tokens, &rest);
            assert_int_equal(rest.n, whole.n - k);
            for (uint32_t j = 0; j < rest.n; j++)
                if (hitting)
                    assert_memory_equal(rest.rows[j].tokens, whole.rows[k + j].tokens, sizeof canvas);
                else
                    assert_memory_equal(&rest.rows[j], &whole.rows[k + j], sizeof *rest.rows);
        }
    }
    engine_test_close_model(engine);
}

typedef struct flow_seen {
    int32_t tokens[NEW];
    float log_prob[NEW], entropy[NEW], base_entropy[NEW];
    uint32_t n;
} flow_seen;

static bool see_token(void *user, const vkdlm_token_step *step)
{
    flow_seen *seen = user;
    assert_true(seen->n == step->index && seen->n < NEW);
    seen->tokens[seen->n] = step->token;
    seen->log_prob[seen->n] = step->log_prob;
    seen->entropy[seen->n] = step->entropy;
    seen->base_entropy[seen->n++] = step->base_entropy;
    return true;
}

static void run_flow(engine_test *engine, vkdlm_complete_options options, const int32_t *prompt,
                     flow_seen *seen)
{
    const vkdlm_canvas prompts[] = {{prompt, PROMPT + options.first_token}};
    vkdlm_error err = {0};
    *seen = (flow_seen){.n = options.first_token};
    options.prompts = prompts;
    options.n_prompts = 1;
    options.max_tokens = NEW;
    options.ignore_end = true;
    options.seed = 2;
    options.on_token = see_token;
    options.user = seen;
    engine_test_ok(vkdlm_complete(engine->session, &options, NULL, &err), &err);
    assert_int_equal(seen->n, NEW);
}

static void test_flow(void **state)
{
    engine_test *engine = *state;
    const vkdlm_flow_options flows[] = {{.off = true},
                                        {.steps = 3, .solver = VKDLM_SOLVER_MIDPOINT, .temperature = "0.5"},
                                        {.solver = VKDLM_SOLVER_ADAPTIVE_HEUN, .max_evaluations = 20}};
    engine_test_model(engine, TESTS_DIR "/golden/l2d/llama-lora");
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        flow_seen whole, rest;
        vkdlm_complete_options options = {.flow = flows[i]};
        int32_t text[PROMPT + NEW] = {5, 9, 2};
        run_flow(engine, options, text, &whole);
        memcpy(text + PROMPT, whole.tokens, sizeof whole.tokens);
        for (options.first_token = 1; options.first_token < NEW; options.first_token++) {
            uint32_t k = options.first_token, n = (NEW - k) * (uint32_t)sizeof(float);
            run_flow(engine, options, text, &rest);
            assert_memory_equal(rest.tokens + k, whole.tokens + k, n);
            assert_memory_equal(rest.log_prob + k, whole.log_prob + k, n);
            assert_memory_equal(rest.entropy + k, whole.entropy + k, n);
            assert_memory_equal(rest.base_entropy + k, whole.base_entropy + k, n);
        }
    }
    engine_test_close_model(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked),
        cmocka_unit_test(test_flow),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
