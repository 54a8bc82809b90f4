/* One layer of a real model's sizes with arbitrary weights, for models that are not at hand: norms, the four
 * products, rotary embedding and attention over 256 tokens, one after another as in a model. One or a few
 * rows are new tokens of as many sequences over a cache; more are one sequence. m = k: hidden size, n: rows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "bench.h"
#include "ops/cached_attention.h"
#include "ops/matmul_select.h"
#include "ops/rms.h"

enum { CONTEXT = 256, MOST_DECODED = 8 };

static const struct model_shape {
    const char *of;
    uint32_t hidden, mlp, n_layers;
    attention_shape heads;
} llama_1b = {"llama-3.2-1b", 2048, 8192, 16, {32, 8, 64, true}},
  llada_8b = {"llada-8b", 4096, 12288, 32, {32, 32, 128, false}};

static const struct layer_case {
    const struct model_shape *model;
    vkdlm_dtype dtype;
    uint32_t n;
    bool selected;
} layers[] = {
    {&llama_1b, VKDLM_DTYPE_F16, 1, true},     {&llama_1b, VKDLM_DTYPE_F16, 8, false},
    {&llama_1b, VKDLM_DTYPE_F16, 256, false},  {&llama_1b, VKDLM_DTYPE_Q8_0, 1, false},
    {&llama_1b, VKDLM_DTYPE_Q4_K, 1, true},    {&llama_1b, VKDLM_DTYPE_Q4_K, 8, false},
    {&llama_1b, VKDLM_DTYPE_Q4_K, 256, true},  {&llada_8b, VKDLM_DTYPE_Q4_K, 256, true},
    {&llada_8b, VKDLM_DTYPE_Q8_0, 256, false}, {&llada_8b, VKDLM_DTYPE_F16, 256, false},
};

static void list_layers(const bench_group *group, bench_list *list)
{
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const struct layer_case *l = &layers[i];
        bench_case one = {.group = group,
                          .typed = true,
                          .dtype = l->dtype,
                          .m = l->model->hidden,
                          .n = l->n,
                          .k = l->model->hidden,
                          .detail = l,
                          .selected = l->selected};
        snprintf(one.of, sizeof one.of, "%s", l->model->of);
        bench_list_add(list, &one);
    }
}

typedef struct layer_weights {
    weight qkv, out, gate_up, down;
} layer_weights;

typedef struct layer {
    const struct model_shape *model;
    layer_weights w[BENCH_MAX_COPIES]; /* a stack of layers, taken in turn */
    uint32_t n_copies, n;
    uint32_t ld, ld_qkv, ld_heads, ld_mlp;
    bool decodes;
    rotary_table table;
    /* One of the two: */
    attention whole;
    cached_attention cached;
    kv_cache cache;
    attention_plan plan;
    gpu_buffer norm, x, h, wide, mixed, index, workspace, rows;
} layer;

static vkdlm_status make_weights(bench_lab *lab, const layer *l, vkdlm_dtype dtype, layer_weights *w,
                                 vkdlm_error *err)
{
    const struct model_shape *m = l->model;
    uint32_t heads = m->heads.n_heads * m->heads.head_dim;
    uint32_t kv = m->heads.n_kv_heads * m->heads.head_dim;
    vkdlm_status status = bench_weight(lab, dtype, heads + 2 * kv, m->hidden, &w->qkv, err);
    if (!status)
        status = bench_weight(lab, dtype, m->hidden, heads, &w->out, err);
    if (!status)
        status = bench_weight(lab, dtype, 2 * m->mlp, m->hidden, &w->gate_up, err);
    if (!status)
        status = bench_weight(lab, dtype, m->hidden, m->mlp, &w->down, err);
    return status;
}

static uint64_t weights_bytes(const layer_weights *w)
{
    return w->qkv.bytes + w->out.bytes + w->gate_up.bytes + w->down.bytes;
}

