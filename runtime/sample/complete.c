#include "sample/complete.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "sample/clock.h"
#include "sample/complete_plan.h"
#include "sample/complete_refine.h"

/* Samples leave in the order of their index, but finish in any order: finished ones wait in the ring behind
 * the oldest unfinished one. It holds this many batches, so a slow sample seldom keeps the batch from being
 * full. */
enum { RING_BATCHES = 4 };

typedef struct complete_sample {
    uint64_t index, prompt;
    uint32_t stream; /* of random numbers */
    uint32_t slot;   /* its sequence of the cache and held state */
    int32_t *tokens; /* [length] */
    uint32_t length, prompt_length, max_tokens;
    uint32_t n_cached; /* tokens that went through the main path */
    vkdlm_flow_counts counts;
    double entropy, base_entropy, log_prob; /* sums over the new tokens */
    double begun_seconds, seconds;
    bool ended, finished;
} complete_sample;

typedef struct complete_loop {
    causal *network;
    const vkdlm_complete_options *options;
    complete_plan plan;
    refiner refiner;

    complete_sample *ring; /* sample i lives in ring[i % n_ring] from begun to delivered */
    uint64_t n_ring;
    uint64_t n_begun, n_delivered;
    complete_sample **active; /* [n_active], ascending index */
    uint32_t n_active;
    uint32_t *free_slots; /* [n_free] */
    uint32_t n_free;
    int32_t *tokens;

    causal_chunk *chunks;                    /* [batch] */
    refine_row *rows, *second_rows;          /* [batch] */
    uint32_t *second;                        /* rows of the second submission, by their number in the first */
    causal_result *results, *second_results; /* [batch] */
    float *base_entropy;                     /* of the rows, [batch] */
    vkdlm_flow_counts *counts, *second_counts; /* of this step, [batch] */
    int32_t *candidate_ids;                    /* for on_flow_step */
    float *candidate_probs;

    bool cancelled, muted; /* muted: on_sample is not called any more */
    vkdlm_complete_stats stats;
} complete_loop;

static void *allocate(uint64_t n, uint64_t size)
{
    return n <= SIZE_MAX ? calloc((size_t)n, (size_t)size) : NULL;
}

static vkdlm_status loop_init(complete_loop *loop, vkdlm_error *err)
{
    const complete_plan *plan = &loop->plan;
    uint32_t batch = plan->batch;
    uint64_t n_tokens = 0;
    loop->n_ring = u64_min((uint64_t)RING_BATCHES * batch, plan->n_samples);
    if (!size_mul(loop->n_ring, plan->max_output, &n_tokens))
        goto memory;
    loop->ring = allocate(loop->n_ring, sizeof *loop->ring);
    loop->active = allocate(batch, sizeof *loop->active);
    loop->free_slots = allocate(batch, sizeof *loop->free_slots);
    loop->tokens = allocate(n_tokens, sizeof *loop->tokens);
    loop->chunks = allocate(batch, sizeof *loop->chunks);
    loop->rows = allocate(batch, sizeof *loop->rows);
    loop->second_rows = allocate(batch, sizeof *loop->second_rows);
    loop->second = allocate(batch, sizeof *loop->second);
    loop->results = allocate(batch, sizeof *loop->results);
    loop->second_results = allocate(batch, sizeof *loop->second_results);
    loop->base_entropy = allocate(batch, sizeof *loop->base_entropy);
    loop->counts = allocate(batch, sizeof *loop->counts);
    loop->second_counts = allocate(batch, sizeof *loop->second_counts);
    loop->candidate_ids = allocate((uint64_t)loop->options->n_candidates + 1, sizeof *loop->candidate_ids);
    loop->candidate_probs =
        allocate((uint64_t)loop->options->n_candidates + 1, sizeof *loop->candidate_probs);
    if (!loop->ring || !loop->active || !loop->free_slots || !loop->tokens || !loop->chunks || !loop->rows ||
        !loop->second_rows || !loop->second || !loop->results || !loop->second_results ||
        !loop->base_entropy || !loop->counts || !loop->second_counts || !loop->candidate_ids ||
        !loop->candidate_probs)
        goto memory;
    for (uint64_t i = 0; i < loop->n_ring; i++)
        loop->ring[i].tokens = loop->tokens + i * plan->max_output;
    while (loop->n_free < batch) {
        loop->free_slots[loop->n_free] = batch - 1 - loop->n_free;
        loop->n_free++;
    }
    loop->stats.batch = batch;
    return VKDLM_OK;
memory:
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a batch of %u samples of %u tokens",
                     batch, plan->max_output);
}

