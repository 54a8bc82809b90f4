#include "ref/ref_causal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/rng.h"
#include "ref/ref_output.h"

enum { NONE = -1 };

/* Tables are drawn from Philox under the model's seed, one number of counter[2] each. */
enum table { TABLE_BASE, TABLE_MAP, TABLE_CLASS, TABLE_VOCABULARY };

typedef struct ref_sequence {
    int32_t *tokens; /* [context] */
    uint32_t n_cached;
} ref_sequence;

typedef struct ref_held {
    int32_t before, last;
    uint32_t sequence, position;
    bool set;
} ref_held;

typedef struct ref_causal {
    causal base;
    ref_causal_config config;
    ref_causal_log log;
    uint32_t n_calls, fail_at, spoil_at;
    double *table;      /* [V + 1, V, V]: logits behind each token but one, or none, and each last */
    double *map;        /* [V, n] */
    double *vocabulary; /* [V, n] */
    double *class_bias; /* [n_classes + 1, V] */

    ref_sequence *sequences;
    ref_held *held;
    float *times;
    uint32_t n_times, n_classes;
    int32_t classes[2];

    double *logits, *scaled, *mean; /* scratch of one row: [V], [V], [n] */
    bool *keep;
    uint32_t *order;
} ref_causal;

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p)
        abort();
    return p;
}

