/* Quantised weights on the device: what blocks mean, and every kernel that reads them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "environment.h"
#include "format/quant.h"
#include "gpu_test.h"
#include "ops/embed.h"
#include "ops/matmul.h"
#include "ops/output.h"
#include "ops/weight_blocks.h"
#include "ref/ref_matmul.h"

static const vkdlm_dtype dtypes[] = {
    VKDLM_DTYPE_Q8_0, VKDLM_DTYPE_Q4_0, VKDLM_DTYPE_Q4_1,   VKDLM_DTYPE_Q5_0,
    VKDLM_DTYPE_Q5_1, VKDLM_DTYPE_Q2_K, VKDLM_DTYPE_Q3_K,   VKDLM_DTYPE_Q4_K,
    VKDLM_DTYPE_Q5_K, VKDLM_DTYPE_Q6_K, VKDLM_DTYPE_IQ4_NL,
};
enum {
    N_DTYPES = sizeof dtypes / sizeof *dtypes,
    GOLDEN_ROWS = 16,
    RANDOM_ROWS = 8,
    ALL_ROWS = GOLDEN_ROWS + RANDOM_ROWS,
    GOLDEN_COLUMNS = 512,
};

/* ---- matrices ------------------------------------------------------------------------------------- */

/* A golden file: quantised rows of many kinds, and blocks of random bits. */
typedef struct golden {
    vkdlm_tensors *file;
    vkdlm_tensor parts[2];
    const float *values[2];
} golden;

static golden golden_open(vkdlm_dtype dtype)
{
    golden g = {0};
    char path[512];
    vkdlm_error err;
    snprintf(path, sizeof path, TESTS_DIR "/golden/quant/%s.safetensors", vkdlm_dtype_name(dtype));
    gpu_test_ok(vkdlm_tensors_open(path, &g.file, &err), &err);
    static const char *const names[2][2] = {{"blocks", "values"}, {"random_blocks", "random_values"}};
    for (int i = 0; i < 2; i++) {
        const vkdlm_tensor *blocks = vkdlm_tensors_find(g.file, names[i][0]),
                           *values = vkdlm_tensors_find(g.file, names[i][1]);
        assert_true(blocks && values);
        assert_int_equal(values->shape[1], GOLDEN_COLUMNS);
        assert_int_equal(values->shape[0], i == 0 ? GOLDEN_ROWS : RANDOM_ROWS);
        g.parts[i] = *blocks;
        g.parts[i].dtype = dtype;
        g.parts[i].shape[1] = GOLDEN_COLUMNS;
        g.values[i] = values->data;
    }
    return g;
}

/* A matrix [n_columns, depth]: blocks, the values they stand for, and the same as doubles. */
typedef struct matrix {
    vkdlm_tensor tensor;
    unsigned char *blocks; /* at an odd address */
    float *values;
    double *exact;
} matrix;

static vkdlm_tensor tensor_of(vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth, const void *data)
{
    return (vkdlm_tensor){.name = "w",
                          .file = "test",
                          .dtype = dtype,
                          .n_dims = 2,
                          .shape = {n_columns, depth},
                          .n_elements = (uint64_t)n_columns * depth,
                          .data = data};
}

/* Blocks of the golden file's rows in another order. */
static matrix matrix_create(vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth, uint32_t seed)
{
    golden g = golden_open(dtype);
    uint32_t block_bytes, length = vkdlm_dtype_block(dtype, &block_bytes);
    size_t n = (size_t)n_columns * depth;
    uint32_t n_known = GOLDEN_ROWS * GOLDEN_COLUMNS / length;
    matrix m = {.blocks = gpu_test_alloc(n / length * block_bytes + 1),
                .values = gpu_test_alloc(n * sizeof *m.values),
                .exact = gpu_test_alloc(n * sizeof *m.exact)};
    for (size_t i = 0; i < n / length; i++) {
        seed = seed * 1664525u + 1013904223u;
        memcpy(m.blocks + 1 + i * block_bytes,
               (const char *)g.parts[0].data + (seed >> 8) % n_known * block_bytes, block_bytes);
    }
    vkdlm_tensors_close(g.file);
    quant_dequantize_row(dtype, m.blocks + 1, n, m.values);
    for (size_t i = 0; i < n; i++)
        m.exact[i] = (double)m.values[i];
    m.tensor = tensor_of(dtype, n_columns, depth, m.blocks + 1);
    return m;
}