static void loop_deinit(complete_loop *loop)
{
    free(loop->candidate_probs);
    free(loop->candidate_ids);
    free(loop->second_counts);
    free(loop->counts);
    free(loop->base_entropy);
    free(loop->second_results);
    free(loop->results);
    free(loop->second);
    free(loop->second_rows);
    free(loop->rows);
    free(loop->chunks);
    free(loop->tokens);
    free(loop->free_slots);
    free(loop->active);
    free(loop->ring);
    refiner_deinit(&loop->refiner);
}

/* ---- delivery --------------------------------------------------------------------------------------- */

/* Tokens that this run drew. */
static uint32_t n_new(const complete_sample *sample)
{
    return sample->length - sample->prompt_length;
}

/* Number of the next token among the new ones. */
static uint32_t next_token(const complete_loop *loop, const complete_sample *sample)
{
    return loop->plan.first_token + n_new(sample);
}

static void hand_over(complete_loop *loop, const complete_sample *sample)
{
    if (!loop->options->on_sample || loop->muted)
        return;
    double n = n_new(sample) ? (double)n_new(sample) : NAN;
    vkdlm_completion out = {.sample = sample->index,
                            .prompt = sample->prompt,
                            .tokens = sample->tokens,
                            .length = sample->length,
                            .prompt_length = sample->prompt_length,
                            .ended = sample->ended,
                            .counts = sample->counts,
                            .mean_entropy = sample->entropy / n,
                            .mean_base_entropy = sample->base_entropy / n,
                            .log_prob = sample->log_prob,
                            .seconds =
                                sample->finished ? sample->seconds : clock_seconds() - sample->begun_seconds,
                            .complete = sample->finished};
    if (!loop->options->on_sample(loop->options->user, &out))
        loop->cancelled = loop->muted = true;
}

static void deliver_finished(complete_loop *loop)
{
    while (loop->n_delivered < loop->n_begun) {
        const complete_sample *sample = &loop->ring[loop->n_delivered % loop->n_ring];
        if (!sample->finished)
            return;
        hand_over(loop, sample);
        loop->n_delivered++;
    }
}

/* What a run that ended early still holds. */
static void deliver_rest(complete_loop *loop, bool unfinished)
{
    for (; loop->n_delivered < loop->n_begun; loop->n_delivered++) {
        const complete_sample *sample = &loop->ring[loop->n_delivered % loop->n_ring];
        if (sample->finished || unfinished)
            hand_over(loop, sample);
    }
}

/* ---- prompts ---------------------------------------------------------------------------------------- */

/* Begins samples until the batch is full, the ring is, or none is left. */
static void fill_batch(complete_loop *loop)
{
    const complete_plan *plan = &loop->plan;
    while (!loop->cancelled && loop->n_free && loop->n_begun < plan->n_samples &&
           loop->n_begun < loop->n_delivered + loop->n_ring) {
        uint64_t index = loop->n_begun++;
        complete_sample *sample = &loop->ring[index % loop->n_ring];
        const vkdlm_canvas *prompt = &plan->prompts[index / plan->num_samples];
        *sample = (complete_sample){.index = index,
                                    .prompt = index / plan->num_samples,
                                    .stream = plan->first_stream + (uint32_t)index,
                                    .slot = loop->free_slots[--loop->n_free],
                                    .tokens = sample->tokens,
                                    .length = prompt->length,
                                    .prompt_length = prompt->length,
                                    .max_tokens = complete_plan_max_tokens(plan, index / plan->num_samples),
                                    .begun_seconds = clock_seconds()};
        memcpy(sample->tokens, prompt->tokens, prompt->length * sizeof *prompt->tokens);
        loop->active[loop->n_active++] = sample;
    }
}

