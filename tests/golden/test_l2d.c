/* Models with a diffusion path on a device through the public API against the authors' f32 run: single
 * evaluations, and generations from given noise. Solves by themselves are in test_l2d_solve.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "golden/golden.h"

/* As the golden data advises for f32. */
#define LOGITS_TOLERANCE 1e-3
/* Relative to the largest value; the recorded f32 states themselves are within 2.5e-6 of the reference. */
#define STATE_TOLERANCE 1e-5

enum { N_PROMPTS = 2, N_EVALUATIONS = 10, MAX_LENGTH = 64 };

static const char *const folders[] = {"llama-lora", "llama-full", "qwen2-lora-cfg", "qwen2-full"};

typedef struct golden_case {
    engine_test *engine;
    vkdlm_tensors *file;
    vkdlm_model_info info;
    int32_t *prompt; /* [N_PROMPTS, n_tokens] */
    uint32_t n_tokens;
} golden_case;

static golden_case open_case(engine_test *engine, const char *folder)
{
    char path[512];
    golden_case c = {.engine = engine};
    snprintf(path, sizeof path, "%s/golden/l2d/%s", TESTS_DIR, folder);
    engine_test_model(engine, path);
    vkdlm_model_get_info(engine->model, &c.info);
    snprintf(path, sizeof path, "%s/golden/l2d/%s/expected.safetensors", TESTS_DIR, folder);
    c.file = golden_open(path);
    assert_int_equal(golden_extent(c.file, "prompt", 0), N_PROMPTS);
    c.n_tokens = (uint32_t)golden_extent(c.file, "prompt", 1);
    c.prompt = golden_ints(c.file, "prompt", (size_t)N_PROMPTS * c.n_tokens);
    assert_true(c.info.flow.present && c.info.family == VKDLM_FAMILY_CAUSAL);
    return c;
}

static void close_case(golden_case *c)
{
    free(c->prompt);
    vkdlm_tensors_close(c->file);
    engine_test_close_model(c->engine);
}

static const char *join(char name[96], const char *prefix, const char *part)
{
    snprintf(name, 96, "%s.%s", prefix, part);
    return name;
}

static int32_t integer(const vkdlm_tensors *file, const char *prefix, const char *part)
{
    char name[96];
    int32_t *p = golden_ints(file, join(name, prefix, part), 1), value = *p;
    free(p);
    return value;
}

static float *golden_floats(const vkdlm_tensors *file, const char *name, size_t n)
{
    double *wide = golden_doubles(file, name, n);
    float *out = calloc(n, sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)wide[i];
    free(wide);
    return out;
}

/* ---- evaluations ------------------------------------------------------------------------------------ */

/* What one call of vkdlm_forward returned. */
typedef struct forward_outputs {
    float *logits;
    double *hidden;
    size_t n_logits, n_hidden; /* of a sequence */
} forward_outputs;

static vkdlm_status keep(void *user, uint32_t sequence, const float *logits, const float *hidden,
                         vkdlm_error *err)
{
    (void)err;
    forward_outputs *out = user;
    memcpy(out->logits + sequence * out->n_logits, logits, out->n_logits * sizeof *logits);
    for (size_t i = 0; out->hidden && i < out->n_hidden; i++)
        out->hidden[sequence * out->n_hidden + i] = (double)hidden[i];
    return VKDLM_OK;
}

static forward_outputs forward(const golden_case *c, vkdlm_forward_options options)
{
    size_t n_rows = options.x ? 1 : options.rows ? options.n_rows : options.length;
    forward_outputs out = {.n_logits = n_rows * c->info.vocab_size,
                           .n_hidden = (c->info.n_blocks + 1) * n_rows * c->info.hidden_dim};
    out.logits = calloc(options.n_sequences * out.n_logits, sizeof *out.logits);
    out.hidden = options.hidden ? calloc(options.n_sequences * out.n_hidden, sizeof *out.hidden) : NULL;
    assert_true(out.logits && (out.hidden || !options.hidden));
    options.on_sequence = keep;
    options.user = &out;
    vkdlm_error err = {0};
    engine_test_ok(vkdlm_forward(c->engine->session, &options, &err), &err);
    return out;
}

static void forward_free(forward_outputs *out)
{
    free(out->logits);
    free(out->hidden);
}

static void check_logits(const golden_case *c, const char *name, const float *found, size_t n)
{
    double *expected = golden_doubles(c->file, name, n), *wide = calloc(n, sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)found[i];
    golden_check_close(name, wide, expected, n, LOGITS_TOLERANCE, true);
    free(wide);
    free(expected);
}