static void matrix_destroy(matrix *m)
{
    free(m->blocks);
    free(m->values);
    free(m->exact);
}

static weight upload(gpu_test *t, const weight_source *source, uint64_t staging_bytes)
{
    vkdlm_error err;
    weight w;
    gpu_upload *ring;
    gpu_test_ok(gpu_upload_create(t->device, staging_bytes, &ring, &err), &err);
    gpu_test_ok(weight_upload_source(t->device, ring, source, &w, &err), &err);
    gpu_test_ok(gpu_upload_flush(ring, &err), &err);
    gpu_upload_destroy(ring);
    return w;
}

static weight upload_tensor(gpu_test *t, const vkdlm_tensor *tensor)
{
    weight_part part = {.tensor = tensor};
    return upload(t, &(weight_source){.parts = &part, .n_parts = 1, .name = "w"}, 1 << 20);
}

static bool usable(const gpu_test *t, size_t shape)
{
    return matmul_shape_usable(gpu_device_caps(t->device), &matmul_shapes[shape]);
}

/* ---- products ------------------------------------------------------------------------------------- */

/* Rows of x on the device, NaN past n_rows, and room for those of y. */
typedef struct rows {
    uint32_t n_rows, ldx;
    float *x;
    gpu_buffer b_x, b_y;
} rows;

static rows rows_create(gpu_test *t, uint32_t n_rows, uint32_t depth, uint32_t n_columns, bool identity)
{
    rows r = {.n_rows = n_rows, .ldx = weight_pad(depth)};
    size_t capacity = size_round_up(n_rows, 64), n = capacity * r.ldx;
    r.x = gpu_test_alloc(n * sizeof *r.x);
    gpu_test_random(r.x, n, n_rows * 31u + depth, -1, 1);
    for (size_t i = 0; i < n; i++)
        if (i / r.ldx >= n_rows)
            r.x[i] = NAN;
        else if (identity)
            r.x[i] = i / r.ldx == i % r.ldx ? 1 : 0;
    r.b_x = gpu_test_buffer(t, r.x, n * sizeof *r.x);
    r.b_y = gpu_test_buffer(t, NULL, capacity * weight_pad(n_columns) * sizeof(float));
    return r;
}

static void rows_destroy(rows *r)
{
    gpu_buffer_destroy(&r->b_x);
    gpu_buffer_destroy(&r->b_y);
    free(r->x);
}

/* y of the first n_rows rows; shape NULL: the default. */
static void run(gpu_test *t, const weight *w, const rows *r, uint32_t n_rows, const matmul_shape *shape,
                float *y)
{
    uint32_t ldy = weight_pad(w->n_columns);
    matmul_args args = {.w = w,
                        .x = gpu_view_all(&r->b_x),
                        .y = gpu_view_all(&r->b_y),
                        .ldx = r->ldx,
                        .ldy = ldy,
                        .n_rows = n_rows};
    gpu_commands *commands = gpu_test_begin(t);
    gpu_fill(commands, &r->b_y, 0, r->b_y.size_bytes, 0x7FC00000u);
    if (shape)
        ops_matmul_shape(t->device, commands, &args, shape);
    else
        ops_matmul(t->device, commands, &args);
    gpu_test_submit(t);
    gpu_test_read(t, &r->b_y, y, (size_t)n_rows * ldy * sizeof *y);
}

/* Whether the shape is tried with type d: every type with the three ways to read weights (a pair of units
 * from texels or from a buffer, one unit), each of the other shapes, which read in the same ways, with two
 * types. Where tests are quick: every type with one of the ways, each of the other shapes with one type. */
static bool chosen(const gpu_test *t, size_t shape, size_t d)
{
    const matmul_shape *s = &matmul_shapes[shape];
    bool reader = s->family == MATMUL_PLAIN_1 ||
                  (s->rows == 2 && (s->family == MATMUL_TEXELS || s->family == MATMUL_SUBGROUP));
    size_t way = s->family == MATMUL_TEXELS ? 0 : s->family == MATMUL_SUBGROUP ? 1 : 2;
    if (!usable(t, shape))
        return false;
    if (environment_is_quick())
        return reader ? (way + d) % 3 == 0 : (shape + d) % N_DTYPES == 0;
    return reader || (shape + d) % 5 == 0;
}

