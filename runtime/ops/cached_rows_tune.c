/* How the tuner tries the variants of the kernel for single queries over a cache. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "ops/attention_trial.h"
#include "ops/cached_rows.h"
#include "ops/tune_tables.h"
#include "ops/tune_trial.h"
#include "ops/weight.h"

/* A key's type counts heads that share, head sizes and types of the cache. */
enum { HEAD_DIMS = ATTENTION_MAX_HEAD_DIM + 1 };

tune_key cached_rows_key(const attention_shape *shape, enum kv_type type)
{
    return (tune_key){TUNE_CACHED_ROWS,
                      (attention_share(shape) * HEAD_DIMS + shape->head_dim) * KV_N_TYPES + type, 0};
}

static enum kv_type type_of(tune_key key)
{
    return (enum kv_type)(key.type % KV_N_TYPES);
}

/* The shape of a key with so many key/value heads; 0 heads for a key that means nothing. */
static attention_shape shape_of(tune_key key, uint32_t n_kv_heads)
{
    uint32_t share = key.type / KV_N_TYPES / HEAD_DIMS;
    bool known = key.size == 0 && share <= 65535 / n_kv_heads;
    return (attention_shape){.n_heads = known ? share * n_kv_heads : 0,
                             .n_kv_heads = n_kv_heads,
                             .head_dim = key.type / KV_N_TYPES % HEAD_DIMS,
                             .causal = true};
}

static uint32_t variants_of(const gpu_caps *caps, tune_key key,
                            cached_rows_variant out[CACHED_ROWS_MAX_VARIANTS])
{
    attention_shape shape = shape_of(key, 1);
    return cached_rows_variants(caps, &shape, type_of(key), out);
}

vkdlm_status cached_rows_choose(gpu_device *device, const attention_shape *shape, enum kv_type type,
                                cached_rows_variant *out, vkdlm_error *err)
{
    cached_rows_variant variants[CACHED_ROWS_MAX_VARIANTS];
    tune_key key = cached_rows_key(shape, type);
    uint32_t chosen;
    vkdlm_status status = tune_choose(device, key, &chosen, err);
    if (status)
        return status;
    variants_of(gpu_device_caps(device), key, variants);
    *out = variants[chosen];
    return VKDLM_OK;
}

/* ---- problems --------------------------------------------------------------------------------------- */

enum {
    CONTEXT = ATTENTION_TRIAL_KEYS,
    SEQUENCES = 2,
    ROWS = 4,
    REPEATS = 4, /* of the timed problem in a submission */
};

/* (sequence, position) of the checked rows. */
static const uint32_t checked_rows[ROWS][2] = {{0, 70}, {1, 4}, {0, 0}, {1, CONTEXT - 1}};

/* A cache of one layer, queries of rows [n_heads * head_dim] and what answers them. */
typedef struct layer {
    cached_attention op; /* the pipeline of its rows is the candidate's */
    gpu_buffer cached;
    kv_cache cache;
    rotary_table table;
    gpu_buffer queries, rows, output;
    uint32_t n_rows, ld;
} layer;

typedef struct trial {
    gpu_device *device;
    gpu_commands *commands;
    cached_rows_variant variants[CACHED_ROWS_MAX_VARIANTS];
    layer checked, timed;
    float *cached; /* of the checked layer, as the device reads it */
    gpu_buffer found;
} trial;

static uint64_t cached_numbers(const layer *l)
{
    return (uint64_t)2 * l->op.shape.n_kv_heads * l->cache.n_sequences * l->cache.context *
           l->op.shape.head_dim;
}

static vkdlm_status create_layer(trial *t, layer *l, tune_key key, uint32_t n_kv_heads, uint32_t n_sequences,
                                 uint32_t context, uint32_t n_rows, enum gpu_memory memory, vkdlm_error *err)
{
    attention_shape shape = shape_of(key, n_kv_heads);
    if (shape.n_heads == 0)
        shape = shape_of(key, n_kv_heads = 1);
    l->op = (cached_attention){.device = t->device, .shape = shape, .type = type_of(key)};
    l->cache = (kv_cache){.device = t->device,
                          .shape = shape,
                          .type = l->op.type,
                          .n_layers = 1,
                          .n_sequences = n_sequences,
                          .context = context,
                          .layers = &l->cached};
    l->table = (rotary_table){.max_length = context, .head_dim = shape.head_dim};
    l->n_rows = n_rows;
    l->ld = weight_pad(shape.n_heads * shape.head_dim);
    uint64_t rows_bytes = (uint64_t)n_rows * l->ld * sizeof(float);
    const tune_buffer wanted[] = {
        {&l->cached, memory, cached_numbers(l) * kv_element_bytes(l->op.type)},
        {&l->table.buffer, memory, (uint64_t)context * shape.head_dim * sizeof(float)},
        {&l->queries, memory, rows_bytes},
        {&l->rows, GPU_MEMORY_UPLOAD, n_rows * sizeof checked_rows[0]},
        {&l->output, GPU_MEMORY_DEVICE, rows_bytes},
    };
    return tune_make_buffers(t->device, wanted, sizeof wanted / sizeof *wanted, err);
}

