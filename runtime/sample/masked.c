#include "sample/masked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "sample/clock.h"
#include "sample/masked_plan.h"
#include "sample/masked_sample.h"

/* Samples leave in the order of their index, but finish in any order: finished ones wait in the ring behind
 * the oldest unfinished one. It holds this many batches, so a slow sample seldom keeps the batch from being
 * full. */
enum { RING_BATCHES = 4 };

typedef struct masked_loop {
    denoiser *network;
    const vkdlm_generate_options *options;
    masked_plan plan;

    masked_sample *ring; /* sample i lives in ring[i % n_ring] from begun to delivered */
    uint64_t n_ring;
    uint64_t n_begun, n_delivered;
    masked_sample **active; /* have an event to evaluate, [n_active], ascending index */
    uint32_t n_active;
    int32_t *tokens;
    uint32_t *positions;

    eval_sequence *sequences; /* [batch] */
    eval_row *rows;           /* [n_rows_reserved] */
    eval_result *results;
    candidate *candidates; /* [n_rows_reserved, plan.n_candidates] */
    uint32_t n_rows_reserved;

    uint32_t *changed; /* for on_step, [max_window] */
    float *probability, *entropy;
    int32_t *candidate_ids; /* [max_window, plan.n_candidates] */
    float *candidate_probs;
    uint64_t host_ns, device_ns; /* of the last evaluation */

    bool cancelled, muted; /* muted: on_sample is not called any more */
    vkdlm_generate_stats stats;
    double start_seconds;
} masked_loop;

static void *allocate(uint64_t n, uint64_t size)
{
    return n <= SIZE_MAX ? calloc((size_t)n, (size_t)size) : NULL;
}

static vkdlm_status loop_init(masked_loop *loop, vkdlm_error *err)
{
    const masked_plan *plan = &loop->plan;
    loop->n_ring = u64_min((uint64_t)RING_BATCHES * plan->batch, plan->n_samples);
    uint64_t n_tokens = 0, n_positions = 0, n_candidates = (uint64_t)plan->max_window * plan->n_candidates;
    if (!size_mul(loop->n_ring, plan->max_output, &n_tokens) ||
        !size_mul(loop->n_ring, (uint64_t)2 * plan->max_window, &n_positions))
        goto memory;
    loop->ring = allocate(loop->n_ring, sizeof *loop->ring);
    loop->active = allocate(plan->batch, sizeof *loop->active);
    loop->tokens = allocate(n_tokens, sizeof *loop->tokens);
    loop->positions = allocate(n_positions, sizeof *loop->positions);
    loop->sequences = allocate(plan->batch, sizeof *loop->sequences);
    loop->changed = allocate(plan->max_window, sizeof *loop->changed);
    loop->probability = allocate(plan->max_window, sizeof *loop->probability);
    loop->entropy = allocate(plan->max_window, sizeof *loop->entropy);
    loop->candidate_ids = allocate(n_candidates + 1, sizeof *loop->candidate_ids);
    loop->candidate_probs = allocate(n_candidates + 1, sizeof *loop->candidate_probs);
    if (!loop->ring || !loop->active || !loop->tokens || !loop->positions || !loop->sequences ||
        !loop->changed || !loop->probability || !loop->entropy || !loop->candidate_ids ||
        !loop->candidate_probs)
        goto memory;
    for (uint64_t i = 0; i < loop->n_ring; i++) {
        loop->ring[i].tokens = loop->tokens + i * plan->max_output;
        loop->ring[i].masked = loop->positions + 2 * i * plan->max_window;
        loop->ring[i].picked = loop->ring[i].masked + plan->max_window;
    }
    loop->stats.batch = plan->batch;
    return VKDLM_OK;
memory:
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a batch of %u samples of %u tokens",
                     plan->batch, plan->max_output);
}

static void loop_deinit(masked_loop *loop)
{
    free(loop->candidate_probs);
    free(loop->candidate_ids);
    free(loop->entropy);
    free(loop->probability);
    free(loop->changed);
    free(loop->candidates);
    free(loop->results);
    free(loop->rows);
    free(loop->sequences);
    free(loop->positions);
    free(loop->tokens);
    free(loop->active);
    free(loop->ring);
}

