/* Linear layers against a double-precision reference, in every shape that the device can run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "environment.h"
#include "gpu_test.h"
#include "ops/matmul.h"
#include "ref/ref_matmul.h"

static const vkdlm_dtype dtypes[] = {VKDLM_DTYPE_F32, VKDLM_DTYPE_F16, VKDLM_DTYPE_BF16};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

static void store_element(void *data, vkdlm_dtype dtype, size_t i, float value)
{
    if (dtype == VKDLM_DTYPE_F32)
        memcpy((char *)data + i * 4, &value, 4);
    else {
        uint16_t h = dtype == VKDLM_DTYPE_F16 ? f16_from_f32(value) : (uint16_t)(f32_to_bits(value) >> 16);
        memcpy((char *)data + i * 2, &h, 2);
    }
}

static float load_element(const void *data, vkdlm_dtype dtype, size_t i)
{
    float f;
    uint16_t h;
    if (dtype == VKDLM_DTYPE_F32) {
        memcpy(&f, (const char *)data + i * 4, 4);
        return f;
    }
    memcpy(&h, (const char *)data + i * 2, 2);
    return dtype == VKDLM_DTYPE_F16 ? f32_from_f16(h) : f32_from_bf16(h);
}

/* Device layouts of a matrix: as it is, and its two halves as pairs. */
enum form { PLAIN, PAIRED, N_FORMS };

/* A matrix [n_columns, depth] on the host and on the device; paired only when n_columns is even. */
typedef struct matrix {
    vkdlm_dtype dtype;
    uint32_t n_columns, depth;
    char *data; /* at an odd address */
    double *values;
    weight w[N_FORMS];
} matrix;

static void matrix_upload(gpu_test *t, matrix *m, uint64_t staging_bytes)
{
    vkdlm_error err;
    vkdlm_tensor tensor = {.name = "w",
                           .dtype = m->dtype,
                           .n_dims = 2,
                           .shape = {m->n_columns, m->depth},
                           .n_elements = (uint64_t)m->n_columns * m->depth,
                           .data = m->data + 1,
                           .file = "test"};
    uint32_t half = m->n_columns / 2;
    const weight_part halves[] = {{.tensor = &tensor, .n_columns = half},
                                  {.tensor = &tensor, .first = half, .n_columns = half}};
    weight_source paired = {.parts = halves, .n_parts = 2, .layout = WEIGHT_PAIRED, .name = "w"};
    gpu_upload *upload;
    gpu_test_ok(gpu_upload_create(t->device, staging_bytes, &upload, &err), &err);
    gpu_test_ok(weight_upload(t->device, upload, &tensor, &m->w[PLAIN], &err), &err);
    if (m->n_columns % 2 == 0)
        gpu_test_ok(weight_upload_source(t->device, upload, &paired, &m->w[PAIRED], &err), &err);
    gpu_test_ok(gpu_upload_flush(upload, &err), &err);
    gpu_upload_destroy(upload);
}

static matrix matrix_create(gpu_test *t, vkdlm_dtype dtype, uint32_t n_columns, uint32_t depth, uint64_t seed)
{
    matrix m = {.dtype = dtype, .n_columns = n_columns, .depth = depth};
    size_t n = (size_t)n_columns * depth;
    m.data = gpu_test_alloc(n * 4 + 1);
    m.values = gpu_test_alloc(n * sizeof *m.values);
    float *values = gpu_test_alloc(n * sizeof *values);
    gpu_test_random(values, n, seed, -1, 1);
    for (size_t i = 0; i < n; i++) {
        store_element(m.data + 1, dtype, i, values[i]);
        m.values[i] = (double)load_element(m.data + 1, dtype, i);
    }
    free(values);
    matrix_upload(t, &m, 1 << 16);
    return m;
}

static void matrix_destroy(matrix *m)
{
    for (int i = 0; i < N_FORMS; i++)
        weight_destroy(&m->w[i]);
    free(m->data);
    free(m->values);
}

/* A problem: host data, and its buffers on the device. x and z have NaN in the rows past n_rows. rank 0: no B
 * and z. */