static void destroy_layer(layer *l)
{
    gpu_buffer *const buffers[] = {&l->cached, &l->table.buffer, &l->queries, &l->rows, &l->output};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
}

static void record(trial *t, layer *l, uint32_t candidate)
{
    vkdlm_error err;
    l->op.rows_variant = t->variants[candidate];
    if (gpu_pipeline_get(t->device, l->op.rows_variant.kernel, &l->op.rows_variant.spec, &l->op.rows, &err)) {
        gpu_commands_fail(t->commands, &err);
        return;
    }
    cached_attention_rows(t->commands, &l->op, &l->table, &l->cache, 0, gpu_view_all(&l->queries), l->ld, 0,
                          gpu_view_all(&l->rows), l->n_rows, gpu_view_all(&l->output), l->ld);
}

/* ---- the checked layer ------------------------------------------------------------------------------- */

static vkdlm_status open_checked(trial *t, tune_key key, vkdlm_error *err)
{
    layer *l = &t->checked;
    vkdlm_status status = create_layer(t, l, key, 2, SEQUENCES, CONTEXT, ROWS, GPU_MEMORY_UPLOAD, err);
    if (!status)
        status = gpu_buffer_create(t->device, GPU_MEMORY_READBACK, l->output.size_bytes, "a trial", &t->found,
                                   err);
    if (status)
        return status;
    t->cached = malloc(cached_numbers(l) * sizeof *t->cached);
    if (!t->cached)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a trial");
    /* Angles need not be any. */
    tune_random(l->table.buffer.mapped, (uint32_t)(l->table.buffer.size_bytes / sizeof(float)), 1);
    tune_random(l->queries.mapped, (uint32_t)(l->queries.size_bytes / sizeof(float)), 2);
    attention_trial_fill(&l->cached, l->op.type, t->cached, cached_numbers(l), 3);
    uint32_t *rows = l->rows.mapped;
    for (uint32_t i = 0; i < ROWS * 2; i++)
        rows[i] = checked_rows[i / 2][i % 2];
    return VKDLM_OK;
}

/* One row of one head: the query is turned by the angles of its position before it meets the keys. */
static bool row_is_right(const trial *t, uint32_t row, uint32_t head)
{
    const layer *l = &t->checked;
    const attention_shape *shape = &l->op.shape;
    uint32_t dim = shape->head_dim, half = dim / 2, position = checked_rows[row][1];
    uint64_t slots = (uint64_t)l->cache.n_sequences * l->cache.context;
    size_t column = (size_t)row * l->ld + (size_t)head * dim;
    const float *q = (const float *)l->queries.mapped + column;
    const float *angles = (const float *)l->table.buffer.mapped + (size_t)position * dim;
    const float *keys = t->cached + head / attention_share(shape) * slots * dim;
    attention_trial_query query = {
        .head_dim = dim, .first = checked_rows[row][0] * l->cache.context, .n = position + 1};
    for (uint32_t d = 0; d < dim; d++) {
        double scale = M_LOG2E / sqrt(dim), sign = d < half ? -1 : 1;
        double mine = scale * (double)q[d] * (double)angles[2 * (d % half)];
        double other = scale * (double)q[d < half ? d + half : d - half] * (double)angles[2 * (d % half) + 1];
        query.query[d] = mine + sign * other;
        query.magnitude[d] = fabs(mine) + fabs(other);
    }
    return attention_trial_right(&query, keys, keys + shape->n_kv_heads * slots * dim,
                                 (const float *)t->found.mapped + column);
}

