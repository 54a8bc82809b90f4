/* Kernels that go over rows once: norms and the embedding. m = k: columns, n: rows. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "bench.h"
#include "ops/embed.h"
#include "ops/norm.h"
#include "ops/rms.h"

static const struct rows_shape {
    const char *of;
    uint32_t m, n;
    bool selected;
} norms[] = {{"mdlm-owt", 768, 1, false}, {"mdlm-owt", 768, 256, false}, {"mdlm-owt", 768, 1024, true}},
  rmses[] = {{"llama-3.2-1b", 2048, 1, true},
             {"llama-3.2-1b", 2048, 8, false},
             {"llama-3.2-1b", 2048, 256, true},
             {"llada-8b", 4096, 256, false}};

static void list_rows(const bench_group *group, bench_list *list, const struct rows_shape *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bench_case one = {.group = group,
                          .typed = true,
                          .dtype = VKDLM_DTYPE_F32,
                          .m = table[i].m,
                          .n = table[i].n,
                          .k = table[i].m,
                          .selected = table[i].selected};
        snprintf(one.of, sizeof one.of, "%s", table[i].of);
        bench_list_add(list, &one);
    }
}

static void list_norms(const bench_group *group, bench_list *list)
{
    list_rows(group, list, norms, sizeof norms / sizeof *norms);
}

static void list_rmses(const bench_group *group, bench_list *list)
{
    list_rows(group, list, rmses, sizeof rmses / sizeof *rmses);
}

/* ---- norms -------------------------------------------------------------------------------------------- */

typedef struct normalised {
    gpu_buffer x[BENCH_MAX_COPIES], y[BENCH_MAX_COPIES]; /* taken in turn */
    gpu_buffer weight, modulation;
    uint32_t n_copies, n_rows, n_columns;
} normalised;

static vkdlm_status create_norm(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                vkdlm_error *err)
{
    normalised *o = calloc(1, sizeof *o);
    *self = o;
    if (!o)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a norm");
    uint64_t bytes = (uint64_t)one->n * weight_pad(one->m) * sizeof(float);
    o->n_copies = bench_copies(lab, 2 * bytes);
    o->n_rows = one->n;
    o->n_columns = one->m;
    vkdlm_status status = bench_floats(lab, weight_pad(one->m) * sizeof(float), &o->weight, err);
    if (!status)
        status = bench_floats(lab, 2 * weight_pad(one->m) * sizeof(float), &o->modulation, err);
    for (uint32_t i = 0; i < o->n_copies && !status; i++) {
        status = bench_floats(lab, bytes, &o->x[i], err);
        if (!status)
            status = bench_floats(lab, bytes, &o->y[i], err);
    }
    bool rms = one->group == &bench_rms;
    *cost =
        (bench_cost){.flops = (rms ? 4.0 : 8.0) * one->n * one->m, .bytes = 2 * (double)bytes, .variant = ""};
    return status;
}

static void record_norm(bench_lab *lab, void *self, uint32_t run)
{
    const normalised *o = self;
    uint32_t ld = weight_pad(o->n_columns);
    ops_norm(lab->device, lab->commands,
             &(norm_args){.x = gpu_view_all(&o->x[run % o->n_copies]),
                          .y = gpu_view_all(&o->y[run % o->n_copies]),
                          .weight = gpu_view_all(&o->weight),
                          .n_rows = o->n_rows,
                          .n_columns = o->n_columns,
                          .ld = ld,
                          .modulation = gpu_view_all(&o->modulation),
                          .mod_stride = 2 * ld,
                          .scale_offset = 0,
                          .shift_offset = ld});
}

static void record_rms(bench_lab *lab, void *self, uint32_t run)
{
    const normalised *o = self;
    ops_rms(lab->device, lab->commands,
            &(rms_args){.x = gpu_view_all(&o->x[run % o->n_copies]),
                        .y = gpu_view_all(&o->y[run % o->n_copies]),
                        .weight = gpu_view_all(&o->weight),
                        .n_rows = o->n_rows,
                        .n_columns = o->n_columns,
                        .ld = weight_pad(o->n_columns),
                        .eps = 1e-5f});
}