typedef struct problem {
    uint32_t n_rows, n_columns, depth, rank, capacity, ldx, ldy, ldz;
    matrix w, b;
    float *x, *z, *bias, *residual, *gate;
    uint32_t *row_seq;
    gpu_buffer b_x, b_z, b_y, b_bias[N_FORMS], b_residual, b_gate, b_row_seq;
} problem;

enum { N_GATES = 3 };

static float *padded(uint32_t n_rows, uint32_t capacity, uint32_t n_columns, uint32_t ld, uint64_t seed)
{
    float *values = gpu_test_alloc((size_t)capacity * ld * sizeof *values);
    gpu_test_random(values, (size_t)capacity * ld, seed, -1, 1);
    for (uint32_t r = 0; r < capacity; r++)
        for (uint32_t c = 0; c < ld; c++)
            if (r >= n_rows || c >= n_columns)
                values[(size_t)r * ld + c] = r < n_rows ? 0 : NAN;
    return values;
}

/* The biases in the order of the paired columns. */
static gpu_buffer paired_bias(gpu_test *t, const float *bias, uint32_t n_columns)
{
    uint32_t half = n_columns / 2, n = 2 * weight_pad(half);
    float *values = gpu_test_alloc(n * sizeof *values);
    for (uint32_t c = 0; c < 2 * half; c++) {
        uint32_t at = c % half;
        values[at / 4 * 8 + (c < half ? 0 : 4) + at % 4] = bias[c];
    }
    gpu_buffer buffer = gpu_test_buffer(t, values, n * sizeof *values);
    free(values);
    return buffer;
}

static problem problem_create(gpu_test *t, vkdlm_dtype dtype, uint32_t n_rows, uint32_t n_columns,
                              uint32_t depth, uint32_t rank)
{
    problem p = {.n_rows = n_rows, .n_columns = n_columns, .depth = depth, .rank = rank};
    uint64_t seed = n_rows * 7919u + n_columns * 31u + depth;
    p.capacity = (uint32_t)size_round_up(n_rows, 64);
    /* One CPU driver compiles a kernel anew when the size of a texel buffer becomes a power of two or no
     * longer is one. */
    p.ldx = (uint32_t)size_round_up(depth, 96);
    p.ldy = weight_pad(n_columns);
    p.ldz = (uint32_t)size_round_up(rank, 96);
    p.w = matrix_create(t, dtype, n_columns, depth, seed + 1);
    if (rank)
        p.b = matrix_create(t, VKDLM_DTYPE_F32, n_columns, rank, seed + 7);
    p.x = padded(n_rows, p.capacity, depth, p.ldx, seed + 2);
    p.bias = padded(1, 1, n_columns, p.ldy, seed + 3);
    p.residual = padded(n_rows, p.capacity, n_columns, p.ldy, seed + 4);
    p.gate = padded(N_GATES, N_GATES, n_columns, p.ldy, seed + 5);
    p.z = padded(n_rows, p.capacity, rank, p.ldz, seed + 6);
    p.row_seq = gpu_test_alloc(p.capacity * sizeof *p.row_seq);
    for (uint32_t i = 0; i < p.capacity; i++)
        p.row_seq[i] = i < n_rows ? (i * 2654435761u >> 16) % N_GATES : 0xFFFFFFFFu;
    p.b_x = gpu_test_buffer(t, p.x, (size_t)p.capacity * p.ldx * 4);
    if (rank)
        p.b_z = gpu_test_buffer(t, p.z, (size_t)p.capacity * p.ldz * 4);
    p.b_y = gpu_test_buffer(t, NULL, (size_t)p.capacity * p.ldy * 4);
    p.b_bias[PLAIN] = gpu_test_buffer(t, p.bias, (size_t)p.ldy * 4);
    if (n_columns % 2 == 0)
        p.b_bias[PAIRED] = paired_bias(t, p.bias, n_columns);
    p.b_residual = gpu_test_buffer(t, p.residual, (size_t)p.capacity * p.ldy * 4);
    p.b_gate = gpu_test_buffer(t, p.gate, (size_t)N_GATES * p.ldy * 4);
    p.b_row_seq = gpu_test_buffer(t, p.row_seq, p.capacity * sizeof *p.row_seq);
    return p;
}

