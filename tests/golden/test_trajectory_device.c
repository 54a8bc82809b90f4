/* Recorded runs on a device: the file against the callbacks that it was written from, masked runs against the
 * scalar reference, runs of a flow against single evaluations at the recorded states. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine_test.h"
#include "golden/golden.h"
#include "ref/ref_denoiser.h"
#include "ref/ref_l2d.h"
#include "sample/masked.h"

/* Log-probabilities of a float32 network of this size are within 1e-4 of the reference's. */
#define TOLERANCE 1e-3

enum { MAX_STEPS = 200, MAX_LENGTH = 96, MAX_CANDIDATES = 64 };

static char path[64];

/* One step of the recorded sample as a callback saw it. */
typedef struct seen_step {
    int32_t tokens[MAX_LENGTH];
    uint32_t length, evaluations, n_changed, n_evaluated, n_candidates;
    double time;
    uint32_t changed[MAX_LENGTH];
    float probability[MAX_LENGTH], entropy[MAX_LENGTH];
    int32_t ids[MAX_LENGTH * MAX_CANDIDATES];
    float probs[MAX_LENGTH * MAX_CANDIDATES];
    uint64_t host_ns, device_ns;
} seen_step;

typedef struct seen_run {
    vkdlm_recorder *recorder; /* NULL: of the reference */
    uint64_t sample;
    uint32_t n;
    seen_step *steps; /* [MAX_STEPS] */
} seen_run;

static bool see_step(void *user, const vkdlm_step *step)
{
    seen_run *run = user;
    if (run->recorder)
        assert_true(vkdlm_recorder_on_step(run->recorder, step));
    if (step->sample != run->sample)
        return true;
    assert_true(run->n < MAX_STEPS && step->length <= MAX_LENGTH && step->n_candidates <= MAX_CANDIDATES);
    assert_true(step->n_evaluated >= step->n_changed);
    seen_step *to = &run->steps[run->n++];
    memset(to, 0, sizeof *to);
    to->length = step->length;
    to->evaluations = step->evaluations;
    to->n_changed = step->n_changed;
    to->n_evaluated = step->n_evaluated;
    to->n_candidates = step->n_candidates;
    to->time = step->time;
    to->host_ns = step->host_ns;
    to->device_ns = step->device_ns;
    memcpy(to->tokens, step->tokens, step->length * sizeof *step->tokens);
    memcpy(to->changed, step->changed, step->n_evaluated * sizeof *step->changed);
    memcpy(to->probability, step->probability, step->n_evaluated * sizeof *step->probability);
    memcpy(to->entropy, step->entropy, step->n_evaluated * sizeof *step->entropy);
    size_t n = (size_t)step->n_evaluated * step->n_candidates;
    if (n) {
        memcpy(to->ids, step->candidate_ids, n * sizeof *to->ids);
        memcpy(to->probs, step->candidate_probs, n * sizeof *to->probs);
    }
    return true;
}

static seen_run make_run(uint64_t sample)
{
    seen_run run = {.sample = sample, .steps = calloc(MAX_STEPS, sizeof *run.steps)};
    assert_non_null(run.steps);
    return run;
}