static void destroy_norm(void *self)
{
    normalised *o = self;
    if (!o)
        return;
    for (uint32_t i = 0; i < o->n_copies; i++) {
        gpu_buffer_destroy(&o->x[i]);
        gpu_buffer_destroy(&o->y[i]);
    }
    gpu_buffer_destroy(&o->weight);
    gpu_buffer_destroy(&o->modulation);
    free(o);
}

const bench_group bench_norm = {"norm", list_norms, create_norm, record_norm, destroy_norm};
const bench_group bench_rms = {"rms", list_rmses, create_norm, record_rms, destroy_norm};

/* ---- embedding ---------------------------------------------------------------------------------------- */

/* Tables of a model: row-major, or the output layer's weight. k: ids. */
static const struct embed_shape {
    const char *of;
    uint32_t m, n, k;
    vkdlm_dtype dtype;
    bool tied, selected;
} embeds[] = {
    {"mdlm-owt", 768, 1024, 50258, VKDLM_DTYPE_F32, false, true},
    {"mdlm-owt", 768, 1024, 50258, VKDLM_DTYPE_F16, false, false},
    {"mdlm-owt", 768, 1024, 50258, VKDLM_DTYPE_BF16, false, false},
    {"llama-3.2-1b tied", 2048, 256, 128256, VKDLM_DTYPE_Q6_K, true, true},
    {"llama-3.2-1b tied", 2048, 256, 128256, VKDLM_DTYPE_F16, true, false},
    {"llama-3.2-1b tied", 2048, 1, 128256, VKDLM_DTYPE_F16, true, false},
};

typedef struct embedding {
    weight w;
    embed_table table;
    gpu_buffer tokens, x;
    uint32_t n_rows, ld;
} embedding;

static void list_embeds(const bench_group *group, bench_list *list)
{
    for (size_t i = 0; i < sizeof embeds / sizeof *embeds; i++) {
        const struct embed_shape *s = &embeds[i];
        bench_case one = {.group = group,
                          .typed = true,
                          .dtype = s->dtype,
                          .m = s->m,
                          .n = s->n,
                          .k = s->k,
                          .detail = s,
                          .selected = s->selected};
        snprintf(one.of, sizeof one.of, "%s", s->of);
        bench_list_add(list, &one);
    }
}

static vkdlm_status create_embed(bench_lab *lab, const bench_case *one, void **self, bench_cost *cost,
                                 vkdlm_error *err)
{
    const struct embed_shape *s = one->detail;
    uint32_t tokens[1024];
    embedding *e = calloc(1, sizeof *e);
    *self = e;
    if (!e)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for an embedding");
    for (uint32_t i = 0; i < 1024; i++)
        tokens[i] = (uint32_t)(i * 2654435761u % s->k);
    e->n_rows = s->n;
    e->ld = weight_pad(s->m);
    vkdlm_status status = bench_weight(lab, s->dtype, s->k, s->m, &e->w, err);
    if (!status)
        status = bench_buffer(lab, s->n * sizeof *tokens, tokens, sizeof tokens, &e->tokens, err);
    if (!status)
        status = bench_floats(lab, (uint64_t)s->n * e->ld * sizeof(float), &e->x, err);
    /* The row-major table of the same values is no larger than the weight's panels. */
    e->table =
        s->tied ? embed_table_of(&e->w)
                : (embed_table){.buffer = &e->w.buffer, .dtype = s->dtype, .n_rows = s->k, .n_columns = s->m};
    *cost = (bench_cost){.flops = 0,
                         .bytes = s->n * ((double)e->w.bytes / e->w.n_columns + 4.0 * s->m),
                         .variant = s->tied ? "panels" : "rows"};
    return status;
}

static void record_embed(bench_lab *lab, void *self, uint32_t run)
{
    const embedding *e = self;
    (void)run;
    ops_embed(lab->device, lab->commands, &e->table, gpu_view_all(&e->tokens), 1, 0, e->n_rows,
              gpu_view_all(&e->x), e->ld);
}

static void destroy_embed(void *self)
{
    embedding *e = self;
    if (!e)
        return;
    weight_destroy(&e->w);
    gpu_buffer_destroy(&e->tokens);
    gpu_buffer_destroy(&e->x);
    free(e);
}

const bench_group bench_embed = {"embed", list_embeds, create_embed, record_embed, destroy_embed};
