/* The loop of masked generation: evaluations, independence of the batch, order and content of callbacks,
 * cancellation, semi-autoregressive windows, given tokens, refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "ref/ref_denoiser.h"
#include "sample/masked.h"

enum { MAX_SEQUENCES = 256, MAX_LENGTH = 64, MAX_RECORDS = 400 };

typedef struct fixture {
    ref_mdlm *net;
    denoiser *network;
} fixture;

static fixture open_model(const char *dir)
{
    fixture f = {.net = ref_mdlm_open(dir)};
    assert_non_null(f.net);
    f.network = ref_denoiser_create(f.net, MAX_SEQUENCES);
    return f;
}

static void close_model(fixture *f)
{
    ref_denoiser_destroy(f->network);
    ref_mdlm_close(f->net);
}

/* Everything that a run delivers, with the checks that hold for any run. */
typedef struct record {
    uint32_t n_samples, n_steps;
    int32_t tokens[MAX_RECORDS][MAX_LENGTH];
    uint32_t lengths[MAX_RECORDS], evaluations[MAX_RECORDS];
    bool complete[MAX_RECORDS];
    int32_t mask_id;
    uint32_t stop_after_steps, stop_after_samples; /* 0: never */
    /* of the step callback, by sample */
    uint32_t step_calls[MAX_RECORDS], last_step[MAX_RECORDS];
    int32_t canvas[MAX_RECORDS][MAX_LENGTH]; /* after the last step */
} record;

static bool record_sample(void *user, const vkdlm_sample *sample)
{
    record *r = user;
    assert_true(r->n_samples < MAX_RECORDS && sample->length <= MAX_LENGTH);
    assert_int_equal(sample->sample, r->n_samples);
    memcpy(r->tokens[r->n_samples], sample->tokens, sample->length * sizeof *sample->tokens);
    r->lengths[r->n_samples] = sample->length;
    r->evaluations[r->n_samples] = sample->evaluations;
    r->complete[r->n_samples] = sample->complete;
    assert_int_equal(sample->evaluations, r->step_calls[r->n_samples]);
    if (r->step_calls[r->n_samples])
        assert_memory_equal(sample->tokens, r->canvas[r->n_samples], sample->length * sizeof *sample->tokens);
    r->n_samples++;
    return r->n_samples != r->stop_after_samples;
}

static bool record_step(void *user, const vkdlm_step *step)
{
    record *r = user;
    size_t i = (size_t)step->sample;
    assert_true(i < MAX_RECORDS && step->length <= MAX_LENGTH);
    assert_int_equal(step->evaluations, ++r->step_calls[i]);
    assert_true(step->step > r->last_step[i]);
    assert_true(step->n_steps == 0 || step->step <= step->n_steps + 1);
    assert_true(step->time >= 0 && step->time < 1);
    r->last_step[i] = step->step;

    uint32_t n_masked = 0, n_changed = 0;
    for (uint32_t l = 0; l < step->length; l++) {
        n_masked += step->tokens[l] == r->mask_id;
        bool changed = n_changed < step->n_changed && step->changed[n_changed] == l;
        if (changed) {
            assert_true(step->tokens[l] != r->mask_id);
            assert_true(step->probability[n_changed] > 0 && step->probability[n_changed] <= 1);
            assert_true(step->entropy[n_changed] >= 0);
            n_changed++;
        }
        /* before its first step a sample is what it began from, which the test knows */
        if (step->evaluations > 1)
            assert_int_equal(changed, step->tokens[l] != r->canvas[i][l]);
    }
    assert_int_equal(n_masked, step->n_masked);
    assert_int_equal(n_changed, step->n_changed);
    memcpy(r->canvas[i], step->tokens, step->length * sizeof *step->tokens);
    r->n_steps++;
    return r->n_steps != r->stop_after_steps;
}