static void problem_destroy(problem *p)
{
    gpu_buffer *buffers[] = {&p->b_x,        &p->b_z,    &p->b_y,      &p->b_bias[PLAIN], &p->b_bias[PAIRED],
                             &p->b_residual, &p->b_gate, &p->b_row_seq};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    matrix_destroy(&p->w);
    matrix_destroy(&p->b);
    free(p->x);
    free(p->z);
    free(p->bias);
    free(p->residual);
    free(p->gate);
    free(p->row_seq);
}

enum gating { NO_RESIDUAL, RESIDUAL, GATE_VECTOR, GATE_ROWS };

typedef struct epilogue {
    const char *name;
    bool bias;
    enum matmul_activation activation;
    enum gating gating;
    bool lora;
} epilogue;

static const epilogue plain = {"bias", true, MATMUL_LINEAR, NO_RESIDUAL, false};
static const epilogue plain_lora = {"bias, lora", true, MATMUL_LINEAR, NO_RESIDUAL, true};
static const epilogue none = {"none", false, MATMUL_LINEAR, NO_RESIDUAL, false};
static const epilogue in_place = {"in place", false, MATMUL_LINEAR, RESIDUAL, false};

static const epilogue epilogues[] = {
    {"none", false, MATMUL_LINEAR, NO_RESIDUAL, false},
    {"gelu", true, MATMUL_GELU, NO_RESIDUAL, false},
    {"silu", true, MATMUL_SILU, NO_RESIDUAL, false},
    {"swiglu", false, MATMUL_SWIGLU, NO_RESIDUAL, false},
    {"swiglu, bias, lora", true, MATMUL_SWIGLU, NO_RESIDUAL, true},
    {"residual", false, MATMUL_LINEAR, RESIDUAL, false},
    {"times, bias, lora", true, MATMUL_TIMES, RESIDUAL, true},
    {"residual, bias, lora", true, MATMUL_LINEAR, RESIDUAL, true},
    {"gate vector, lora", false, MATMUL_LINEAR, GATE_VECTOR, true},
    {"gate rows, bias", true, MATMUL_LINEAR, GATE_ROWS, false},
};

enum { N_EPILOGUES = sizeof epilogues / sizeof *epilogues };

static enum form form_of(const epilogue *e)
{
    return e->activation == MATMUL_SWIGLU ? PAIRED : PLAIN;
}

static uint32_t output_columns(const problem *p, const epilogue *e)
{
    return form_of(e) == PAIRED ? p->n_columns / 2 : p->n_columns;
}

static matmul_args arguments(const problem *p, const epilogue *e)
{
    enum form form = form_of(e);
    matmul_args args = {.w = &p->w.w[form],
                        .x = gpu_view_all(&p->b_x),
                        .y = gpu_view_all(&p->b_y),
                        .ldx = p->ldx,
                        .ldy = weight_pad(output_columns(p, e)),
                        .n_rows = p->n_rows,
                        .activation = e->activation};
    if (e->bias)
        args.bias = gpu_view_all(&p->b_bias[form]);
    if (e->gating != NO_RESIDUAL)
        args.residual = gpu_view_all(&p->b_residual);
    if (e->gating >= GATE_VECTOR) {
        args.gate = gpu_view_all(&p->b_gate);
        args.ld_gate = p->ldy;
    }
    if (e->gating == GATE_ROWS)
        args.row_seq = gpu_view_all(&p->b_row_seq);
    if (e->lora) {
        args.lora_b = &p->b.w[form];
        args.lora_z = gpu_view_all(&p->b_z);
        args.ldz = p->ldz;
    }
    return args;
}

/* Expected values of row m, and the error that each may have. A chain of K multiply-adds, each with at most
 * two roundings of u = 2^-24, is off by at most 2 K u sum |x w| (to first order); bias and the residual round
 * once or twice more. The activations' slope is below 1.13, and drivers' exp and division are good to 2^-20
 * relative. */
