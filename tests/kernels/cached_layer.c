#include "kernels/cached_layer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "ref/ref_attention.h"

static void make_tokens(cached_layer *l, uint32_t sequence, float spread, uint64_t seed)
{
    const attention_shape *shape = &l->shape;
    uint32_t length = l->length[sequence], kv = shape->n_kv_heads * shape->head_dim;
    size_t n = (size_t)length * l->ld;
    float *x = l->qkv[sequence] = gpu_test_alloc(n * sizeof *x);
    gpu_test_random(x, n, seed + sequence, -1, 1);
    for (uint32_t r = 0; r < length; r++)
        for (uint32_t c = 0; c < l->ld; c++)
            if (c < l->columns.v || c >= l->columns.v + kv)
                x[(size_t)r * l->ld + c] *= spread;
}

cached_layer cached_layer_create(gpu_test *test, const attention_shape *shape, enum kv_type type,
                                 uint32_t context, const uint32_t *length, uint32_t n_sequences, float spread,
                                 uint64_t seed)
{
    cached_layer l = {.test = test, .shape = *shape, .n_sequences = n_sequences, .length = length};
    vkdlm_error err;
    gpu_test_ok(cached_attention_init(&l.op, test->device, shape, type, &err), &err);
    gpu_test_ok(
        kv_cache_create(test->device, shape, type, CACHED_LAYER + 1, n_sequences, context, &l.cache, &err),
        &err);
    gpu_test_ok(rotary_table_create(test->device, l.cache.context, shape->head_dim, CACHED_BASE, NULL,
                                    &l.table, &err),
                &err);
    /* Columns in an order of their own, with something in front. */
    uint32_t kv = shape->n_kv_heads * shape->head_dim;
    l.width = shape->n_heads * shape->head_dim;
    l.columns = (qkv_columns){.v = 3, .q = 3 + kv, .k = 3 + kv + l.width};
    l.ld = (uint32_t)size_round_up(3 + l.width + 2 * kv, 32);
    l.ld_out = (uint32_t)size_round_up(l.width + 1, 32);
    float ***arrays[] = {&l.qkv, &l.output, &l.keys, &l.values};
    for (uint32_t i = 0; i < 4; i++)
        *arrays[i] = gpu_test_alloc(n_sequences * sizeof **arrays[i]);
    for (uint32_t s = 0; s < n_sequences; s++) {
        make_tokens(&l, s, spread, seed);
        l.output[s] = gpu_test_alloc((size_t)length[s] * l.ld_out * sizeof(float));
        l.keys[s] = gpu_test_alloc((size_t)length[s] * kv * sizeof(float));
        l.values[s] = gpu_test_alloc((size_t)length[s] * kv * sizeof(float));
    }
    cached_layer_reset(&l);
    return l;
}

void cached_layer_destroy(cached_layer *l)
{
    for (uint32_t s = 0; s < l->n_sequences; s++) {
        free(l->qkv[s]);
        free(l->output[s]);
        free(l->keys[s]);
        free(l->values[s]);
    }
    free(l->qkv);
    free(l->output);
    free(l->keys);
    free(l->values);
    rotary_table_destroy(&l->table);
    kv_cache_destroy(&l->cache);
    *l = (cached_layer){0};
}

void cached_layer_reset(cached_layer *l)
{
    gpu_commands *c = gpu_test_begin(l->test);
    for (uint32_t i = 0; i < l->cache.n_layers; i++)
        gpu_fill(c, &l->cache.layers[i], 0, l->cache.layers[i].size_bytes, 0);
    gpu_test_submit(l->test);
    for (uint32_t s = 0; s < l->n_sequences; s++)
        for (size_t i = 0; i < (size_t)l->length[s] * l->ld_out; i++)
            l->output[s][i] = NAN;
}

/* ---- running ------------------------------------------------------------------------------------- */

/* Rows of chunks one after another, with rows of NaN between them. */
#define GAP_ROWS 2u