#define RULE(condition)                                            \
    do {                                                           \
        if (!(condition))                                          \
            fail_msg("a rule of causal.h is broken: " #condition); \
    } while (0)

/* ---- the network ------------------------------------------------------------------------------------ */

void ref_causal_base(const causal *network, int32_t before, int32_t last, double *logits)
{
    const ref_causal *r = (const ref_causal *)network;
    size_t v = network->vocab_size, context = (size_t)(before + 1) * v + (size_t)last;
    memcpy(logits, r->table + context * v, v * sizeof *logits);
}

void ref_causal_flow(const causal *network, int32_t before, int32_t last, const double *x, double t,
                     int32_t class_id, double *logits)
{
    const ref_causal *r = (const ref_causal *)network;
    uint32_t n = network->flow_dim, v = network->vocab_size;
    ref_causal_base(network, before, last, logits);
    double noise = (1 - t) * network->noise_scale;
    double scale = 1 / sqrt(noise * noise + t * t * network->data_variance);
    const double *bias = r->class_bias + (size_t)(class_id < 0 ? network->n_classes : (uint32_t)class_id) * v;
    for (uint32_t i = 0; i < v; i++) {
        double sum = bias[i];
        for (uint32_t j = 0; j < n; j++)
            sum += r->map[(size_t)i * n + j] * scale * x[j];
        logits[i] += t * sum;
    }
}

const double *ref_causal_vocabulary(const causal *network)
{
    return ((const ref_causal *)network)->vocabulary;
}

/* ---- distributions ---------------------------------------------------------------------------------- */

/* The most probable token, the lowest of equals; with draw, after adding Gumbel noise. */
static int32_t pick(const ref_causal *r, const double *x, bool draw, uint64_t seed, const causal_row *row,
                    uint32_t step)
{
    double best = -INFINITY;
    int32_t token = 0;
    for (uint32_t i = 0; i < r->base.vocab_size; i++) {
        if (!r->keep[i])
            continue;
        double score = x[i] + (draw ? ref_gumbel(seed, i, row->counter, step, row->sample) : 0);
        if (score > best) {
            best = score;
            token = (int32_t)i;
        }
    }
    return token;
}

static causal_result result_of(ref_causal *r, const double *logits, bool draw, float inv_temperature,
                               uint32_t top_k, float top_p, uint64_t seed, const causal_row *row,
                               uint32_t step)
{
    uint32_t v = r->base.vocab_size;
    RULE(inv_temperature > 0 && top_p > 0 && top_p <= 1);
    for (uint32_t i = 0; i < v; i++)
        r->scaled[i] = logits[i] * (double)inv_temperature;
    ref_distribution d = ref_output(r->scaled, v, NONE, top_k, (double)top_p, r->keep, r->order);
    int32_t token = pick(r, r->scaled, draw, seed, row, step);
    causal_result result = {.token = token,
                            .log_prob = (float)(r->scaled[token] - d.log_sum_exp),
                            .entropy = (float)d.entropy,
                            .max_log_prob = (float)(d.max - d.log_sum_exp),
                            .target_log_prob = NAN};
    if (row->target >= 0)
        result.target_log_prob = (float)(r->scaled[row->target] - d.log_sum_exp);
    result.base_entropy = result.entropy;
    if (r->spoil_at && r->n_calls >= r->spoil_at)
        result.log_prob = NAN;
    return result;
}

/* x_hat from logits into r->mean, and the entropy of the distribution it comes from. */
static double estimate(ref_causal *r, const double *logits, float inv_temperature, bool average, bool draw,
                       uint64_t seed, const causal_row *row, uint32_t step)
{
    uint32_t v = r->base.vocab_size, n = r->base.flow_dim;
    bool greedy = inv_temperature == 0;
    for (uint32_t i = 0; i < v; i++)
        r->scaled[i] = logits[i] * (greedy ? 1 : (double)inv_temperature);
    ref_distribution d = ref_output(r->scaled, v, NONE, 0, 1, r->keep, r->order);
    int32_t token = pick(r, r->scaled, draw && !average && !greedy, seed, row, step);
    for (uint32_t j = 0; j < n; j++)
        r->mean[j] = r->vocabulary[(size_t)token * n + j];
    if (average && !greedy) {
        memset(r->mean, 0, n * sizeof *r->mean);
        for (uint32_t i = 0; i < v; i++)
            for (uint32_t j = 0; j < n; j++)
                r->mean[j] += exp(r->scaled[i] - d.log_sum_exp) * r->vocabulary[(size_t)i * n + j];
    }
    return d.entropy;
}

/* ---- calls ------------------------------------------------------------------------------------------ */

static vkdlm_status begin_call(ref_causal *r, uint32_t n_rows, vkdlm_error *err)
{
    r->n_calls++;
    r->base.counters.submissions++;
    if (n_rows > r->log.most_rows)
        r->log.most_rows = n_rows;
    if (r->fail_at && r->n_calls >= r->fail_at)
        return error_set(err, VKDLM_DEVICE_LOST, "the device was lost");
    return VKDLM_OK;
}

static void take_chunks(ref_causal *r, const causal_work *work)
{
    const causal_capacity *capacity = &r->log.capacity;
    uint32_t n_rows = 0;
    for (uint32_t c = 0; c < work->n_chunks; c++) {
        const causal_chunk *chunk = &work->chunks[c];
        RULE(chunk->sequence < capacity->sequences && chunk->length > 0);
        ref_sequence *s = &r->sequences[chunk->sequence];
        RULE(chunk->first == s->n_cached || chunk->first == 0);
        RULE(chunk->length <= capacity->context && chunk->first <= capacity->context - chunk->length);
        for (uint32_t i = 0; i < chunk->length; i++) {
            uint32_t position = chunk->first + i;
            RULE(chunk->tokens[i] >= 0 && (uint32_t)chunk->tokens[i] < r->base.vocab_size);
            s->tokens[position] = chunk->tokens[i];
            bool last = i + 1 == chunk->length;
            if (chunk->keep == KEEP_NONE || (chunk->keep == KEEP_LAST && !last))
                continue;
            uint32_t slot = chunk->held + (chunk->keep == KEEP_ALL ? i : 0);
            RULE(slot < capacity->held);
            r->held[slot] = (ref_held){.before = position ? s->tokens[position - 1] : NONE,
                                       .last = s->tokens[position],
                                       .sequence = chunk->sequence,
                                       .position = position,
                                       .set = true};
        }
        s->n_cached = chunk->first + chunk->length;
        n_rows += chunk->length;
    }
    RULE(n_rows <= capacity->chunk_rows);
    r->base.counters.main_rows += n_rows;
}

static const ref_held *held_of(const ref_causal *r, const causal_row *row)
{
    RULE(row->held < r->log.capacity.held && row->sequence < r->log.capacity.sequences);
    const ref_held *h = &r->held[row->held];
    RULE(h->set && h->sequence == row->sequence && h->position == row->position);
    RULE(r->sequences[row->sequence].n_cached > row->position);
    RULE(row->target >= -1 && row->target < (int32_t)r->base.vocab_size);
    return h;
}

/* The prepared time must be there, and the scale that of the time. */
static double prepared_time(const ref_causal *r, uint32_t index)
{
    RULE(index < r->n_times);
    return (double)r->times[index];
}

static void check_scale(const ref_causal *r, double t, float scale)
{
    double noise = (1 - t) * r->base.noise_scale;
    double expected = 1 / sqrt(noise * noise + t * t * r->base.data_variance);
    RULE(fabs((double)scale / expected - 1) < 1e-6);
}

static causal_result solve(ref_causal *r, const causal_work *work, const causal_row *row, const float *x0)
{
    const flow_program *p = work->program;
    const ref_held *h = held_of(r, row);
    uint32_t n = r->base.flow_dim;
    double *x = allocate(n, sizeof *x), *grid = allocate(n, sizeof *grid);
    double *slopes = allocate((size_t)4 * n, sizeof *slopes);
    double base_entropy = 0;
    for (uint32_t j = 0; j < n; j++)
        x[j] = grid[j] = (double)x0[j];
    RULE(p->n_steps > 0 && p->steps[0].kind == FLOW_BASE);
    RULE(p->n_branches >= 1 && p->n_branches <= r->log.capacity.branches);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const flow_step *step = &p->steps[i];
        double *slope = slopes + (size_t)step->slope * n;
        memset(slope, 0, n * sizeof *slope);
        for (uint32_t b = 0; b < p->n_branches && step->kind != FLOW_ZERO; b++) {
            RULE(p->class_slot[b] < r->n_classes);
            if (step->kind == FLOW_BASE)
                ref_causal_base(&r->base, h->before, h->last, r->logits);
            else
                ref_causal_flow(&r->base, h->before, h->last, x, prepared_time(r, step->time),
                                r->classes[p->class_slot[b]], r->logits);
            double entropy = estimate(r, r->logits, step->inv_temperature, p->average, true, work->seed, row,
                                      flow_draw_step(i, b));
            base_entropy = i == 0 ? entropy : base_entropy;
            for (uint32_t j = 0; j < n; j++)
                slope[j] += (double)p->branch_weight[b] * (double)step->factor * (r->mean[j] - x[j]);
            r->base.counters.path_rows += step->kind == FLOW_NETWORK;
        }
        for (uint32_t j = 0; j < n; j++) {
            x[j] = grid[j];
            for (uint32_t s = 0; s <= step->slope; s++)
                x[j] += (double)step->step[s] * slopes[(size_t)s * n + j];
            if (step->advance)
                grid[j] = x[j];
        }
        const flow_step *next = i + 1 < p->n_steps ? step + 1 : NULL;
        if (!next || next->kind == FLOW_NETWORK)
            check_scale(r, prepared_time(r, next ? next->time : p->final_time), step->input_scale);
    }
    RULE(p->steps[p->n_steps - 1].advance && p->final_class < r->n_classes);
    ref_causal_flow(&r->base, h->before, h->last, x, prepared_time(r, p->final_time),
                    r->classes[p->final_class], r->logits);
    r->base.counters.path_rows++;
    r->log.refined_rows++;
    causal_result result = result_of(r, r->logits, work->draw, work->inv_temperature, work->top_k,
                                     work->top_p, work->seed, row, 0);
    result.base_entropy = (float)base_entropy;
    free(slopes);
    free(grid);
    free(x);
    return result;
}