static vkdlm_status check(void *user, uint32_t candidate, bool *right, uint64_t *bits, vkdlm_error *err)
{
    trial *t = user;
    layer *l = &t->checked;
    vkdlm_status status = gpu_commands_begin(t->commands, err);
    if (status)
        return status;
    gpu_fill(t->commands, &l->output, 0, l->output.size_bytes, TUNE_NAN);
    record(t, l, candidate);
    gpu_copy(t->commands, &l->output, 0, &t->found, 0, t->found.size_bytes);
    status = gpu_submit_wait(t->commands, err);
    if (status)
        return status;
    *right = true;
    for (uint32_t row = 0; row < ROWS; row++) {
        const float *found = (const float *)t->found.mapped + (size_t)row * l->ld;
        for (uint32_t h = 0; h < l->op.shape.n_heads; h++)
            *right &= row_is_right(t, row, h);
        for (uint32_t c = l->op.shape.n_heads * l->op.shape.head_dim; c < l->ld; c++)
            *right &= found[c] == 0;
    }
    *bits = tune_digest(t->found.mapped, t->found.size_bytes);
    return VKDLM_OK;
}

/* ---- the timed layer ---------------------------------------------------------------------------------- */

/* One query, as when one text is written: the hardest to spread over a device. */
static vkdlm_status open_timed(trial *t, tune_key key, vkdlm_error *err)
{
    layer *l = &t->timed;
    bool cpu = gpu_device_caps(t->device)->type == GPU_TYPE_CPU;
    uint32_t context = cpu ? 512 : 2048;
    vkdlm_status status = create_layer(t, l, key, cpu ? 2 : 8, 1, context, 1, GPU_MEMORY_DEVICE, err);
    if (status)
        return status;
    uint32_t *row = l->rows.mapped;
    row[0] = 0;
    row[1] = context - 1;
    const gpu_buffer *const zeros[] = {&l->cached, &l->table.buffer, &l->queries};
    return tune_clear(t->commands, zeros, sizeof zeros / sizeof *zeros, err);
}

static vkdlm_status time_one(void *user, uint32_t candidate, double *us, vkdlm_error *err)
{
    trial *t = user;
    tune_watch watch;
    vkdlm_status status = tune_watch_begin(&watch, t->commands, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < REPEATS; i++)
        record(t, &t->timed, candidate);
    return tune_watch_end(&watch, REPEATS, us, err);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

static void close_trial(void *user)
{
    trial *t = user;
    destroy_layer(&t->checked);
    destroy_layer(&t->timed);
    gpu_buffer_destroy(&t->found);
    gpu_commands_destroy(t->commands);
    free(t->cached);
}

static vkdlm_status open_trial(gpu_device *device, tune_key key, void *user, vkdlm_error *err)
{
    trial *t = user;
    t->device = device;
    variants_of(gpu_device_caps(device), key, t->variants);
    vkdlm_status status = gpu_commands_create(device, &t->commands, err);
    if (!status)
        status = open_checked(t, key, err);
    if (!status)
        status = open_timed(t, key, err);
    return status;
}

static void describe(tune_key key, char text[TUNE_TEXT])
{
    attention_shape shape = shape_of(key, 1);
    snprintf(text, TUNE_TEXT, "%u head%s of %u, %s cache", shape.n_heads, shape.n_heads == 1 ? "" : "s",
             shape.head_dim, type_of(key) == KV_F16 ? "f16" : "f32");
}

static uint32_t list(const gpu_caps *caps, tune_key key, const char *names[TUNE_MAX_CANDIDATES])
{
    cached_rows_variant variants[CACHED_ROWS_MAX_VARIANTS];
    uint32_t n = variants_of(caps, key, variants);
    for (uint32_t i = 0; i < n; i++)
        names[i] = cached_rows_variant_name(&variants[i]);
    return n;
}

/* The usual head sizes, four heads to a key. */
static uint32_t keys(const gpu_caps *caps, tune_key *out)
{
    static const uint32_t sizes[] = {64, 128};
    uint32_t n = 0;
    (void)caps;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int type = 0; type < KV_N_TYPES; type++) {
            const attention_shape shape = {
                .n_heads = 4, .n_kv_heads = 1, .head_dim = sizes[i], .causal = true};
            out[n++] = cached_rows_key(&shape, (enum kv_type)type);
        }
    return n;
}

const tune_table cached_rows_tune_table = {
    .name = "cached attention",
    .describe = describe,
    .list = list,
    .keys = keys,
    .trial_bytes = sizeof(trial),
    .open = open_trial,
    .close = close_trial,
    .trial = {check, time_one},
};