static void expect(const problem *p, const epilogue *e, uint32_t m, double *expected, double *tolerance)
{
    const double u = 0x1p-24;
    uint32_t terms = p->depth + (e->lora ? p->rank : 0);
    double *more = gpu_test_alloc(2 * p->n_columns * sizeof *more), *bound = more + p->n_columns;
    ref_matmul(p->x + (size_t)m * p->ldx, p->ldx, p->w.values, e->bias ? p->bias : NULL, 1, p->n_columns,
               p->depth, expected, tolerance);
    if (e->lora)
        ref_matmul(p->z + (size_t)m * p->ldz, p->ldz, p->b.values, NULL, 1, p->n_columns, p->rank, more,
                   bound);
    for (uint32_t n = 0; n < p->n_columns; n++) {
        expected[n] += more[n];
        tolerance[n] = (tolerance[n] + bound[n]) * (2 * terms + 2) * u;
    }
    for (uint32_t n = 0; n < output_columns(p, e); n++) {
        if (e->activation != MATMUL_LINEAR && e->activation != MATMUL_TIMES) {
            double error = 1.13 * tolerance[n];
            expected[n] = e->activation == MATMUL_GELU ? ref_gelu(expected[n]) : ref_silu(expected[n]);
            tolerance[n] = error + 0x1p-20 * (fabs(expected[n]) + 0.2);
        }
        if (e->activation == MATMUL_SWIGLU) {
            uint32_t up = p->n_columns / 2 + n;
            tolerance[n] =
                tolerance[n] * (fabs(expected[up]) + tolerance[up]) + fabs(expected[n]) * tolerance[up];
            expected[n] *= expected[up];
            tolerance[n] += u * fabs(expected[n]);
        }
        if (e->activation == MATMUL_TIMES) {
            double factor = (double)p->residual[(size_t)m * p->ldy + n];
            expected[n] *= factor;
            tolerance[n] = fabs(factor) * tolerance[n] + u * fabs(expected[n]);
        } else if (e->gating != NO_RESIDUAL) {
            uint32_t g = e->gating == GATE_ROWS ? p->row_seq[m] : 0;
            double gate = e->gating == RESIDUAL ? 1 : (double)p->gate[(size_t)g * p->ldy + n];
            double added = gate * expected[n];
            expected[n] = (double)p->residual[(size_t)m * p->ldy + n] + added;
            tolerance[n] = fabs(gate) * tolerance[n] + 2 * u * (fabs(expected[n]) + fabs(added));
        }
    }
    free(more);
}

static void check_output(gpu_test *t, const problem *p, const epilogue *e, const char *shape)
{
    uint32_t n_columns = output_columns(p, e), ldy = weight_pad(n_columns);
    size_t bytes = (size_t)p->n_rows * ldy * sizeof(float);
    double *expected = gpu_test_alloc(p->n_columns * sizeof *expected),
           *tolerance = gpu_test_alloc(p->n_columns * sizeof *tolerance);
    float *found = gpu_test_alloc(bytes);
    gpu_test_read(t, &p->b_y, found, bytes);
    for (uint32_t m = 0; m < p->n_rows; m++) {
        expect(p, e, m, expected, tolerance);
        for (uint32_t c = 0; c < ldy; c++) {
            bool real = c < n_columns;
            double value = (double)found[(size_t)m * ldy + c], exact = real ? expected[c] : 0;
            if (!(fabs(value - exact) <= (real ? tolerance[c] : 0)))
                fail_msg("%s, %s, %s, %u x %u x %u + %u: [%u, %u] is %.9g, expected %.9g within %g", shape,
                         vkdlm_dtype_name(p->w.dtype), e->name, p->n_rows, p->n_columns, p->depth, p->rank, m,
                         c, value, exact, real ? tolerance[c] : 0);
        }
    }
    free(expected);
    free(tolerance);
    free(found);
}

static void check(gpu_test *t, const problem *p, const epilogue *e, const matmul_shape *shape)
{
    matmul_args args = arguments(p, e);
    gpu_commands *commands = gpu_test_begin(t);
    gpu_fill(commands, &p->b_y, 0, p->b_y.size_bytes, 0x7FC00000u);
    ops_matmul_shape(t->device, commands, &args, shape);
    gpu_test_submit(t);
    check_output(t, p, e, shape->name);
}

static bool usable(const gpu_test *t, size_t shape)
{
    return matmul_shape_usable(gpu_device_caps(t->device), &matmul_shapes[shape]);
}

/* Whether the shape is tried with type d: where tests are quick, each with one of the types. */
static bool chosen(const gpu_test *t, size_t shape, size_t d)
{
    return usable(t, shape) && (!environment_is_quick() || (shape + d) % N_DTYPES == 0);
}

