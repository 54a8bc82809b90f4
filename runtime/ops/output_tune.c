/* How the tuner tries the shapes of the output layer. */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/size.h"
#include "ops/matmul_select.h"
#include "ops/output.h"
#include "ops/tune_tables.h"
#include "ops/tune_trial.h"
#include "ops/weight_blocks.h"

enum { VOCABULARY = 200, DEPTH = 96, DEPTH_OF_BLOCKS = 256, EXCLUDED = 5, SEED = 7 };

typedef struct layer {
    weight w;
    gpu_buffer hidden, draws, results, scratch;
    uint32_t n_rows, vocabulary, depth;
} layer;

typedef struct trial {
    gpu_device *device;
    gpu_commands *commands;
    vkdlm_dtype dtype;
    const matmul_shape *shapes[TUNE_MAX_CANDIDATES];
    layer checked, timed;
    double *logits, *bound; /* [n_rows, VOCABULARY] of the checked layer */
    uint32_t repeats;
} trial;

static void layer_destroy(layer *l)
{
    weight_destroy(&l->w);
    gpu_buffer_destroy(&l->hidden);
    gpu_buffer_destroy(&l->draws);
    gpu_buffer_destroy(&l->results);
    gpu_buffer_destroy(&l->scratch);
}

/* Every second row is a draw, the others ask for the most probable token. */
static void fill_draws(const layer *l)
{
    output_draw *draws = l->draws.mapped;
    for (uint32_t m = 0; m < l->n_rows; m++)
        draws[m] = (output_draw){.step = 3, .position = m, .target = 1, .draw = m % 2, .inv_temperature = 1};
}

/* All but the weight. */
static vkdlm_status create_rows(trial *t, layer *l, enum gpu_memory memory, vkdlm_error *err)
{
    const char *what = "a trial";
    uint64_t held = size_round_up(l->n_rows, 64);
    vkdlm_status status = gpu_buffer_create(t->device, memory, held * weight_pad(l->depth) * sizeof(float),
                                            what, &l->hidden, err);
    if (!status)
        status =
            gpu_buffer_create(t->device, GPU_MEMORY_UPLOAD, held * sizeof(output_draw), what, &l->draws, err);
    if (!status)
        status = gpu_buffer_create(t->device, GPU_MEMORY_READBACK, held * sizeof(output_result), what,
                                   &l->results, err);
    if (!status)
        status = gpu_buffer_create(t->device, GPU_MEMORY_DEVICE, output_scratch_bytes(&l->w, l->n_rows), what,
                                   &l->scratch, err);
    if (!status)
        fill_draws(l);
    return status;
}

static void record(trial *t, const layer *l, uint32_t candidate)
{
    const output_args args = {
        .w = &l->w,
        .hidden = gpu_view_all(&l->hidden),
        .ld = weight_pad(l->depth),
        .n_rows = l->n_rows,
        .vocab_size = l->vocabulary,
        .excluded = EXCLUDED,
        .draws = gpu_view_all(&l->draws),
        .results = gpu_view_all(&l->results),
        .scratch = gpu_view_all(&l->scratch),
        .seed = SEED,
        .top_p = 1,
    };
    ops_output_shape(t->device, t->commands, &args, t->shapes[candidate]);
}

/* ---- the checked layer --------------------------------------------------------------------------------- */

static void compute_logits(trial *t, const float *w)
{
    const layer *l = &t->checked;
    for (uint32_t m = 0; m < l->n_rows; m++)
        for (uint32_t v = 0; v < VOCABULARY; v++) {
            const float *x = (const float *)l->hidden.mapped + (size_t)m * weight_pad(l->depth);
            double sum = 0, magnitude = 0;
            for (uint32_t k = 0; k < l->depth; k++) {
                double term = (double)x[k] * (double)w[(size_t)v * l->depth + k];
                sum += term;
                magnitude += fabs(term);
            }
            t->logits[(size_t)m * VOCABULARY + v] = sum;
            t->bound[(size_t)m * VOCABULARY + v] = magnitude;
        }
}

static vkdlm_status open_checked(trial *t, uint32_t n_rows, vkdlm_error *err)
{
    layer *l = &t->checked;
    float *values;
    l->n_rows = n_rows;
    l->vocabulary = VOCABULARY;
    l->depth = weight_blocks_length(t->dtype) > 32 ? DEPTH_OF_BLOCKS : DEPTH;
    t->logits = malloc((size_t)n_rows * VOCABULARY * sizeof *t->logits);
    t->bound = malloc((size_t)n_rows * VOCABULARY * sizeof *t->bound);
    if (!t->logits || !t->bound)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a trial");
    vkdlm_status status = tune_make_weight(t->device, t->dtype, VOCABULARY, l->depth, 1, &l->w, &values, err);
    if (status)
        return status;
    status = create_rows(t, l, GPU_MEMORY_UPLOAD, err);
    if (!status) {
        tune_fill_rows(&l->hidden, n_rows, l->depth, 1);
        compute_logits(t, values);
    }
    free(values);
    return status;
}

static double noise(uint32_t token, const output_draw *draw)
{
    if (!draw->draw)
        return 0;
    rng_block block =
        rng_philox(SEED, token / 4, draw->position, rng_counter2(RNG_TOKEN, draw->step), draw->sample);
    return -log(-log1p(-(block.word[token % 4] + 0.5) * 0x1p-32));
}

static bool is_close(double found, double expected, double tolerance)
{
    return fabs(found - expected) <= tolerance;
}