static vkdlm_status run(const fixture *f, vkdlm_generate_options *options, record *r,
                        vkdlm_generate_stats *stats, vkdlm_error *err)
{
    uint32_t stop_steps = r->stop_after_steps, stop_samples = r->stop_after_samples;
    memset(r, 0, sizeof *r);
    r->stop_after_steps = stop_steps;
    r->stop_after_samples = stop_samples;
    r->mask_id = f->network->mask_id;
    options->on_step = record_step;
    options->on_sample = record_sample;
    options->user = r;
    return masked_run(f->network, options, stats, err);
}

static record *new_record(void)
{
    record *r = calloc(1, sizeof *r);
    assert_non_null(r);
    return r;
}

/* ---- evaluations ------------------------------------------------------------------------------------ */

static bool count_evaluations(void *user, const vkdlm_sample *sample)
{
    double *sums = user;
    sums[0] += sample->evaluations;
    sums[1] += (double)sample->evaluations * sample->evaluations;
    return true;
}

/* Mean number of evaluations of a sample, and its standard error. */
static void measure_evaluations(const char *dir, vkdlm_sampler sampler, double *mean, double *error)
{
    const double n = 40000;
    double sums[2] = {0};
    fixture f = open_model(dir);
    vkdlm_generate_options options = {.num_samples = (uint64_t)n,
                                      .sampler = sampler,
                                      .steps = 64,
                                      .seed = 5,
                                      .on_sample = count_evaluations,
                                      .user = sums};
    vkdlm_generate_stats stats = {0};
    assert_int_equal(masked_run(f.network, &options, &stats, NULL), VKDLM_OK);
    *mean = sums[0] / n;
    *error = sqrt((sums[1] / n - *mean * *mean) / n);
    assert_true((double)stats.evaluations == sums[0]);
    assert_true((double)stats.samples == n && (double)stats.tokens == 3 * n);
    assert_true((double)stats.output_rows_full == 3 * sums[0]);
    close_model(&f);
}

/* ddpm-cache needs one evaluation for each step that unmasks something, and one more in 3e-5 of the samples;
 * with time conditioning too. Four standard errors on either side: a false alarm in one of 16,000 seeds. */
static void evaluations_of_ddpm_cache(void **state)
{
    (void)state;
    const double dt = (1 - 1e-5) / 64;
    const double expected = 64 * (1 - pow(1 - dt, 3)) + 3e-5;
    const char *const dirs[] = {GOLDEN_MDLM("tiny"), GOLDEN_MDLM("tiny-tc")};
    for (int i = 0; i < 2; i++) {
        double mean, error;
        measure_evaluations(dirs[i], VKDLM_SAMPLER_DDPM_CACHE, &mean, &error);
        print_message("%.4f evaluations, standard error %.4f, expected %.4f\n", mean, error, expected);
        assert_true(fabs(mean - expected) <= 4 * error);
        assert_true(error < 0.002);
    }
}

/* ddpm evaluates until nothing is masked: the last of three uniform steps on average, sum over k of 1 - (k
 * dt)^3. */
static void evaluations_of_ddpm(void **state)
{
    (void)state;
    const double dt = (1 - 1e-5) / 64;
    double expected = 3e-5, mean, error;
    for (int k = 0; k < 64; k++)
        expected += 1 - pow(k * dt, 3);
    measure_evaluations(GOLDEN_MDLM("tiny"), VKDLM_SAMPLER_DDPM, &mean, &error);
    assert_true(fabs(mean - expected) <= 4 * error);
    measure_evaluations(GOLDEN_MDLM("tiny"), VKDLM_SAMPLER_FIRST_HITTING, &mean, &error);
    assert_true(mean == 3 && error == 0);
}

/* ---- the batch -------------------------------------------------------------------------------------- */

