/* The law of refined tokens on a device. On two grid points euler ends at x_1 = V_y, y drawn from the base's
 * tempered distribution, so the token's law is exactly the mixture
 *   P(token) = sum over y of softmax(base / tau)[y] softmax(logits(V_y, t = 1) / temperature)[token],
 * computed here from single evaluations and compared with many generated tokens by Pearson's chi-square. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "golden/golden.h"
#include "golden/law.h"

#define FOLDER TESTS_DIR "/golden/l2d/qwen2-full"

enum { N_SAMPLES = 2048, BATCH = 256 };

typedef struct fixture {
    engine_test *engine;
    vkdlm_model_info info;
    int32_t *prompt; /* [n_tokens], the first of the golden prompts */
    uint32_t n_tokens;
    double *base;    /* [V] logits behind the prompt */
    double *refined; /* [V, V] logits at t = 1 for every y */
} fixture;

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n, size);
    assert_non_null(p);
    return p;
}

typedef struct rows {
    double *to;
    uint32_t vocab_size;
} rows;

static vkdlm_status keep_row(void *user, uint32_t sequence, const float *logits, const float *hidden,
                             vkdlm_error *err)
{
    rows *r = user;
    (void)hidden;
    (void)err;
    for (uint32_t i = 0; i < r->vocab_size; i++)
        r->to[(size_t)sequence * r->vocab_size + i] = (double)logits[i];
    return VKDLM_OK;
}

/* Logits at t = 1 for every token's V_y, as so many sequences of the same prompt. */
static void evaluate_refined(fixture *f, const vkdlm_tensors *golden)
{
    uint32_t v = f->info.vocab_size, n = f->info.flow.dim;
    double *vocabulary = golden_doubles(golden, "vocab.V_y", (size_t)v * n);
    float *x = allocate((size_t)v * n, sizeof *x), *t = allocate(v, sizeof *t);
    int32_t *tokens = allocate((size_t)v * f->n_tokens, sizeof *tokens);
    for (size_t i = 0; i < (size_t)v * n; i++)
        x[i] = (float)vocabulary[i];
    for (uint32_t i = 0; i < v; i++) {
        t[i] = 1;
        memcpy(tokens + (size_t)i * f->n_tokens, f->prompt, f->n_tokens * sizeof *tokens);
    }
    rows r = {f->refined, v};
    vkdlm_error err;
    const vkdlm_forward_options options = {.tokens = tokens,
                                           .n_sequences = v,
                                           .length = f->n_tokens,
                                           .x = x,
                                           .t = t,
                                           .on_sequence = keep_row,
                                           .user = &r};
    engine_test_ok(vkdlm_forward(f->engine->session, &options, &err), &err);
    free(vocabulary);
    free(x);
    free(t);
    free(tokens);
}

static fixture open_fixture(engine_test *engine)
{
    fixture f = {.engine = engine};
    engine_test_model(engine, FOLDER);
    vkdlm_model_get_info(engine->model, &f.info);
    vkdlm_tensors *golden = golden_open(FOLDER "/expected.safetensors");
    size_t n_prompts = golden_extent(golden, "prompt", 0);
    f.n_tokens = (uint32_t)golden_extent(golden, "prompt", 1);
    f.prompt = golden_ints(golden, "prompt", n_prompts * f.n_tokens);
    uint32_t v = f.info.vocab_size, last = f.n_tokens - 1;
    f.base = allocate(v, sizeof *f.base);
    f.refined = allocate((size_t)v * v, sizeof *f.refined);
    rows r = {f.base, v};
    vkdlm_error err;
    const vkdlm_forward_options options = {.tokens = f.prompt,
                                           .n_sequences = 1,
                                           .length = f.n_tokens,
                                           .rows = &last,
                                           .n_rows = 1,
                                           .on_sequence = keep_row,
                                           .user = &r};
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);
    evaluate_refined(&f, golden);
    vkdlm_tensors_close(golden);
    return f;
}

static void close_fixture(fixture *f)
{
    free(f->prompt);
    free(f->base);
    free(f->refined);
    engine_test_close_model(f->engine);
}

static void softmax(double *p, const double *logits, uint32_t n, double temperature)
{
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        most = fmax(most, logits[i] / temperature);
    for (uint32_t i = 0; i < n; i++)
        sum += p[i] = exp(logits[i] / temperature - most);
    for (uint32_t i = 0; i < n; i++)
        p[i] /= sum;
}

static double *mixture(const fixture *f, double tau, double temperature)
{
    uint32_t v = f->info.vocab_size;
    double *law = allocate(v, sizeof *law), *of_y = allocate(v, sizeof *of_y), *p = allocate(v, sizeof *p);
    softmax(of_y, f->base, v, tau);
    for (uint32_t y = 0; y < v; y++) {
        softmax(p, f->refined + (size_t)y * v, v, temperature);
        for (uint32_t i = 0; i < v; i++)
            law[i] += of_y[y] * p[i];
    }
    free(of_y);
    free(p);
    return law;
}

static bool count_token(void *user, const vkdlm_completion *completion)
{
    uint64_t *counts = user;
    assert_int_equal(completion->length, completion->prompt_length + 1);
    counts[completion->tokens[completion->prompt_length]]++;
    return true;
}

static uint64_t *draw(const fixture *f, const char *tau, double temperature, uint64_t seed)
{
    uint64_t *counts = allocate(f->info.vocab_size, sizeof *counts);
    const vkdlm_canvas prompt = {f->prompt, f->n_tokens};
    vkdlm_error err;
    const vkdlm_complete_options options = {
        .prompts = &prompt,
        .n_prompts = 1,
        .num_samples = N_SAMPLES,
        .batch = BATCH,
        .max_tokens = 1,
        .ignore_end = true,
        .temperature = temperature,
        .seed = seed,
        .flow = {.steps = 2, .solver = VKDLM_SOLVER_EULER, .temperature = tau},
        .on_sample = count_token,
        .user = counts,
    };
    engine_test_ok(vkdlm_complete(f->engine->session, &options, NULL, &err), &err);
    return counts;
}

static void test_refined_tokens(void **state)
{
    static const struct {
        const char *tau;
        double tau_value, temperature;
    } cases[] = {{"1", 1, 1}, {"0.6", 0.6, 1.5}};
    fixture f = open_fixture(*state);
    uint32_t v = f.info.vocab_size;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double *law = mixture(&f, cases[i].tau_value, cases[i].temperature);
        uint64_t *counts = draw(&f, cases[i].tau, cases[i].temperature, 11 + i);
        law_result r = law_chi_square(counts, law, v);
        print_message("tau %s, temperature %g: chi-square %.1f of %u, p = %.3g\n", cases[i].tau,
                      cases[i].temperature, r.chi_square, r.freedom, r.p_value);
        assert_true(r.p_value >= LAW_FALSE_ALARM);
        /* The test can tell this law from its neighbours: another tau, and the base's distribution. */
        double *other = mixture(&f, cases[i].tau_value * 2, cases[i].temperature);
        assert_true(law_chi_square(counts, other, v).p_value < LAW_FALSE_ALARM);
        softmax(other, f.base, v, cases[i].temperature);
        assert_true(law_chi_square(counts, other, v).p_value < LAW_FALSE_ALARM);
        free(other);
        free(law);
        free(counts);
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refined_tokens)};
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
