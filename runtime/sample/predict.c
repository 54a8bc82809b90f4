#include "sample/predict.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "sample/clock.h"
#include "sample/complete_refine.h"

/* Positions in the text are one word of the random counter. */
#define MAX_TOKENS 0xFFFFFFFFu

/* Mean and sum of squared deviations from it, one value after another (Welford). */
typedef struct moments {
    double n, mean, squares;
} moments;

static void moments_add(moments *m, double value)
{
    m->n++;
    double deviation = value - m->mean;
    m->mean += deviation / m->n;
    m->squares += deviation * (value - m->mean);
}

static double moments_mean(const moments *m)
{
    return m->n > 0 ? m->mean : NAN;
}

static double moments_stderr(const moments *m)
{
    return m->n > 1 ? sqrt(m->squares / (m->n - 1) / m->n) : NAN;
}

/* What is averaged over predictions. */
typedef struct quality {
    double accuracy, expected_accuracy, nats, entropy;
} quality;

typedef struct quality_moments {
    moments accuracy, expected_accuracy, nats, entropy;
} quality_moments;

typedef struct predictor {
    causal *network;
    const vkdlm_predict_options *options;
    const int32_t *ids;
    uint64_t n_ids;
    flow_settings flow;
    refiner refiner;
    uint32_t window, draws, batch, chunk_rows;
    uint64_t n_predictions, n_done;

    refine_row *rows;    /* [batch] */
    causal_result *base; /* of the group, [batch] */
    uint32_t *pairs;     /* rows of the group that are refined, [batch] */
    causal_result *results;
    vkdlm_flow_counts *counts; /* [batch] */
    quality *refined;          /* of the group, [batch] */

    quality_moments base_moments, refined_moments;
    double window_nats;     /* of the base, summed over the current window */
    uint64_t window_tokens; /* predictions of it */
    double *windows;        /* sum of nats and number of predictions of each finished window */
    uint64_t n_windows;
    vkdlm_flow_counts total;
} predictor;

/* ---- options ---------------------------------------------------------------------------------------- */

static vkdlm_status check_text(const predictor *p, vkdlm_error *err)
{
    if (p->n_ids < 2 || p->n_ids > MAX_TOKENS)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "the text to predict: expected 2 to %u tokens, found %llu", MAX_TOKENS,
                         (unsigned long long)p->n_ids);
    for (uint64_t i = 0; i < p->n_ids; i++)
        if (p->ids[i] < 0 || (uint32_t)p->ids[i] >= p->network->vocab_size)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "the text to predict, position %llu: expected a token from 0 to %u, found %d",
                             (unsigned long long)i, p->network->vocab_size - 1, p->ids[i]);
    return VKDLM_OK;
}

static vkdlm_status resolve_options(predictor *p, const vkdlm_flow_info *model, vkdlm_error *err)
{
    const vkdlm_predict_options *options = p->options;
    uint32_t context = p->network->context;
    if (options->window == 1 || options->window > context)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--window: expected 2 to %u tokens, the model's context, found %u", context,
                         options->window);
    p->window = (uint32_t)u64_min(options->window ? options->window : context, p->n_ids);
    uint64_t rest = p->n_ids % p->window;
    p->n_predictions = p->n_ids / p->window * (p->window - 1) + (rest ? rest - 1 : 0);
    if (options->max_tokens)
        p->n_predictions = u64_min(p->n_predictions, options->max_tokens);
    vkdlm_status status = flow_settings_init(&p->flow, &options->flow, model, p->network, err);
    if (status != VKDLM_OK)
        return status;
    if (options->draws && !model->present)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--draws: expected a diffusion path to draw for, found a model without one");
    p->draws = options->draws ? options->draws : 1;
    uint32_t most = p->window - 1;
    p->chunk_rows = u32_min(most, p->network->auto_rows);
    p->batch = u32_min(options->batch ? options->batch : p->network->auto_rows,
                       (uint32_t)u64_min((uint64_t)most * p->draws, MAX_TOKENS));
    return flow_settings_check_noise(&p->flow, p->network->flow_dim, p->n_predictions, p->draws, err);
}

static void *allocate(uint64_t n, uint64_t size)
{
    return n <= SIZE_MAX ? calloc((size_t)n, (size_t)size) : NULL;
}

