/* Attention with its neighbours: rotary embedding, the write into a cache, whole sequences, chunks over a
 * cache, and single queries over a cache. m: columns of the output, n: queries, k: keys. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "bench.h"
#include "ops/cached_attention.h"
#include "ops/cached_rows.h"

static const struct heads {
    const char *of;
    attention_shape shape;
    uint32_t n, k;
} wholes[] =
    {
        {"mdlm-owt", {12, 12, 64, false}, 1024, 1024},
        {"kjv-mdlm", {4, 4, 64, false}, 256, 256},
        {"llada-8b", {32, 32, 128, false}, 256, 256},
        {"llada-8b", {32, 32, 128, false}, 1024, 1024},
},
  chunks[] =
      {
          {"llama-3.2-1b", {32, 8, 64, true}, 256, 256},
          {"llama-3.2-1b", {32, 8, 64, true}, 64, 1024},
},
  queries[] =
      {
          {"12 heads", {12, 12, 64, true}, 1, 1024},
          {"llama-3.2-1b", {32, 8, 64, true}, 1, 1024},
          {"llama-3.2-1b", {32, 8, 64, true}, 8, 1024},
},
  writes[] = {
      {"llama-3.2-1b", {32, 8, 64, true}, 1, 1024},
      {"llama-3.2-1b", {32, 8, 64, true}, 256, 256},
};

static uint32_t width(const attention_shape *shape)
{
    return shape->n_heads * shape->head_dim;
}

/* Columns of queries, keys and values side by side. */
static uint32_t qkv_width(const attention_shape *shape)
{
    return (shape->n_heads + 2 * shape->n_kv_heads) * shape->head_dim;
}

static void list_heads(const bench_group *group, bench_list *list, const struct heads *table, size_t n,
                       uint32_t n_selected, uint32_t n_types)
{
    for (size_t i = 0; i < n; i++)
        for (uint32_t t = 0; t < n_types; t++) {
            bench_case one = {.group = group,
                              .typed = true,
                              .dtype = t ? VKDLM_DTYPE_F16 : VKDLM_DTYPE_F32,
                              .m = width(&table[i].shape),
                              .n = table[i].n,
                              .k = table[i].k,
                              .detail = &table[i],
                              .selected = i < n_selected};
            snprintf(one.of, sizeof one.of, "%s", table[i].of);
            bench_list_add(list, &one);
        }
}

/* ---- whole sequences ---------------------------------------------------------------------------------- */

typedef struct whole {
    attention op;
    attention_plan plan;
    rotary_table table;
    gpu_buffer index, workspace, qkv, output;
    uint32_t ld_qkv, ld;
} whole;

static void list_wholes(const bench_group *group, bench_list *list)
{
    list_heads(group, list, wholes, sizeof wholes / sizeof *wholes, 2, 1);
}

static vkdlm_status create_whole(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                 vkdlm_error *err)
{
    const struct heads *h = one->detail;
    const attention_shape *shape = &h->shape;
    whole *a = calloc(1, sizeof *a);
    *self = a;
    if (!a)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for attention");
    uint32_t capacity = attention_capacity(h->n, 1);
    uint64_t held = size_round_up(h->n, 64);
    a->ld = weight_pad(width(shape));
    a->ld_qkv = weight_pad(qkv_width(shape));
    vkdlm_status status = attention_init(&a->op, lab->device, shape, NULL, err);
    if (!status)
        status = rotary_table_create(lab->device, h->n, shape->head_dim, 10000, NULL, &a->table, err);
    if (!status)
        status = gpu_buffer_create(lab->device, GPU_MEMORY_UPLOAD, attention_index_bytes(capacity), "index",
                                   &a->index, err);
    if (!status)
        status = bench_floats(lab, attention_workspace_bytes(shape, capacity), &a->workspace, err);
    if (!status)
        status = bench_floats(lab, held * a->ld_qkv * sizeof(float), &a->qkv, err);
    if (!status)
        status = bench_floats(lab, held * a->ld * sizeof(float), &a->output, err);
    if (status)
        return status;
    attention_begin_plan(&a->op, &a->plan, a->index.mapped, capacity);
    attention_plan_add(&a->plan, 0, h->n);
    attention_plan_end(&a->plan);
    *cost = (bench_cost){.flops = 4.0 * h->n * h->k * width(shape),
                         .bytes = 4.0 * h->n * ((double)qkv_width(shape) + width(shape)),
                         .variant = attention_variant_name(&a->op.variant)};
    return VKDLM_OK;
}

static void record_whole(bench_lab *lab, void *self, uint32_t run)
{
    const whole *a = self;
    (void)run;
    attention_record(lab->commands, &a->op, &a->plan, gpu_view_all(&a->index), gpu_view_all(&a->workspace),
                     gpu_view_all(&a->output), a->ld);
}

static void destroy_whole(void *self)
{
    whole *a = self;
    if (!a)
        return;
    gpu_buffer *const buffers[] = {&a->index, &a->workspace, &a->qkv, &a->output};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    rotary_table_destroy(&a->table);
    free(a);
}