/* The identity times both tensors of the golden file, side by side: their values. (The sign of a zero is lost
 * in the sum; the embedding keeps it.) */
static void test_golden_products(void **state)
{
    gpu_test *t = *state;
    for (size_t d = 0; d < N_DTYPES; d++) {
        golden g = golden_open(dtypes[d]);
        const weight_part parts[] = {{.tensor = &g.parts[0]}, {.tensor = &g.parts[1]}};
        weight w =
            upload(t, &(weight_source){.parts = parts, .n_parts = 2, .column_step = 4, .name = "w"}, 1 << 20);
        rows r = rows_create(t, GOLDEN_COLUMNS, GOLDEN_COLUMNS, ALL_ROWS, true);
        float *y = gpu_test_alloc(r.b_y.size_bytes);
        for (size_t s = 0; s < MATMUL_N_SHAPES; s++) {
            if (!chosen(t, s, d))
                continue;
            run(t, &w, &r, GOLDEN_COLUMNS, &matmul_shapes[s], y);
            for (uint32_t k = 0; k < GOLDEN_COLUMNS; k++)
                for (uint32_t n = 0; n < 32; n++) {
                    float expected = n < GOLDEN_ROWS ? g.values[0][n * GOLDEN_COLUMNS + k]
                                     : n < ALL_ROWS  ? g.values[1][(n - GOLDEN_ROWS) * GOLDEN_COLUMNS + k]
                                                     : 0;
                    if (!(y[k * 32 + n] == expected))
                        fail_msg("%s, %s: element %u of row %u is %.9g, expected %.9g", matmul_shapes[s].name,
                                 vkdlm_dtype_name(dtypes[d]), k, n, (double)y[k * 32 + n], (double)expected);
                }
        }
        free(y);
        rows_destroy(&r);
        weight_destroy(&w);
        vkdlm_tensors_close(g.file);
    }
}

/* A chain of K multiply-adds, each with at most two roundings of u = 2^-24, is off by at most 2 K u sum |x
 * w|. */
static void check_rows(const rows *r, const matrix *m, const float *y, const char *what)
{
    uint32_t n_columns = (uint32_t)m->tensor.shape[0], depth = (uint32_t)m->tensor.shape[1];
    size_t n = (size_t)r->n_rows * n_columns;
    double *expected = gpu_test_alloc(2 * n * sizeof *expected), *bound = expected + n;
    ref_matmul(r->x, r->ldx, m->exact, NULL, r->n_rows, n_columns, depth, expected, bound);
    for (uint32_t row = 0; row < r->n_rows; row++)
        for (uint32_t c = 0; c < weight_pad(n_columns); c++) {
            size_t i = (size_t)row * n_columns + c;
            double found = (double)y[(size_t)row * weight_pad(n_columns) + c],
                   exact = c < n_columns ? expected[i] : 0;
            if (!(fabs(found - exact) <= (c < n_columns ? 2 * depth * 0x1p-24 * bound[i] : 0)))
                fail_msg("%s, %s, %u x %u x %u: [%u, %u] is %.9g, expected %.9g", what,
                         vkdlm_dtype_name(m->tensor.dtype), r->n_rows, n_columns, depth, row, c, found,
                         exact);
        }
    free(expected);
}

/* Any number of rows and columns, K of one block or three; and the same bits from fewer rows, from every
 * shape, and from a weight of f32 with the same values. */