/* What a sample's tokens are. New ones that a prompt ends with go through the network as they did when they
 * were drawn, so that what follows them is the same to the bit. */
enum part { PART_PROMPT, PART_GIVEN, PART_DRAWN, N_PARTS };

/* Lists what is not in the cache yet of a part, as many tokens as one call takes. Returns the number of
 * chunks. */
static uint32_t list_chunks(complete_loop *loop, enum part part)
{
    uint32_t n = 0, room = loop->plan.chunk_rows;
    for (uint32_t i = 0; i < loop->n_active; i++) {
        complete_sample *sample = loop->active[i];
        const uint32_t ends[N_PARTS] = {sample->prompt_length - loop->plan.first_token, sample->prompt_length,
                                        sample->length};
        if (sample->n_cached >= ends[part] || (part && sample->n_cached < ends[part - 1]))
            continue;
        uint32_t length = u32_min(ends[part] - sample->n_cached, room);
        if (length == 0)
            continue;
        bool last = sample->n_cached + length == sample->length;
        loop->chunks[n++] = (causal_chunk){.sequence = sample->slot,
                                           .first = sample->n_cached,
                                           .tokens = sample->tokens + sample->n_cached,
                                           .length = length,
                                           .keep = last ? KEEP_LAST : KEEP_NONE,
                                           .held = sample->slot};
        sample->n_cached += length;
        room -= length;
        if (part != PART_DRAWN)
            loop->stats.prompt_tokens += length;
    }
    return n;
}

/* Sends the prompts of new samples through the main path, as far as their last states. */
static vkdlm_status process_prompts(complete_loop *loop, vkdlm_error *err)
{
    double begun = clock_seconds();
    vkdlm_status status = VKDLM_OK;
    for (enum part part = PART_PROMPT; part < PART_DRAWN; part++) {
        uint32_t n_chunks;
        while (status == VKDLM_OK && (n_chunks = list_chunks(loop, part))) {
            refine_call call = {.chunks = loop->chunks,
                                .n_chunks = n_chunks,
                                .prompt = part == PART_PROMPT,
                                .law = loop->plan.law};
            status = refiner_run(&loop->refiner, &call, loop->results, NULL, err);
        }
    }
    loop->stats.prompt_seconds += clock_seconds() - begun;
    return status;
}

/* ---- steps ------------------------------------------------------------------------------------------ */

/* One row for each active sample: its next token. */
static void list_rows(complete_loop *loop)
{
    for (uint32_t i = 0; i < loop->n_active; i++) {
        const complete_sample *sample = loop->active[i];
        loop->rows[i] = (refine_row){.row = {.sequence = sample->slot,
                                             .position = sample->length - 1,
                                             .held = sample->slot,
                                             .sample = sample->stream,
                                             .counter = next_token(loop, sample),
                                             .target = -1},
                                     .noise_token = next_token(loop, sample),
                                     .noise_row = sample->index};
        loop->counts[i] = (vkdlm_flow_counts){.main = 1};
    }
}

/* Everything in one call. */
static vkdlm_status predict_at_once(complete_loop *loop, const refine_call *step, vkdlm_error *err)
{
    for (uint32_t i = 0; i < loop->n_active; i++)
        loop->rows[i].refine = loop->plan.flow.on;
    vkdlm_status status = refiner_run(&loop->refiner, step, loop->results, loop->counts, err);
    for (uint32_t i = 0; i < loop->n_active; i++)
        loop->base_entropy[i] = loop->results[i].base_entropy;
    return status;
}

/* The base's distributions first; then what they leave open: the rows that are to be refined, and the tokens
 * of the others unless the first call gave them. */