/* The first usable shape of a family, or of the one that every device has. */
static const matmul_shape *smallest(const gpu_test *t, enum matmul_family family)
{
    for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
        if (matmul_shapes[s].family == family && usable(t, s))
            return &matmul_shapes[s];
    return smallest(t, MATMUL_PLAIN_1);
}

/* The last number is the rank; LoRA's loop is the same code: each shape with a third of the types. */
static void test_shapes(void **state)
{
    static const uint32_t sizes[][4] = {{1, 1, 1, 0},     {1, 33, 31, 0},  {2, 32, 32, 0},
                                        {3, 100, 65, 70}, {5, 31, 128, 0}, {8, 257, 96, 0},
                                        {9, 64, 200, 66}, {33, 70, 33, 1}, {65, 130, 64, 0}};
    gpu_test *t = *state;
    for (size_t d = 0; d < N_DTYPES; d++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            problem p = problem_create(t, dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3]);
            for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
                if (chosen(t, s, d)) {
                    check(t, &p, &plain, &matmul_shapes[s]);
                    if (p.rank && (s + d) % 3 == 0)
                        check(t, &p, &plain_lora, &matmul_shapes[s]);
                }
            problem_destroy(&p);
        }
}

/* Every epilogue around the smallest shape of three families, which have the two ways to hold units, with a
 * third of the types; around the others those that depend on where units lie. */
static void test_epilogues(void **state)
{
    gpu_test *t = *state;
    for (size_t d = 0; d < N_DTYPES; d++) {
        problem p = problem_create(t, dtypes[d], 37, 78, 40, 12);
        bool seen[MATMUL_N_FAMILIES] = {false};
        for (size_t s = 0; s < MATMUL_N_SHAPES; s++) {
            enum matmul_family family = matmul_shapes[s].family;
            if (!usable(t, s) || seen[family])
                continue;
            seen[family] = true;
            bool all = family != MATMUL_PLAIN_4 && family != MATMUL_SHARED;
            for (size_t e = 0; e < N_EPILOGUES; e++)
                if ((e + family) % 3 == d &&
                    (all || e + 1 == N_EPILOGUES || form_of(&epilogues[e]) == PAIRED))
                    check(t, &p, &epilogues[e], &matmul_shapes[s]);
        }
        problem_destroy(&p);
    }
}

/* The residual may be the output itself; without a gate it is an addition or a product. */
static void test_in_place(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 70, 100, 64, 0);
    size_t n = (size_t)p.n_rows * p.ldy;
    float *alone = gpu_test_alloc(n * sizeof *alone), *added = gpu_test_alloc(n * sizeof *added);
    for (size_t s = 0; s < MATMUL_N_SHAPES; s += 4) {
        if (!usable(t, s))
            continue;
        matmul_args args = arguments(&p, &none);
        ops_matmul_shape(t->device, gpu_test_begin(t), &args, &matmul_shapes[s]);
        gpu_test_submit(t);
        gpu_test_read(t, &p.b_y, alone, n * sizeof *alone);
        for (int times = 0; times < 2; times++) {
            args = arguments(&p, &in_place);
            args.residual = args.y;
            args.activation = times ? MATMUL_TIMES : MATMUL_LINEAR;
            gpu_commands *commands = gpu_test_begin(t);
            gpu_copy(commands, &p.b_residual, 0, &p.b_y, 0, p.b_y.size_bytes);
            ops_matmul_shape(t->device, commands, &args, &matmul_shapes[s]);
            gpu_test_submit(t);
            gpu_test_read(t, &p.b_y, added, n * sizeof *added);
            for (size_t i = 0; i < n; i++)
                if (!(added[i] == (times ? p.residual[i] * alone[i] : p.residual[i] + alone[i])))
                    fail_msg("%s: element %zu is %.9g, expected %.9g %c %.9g", matmul_shapes[s].name, i,
                             (double)added[i], (double)p.residual[i], times ? '*' : '+', (double)alone[i]);
        }
    }
    free(alone);
    free(added);
    problem_destroy(&p);
}