static void test_products(void **state)
{
    static const uint32_t counts[] = {1, 2, 8};
    gpu_test *t = *state;
    for (size_t d = 0; d < N_DTYPES; d++)
        for (uint32_t blocks = 1; blocks <= 3; blocks += 2) {
            uint32_t n_columns = blocks == 1 ? 33 : 70, depth = blocks * weight_blocks_length(dtypes[d]);
            matrix m = matrix_create(dtypes[d], n_columns, depth, (uint32_t)d * 7 + blocks);
            vkdlm_tensor wide = tensor_of(VKDLM_DTYPE_F32, n_columns, depth, m.values);
            weight w = upload_tensor(t, &m.tensor), w_wide = upload_tensor(t, &wide);
            rows r = rows_create(t, 33, depth, n_columns, false);
            float *all = gpu_test_alloc(r.b_y.size_bytes), *some = gpu_test_alloc(r.b_y.size_bytes);
            size_t row_bytes = weight_pad(n_columns) * sizeof(float);
            run(t, &w, &r, 33, NULL, all);
            check_rows(&r, &m, all, "default");
            run(t, &w_wide, &r, 33, NULL, some);
            assert_memory_equal(some, all, 33 * row_bytes);
            for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
                run(t, &w, &r, counts[i], NULL, some);
                assert_memory_equal(some, all, counts[i] * row_bytes);
            }
            for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
                if (chosen(t, s, d)) {
                    run(t, &w, &r, 33, &matmul_shapes[s], some);
                    if (memcmp(some, all, 33 * row_bytes) != 0)
                        fail_msg("%s, %s: not the bits of the default", matmul_shapes[s].name,
                                 vkdlm_dtype_name(dtypes[d]));
                }
            free(all);
            free(some);
            rows_destroy(&r);
            weight_destroy(&w);
            weight_destroy(&w_wide);
            matrix_destroy(&m);
        }
}

/* Gate and up side by side, and the sum that goes on over a low-rank adaptation: the bits of f32 weights. */
static void test_pairs_and_adaptation(void **state)
{
    enum { HALF = 45, RANK = 8, N_ROWS = 5 };
    gpu_test *t = *state;
    uint32_t padded = 2 * weight_pad(HALF);
    float *b_values = gpu_test_alloc(padded * RANK * sizeof *b_values);
    gpu_test_random(b_values, (size_t)padded * RANK, 5, -1, 1);
    vkdlm_tensor b_tensor = tensor_of(VKDLM_DTYPE_F32, padded, RANK, b_values);
    weight b = upload_tensor(t, &b_tensor);
    rows z = rows_create(t, N_ROWS, 32, 1, false);
    for (uint32_t i = 0; i < N_ROWS * 32u; i++)
        z.x[i] = i % 32 < RANK ? z.x[i] : 0;
    gpu_buffer b_z = gpu_test_buffer(t, z.x, z.b_x.size_bytes);
    for (size_t d = 0; d < N_DTYPES; d += 3) {
        matrix m = matrix_create(dtypes[d], 2 * HALF, 256, 3);
        vkdlm_tensor wide = tensor_of(VKDLM_DTYPE_F32, 2 * HALF, 256, m.values);
        weight w[2];
        for (int i = 0; i < 2; i++) {
            const vkdlm_tensor *tensor = i == 0 ? &m.tensor : &wide;
            const weight_part halves[] = {{.tensor = tensor, .n_columns = HALF},
                                          {.tensor = tensor, .first = HALF, .n_columns = HALF}};
            w[i] = upload(
                t, &(weight_source){.parts = halves, .n_parts = 2, .layout = WEIGHT_PAIRED, .name = "w"},
                1 << 20);
        }
        rows r = rows_create(t, N_ROWS, 256, HALF, false);
        for (size_t s = 0; s < MATMUL_N_SHAPES; s++) {
            if (!chosen(t, s, d))
                continue;
            float y[2][N_ROWS * 64];
            for (int i = 0; i < 2; i++) {
                matmul_args args = {.w = &w[i],
                                    .x = gpu_view_all(&r.b_x),
                                    .y = gpu_view_all(&r.b_y),
                                    .ldx = 256,
                                    .ldy = 64,
                                    .n_rows = N_ROWS,
                                    .activation = MATMUL_SWIGLU,
                                    .lora_b = &b,
                                    .lora_z = gpu_view_all(&b_z),
                                    .ldz = 32};
                gpu_commands *commands = gpu_test_begin(t);
                gpu_fill(commands, &r.b_y, 0, r.b_y.size_bytes, 0x7FC00000u);
                ops_matmul_shape(t->device, commands, &args, &matmul_shapes[s]);
                gpu_test_submit(t);
                gpu_test_read(t, &r.b_y, y[i], sizeof y[i]);
            }
            for (uint32_t i = 0; i < N_ROWS * 64; i++)
                if (i % 64 < HALF)
                    assert_true(isfinite(y[1][i]));
            assert_memory_equal(y[0], y[1], sizeof y[0]);
        }
        rows_destroy(&r);
        weight_destroy(&w[0]);
        weight_destroy(&w[1]);
        matrix_destroy(&m);
    }
    gpu_buffer_destroy(&b_z);
    rows_destroy(&z);
    weight_destroy(&b);
    free(b_values);
}

