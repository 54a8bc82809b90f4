/* How the tuner tries the variants of attention: on keys and values of a batch, and of a cache
 * (cached_attention.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "ops/attention_select.h"
#include "ops/attention_trial.h"
#include "ops/tune_tables.h"
#include "ops/tune_trial.h"
#include "ops/weight.h"
#include "shaders/params.h"

/* Where keys and values are, and who sees them: the low bits of a key's type, under the head size. */
enum form { BATCH, CAUSAL_BATCH, CACHE_F32, CACHE_F16, N_FORMS };

tune_key attention_key(const attention_shape *shape)
{
    return (tune_key){TUNE_ATTENTION, shape->head_dim * N_FORMS + (shape->causal ? CAUSAL_BATCH : BATCH), 0};
}

tune_key cached_attention_key(const attention_shape *shape, enum kv_type type)
{
    return (tune_key){TUNE_ATTENTION, shape->head_dim * N_FORMS + (type == KV_F16 ? CACHE_F16 : CACHE_F32),
                      0};
}

static enum form form_of(tune_key key)
{
    return (enum form)(key.type % N_FORMS);
}

static uint32_t variants_of(const gpu_caps *caps, tune_key key, attention_variant out[ATTENTION_MAX_VARIANTS])
{
    enum form form = form_of(key);
    const attention_shape shape = {.n_heads = 2, .n_kv_heads = 1, key.type / N_FORMS, form != BATCH};
    uint32_t n = key.size ? 0 : attention_variants(caps, &shape, out);
    for (uint32_t i = 0; i < n && form >= CACHE_F32; i++)
        cached_attention_adapt(caps, form == CACHE_F16 ? KV_F16 : KV_F32, &out[i]);
    return n;
}

vkdlm_status attention_choose(gpu_device *device, tune_key key, attention_variant *out, vkdlm_error *err)
{
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    uint32_t chosen;
    vkdlm_status status = tune_choose(device, key, &chosen, err);
    if (status)
        return status;
    variants_of(gpu_device_caps(device), key, variants);
    *out = variants[chosen];
    return VKDLM_OK;
}

/* ---- problems --------------------------------------------------------------------------------------- */

enum { MAX_SEQUENCES = 2 };

/* One layer: queries [heads][slots / 4][head_dim][4], keys and values likewise. */
typedef struct layer {
    uint32_t n_heads, n_kv_heads, n_sequences, length[MAX_SEQUENCES], n_rows, capacity;
    gpu_buffer queries, keys, values, index, output;
} layer;

typedef struct trial {
    gpu_device *device;
    gpu_commands *commands;
    enum form form;
    uint32_t head_dim;
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    layer checked, timed;
    float *keys, *values; /* of the checked layer, as the device reads them */
    gpu_buffer found;
} trial;

static uint64_t head_floats(const trial *t, const layer *l)
{
    return (uint64_t)l->capacity * t->head_dim;
}

static uint32_t output_ld(const trial *t, const layer *l)
{
    return weight_pad(l->n_heads * t->head_dim);
}

static vkdlm_status create_layer(trial *t, layer *l, enum gpu_memory memory, vkdlm_error *err)
{
    uint64_t element = t->form == CACHE_F16 ? 2 : 4, head = head_floats(t, l);
    for (uint32_t i = 0; i < l->n_sequences; i++)
        l->n_rows += l->length[i];
    const tune_buffer wanted[] = {
        {&l->queries, memory, l->n_heads * head * sizeof(float)},
        {&l->keys, memory, l->n_kv_heads * head * element},
        {&l->values, memory, l->n_kv_heads * head * element},
        {&l->index, GPU_MEMORY_UPLOAD, attention_index_bytes(l->capacity)},
        {&l->output, GPU_MEMORY_DEVICE, (uint64_t)l->n_rows * output_ld(t, l) * sizeof(float)},
    };
    return tune_make_buffers(t->device, wanted, sizeof wanted / sizeof *wanted, err);
}

static void destroy_layer(layer *l)
{
    gpu_buffer *const buffers[] = {&l->queries, &l->keys, &l->values, &l->index, &l->output};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
}