static void run(gpu_test *t, problem *p, const epilogue *e, uint32_t n_rows, const matmul_shape *shape,
                float *out)
{
    matmul_args args = arguments(p, e);
    args.n_rows = n_rows;
    gpu_commands *commands = gpu_test_begin(t);
    if (shape)
        ops_matmul_shape(t->device, commands, &args, shape);
    else
        ops_matmul(t->device, commands, &args);
    gpu_test_submit(t);
    gpu_test_read(t, &p->b_y, out, (size_t)n_rows * args.ldy * sizeof *out);
}

/* A row's bits depend neither on how many rows there are nor on the shape: each element is one chain. */
static void test_same_bits(void **state)
{
    gpu_test *t = *state;
    for (size_t d = 0; d < N_DTYPES; d++) {
        problem p = problem_create(t, dtypes[d], 300, 96, 250, 0);
        size_t row_bytes = p.ldy * sizeof(float);
        float *all = gpu_test_alloc(300 * row_bytes), *some = gpu_test_alloc(300 * row_bytes);
        run(t, &p, &plain, 300, NULL, all);
        for (uint32_t i = 0; i < 300u * p.ldy; i++)
            assert_true(fabsf(all[i]) < 1000);
        static const uint32_t counts[] = {1, 2, 3, 4, 7, 8, 17, 64, 129};
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            run(t, &p, &plain, counts[i], NULL, some);
            assert_memory_equal(some, all, counts[i] * row_bytes);
        }
        for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
            if (chosen(t, s, d)) {
                run(t, &p, &plain, 65, &matmul_shapes[s], some);
                if (memcmp(some, all, 65 * row_bytes) != 0)
                    fail_msg("%s, %s: not the bits of the default", matmul_shapes[s].name,
                             vkdlm_dtype_name(dtypes[d]));
            }
        free(all);
        free(some);
        problem_destroy(&p);
    }
}

/* The same of what a decoder's layers are made of. */
static void test_same_bits_of_epilogues(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F16, 64, 96, 70, 32);
    float *all = gpu_test_alloc(64 * p.ldy * sizeof *all), *some = gpu_test_alloc(64 * p.ldy * sizeof *some);
    static const epilogue checked[] = {{"swiglu", true, MATMUL_SWIGLU, NO_RESIDUAL, true},
                                       {"residual", false, MATMUL_LINEAR, RESIDUAL, false}};
    for (size_t e = 0; e < 2; e++) {
        run(t, &p, &checked[e], 64, NULL, all);
        static const uint32_t counts[] = {1, 3, 8};
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            run(t, &p, &checked[e], counts[i], NULL, some);
            size_t ldy = weight_pad(output_columns(&p, &checked[e]));
            assert_memory_equal(some, all, counts[i] * ldy * sizeof *some);
        }
    }
    free(all);
    free(some);
    problem_destroy(&p);
}

/* Every finite half, subnormals included, through the identity: Y = W^T + 0 exactly. */
static void test_all_halves(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F16, 256, 256, 256, 0);
    char *data = p.w.data + 1;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)((i & 0x7C00u) == 0x7C00u ? 0 : i);
        memcpy(data + 2 * i, &h, 2);
    }
    for (int i = 0; i < N_FORMS; i++)
        weight_destroy(&p.w.w[i]);
    matrix_upload(t, &p.w, 1 << 20);
    memset(p.x, 0, (size_t)p.capacity * p.ldx * 4);
    for (uint32_t i = 0; i < 256; i++)
        p.x[i * p.ldx + i] = 1;
    gpu_buffer_destroy(&p.b_x);
    p.b_x = gpu_test_buffer(t, p.x, (size_t)p.capacity * p.ldx * 4);
    gpu_buffer_destroy(&p.b_bias[PLAIN]);
    memset(p.bias, 0, p.ldy * 4);
    p.b_bias[PLAIN] = gpu_test_buffer(t, p.bias, p.ldy * 4);
    float *y = gpu_test_alloc(65536 * sizeof *y);
    for (size_t s = 0; s < MATMUL_N_SHAPES; s++) {
        if (!usable(t, s))
            continue;
        run(t, &p, &plain, 256, &matmul_shapes[s], y);
        for (uint32_t n = 0; n < 256; n++)
            for (uint32_t k = 0; k < 256; k++) {
                float expected = load_element(data, VKDLM_DTYPE_F16, n * 256 + k);
                if (!(y[k * 256 + n] == expected))
                    fail_msg("%s: half 0x%04x is read as %.9g", matmul_shapes[s].name, n * 256 + k,
                             (double)y[k * 256 + n]);
            }
    }
    free(y);
    problem_destroy(&p);
}

