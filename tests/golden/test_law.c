/* The samplers' laws on the scalar reference network, and samplers that are broken on purpose. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "golden/law.h"
#include "ref/ref_denoiser.h"
#include "sample/masked.h"
#include "sample/schedule.h"

enum { N_SAMPLES = 200000, N_BROKEN = 100000, SEED = 20240607, BATCH_LIMIT = 4096 };

typedef struct bench {
    ref_mdlm *net;
    denoiser *network;
    vkdlm_tensors *golden;
} bench;

static bench bench_open(const char *dir)
{
    char path[512];
    bench b = {.net = ref_mdlm_open(dir)};
    assert_non_null(b.net);
    b.network = ref_denoiser_create(b.net, BATCH_LIMIT);
    snprintf(path, sizeof path, "%s/expected.safetensors", dir);
    b.golden = golden_open(path);
    return b;
}

static void bench_close(bench *b)
{
    vkdlm_tensors_close(b->golden);
    ref_denoiser_destroy(b->network);
    ref_mdlm_close(b->net);
}

static vkdlm_status generate(void *self, const vkdlm_generate_options *options, vkdlm_generate_stats *stats,
                             vkdlm_error *err)
{
    return masked_run(self, options, stats, err);
}

static law_source source_of(denoiser *network)
{
    return (law_source){
        .generate = generate, .self = network, .mask_id = network->mask_id, .length = network->max_length};
}

static void check_model(const char *dir)
{
    bench b = bench_open(dir);
    law_source source = source_of(b.network);
    for (size_t i = 0; i < n_law_cases; i++)
        law_check(&source, &law_cases[i], b.golden, N_SAMPLES, SEED + i);
    bench_close(&b);
}

static void laws(void **state)
{
    (void)state;
    check_model(GOLDEN_MDLM("tiny"));
}

static void conditioned_laws(void **state)
{
    (void)state;
    check_model(GOLDEN_MDLM("tiny-tc"));
}

/* ---- broken on purpose ------------------------------------------------------------------------------- */

/* Samples by one law must not pass for another that is near: total variation 0.017 and more. */
static void laws_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *dir, *drawn, *expected;
        vkdlm_sampler sampler;
    } cases[] = {
        {GOLDEN_MDLM("tiny"), "ddpm.T4.loglinear", "ddpm.T8.loglinear", VKDLM_SAMPLER_DDPM},
        {GOLDEN_MDLM("tiny"), "ddpm.T4.cosine", "ddpm.T4.cosinesqr", VKDLM_SAMPLER_DDPM},
        {GOLDEN_MDLM("tiny"), "ddpm.T4.cosine", "ddpm.T4.loglinear", VKDLM_SAMPLER_DDPM},
        {GOLDEN_MDLM("tiny"), "first_hitting", "ddpm.T8.loglinear", VKDLM_SAMPLER_FIRST_HITTING},
        {GOLDEN_MDLM("tiny"), "ddpm.T3.loglinear.end0.25", "analytic.T3.loglinear.end0.25",
         VKDLM_SAMPLER_DDPM},
        {GOLDEN_MDLM("tiny-tc"), "ddpm.T4.loglinear", "ddpm.T8.loglinear", VKDLM_SAMPLER_DDPM},
        {GOLDEN_MDLM("tiny-tc"), "ddpm.T4.linear", "ddpm.T4.geometric", VKDLM_SAMPLER_DDPM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b = bench_open(cases[i].dir);
        law_source source = source_of(b.network);
        const law_case *drawn = law_find(cases[i].drawn, cases[i].sampler);
        assert_non_null(drawn);
        law_result r = law_measure(&source, drawn, cases[i].expected, b.golden, N_BROKEN, SEED);
        if (!(r.p_value < LAW_FALSE_ALARM))
            fail_msg("%s passes for %s: p = %g", cases[i].drawn, cases[i].expected, r.p_value);
        bench_close(&b);
    }
}

/* A denoiser in front of the reference that spoils requests. */
typedef struct broken {
    denoiser base;
    denoiser *inner;
    void (*spoil)(eval_request *request, eval_sequence *sequences, eval_row *rows);
} broken;

static uint32_t broken_max_sequences(void *self, uint32_t length)
{
    broken *b = self;
    return b->inner->max_sequences(b->inner->self, length);
}

static vkdlm_status broken_evaluate(denoiser *self, const eval_request *request, eval_result *results,
                                    vkdlm_error *err)
{
    broken *b = (broken *)self;
    eval_request copy = *request;
    eval_sequence *sequences = malloc(request->n_sequences * sizeof *sequences);
    eval_row *rows = malloc(request->n_rows * sizeof *rows);
    assert_true(sequences && rows);
    memcpy(sequences, request->sequences, request->n_sequences * sizeof *sequences);
    memcpy(rows, request->rows, request->n_rows * sizeof *rows);
    copy.sequences = sequences;
    copy.rows = rows;
    b->spoil(&copy, sequences, rows);
    vkdlm_status status = b->inner->evaluate(b->inner, &copy, results, err);
    free(rows);
    free(sequences);
    return status;
}