/* Before the recording that record() adds to. */
static attention_plan make_plan(trial *t, const layer *l, uint32_t candidate)
{
    attention_plan plan;
    const attention_variant *v = &t->variants[candidate];
    bool causal = t->form != BATCH;
    attention_plan_begin(&plan, l->index.mapped, l->capacity, v->tile_slots, v->mix, causal);
    uint32_t row = 0;
    for (uint32_t i = 0; i < l->n_sequences; i++) {
        attention_plan_add(&plan, row, l->length[i]);
        row += l->length[i];
    }
    attention_plan_end(&plan);
    return plan;
}

static void record(trial *t, const layer *l, const attention_plan *plan, uint32_t candidate)
{
    const attention_variant *v = &t->variants[candidate];
    const gpu_pipeline *pipeline;
    vkdlm_error err;
    if (gpu_pipeline_get(t->device, v->kernel, &v->spec, &pipeline, &err)) {
        gpu_commands_fail(t->commands, &err);
        return;
    }
    gpu_view index = gpu_view_all(&l->index);
    struct attention_params push = {
        .ld = output_ld(t, l),
        .capacity = l->capacity,
        .key_capacity = l->capacity,
        .n_heads = l->n_heads,
        .share = l->n_heads / l->n_kv_heads,
    };
    gpu_view views[] = {gpu_view_all(&l->queries),         gpu_view_all(&l->keys),
                        gpu_view_all(&l->values),          attention_slots_view(plan, index),
                        attention_tiles_view(plan, index), gpu_view_all(&l->output)};
    gpu_dispatch(t->commands, pipeline, views, 6, &push, sizeof push, plan->n_tiles, l->n_heads, 1);
}

/* ---- the checked layer ------------------------------------------------------------------------------- */

static vkdlm_status open_checked(trial *t, vkdlm_error *err)
{
    layer *l = &t->checked;
    *l = (layer){.n_heads = 2, .n_kv_heads = 1, .n_sequences = 2, .length = {70, 5}, .capacity = 128};
    vkdlm_status status = create_layer(t, l, GPU_MEMORY_UPLOAD, err);
    if (!status)
        status = gpu_buffer_create(t->device, GPU_MEMORY_READBACK, l->output.size_bytes, "a trial", &t->found,
                                   err);
    if (status)
        return status;
    uint64_t n = head_floats(t, l) * l->n_kv_heads;
    t->keys = malloc(n * sizeof *t->keys);
    t->values = malloc(n * sizeof *t->values);
    if (!t->keys || !t->values)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a trial");
    tune_random(l->queries.mapped, (uint32_t)(head_floats(t, l) * l->n_heads), 1);
    enum kv_type type = t->form == CACHE_F16 ? KV_F16 : KV_F32;
    attention_trial_fill(&l->keys, type, t->keys, n, 2);
    attention_trial_fill(&l->values, type, t->values, n, 3);
    return VKDLM_OK;
}

/* One row of one head, whose queries are `queries`. */
static bool row_is_right(const trial *t, const float *queries, uint32_t start, uint32_t length,
                         uint32_t position, const float *found)
{
    attention_trial_query query = {
        .head_dim = t->head_dim, .first = start, .n = t->form == BATCH ? length : position + 1};
    for (uint32_t d = 0; d < t->head_dim; d++) {
        query.query[d] = attention_trial_element(queries, t->head_dim, start + position, d);
        query.magnitude[d] = fabs(query.query[d]);
    }
    return attention_trial_right(&query, t->keys, t->values, found);
}