void cached_layer_chunks(cached_layer *l, const chunk *chunks, uint32_t n, bool attend)
{
    uint32_t n_rows = GAP_ROWS, n_tokens = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_rows += chunks[i].length + GAP_ROWS;
        n_tokens += chunks[i].length;
    }
    uint32_t reserved = cached_attention_capacity(n_tokens, n);
    assert_in_range(reserved, 64, cached_attention_max_capacity(&l->op));
    uint32_t *index = gpu_test_alloc(attention_index_bytes(reserved));
    float *rows = gpu_test_alloc((size_t)n_rows * l->ld * sizeof *rows);
    for (size_t i = 0; i < (size_t)n_rows * l->ld; i++)
        rows[i] = NAN;
    attention_plan plan;
    cached_attention_begin_plan(&l->op, &l->cache, &plan, index, reserved);
    uint32_t row = GAP_ROWS;
    for (uint32_t i = 0; i < n; row += chunks[i++].length + GAP_ROWS) {
        const chunk *c = &chunks[i];
        cached_attention_add(&l->cache, &plan, c->sequence, c->first, row, c->length);
        memcpy(rows + (size_t)row * l->ld, l->qkv[c->sequence] + (size_t)c->first * l->ld,
               (size_t)c->length * l->ld * sizeof *rows);
    }
    attention_plan_end(&plan);

    gpu_buffer index_buffer = gpu_test_buffer(l->test, index, attention_index_bytes(reserved));
    gpu_buffer qkv = gpu_test_buffer(l->test, rows, (size_t)n_rows * l->ld * sizeof *rows);
    gpu_buffer work = gpu_test_buffer(l->test, NULL, cached_attention_workspace_bytes(&l->shape, reserved));
    size_t output_bytes = (size_t)n_rows * l->ld_out * sizeof(float);
    gpu_buffer output = gpu_test_buffer(l->test, NULL, output_bytes);
    gpu_commands *commands = gpu_test_begin(l->test);
    gpu_view workspace = attend ? gpu_view_all(&work) : (gpu_view){0};
    cached_attention_write(commands, &l->op, &l->table, &l->cache, CACHED_LAYER, &plan, gpu_view_all(&qkv),
                           l->ld, l->columns, gpu_view_all(&index_buffer), workspace);
    if (attend)
        cached_attention_tiles(commands, &l->op, &l->cache, CACHED_LAYER, &plan, gpu_view_all(&index_buffer),
                               workspace, gpu_view_all(&output), l->ld_out);
    l->n_dispatches = gpu_commands_dispatches(commands);
    gpu_test_submit(l->test);

    float *found = gpu_test_alloc(output_bytes);
    gpu_test_read(l->test, &output, found, output_bytes);
    row = 0;
    for (uint32_t i = 0; attend && i <= n; i++) {
        for (size_t j = (size_t)row * l->ld_out; j < (size_t)(row + GAP_ROWS) * l->ld_out; j++)
            if (!isnan(found[j]))
                fail_msg("a row of no sequence was written");
        row += GAP_ROWS;
        if (i < n) {
            memcpy(l->output[chunks[i].sequence] + (size_t)chunks[i].first * l->ld_out,
                   found + (size_t)row * l->ld_out, (size_t)chunks[i].length * l->ld_out * sizeof *found);
            row += chunks[i].length;
        }
    }
    free(found);
    free(rows);
    free(index);
    gpu_buffer_destroy(&index_buffer);
    gpu_buffer_destroy(&qkv);
    gpu_buffer_destroy(&work);
    gpu_buffer_destroy(&output);
}

void cached_layer_prefill(cached_layer *l, bool attend)
{
    chunk *all = gpu_test_alloc(l->n_sequences * sizeof *all);
    for (uint32_t s = 0; s < l->n_sequences; s++)
        all[s] = (chunk){s, 0, l->length[s]};
    cached_layer_chunks(l, all, l->n_sequences, attend);
    free(all);
}