static void tokens_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    static const uint32_t batches[] = {1, 7, 0};
    const char *const dirs[] = {GOLDEN_MDLM("tiny-tc"), GOLDEN_MDLM("tc")};
    for (int d = 0; d < 2; d++)
        for (int sampler = 0; sampler < VKDLM_SAMPLER_COUNT; sampler++) {
            fixture f = open_model(dirs[d]);
            record *first = new_record(), *again = new_record();
            for (int i = 0; i < 3; i++) {
                vkdlm_generate_options options = {.num_samples = d ? 4 : 60,
                                                  .sampler = (vkdlm_sampler)sampler,
                                                  .steps = d ? 3 : 8,
                                                  .batch = batches[i],
                                                  .seed = 11};
                if (d && sampler == VKDLM_SAMPLER_FIRST_HITTING)
                    options.num_samples = 2;
                vkdlm_generate_stats stats = {0};
                assert_int_equal(run(&f, &options, i ? again : first, &stats, NULL), VKDLM_OK);
                assert_true(stats.batch <= options.num_samples);
                if (i)
                    assert_memory_equal(first, again, sizeof *first);
            }
            free(again);
            free(first);
            close_model(&f);
        }
}

/* Sample i of a run is stream first_sample + i, also when the run begins elsewhere. */
static void streams_are_numbered(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    record *all = new_record(), *part = new_record();
    vkdlm_generate_options options = {.num_samples = 20, .seed = 3};
    assert_int_equal(run(&f, &options, all, NULL, NULL), VKDLM_OK);
    options.first_sample = 12;
    options.num_samples = 8;
    assert_int_equal(run(&f, &options, part, NULL, NULL), VKDLM_OK);
    for (int i = 0; i < 8; i++)
        assert_memory_equal(part->tokens[i], all->tokens[12 + i], sizeof all->tokens[0]);
    options.seed = 4;
    options.first_sample = 0;
    options.num_samples = 20;
    assert_int_equal(run(&f, &options, part, NULL, NULL), VKDLM_OK);
    assert_memory_not_equal(part->tokens, all->tokens, sizeof all->tokens);
    free(part);
    free(all);
    close_model(&f);
}

/* Evaluations carry as many samples as fit although each needs another number of them. */
static void batches_stay_full(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    double sums[2] = {0};
    vkdlm_generate_options options = {
        .num_samples = 20000, .batch = 100, .seed = 1, .on_sample = count_evaluations, .user = sums};
    vkdlm_generate_stats stats = {0};
    assert_int_equal(masked_run(f.network, &options, &stats, NULL), VKDLM_OK);
    assert_int_equal(stats.batch, 100);
    assert_true((double)stats.evaluations >= 0.99 * 100 * (double)stats.submissions);
    assert_int_equal(stats.network_rows, 3 * stats.evaluations);
    assert_int_equal(stats.output_rows, 3 * stats.samples);
    close_model(&f);
}

/* ---- canvases --------------------------------------------------------------------------------------- */

static void given_tokens_stay(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    const int32_t m = f.network->mask_id;
    const int32_t filled[] = {1, 2, 3}, hole[] = {1, m, 3}, shorter[] = {m, 0};
    const vkdlm_canvas canvases[] = {{filled, 3}, {hole, 3}, {shorter, 2}};
    for (int sampler = 0; sampler < VKDLM_SAMPLER_COUNT; sampler++) {
        record *r = new_record();
        vkdlm_generate_options options = {.canvases = canvases,
                                          .n_canvases = 3,
                                          .num_samples = 40,
                                          .sampler = (vkdlm_sampler)sampler,
                                          .batch = 16};
        vkdlm_generate_stats stats = {0};
        assert_int_equal(run(&f, &options, r, &stats, NULL), VKDLM_OK);
        assert_int_equal(r->n_samples, 120);
        assert_int_equal(stats.tokens, 80);
        for (uint32_t i = 0; i < 120; i++) {
            const vkdlm_canvas *canvas = &canvases[i / 40];
            assert_int_equal(r->lengths[i], canvas->length);
            for (uint32_t l = 0; l < canvas->length; l++)
                assert_true(canvas->tokens[l] == m ? r->tokens[i][l] >= 0 && r->tokens[i][l] < m
                                                   : r->tokens[i][l] == canvas->tokens[l]);
            assert_true(i < 40 ? r->evaluations[i] == 0 : r->evaluations[i] >= 1);
        }
        free(r);
    }
    close_model(&f);
}