static vkdlm_status reserve_rows(masked_loop *loop, uint32_t n, vkdlm_error *err)
{
    if (n <= loop->n_rows_reserved)
        return VKDLM_OK;
    n = n < UINT32_MAX / 2 ? n + n / 2 : n;
    eval_row *rows = realloc(loop->rows, n * sizeof *rows);
    if (rows)
        loop->rows = rows;
    eval_result *results = realloc(loop->results, n * sizeof *results);
    if (results)
        loop->results = results;
    uint64_t n_candidates = (uint64_t)n * loop->plan.n_candidates + 1;
    candidate *candidates = n_candidates <= SIZE_MAX / sizeof *candidates
                                ? realloc(loop->candidates, (size_t)n_candidates * sizeof *candidates)
                                : NULL;
    if (candidates)
        loop->candidates = candidates;
    if (!rows || !results || !candidates)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for %u rows of one evaluation", n);
    loop->n_rows_reserved = n;
    return VKDLM_OK;
}

/* ---- delivery --------------------------------------------------------------------------------------- */

static void hand_over(masked_loop *loop, const masked_sample *sample)
{
    if (!loop->options->on_sample || loop->muted)
        return;
    vkdlm_sample out = {.sample = sample->index,
                        .prompt = sample->prompt,
                        .tokens = sample->tokens,
                        .length = sample->length,
                        .evaluations = sample->evaluations,
                        .n_steps = masked_plan_n_steps(&loop->plan),
                        .output_rows = sample->output_rows,
                        .seconds = sample->seconds,
                        .complete = sample->finished};
    if (!loop->options->on_sample(loop->options->user, &out))
        loop->cancelled = loop->muted = true;
}

static void sample_finished(masked_loop *loop, masked_sample *sample)
{
    sample->seconds = clock_seconds() - sample->begun_seconds;
    loop->stats.samples++;
    loop->stats.tokens += sample->n_filled;
}

static void deliver_finished(masked_loop *loop)
{
    while (loop->n_delivered < loop->n_begun) {
        const masked_sample *sample = &loop->ring[loop->n_delivered % loop->n_ring];
        if (!sample->finished)
            return;
        hand_over(loop, sample);
        loop->n_delivered++;
    }
}

/* What a run that ended early still holds. */
static void deliver_rest(masked_loop *loop, bool unfinished)
{
    for (; loop->n_delivered < loop->n_begun; loop->n_delivered++) {
        const masked_sample *sample = &loop->ring[loop->n_delivered % loop->n_ring];
        if (sample->finished || unfinished)
            hand_over(loop, sample);
    }
}

/* ---- evaluations ------------------------------------------------------------------------------------ */

/* Begins samples until the batch is full, the ring is, or none is left. */
static void fill_batch(masked_loop *loop)
{
    const masked_plan *plan = &loop->plan;
    while (!loop->cancelled && loop->n_active < plan->batch && loop->n_begun < plan->n_samples &&
           loop->n_begun < loop->n_delivered + loop->n_ring) {
        masked_sample *sample = &loop->ring[loop->n_begun % loop->n_ring];
        masked_sample_begin(sample, plan, loop->n_begun++);
        sample->begun_seconds = clock_seconds();
        if (masked_sample_advance(sample, plan)) {
            loop->active[loop->n_active++] = sample;
        } else {
            sample_finished(loop, sample);
            deliver_finished(loop);
        }
    }
}

/* Rows of a sample in the next evaluation: what it picked, and what else is to be reported. */
static uint32_t sample_rows(const masked_loop *loop, const masked_sample *sample)
{
    return sample->n_picked + (loop->plan.evaluate_all ? sample->n_masked : 0);
}

static uint32_t row_position(const masked_sample *sample, uint32_t row)
{
    return row < sample->n_picked ? sample->picked[row] : sample->masked[row - sample->n_picked];
}

