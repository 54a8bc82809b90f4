/* Products with weights of every type, and the output layer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "bench.h"
#include "ops/matmul_select.h"
#include "ops/output.h"

/* Shapes m x k of linear layers. The square one is what types are compared on. */
static const struct layer_shape {
    const char *of;
    uint32_t m, k;
} shapes[] = {
    {"square, llama-3.2-1b o", 2048, 2048},
    {"mdlm-owt qkv", 2304, 768},
    {"mdlm-owt out", 768, 768},
    {"mdlm-owt up", 3072, 768},
    {"mdlm-owt down", 768, 3072},
    {"llama-3.2-1b qkv", 3072, 2048},
    {"llama-3.2-1b gate+up", 16384, 2048},
    {"llama-3.2-1b down", 2048, 8192},
    {"llada-8b qkv", 12288, 4096},
    {"llada-8b out", 4096, 4096},
    {"llada-8b gate+up", 24576, 4096},
    {"llada-8b down", 4096, 12288},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static const vkdlm_dtype types[] = {
    VKDLM_DTYPE_F32,  VKDLM_DTYPE_F16,  VKDLM_DTYPE_BF16, VKDLM_DTYPE_Q8_0,   VKDLM_DTYPE_Q4_0,
    VKDLM_DTYPE_Q4_1, VKDLM_DTYPE_Q5_0, VKDLM_DTYPE_Q5_1, VKDLM_DTYPE_Q2_K,   VKDLM_DTYPE_Q3_K,
    VKDLM_DTYPE_Q4_K, VKDLM_DTYPE_Q5_K, VKDLM_DTYPE_Q6_K, VKDLM_DTYPE_IQ4_NL,
};
enum { N_TYPES = sizeof types / sizeof *types };

static const uint32_t rows[] = {1, 8, 64, 256};
enum { N_ROWS = sizeof rows / sizeof *rows };

/* What is measured by default besides every type on the square. */
static const struct selection {
    const char *of;
    vkdlm_dtype dtype;
    uint32_t n;
} selected[] = {
    {"mdlm-owt qkv", VKDLM_DTYPE_F32, 256},       {"mdlm-owt up", VKDLM_DTYPE_F32, 256},
    {"mdlm-owt down", VKDLM_DTYPE_F32, 256},      {"llama-3.2-1b gate+up", VKDLM_DTYPE_F16, 1},
    {"llama-3.2-1b down", VKDLM_DTYPE_F16, 1},    {"llama-3.2-1b gate+up", VKDLM_DTYPE_Q4_K, 1},
    {"llama-3.2-1b down", VKDLM_DTYPE_Q4_K, 1},   {"llama-3.2-1b down", VKDLM_DTYPE_Q4_K, 8},
    {"llama-3.2-1b down", VKDLM_DTYPE_Q4_K, 256}, {"llada-8b out", VKDLM_DTYPE_Q4_K, 64},
    {"llada-8b gate+up", VKDLM_DTYPE_Q4_K, 1},    {"llada-8b out", VKDLM_DTYPE_Q4_K, 256},
};

static bool is_selected(const struct layer_shape *shape, vkdlm_dtype dtype, uint32_t n)
{
    if (shape == shapes)
        return true;
    for (size_t i = 0; i < sizeof selected / sizeof *selected; i++)
        if (selected[i].dtype == dtype && selected[i].n == n && !strcmp(selected[i].of, shape->of))
            return true;
    return false;
}

static void list_products(const bench_group *group, bench_list *list)
{
    for (uint32_t s = 0; s < N_SHAPES; s++)
        for (uint32_t t = 0; t < N_TYPES; t++)
            for (uint32_t r = 0; r < N_ROWS; r++) {
                bench_case one = {.group = group,
                                  .dtype = types[t],
                                  .typed = true,
                                  .m = shapes[s].m,
                                  .n = rows[r],
                                  .k = shapes[s].k,
                                  .selected = is_selected(&shapes[s], types[t], rows[r])};
                snprintf(one.of, sizeof one.of, "%s", shapes[s].of);
                bench_list_add(list, &one);
            }
}

/* ---- linear layers ------------------------------------------------------------------------------------ */

typedef struct product {
    weight w[BENCH_MAX_COPIES];
    uint32_t n_copies;
    gpu_buffer x, y;
    uint32_t n_rows;
} product;

/* The copies of a weight that runs take in turn. */
static vkdlm_status make_weights(bench_lab *lab, const bench_case *one, weight *w, uint32_t *n_copies,
                                 vkdlm_error *err)
{
    vkdlm_status status = bench_weight(lab, one->dtype, one->m, one->k, &w[0], err);
    *n_copies = 1;
    if (status)
        return status;
    uint32_t n = bench_copies(lab, w[0].bytes);
    for (; *n_copies < n && !status; ++*n_copies)
        status = bench_weight(lab, one->dtype, one->m, one->k, &w[*n_copies], err);
    return status;
}

static vkdlm_status create_product(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                   vkdlm_error *err)
{
    product *p = calloc(1, sizeof *p);
    *self = p;
    if (!p)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a product");
    p->n_rows = one->n;
    uint64_t held = size_round_up(one->n, 64), ldx = weight_pad(one->k), ldy = weight_pad(one->m);
    vkdlm_status status = make_weights(lab, one, p->w, &p->n_copies, err);
    if (!status)
        status = bench_floats(lab, held * ldx * sizeof(float), &p->x, err);
    if (!status)
        status = bench_floats(lab, held * ldy * sizeof(float), &p->y, err);
    *cost = (bench_cost){.flops = 2.0 * one->n * one->m * one->k,
                         .bytes = (double)p->w[0].bytes + 4.0 * one->n * ((double)one->m + one->k),
                         .variant = matmul_variant(lab->device, TUNE_MATMUL, one->dtype, one->n)};
    return status;
}

static void record_product(bench_lab *lab, void *self, uint32_t run)
{
    const product *p = self;
    const weight *w = &p->w[run % p->n_copies];
    ops_matmul(lab->device, lab->commands,
               &(matmul_args){.w = w,
                              .x = gpu_view_all(&p->x),
                              .y = gpu_view_all(&p->y),
                              .ldx = weight_pad(w->depth),
                              .ldy = weight_pad(w->n_columns),
                              .n_rows = p->n_rows});
}

static void destroy_product(void *self)
{
    product *p = self;
    if (!p)
        return;
    for (uint32_t i = 0; i < BENCH_MAX_COPIES; i++)
        weight_destroy(&p->w[i]);
    gpu_buffer_destroy(&p->x);
    gpu_buffer_destroy(&p->y);
    free(p);
}

const bench_group bench_matmul = {"matmul", list_products, create_product, record_product, destroy_product};

/* ---- the output layer --------------------------------------------------------------------------------- */

/* Vocabulary x hidden size. */
static const struct output_shape {
    const char *of;
    uint32_t m, k;
    vkdlm_dtype dtype;
    uint32_t n;
    bool selected;
} outputs[] = {
    {"kjv-mdlm", 4097, 256, VKDLM_DTYPE_F16, 256, true},
    {"mdlm-owt", 50258, 768, VKDLM_DTYPE_F32, 1, true},
    {"mdlm-owt", 50258, 768, VKDLM_DTYPE_F32, 64, true},
    {"mdlm-owt", 50258, 768, VKDLM_DTYPE_F32, 1024, false},
    {"llama-3.2-1b", 128256, 2048, VKDLM_DTYPE_F16, 1, false},
    {"llama-3.2-1b", 128256, 2048, VKDLM_DTYPE_F16, 8, false},
    {"llama-3.2-1b", 128256, 2048, VKDLM_DTYPE_Q6_K, 1, true},
    {"llama-3.2-1b", 128256, 2048, VKDLM_DTYPE_Q6_K, 8, false},
    {"llada-8b", 126464, 4096, VKDLM_DTYPE_Q6_K, 1, false},
    {"llada-8b", 126464, 4096, VKDLM_DTYPE_Q6_K, 64, false},
    {"llada-8b", 126464, 4096, VKDLM_DTYPE_Q6_K, 256, false},
};

static void list_outputs(const bench_group *group, bench_list *list)
{
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        const struct output_shape *s = &outputs[i];
        bench_case one = {.group = group,
                          .dtype = s->dtype,
                          .typed = true,
                          .m = s->m,
                          .n = s->n,
                          .k = s->k,
                          .selected = s->selected};
        snprintf(one.of, sizeof one.of, "%s", s->of);
        bench_list_add(list, &one);
    }
}