/* Windows of 3 that move by 2: every stage but the first keeps one token. */
static void semi_autoregressive_windows(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    record *r = new_record();
    const int32_t m = f.network->mask_id;
    const int32_t start[] = {2, m, m};
    const vkdlm_canvas canvas = {start, 3};
    vkdlm_generate_options options = {
        .canvases = &canvas, .n_canvases = 1, .num_samples = 50, .steps = 5, .stride = 2, .strides = 4};
    vkdlm_generate_stats stats = {0};
    assert_int_equal(run(&f, &options, r, &stats, NULL), VKDLM_OK);
    assert_int_equal(stats.tokens, 50 * (2 + 4 * 2));
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(r->lengths[i], 4 * 2 + 3);
        assert_int_equal(r->tokens[i][0], 2);
        for (uint32_t l = 0; l < r->lengths[i]; l++)
            assert_true(r->tokens[i][l] >= 0 && r->tokens[i][l] < m);
        assert_true(r->evaluations[i] >= 5 && r->evaluations[i] <= 10);
        assert_true(r->last_step[i] > 20 && r->last_step[i] <= 25);
    }
    /* A stride of the whole window gives windows that do not know each other. */
    options.stride = 3;
    options.strides = 1;
    assert_int_equal(run(&f, &options, r, &stats, NULL), VKDLM_OK);
    assert_int_equal(r->lengths[0], 6);
    free(r);
    close_model(&f);
}

/* ---- cancellation ----------------------------------------------------------------------------------- */