static void check_base(const golden_case *c)
{
    size_t size = (size_t)c->n_tokens * c->info.hidden_dim, last = c->info.n_blocks * size;
    forward_outputs out =
        forward(c, (vkdlm_forward_options){
                       .tokens = c->prompt, .n_sequences = N_PROMPTS, .length = c->n_tokens, .hidden = true});
    check_logits(c, "base.logits", out.logits, N_PROMPTS * out.n_logits);
    double *expected = golden_doubles(c->file, "base.hidden", N_PROMPTS * size);
    for (size_t i = 0; i < N_PROMPTS; i++)
        golden_check_close("base.hidden", out.hidden + i * out.n_hidden + last, expected + i * size, size,
                           STATE_TOLERANCE, false);
    free(expected);
    forward_free(&out);
}

/* eval.K: logits, and y behind the encoder and every layer. At t = 0 the logits are those of the base model,
 * bit for bit. */
static void check_evaluation(const golden_case *c, unsigned index)
{
    char prefix[32], name[96];
    snprintf(prefix, sizeof prefix, "eval.%u", index);
    size_t dim = c->info.hidden_dim;
    float *x = golden_floats(c->file, join(name, prefix, "x"), c->info.flow.dim);
    float *t = golden_floats(c->file, join(name, prefix, "t"), 1);
    int32_t class_id = integer(c->file, prefix, "class"), row = integer(c->file, prefix, "row");
    assert_true(row >= 0 && row < N_PROMPTS);
    vkdlm_forward_options options = {.tokens = c->prompt + (size_t)row * c->n_tokens,
                                     .n_sequences = 1,
                                     .length = c->n_tokens,
                                     .x = x,
                                     .t = t,
                                     .class_ids = c->info.flow.n_classes ? &class_id : NULL,
                                     .hidden = true};
    forward_outputs out = forward(c, options);
    check_logits(c, join(name, prefix, "logits"), out.logits, out.n_logits);
    for (uint32_t i = 0; *t > 0 && i <= c->info.n_blocks; i++) {
        char part[16] = "y.in";
        if (i > 0)
            snprintf(part, sizeof part, "y.%u", i - 1);
        double *expected = golden_doubles(c->file, join(name, prefix, part), dim);
        golden_check_close(name, out.hidden + i * dim, expected, dim, STATE_TOLERANCE, false);
        free(expected);
    }
    if (!(*t > 0)) {
        uint32_t last = c->n_tokens - 1;
        forward_outputs base = forward(c, (vkdlm_forward_options){.tokens = options.tokens,
                                                                  .n_sequences = 1,
                                                                  .length = c->n_tokens,
                                                                  .rows = &last,
                                                                  .n_rows = 1});
        assert_memory_equal(out.logits, base.logits, out.n_logits * sizeof *out.logits);
        forward_free(&base);
    }
    forward_free(&out);
    free(t);
    free(x);
}

/* Both prompts in one call, each at its own t: the bits of one call for each. */
static void check_together(const golden_case *c)
{
    size_t n = c->info.flow.dim;
    float *x = calloc(N_PROMPTS * n, sizeof *x), t[N_PROMPTS] = {0.25f, 0.9f};
    assert_non_null(x);
    for (size_t i = 0; i < N_PROMPTS * n; i++)
        x[i] = (float)(i * 29 % 101) - 50;
    vkdlm_forward_options options = {
        .tokens = c->prompt, .n_sequences = N_PROMPTS, .length = c->n_tokens, .x = x, .t = t};
    forward_outputs both = forward(c, options);
    for (size_t i = 0; i < N_PROMPTS; i++) {
        options.tokens = c->prompt + i * c->n_tokens;
        options.n_sequences = 1;
        options.x = x + i * n;
        options.t = t + i;
        forward_outputs one = forward(c, options);
        assert_memory_equal(one.logits, both.logits + i * both.n_logits, one.n_logits * sizeof *one.logits);
        forward_free(&one);
    }
    forward_free(&both);
    free(x);
}

static void test_evaluations(void **state)
{
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        golden_case c = open_case(*state, folders[f]);
        check_base(&c);
        for (unsigned i = 0; i < N_EVALUATIONS; i++)
            check_evaluation(&c, i);
        check_together(&c);
        close_case(&c);
    }
}

/* ---- generations -------------------------------------------------------------------------------------- */

/* One recorded generation. */
typedef struct generation {
    const char *name;
    bool base;   /* without the diffusion path */
    bool guided; /* with a class and a weight */
    vkdlm_solver solver;
} generation;

