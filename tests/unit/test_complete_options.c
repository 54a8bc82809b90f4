/* Options of completions that are refused, each with one sentence that names it, and the names of the
 * choices.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ref/ref_causal.h"
#include "sample/complete.h"

enum { VOCAB = 11, CONTEXT = 40, DIM = 3 };

static const ref_causal_config small = {
    .vocab_size = VOCAB, .context = CONTEXT, .flow_dim = DIM, .n_classes = 2, .seed = 3};

static const int32_t text[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};
static const vkdlm_canvas prompts[] = {{text, 2}, {text + 2, 7}, {text + 5, 1}, {text, 12}};

static vkdlm_complete_options all_prompts(void)
{
    return (vkdlm_complete_options){
        .prompts = prompts, .n_prompts = 4, .num_samples = 3, .max_tokens = 9, .seed = 5};
}

static bool no_sample(void *user, const vkdlm_completion *c)
{
    (void)user;
    (void)c;
    fail_msg("a refused run delivered a sample");
    return false;
}

static void refuse(const ref_causal_config *config, vkdlm_complete_options options, const char *expected)
{
    causal *network = ref_causal_create(config);
    vkdlm_model_info info = {.flow = {.present = config->flow_dim > 0, .dim = config->flow_dim}};
    vkdlm_error err = {0};
    options.on_sample = no_sample;
    vkdlm_status status = complete_run(network, &info, &options, NULL, &err);
    if (status != VKDLM_INVALID_ARGUMENT || !strstr(err.message, expected))
        fail_msg("expected '%s', found status %d with '%s'", expected, (int)status, err.message);
    assert_int_equal(ref_causal_get_log(network)->n_runs, 0);
    ref_causal_destroy(network);
}

static void refusals(void **state)
{
    (void)state;
    static const int32_t bad[] = {1, VOCAB}, negative[] = {-1};
    static int32_t long_text[CONTEXT];
    static const vkdlm_canvas canvases[] = {
        {bad, 2}, {negative, 1}, {text, 0}, {NULL, 3}, {long_text, CONTEXT}};
    static const char *const canvas_errors[] = {
        "prompt 0, position 1: expected a token from 0 to 10, found 11", "prompt 0, position 0",
        "prompt 0: expected 1 token", "prompt 0: expected 1 token", "prompt 0: expected at most 39 tokens"};
    for (size_t i = 0; i < sizeof canvases / sizeof *canvases; i++) {
        vkdlm_complete_options options = {.prompts = &canvases[i], .n_prompts = 1};
        refuse(&small, options, canvas_errors[i]);
    }
    vkdlm_complete_options options = all_prompts();
    static const struct {
        const char *expected;
        vkdlm_complete_options with;
    } cases[] = {
        {"--length: expected at most 28 new tokens", {.max_tokens = 29}},
        {"--temperature: expected none", {.greedy = true, .temperature = 0.5}},
        {"--temperature: expected a number from 1e-6 to 1e6, found -1", {.temperature = -1}},
        {"--temperature: expected a number from 1e-6 to 1e6, found nan", {.temperature = NAN}},
        {"--top-p: expected", {.top_p = 1.5}},
        {"--num-samples: expected", {.num_samples = (uint64_t)1 << 40}},
        {"--num-samples: expected", {.first_sample = 0xFFFFFFFF}},
        {"--batch: expected at most 1000 samples", {.batch = 1001}},
        {"--steps: expected 2 to 10000 points", {.flow.steps = 1}},
        {"--steps: expected 2 to 10000 points", {.flow.steps = 10001}},
        {"--solver: expected euler", {.flow.solver = VKDLM_SOLVER_COUNT}},
        {"--rtol: expected an adaptive --solver", {.flow.rtol = 1e-3}},
        {"--max-evals: expected an adaptive", {.flow.max_evaluations = 10}},
        {"--rtol: expected a number above 0", {.flow = {.solver = VKDLM_SOLVER_BOSH3, .rtol = 2}}},
        {"--atol: expected a number above 0", {.flow = {.solver = VKDLM_SOLVER_BOSH3, .atol = -1e-3}}},
        {"--rtol: expected a number above 0", {.flow = {.solver = VKDLM_SOLVER_BOSH3, .rtol = NAN}}},
        {"--max-evals: expected 1 to", {.flow = {.solver = VKDLM_SOLVER_BOSH3, .max_evaluations = 2000000}}},
        {"--first-step: expected", {.flow = {.solver = VKDLM_SOLVER_BOSH3, .first_step = NAN}}},
        {"--flow-end: expected", {.flow.end_time = 1.5}},
        {"--flow-end: expected", {.flow.end_time = -0.5}},
        {"--estimate: expected sample or average", {.flow.estimate = VKDLM_ESTIMATE_COUNT}},
        {"--velocity: expected constant or edm", {.flow.velocity = VKDLM_VELOCITY_COUNT}},
        {"--xhat-temperature", {.flow.temperature = "warm"}},
        {"--class: expected 0 to 1, found 2", {.flow = {.has_class = true, .class_id = 2}}},
        {"--guidance: expected a --class", {.flow = {.has_guidance = true, .guidance = 2}}},
        {"--guidance: expected a number",
         {.flow = {.has_class = true, .has_guidance = true, .guidance = INFINITY}}},
        {"--budget: expected entropy or confidence", {.flow.budget_threshold = 1}},
        {"--budget entropy: expected", {.flow = {.budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = -1}}},
        {"--budget confidence: expected",
         {.flow = {.budget = VKDLM_BUDGET_CONFIDENCE, .budget_threshold = 1.1}}},
        {"--budget: expected all", {.flow.budget = VKDLM_BUDGET_COUNT}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_complete_options o = cases[i].with;
        o.prompts = options.prompts;
        o.n_prompts = options.n_prompts;
        refuse(&small, o, cases[i].expected);
    }

    static float noise[9 * 2 * DIM];
    options.flow.noise = noise;
    options.flow.noise_rows = 2;
    options.flow.noise_tokens = 9;
    refuse(&small, options, "--noise: expected 1 row, or one for each of 12 samples, found 2");
    options.flow.noise_rows = 1;
    options.flow.noise_tokens = 8;
    refuse(&small, options, "--noise: expected x_0 of 9 tokens or more, found 8");
    noise[5] = NAN;
    options.flow.noise_tokens = 9;
    refuse(&small, options, "--noise: expected finite numbers");
    options = (vkdlm_complete_options){0};
    refuse(&small, options, "--prompt: expected a prompt");
}

/* What only a diffusion path understands is refused without one, and classes where there are none. */
static void refusals_of_models(void **state)
{
    (void)state;
    static const float noise[DIM];
    static const vkdlm_flow_options flows[] = {
        {.steps = 4},
        {.solver = VKDLM_SOLVER_EULER},
        {.rtol = 1e-3},
        {.atol = 1e-3},
        {.max_evaluations = 10},
        {.first_step = 0.1},
        {.end_time = 1},
        {.velocity = VKDLM_VELOCITY_EDM},
        {.estimate = VKDLM_ESTIMATE_SAMPLE},
        {.temperature = "1"},
        {.has_class = true},
        {.has_guidance = true},
        {.budget = VKDLM_BUDGET_ENTROPY},
        {.noise = noise},
    };
    ref_causal_config config = small;
    config.flow_dim = 0;
    config.n_classes = 0;
    vkdlm_complete_options options = all_prompts();
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        options.flow = flows[i];
        refuse(&config, options, "expected a model with a diffusion path, found one without");
    }
    config.flow_dim = DIM;
    options.flow = (vkdlm_flow_options){.has_class = true};
    refuse(&config, options, "--class: expected a model with classes");
    options.flow = (vkdlm_flow_options){.has_guidance = true, .guidance = 1.5};
    refuse(&config, options, "--guidance: expected a model with classes");
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(vkdlm_solver_name(VKDLM_SOLVER_DEFAULT), "");
    assert_string_equal(vkdlm_solver_name(VKDLM_SOLVER_MIDPOINT), "midpoint");
    assert_string_equal(vkdlm_solver_name(VKDLM_SOLVER_DOPRI8), "dopri8");
    assert_string_equal(vkdlm_solver_name(VKDLM_SOLVER_COUNT), "");
    assert_false(vkdlm_solver_is_adaptive(VKDLM_SOLVER_RK4));
    assert_true(vkdlm_solver_is_adaptive(VKDLM_SOLVER_DOPRI5));
    assert_false(vkdlm_solver_is_adaptive((vkdlm_solver)1000));
    assert_string_equal(vkdlm_estimate_name(VKDLM_ESTIMATE_AVERAGE), "average");
    assert_string_equal(vkdlm_velocity_name(VKDLM_VELOCITY_EDM), "edm");
    assert_string_equal(vkdlm_budget_name(VKDLM_BUDGET_CONFIDENCE), "confidence");
    assert_string_equal(vkdlm_budget_name((vkdlm_budget)1000), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(refusals),
        cmocka_unit_test(refusals_of_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