/* Lists the rows of every active sample, in order. */
static vkdlm_status list_rows(masked_loop *loop, uint32_t *n_rows, vkdlm_error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < loop->n_active; i++)
        n += sample_rows(loop, loop->active[i]);
    vkdlm_status status = reserve_rows(loop, n ? n : 1, err);
    if (status != VKDLM_OK)
        return status;

    eval_row *row = loop->rows;
    for (uint32_t i = 0; i < loop->n_active; i++) {
        const masked_sample *sample = loop->active[i];
        loop->sequences[i] = (eval_sequence){.tokens = masked_sample_window(sample),
                                             .length = sample->window_length,
                                             .sigma = (float)sample->event.sigma};
        for (uint32_t j = 0; j < sample_rows(loop, sample); j++)
            *row++ = (eval_row){.sequence = i,
                                .position = row_position(sample, j),
                                .mode = j < sample->n_picked ? sample->event.mode : EVAL_ARGMAX,
                                .sample = sample->stream,
                                .step = sample->event.number,
                                .target = -1};
    }
    /* An evaluation has at least one row; when `ddpm` asks for none, this one is ignored. */
    if (n == 0)
        *row = (eval_row){.position = loop->active[0]->masked[0], .mode = EVAL_ARGMAX, .target = -1};
    *n_rows = n ? n : 1;
    return VKDLM_OK;
}

static vkdlm_status check_results(const masked_loop *loop, const masked_sample *sample,
                                  const eval_result *results, vkdlm_error *err)
{
    for (uint32_t i = 0; i < sample_rows(loop, sample); i++) {
        const eval_result *r = &results[i];
        bool token =
            r->token >= 0 && (uint32_t)r->token < loop->network->vocab_size && r->token != loop->plan.mask_id;
        if (!token || !isfinite(r->log_prob) || !isfinite(r->entropy))
            return error_set(
                err, VKDLM_INTERNAL,
                "the network gave no usable probabilities for sample %llu, step %u, position %u: expected "
                "a token from 0 to %u other than %d with a finite log-probability, found token %d with %g",
                (unsigned long long)sample->index, sample->event.step,
                sample->start + row_position(sample, i), loop->network->vocab_size - 1, loop->plan.mask_id,
                r->token, (double)r->log_prob);
    }
    return VKDLM_OK;
}

static void report_step(masked_loop *loop, const masked_sample *sample, const eval_result *results)
{
    uint32_t n_evaluated = sample_rows(loop, sample), n_candidates = loop->plan.n_candidates;
    const candidate *candidates = loop->candidates + (size_t)(results - loop->results) * n_candidates;
    for (uint32_t i = 0; i < n_evaluated; i++) {
        loop->changed[i] = sample->start + row_position(sample, i);
        loop->probability[i] = expf(results[i].log_prob);
        loop->entropy[i] = results[i].entropy;
    }
    for (size_t i = 0; i < (size_t)n_evaluated * n_candidates; i++) {
        loop->candidate_ids[i] = candidates[i].token;
        loop->candidate_probs[i] = candidates[i].token < 0 ? 0 : expf(candidates[i].log_prob);
    }
    vkdlm_step step = {.sample = sample->index,
                       .step = sample->event.step,
                       .n_steps = masked_plan_n_steps(&loop->plan),
                       .stage = sample->stage,
                       .time = sample->event.time,
                       .evaluations = sample->evaluations,
                       .tokens = sample->tokens,
                       .length = sample->length,
                       .n_masked = masked_sample_n_masked(sample),
                       .changed = loop->changed,
                       .n_changed = sample->n_picked,
                       .n_evaluated = n_evaluated,
                       .probability = loop->probability,
                       .entropy = loop->entropy,
                       .n_candidates = n_candidates,
                       .candidate_ids = n_candidates ? loop->candidate_ids : NULL,
                       .candidate_probs = n_candidates ? loop->candidate_probs : NULL,
                       .host_ns = loop->host_ns,
                       .device_ns = loop->device_ns};
    if (!loop->options->on_step(loop->options->user, &step))
        loop->cancelled = true;
}