static const generation generations[] = {
    {.name = "base", .base = true},
    {.name = "base_padded", .base = true},
    {.name = "single", .solver = VKDLM_SOLVER_MIDPOINT},
    {.name = "padded", .solver = VKDLM_SOLVER_MIDPOINT},
    {.name = "euler8", .solver = VKDLM_SOLVER_EULER},
    {.name = "class_only", .guided = true, .solver = VKDLM_SOLVER_MIDPOINT},
    {.name = "guided", .guided = true, .solver = VKDLM_SOLVER_MIDPOINT},
};

/* What a run delivered for each of its prompts. */
typedef struct completions {
    int32_t tokens[N_PROMPTS][MAX_LENGTH]; /* the new ones */
    double log_prob[N_PROMPTS][MAX_LENGTH];
    uint32_t n_new[N_PROMPTS];
    vkdlm_flow_counts counts[N_PROMPTS];
    uint32_t n;
} completions;

static bool keep_token(void *user, const vkdlm_token_step *step)
{
    completions *out = user;
    assert_true(step->sample < N_PROMPTS && step->index < MAX_LENGTH);
    out->log_prob[step->sample][step->index] = (double)step->log_prob;
    return true;
}

static bool keep_completion(void *user, const vkdlm_completion *completion)
{
    completions *out = user;
    uint32_t n_new = completion->length - completion->prompt_length;
    assert_true(completion->complete && completion->sample == out->n && out->n < N_PROMPTS &&
                n_new <= MAX_LENGTH);
    memcpy(out->tokens[out->n], completion->tokens + completion->prompt_length,
           n_new * sizeof *completion->tokens);
    out->counts[out->n] = completion->counts;
    out->n_new[out->n++] = n_new;
    return true;
}

static double log_softmax(const double *logits, size_t n, int32_t token)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(logits[i] - max);
    return logits[token] - max - log(sum);
}

/* One row of a recorded generation against what a run gave for it. */
static void check_row(const golden_case *c, const char *prefix, size_t row, size_t n_rows,
                      const completions *found, uint32_t index)
{
    char name[96];
    size_t vocab = c->info.vocab_size, n = golden_extent(c->file, join(name, prefix, "tokens"), 1);
    int32_t *tokens = golden_ints(c->file, name, n_rows * n);
    double *logits = golden_doubles(c->file, join(name, prefix, "logits"), n_rows * n * vocab);
    double log_prob[MAX_LENGTH];
    assert_int_equal(found->n_new[index], n);
    for (size_t i = 0; i < n; i++) {
        int32_t expected = tokens[row * n + i];
        if (found->tokens[index][i] != expected)
            fail_msg("%s, row %zu, token %zu: expected %d, found %d", prefix, row, i, expected,
                     found->tokens[index][i]);
        log_prob[i] = log_softmax(logits + (row * n + i) * vocab, vocab, expected);
    }
    golden_check_close(prefix, found->log_prob[index], log_prob, n, LOGITS_TOLERANCE, true);
    free(logits);
    free(tokens);
}

static void check_counts(const golden_case *c, const char *prefix, const vkdlm_flow_counts *counts,
                         bool two_branches, bool base)
{
    char name[96];
    uint64_t n = golden_extent(c->file, join(name, prefix, "tokens"), 1), n_calls = 0;
    if (base) {
        assert_int_equal(counts->path, 0);
        assert_int_equal(counts->velocity_calls, 0);
        assert_int_equal(counts->refined, 0);
    } else {
        int32_t *nfe = golden_ints(c->file, join(name, prefix, "nfe"), n);
        for (uint64_t i = 0; i < n; i++)
            n_calls += (uint64_t)nfe[i];
        free(nfe);
        assert_int_equal(counts->velocity_calls, n_calls);
        /* Not at t = 0, but at the end; neither solver has a call at t = 1. */
        assert_int_equal(counts->path, (n_calls - n) * (two_branches ? 2 : 1) + n);
        assert_int_equal(counts->refined, n);
    }
    assert_int_equal(counts->main, n);
    assert_int_equal(counts->limited, 0);
}