static vkdlm_status run(causal *self, const causal_work *work, causal_result *results, vkdlm_error *err)
{
    ref_causal *r = (ref_causal *)self;
    vkdlm_status status = begin_call(r, work->n_rows, err);
    if (status)
        return status;
    r->log.n_runs++;
    r->log.n_prompt_runs += work->prompt;
    RULE(work->n_chunks > 0 || work->n_rows > 0);
    RULE(work->n_rows <= r->log.capacity.rows);
    RULE(r->log.capacity.cut || (work->top_k == 0 && work->top_p == 1));
    take_chunks(r, work);
    for (uint32_t i = 0; i < work->n_rows; i++) {
        const causal_row *row = &work->rows[i];
        if (work->program && (!work->refine || work->refine[i])) {
            results[i] = solve(r, work, row, work->x0 + (size_t)i * self->flow_dim);
            continue;
        }
        const ref_held *h = held_of(r, row);
        ref_causal_base(self, h->before, h->last, r->logits);
        results[i] = result_of(r, r->logits, work->draw, work->inv_temperature, work->top_k, work->top_p,
                               work->seed, row, 0);
    }
    return VKDLM_OK;
}

static vkdlm_status evaluate(causal *self, const flow_request *request, vkdlm_error *err)
{
    ref_causal *r = (ref_causal *)self;
    uint32_t n = self->flow_dim;
    vkdlm_status status = begin_call(r, request->n_points, err);
    if (status)
        return status;
    r->log.n_evaluates++;
    RULE(request->n_points > 0);
    RULE(request->n_points <= r->log.capacity.rows * r->log.capacity.branches);
    RULE(!request->average || r->log.capacity.average);
    double *x = allocate(n, sizeof *x);
    for (uint32_t i = 0; i < request->n_points; i++) {
        const flow_point *point = &request->points[i];
        const ref_held *h = held_of(r, &point->row);
        RULE(point->t >= 0 && point->t <= 1);
        for (uint32_t j = 0; j < n; j++)
            x[j] = (double)request->x[(size_t)i * n + j];
        if (point->t == 0)
            ref_causal_base(self, h->before, h->last, r->logits);
        else
            ref_causal_flow(self, h->before, h->last, x, (double)point->t, point->class_id, r->logits);
        self->counters.path_rows += point->t > 0;
        if (request->x_hat) {
            estimate(r, r->logits, point->inv_temperature, request->average, point->draw, request->seed,
                     &point->row, point->step);
            memcpy(request->x_hat + (size_t)i * n, r->mean, n * sizeof *r->mean);
        }
        if (request->results)
            request->results[i] = result_of(r, r->logits, point->draw, point->inv_temperature, request->top_k,
                                            request->top_p, request->seed, &point->row, point->step);
    }
    free(x);
    return VKDLM_OK;
}