void cached_layer_rows(cached_layer *l, const place *places, uint32_t n)
{
    /* The queries alone, at another column than in qkv. */
    uint32_t column = 5, ldq = column + l->width;
    float *queries = gpu_test_alloc((size_t)n * ldq * sizeof *queries);
    for (uint32_t r = 0; r < n; r++) {
        for (uint32_t c = 0; c < column; c++)
            queries[(size_t)r * ldq + c] = NAN;
        memcpy(queries + (size_t)r * ldq + column,
               l->qkv[places[r].sequence] + (size_t)places[r].position * l->ld + l->columns.q,
               l->width * sizeof *queries);
    }
    gpu_buffer q = gpu_test_buffer(l->test, queries, (size_t)n * ldq * sizeof *queries);
    gpu_buffer rows = gpu_test_buffer(l->test, places, n * sizeof *places);
    size_t output_bytes = (size_t)(n + 1) * l->ld_out * sizeof(float);
    gpu_buffer output = gpu_test_buffer(l->test, NULL, output_bytes);
    gpu_commands *commands = gpu_test_begin(l->test);
    cached_attention_rows(commands, &l->op, &l->table, &l->cache, CACHED_LAYER, gpu_view_all(&q), ldq, column,
                          gpu_view_all(&rows), n, gpu_view_all(&output), l->ld_out);
    l->n_dispatches = gpu_commands_dispatches(commands);
    gpu_test_submit(l->test);

    float *found = gpu_test_alloc(output_bytes);
    gpu_test_read(l->test, &output, found, output_bytes);
    for (uint32_t c = 0; c < l->ld_out; c++)
        assert_true(isnan(found[(size_t)n * l->ld_out + c]));
    for (uint32_t r = 0; r < n; r++)
        memcpy(l->output[places[r].sequence] + (size_t)places[r].position * l->ld_out,
               found + (size_t)r * l->ld_out, l->ld_out * sizeof *found);
    free(found);
    free(queries);
    gpu_buffer_destroy(&q);
    gpu_buffer_destroy(&rows);
    gpu_buffer_destroy(&output);
}

/* ---- checking ------------------------------------------------------------------------------------ */

/* Element (half: keys then values; head; slot; d) of a layer as it was read. */
static float cache_element(const cached_layer *l, const void *bytes, uint32_t head, uint32_t slot, uint32_t d)
{
    uint32_t n_slots = l->cache.n_sequences * l->cache.context;
    size_t at = (((size_t)head * n_slots + slot) / 4 * l->shape.head_dim + d) * 4 + slot % 4;
    return l->cache.type == KV_F16 ? f32_from_f16(((const uint16_t *)bytes)[at]) : ((const float *)bytes)[at];
}

/* What the cache should hold of a key or value x, and how far it may be off: f32 as in test_rotary.c; halves
 * are rounded to nearest, on a grid of 2^-24 at least. Copies into f32 are exact. */
static void check_element(const cached_layer *l, double x, double absolute, float found)
{
    double tolerance = absolute;
    if (l->cache.type == KV_F16) {
        x = fmin(fmax(x, -65504), 65504);
        tolerance += fmax(fabs(x) * 0x1p-11, 0x1p-25);
    }
    if (!(fabs((double)found - x) <= tolerance))
        fail_msg("the cache holds %.9g where %.9g is expected", (double)found, x);
}

static void check_token(cached_layer *l, const void *bytes, uint32_t sequence, uint32_t position)
{
    uint32_t dim = l->shape.head_dim, n_kv = l->shape.n_kv_heads,
             slot = sequence * l->cache.context + position;
    const float *token = l->qkv[sequence] + (size_t)position * l->ld;
    double *key = gpu_test_alloc(dim * sizeof *key);
    for (uint32_t h = 0; h < n_kv; h++) {
        double size = 0;
        for (uint32_t d = 0; d < dim; d++) {
            key[d] = (double)token[l->columns.k + h * dim + d];
            size = fmax(size, fabs(key[d]));
        }
        ref_rotary(key, dim, position, CACHED_BASE);
        for (uint32_t d = 0; d < dim; d++) {
            size_t at = ((size_t)position * n_kv + h) * dim + d;
            l->keys[sequence][at] = cache_element(l, bytes, h, slot, d);
            l->values[sequence][at] = cache_element(l, bytes, n_kv + h, slot, d);
            check_element(l, key[d], size * 4 * 0x1p-24, l->keys[sequence][at]);
            check_element(l, (double)token[l->columns.v + h * dim + d], 0, l->values[sequence][at]);
        }
    }
    free(key);
}