/* The file says what the callback saw, to the bit. */
static void check_file(const seen_run *run)
{
    vkdlm_trajectory *t;
    vkdlm_trajectory_info info;
    vkdlm_trajectory_step s;
    vkdlm_error err = {0};
    engine_test_ok(vkdlm_trajectory_open(path, &t, &err), &err);
    vkdlm_trajectory_get_info(t, &info);
    assert_int_equal(info.n_steps, run->n);
    for (uint32_t i = 0; i < run->n; i++) {
        const seen_step *e = &run->steps[i];
        uint32_t k = e->n_candidates, n_evaluated = 0;
        assert_true(vkdlm_trajectory_get_step(t, i + 1, &s));
        assert_true(info.length == e->length && info.n_candidates == k);
        assert_memory_equal(s.tokens, e->tokens, e->length * sizeof *e->tokens);
        assert_true(s.time == (float)e->time && s.evaluations == (int32_t)e->evaluations);
        assert_true(s.host_ns == (int64_t)e->host_ns && s.device_ns == (int64_t)e->device_ns &&
                    s.host_ns > 0);
        for (uint32_t l = 0; l < e->length; l++)
            n_evaluated += isnan(s.confidence[l]) ? 0 : 1;
        assert_int_equal(n_evaluated, e->n_evaluated);
        for (uint32_t j = 0; j < e->n_evaluated; j++) {
            uint32_t at = e->changed[j];
            assert_true(s.confidence[at] == e->probability[j] && s.entropy[at] == e->entropy[j]);
            assert_memory_equal(s.topk_ids + at * k, e->ids + j * k, k * sizeof *e->ids);
            assert_memory_equal(s.topk_probs + at * k, e->probs + j * k, k * sizeof *e->probs);
            assert_true(j >= e->n_changed ? s.tokens[at] == info.mask_id && s.previous[at] == info.mask_id
                                          : s.previous[at] == info.mask_id && s.tokens[at] != info.mask_id);
        }
        uint32_t n_changed = 0;
        for (uint32_t l = 0; l < e->length; l++)
            n_changed += s.tokens[l] != s.previous[l];
        assert_int_equal(n_changed, e->n_changed);
    }
    vkdlm_trajectory_close(t);
    unlink(path);
}

static void close_numbers(const char *what, uint32_t step, double found, double expected)
{
    if (!(fabs(found - expected) <= TOLERANCE))
        fail_msg("step %u: %s is %.9g, expected %.9g", step, what, found, expected);
}

/* Two runs of the same seeds, whose numbers differ by rounding; a candidate may stand in another place only
 * among equals. */
static void check_alike(const seen_run *a, const seen_run *b)
{
    assert_int_equal(a->n, b->n);
    for (uint32_t i = 0; i < a->n; i++) {
        const seen_step *x = &a->steps[i], *y = &b->steps[i];
        assert_true(x->n_changed == y->n_changed && x->n_evaluated == y->n_evaluated);
        assert_true(x->evaluations == y->evaluations && x->time == y->time);
        assert_memory_equal(x->tokens, y->tokens, x->length * sizeof *x->tokens);
        assert_memory_equal(x->changed, y->changed, x->n_evaluated * sizeof *x->changed);
        for (uint32_t j = 0; j < x->n_evaluated; j++) {
            close_numbers("probability", i, (double)x->probability[j], (double)y->probability[j]);
            close_numbers("entropy", i, (double)x->entropy[j], (double)y->entropy[j]);
        }
        for (uint32_t c = 0; c < x->n_evaluated * x->n_candidates; c++) {
            close_numbers("candidate", i, (double)x->probs[c], (double)y->probs[c]);
            bool edge = c % x->n_candidates + 1 == x->n_candidates;
            bool apart = (c % x->n_candidates == 0 || y->probs[c - 1] - y->probs[c] > 2 * (float)TOLERANCE) &&
                         !edge && y->probs[c] - y->probs[c + 1] > 2 * (float)TOLERANCE;
            if (apart && x->ids[c] != y->ids[c])
                fail_msg("step %u: candidate %u is %d, expected %d", i, c, x->ids[c], y->ids[c]);
            assert_int_equal(x->ids[c] < 0, y->ids[c] < 0);
        }
    }
}

static void record_on_device(engine_test *engine, vkdlm_generate_options options, seen_run *run)
{
    vkdlm_error err = {0};
    vkdlm_model_info info;
    vkdlm_model_get_info(engine->model, &info);
    const vkdlm_recorder_options recording = {.masked = &options, .info = &info, .sample = run->sample};
    engine_test_ok(vkdlm_recorder_create(path, &recording, &run->recorder, &err), &err);
    options.on_step = see_step;
    options.user = run;
    engine_test_ok(vkdlm_generate(engine->session, &options, NULL, &err), &err);
    engine_test_ok(vkdlm_recorder_finish(run->recorder, &err), &err);
    run->recorder = NULL;
}