static uint32_t max_sequences(void *self, const causal_capacity *one)
{
    const ref_causal *r = self;
    RULE(one->sequences == 1 && one->context <= r->config.context);
    return r->config.most;
}

static void forget(ref_causal *r)
{
    for (uint32_t i = 0; r->sequences && i < r->log.capacity.sequences; i++)
        free(r->sequences[i].tokens);
    free(r->sequences);
    free(r->held);
    free(r->times);
    r->sequences = NULL;
    r->held = NULL;
    r->times = NULL;
    r->n_times = 0;
}

static vkdlm_status reserve(void *self, const causal_capacity *capacity, vkdlm_error *err)
{
    ref_causal *r = self;
    forget(r);
    r->log.n_reserves++;
    r->log.capacity = *capacity;
    RULE(capacity->sequences && capacity->context && capacity->chunk_rows && capacity->held);
    RULE(capacity->context <= r->config.context);
    if (capacity->sequences > r->config.most)
        return error_set(err, VKDLM_OUT_OF_DEVICE_MEMORY, "%u sequences do not fit", capacity->sequences);
    r->sequences = allocate(capacity->sequences, sizeof *r->sequences);
    for (uint32_t i = 0; i < capacity->sequences; i++)
        r->sequences[i].tokens = allocate(capacity->context, sizeof(int32_t));
    r->held = allocate(capacity->held, sizeof *r->held);
    return VKDLM_OK;
}

static vkdlm_status prepare(void *self, const float *times, uint32_t n_times, const int32_t *classes,
                            uint32_t n_classes, vkdlm_error *err)
{
    (void)err;
    ref_causal *r = self;
    RULE(n_classes >= 1 && n_classes <= 2 && n_times * n_classes <= r->log.capacity.times);
    r->log.n_prepares++;
    free(r->times);
    r->times = allocate(n_times, sizeof *r->times);
    memcpy(r->times, times, n_times * sizeof *times);
    r->n_times = n_times;
    r->n_classes = n_classes;
    for (uint32_t i = 0; i < n_classes; i++) {
        RULE(classes[i] >= -1 && classes[i] < (int32_t)r->base.n_classes);
        r->classes[i] = classes[i];
    }
    return VKDLM_OK;
}

