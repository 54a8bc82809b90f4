#include "sample/likelihood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/size.h"
#include "sample/clock.h"

enum { DEFAULT_STEPS = 64, DEFAULT_DRAWS = 16, AUTO_BATCH = 4096 };

/* Rows of one evaluation stay far below 2^32. */
#define MAX_ROWS 0x7FFFFFFFu

#define FIRST_TIME 1e-3 /* nearer to 0 the weight 1/t has too much variance */

/* One (window, draw) pair of the batch. */
typedef struct score_draw {
    uint64_t window;
    uint32_t draw;
    uint32_t n_rows;
    double weight;
} score_draw;

typedef struct scorer {
    denoiser *network;
    const vkdlm_score_options *options;
    schedule noise;
    const int32_t *ids;
    uint64_t n_ids, n_windows, n_done; /* windows whose draws are all done */
    uint32_t window, draws, steps, batch;

    double *draw_losses;   /* of the current window, [draws] */
    double *window_losses; /* mean over draws, [n_windows] */
    double variance;       /* of the sum of window losses, from the draws */
    int32_t *tokens;       /* [batch, window] */
    score_draw *pending;   /* [batch] */
    eval_sequence *sequences;
    eval_row *rows; /* [batch * window] */
    eval_result *results;
    uint64_t evaluations;
} scorer;

double likelihood_discrete_time(double t, uint32_t n_steps)
{
    double step = fmin(floor(t * n_steps), n_steps - 1.0);
    return (step + 1) / n_steps;
}

double likelihood_weight(const schedule *noise, vkdlm_bound bound, double t)
{
    return bound == VKDLM_BOUND_DISCRETE ? 1 / fmin(t, 1 - 1e-4) : schedule_weight(noise, t);
}

static vkdlm_status check_log_prob(float log_prob, uint64_t position, vkdlm_error *err)
{
    if (isfinite(log_prob))
        return VKDLM_OK;
    return error_set(
        err, VKDLM_INTERNAL,
        "the network gave no usable probability for the token at position %llu: expected a finite "
        "log-probability, found %g",
        (unsigned long long)position, (double)log_prob);
}

vkdlm_status likelihood_loss(denoiser *network, const schedule *noise, vkdlm_bound bound, const int32_t *x0,
                             const int32_t *xt, uint32_t length, double t, double *loss, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    eval_row *rows = calloc(length, sizeof *rows);
    eval_result *results = calloc(length, sizeof *results);
    if (!rows || !results) {
        status =
            error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a sequence of %u tokens", length);
        goto done;
    }
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < length; i++) {
        loss[i] = 0;
        if (xt[i] == network->mask_id)
            rows[n_rows++] = (eval_row){.position = i, .mode = EVAL_SCORE, .target = x0[i]};
    }
    if (n_rows == 0)
        goto done;

    eval_sequence sequence = {.tokens = xt, .length = length, .sigma = (float)schedule_sigma(noise, t)};
    eval_request request = {.sequences = &sequence,
                            .n_sequences = 1,
                            .rows = rows,
                            .n_rows = n_rows,
                            .temperature = 1,
                            .top_p = 1};
    status = network->evaluate(network, &request, results, err);
    double weight = likelihood_weight(noise, bound, t);
    for (uint32_t i = 0; i < n_rows && status == VKDLM_OK; i++) {
        status = check_log_prob(results[i].log_prob, rows[i].position, err);
        loss[rows[i].position] = -weight * (double)results[i].log_prob;
    }
done:
    free(results);
    free(rows);
    return status;
}

/* ---- options ---------------------------------------------------------------------------------------- */

static vkdlm_status check_ids(const scorer *s, vkdlm_error *err)
{
    if (s->n_ids == 0)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "the text to score: expected at least one token, found none");
    for (uint64_t i = 0; i < s->n_ids; i++) {
        int32_t id = s->ids[i];
        if (id < 0 || (uint32_t)id >= s->network->vocab_size || id == s->network->mask_id)
            return error_set(
                err, VKDLM_INVALID_ARGUMENT,
                "the text to score, position %llu: expected a token from 0 to %u other than the mask %d, "
                "found %d",
                (unsigned long long)i, s->network->vocab_size - 1, s->network->mask_id, id);
    }
    return VKDLM_OK;
}