static vkdlm_status reserve(predictor *p, vkdlm_error *err)
{
    uint64_t n_windows = (p->n_ids + p->window - 1) / p->window;
    p->rows = allocate(p->batch, sizeof *p->rows);
    p->base = allocate(p->batch, sizeof *p->base);
    p->pairs = allocate(p->batch, sizeof *p->pairs);
    p->results = allocate(p->batch, sizeof *p->results);
    p->counts = allocate(p->batch, sizeof *p->counts);
    p->refined = allocate(p->batch, sizeof *p->refined);
    p->windows = allocate(2 * n_windows, sizeof *p->windows);
    if (!p->rows || !p->base || !p->pairs || !p->results || !p->counts || !p->refined || !p->windows)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for %u predictions at once", p->batch);
    causal_capacity capacity = {.sequences = 1,
                                .context = p->window - 1,
                                .chunk_rows = p->chunk_rows,
                                .held = p->chunk_rows,
                                .rows = p->batch,
                                .cache_f16 = p->options->cache_f16};
    vkdlm_status status = refiner_init(&p->refiner, p->network, &p->flow, p->options->seed, err);
    if (status != VKDLM_OK)
        return status;
    refiner_describe(&p->refiner, &capacity);
    return refiner_reserve(&p->refiner, &capacity, err);
}

static void predictor_deinit(predictor *p)
{
    refiner_deinit(&p->refiner);
    free(p->windows);
    free(p->refined);
    free(p->counts);
    free(p->results);
    free(p->pairs);
    free(p->base);
    free(p->rows);
}

/* ---- predictions ------------------------------------------------------------------------------------ */

/* The most probable token and the statistics of the plain distribution. */
static const token_law measured_law = {.inv_temperature = 1, .top_p = 1};

static quality quality_of(const causal_result *result, int32_t target)
{
    double log_prob = (double)result->target_log_prob;
    return (quality){.accuracy = result->token == target,
                     .expected_accuracy = exp(log_prob),
                     .nats = -log_prob,
                     .entropy = (double)result->entropy};
}

static void quality_add(quality_moments *m, const quality *q)
{
    moments_add(&m->accuracy, q->accuracy);
    moments_add(&m->expected_accuracy, q->expected_accuracy);
    moments_add(&m->nats, q->nats);
    moments_add(&m->entropy, q->entropy);
}

/* Positions first .. first + n - 1 of the window at `start`; `held` is the slot of the first. */
typedef struct group {
    uint64_t start;
    uint32_t first, n, held;
} group;

static refine_row row_of(const predictor *p, const group *g, uint32_t i, uint32_t draw)
{
    uint64_t target = g->start + g->first + i + 1;
    return (refine_row){.row = {.position = g->first + i,
                                .held = g->held + i,
                                .sample = draw,
                                .counter = (uint32_t)target,
                                .target = p->ids[target]},
                        .noise_token = p->n_done + i,
                        .noise_row = draw};
}

/* Refines the rows of the group that the budget asks for, `draws` times each; the others keep the base's
 * result. Row and draw together make a pair; as many pairs as fit run together. */
static vkdlm_status refine_group(predictor *p, const group *g, vkdlm_error *err)
{
    uint32_t n_wanted = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        p->refined[i] = (quality){0};
        if (flow_settings_wants(&p->flow, &p->base[i]))
            p->pairs[n_wanted++] = i;
        else
            p->refined[i] = quality_of(&p->base[i], row_of(p, g, i, 0).row.target);
    }
    uint64_t n_pairs = (uint64_t)n_wanted * p->draws;
    for (uint64_t done = 0; done < n_pairs;) {
        uint32_t n = (uint32_t)u64_min(p->batch, n_pairs - done);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t pair = done + i;
            p->rows[i] = row_of(p, g, p->pairs[pair / p->draws], (uint32_t)(pair % p->draws));
            p->rows[i].refine = true;
            p->counts[i] = (vkdlm_flow_counts){0};
        }
        refine_call call = {.rows = p->rows, .n_rows = n, .law = measured_law};
        vkdlm_status status = refiner_run(&p->refiner, &call, p->results, p->counts, err);
        if (status != VKDLM_OK)
            return status;
        for (uint32_t i = 0; i < n; i++) {
            quality one = quality_of(&p->results[i], p->rows[i].row.target);
            quality *sum = &p->refined[p->pairs[(done + i) / p->draws]];
            sum->accuracy += one.accuracy / p->draws;
            sum->expected_accuracy += one.expected_accuracy / p->draws;
            sum->nats += one.nats / p->draws;
            sum->entropy += one.entropy / p->draws;
            flow_counts_add(&p->total, &p->counts[i]);
        }
        done += n;
    }
    return VKDLM_OK;
}

