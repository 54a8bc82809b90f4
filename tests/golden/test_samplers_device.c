/* The samplers and the likelihood on a device through the public API: token by token and loss by loss against
 * the scalar reference under the same seeds, and the same for every batch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "environment.h"
#include "golden/golden.h"
#include "golden/law.h"
#include "ref/ref_denoiser.h"
#include "sample/likelihood.h"
#include "sample/masked.h"

enum { MAX_TOKENS = 64 };

/* The output of a run: [n, length] tokens. */
typedef struct outputs {
    int32_t *tokens;
    uint64_t n, n_most;
    uint32_t length;
} outputs;

static bool keep(void *user, const vkdlm_sample *sample)
{
    outputs *out = user;
    assert_true(out->n < out->n_most && sample->length <= MAX_TOKENS);
    out->length = sample->length;
    memcpy(out->tokens + out->n++ * MAX_TOKENS, sample->tokens, sample->length * sizeof *sample->tokens);
    return true;
}

static outputs outputs_make(uint64_t n)
{
    outputs out = {.tokens = calloc(n, MAX_TOKENS * sizeof *out.tokens), .n_most = n};
    assert_non_null(out.tokens);
    return out;
}

static void generate_on_device(engine_test *engine, vkdlm_generate_options options, outputs *out,
                               vkdlm_generate_stats *stats)
{
    vkdlm_error err = {0};
    options.num_samples = out->n_most;
    options.on_sample = keep;
    options.user = out;
    engine_test_ok(vkdlm_generate(engine->session, &options, stats, &err), &err);
    assert_true(out->n == out->n_most);
}

static void generate_by_reference(denoiser *network, vkdlm_generate_options options, outputs *out)
{
    vkdlm_error err = {0};
    options.num_samples = out->n_most;
    options.on_sample = keep;
    options.user = out;
    engine_test_ok(masked_run(network, &options, NULL, &err), &err);
}

/* Samples of which any token differs. */
static uint64_t count_different(const outputs *a, const outputs *b)
{
    uint64_t n = 0;
    assert_int_equal(a->length, b->length);
    for (uint64_t i = 0; i < a->n; i++)
        n += memcmp(a->tokens + i * MAX_TOKENS, b->tokens + i * MAX_TOKENS, a->length * sizeof *a->tokens) !=
             0;
    return n;
}

/* Draws n samples on both and compares. A token differs only where the two best scores of a draw are within
 * float32 rounding of each other, about one draw in 10^5. */
static void check_same_tokens(engine_test *engine, const char *dir, vkdlm_generate_options options,
                              uint64_t n, const char *what)
{
    ref_mdlm *net = ref_mdlm_open(dir);
    assert_non_null(net);
    denoiser *network = ref_denoiser_create(net, 1024);
    outputs device = outputs_make(n), reference = outputs_make(n);
    vkdlm_generate_stats stats = {0};
    generate_on_device(engine, options, &device, &stats);
    generate_by_reference(network, options, &reference);
    uint64_t n_different = count_different(&device, &reference);
    print_message("%-36s %llu of %llu samples differ, %.2f s\n", what, (unsigned long long)n_different,
                  (unsigned long long)n, stats.seconds);
    assert_true(n_different <= 1 + n * device.length / 2000);
    free(reference.tokens);
    free(device.tokens);
    ref_denoiser_destroy(network);
    ref_mdlm_close(net);
}

static void tiny_samples_are_those_of_the_reference(void **state)
{
    engine_test *engine = *state;
    const char *const dirs[] = {GOLDEN_MDLM("tiny"), GOLDEN_MDLM("tiny-tc")};
    const int32_t start[] = {1, 4, 4};
    const vkdlm_canvas canvas = {start, 3};
    for (int d = 0; d < 2; d++) {
        engine_test_model(engine, dirs[d]);
        for (size_t i = 0; i < n_law_cases; i++) {
            const law_case *c = &law_cases[i];
            vkdlm_generate_options options = {.canvases = c->infill ? &canvas : NULL,
                                              .n_canvases = c->infill,
                                              .sampler = c->sampler,
                                              .steps = c->steps,
                                              .noise.schedule = c->schedule,
                                              .end_time = c->end_time,
                                              .no_final_denoise = c->kept,
                                              .stride = c->stride,
                                              .strides = c->strides,
                                              .seed = 31 + i};
            check_same_tokens(engine, dirs[d], options, environment_is_quick() ? 50 : 500, c->tensor);
        }
        engine_test_close_model(engine);
    }
}