/* Activations stay finite and right for any finite argument: x = 1, w = 0, the bias is the argument. */
static void test_activation_range(void **state)
{
    static const float arguments_of[] = {0,     -0.f,   1e-30f,  -1e-30f,  0.01f, -0.01f, 1,     -1,
                                         3,     -3,     5,       -5,       9,     -9,     12,    -12,
                                         40,    -40,    88,      -88,      1000,  -1000,  1e10f, -1e10f,
                                         1e20f, -1e20f, 3.4e38f, -3.4e38f, 0.5f,  -0.5f,  2.5f,  -2.5f};
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 1, 32, 32, 0);
    gpu_buffer_destroy(&p.b_bias[PLAIN]);
    p.b_bias[PLAIN] = gpu_test_buffer(t, arguments_of, sizeof arguments_of);
    memset(p.w.data, 0, 32 * 32 * 4 + 1);
    for (int i = 0; i < N_FORMS; i++)
        weight_destroy(&p.w.w[i]);
    matrix_upload(t, &p.w, 1 << 16);
    for (size_t e = 0; e < N_EPILOGUES; e++) {
        bool is_gelu = epilogues[e].activation == MATMUL_GELU;
        if (!is_gelu && epilogues[e].activation != MATMUL_SILU)
            continue;
        float y[32];
        run(t, &p, &epilogues[e], 1, NULL, y);
        for (int i = 0; i < 32; i++) {
            double v = (double)arguments_of[i], expected = is_gelu ? ref_gelu(v) : ref_silu(v);
            /* exp(e) inherits the rounding of its argument, which matters only where the result is small. */
            if (!(fabs((double)y[i] - expected) <= 0x1p-20 * fabs(expected) + 4e-7 * fmin(1, fabs(v))))
                fail_msg("%s(%g) is %g, expected %g", epilogues[e].name, v, (double)y[i], expected);
        }
    }
    problem_destroy(&p);
}

/* Weights and rows that exceed the storage range are bound in slices. */
static void test_slices(void **state)
{
    (void)state;
    gpu_test t;
    gpu_options options = {.limit_storage_range_bytes = 41000};
    gpu_test_open(&t, options);
    const gpu_caps *caps = gpu_device_caps(t.device);
    for (size_t d = 0; d < N_DTYPES; d++) {
        problem p = problem_create(&t, dtypes[d], 150, 130, 96, 70);
        for (size_t e = d; e < N_EPILOGUES; e += 3) {
            matmul_args args = arguments(&p, &epilogues[e]);
            gpu_commands *commands = gpu_test_begin(&t);
            gpu_fill(commands, &p.b_y, 0, p.b_y.size_bytes, 0x7FC00000u);
            ops_matmul_shape(t.device, commands, &args,
                             smallest(&t, (enum matmul_family)(e % MATMUL_SHARED)));
            uint32_t slice = weight_panels_per_slice(args.w, caps);
            if (args.lora_b)
                slice = u32_min(slice, weight_panels_per_slice(args.lora_b, caps));
            uint32_t n_slices = (args.w->n_panels + slice - 1) / slice;
            /* 41000 bytes are 64 of the 150 rows. */
            assert_int_equal(gpu_commands_dispatches(commands), 3 * n_slices);
            gpu_test_submit(&t);
            check_output(&t, &p, &epilogues[e], "slices");
        }
        problem_destroy(&p);
    }
    problem p = problem_create(&t, VKDLM_DTYPE_F32, 1, 32, 320, 0);
    matmul_args args = arguments(&p, &none);
    ops_matmul(t.device, gpu_test_begin(&t), &args);
    vkdlm_error err;
    assert_int_equal(gpu_submit_wait(t.commands, &err), VKDLM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "32 x 320"));
    problem_destroy(&p);
    assert_int_equal(gpu_test_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_same_bits_of_epilogues),
        cmocka_unit_test(test_all_halves),
        cmocka_unit_test(test_activation_range),
        cmocka_unit_test(test_slices),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