/* Hands each active sample its results and lets it decide up to its next event; those that are over leave.
 * When a callback cancels, the samples after it stay where the callbacks last saw them. */
static vkdlm_status apply_results(masked_loop *loop, vkdlm_error *err)
{
    const eval_result *results = loop->results;
    uint32_t n_active = 0;
    for (uint32_t i = 0; i < loop->n_active && !loop->cancelled; i++) {
        masked_sample *sample = loop->active[i];
        uint32_t n_rows = sample_rows(loop, sample);
        vkdlm_status status = check_results(loop, sample, results, err);
        if (status != VKDLM_OK)
            return status;
        masked_sample_apply(sample, results);
        loop->stats.evaluations++;
        loop->stats.output_rows_full += sample->window_length;
        if (loop->options->on_step)
            report_step(loop, sample, results);
        if (masked_sample_advance(sample, &loop->plan))
            loop->active[n_active++] = sample;
        else
            sample_finished(loop, sample);
        results += n_rows;
    }
    loop->n_active = n_active;
    return VKDLM_OK;
}

static vkdlm_status evaluate_batch(masked_loop *loop, vkdlm_error *err)
{
    uint32_t n_rows = 0;
    vkdlm_status status = list_rows(loop, &n_rows, err);
    if (status != VKDLM_OK)
        return status;
    eval_request request = {.sequences = loop->sequences,
                            .n_sequences = loop->n_active,
                            .rows = loop->rows,
                            .n_rows = n_rows,
                            .seed = loop->plan.seed,
                            .temperature = loop->plan.temperature,
                            .top_k = loop->plan.top_k,
                            .top_p = loop->plan.top_p,
                            .n_candidates = loop->plan.n_candidates,
                            .candidates = loop->candidates,
                            .device_ns = loop->options->on_step ? &loop->device_ns : NULL};
    double begun = clock_seconds();
    status = loop->network->evaluate(loop->network, &request, loop->results, err);
    if (status != VKDLM_OK)
        return status;
    loop->host_ns = (uint64_t)(1e9 * (clock_seconds() - begun));
    if (loop->stats.first_evaluation_seconds == 0)
        loop->stats.first_evaluation_seconds = clock_seconds() - loop->start_seconds;
    return apply_results(loop, err);
}

static vkdlm_status loop_run(masked_loop *loop, vkdlm_error *err)
{
    for (;;) {
        fill_batch(loop);
        if (loop->cancelled)
            return error_set(err, VKDLM_CANCELLED, "generation was cancelled after %llu of %llu samples",
                             (unsigned long long)loop->stats.samples,
                             (unsigned long long)loop->plan.n_samples);
        if (loop->n_active == 0)
            return VKDLM_OK;
        vkdlm_status status = evaluate_batch(loop, err);
        if (status != VKDLM_OK)
            return status;
        deliver_finished(loop);
    }
}

vkdlm_status masked_run(denoiser *network, const vkdlm_generate_options *options, vkdlm_generate_stats *stats,
                        vkdlm_error *err)
{
    masked_loop loop = {.network = network, .options = options, .start_seconds = clock_seconds()};
    eval_counters before = network->counters;
    vkdlm_status status = masked_plan_init(&loop.plan, network, options, err);
    if (status == VKDLM_OK)
        status = loop_init(&loop, err);
    if (status == VKDLM_OK)
        status =
            denoiser_reserve(network, loop.plan.batch, loop.plan.max_window, loop.plan.n_candidates, err);
    if (status == VKDLM_OK)
        status = loop_run(&loop, err);
    if (status != VKDLM_OK)
        deliver_rest(&loop, status == VKDLM_CANCELLED);

    if (stats) {
        *stats = loop.stats;
        stats->network_rows = network->counters.network_rows - before.network_rows;
        stats->output_rows = network->counters.output_rows - before.output_rows;
        stats->submissions = network->counters.submissions - before.submissions;
        stats->seconds = clock_seconds() - loop.start_seconds;
    }
    loop_deinit(&loop);
    return status;
}