static void larger_samples_are_those_of_the_reference(void **state)
{
    engine_test *engine = *state;
    const vkdlm_generate_options cases[] = {
        {.steps = 12},
        {.steps = 12, .temperature = 0.7},
        {.steps = 8, .top_k = 20},
        {.steps = 8, .top_p = 0.8, .temperature = 1.3},
        {.steps = 6, .sampler = VKDLM_SAMPLER_DDPM, .noise.schedule = VKDLM_SCHEDULE_COSINE, .end_time = 0.2},
        {.steps = 6,
         .sampler = VKDLM_SAMPLER_ANALYTIC,
         .noise.schedule = VKDLM_SCHEDULE_LINEAR,
         .end_time = 0.2},
        {.steps = 4, .stride = 20, .strides = 1},
    };
    const char *const dirs[] = {GOLDEN_MDLM("tc"), GOLDEN_MDLM("notc")};
    for (int d = 0; d < 2; d++) {
        engine_test_model(engine, dirs[d]);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char what[64];
            if (d && cases[i].stride)
                continue; /* as long as the outputs' rows */
            snprintf(what, sizeof what, "%s, case %zu", d ? "notc" : "tc", i);
            check_same_tokens(engine, dirs[d], cases[i], environment_is_quick() ? 4 : 12, what);
        }
        engine_test_close_model(engine);
    }
}

static void tokens_do_not_depend_on_the_batch(void **state)
{
    engine_test *engine = *state;
    static const uint32_t batches[] = {1, 3, 0};
    const char *const dirs[] = {GOLDEN_MDLM("tc"), GOLDEN_MDLM("notc")};
    for (int d = 0; d < 2; d++) {
        outputs first = outputs_make(10);
        engine_test_model(engine, dirs[d]);
        for (int i = 0; i < 3; i++) {
            outputs again = outputs_make(10);
            vkdlm_generate_stats stats = {0};
            vkdlm_generate_options options = {.steps = 10, .batch = batches[i], .seed = 77};
            generate_on_device(engine, options, i ? &again : &first, &stats);
            assert_int_equal(stats.batch, batches[i] ? batches[i] : 10);
            if (i)
                assert_int_equal(count_different(&first, &again), 0);
            free(again.tokens);
        }
        engine_test_close_model(engine);
        free(first.tokens);
    }
}

/* An output row is computed only where a token is drawn; the evaluations are those of the sampler. */
static void work_is_what_changes(void **state)
{
    engine_test *engine = *state;
    engine_test_model(engine, GOLDEN_MDLM("notc"));
    outputs out = outputs_make(6);
    vkdlm_generate_stats stats = {0};
    vkdlm_generate_options options = {.steps = 500, .seed = 1};
    generate_on_device(engine, options, &out, &stats);
    assert_int_equal(stats.samples, 6);
    assert_int_equal(stats.tokens, 6 * 64);
    assert_int_equal(stats.output_rows, 6 * 64);
    assert_true(stats.evaluations <= 6 * 64 && stats.evaluations > 6 * 50);
    assert_int_equal(stats.output_rows_full, 64 * stats.evaluations);
    assert_true(stats.network_rows <= 64 * stats.evaluations);
    assert_true(stats.seconds > 0 && stats.first_evaluation_seconds > 0);
    free(out.tokens);
    engine_test_close_model(engine);
}

static void scores_are_those_of_the_reference(void **state)
{
    engine_test *engine = *state;
    const vkdlm_score_options cases[] = {
        {.draws = 4, .seed = 5},
        {.draws = 3, .window = 17, .noise.schedule = VKDLM_SCHEDULE_COSINE},
        {.draws = 4, .bound = VKDLM_BOUND_DISCRETE, .steps = 16, .batch = 3},
    };
    const char *const dirs[] = {GOLDEN_MDLM("tc"), GOLDEN_MDLM("notc")};
    for (int d = 0; d < 2; d++) {
        int32_t ids[150];
        for (int i = 0; i < 150; i++)
            ids[i] = i * i * 7 % (d ? 514 : 210);
        ref_mdlm *net = ref_mdlm_open(dirs[d]);
        assert_non_null(net);
        denoiser *network = ref_denoiser_create(net, 64);
        engine_test_model(engine, dirs[d]);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            vkdlm_score_result device, reference;
            vkdlm_error err = {0};
            engine_test_ok(vkdlm_score(engine->session, ids, 150, &cases[i], &device, &err), &err);
            engine_test_ok(likelihood_run(network, ids, 150, &cases[i], &reference, &err), &err);
            assert_true(fabs(device.nats_per_token / reference.nats_per_token - 1) <= 1e-5);
            assert_true(fabs(device.stderr_draws / reference.stderr_draws - 1) <= 1e-4);
            assert_true(fabs(device.stderr_windows / reference.stderr_windows - 1) <= 1e-4);
            assert_int_equal(device.windows, reference.windows);
            assert_int_equal(device.evaluations, reference.evaluations);
        }
        engine_test_close_model(engine);
        ref_denoiser_destroy(network);
        ref_mdlm_close(net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_samples_are_those_of_the_reference),
        cmocka_unit_test(larger_samples_are_those_of_the_reference),
        cmocka_unit_test(tokens_do_not_depend_on_the_batch),
        cmocka_unit_test(work_is_what_changes),
        cmocka_unit_test(scores_are_those_of_the_reference),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