/* Logits are chains of multiply-adds, each with at most two roundings of 2^-24; maximum and log-sum-exp have
 * slopes of 1, the entropy of at most the width of the logits; exp, log and the sums add 2^-19. A token may
 * be another one only when the scores are that close. */
static bool row_is_right(const trial *t, uint32_t row, const output_result *found)
{
    const layer *l = &t->checked;
    const output_draw *draw = (const output_draw *)l->draws.mapped + row;
    const double *x = t->logits + (size_t)row * VOCABULARY, *bound = t->bound + (size_t)row * VOCABULARY;
    double max = -INFINITY, min = INFINITY, slack = 0, best = -INFINITY, sum = 0, lean = 0;
    for (uint32_t v = 0; v < VOCABULARY; v++) {
        slack = fmax(slack, bound[v] * (2 * l->depth + 4) * 0x1p-24);
        if (v == EXCLUDED)
            continue;
        max = fmax(max, x[v]);
        min = fmin(min, x[v]);
        best = fmax(best, x[v] + noise(v, draw));
    }
    for (uint32_t v = 0; v < VOCABULARY; v++)
        if (v != EXCLUDED) {
            sum += exp(x[v] - max);
            lean += exp(x[v] - max) * (x[v] - max);
        }
    double tolerance = slack + 0x1p-19 * (1 + fabs(max));
    if (found->token < 0 || found->token >= VOCABULARY || found->token == EXCLUDED)
        return false;
    uint32_t token = (uint32_t)found->token;
    return is_close((double)found->max, max, tolerance) &&
           is_close((double)found->log_sum_exp, max + log(sum), tolerance) &&
           is_close((double)found->entropy, log(sum) - lean / sum, (max - min + 1) * tolerance) &&
           is_close((double)found->log_prob, x[token] - max - log(sum), 2 * tolerance) &&
           is_close((double)found->target_logit, x[draw->target], tolerance) &&
           x[token] + noise(token, draw) >= best - 2 * tolerance - 4e-6;
}

static vkdlm_status check(void *user, uint32_t candidate, bool *right, uint64_t *bits, vkdlm_error *err)
{
    trial *t = user;
    const layer *l = &t->checked;
    vkdlm_status status = gpu_commands_begin(t->commands, err);
    if (status)
        return status;
    gpu_fill(t->commands, &l->results, 0, l->results.size_bytes, TUNE_NAN);
    record(t, l, candidate);
    status = gpu_submit_wait(t->commands, err);
    if (status)
        return status;
    const output_result *found = l->results.mapped;
    *right = true;
    for (uint32_t m = 0; m < l->n_rows; m++)
        *right &= row_is_right(t, m, &found[m]);
    *bits = tune_digest(found, sizeof *found);
    return VKDLM_OK;
}

/* ---- the timed layer ----------------------------------------------------------------------------------- */

static vkdlm_status open_timed(trial *t, uint32_t n_rows, vkdlm_error *err)
{
    layer *l = &t->timed;
    bool cpu = gpu_device_caps(t->device)->type == GPU_TYPE_CPU;
    l->n_rows = cpu || n_rows < 64 ? n_rows : 256;
    l->vocabulary = cpu ? 1000 : 16000;
    l->depth = cpu ? 256 : 2048;
    t->repeats = n_rows <= 8 ? 4 : 1;
    vkdlm_status status = tune_blank_weight(t->device, t->dtype, l->vocabulary, l->depth, &l->w, err);
    if (!status)
        status = create_rows(t, l, GPU_MEMORY_DEVICE, err);
    if (status)
        return status;
    const gpu_buffer *const zeros[] = {&l->w.buffer, &l->hidden};
    return tune_clear(t->commands, zeros, sizeof zeros / sizeof *zeros, err);
}

static vkdlm_status time_one(void *user, uint32_t candidate, double *us, vkdlm_error *err)
{
    trial *t = user;
    tune_watch watch;
    vkdlm_status status = tune_watch_begin(&watch, t->commands, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < t->repeats; i++)
        record(t, &t->timed, candidate);
    return tune_watch_end(&watch, t->repeats, us, err);
}

/* ---- life time ----------------------------------------------------------------------------------------- */

static void close_trial(void *user)
{
    trial *t = user;
    layer_destroy(&t->checked);
    layer_destroy(&t->timed);
    gpu_commands_destroy(t->commands);
    free(t->logits);
    free(t->bound);
}

static vkdlm_status open_trial(gpu_device *device, tune_key key, void *user, vkdlm_error *err)
{
    trial *t = user;
    t->device = device;
    t->dtype = matmul_key_dtype(key);
    matmul_candidates(gpu_device_caps(device), key.size, true, t->shapes);
    uint32_t n_rows = matmul_row_classes[key.size].typical;
    vkdlm_status status = gpu_commands_create(device, &t->commands, err);
    if (!status)
        status = open_checked(t, n_rows, err);
    if (!status)
        status = open_timed(t, n_rows, err);
    return status;
}

static uint32_t keys(const gpu_caps *caps, tune_key *out)
{
    (void)caps;
    return matmul_key_all(TUNE_OUTPUT, out);
}

const tune_table output_tune_table = {
    .name = "output layer",
    .describe = matmul_key_describe,
    .list = matmul_key_list,
    .keys = keys,
    .trial_bytes = sizeof(trial),
    .open = open_trial,
    .close = close_trial,
    .trial = {check, time_one},
};