/* ---- embedding and output layer ------------------------------------------------------------------- */

/* Gathers rows first .. first+n_rows-1 of a tied table, and compares bits. */
static void check_gather(gpu_test *t, const weight *w, const float *values, uint32_t first, uint32_t n_rows,
                         uint32_t n_columns)
{
    embed_table table = embed_table_of(w);
    size_t n = (size_t)n_rows * n_columns;
    uint32_t *tokens = gpu_test_alloc(n_rows * sizeof *tokens);
    for (uint32_t i = 0; i < n_rows; i++)
        tokens[i] = first + n_rows - 1 - i;
    gpu_buffer b_tokens = gpu_test_buffer(t, tokens, n_rows * sizeof *tokens);
    gpu_buffer b_x = gpu_test_buffer(t, NULL, n * sizeof(float));
    ops_embed(t->device, gpu_test_begin(t), &table, gpu_view_all(&b_tokens), 1, 0, n_rows, gpu_view_all(&b_x),
              n_columns);
    gpu_test_submit(t);
    float *x = gpu_test_alloc(n * sizeof *x);
    gpu_test_read(t, &b_x, x, n * sizeof *x);
    for (uint32_t r = 0; r < n_rows; r++)
        for (uint32_t c = 0; c < n_columns; c++) {
            float found = x[(size_t)r * n_columns + c], expected = values[(size_t)tokens[r] * n_columns + c];
            if (f32_to_bits(found) != f32_to_bits(expected))
                fail_msg("%s: element %u of row %u is %.9g (0x%08x), expected %.9g (0x%08x)",
                         vkdlm_dtype_name(w->dtype), c, tokens[r], (double)found, f32_to_bits(found),
                         (double)expected, f32_to_bits(expected));
        }
    free(tokens);
    free(x);
    gpu_buffer_destroy(&b_tokens);
    gpu_buffer_destroy(&b_x);
}

static void test_golden_embedding(void **state)
{
    gpu_test *t = *state;
    for (size_t d = 0; d < N_DTYPES; d++) {
        golden g = golden_open(dtypes[d]);
        for (int i = 0; i < 2; i++) {
            weight w = upload_tensor(t, &g.parts[i]);
            check_gather(t, &w, g.values[i], 0, (uint32_t)g.parts[i].shape[0], GOLDEN_COLUMNS);
            weight_destroy(&w);
        }
        vkdlm_tensors_close(g.file);
    }
}

/* The output layer's results of `rows` rows. */
static void sample(gpu_test *t, const weight *w, const rows *r, const matmul_shape *shape,
                   output_result *results)
{
    output_draw draws[8];
    memset(draws, 0, sizeof draws);
    for (uint32_t i = 0; i < r->n_rows; i++) {
        draws[i].inv_temperature = 1e-4f;
        draws[i].draw = i % 2;
        draws[i].position = i;
        draws[i].target = (int32_t)i * 11;
    }
    gpu_buffer b_draws = gpu_test_buffer(t, draws, r->n_rows * sizeof *draws);
    gpu_buffer b_results = gpu_test_buffer(t, NULL, r->n_rows * sizeof *results);
    gpu_buffer b_scratch = gpu_test_buffer(t, NULL, output_scratch_bytes(w, r->n_rows));
    output_args args = {.w = w,
                        .hidden = gpu_view_all(&r->b_x),
                        .ld = r->ldx,
                        .n_rows = r->n_rows,
                        .vocab_size = w->n_columns,
                        .excluded = 3,
                        .draws = gpu_view_all(&b_draws),
                        .results = gpu_view_all(&b_results),
                        .scratch = gpu_view_all(&b_scratch),
                        .seed = 9,
                        .top_p = 1};
    ops_output_shape(t->device, gpu_test_begin(t), &args, shape);
    gpu_test_submit(t);
    gpu_test_read(t, &b_results, results, r->n_rows * sizeof *results);
    gpu_buffer_destroy(&b_draws);
    gpu_buffer_destroy(&b_results);
    gpu_buffer_destroy(&b_scratch);
}