const bench_group bench_attention = {"attention", list_wholes, create_whole, record_whole, destroy_whole};

/* ---- rotary embedding --------------------------------------------------------------------------------- */

/* The rows of queries, keys and values go into attention's layout. */
static vkdlm_status create_rotary(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                  vkdlm_error *err)
{
    vkdlm_status status = create_whole(lab, one, self, cost, err);
    const struct heads *h = one->detail;
    *cost = (bench_cost){.flops = 3.0 * h->n * (h->shape.n_heads + h->shape.n_kv_heads) * h->shape.head_dim,
                         .bytes = 8.0 * h->n * qkv_width(&h->shape),
                         .variant = gpu_kernel_name(GPU_KERNEL_ROTARY)};
    return status;
}

static void list_rotary(const bench_group *group, bench_list *list)
{
    size_t first = list->n;
    list_heads(group, list, wholes, sizeof wholes / sizeof *wholes, 1, 1);
    for (size_t i = first; i < list->n; i++) { /* a row in, a row out */
        const struct heads *h = list->cases[i].detail;
        list->cases[i].m = list->cases[i].k = qkv_width(&h->shape);
    }
}

static void record_rotary(bench_lab *lab, void *self, uint32_t run)
{
    const whole *a = self;
    (void)run;
    rotary_record(lab->commands, &a->op, &a->table, &a->plan, gpu_view_all(&a->qkv), a->ld_qkv,
                  gpu_view_all(&a->index), gpu_view_all(&a->workspace));
}

const bench_group bench_rotary = {"rotary", list_rotary, create_rotary, record_rotary, destroy_whole};

/* ---- over a cache ------------------------------------------------------------------------------------- */

typedef struct cached {
    cached_attention op;
    kv_cache cache; /* its layers are taken in turn */
    attention_plan plan;
    rotary_table table;
    gpu_buffer index, workspace, qkv, output, rows;
    qkv_columns columns;
    uint32_t ld_qkv, ld, n;
} cached;

static uint64_t type_bytes(const bench_case *one)
{
    return one->dtype == VKDLM_DTYPE_F16 ? 2 : 4;
}

/* Bytes of the keys and values that n tokens have. */
static double kv_bytes(const bench_case *one, const attention_shape *shape, double n)
{
    return 2.0 * n * shape->n_kv_heads * shape->head_dim * (double)type_bytes(one);
}

static vkdlm_status make_cache(bench_lab *lab, cached *c, const bench_case *one, uint32_t n_sequences,
                               vkdlm_error *err)
{
    const struct heads *h = one->detail;
    enum kv_type type = one->dtype == VKDLM_DTYPE_F16 ? KV_F16 : KV_F32;
    uint64_t layer_bytes = kv_cache_bytes(&h->shape, type, 1, n_sequences, h->k);
    vkdlm_status status = cached_attention_init(&c->op, lab->device, &h->shape, type, err);
    if (!status)
        status = kv_cache_create(lab->device, &h->shape, type, bench_copies(lab, layer_bytes), n_sequences,
                                 h->k, &c->cache, err);
    if (!status)
        status = rotary_table_create(lab->device, c->cache.context, h->shape.head_dim, 500000, NULL,
                                     &c->table, err);
    return status;
}

/* n tokens of `n_sequences` sequences that end at position k - 1. */
static vkdlm_status make_cached(bench_lab *lab, const bench_case *one, uint32_t n_sequences, void **self,
                                vkdlm_error *err)
{
    const struct heads *h = one->detail;
    const attention_shape *shape = &h->shape;
    uint32_t length = h->n / n_sequences, capacity = cached_attention_capacity(h->n, n_sequences);
    uint64_t held = size_round_up(h->n, 64);
    uint32_t positions[2 * 64];
    cached *c = calloc(1, sizeof *c);
    *self = c;
    if (!c)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for attention");
    c->ld = weight_pad(width(shape));
    c->ld_qkv = weight_pad(qkv_width(shape));
    c->columns = (qkv_columns){0, width(shape), width(shape) + shape->n_kv_heads * shape->head_dim};
    c->n = h->n;
    for (uint32_t i = 0; i < 64; i++) {
        positions[2 * i] = i % n_sequences;
        positions[2 * i + 1] = h->k - 1;
    }
    vkdlm_status status = make_cache(lab, c, one, n_sequences, err);
    if (!status)
        status = gpu_buffer_create(lab->device, GPU_MEMORY_UPLOAD, attention_index_bytes(capacity), "index",
                                   &c->index, err);
    if (!status)
        status = bench_floats(lab, cached_attention_workspace_bytes(shape, capacity), &c->workspace, err);
    if (!status)
        status = bench_floats(lab, held * c->ld_qkv * sizeof(float), &c->qkv, err);
    if (!status)
        status = bench_floats(lab, held * c->ld * sizeof(float), &c->output, err);
    if (!status)
        status = bench_buffer(lab, held * 8, positions, sizeof positions, &c->rows, err);
    if (status)
        return status;
    cached_attention_begin_plan(&c->op, &c->cache, &c->plan, c->index.mapped, capacity);
    for (uint32_t s = 0; s < n_sequences; s++)
        cached_attention_add(&c->cache, &c->plan, s, h->k - length, s * length, length);
    attention_plan_end(&c->plan);
    return VKDLM_OK;
}