/* New tokens at the end of as many sequences of CONTEXT tokens. */
static vkdlm_status make_decoding(bench_lab *lab, layer *l, vkdlm_error *err)
{
    const attention_shape *heads = &l->model->heads;
    uint32_t capacity = cached_attention_capacity(l->n, l->n), positions[2 * 64];
    for (uint32_t i = 0; i < 64; i++) {
        positions[2 * i] = i % l->n;
        positions[2 * i + 1] = CONTEXT - 1;
    }
    vkdlm_status status = cached_attention_init(&l->cached, lab->device, heads, KV_F32, err);
    if (!status)
        status = kv_cache_create(lab->device, heads, KV_F32, l->n_copies, l->n, CONTEXT, &l->cache, err);
    if (!status)
        status = bench_buffer(lab, sizeof positions, positions, sizeof positions, &l->rows, err);
    if (!status)
        status = gpu_buffer_create(lab->device, GPU_MEMORY_UPLOAD, attention_index_bytes(capacity), "index",
                                   &l->index, err);
    if (status)
        return status;
    cached_attention_begin_plan(&l->cached, &l->cache, &l->plan, l->index.mapped, capacity);
    for (uint32_t s = 0; s < l->n; s++)
        cached_attention_add(&l->cache, &l->plan, s, CONTEXT - 1, s, 1);
    attention_plan_end(&l->plan);
    return VKDLM_OK;
}

static vkdlm_status make_sequence(bench_lab *lab, layer *l, vkdlm_error *err)
{
    const attention_shape *heads = &l->model->heads;
    uint32_t capacity = attention_capacity(l->n, 1);
    vkdlm_status status = attention_init(&l->whole, lab->device, heads, NULL, err);
    if (!status)
        status = gpu_buffer_create(lab->device, GPU_MEMORY_UPLOAD, attention_index_bytes(capacity), "index",
                                   &l->index, err);
    if (!status)
        status = bench_floats(lab, attention_workspace_bytes(heads, capacity), &l->workspace, err);
    if (status)
        return status;
    attention_begin_plan(&l->whole, &l->plan, l->index.mapped, capacity);
    attention_plan_add(&l->plan, 0, l->n);
    attention_plan_end(&l->plan);
    return VKDLM_OK;
}

static vkdlm_status make_activations(bench_lab *lab, layer *l, vkdlm_error *err)
{
    uint64_t row = size_round_up(l->n, 64) * sizeof(float);
    uint32_t wide = l->ld_mlp > l->ld_qkv ? l->ld_mlp : l->ld_qkv;
    const struct {
        gpu_buffer *buffer;
        uint64_t bytes;
    } wanted[] = {{&l->norm, l->ld * sizeof(float)},
                  {&l->x, row * l->ld},
                  {&l->h, row * l->ld},
                  {&l->wide, row * wide},
                  {&l->mixed, row * l->ld_heads}};
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && !status; i++)
        status = bench_floats(lab, wanted[i].bytes, wanted[i].buffer, err);
    return status;
}

static bench_cost cost_of(const bench_lab *lab, const layer *l)
{
    const struct model_shape *m = l->model;
    double heads = m->heads.n_heads * m->heads.head_dim, kv = m->heads.n_kv_heads * m->heads.head_dim;
    double n = l->n, pairs = l->decodes ? n * CONTEXT : m->heads.causal ? n * (n + 1) / 2 : n * n;
    double weights = m->hidden * (2 * heads + 2 * kv + 3.0 * m->mlp);
    return (bench_cost){.flops = 2 * n * weights + 4 * pairs * heads,
                        .bytes = (double)weights_bytes(&l->w[0]) + 8 * n * m->hidden +
                                 (l->decodes ? 8 * n * CONTEXT * kv : 0),
                        .layers = m->n_layers,
                        .variant = matmul_variant(lab->device, TUNE_MATMUL, l->w[0].qkv.dtype, l->n)};
}

static vkdlm_status create_layer(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                 vkdlm_error *err)
{
    const struct layer_case *wanted = one->detail;
    const struct model_shape *m = wanted->model;
    layer *l = calloc(1, sizeof *l);
    *self = l;
    if (!l)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a layer");
    l->model = m;
    l->n = wanted->n;
    l->decodes = m->heads.causal && l->n <= MOST_DECODED;
    l->ld = weight_pad(m->hidden);
    l->ld_heads = weight_pad(m->heads.n_heads * m->heads.head_dim);
    l->ld_qkv = weight_pad((m->heads.n_heads + 2 * m->heads.n_kv_heads) * m->heads.head_dim);
    l->ld_mlp = weight_pad(m->mlp);
    vkdlm_status status = make_weights(lab, l, wanted->dtype, &l->w[0], err);
    l->n_copies = status ? 1 : bench_copies(lab, weights_bytes(&l->w[0]));
    for (uint32_t i = 1; i < l->n_copies && !status; i++)
        status = make_weights(lab, l, wanted->dtype, &l->w[i], err);
    if (!status)
        status = make_activations(lab, l, err);
    if (!status)
        status = rotary_table_create(lab->device, CONTEXT, m->heads.head_dim, 500000, NULL, &l->table, err);
    if (!status)
        status = l->decodes ? make_decoding(lab, l, err) : make_sequence(lab, l, err);
    *cost = cost_of(lab, l);
    return status;
}