static vkdlm_status resolve_options(scorer *s, vkdlm_error *err)
{
    const vkdlm_score_options *options = s->options;
    vkdlm_status status = schedule_init(&s->noise, &options->noise, err);
    if (status != VKDLM_OK)
        return status;
    if (options->bound != VKDLM_BOUND_CONTINUOUS && options->bound != VKDLM_BOUND_DISCRETE)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--bound: expected continuous or discrete, found number %d", (int)options->bound);
    if (options->bound == VKDLM_BOUND_CONTINUOUS && options->steps)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--steps does not apply to --bound continuous, only to --bound discrete");
    if (options->window > s->network->max_length)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--window: expected at most the model's length %u, found %u", s->network->max_length,
                         options->window);
    if (options->draws > RNG_MAX_STEP)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--draws: expected at most %u, found %u", RNG_MAX_STEP,
                         options->draws);
    s->steps = options->steps ? options->steps : DEFAULT_STEPS;
    s->draws = options->draws ? options->draws : DEFAULT_DRAWS;
    s->window = options->window ? options->window : s->network->max_length;
    s->window = (uint32_t)u64_min(s->window, s->n_ids);
    s->n_windows = (s->n_ids - 1) / s->window + 1;
    if (s->n_windows > UINT32_MAX)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "the text to score: expected at most %u windows, found %llu", UINT32_MAX,
                         (unsigned long long)s->n_windows);

    uint32_t most = s->network->max_sequences(s->network->self, s->window);
    most = u32_min(most, MAX_ROWS / s->window);
    if (options->batch > most)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--batch: expected at most %u windows of %u tokens on this device, found %u", most,
                         s->window, options->batch);
    s->batch = options->batch ? options->batch
                              : denoiser_auto_batch(s->network, s->window, u32_min(most, AUTO_BATCH));
    s->batch = (uint32_t)u64_min(s->batch, s->n_windows * s->draws);
    return VKDLM_OK;
}

static vkdlm_status scorer_init(scorer *s, vkdlm_error *err)
{
    size_t cells = (size_t)s->batch * s->window;
    s->draw_losses = calloc(s->draws, sizeof *s->draw_losses);
    s->window_losses = calloc((size_t)s->n_windows, sizeof *s->window_losses);
    s->tokens = calloc(cells, sizeof *s->tokens);
    s->pending = calloc(s->batch, sizeof *s->pending);
    s->sequences = calloc(s->batch, sizeof *s->sequences);
    s->rows = calloc(cells, sizeof *s->rows);
    s->results = calloc(cells, sizeof *s->results);
    if (s->draw_losses && s->window_losses && s->tokens && s->pending && s->sequences && s->rows &&
        s->results)
        return denoiser_reserve(s->network, s->batch, s->window, 0, err);
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY,
                     "out of memory for a batch of %u windows of %u tokens with %u draws each", s->batch,
                     s->window, s->draws);
}

static void scorer_deinit(scorer *s)
{
    free(s->results);
    free(s->rows);
    free(s->sequences);
    free(s->pending);
    free(s->tokens);
    free(s->window_losses);
    free(s->draw_losses);
}

static uint32_t window_length(const scorer *s, uint64_t window)
{
    return (uint32_t)u64_min(s->window, s->n_ids - window * s->window);
}

/* ---- draws ------------------------------------------------------------------------------------------ */

static double draw_time(const scorer *s, uint64_t window, uint32_t k)
{
    rng_block block = rng_philox(s->options->seed, k, 0, rng_counter2(RNG_TIME, 0), (uint32_t)window);
    double u = (rng_uniform(block.word[0], block.word[1]) + k) / s->draws;
    double t = FIRST_TIME + (1 - FIRST_TIME) * fmod(u, 1);
    return s->options->bound == VKDLM_BOUND_DISCRETE ? likelihood_discrete_time(t, s->steps) : t;
}

/* Masks a window into tokens and lists its rows; returns their number. */
static uint32_t corrupt(const scorer *s, const score_draw *pair, double move_chance, uint32_t sequence,
                        int32_t *tokens, eval_row *rows)
{
    uint32_t length = window_length(s, pair->window);
    const int32_t *ids = s->ids + pair->window * s->window;
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < length; i++) {
        rng_block block =
            rng_philox(s->options->seed, i, 0, rng_counter2(RNG_CORRUPT, pair->draw), (uint32_t)pair->window);
        bool masked = rng_uniform(block.word[0], block.word[1]) < move_chance;
        tokens[i] = masked ? s->network->mask_id : ids[i];
        if (masked)
            rows[n_rows++] =
                (eval_row){.sequence = sequence, .position = i, .mode = EVAL_SCORE, .target = ids[i]};
    }
    return n_rows;
}

/* Variance of the mean of n >= 2 stratified draws, from groups of two neighbours (the last of three when n is
 * odd): a group of g draws adds g/(g-1) times its sum of squared deviations to the variance of the sum. */
static double mean_variance(const double *draws, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i + 1 < n;) {
        uint32_t size = i + 3 == n ? 3 : 2;
        double mean = 0, squares = 0;
        for (uint32_t j = 0; j < size; j++)
            mean += draws[i + j] / size;
        for (uint32_t j = 0; j < size; j++)
            squares += (draws[i + j] - mean) * (draws[i + j] - mean);
        sum += squares * size / (size - 1);
        i += size;
    }
    return sum / ((double)n * n);
}

