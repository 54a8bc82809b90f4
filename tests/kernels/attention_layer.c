#include "kernels/attention_layer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "ref/ref_attention.h"

static void make_values(layer *l, float spread, uint64_t seed)
{
    uint32_t dim = l->shape.head_dim, kv = l->shape.n_kv_heads * dim;
    uint32_t rotated = l->shape.n_heads * dim + kv, columns = rotated + kv;
    size_t n = (size_t)l->row_capacity * l->ld;
    float *values = gpu_test_alloc((size_t)l->n_rows * columns * sizeof *values);
    gpu_test_random(values, (size_t)l->n_rows * columns, seed, -1, 1);
    for (size_t i = 0; i < n; i++)
        l->qkv[i] = i < (size_t)l->n_rows * l->ld ? 0 : NAN;
    for (uint32_t r = 0; r < l->n_rows; r++)
        for (uint32_t c = 0; c < columns; c++)
            l->qkv[(size_t)r * l->ld + c] = values[(size_t)r * columns + c] * (c < rotated ? spread : 1);
    free(values);
}

layer layer_create(gpu_test *test, const attention_shape *shape, const attention_variant *variant,
                   const uint32_t *lengths, uint32_t n_sequences, float spread, uint64_t seed)
{
    layer l = {.test = test, .shape = *shape, .n_sequences = n_sequences};
    vkdlm_error err;
    gpu_test_ok(attention_init(&l.op, test->device, shape, variant, &err), &err);
    l.start = gpu_test_alloc(n_sequences * sizeof *l.start);
    l.length = gpu_test_alloc(n_sequences * sizeof *l.length);
    for (uint32_t i = 0; i < n_sequences; i++) {
        l.start[i] = l.n_rows;
        l.length[i] = lengths[i];
        l.n_rows += lengths[i];
    }
    l.row_capacity = (uint32_t)size_round_up(l.n_rows + 1, LAYER_MAX_ROWS);
    l.width = shape->n_heads * shape->head_dim;
    l.ld = (uint32_t)size_round_up(l.width + 2 * shape->n_kv_heads * shape->head_dim, 32);
    l.ld_out = (uint32_t)size_round_up(l.width, 32);
    l.qkv = gpu_test_alloc((size_t)l.row_capacity * l.ld * sizeof *l.qkv);
    make_values(&l, spread, seed);

    uint32_t reserved = attention_capacity(l.n_rows, n_sequences);
    assert_in_range(reserved, 64, attention_max_capacity(&l.op));
    uint32_t *index = gpu_test_alloc(attention_index_bytes(reserved));
    attention_begin_plan(&l.op, &l.plan, index, reserved);
    for (uint32_t i = 0; i < n_sequences; i++)
        attention_plan_add(&l.plan, l.start[i], l.length[i]);
    attention_plan_end(&l.plan);
    l.index = gpu_test_buffer(test, index, attention_index_bytes(reserved));
    free(index);
    /* NaN where the rotary kernel does not write. */
    l.workspace = gpu_test_buffer(test, NULL, attention_workspace_bytes(shape, reserved));
    gpu_test_ok(rotary_table_create(test->device, l.plan.max_length, shape->head_dim, LAYER_BASE, NULL,
                                    &l.table, &err),
                &err);
    return l;
}

void layer_destroy(layer *l)
{
    gpu_buffer_destroy(&l->qkv_buffer);
    gpu_buffer_destroy(&l->index);
    gpu_buffer_destroy(&l->workspace);
    gpu_buffer_destroy(&l->output);
    rotary_table_destroy(&l->table);
    free(l->start);
    free(l->length);
    free(l->qkv);
    *l = (layer){0};
}

void layer_run(layer *l, bool attend)
{
    gpu_buffer_destroy(&l->qkv_buffer);
    gpu_buffer_destroy(&l->output);
    l->qkv_buffer = gpu_test_buffer(l->test, l->qkv, (size_t)l->row_capacity * l->ld * sizeof(float));
    l->output = gpu_test_buffer(l->test, NULL, (size_t)l->row_capacity * l->ld_out * sizeof(float));
    gpu_commands *c = gpu_test_begin(l->test);
    gpu_view index = gpu_view_all(&l->index), workspace = gpu_view_all(&l->workspace);
    rotary_record(c, &l->op, &l->table, &l->plan, gpu_view_all(&l->qkv_buffer), l->ld, index, workspace);
    if (attend)
        attention_record(c, &l->op, &l->plan, index, workspace, gpu_view_all(&l->output), l->ld_out);
    l->n_dispatches = gpu_commands_dispatches(c);
    gpu_test_submit(l->test);
}

float *layer_output(const layer *l)
{
    size_t n_bytes = (size_t)l->row_capacity * l->ld_out * sizeof(float);
    float *out = gpu_test_alloc(n_bytes);
    gpu_test_read(l->test, &l->output, out, n_bytes);
    return out;
}

static void check_rows(const layer *l, const float *found, uint32_t sequence, uint32_t first, uint32_t n)
{
    ref_attention_shape shape = {l->shape.n_heads, l->shape.n_kv_heads, l->shape.head_dim, LAYER_BASE,
                                 l->shape.causal};
    const float *qkv = l->qkv + (size_t)l->start[sequence] * l->ld;
    double *expected = gpu_test_alloc((size_t)n * l->width * sizeof *expected), largest = 0;
    double score = ref_attention(&shape, qkv, l->ld, l->length[sequence], first, n, expected);
    for (size_t i = 0; i < (size_t)n * l->width; i++)
        largest = fmax(largest, fabs(expected[i]));
    /* A score of magnitude s carries a rounding error of a few 2^-24 s (the terms of its sum are not larger
     * than twice s for these inputs), which is a relative error of every weight. */
    double tolerance = largest * (1e-5 + 8 * 0x1p-24 * score);
    char what[160];
    snprintf(what, sizeof what, "%s, %u heads (%u) of %u, sequence %u of length %u from query %u",
             gpu_kernel_name(l->op.variant.kernel), l->shape.n_heads, l->shape.n_kv_heads, l->shape.head_dim,
             sequence, l->length[sequence], first);
    gpu_test_compare_rows(what, expected, found + (size_t)(l->start[sequence] + first) * l->ld_out, n,
                          l->width, l->ld_out, tolerance, 0);
    free(expected);
}

void layer_check(layer *l, uint32_t rows)
{
    layer_run(l, true);
    float *found = layer_output(l);
    for (uint32_t i = 0; i < l->n_sequences; i++) {
        uint32_t n = u32_min(rows, l->length[i]);
        check_rows(l, found, i, 0, n);
        if (n < l->length[i])
            check_rows(l, found, i, l->length[i] - n, n);
    }
    for (size_t i = (size_t)l->n_rows * l->ld_out; i < (size_t)l->row_capacity * l->ld_out; i++)
        if (!isnan(found[i]))
            fail_msg("a row of no sequence was written");
    free(found);
}