typedef struct output_layer {
    weight w;
    gpu_buffer hidden, draws, results, scratch;
    uint32_t n_rows;
} output_layer;

static vkdlm_status create_output(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                  vkdlm_error *err)
{
    const output_draw draw = {.target = -1, .draw = 1, .inv_temperature = 1};
    output_layer *o = calloc(1, sizeof *o);
    *self = o;
    if (!o)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for an output layer");
    o->n_rows = one->n;
    vkdlm_status status = bench_weight(lab, one->dtype, one->m, one->k, &o->w, err);
    if (!status)
        status = bench_floats(lab, size_round_up(one->n, 64) * weight_pad(one->k) * sizeof(float), &o->hidden,
                              err);
    if (!status)
        status = bench_buffer(lab, one->n * sizeof draw, &draw, sizeof draw, &o->draws, err);
    if (!status)
        status = gpu_buffer_create(lab->device, GPU_MEMORY_DEVICE, one->n * sizeof(output_result),
                                   "sampling results", &o->results, err);
    if (!status)
        status = gpu_buffer_create(lab->device, GPU_MEMORY_DEVICE, output_scratch_bytes(&o->w, one->n),
                                   "sampling scratch", &o->scratch, err);
    *cost = (bench_cost){.flops = 2.0 * one->n * one->m * one->k,
                         .bytes = (double)o->w.bytes + 4.0 * one->n * one->k,
                         .variant = matmul_variant(lab->device, TUNE_OUTPUT, one->dtype, one->n)};
    return status;
}

static void record_output(bench_lab *lab, void *self, uint32_t run)
{
    const output_layer *o = self;
    ops_output(lab->device, lab->commands,
               &(output_args){.w = &o->w,
                              .hidden = gpu_view_all(&o->hidden),
                              .ld = weight_pad(o->w.depth),
                              .n_rows = o->n_rows,
                              .vocab_size = o->w.n_columns,
                              .excluded = -1,
                              .draws = gpu_view_all(&o->draws),
                              .results = gpu_view_all(&o->results),
                              .scratch = gpu_view_all(&o->scratch),
                              .seed = run,
                              .top_p = 1});
}

static void destroy_output(void *self)
{
    output_layer *o = self;
    if (!o)
        return;
    weight_destroy(&o->w);
    gpu_buffer *const buffers[] = {&o->hidden, &o->draws, &o->results, &o->scratch};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    free(o);
}

const bench_group bench_output = {"output", list_outputs, create_output, record_output, destroy_output};