static vkdlm_status predict_from_base(complete_loop *loop, const refine_call *step, vkdlm_error *err)
{
    const token_law base = {.inv_temperature = 1, .top_p = 1};
    bool answered = token_law_is_plain(&step->law);
    refine_call first = *step;
    first.law = answered ? step->law : base;
    vkdlm_status status = refiner_run(&loop->refiner, &first, loop->results, loop->counts, err);
    if (status != VKDLM_OK)
        return status;

    uint32_t n = 0;
    for (uint32_t i = 0; i < loop->n_active; i++) {
        loop->rows[i].refine = flow_settings_wants(&loop->plan.flow, &loop->results[i]);
        loop->base_entropy[i] = loop->results[i].entropy;
        if (!loop->rows[i].refine && answered)
            continue;
        loop->second_rows[n] = loop->rows[i];
        loop->second_counts[n] = (vkdlm_flow_counts){0};
        loop->second[n++] = i;
    }
    if (n == 0)
        return VKDLM_OK;
    refine_call second = {.rows = loop->second_rows, .n_rows = n, .law = step->law};
    status = refiner_run(&loop->refiner, &second, loop->second_results, loop->second_counts, err);
    for (uint32_t i = 0; i < n && status == VKDLM_OK; i++) {
        uint32_t row = loop->second[i];
        loop->results[row] = loop->second_results[i];
        flow_counts_add(&loop->counts[row], &loop->second_counts[i]);
        if (!loop->rows[row].refine)
            loop->base_entropy[row] = loop->results[row].entropy;
    }
    return status;
}

static void report_token(complete_loop *loop, const complete_sample *sample, uint32_t row)
{
    const causal_result *result = &loop->results[row];
    vkdlm_token_step step = {.sample = sample->index,
                             .index = next_token(loop, sample) - 1,
                             .max_tokens = sample->max_tokens,
                             .token = result->token,
                             .log_prob = result->log_prob,
                             .entropy = result->entropy,
                             .base_entropy = loop->base_entropy[row],
                             .refined = loop->rows[row].refine,
                             .tokens = sample->tokens,
                             .length = sample->length,
                             .counts = &sample->counts};
    if (!loop->options->on_token(loop->options->user, &step))
        loop->cancelled = true;
}

static void report_evaluation(void *user, const refine_row *row, const refine_seen *seen)
{
    complete_loop *loop = user;
    uint32_t n_candidates = loop->options->n_candidates;
    for (uint32_t i = 0; i < n_candidates; i++) {
        loop->candidate_ids[i] = seen->candidates[i].token;
        loop->candidate_probs[i] = seen->candidates[i].token < 0 ? 0 : expf(seen->candidates[i].log_prob);
    }
    vkdlm_flow_step step = {.sample = row->noise_row,
                            .token_index = row->row.counter,
                            .index = seen->index,
                            .last = seen->last,
                            .time = seen->time,
                            .x = seen->x,
                            .dim = loop->network->flow_dim,
                            .xhat_id = seen->found->token,
                            .entropy = seen->found->entropy,
                            .n_candidates = n_candidates,
                            .candidate_ids = n_candidates ? loop->candidate_ids : NULL,
                            .candidate_probs = n_candidates ? loop->candidate_probs : NULL,
                            .wd_norm = seen->found->wd_norm,
                            .device_ns = seen->device_ns};
    if (!loop->options->on_flow_step(loop->options->user, &step))
        loop->cancelled = true;
}

static void take_token(complete_loop *loop, complete_sample *sample, uint32_t row)
{
    const causal_result *result = &loop->results[row];
    sample->tokens[sample->length++] = result->token;
    sample->log_prob += (double)result->log_prob;
    sample->entropy += (double)result->entropy;
    sample->base_entropy += (double)loop->base_entropy[row];
    flow_counts_add(&sample->counts, &loop->counts[row]);
    flow_counts_add(&loop->stats.counts, &loop->counts[row]);
    sample->ended = complete_plan_ends(&loop->plan, result->token);
    sample->finished = sample->ended || next_token(loop, sample) == sample->max_tokens;
    if (!sample->finished)
        return;
    sample->seconds = clock_seconds() - sample->begun_seconds;
    loop->stats.samples++;
    loop->stats.tokens += n_new(sample);
    loop->free_slots[loop->n_free++] = sample->slot;
}