/* The same results as of a head of f32 with the same values. */
static void test_output_layer(void **state)
{
    enum { VOCAB = 101, N_ROWS = 5 };
    gpu_test *t = *state;
    size_t n_checked = 0;
    for (size_t d = 0; d < N_DTYPES; d++) {
        matrix m = matrix_create(dtypes[d], VOCAB, 256, 77);
        vkdlm_tensor wide = tensor_of(VKDLM_DTYPE_F32, VOCAB, 256, m.values);
        weight w = upload_tensor(t, &m.tensor), w_wide = upload_tensor(t, &wide);
        rows r = rows_create(t, N_ROWS, 256, VOCAB, false);
        for (size_t s = 0; s < MATMUL_N_SHAPES; s++) {
            if (!chosen(t, s, d) || !output_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s]))
                continue;
            output_result found[N_ROWS], expected[N_ROWS];
            sample(t, &w, &r, &matmul_shapes[s], found);
            sample(t, &w_wide, &r, &matmul_shapes[s], expected);
            for (uint32_t i = 0; i < N_ROWS; i++)
                assert_true(expected[i].entropy > 0 && expected[i].token < VOCAB);
            assert_memory_equal(found, expected, sizeof found);
            n_checked++;
        }
        rows_destroy(&r);
        weight_destroy(&w);
        weight_destroy(&w_wide);
        matrix_destroy(&m);
    }
    assert_true(n_checked >= (environment_is_quick() ? 1 : N_DTYPES));
}

/* ---- uploads and slices --------------------------------------------------------------------------- */

/* Panels sent in pieces hold what panels sent at once do, and at most 1.05 times the bytes of the file. */
static void test_uploads(void **state)
{
    gpu_test *t = *state;
    for (size_t d = 0; d < N_DTYPES; d++) {
        matrix m = matrix_create(dtypes[d], 64, 768, 5);
        weight_part part = {.tensor = &m.tensor};
        weight w = upload(t, &(weight_source){.parts = &part, .n_parts = 1, .name = "w"}, 9000);
        assert_true(w.panel_bytes > 9000 || dtypes[d] == VKDLM_DTYPE_Q2_K);
        assert_true((double)w.bytes <= 1.05 * (double)(64 * quant_row_bytes(dtypes[d], 768)));
        void *packed = gpu_test_alloc(w.bytes), *found = gpu_test_alloc(w.bytes);
        weight_pack_panels(packed, &m.tensor, 0, w.n_panels);
        gpu_test_read(t, &w.buffer, found, w.bytes);
        assert_memory_equal(found, packed, w.bytes);
        check_gather(t, &w, m.values, 0, 64, 768);
        free(packed);
        free(found);
        weight_destroy(&w);
        matrix_destroy(&m);
    }
}

/* Weights larger than the storage range are bound in slices that begin where a binding may: here two panels
 * of 4736 bytes each. */
static void test_slices(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.limit_storage_range_bytes = 213500});
    for (int d = 0; d < 2; d++) {
        vkdlm_dtype dtype = d == 0 ? VKDLM_DTYPE_Q4_K : VKDLM_DTYPE_Q6_K;
        matrix m = matrix_create(dtype, 700, 768, 8);
        weight w = upload_tensor(&t, &m.tensor);
        uint32_t slice = weight_panels_per_slice(&w, gpu_device_caps(t.device));
        assert_int_equal(slice, d == 0 ? 14 : 8);
        rows r = rows_create(&t, 3, 768, 700, false);
        float *y = gpu_test_alloc(r.b_y.size_bytes);
        run(&t, &w, &r, 3, NULL, y);
        check_rows(&r, &m, y, "slices");
        for (uint32_t first = 0; first < 700; first += 50) /* x has a storage range too */
            check_gather(&t, &w, m.values, first, 50, 768);
        free(y);
        rows_destroy(&r);
        weight_destroy(&w);
        matrix_destroy(&m);
    }
    assert_int_equal(gpu_test_close(&t), 0);
}