static vkdlm_status check(void *user, uint32_t candidate, bool *right, uint64_t *bits, vkdlm_error *err)
{
    trial *t = user;
    const layer *l = &t->checked;
    attention_plan plan = make_plan(t, l, candidate);
    vkdlm_status status = gpu_commands_begin(t->commands, err);
    if (status)
        return status;
    gpu_fill(t->commands, &l->output, 0, l->output.size_bytes, TUNE_NAN);
    record(t, l, &plan, candidate);
    gpu_copy(t->commands, &l->output, 0, &t->found, 0, t->found.size_bytes);
    status = gpu_submit_wait(t->commands, err);
    if (status)
        return status;
    *right = true;
    uint32_t start = 0, row = 0, ld = output_ld(t, l);
    for (uint32_t s = 0; s < l->n_sequences; s++) {
        for (uint32_t i = 0; i < l->length[s]; i++, row++) {
            const float *found = (const float *)t->found.mapped + (size_t)row * ld;
            for (uint32_t h = 0; h < l->n_heads; h++)
                *right &= row_is_right(t, (const float *)l->queries.mapped + h * head_floats(t, l), start,
                                       l->length[s], i, found + h * t->head_dim);
            for (uint32_t c = l->n_heads * t->head_dim; c < ld; c++)
                *right &= found[c] == 0;
        }
        start += (uint32_t)size_round_up(l->length[s], ATTENTION_GROUP);
    }
    *bits = tune_digest(t->found.mapped, t->found.size_bytes);
    return VKDLM_OK;
}

/* ---- the timed layer ---------------------------------------------------------------------------------- */

static vkdlm_status open_timed(trial *t, vkdlm_error *err)
{
    layer *l = &t->timed;
    bool cpu = gpu_device_caps(t->device)->type == GPU_TYPE_CPU;
    *l = (layer){
        .n_heads = cpu ? 2 : 16, .n_kv_heads = cpu ? 1 : 8, .n_sequences = 1, .length = {cpu ? 250 : 1000}};
    l->capacity = attention_capacity(l->length[0], 1);
    vkdlm_status status = create_layer(t, l, GPU_MEMORY_DEVICE, err);
    if (status)
        return status;
    const gpu_buffer *const zeros[] = {&l->queries, &l->keys, &l->values};
    return tune_clear(t->commands, zeros, sizeof zeros / sizeof *zeros, err);
}

static vkdlm_status time_one(void *user, uint32_t candidate, double *us, vkdlm_error *err)
{
    trial *t = user;
    tune_watch watch;
    attention_plan plan = make_plan(t, &t->timed, candidate);
    vkdlm_status status = tune_watch_begin(&watch, t->commands, err);
    if (status)
        return status;
    record(t, &t->timed, &plan, candidate);
    return tune_watch_end(&watch, 1, us, err);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

static void close_trial(void *user)
{
    trial *t = user;
    destroy_layer(&t->checked);
    destroy_layer(&t->timed);
    gpu_buffer_destroy(&t->found);
    gpu_commands_destroy(t->commands);
    free(t->keys);
    free(t->values);
}

static vkdlm_status open_trial(gpu_device *device, tune_key key, void *user, vkdlm_error *err)
{
    trial *t = user;
    t->device = device;
    t->form = form_of(key);
    t->head_dim = key.type / N_FORMS;
    variants_of(gpu_device_caps(device), key, t->variants);
    vkdlm_status status = gpu_commands_create(device, &t->commands, err);
    if (!status)
        status = open_checked(t, err);
    if (!status)
        status = open_timed(t, err);
    return status;
}

static void describe(tune_key key, char text[TUNE_TEXT])
{
    static const char *const forms[N_FORMS] = {"batch", "causal batch", "f32 cache", "f16 cache"};
    snprintf(text, TUNE_TEXT, "heads of %u, %s", key.type / N_FORMS, forms[form_of(key)]);
}

static uint32_t list(const gpu_caps *caps, tune_key key, const char *names[TUNE_MAX_CANDIDATES])
{
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    uint32_t n = variants_of(caps, key, variants);
    for (uint32_t i = 0; i < n; i++)
        names[i] = attention_variant_name(&variants[i]);
    return n;
}

/* The usual head sizes. */
static uint32_t keys(const gpu_caps *caps, tune_key *out)
{
    static const uint32_t sizes[] = {64, 128};
    uint32_t n = 0;
    (void)caps;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t form = 0; form < N_FORMS; form++)
            if (form != CAUSAL_BATCH)
                out[n++] = (tune_key){TUNE_ATTENTION, sizes[i] * N_FORMS + form, 0};
    return n;
}

const tune_table attention_tune_table = {
    .name = "attention",
    .describe = describe,
    .list = list,
    .keys = keys,
    .trial_bytes = sizeof(trial),
    .open = open_trial,
    .close = close_trial,
    .trial = {check, time_one},
};