/* One set of options: in a batch, alone, and by the reference. */
static void check_masked(engine_test *engine, denoiser *network, vkdlm_generate_options options)
{
    vkdlm_error err = {0};
    options.seed = 11;
    options.num_samples = options.batch = 2;
    seen_run batched = make_run(1), alone = make_run(0), reference = make_run(1), plain = make_run(1);
    record_on_device(engine, options, &batched);
    check_file(&batched);
    assert_true(batched.n > 0);

    options.on_step = see_step;
    options.user = &reference;
    engine_test_ok(masked_run(network, &options, NULL, &err), &err);
    check_alike(&batched, &reference);

    /* Not asking changes no token. */
    vkdlm_generate_options quiet = options;
    quiet.n_candidates = 0;
    quiet.evaluate_all = false;
    quiet.user = &plain;
    engine_test_ok(vkdlm_generate(engine->session, &quiet, NULL, &err), &err);
    assert_int_equal(plain.n, batched.n);
    for (uint32_t i = 0; i < plain.n; i++) {
        const seen_step *a = &batched.steps[i], *b = &plain.steps[i];
        assert_memory_equal(a->tokens, b->tokens, a->length * sizeof *a->tokens);
        assert_memory_equal(a->probability, b->probability, b->n_changed * sizeof *b->probability);
        assert_memory_equal(a->entropy, b->entropy, b->n_changed * sizeof *b->entropy);
        assert_true(b->n_evaluated == b->n_changed && b->n_candidates == 0);
    }

    options.num_samples = options.batch = 1;
    options.first_sample = 1;
    record_on_device(engine, options, &alone);
    check_file(&alone);
    assert_int_equal(alone.n, batched.n);
    for (uint32_t i = 0; i < alone.n; i++) {
        batched.steps[i].host_ns = alone.steps[i].host_ns;
        batched.steps[i].device_ns = alone.steps[i].device_ns;
    }
    assert_memory_equal(alone.steps, batched.steps, alone.n * sizeof *alone.steps);
    free(batched.steps);
    free(alone.steps);
    free(reference.steps);
    free(plain.steps);
}

/* part: 0 or 1, every second set of options; those of a model's length take the longest. */
static void check_model(engine_test *engine, const char *dir, size_t part)
{
    ref_mdlm *net = ref_mdlm_open(dir);
    assert_non_null(net);
    denoiser *network = ref_denoiser_create(net, 8);
    engine_test_model(engine, dir);
    int32_t given[12];
    for (int i = 0; i < 12; i++)
        given[i] = i % 4 == 1 ? 2 : network->mask_id;
    const vkdlm_canvas infill = {given, 12};
#define INFILL .canvases = &infill, .n_canvases = 1
    const vkdlm_generate_options runs[] = {
        {INFILL, .sampler = VKDLM_SAMPLER_DDPM, .steps = 4, .n_candidates = 4},
        {INFILL, .sampler = VKDLM_SAMPLER_DDPM_CACHE, .steps = 20, .n_candidates = 1},
        {INFILL, .sampler = VKDLM_SAMPLER_ANALYTIC, .steps = 4, .n_candidates = MAX_CANDIDATES},
        {INFILL, .sampler = VKDLM_SAMPLER_FIRST_HITTING, .n_candidates = 4},
        {INFILL, .sampler = VKDLM_SAMPLER_FIRST_HITTING, .n_candidates = 4, .evaluate_all = true},
        {INFILL, .sampler = VKDLM_SAMPLER_DDPM, .steps = 4, .n_candidates = 4, .evaluate_all = true},
        {INFILL, .sampler = VKDLM_SAMPLER_ANALYTIC, .steps = 4, .n_candidates = 3, .evaluate_all = true},
        {.steps = 4, .n_candidates = 4, .evaluate_all = true},
        {INFILL, .steps = 6, .n_candidates = 4, .top_k = 4, .top_p = 0.9, .temperature = 0.8},
        {INFILL, .steps = 5, .stride = 4, .strides = 2, .n_candidates = 4},
        {INFILL, .steps = 4, .no_final_denoise = true, .end_time = 0.3, .n_candidates = 4},
        {INFILL, .steps = 4, .evaluate_all = true},
    };
#undef INFILL
    for (size_t i = part; i < sizeof runs / sizeof *runs; i += 2)
        check_masked(engine, network, runs[i]);
    engine_test_close_model(engine);
    ref_denoiser_destroy(network);
    ref_mdlm_close(net);
}

static void test_masked(void **state)
{
    check_model(*state, GOLDEN_MDLM("notc"), 0);
    check_model(*state, GOLDEN_MDLM("tc"), 1);
}