vkdlm_model_info ref_causal_info(const ref_causal_config *config)
{
    vkdlm_model_info info = {.family = VKDLM_FAMILY_CAUSAL,
                             .vocab_size = config->vocab_size,
                             .end_ids = {REF_CAUSAL_END},
                             .n_end_ids = 1};
    if (config->flow_dim)
        info.flow = (vkdlm_flow_info){.present = true,
                                      .dim = config->flow_dim,
                                      .n_classes = config->n_classes,
                                      .noise_scale = 64,
                                      .steps = 4,
                                      .solver = VKDLM_SOLVER_MIDPOINT,
                                      .estimate = VKDLM_ESTIMATE_SAMPLE,
                                      .velocity = VKDLM_VELOCITY_CONSTANT,
                                      .temperature = "1",
                                      .rtol = 1e-3,
                                      .atol = 1e-3,
                                      .end_time = 1};
    return info;
}

causal *ref_causal_create(const ref_causal_config *config)
{
    ref_causal *r = allocate(1, sizeof *r);
    r->config = *config;
    r->config.auto_rows = config->auto_rows ? config->auto_rows : 8;
    r->config.most = config->most ? config->most : 1000;
    r->config.sharpness = config->sharpness > 0 ? config->sharpness : 1;
    uint32_t v = config->vocab_size, n = config->flow_dim;
    r->table = allocate((size_t)(v + 1) * v * v, sizeof *r->table);
    r->map = allocate((size_t)v * n, sizeof *r->map);
    r->vocabulary = allocate((size_t)v * n, sizeof *r->vocabulary);
    r->class_bias = allocate((size_t)(config->n_classes + 1) * v, sizeof *r->class_bias);
    rng_normals(config->seed, 0, TABLE_BASE, 0, r->table, (v + 1) * v * v);
    for (uint32_t i = 0; i < (v + 1) * v * v; i++)
        r->table[i] *= r->config.sharpness;
    rng_normals(config->seed, 0, TABLE_MAP, 0, r->map, v * n);
    rng_normals(config->seed, 0, TABLE_VOCABULARY, 0, r->vocabulary, v * n);
    if (config->n_classes)
        rng_normals(config->seed, 0, TABLE_CLASS, 0, r->class_bias, (config->n_classes + 1) * v);
    r->logits = allocate(v, sizeof *r->logits);
    r->scaled = allocate(v, sizeof *r->scaled);
    r->mean = allocate(n, sizeof *r->mean);
    r->keep = allocate(v, sizeof *r->keep);
    r->order = allocate(v, sizeof *r->order);
    r->base = (causal){.self = r,
                       .vocab_size = v,
                       .context = config->context,
                       .flow_dim = n,
                       .n_classes = config->n_classes,
                       .noise_scale = config->noise_scale > 0 ? config->noise_scale : 64,
                       .data_variance = 1,
                       .max_sequences = max_sequences,
                       .auto_rows = r->config.auto_rows,
                       .reserve = reserve,
                       .prepare = prepare,
                       .run = run,
                       .evaluate = evaluate};
    return &r->base;
}

void ref_causal_destroy(causal *network)
{
    ref_causal *r = (ref_causal *)network;
    if (!r)
        return;
    forget(r);
    free(r->order);
    free(r->keep);
    free(r->mean);
    free(r->scaled);
    free(r->logits);
    free(r->class_bias);
    free(r->vocabulary);
    free(r->map);
    free(r->table);
    free(r);
}

ref_causal_log *ref_causal_get_log(causal *network)
{
    return &((ref_causal *)network)->log;
}

void ref_causal_fail_at(causal *network, uint32_t n)
{
    ((ref_causal *)network)->fail_at = n;
}

void ref_causal_spoil_at(causal *network, uint32_t n)
{
    ((ref_causal *)network)->spoil_at = n;
}