static void finish_window(scorer *s)
{
    double sum = 0;
    for (uint32_t k = 0; k < s->draws; k++)
        sum += s->draw_losses[k];
    s->window_losses[s->n_done++] = sum / s->draws;
    if (s->draws > 1)
        s->variance += mean_variance(s->draw_losses, s->draws);
}

/* Evaluates the pairs first .. first + n_pairs, pair = window * draws + draw, and adds their losses. */
static vkdlm_status score_batch(scorer *s, uint64_t first, uint32_t n_pairs, vkdlm_error *err)
{
    uint32_t n_sequences = 0, n_rows = 0;
    for (uint32_t i = 0; i < n_pairs; i++) {
        score_draw *pair = &s->pending[i];
        *pair = (score_draw){.window = (first + i) / s->draws, .draw = (uint32_t)((first + i) % s->draws)};
        double t = draw_time(s, pair->window, pair->draw);
        int32_t *tokens = s->tokens + (size_t)n_sequences * s->window;
        pair->weight = likelihood_weight(&s->noise, s->options->bound, t);
        pair->n_rows =
            corrupt(s, pair, schedule_move_chance(&s->noise, t), n_sequences, tokens, s->rows + n_rows);
        if (pair->n_rows == 0)
            continue;
        s->sequences[n_sequences++] = (eval_sequence){.tokens = tokens,
                                                      .length = window_length(s, pair->window),
                                                      .sigma = (float)schedule_sigma(&s->noise, t)};
        n_rows += pair->n_rows;
    }

    if (n_rows) {
        eval_request request = {.sequences = s->sequences,
                                .n_sequences = n_sequences,
                                .rows = s->rows,
                                .n_rows = n_rows,
                                .seed = s->options->seed,
                                .temperature = 1,
                                .top_p = 1};
        vkdlm_status status = s->network->evaluate(s->network, &request, s->results, err);
        if (status != VKDLM_OK)
            return status;
        s->evaluations += n_sequences;
    }

    uint32_t row = 0;
    for (uint32_t i = 0; i < n_pairs; i++) {
        const score_draw *pair = &s->pending[i];
        double sum = 0;
        for (uint32_t end = row + pair->n_rows; row < end; row++) {
            vkdlm_status status = check_log_prob(s->results[row].log_prob,
                                                 pair->window * s->window + s->rows[row].position, err);
            if (status != VKDLM_OK)
                return status;
            sum -= (double)s->results[row].log_prob;
        }
        s->draw_losses[pair->draw] = pair->weight * sum;
        if (pair->draw + 1 == s->draws)
            finish_window(s);
    }
    return VKDLM_OK;
}

static vkdlm_status score_all(scorer *s, vkdlm_error *err)
{
    uint64_t total = s->n_windows * s->draws;
    for (uint64_t done = 0; done < total;) {
        uint32_t n_pairs = (uint32_t)u64_min(s->batch, total - done);
        vkdlm_status status = score_batch(s, done, n_pairs, err);
        if (status != VKDLM_OK)
            return status;
        done += n_pairs;
        if (s->options->progress && !s->options->progress(s->options->user, done, total))
            return error_set(err, VKDLM_CANCELLED, "scoring was cancelled after %llu of %llu windows",
                             (unsigned long long)s->n_done, (unsigned long long)s->n_windows);
    }
    return VKDLM_OK;
}

static void summarize(const scorer *s, vkdlm_score_result *out)
{
    double loss = 0, squares = 0;
    for (uint64_t w = 0; w < s->n_done; w++)
        loss += s->window_losses[w];
    *out = (vkdlm_score_result){.windows = s->n_done, .draws = s->draws, .evaluations = s->evaluations};
    out->tokens = u64_min(s->n_done * s->window, s->n_ids);
    double tokens = (double)out->tokens, windows = (double)s->n_done;
    out->nats_per_token = s->n_done > 0 ? loss / tokens : NAN;
    out->stderr_draws = s->n_done > 0 && s->draws > 1 ? sqrt(s->variance) / tokens : NAN;
    for (uint64_t w = 0; w < s->n_done; w++) {
        double residual = s->window_losses[w] - out->nats_per_token * window_length(s, w);
        squares += residual * residual;
    }
    out->stderr_windows = s->n_done > 1 ? sqrt(windows / (windows - 1) * squares) / tokens : NAN;
}

vkdlm_status likelihood_run(denoiser *network, const int32_t *ids, size_t n,
                            const vkdlm_score_options *options, vkdlm_score_result *out, vkdlm_error *err)
{
    double start_seconds = clock_seconds();
    scorer s = {.network = network, .options = options, .ids = ids, .n_ids = n};
    vkdlm_status status = check_ids(&s, err);
    if (status == VKDLM_OK)
        status = resolve_options(&s, err);
    if (status == VKDLM_OK)
        status = scorer_init(&s, err);
    if (status == VKDLM_OK)
        status = score_all(&s, err);
    summarize(&s, out);
    out->seconds = clock_seconds() - start_seconds;
    scorer_deinit(&s);
    return status;
}