/* One token for every active sample; those that are over leave. When a callback cancels, the samples after it
 * stay where the callbacks last saw them. */
static vkdlm_status step_batch(complete_loop *loop, vkdlm_error *err)
{
    const flow_settings *flow = &loop->plan.flow;
    uint32_t n_chunks = list_chunks(loop, PART_DRAWN);
    list_rows(loop);
    refine_call step = {.chunks = loop->chunks,
                        .n_chunks = n_chunks,
                        .rows = loop->rows,
                        .n_rows = loop->n_active,
                        .law = loop->plan.law};
    bool from_base = flow->on && (flow->budget != VKDLM_BUDGET_ALL || flow->adaptive);
    vkdlm_status status = from_base ? predict_from_base(loop, &step, err) : predict_at_once(loop, &step, err);
    if (status != VKDLM_OK)
        return status;

    uint32_t n_active = 0;
    for (uint32_t i = 0; i < loop->n_active && !loop->cancelled; i++) {
        complete_sample *sample = loop->active[i];
        take_token(loop, sample, i);
        if (loop->options->on_token)
            report_token(loop, sample, i);
        if (!sample->finished)
            loop->active[n_active++] = sample;
    }
    loop->n_active = n_active;
    return VKDLM_OK;
}

static vkdlm_status loop_run(complete_loop *loop, vkdlm_error *err)
{
    for (;;) {
        fill_batch(loop);
        if (loop->cancelled)
            return error_set(err, VKDLM_CANCELLED, "generation was cancelled after %llu of %llu samples",
                             (unsigned long long)loop->stats.samples,
                             (unsigned long long)loop->plan.n_samples);
        if (loop->n_active == 0)
            return VKDLM_OK;
        vkdlm_status status = process_prompts(loop, err);
        if (status == VKDLM_OK)
            status = step_batch(loop, err);
        if (status != VKDLM_OK)
            return status;
        deliver_finished(loop);
    }
}

static vkdlm_status loop_prepare(complete_loop *loop, const vkdlm_model_info *model, vkdlm_error *err)
{
    causal_capacity capacity;
    complete_plan *plan = &loop->plan;
    vkdlm_status status = complete_plan_init(plan, loop->network, model, loop->options, err);
    if (status == VKDLM_OK)
        status = refiner_init(&loop->refiner, loop->network, &plan->flow, plan->seed, err);
    const refine_watch watch = {loop->options->on_flow_step ? report_evaluation : NULL, loop,
                                loop->options->n_candidates};
    if (status == VKDLM_OK) {
        refiner_watch(&loop->refiner, &watch);
        status = complete_plan_batch(plan, &loop->refiner, loop->network, loop->options, &capacity, err);
    }
    if (status == VKDLM_OK)
        status = loop_init(loop, err);
    if (status == VKDLM_OK)
        status = refiner_reserve(&loop->refiner, &capacity, err);
    return status;
}

vkdlm_status complete_run(causal *network, const vkdlm_model_info *model,
                          const vkdlm_complete_options *options, vkdlm_complete_stats *stats,
                          vkdlm_error *err)
{
    complete_loop loop = {.network = network, .options = options};
    double start_seconds = clock_seconds();
    uint64_t submissions = network->counters.submissions;
    vkdlm_status status = loop_prepare(&loop, model, err);
    if (status == VKDLM_OK)
        status = loop_run(&loop, err);
    if (status != VKDLM_OK)
        deliver_rest(&loop, status == VKDLM_CANCELLED);

    if (stats) {
        *stats = loop.stats;
        stats->submissions = network->counters.submissions - submissions;
        stats->seconds = clock_seconds() - start_seconds;
    }
    loop_deinit(&loop);
    return status;
}
