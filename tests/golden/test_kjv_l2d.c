/* The bundled pair of a Llama and its diffusion path on a text that neither has seen (kjv/heldout.txt:
 * Genesis 11 in the King James version, public domain): next-token predictions on a device through the public
 * API against the scalar reference. The base is also taken from GGUF files of several types, whose weights
 * the path's LoRA shares; the reference has them dequantised. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <vkdlm/quantize.h>

#include "base/rng.h"
#include "engine_test.h"
#include "golden/mixed.h"
#include "ref/ref_gguf.h"
#include "ref/ref_l2d.h"

#define BASE_MODEL MODELS_DIR "/kjv-llama"
#define FLOW_MODEL MODELS_DIR "/kjv-l2d"

enum { N_TOKENS = 50, WINDOW = 20, N_PREDICTIONS = 47 };

/* Where a best logit leads by less, f32 may find another token than f64; the seed of the noise is one for
 * which no evaluation is that close. */
#define LEAST_LEAD 1e-3

typedef struct pair {
    ref_llm *base;
    ref_l2d *net;
    int32_t ids[N_TOKENS];
    float *noise; /* [N_PREDICTIONS, n] */
} pair;

/* base_path: a directory or a GGUF file. */
static void open_pair(engine_test *engine, pair *p, const char *base_path, bool from_gguf, uint64_t seed)
{
    vkdlm_error err = {0};
    const vkdlm_model_options options = {.l2d = FLOW_MODEL};
    engine_test_ok(vkdlm_model_open(engine->device, base_path, &options, &engine->model, &err), &err);
    engine_test_ok(vkdlm_session_create(engine->model, &engine->session, &err), &err);
    p->base = from_gguf ? ref_gguf_open(base_path) : ref_llm_open(base_path);
    assert_non_null(p->base);
    p->net = ref_l2d_open(FLOW_MODEL, p->base);
    assert_non_null(p->net);

    char text[4096];
    FILE *file = fopen(TESTS_DIR "/golden/kjv/heldout.txt", "rb");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    vkdlm_ids ids;
    engine_test_ok(
        vkdlm_tokenize(vkdlm_model_tokenizer(engine->model), text, size, VKDLM_TOKENIZE_PLAIN, &ids, &err),
        &err);
    assert_true(ids.count >= N_TOKENS);
    memcpy(p->ids, ids.ids, sizeof p->ids);
    vkdlm_ids_free(&ids);

    size_t n = (size_t)N_PREDICTIONS * p->net->n;
    double *normals = calloc(n, sizeof *normals);
    p->noise = calloc(n, sizeof *p->noise);
    assert_true(normals && p->noise);
    rng_normals(seed, 0, rng_counter2(RNG_STATE, 0), 0, normals, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        p->noise[i] = (float)(p->net->sigma * normals[i]);
    free(normals);
}

static void close_pair(engine_test *engine, pair *p)
{
    free(p->noise);
    ref_l2d_close(p->net);
    ref_llm_close(p->base);
    engine_test_close_model(engine);
}

/* Sums over predictions, and of the squares of nats. */
typedef struct quality {
    double accuracy, expected_accuracy, nats, squares, entropy;
} quality;

static void add(quality *sum, const double *logits, uint32_t n, int32_t truth)
{
    double max = -INFINITY, z = 0, entropy = 0;
    for (uint32_t i = 0; i < n; i++)
        max = fmax(max, logits[i]);
    for (uint32_t i = 0; i < n; i++)
        z += exp(logits[i] - max);
    for (uint32_t i = 0; i < n; i++) {
        double log_p = logits[i] - max - log(z);
        entropy -= exp(log_p) * log_p;
    }
    double log_p = logits[truth] - max - log(z);
    sum->accuracy += (int32_t)ref_l2d_argmax(logits, n, NULL) == truth;
    sum->expected_accuracy += exp(log_p);
    sum->nats -= log_p;
    sum->squares += log_p * log_p;
    sum->entropy += entropy;
}

/* Every prediction of the text by the reference; steps 0: of the base model. */
static quality predict_by_reference(const pair *p, uint32_t steps)
{
    uint32_t vocab = p->base->vocab_size, n = p->net->n, index = 0;
    double *logits = calloc((size_t)WINDOW * vocab, sizeof *logits), *x = calloc(n, sizeof *x);
    double least = INFINITY, lead;
    quality sum = {0};
    assert_true(logits && x);
    for (uint32_t first = 0; first < N_TOKENS; first += WINDOW) {
        uint32_t length = N_TOKENS - first < WINDOW ? N_TOKENS - first : WINDOW;
        ref_llm_cache cache = ref_llm_cache_create(p->base, length);
        ref_llm_forward(p->base, &cache, p->ids + first, length, NULL, logits);
        for (uint32_t i = 0; i + 1 < length; i++, index++) {
            double *row = logits + (size_t)i * vocab;
            for (uint32_t j = 0; j < n; j++)
                x[j] = (double)p->noise[(size_t)index * n + j];
            if (steps)
                lead = ref_l2d_euler(p->net, &cache, i, steps, -1, x, row);
            else
                ref_l2d_argmax(row, vocab, &lead);
            least = fmin(least, lead);
            add(&sum, row, vocab, p->ids[first + i + 1]);
        }
        ref_llm_cache_destroy(&cache);
    }
    assert_int_equal(index, N_PREDICTIONS);
    if (!(least > LEAST_LEAD))
        fail_msg("a logit leads by %g only: another seed is needed", least);
    free(x);
    free(logits);
    return sum;
}

static void check_close(const char *what, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: expected %.9g, found %.9g", what, expected, found);
}

static void check_quality(const char *what, const vkdlm_prediction_quality *found, const quality *sum)
{
    const double n = N_PREDICTIONS, nats = sum->nats / n;
    char name[64];
    snprintf(name, sizeof name, "%s accuracy", what);
    check_close(name, found->accuracy, sum->accuracy / n, 1e-12);
    snprintf(name, sizeof name, "%s expected accuracy", what);
    check_close(name, found->expected_accuracy, sum->expected_accuracy / n, 1e-4);
    snprintf(name, sizeof name, "%s nats", what);
    check_close(name, found->nats, nats, 1e-4 * (1 + nats));
    snprintf(name, sizeof name, "%s standard error of nats", what);
    check_close(name, found->nats_stderr, sqrt((sum->squares / n - nats * nats) / (n - 1)),
                1e-4 * (1 + nats));
    snprintf(name, sizeof name, "%s entropy", what);
    check_close(name, found->entropy, sum->entropy / n, 1e-3);
}

static void check_steps(engine_test *engine, const pair *p, const quality *base, uint32_t steps)
{
    char what[32];
    snprintf(what, sizeof what, "euler %u", steps);
    const quality refined = predict_by_reference(p, steps);
    const vkdlm_predict_options options = {.window = WINDOW,
                                           .flow = {.solver = VKDLM_SOLVER_EULER,
                                                    .steps = steps,
                                                    .temperature = "0",
                                                    .noise = p->noise,
                                                    .noise_tokens = N_PREDICTIONS,
                                                    .noise_rows = 1}};
    vkdlm_predict_result result;
    vkdlm_error err = {0};
    engine_test_ok(vkdlm_predict(engine->session, p->ids, N_TOKENS, &options, &result, &err), &err);
    assert_int_equal(result.tokens, N_PREDICTIONS);
    assert_int_equal(result.windows, 3);
    assert_int_equal(result.draws, 1);
    assert_true(result.has_refined);
    check_quality("base", &result.base, base);
    check_quality(what, &result.refined, &refined);
    assert_int_equal(result.counts.main, N_PREDICTIONS);
    assert_int_equal(result.counts.refined, N_PREDICTIONS);
    assert_int_equal(result.counts.velocity_calls, (steps - 1) * N_PREDICTIONS);
    assert_int_equal(result.counts.path, (steps - 1) * N_PREDICTIONS);
}

static void test_predictions(void **state)
{
    engine_test *engine = *state;
    pair p;
    open_pair(engine, &p, BASE_MODEL, false, 2);
    const quality base = predict_by_reference(&p, 0);
    check_steps(engine, &p, &base, 2);
    check_steps(engine, &p, &base, 4);

    const vkdlm_predict_options options = {.window = WINDOW, .flow = {.off = true}};
    vkdlm_predict_result result;
    vkdlm_error err = {0};
    engine_test_ok(vkdlm_predict(engine->session, p.ids, N_TOKENS, &options, &result, &err), &err);
    assert_false(result.has_refined);
    assert_int_equal(result.counts.path, 0);
    check_quality("base alone", &result.base, &base);
    close_pair(engine, &p);
}

/* seed: of noise for which no logit leads by too little. */
static void check_gguf(engine_test *engine, const char *path, uint64_t seed)
{
    pair p;
    open_pair(engine, &p, path, true, seed);
    const quality base = predict_by_reference(&p, 0);
    check_steps(engine, &p, &base, 2);
    close_pair(engine, &p);
}

static void test_gguf_bases(void **state)
{
    static const struct {
        const char *type;
        uint64_t seed;
    } cases[] = {{"q8_0", 2}, {"q4_0", 2}, {"q4_k", 2}, {"f32", 2}};
    char folder[] = "/tmp/vkdlm-test-XXXXXX", path[64], mixed[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/base.gguf", folder);
    snprintf(mixed, sizeof mixed, "%s/mixed.gguf", folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_error err = {0};
        const vkdlm_quantize_options options = {.type = cases[i].type};
        engine_test_ok(vkdlm_quantize(BASE_MODEL, path, &options, NULL, &err), &err);
        bool is_last = i + 1 == sizeof cases / sizeof *cases;
        if (is_last)
            mixed_write(path, mixed);
        check_gguf(*state, is_last ? mixed : path, cases[i].seed);
    }
    unlink(path);
    unlink(mixed);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_gguf_bases),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