/* Predicts a group; a chunk that is given goes through the main path first. */
static vkdlm_status predict_group(predictor *p, const group *g, const causal_chunk *chunk, vkdlm_error *err)
{
    for (uint32_t i = 0; i < g->n; i++)
        p->rows[i] = row_of(p, g, i, 0);
    refine_call call = {.chunks = chunk,
                        .n_chunks = chunk != NULL,
                        .prompt = chunk != NULL,
                        .rows = p->rows,
                        .n_rows = g->n,
                        .law = measured_law};
    vkdlm_status status = refiner_run(&p->refiner, &call, p->base, NULL, err);
    if (status == VKDLM_OK && p->flow.on)
        status = refine_group(p, g, err);
    if (status != VKDLM_OK)
        return status;

    for (uint32_t i = 0; i < g->n; i++) {
        quality base = quality_of(&p->base[i], row_of(p, g, i, 0).row.target);
        quality_add(&p->base_moments, &base);
        p->window_nats += base.nats;
        if (p->flow.on)
            quality_add(&p->refined_moments, &p->refined[i]);
    }
    p->window_tokens += g->n;
    p->n_done += g->n;
    p->total.main += g->n;
    const vkdlm_predict_options *options = p->options;
    if (options->progress && !options->progress(options->user, p->n_done, p->n_predictions))
        return error_set(err, VKDLM_CANCELLED, "the prediction was cancelled after %llu of %llu tokens",
                         (unsigned long long)p->n_done, (unsigned long long)p->n_predictions);
    return VKDLM_OK;
}

/* The first n predictions of the window at `start`. */
static vkdlm_status predict_window(predictor *p, uint64_t start, uint32_t n, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint32_t first = 0; first < n && status == VKDLM_OK; first += p->chunk_rows) {
        causal_chunk chunk = {.first = first,
                              .tokens = p->ids + start + first,
                              .length = u32_min(p->chunk_rows, n - first),
                              .keep = KEEP_ALL};
        for (uint32_t done = 0; done < chunk.length && status == VKDLM_OK;) {
            group g = {.start = start,
                       .first = first + done,
                       .n = u32_min(p->batch, chunk.length - done),
                       .held = done};
            status = predict_group(p, &g, done ? NULL : &chunk, err);
            done += g.n;
        }
    }
    if (p->window_tokens) {
        p->windows[2 * p->n_windows] = p->window_nats;
        p->windows[2 * p->n_windows + 1] = (double)p->window_tokens;
        p->n_windows++;
    }
    p->window_nats = 0;
    p->window_tokens = 0;
    return status;
}

static vkdlm_status predict_all(predictor *p, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint64_t start = 0; start < p->n_ids && p->n_done < p->n_predictions && status == VKDLM_OK;
         start += p->window) {
        uint64_t n = u64_min(p->window, p->n_ids - start) - 1;
        status = predict_window(p, start, (uint32_t)u64_min(n, p->n_predictions - p->n_done), err);
    }
    return status;
}

static vkdlm_prediction_quality summarize_quality(const quality_moments *m)
{
    return (vkdlm_prediction_quality){.accuracy = moments_mean(&m->accuracy),
                                      .accuracy_stderr = moments_stderr(&m->accuracy),
                                      .expected_accuracy = moments_mean(&m->expected_accuracy),
                                      .expected_accuracy_stderr = moments_stderr(&m->expected_accuracy),
                                      .nats = moments_mean(&m->nats),
                                      .nats_stderr = moments_stderr(&m->nats),
                                      .entropy = moments_mean(&m->entropy)};
}

static void summarize(const predictor *p, vkdlm_predict_result *out)
{
    *out = (vkdlm_predict_result){.tokens = p->n_done,
                                  .windows = p->n_windows,
                                  .draws = p->flow.on ? p->draws : 0,
                                  .base = summarize_quality(&p->base_moments),
                                  .has_refined = p->flow.on,
                                  .refined = summarize_quality(&p->refined_moments),
                                  .counts = p->total,
                                  .stderr_windows = NAN};
    if (p->n_windows < 2)
        return;
    /* Of the ratio of summed nats to summed predictions. */
    double squares = 0, windows = (double)p->n_windows;
    for (uint64_t w = 0; w < p->n_windows; w++) {
        double residual = p->windows[2 * w] - out->base.nats * p->windows[2 * w + 1];
        squares += residual * residual;
    }
    out->stderr_windows = sqrt(windows / (windows - 1) * squares) / (double)p->n_done;
}

vkdlm_status predict_run(causal *network, const vkdlm_model_info *model, const int32_t *ids, size_t n,
                         const vkdlm_predict_options *options, vkdlm_predict_result *out, vkdlm_error *err)
{
    double start_seconds = clock_seconds();
    predictor p = {.network = network, .options = options, .ids = ids, .n_ids = n};

    vkdlm_status status = check_text(&p, err);
    if (status == VKDLM_OK)
        status = resolve_options(&p, &model->flow, err);
    if (status == VKDLM_OK)
        status = reserve(&p, err);
    if (status == VKDLM_OK)
        status = predict_all(&p, err);
    summarize(&p, out);
    out->seconds = clock_seconds() - start_seconds;
    predictor_deinit(&p);
    return status;
}
