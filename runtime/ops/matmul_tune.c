/* How the tuner tries the shapes of products. */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "ops/matmul_select.h"
#include "ops/tune_tables.h"
#include "ops/tune_trial.h"
#include "ops/weight_blocks.h"

enum {
    COLUMNS = 200, /* no multiple of anything */
    DEPTH = 288,   /* the same, but for blocks of 32 */
    DEPTH_OF_BLOCKS = 512,
    RANK = 24,
};

/* A product on the device, with or without its host's side. */
typedef struct product {
    weight w, b;
    gpu_buffer x, y, z;
    uint32_t n_rows, n_columns, depth, rank;
} product;

typedef struct trial {
    gpu_device *device;
    gpu_commands *commands;
    vkdlm_dtype dtype;
    const matmul_shape *shapes[TUNE_MAX_CANDIDATES];
    product checked, timed;
    gpu_buffer found;
    double *expected, *bound; /* [n_rows, n_columns] of the checked product */
    uint32_t repeats;
} trial;

static uint64_t rows_bytes(uint32_t n_rows, uint32_t n)
{
    return size_round_up(n_rows, 64) * weight_pad(n) * sizeof(float);
}

static vkdlm_status create_rows(gpu_device *device, enum gpu_memory memory, product *p, vkdlm_error *err)
{
    vkdlm_status status =
        gpu_buffer_create(device, memory, rows_bytes(p->n_rows, p->depth), "a trial", &p->x, err);
    if (!status)
        status = gpu_buffer_create(device, GPU_MEMORY_DEVICE, rows_bytes(p->n_rows, p->n_columns), "a trial",
                                   &p->y, err);
    if (!status && p->rank)
        status = gpu_buffer_create(device, memory, rows_bytes(p->n_rows, p->rank), "a trial", &p->z, err);
    return status;
}

static void product_destroy(product *p)
{
    weight_destroy(&p->w);
    weight_destroy(&p->b);
    gpu_buffer_destroy(&p->x);
    gpu_buffer_destroy(&p->y);
    gpu_buffer_destroy(&p->z);
}

static void record(trial *t, const product *p, uint32_t candidate)
{
    matmul_args args = {
        .w = &p->w,
        .x = gpu_view_all(&p->x),
        .y = gpu_view_all(&p->y),
        .ldx = weight_pad(p->depth),
        .ldy = weight_pad(p->n_columns),
        .n_rows = p->n_rows,
    };
    if (p->rank) {
        args.lora_b = &p->b;
        args.lora_z = gpu_view_all(&p->z);
        args.ldz = weight_pad(p->rank);
    }
    ops_matmul_shape(t->device, t->commands, &args, t->shapes[candidate]);
}

/* ---- the checked product ------------------------------------------------------------------------------ */

/* expected += x w^T, bound += the sum of magnitudes. */
static void add_product(trial *t, const gpu_buffer *x, const float *w, uint32_t depth)
{
    for (uint32_t m = 0; m < t->checked.n_rows; m++)
        for (uint32_t n = 0; n < t->checked.n_columns; n++) {
            const float *a = (const float *)x->mapped + (size_t)m * weight_pad(depth),
                        *b = w + (size_t)n * depth;
            double sum = 0, magnitude = 0;
            for (uint32_t k = 0; k < depth; k++) {
                double term = (double)a[k] * (double)b[k];
                sum += term;
                magnitude += fabs(term);
            }
            t->expected[(size_t)m * t->checked.n_columns + n] += sum;
            t->bound[(size_t)m * t->checked.n_columns + n] += magnitude;
        }
}

static vkdlm_status add_operand(trial *t, vkdlm_dtype dtype, uint32_t depth, uint32_t seed,
                                const gpu_buffer *x, weight *w, vkdlm_error *err)
{
    float *values;
    vkdlm_status status =
        tune_make_weight(t->device, dtype, t->checked.n_columns, depth, seed, w, &values, err);
    if (status)
        return status;
    tune_fill_rows(x, t->checked.n_rows, depth, seed);
    add_product(t, x, values, depth);
    free(values);
    return VKDLM_OK;
}