static void check_refused(const weight_source *source, vkdlm_status expected, const char *said)
{
    vkdlm_error err;
    weight w;
    assert_int_equal(weight_describe_source(source, &w, &err), expected);
    if (!strstr(err.message, said))
        fail_msg("'%s' does not say '%s'", err.message, said);
}

static void test_refusals(void **state)
{
    (void)state;
    const unsigned char data[1] = {0};
    vkdlm_tensor odd = tensor_of(VKDLM_DTYPE_Q4_K, 8, 128, data),
                 eights = tensor_of(VKDLM_DTYPE_Q8_0, 8, 64, data),
                 fours = tensor_of(VKDLM_DTYPE_Q4_0, 8, 64, data);
    weight_part part = {.tensor = &odd};
    weight_source source = {.parts = &part, .n_parts = 1, .name = "w"};
    check_refused(&source, VKDLM_MALFORMED, "rows of Q4_K are multiples of 256 elements, found 128");
    part = (weight_part){.tensor = &eights, .transposed = true};
    check_refused(&source, VKDLM_UNSUPPORTED, "transposed");
    part.transposed = false;
    source.widen = true;
    check_refused(&source, VKDLM_UNSUPPORTED, "widened");
    const weight_part mixed[] = {{.tensor = &eights}, {.tensor = &fours}};
    source = (weight_source){.parts = mixed, .n_parts = 2, .name = "w"};
    check_refused(&source, VKDLM_MALFORMED, "expected Q8_0 like 'w', found Q4_0");
}

/* Blocks that are widened as they are sent lie as the same values in f32 do, whole or in pieces. */
static void test_widened_uploads(void **state)
{
    gpu_test *t = *state;
    static const uint64_t staging[] = {1000, 50000, 1 << 20};
    for (size_t d = 0; d < N_DTYPES; d++) {
        uint32_t depth = weight_blocks_length(dtypes[d]) == 256 ? 512 : 96;
        matrix m = matrix_create(dtypes[d], 2 * 45, depth, 8);
        vkdlm_tensor wide = tensor_of(VKDLM_DTYPE_F32, 2 * 45, depth, m.values);
        const weight_part halves[] = {{.tensor = &m.tensor, .n_columns = 45},
                                      {.tensor = &m.tensor, .first = 45, .n_columns = 45}};
        const weight_part wide_halves[] = {{.tensor = &wide, .n_columns = 45},
                                           {.tensor = &wide, .first = 45, .n_columns = 45}};
        for (size_t i = 0; i < sizeof staging / sizeof *staging; i++) {
            enum weight_layout layout = i == 1 ? WEIGHT_STACKED : WEIGHT_PAIRED;
            weight a = upload(t,
                              &(weight_source){.parts = halves,
                                               .n_parts = 2,
                                               .layout = layout,
                                               .widen = true,
                                               .dequantise = quant_dequantize_row,
                                               .name = "w"},
                              staging[i]);
            weight b =
                upload(t, &(weight_source){.parts = wide_halves, .n_parts = 2, .layout = layout, .name = "w"},
                       1 << 20);
            assert_int_equal(a.dtype, VKDLM_DTYPE_F32);
            assert_int_equal(a.bytes, b.bytes);
            char *found = gpu_test_alloc(a.bytes), *expected = gpu_test_alloc(b.bytes);
            gpu_test_read(t, &a.buffer, found, a.bytes);
            gpu_test_read(t, &b.buffer, expected, b.bytes);
            assert_memory_equal(found, expected, a.bytes);
            free(found);
            free(expected);
            weight_destroy(&a);
            weight_destroy(&b);
        }
        matrix_destroy(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_embedding), cmocka_unit_test(test_golden_products),
        cmocka_unit_test(test_products),         cmocka_unit_test(test_pairs_and_adaptation),
        cmocka_unit_test(test_output_layer),     cmocka_unit_test(test_uploads),
        cmocka_unit_test(test_widened_uploads),  cmocka_unit_test(test_slices),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