void cached_layer_check_cache(cached_layer *l)
{
    const gpu_buffer *buffer = &l->cache.layers[CACHED_LAYER];
    void *bytes = gpu_test_alloc(buffer->size_bytes);
    gpu_test_read(l->test, buffer, bytes, buffer->size_bytes);
    for (uint32_t s = 0; s < l->n_sequences; s++) {
        for (uint32_t p = 0; p < l->length[s]; p++)
            check_token(l, bytes, s, p);
        for (uint32_t p = l->length[s]; p < l->cache.context; p++)
            for (uint32_t h = 0; h < 2 * l->shape.n_kv_heads; h++)
                for (uint32_t d = 0; d < l->shape.head_dim; d++)
                    assert_true(cache_element(l, bytes, h, s * l->cache.context + p, d) == 0);
    }
    gpu_test_read(l->test, &l->cache.layers[0], bytes, buffer->size_bytes);
    for (size_t i = 0; i < buffer->size_bytes; i++)
        assert_int_equal(((const uint8_t *)bytes)[i], 0);
    free(bytes);
}

void cached_layer_check_row(const cached_layer *l, uint32_t sequence, uint32_t position)
{
    ref_attention_shape shape = {l->shape.n_heads, l->shape.n_kv_heads, l->shape.head_dim, CACHED_BASE, true};
    double *expected = gpu_test_alloc(l->width * sizeof *expected), largest = 0;
    double score = ref_attention_row(&shape, l->qkv[sequence] + (size_t)position * l->ld + l->columns.q,
                                     position, l->keys[sequence], l->values[sequence], expected);
    for (uint32_t i = 0; i < l->width; i++)
        largest = fmax(largest, fabs(expected[i]));
    /* As in attention_layer.c: a score of magnitude s carries a rounding error of a few 2^-24 s. */
    double tolerance = largest * (1e-5 + 8 * 0x1p-24 * score);
    char what[160];
    snprintf(what, sizeof what, "%u heads (%u) of %u, cache %d, sequence %u, position %u", shape.n_heads,
             shape.n_kv_heads, shape.dim, (int)l->cache.type, sequence, position);
    gpu_test_compare_rows(what, expected, l->output[sequence] + (size_t)position * l->ld_out, 1, l->width,
                          l->ld_out, tolerance, 0);
    free(expected);
}

void cached_layer_check_rows(const cached_layer *l)
{
    for (uint32_t s = 0; s < l->n_sequences; s++)
        for (uint32_t p = 0; p < l->length[s]; p++)
            cached_layer_check_row(l, s, p);
}

float *cached_layer_outputs(const cached_layer *l)
{
    size_t n = 0, at = 0;
    for (uint32_t s = 0; s < l->n_sequences; s++)
        n += (size_t)l->length[s] * l->ld_out;
    float *all = gpu_test_alloc(n * sizeof *all);
    for (uint32_t s = 0; s < l->n_sequences; s++) {
        memcpy(all + at, l->output[s], (size_t)l->length[s] * l->ld_out * sizeof *all);
        at += (size_t)l->length[s] * l->ld_out;
    }
    return all;
}

void cached_layer_expect(const cached_layer *l, const float *outputs, const char *what)
{
    float *found = cached_layer_outputs(l);
    size_t at = 0;
    for (uint32_t s = 0; s < l->n_sequences; s++)
        for (uint32_t p = 0; p < l->length[s]; p++, at += l->ld_out)
            if (memcmp(found + at, outputs + at, l->ld_out * sizeof *found) != 0)
                fail_msg("%s: other bits for position %u of sequence %u", what, p, s);
    free(found);
}