static void record_rms(bench_lab *lab, const layer *l)
{
    ops_rms(lab->device, lab->commands,
            &(rms_args){.x = gpu_view_all(&l->x),
                        .y = gpu_view_all(&l->h),
                        .weight = gpu_view_all(&l->norm),
                        .n_rows = l->n,
                        .n_columns = l->model->hidden,
                        .ld = l->ld,
                        .eps = 1e-5f});
}

static void record_product(bench_lab *lab, const layer *l, const weight *w, const gpu_buffer *x, uint32_t ldx,
                           const gpu_buffer *y, uint32_t ldy, enum matmul_activation activation, bool adds)
{
    ops_matmul(lab->device, lab->commands,
               &(matmul_args){.w = w,
                              .x = gpu_view_all(x),
                              .ldx = ldx,
                              .y = gpu_view_all(y),
                              .ldy = ldy,
                              .n_rows = l->n,
                              .activation = activation,
                              .residual = adds ? gpu_view_all(y) : (gpu_view){0}});
}

static void record_attention(bench_lab *lab, const layer *l, uint32_t index)
{
    const attention_shape *heads = &l->model->heads;
    uint32_t q = heads->n_heads * heads->head_dim, kv = heads->n_kv_heads * heads->head_dim;
    gpu_view wide = gpu_view_all(&l->wide), plan = gpu_view_all(&l->index), mixed = gpu_view_all(&l->mixed);
    if (l->decodes) {
        cached_attention_write(lab->commands, &l->cached, &l->table, &l->cache, index, &l->plan, wide,
                               l->ld_qkv, (qkv_columns){0, q, q + kv}, plan, (gpu_view){0});
        cached_attention_rows(lab->commands, &l->cached, &l->table, &l->cache, index, wide, l->ld_qkv, 0,
                              gpu_view_all(&l->rows), l->n, mixed, l->ld_heads);
        return;
    }
    rotary_record(lab->commands, &l->whole, &l->table, &l->plan, wide, l->ld_qkv, plan,
                  gpu_view_all(&l->workspace));
    attention_record(lab->commands, &l->whole, &l->plan, plan, gpu_view_all(&l->workspace), mixed,
                     l->ld_heads);
}

static void record_layer(bench_lab *lab, void *self, uint32_t run)
{
    const layer *l = self;
    uint32_t index = run % l->n_copies;
    const layer_weights *w = &l->w[index];
    record_rms(lab, l);
    record_product(lab, l, &w->qkv, &l->h, l->ld, &l->wide, l->ld_qkv, MATMUL_LINEAR, false);
    record_attention(lab, l, index);
    record_product(lab, l, &w->out, &l->mixed, l->ld_heads, &l->x, l->ld, MATMUL_LINEAR, true);
    record_rms(lab, l);
    record_product(lab, l, &w->gate_up, &l->h, l->ld, &l->wide, l->ld_mlp, MATMUL_SWIGLU, false);
    record_product(lab, l, &w->down, &l->wide, l->ld_mlp, &l->x, l->ld, MATMUL_LINEAR, true);
}

static void destroy_layer(void *self)
{
    layer *l = self;
    if (!l)
        return;
    for (uint32_t i = 0; i < BENCH_MAX_COPIES; i++) {
        weight_destroy(&l->w[i].qkv);
        weight_destroy(&l->w[i].out);
        weight_destroy(&l->w[i].gate_up);
        weight_destroy(&l->w[i].down);
    }
    rotary_table_destroy(&l->table);
    kv_cache_destroy(&l->cache);
    gpu_buffer *const buffers[] = {&l->norm,  &l->x,     &l->h,         &l->wide,
                                   &l->mixed, &l->index, &l->workspace, &l->rows};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    free(l);
}

const bench_group bench_layer = {"layer", list_layers, create_layer, record_layer, destroy_layer};