/* Rows [first, first + n_run) of a generation of n_rows, in one run. */
static void run_generation(const golden_case *c, const generation *g, size_t n_rows, size_t first,
                           size_t n_run)
{
    char prefix[64], name[96];
    snprintf(prefix, sizeof prefix, "generate.%s", g->name);
    size_t length = golden_extent(c->file, join(name, prefix, "prompt"), 1), dim = c->info.flow.dim;
    int32_t *prompt = golden_ints(c->file, name, n_rows * length);
    int32_t *lengths = golden_ints(c->file, join(name, prefix, "length"), n_rows);
    size_t n_new = golden_extent(c->file, join(name, prefix, "tokens"), 1);
    vkdlm_complete_options options = {.n_prompts = (uint32_t)n_run,
                                      .max_tokens = (uint32_t)n_new,
                                      .ignore_end = true,
                                      .greedy = true,
                                      .flow = {.off = g->base},
                                      .on_token = keep_token,
                                      .on_sample = keep_completion};
    vkdlm_canvas canvases[N_PROMPTS];
    for (size_t i = 0; i < n_run; i++) {
        size_t row = first + i, n = (size_t)lengths[row];
        canvases[i] = (vkdlm_canvas){prompt + (row + 1) * length - n, (uint32_t)n};
    }
    options.prompts = canvases;

    float *all = NULL, *noise = NULL;
    if (!g->base) {
        all = golden_floats(c->file, join(name, prefix, "x0"), n_new * n_rows * dim);
        noise = calloc(n_new * n_run * dim, sizeof *noise);
        assert_non_null(noise);
        for (size_t i = 0; i < n_new; i++)
            memcpy(noise + i * n_run * dim, all + (i * n_rows + first) * dim, n_run * dim * sizeof *noise);
        options.flow.noise = noise;
        options.flow.noise_tokens = (uint32_t)n_new;
        options.flow.noise_rows = (uint32_t)n_run;
        options.flow.solver = g->solver;
        options.flow.steps = (uint32_t)integer(c->file, prefix, "steps");
    }
    if (g->guided) {
        int32_t *classes = golden_ints(c->file, join(name, prefix, "class"), n_rows);
        double *w = golden_doubles(c->file, join(name, prefix, "w"), 1);
        options.flow.has_class = true;
        options.flow.class_id = (uint32_t)classes[first];
        options.flow.has_guidance = true;
        options.flow.guidance = *w;
        free(w);
        free(classes);
    }
    completions found = {0};
    options.user = &found;
    vkdlm_error err = {0};
    engine_test_ok(vkdlm_complete(c->engine->session, &options, NULL, &err), &err);
    assert_int_equal(found.n, n_run);
    bool two = g->guided && options.flow.guidance != 1;
    for (uint32_t i = 0; i < n_run; i++) {
        check_row(c, prefix, first + i, n_rows, &found, i);
        check_counts(c, prefix, &found.counts[i], two, g->base);
    }
    free(noise);
    free(all);
    free(lengths);
    free(prompt);
}

/* Every recorded generation, the rows of one together and each alone; a run has one class. */
static void test_generations(void **state)
{
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        golden_case c = open_case(*state, folders[f]);
        unsigned n_checked = 0;
        for (size_t i = 0; i < sizeof generations / sizeof *generations; i++) {
            const generation *g = &generations[i];
            char name[96];
            snprintf(name, sizeof name, "generate.%s.tokens", g->name);
            if (!vkdlm_tensors_find(c.file, name))
                continue;
            size_t n_rows = golden_extent(c.file, name, 0);
            assert_true(n_rows <= N_PROMPTS);
            for (size_t row = 0; row < n_rows; row++)
                run_generation(&c, g, n_rows, row, 1);
            if (n_rows > 1 && !g->guided)
                run_generation(&c, g, n_rows, 0, n_rows);
            n_checked++;
        }
        assert_int_equal(n_checked, c.info.flow.n_classes ? 7 : 5);
        close_case(&c);
    }
}

/* What l2d.json says. */
static void test_info(void **state)
{
    golden_case c = open_case(*state, "qwen2-lora-cfg");
    const vkdlm_flow_info *flow = &c.info.flow;
    assert_int_equal(flow->dim, 32);
    assert_int_equal(flow->n_classes, 3);
    assert_int_equal(flow->lora_rank, 6);
    assert_true(flow->noise_scale == 64);
    assert_int_equal(flow->steps, 4);
    assert_int_equal(flow->solver, VKDLM_SOLVER_MIDPOINT);
    assert_int_equal(flow->estimate, VKDLM_ESTIMATE_SAMPLE);
    assert_int_equal(flow->velocity, VKDLM_VELOCITY_CONSTANT);
    assert_true(flow->rtol == 1e-5 && flow->atol == 1e-5 && flow->end_time == 1);
    close_case(&c);
    c = open_case(*state, "llama-full");
    assert_int_equal(c.info.flow.dim, 256);
    assert_int_equal(c.info.flow.lora_rank, 0);
    assert_int_equal(c.info.flow.n_classes, 0);
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_evaluations),
        cmocka_unit_test(test_generations),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