static void cancelled_runs_keep_what_is_finished(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    record *whole = new_record(), *r = new_record();
    vkdlm_generate_options options = {.num_samples = 100, .batch = 8, .seed = 2};
    assert_int_equal(run(&f, &options, whole, NULL, NULL), VKDLM_OK);

    uint32_t n_unfinished = 0;
    for (uint32_t stop = 1; stop < 60; stop += 3) {
        vkdlm_generate_stats stats = {0};
        vkdlm_error err = {0};
        r->stop_after_steps = stop;
        assert_int_equal(run(&f, &options, r, &stats, &err), VKDLM_CANCELLED);
        assert_int_equal(err.status, VKDLM_CANCELLED);
        assert_int_equal(r->n_steps, stop);
        uint32_t n_complete = 0;
        for (uint32_t i = 0; i < r->n_samples; i++) {
            n_complete += r->complete[i];
            n_unfinished += !r->complete[i];
            for (uint32_t l = 0; l < 3; l++)
                assert_true(r->tokens[i][l] == whole->tokens[i][l] ||
                            (!r->complete[i] && r->tokens[i][l] == r->mask_id));
        }
        assert_int_equal(stats.samples, n_complete);
    }
    assert_true(n_unfinished > 0);

    r->stop_after_steps = 0;
    r->stop_after_samples = 10;
    assert_int_equal(run(&f, &options, r, NULL, NULL), VKDLM_CANCELLED);
    assert_int_equal(r->n_samples, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_memory_equal(r->tokens[i], whole->tokens[i], sizeof r->tokens[i]);
    free(r);
    free(whole);
    close_model(&f);
}

/* ---- failures --------------------------------------------------------------------------------------- */

/* A network that spoils one result of the third evaluation. */
typedef struct faulty {
    denoiser base;
    denoiser *inner;
    eval_result fault;
    uint32_t calls;
} faulty;

static uint32_t faulty_max_sequences(void *self, uint32_t length)
{
    faulty *f = self;
    return f->inner->max_sequences(f->inner->self, length);
}

static vkdlm_status faulty_evaluate(denoiser *self, const eval_request *request, eval_result *results,
                                    vkdlm_error *err)
{
    faulty *f = (faulty *)self;
    vkdlm_status status = f->inner->evaluate(f->inner, request, results, err);
    if (++f->calls == 3)
        results[request->n_rows - 1] = f->fault;
    return status;
}

static void bad_results_are_reported(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    const eval_result faults[] = {
        {.token = 1, .log_prob = NAN}, {.token = 1, .log_prob = -INFINITY},
        {.token = -1, .log_prob = -1}, {.token = 99, .log_prob = -1},
        {.token = f.network->mask_id}, {.token = 0, .log_prob = -1, .entropy = NAN},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        faulty broken = {.base = *f.network, .inner = f.network, .fault = faults[i]};
        broken.base.self = &broken;
        broken.base.max_sequences = faulty_max_sequences;
        broken.base.evaluate = faulty_evaluate;
        record *r = new_record();
        r->mask_id = f.network->mask_id;
        vkdlm_generate_options options = {
            .num_samples = 50, .batch = 4, .on_step = record_step, .on_sample = record_sample, .user = r};
        vkdlm_error err = {0};
        assert_int_equal(masked_run(&broken.base, &options, NULL, &err), VKDLM_INTERNAL);
        assert_non_null(strstr(err.message, "no usable probabilities"));
        for (uint32_t j = 0; j < r->n_samples; j++)
            assert_true(r->complete[j]);
        free(r);
    }
    close_model(&f);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    const int32_t high[] = {0, 5, 0}, low[] = {0, 0, -1}, good[] = {4, 4, 4, 4};
    const vkdlm_canvas too_high = {high, 3}, too_low = {low, 3}, too_long = {good, 4}, empty = {good, 0},
                       missing = {NULL, 3}, two = {good, 2};
#define ON(canvas) .canvases = &(canvas), .n_canvases = 1
    const struct {
        vkdlm_generate_options options;
        const char *words[3];
    } cases[] = {
        {{ON(too_high)}, {"canvas 0, position 1", "from 0 to 4", "found 5"}},
        {{ON(too_low)}, {"canvas 0, position 2", "from 0 to 4", "found -1"}},
        {{ON(too_long)}, {"canvas 0", "1 to 3 tokens", "found 4"}},
        {{ON(empty)}, {"canvas 0", "1 to 3 tokens", "found 0"}},
        {{ON(missing)}, {"canvas 0", "expected 3 tokens", "found none"}},
        {{.n_canvases = 2}, {"canvases", "expected 2", "found none"}},
        {{.num_samples = UINT64_MAX}, {"--num-samples", "at most 4294967296", "18446744073709551615"}},
        {{.first_sample = UINT32_MAX, .num_samples = 2}, {"--num-samples", "number 4294967295", "found 2"}},
        {{.batch = 257}, {"--batch", "at most 256 canvases of 3 tokens", "found 257"}},
        {{.sampler = VKDLM_SAMPLER_COUNT}, {"--sampler", "first-hitting", "number 4"}},
        {{.noise.schedule = VKDLM_SCHEDULE_COSINE},
         {"ddpm-cache", "expected --schedule loglinear", "found cosine"}},
        {{.noise.eps = 2}, {"--schedule-eps", "between 0 and 1", "found 2"}},
        {{.end_time = 1}, {"--end-time", "between 0 and 1", "found 1"}},
        {{.end_time = NAN}, {"--end-time", "between 0 and 1", "nan"}},
        {{.steps = UINT32_MAX}, {"--steps", "at most 268435454", "4294967295"}},
        {{.temperature = -1}, {"--temperature", "from 1e-6 to 1e6", "found -1"}},
        {{.temperature = NAN}, {"--temperature", "from 1e-6 to 1e6", "nan"}},
        {{.top_p = 1.5}, {"--top-p", "at most 1", "found 1.5"}},
        {{.stride = 2}, {"--stride and --strides", "only --stride", ""}},
        {{.strides = 2}, {"--stride and --strides", "only --strides", ""}},
        {{.stride = 3, .strides = 1, ON(two)}, {"--stride:", "at most the canvas length 2", "found 3"}},
        {{.stride = 1, .strides = UINT32_MAX}, {"--strides", "of output", ""}},
        {{.stride = 1, .strides = 100, .steps = 10000000}, {"--steps", "10000000", "each window"}},
        {{.stride = 1, .strides = 1, .sampler = VKDLM_SAMPLER_DDPM},
         {"--stride", "ddpm-cache", "found ddpm"}},
        {{.stride = 1, .strides = 1, .end_time = 0.5}, {"--end-time", "does not apply", "--stride"}},
        {{.stride = 1, .strides = 1, .no_final_denoise = true}, {"--no-final-denoise", "does not apply", ""}},
        {{.sampler = VKDLM_SAMPLER_FIRST_HITTING, .end_time = 0.5}, {"--end-time", "first-hitting", ""}},
        {{.sampler = VKDLM_SAMPLER_FIRST_HITTING, .no_final_denoise = true},
         {"--no-final-denoise", "not apply", ""}},
    };
#undef ON
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_error err = {0};
        vkdlm_generate_stats stats;
        memset(&stats, 0xff, sizeof stats);
        if (masked_run(f.network, &cases[i].options, &stats, &err) != VKDLM_INVALID_ARGUMENT)
            fail_msg("case %zu is accepted", i);
        assert_int_equal(stats.evaluations, 0);
        for (int j = 0; j < 3; j++)
            if (!strstr(err.message, cases[i].words[j]))
                fail_msg("case %zu: expected '%s' in '%s'", i, cases[i].words[j], err.message);
    }
    close_model(&f);
}