static vkdlm_status open_checked(trial *t, bool lora, uint32_t n_rows, vkdlm_error *err)
{
    product *p = &t->checked;
    p->n_rows = n_rows;
    p->n_columns = COLUMNS;
    p->depth = weight_blocks_length(t->dtype) > 32 ? DEPTH_OF_BLOCKS : DEPTH;
    p->rank = lora ? RANK : 0;
    size_t n = (size_t)n_rows * COLUMNS;
    t->expected = calloc(n, sizeof *t->expected);
    t->bound = calloc(n, sizeof *t->bound);
    if (!t->expected || !t->bound)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a trial");
    vkdlm_status status = create_rows(t->device, GPU_MEMORY_UPLOAD, p, err);
    if (!status)
        status =
            gpu_buffer_create(t->device, GPU_MEMORY_READBACK, p->y.size_bytes, "a trial", &t->found, err);
    if (!status)
        status = add_operand(t, t->dtype, p->depth, 1, &p->x, &p->w, err);
    if (!status && lora)
        status = add_operand(t, VKDLM_DTYPE_F32, RANK, 1000, &p->z, &p->b, err);
    return status;
}

static vkdlm_status check(void *user, uint32_t candidate, bool *right, uint64_t *bits, vkdlm_error *err)
{
    trial *t = user;
    const product *p = &t->checked;
    uint32_t ld = weight_pad(p->n_columns);
    vkdlm_status status = gpu_commands_begin(t->commands, err);
    if (status)
        return status;
    gpu_fill(t->commands, &p->y, 0, p->y.size_bytes, TUNE_NAN);
    record(t, p, candidate);
    gpu_copy(t->commands, &p->y, 0, &t->found, 0, t->found.size_bytes);
    status = gpu_submit_wait(t->commands, err);
    if (status)
        return status;
    /* Each element is one chain of multiply-adds with at most two roundings of 2^-24 each. */
    double slack = 2 * (p->depth + p->rank + 1) * 0x1p-24;
    const float *found = t->found.mapped;
    *right = true;
    for (uint32_t m = 0; m < p->n_rows; m++)
        for (uint32_t n = 0; n < ld; n++) {
            size_t i = (size_t)m * p->n_columns + n;
            bool pad = n >= p->n_columns;
            double difference = fabs((double)found[(size_t)m * ld + n] - (pad ? 0 : t->expected[i]));
            *right &= difference <= (pad ? 0 : slack * t->bound[i]);
        }
    *bits = tune_digest(found, p->n_columns * sizeof *found);
    return VKDLM_OK;
}

/* ---- the timed product --------------------------------------------------------------------------------- */

/* Large enough to fill a GPU, small enough for a CPU. No buffer is a power of two: one CPU driver compiles
 * anew where the size of a texel buffer becomes one. */
static vkdlm_status open_timed(trial *t, bool lora, uint32_t n_rows, vkdlm_error *err)
{
    product *p = &t->timed;
    bool cpu = gpu_device_caps(t->device)->type == GPU_TYPE_CPU;
    p->n_rows = cpu || n_rows < 64 ? n_rows : 256;
    p->n_columns = cpu ? 416 : 4096 + 32;
    p->depth = cpu ? 768 : 4096;
    p->rank = lora ? 32 : 0;
    t->repeats = n_rows <= 8 ? 4 : 1;
    vkdlm_status status = create_rows(t->device, GPU_MEMORY_DEVICE, p, err);
    if (!status)
        status = tune_blank_weight(t->device, t->dtype, p->n_columns, p->depth, &p->w, err);
    if (!status && lora)
        status = tune_blank_weight(t->device, VKDLM_DTYPE_F32, p->n_columns, p->rank, &p->b, err);
    if (status)
        return status;
    const gpu_buffer *const zeros[] = {&p->w.buffer, &p->x, &p->b.buffer, &p->z};
    return tune_clear(t->commands, zeros, lora ? 4 : 2, err);
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
    product_destroy(&t->checked);
    product_destroy(&t->timed);
    gpu_buffer_destroy(&t->found);
    gpu_commands_destroy(t->commands);
    free(t->expected);
    free(t->bound);
}

static vkdlm_status open_trial(gpu_device *device, tune_key key, void *user, vkdlm_error *err)
{
    trial *t = user;
    t->device = device;
    t->dtype = matmul_key_dtype(key);
    matmul_candidates(gpu_device_caps(device), key.size, false, t->shapes);
    uint32_t n_rows = matmul_row_classes[key.size].typical;
    vkdlm_status status = gpu_commands_create(device, &t->commands, err);
    if (!status)
        status = open_checked(t, matmul_key_lora(key), n_rows, err);
    if (!status)
        status = open_timed(t, matmul_key_lora(key), n_rows, err);
    return status;
}

static uint32_t keys(const gpu_caps *caps, tune_key *out)
{
    (void)caps;
    return matmul_key_all(TUNE_MATMUL, out);
}

const tune_table matmul_tune_table = {
    .name = "matmul",
    .describe = matmul_key_describe,
    .list = matmul_key_list,
    .keys = keys,
    .trial_bytes = sizeof(trial),
    .open = open_trial,
    .close = close_trial,
    .trial = {check, time_one},
};