static void spoil_nothing(eval_request *request, eval_sequence *sequences, eval_row *rows)
{
    (void)request;
    (void)sequences;
    (void)rows;
}

static void spoil_temperature(eval_request *request, eval_sequence *sequences, eval_row *rows)
{
    (void)sequences;
    (void)rows;
    request->temperature = 1.05f;
}

/* The network at the time after the step, for four loglinear steps. */
static void spoil_time(eval_request *request, eval_sequence *sequences, eval_row *rows)
{
    (void)rows;
    schedule noise;
    assert_int_equal(schedule_init(&noise, &(vkdlm_noise){0}, NULL), VKDLM_OK);
    for (uint32_t i = 0; i < request->n_sequences; i++) {
        double t = schedule_time(&noise, -expm1(-(double)sequences[i].sigma));
        sequences[i].sigma = (float)schedule_sigma(&noise, fmax(t - 0.25, 0));
    }
}

/* Random numbers of a token draw that lack one part of their counter. Without the sample, equal canvases take
 * equal tokens for the whole run. */
static void spoil_sample(eval_request *request, eval_sequence *sequences, eval_row *rows)
{
    (void)sequences;
    for (uint32_t i = 0; i < request->n_rows; i++)
        rows[i].sample = 0;
}

/* A few streams in place of many: each sample's law is right, but not their independence. */
static void spoil_streams(eval_request *request, eval_sequence *sequences, eval_row *rows)
{
    (void)sequences;
    for (uint32_t i = 0; i < request->n_rows; i++)
        rows[i].sample %= 1024;
}

/* One row in fifty takes the most probable token. */
static void spoil_mode(eval_request *request, eval_sequence *sequences, eval_row *rows)
{
    (void)sequences;
    for (uint32_t i = 0; i < request->n_rows; i++)
        if (rows[i].sample % 50 == 0)
            rows[i].mode = EVAL_ARGMAX;
}

static void broken_samplers_are_caught(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        void (*spoil)(eval_request *, eval_sequence *, eval_row *);
        bool caught;
    } cases[] = {
        {"nothing", spoil_nothing, false},
        {"temperature 1.05", spoil_temperature, true},
        {"time one step late", spoil_time, true},
        {"one stream of noise", spoil_sample, true},
        {"few streams of noise", spoil_streams, true},
        {"argmax now and then", spoil_mode, true},
    };
    bench b = bench_open(GOLDEN_MDLM("tiny-tc"));
    const law_case *c = law_find("ddpm_cache.T4.loglinear", VKDLM_SAMPLER_DDPM_CACHE);
    assert_non_null(c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        broken spoiled = {.base = *b.network, .inner = b.network, .spoil = cases[i].spoil};
        spoiled.base.self = &spoiled;
        spoiled.base.max_sequences = broken_max_sequences;
        spoiled.base.evaluate = broken_evaluate;
        law_source source = source_of(&spoiled.base);
        law_result r = law_measure(&source, c, c->tensor, b.golden, N_SAMPLES, SEED);
        print_message("%-24s p = %g\n", cases[i].what, r.p_value);
        if ((r.p_value < LAW_FALSE_ALARM) != cases[i].caught)
            fail_msg("spoiled by %s: p = %g", cases[i].what, r.p_value);
    }
    bench_close(&b);
}

/* ---- the statistic itself ---------------------------------------------------------------------------- */

static void chi_square_tail(void **state)
{
    (void)state;
    /* freedom 2: exp(-x/2); freedom 1: erfc(sqrt(x/2)); freedom 4: (1 + x/2) exp(-x/2) */
    for (double x = 0.5; x < 100; x *= 1.7) {
        assert_true(fabs(law_chi_square_tail(x, 2) / exp(-x / 2) - 1) < 1e-12);
        assert_true(fabs(law_chi_square_tail(x, 1) / erfc(sqrt(x / 2)) - 1) < 1e-12);
        assert_true(fabs(law_chi_square_tail(x, 4) / ((1 + x / 2) * exp(-x / 2)) - 1) < 1e-12);
    }
    uint64_t counts[3] = {40, 60, 0};
    const double halves[3] = {0.5, 0.5, 0};
    law_result r = law_chi_square(counts, halves, 3);
    assert_true(fabs(r.chi_square - 4) < 1e-12 && r.freedom == 1);
    assert_true(fabs(r.p_value - erfc(sqrt(2))) < 1e-12);
    counts[2] = 1;
    assert_true(law_chi_square(counts, halves, 3).p_value == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chi_square_tail),
        cmocka_unit_test(laws),
        cmocka_unit_test(conditioned_laws),
        cmocka_unit_test(laws_are_told_apart),
        cmocka_unit_test(broken_samplers_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