/* ---- flows -------------------------------------------------------------------------------------------- */

enum { MAX_EVALUATIONS = 1000, MAX_DIM = 512, MAX_TOKENS = 2 };

typedef struct seen_evaluation {
    uint32_t token_index, n_candidates;
    bool last;
    double time;
    float x[MAX_DIM], entropy, wd_norm;
    int32_t xhat_id, ids[MAX_CANDIDATES];
    float probs[MAX_CANDIDATES];
    uint64_t device_ns;
} seen_evaluation;

typedef struct seen_flow {
    vkdlm_recorder *recorder;
    uint64_t sample;
    uint32_t n, n_tokens, dim;
    int32_t tokens[MAX_TOKENS];
    seen_evaluation *evaluations; /* [MAX_EVALUATIONS] */
} seen_flow;

static bool see_flow_step(void *user, const vkdlm_flow_step *step)
{
    seen_flow *run = user;
    if (run->recorder)
        assert_true(vkdlm_recorder_on_flow_step(run->recorder, step));
    if (step->sample != run->sample)
        return true;
    assert_true(run->n < MAX_EVALUATIONS && step->dim <= MAX_DIM && step->n_candidates <= MAX_CANDIDATES);
    const seen_evaluation *before = run->n ? &run->evaluations[run->n - 1] : NULL;
    bool first = !before || before->last;
    assert_int_equal(step->token_index, run->n_tokens);
    assert_true(first == (step->index == 0) && first == (step->time == 0));
    seen_evaluation *to = &run->evaluations[run->n++];
    memset(to, 0, sizeof *to);
    to->token_index = step->token_index;
    to->n_candidates = step->n_candidates;
    to->last = step->last;
    to->time = step->time;
    to->entropy = step->entropy;
    to->wd_norm = step->wd_norm;
    to->xhat_id = step->xhat_id;
    to->device_ns = step->device_ns;
    run->dim = step->dim;
    memcpy(to->x, step->x, step->dim * sizeof *step->x);
    memcpy(to->ids, step->candidate_ids, step->n_candidates * sizeof *to->ids);
    memcpy(to->probs, step->candidate_probs, step->n_candidates * sizeof *to->probs);
    return true;
}

static bool see_token(void *user, const vkdlm_token_step *step)
{
    seen_flow *run = user;
    if (run->recorder)
        assert_true(vkdlm_recorder_on_token(run->recorder, step));
    if (step->sample != run->sample)
        return true;
    assert_true(run->n_tokens < MAX_TOKENS);
    const seen_evaluation *last = run->n ? &run->evaluations[run->n - 1] : NULL;
    if (step->refined)
        assert_true(last && last->last && last->xhat_id == step->token && last->entropy == step->entropy);
    run->tokens[run->n_tokens++] = step->token;
    return true;
}

static void check_flow_file(const seen_flow *run)
{
    vkdlm_trajectory *t;
    vkdlm_trajectory_info info;
    vkdlm_trajectory_evaluation v;
    vkdlm_error err = {0};
    engine_test_ok(vkdlm_trajectory_open(path, &t, &err), &err);
    vkdlm_trajectory_get_info(t, &info);
    assert_true(info.n_evaluations == run->n && info.n_tokens == run->n_tokens && info.dim == run->dim);
    assert_memory_equal(info.tokens, run->tokens, run->n_tokens * sizeof *run->tokens);
    for (uint32_t i = 0; i < run->n; i++) {
        const seen_evaluation *e = &run->evaluations[i];
        assert_true(vkdlm_trajectory_get_evaluation(t, i, &v));
        assert_true(v.token_index == e->token_index && v.time == (float)e->time && v.xhat_id == e->xhat_id);
        assert_true(v.entropy == e->entropy && v.wd_norm == e->wd_norm &&
                    v.device_ns == (int64_t)e->device_ns);
        assert_memory_equal(v.x, e->x, run->dim * sizeof *e->x);
        assert_memory_equal(v.topk_ids, e->ids, e->n_candidates * sizeof *e->ids);
        assert_memory_equal(v.topk_probs, e->probs, e->n_candidates * sizeof *e->probs);
    }
    vkdlm_trajectory_close(t);
    unlink(path);
}