/* ---- token laws ------------------------------------------------------------------------------------- */

/* Options reach the draws: top-k 1 and a small top-p leave the most probable token, whatever the seed. */
static void truncation_reaches_the_draws(void **state)
{
    (void)state;
    fixture f = open_model(GOLDEN_MDLM("tiny"));
    const int32_t m = f.network->mask_id;
    const int32_t tokens[] = {1, m, 3};
    const vkdlm_canvas canvas = {tokens, 3};
    const vkdlm_generate_options cases[] = {
        {.top_k = 1}, {.top_p = 1e-3}, {.temperature = 1e-4}, {.top_k = 0}};
    double logits[15];
    int32_t best = 0;
    ref_mdlm_forward(f.net, tokens, 3, 0, NULL, logits);
    for (int32_t v = 1; v < m; v++)
        best = logits[5 + v] > logits[5 + best] ? v : best;
    for (int i = 0; i < 4; i++) {
        record *r = new_record();
        vkdlm_generate_options options = cases[i];
        options.canvases = &canvas;
        options.n_canvases = 1;
        options.num_samples = 100;
        assert_int_equal(run(&f, &options, r, NULL, NULL), VKDLM_OK);
        uint32_t n_best = 0;
        for (int j = 0; j < 100; j++)
            n_best += r->tokens[j][1] == best;
        assert_int_equal(n_best == 100, i < 3);
        free(r);
    }
    close_model(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluations_of_ddpm_cache),
        cmocka_unit_test(evaluations_of_ddpm),
        cmocka_unit_test(tokens_do_not_depend_on_the_batch),
        cmocka_unit_test(streams_are_numbered),
        cmocka_unit_test(batches_stay_full),
        cmocka_unit_test(given_tokens_stay),
        cmocka_unit_test(semi_autoregressive_windows),
        cmocka_unit_test(cancelled_runs_keep_what_is_finished),
        cmocka_unit_test(bad_results_are_reported),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(truncation_reaches_the_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