static void destroy_cached(void *self)
{
    cached *c = self;
    if (!c)
        return;
    kv_cache_destroy(&c->cache);
    rotary_table_destroy(&c->table);
    gpu_buffer *const buffers[] = {&c->index, &c->workspace, &c->qkv, &c->output, &c->rows};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    free(c);
}

/* Pairs of a query and a key that a chunk at the end of k keys has. */
static double causal_pairs(double n, double k)
{
    return n * (k - n) + n * (n + 1) / 2;
}

static void list_prefill(const bench_group *group, bench_list *list)
{
    list_heads(group, list, chunks, sizeof chunks / sizeof *chunks, 1, 2);
}

static vkdlm_status create_prefill(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                   vkdlm_error *err)
{
    const struct heads *h = one->detail;
    vkdlm_status status = make_cached(lab, one, 1, self, err);
    if (status)
        return status;
    const cached *c = *self;
    *cost = (bench_cost){.flops = 4 * causal_pairs(h->n, h->k) * width(&h->shape),
                         .bytes = kv_bytes(one, &h->shape, h->k) + 8.0 * h->n * width(&h->shape),
                         .variant = attention_variant_name(&c->op.variant)};
    return VKDLM_OK;
}

static void record_prefill(bench_lab *lab, void *self, uint32_t run)
{
    const cached *c = self;
    cached_attention_tiles(lab->commands, &c->op, &c->cache, run % c->cache.n_layers, &c->plan,
                           gpu_view_all(&c->index), gpu_view_all(&c->workspace), gpu_view_all(&c->output),
                           c->ld);
}

const bench_group bench_prefill = {"prefill attention", list_prefill, create_prefill, record_prefill,
                                   destroy_cached};

static void list_cached(const bench_group *group, bench_list *list)
{
    list_heads(group, list, queries, sizeof queries / sizeof *queries, 3, 2);
}

static vkdlm_status create_cached(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                  vkdlm_error *err)
{
    const struct heads *h = one->detail;
    vkdlm_status status = make_cached(lab, one, h->n, self, err);
    if (status)
        return status;
    const cached *c = *self;
    *cost = (bench_cost){.flops = 4.0 * h->n * h->k * width(&h->shape),
                         .bytes = h->n * (kv_bytes(one, &h->shape, h->k) + 8.0 * width(&h->shape)),
                         .variant = cached_rows_variant_name(&c->op.rows_variant)};
    return VKDLM_OK;
}

static void record_cached(bench_lab *lab, void *self, uint32_t run)
{
    const cached *c = self;
    cached_attention_rows(lab->commands, &c->op, &c->table, &c->cache, run % c->cache.n_layers,
                          gpu_view_all(&c->qkv), c->ld_qkv, c->columns.q, gpu_view_all(&c->rows), c->n,
                          gpu_view_all(&c->output), c->ld);
}

const bench_group bench_cached = {"cached attention", list_cached, create_cached, record_cached,
                                  destroy_cached};

static void list_writes(const bench_group *group, bench_list *list)
{
    size_t first = list->n;
    list_heads(group, list, writes, sizeof writes / sizeof *writes, 2, 2);
    for (size_t i = first; i < list->n; i++) {
        const struct heads *h = list->cases[i].detail;
        list->cases[i].m = list->cases[i].k = qkv_width(&h->shape);
    }
}

static vkdlm_status create_write(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                 vkdlm_error *err)
{
    const struct heads *h = one->detail;
    bool half = one->dtype == VKDLM_DTYPE_F16;
    *cost = (bench_cost){
        .flops = 3.0 * h->n * (h->shape.n_heads + h->shape.n_kv_heads) * h->shape.head_dim,
        .bytes =
            4.0 * h->n * ((double)qkv_width(&h->shape) + width(&h->shape)) + kv_bytes(one, &h->shape, h->n),
        .variant = gpu_kernel_name(half ? GPU_KERNEL_CACHED_WRITE_F16 : GPU_KERNEL_CACHED_WRITE_F32)};
    return make_cached(lab, one, 1, self, err);
}

static void record_write(bench_lab *lab, void *self, uint32_t run)
{
    const cached *c = self;
    cached_attention_write(lab->commands, &c->op, &c->table, &c->cache, run % c->cache.n_layers, &c->plan,
                           gpu_view_all(&c->qkv), c->ld_qkv, c->columns, gpu_view_all(&c->index),
                           gpu_view_all(&c->workspace));
}

const bench_group bench_cache_write = {"cache write", list_writes, create_write, record_write,
                                       destroy_cached};