static vkdlm_status keep_logits(void *user, uint32_t sequence, const float *logits, const float *hidden,
                                vkdlm_error *err)
{
    (void)sequence, (void)hidden, (void)err;
    double *out = user;
    for (uint32_t i = 0; out[i] != INFINITY; i++)
        out[i] = (double)logits[i];
    return VKDLM_OK;
}

/* The distribution at a recorded state, from a single evaluation there. */
static void check_evaluation(engine_test *engine, const vkdlm_model_info *info, const seen_evaluation *e,
                             const int32_t *tokens, uint32_t length, int32_t class_id, double temperature)
{
    uint32_t vocab = info->vocab_size;
    double *p = calloc(vocab + 1, sizeof *p), most = -INFINITY, sum = 0, entropy = 0;
    assert_non_null(p);
    p[vocab] = INFINITY;
    float time = (float)e->time;
    const vkdlm_forward_options options = {.tokens = tokens,
                                           .n_sequences = 1,
                                           .length = length,
                                           .x = e->x,
                                           .t = &time,
                                           .class_ids = &class_id,
                                           .on_sequence = keep_logits,
                                           .user = p};
    vkdlm_error err = {0};
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);
    for (uint32_t i = 0; i < vocab; i++)
        most = fmax(most, p[i] /= temperature);
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp(p[i] - most);
    for (uint32_t i = 0; i < vocab; i++) {
        double log_p = p[i] - most - log(sum);
        p[i] = exp(log_p);
        entropy -= p[i] * log_p;
    }
    close_numbers("entropy", e->token_index, (double)e->entropy, entropy);
    for (uint32_t k = 0; k < e->n_candidates; k++) {
        if (e->ids[k] < 0) {
            assert_true(k >= vocab && e->probs[k] == 0);
            continue;
        }
        close_numbers("candidate", e->token_index, (double)e->probs[k], p[e->ids[k]]);
        uint32_t better = 0;
        for (uint32_t i = 0; i < vocab; i++)
            better += p[i] > p[e->ids[k]] + TOLERANCE;
        assert_true(better <= k);
    }
    free(p);
}

static void check_flow(engine_test *engine, const char *folder, vkdlm_complete_options options,
                       double temperature)
{
    static const int32_t prompt[] = {5, 9, 2, 7};
    const vkdlm_canvas prompts[] = {{prompt, 4}, {prompt, 3}};
    char dir[512];
    vkdlm_model_info info;
    vkdlm_error err = {0};
    seen_flow run = {.sample = 1, .evaluations = calloc(MAX_EVALUATIONS, sizeof *run.evaluations)},
              alone = run;
    alone.evaluations = calloc(MAX_EVALUATIONS, sizeof *alone.evaluations);
    alone.sample = 0;
    assert_true(run.evaluations && alone.evaluations);
    snprintf(dir, sizeof dir, "%s/golden/l2d/%s", TESTS_DIR, folder);
    engine_test_model(engine, dir);
    vkdlm_model_get_info(engine->model, &info);
    options.prompts = prompts;
    options.n_prompts = options.batch = 2;
    options.max_tokens = MAX_TOKENS;
    options.ignore_end = true;
    options.seed = 3;
    const vkdlm_recorder_options recording = {.flow = &options, .info = &info, .sample = 1};
    engine_test_ok(vkdlm_recorder_create(path, &recording, &run.recorder, &err), &err);
    options.on_flow_step = see_flow_step;
    options.on_token = see_token;
    options.user = &run;
    engine_test_ok(vkdlm_complete(engine->session, &options, NULL, &err), &err);
    engine_test_ok(vkdlm_recorder_finish(run.recorder, &err), &err);
    assert_true(run.n_tokens == MAX_TOKENS);
    check_flow_file(&run);

    int32_t tokens[8] = {5, 9, 2};
    memcpy(tokens + 3, run.tokens, sizeof run.tokens);
    int32_t class_id = options.flow.has_class ? (int32_t)options.flow.class_id : -1;
    ref_llm *base = ref_llm_open(dir);
    ref_l2d *path_net = base ? ref_l2d_open(dir, base) : NULL;
    assert_non_null(path_net);
    double *gain = calloc(info.hidden_dim, sizeof *gain);
    for (uint32_t i = 0; i < run.n; i++) {
        const seen_evaluation *e = &run.evaluations[i];
        double squares = 0;
        /* Of many, a part: each takes a submission of its own. */
        if (i < 6 || i % 7 == 0 || e->last)
            check_evaluation(engine, &info, e, tokens, 3 + e->token_index, class_id,
                             e->last ? 1 : temperature);
        ref_l2d_gain(path_net, e->time, class_id, gain);
        for (uint32_t j = 0; j < info.hidden_dim; j++)
            squares += gain[j] * gain[j];
        if (!(fabs((double)e->wd_norm - sqrt(squares)) <= 1e-3 * (1 + sqrt(squares))))
            fail_msg("at %g the gate's norm is %g, expected %g", e->time, (double)e->wd_norm, sqrt(squares));
    }
    free(gain);
    ref_l2d_close(path_net);
    ref_llm_close(base);

    /* The same sample by itself. */
    options.prompts = &prompts[1];
    options.n_prompts = options.batch = 1;
    options.first_sample = 1;
    options.user = &alone;
    engine_test_ok(vkdlm_complete(engine->session, &options, NULL, &err), &err);
    assert_int_equal(alone.n, run.n);
    for (uint32_t i = 0; i < run.n; i++)
        alone.evaluations[i].device_ns = run.evaluations[i].device_ns;
    assert_memory_equal(alone.evaluations, run.evaluations, run.n * sizeof *run.evaluations);
    assert_memory_equal(alone.tokens, run.tokens, sizeof run.tokens);
    engine_test_close_model(engine);
    free(run.evaluations);
    free(alone.evaluations);
}

static void test_flow(void **state)
{
    const vkdlm_flow_options midpoint = {.steps = 4, .solver = VKDLM_SOLVER_MIDPOINT, .temperature = "0"};
    check_flow(*state, "llama-lora", (vkdlm_complete_options){.n_candidates = 4, .flow = midpoint}, 1);
    const vkdlm_flow_options heun = {.steps = 20, .solver = VKDLM_SOLVER_HEUN2, .temperature = "0.7"};
    check_flow(*state, "qwen2-full", (vkdlm_complete_options){.n_candidates = 4, .flow = heun}, 0.7);
    const vkdlm_flow_options adaptive = {
        .solver = VKDLM_SOLVER_BOSH3, .rtol = 1e-2, .atol = 1e-2, .max_evaluations = 60, .temperature = "0"};
    check_flow(*state, "llama-lora", (vkdlm_complete_options){.n_candidates = 4, .flow = adaptive}, 1);
    const vkdlm_flow_options guided = {.steps = 3,
                                       .solver = VKDLM_SOLVER_EULER,
                                       .temperature = "0",
                                       .has_class = true,
                                       .class_id = 1,
                                       .has_guidance = true,
                                       .guidance = 1.5};
    check_flow(*state, "qwen2-lora-cfg", (vkdlm_complete_options){.n_candidates = 1, .flow = guided}, 1);
    vkdlm_flow_options guided_adaptive = guided;
    guided_adaptive.solver = VKDLM_SOLVER_ADAPTIVE_HEUN;
    guided_adaptive.max_evaluations = 30;
    check_flow(*state, "qwen2-lora-cfg", (vkdlm_complete_options){.n_candidates = 1, .flow = guided_adaptive},
               1);
    const vkdlm_flow_options mean = {.steps = 3,
                                     .solver = VKDLM_SOLVER_MIDPOINT,
                                     .estimate = VKDLM_ESTIMATE_AVERAGE,
                                     .temperature = "0.5"};
    check_flow(*state, "llama-lora", (vkdlm_complete_options){.n_candidates = 4, .flow = mean}, 0.5);
}

/* Tokens that are not refined have no evaluations. */
static void test_budget(void **state)
{
    const vkdlm_flow_options some = {.steps = 3,
                                     .solver = VKDLM_SOLVER_EULER,
                                     .temperature = "0",
                                     .budget = VKDLM_BUDGET_ENTROPY,
                                     .budget_threshold = 1};
    check_flow(*state, "llama-lora", (vkdlm_complete_options){.n_candidates = 4, .flow = some}, 1);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/vkdlm-trajectory-device-%ld", (long)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
