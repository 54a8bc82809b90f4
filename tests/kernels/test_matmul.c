/* Linear layers against a double-precision reference, in every shape that the device can run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "gpu_test.h"
#include "ops/matmul.h"
#include "ref/ref_matmul.h"

static const vkdlm_dtype dtypes[] = {VKDLM_DTYPE_F32, VKDLM_DTYPE_F16, VKDLM_DTYPE_BF16};

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

/* A problem: host data, and its buffers on the device. x has NaN in the rows past n_rows. */
typedef struct problem {
    vkdlm_dtype dtype;
    uint32_t n_rows, n_columns, depth, capacity, ldx, ldy, n_gates;
    char *data; /* of the weight, at an odd address */
    double *values;
    float *x, *bias, *residual, *gate;
    uint32_t *row_seq;
    weight w;
    gpu_buffer b_x, b_y, b_bias, b_residual, b_gate, b_row_seq;
} problem;

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

static void upload_weight(gpu_test *t, problem *p, uint64_t staging_bytes)
{
    vkdlm_error err;
    vkdlm_tensor tensor = {.name = "w",
                           .dtype = p->dtype,
                           .n_dims = 2,
                           .shape = {p->n_columns, p->depth},
                           .n_elements = (uint64_t)p->n_columns * p->depth,
                           .data = p->data + 1,
                           .file = "test"};
    gpu_upload *upload;
    gpu_test_ok(gpu_upload_create(t->device, staging_bytes, &upload, &err), &err);
    gpu_test_ok(weight_upload(t->device, upload, &tensor, &p->w, &err), &err);
    gpu_test_ok(gpu_upload_flush(upload, &err), &err);
    gpu_upload_destroy(upload);
}

static problem problem_create(gpu_test *t, vkdlm_dtype dtype, uint32_t n_rows, uint32_t n_columns,
                              uint32_t depth)
{
    problem p = {.dtype = dtype, .n_rows = n_rows, .n_columns = n_columns, .depth = depth, .n_gates = 3};
    uint64_t seed = n_rows * 7919u + n_columns * 31u + depth;
    p.capacity = (uint32_t)size_round_up(n_rows, 64);
    p.ldx = weight_pad(depth);
    p.ldy = weight_pad(n_columns);
    size_t n = (size_t)n_columns * depth;
    p.data = gpu_test_alloc(n * 4 + 1);
    p.values = gpu_test_alloc(n * sizeof *p.values);
    float *values = gpu_test_alloc(n * sizeof *values);
    gpu_test_random(values, n, seed + 1, -1, 1);
    for (size_t i = 0; i < n; i++) {
        store_element(p.data + 1, dtype, i, values[i]);
        p.values[i] = (double)load_element(p.data + 1, dtype, i);
    }
    free(values);
    upload_weight(t, &p, 1 << 16);
    p.x = padded(n_rows, p.capacity, depth, p.ldx, seed + 2);
    p.bias = padded(1, 1, n_columns, p.ldy, seed + 3);
    p.residual = padded(n_rows, p.capacity, n_columns, p.ldy, seed + 4);
    p.gate = padded(p.n_gates, p.n_gates, n_columns, p.ldy, seed + 5);
    p.row_seq = gpu_test_alloc(p.capacity * sizeof *p.row_seq);
    for (uint32_t i = 0; i < p.capacity; i++)
        p.row_seq[i] = i < n_rows ? (i * 2654435761u >> 16) % p.n_gates : 0xFFFFFFFFu;
    p.b_x = gpu_test_buffer(t, p.x, (size_t)p.capacity * p.ldx * 4);
    p.b_y = gpu_test_buffer(t, NULL, (size_t)p.capacity * p.ldy * 4);
    p.b_bias = gpu_test_buffer(t, p.bias, (size_t)p.ldy * 4);
    p.b_residual = gpu_test_buffer(t, p.residual, (size_t)p.capacity * p.ldy * 4);
    p.b_gate = gpu_test_buffer(t, p.gate, (size_t)p.n_gates * p.ldy * 4);
    p.b_row_seq = gpu_test_buffer(t, p.row_seq, p.capacity * sizeof *p.row_seq);
    return p;
}

static void problem_destroy(problem *p)
{
    gpu_buffer *buffers[] = {&p->b_x, &p->b_y, &p->b_bias, &p->b_residual, &p->b_gate, &p->b_row_seq};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    weight_destroy(&p->w);
    free(p->data);
    free(p->values);
    free(p->x);
    free(p->bias);
    free(p->residual);
    free(p->gate);
    free(p->row_seq);
}

enum epilogue { NONE, BIAS, GELU, SILU, GATE_VECTOR, GATE_ROWS, N_EPILOGUES };
static const char *const epilogue_names[] = {"none", "bias", "gelu", "silu", "gate vector", "gate rows"};

static matmul_args arguments(const problem *p, enum epilogue epilogue)
{
    matmul_args args = {.w = &p->w,
                        .x = gpu_view_all(&p->b_x),
                        .y = gpu_view_all(&p->b_y),
                        .ldx = p->ldx,
                        .ldy = p->ldy,
                        .n_rows = p->n_rows};
    if (epilogue != NONE && epilogue != GATE_VECTOR)
        args.bias = gpu_view_all(&p->b_bias);
    if (epilogue == GELU || epilogue == SILU)
        args.activation = epilogue == GELU ? MATMUL_GELU : MATMUL_SILU;
    if (epilogue == GATE_VECTOR || epilogue == GATE_ROWS) {
        args.gate = gpu_view_all(&p->b_gate);
        args.residual = gpu_view_all(&p->b_residual);
        args.ld_gate = p->ldy;
    }
    if (epilogue == GATE_ROWS)
        args.row_seq = gpu_view_all(&p->b_row_seq);
    return args;
}

/* Expected values, and the error that each may have. A chain of K multiply-adds, each with at most two
 * roundings of u = 2^-24, is off by at most 2 K u sum |x w| (to first order); bias and the residual round
 * once or twice more. The activations' slope is below 1.13, and drivers' exp and division are good to 2^-20
 * relative. */
static void expect(const problem *p, enum epilogue epilogue, double *expected, double *tolerance)
{
    const double u = 0x1p-24;
    ref_matmul(p->x, p->ldx, p->values, epilogue == NONE || epilogue == GATE_VECTOR ? NULL : p->bias,
               p->n_rows, p->n_columns, p->depth, expected, tolerance);
    for (uint32_t m = 0; m < p->n_rows; m++)
        for (uint32_t n = 0; n < p->n_columns; n++) {
            size_t i = (size_t)m * p->n_columns + n;
            tolerance[i] *= (2 * p->depth + 2) * u;
            if (epilogue == GELU || epilogue == SILU) {
                expected[i] = epilogue == GELU ? ref_gelu(expected[i]) : ref_silu(expected[i]);
                tolerance[i] = 1.13 * tolerance[i] + 0x1p-20 * (fabs(expected[i]) + 0.2);
            } else if (epilogue == GATE_VECTOR || epilogue == GATE_ROWS) {
                uint32_t g = epilogue == GATE_ROWS ? p->row_seq[m] : 0;
                double gate = (double)p->gate[(size_t)g * p->ldy + n], added = gate * expected[i];
                expected[i] = (double)p->residual[(size_t)m * p->ldy + n] + added;
                tolerance[i] = fabs(gate) * tolerance[i] + 2 * u * (fabs(expected[i]) + fabs(added));
            }
        }
}

static void check_output(gpu_test *t, const problem *p, const gpu_buffer *y, enum epilogue epilogue,
                         const char *shape)
{
    size_t n = (size_t)p->n_rows * p->n_columns;
    double *expected = gpu_test_alloc(n * sizeof *expected),
           *tolerance = gpu_test_alloc(n * sizeof *tolerance);
    float *found = gpu_test_alloc((size_t)p->n_rows * p->ldy * sizeof *found);
    expect(p, epilogue, expected, tolerance);
    gpu_test_read(t, y, found, (size_t)p->n_rows * p->ldy * sizeof *found);
    for (uint32_t m = 0; m < p->n_rows; m++)
        for (uint32_t c = 0; c < p->ldy; c++) {
            size_t i = (size_t)m * p->n_columns + c;
            bool real = c < p->n_columns;
            double e = real ? expected[i] : 0, d = fabs((double)found[(size_t)m * p->ldy + c] - e);
            if (!(d <= (real ? tolerance[i] : 0)))
                fail_msg("%s, %s, %s, %u x %u x %u: [%u, %u] is %.9g, expected %.9g within %g", shape,
                         vkdlm_dtype_name(p->dtype), epilogue_names[epilogue], p->n_rows, p->n_columns,
                         p->depth, m, c, (double)found[(size_t)m * p->ldy + c], e, real ? tolerance[i] : 0);
        }
    free(expected);
    free(tolerance);
    free(found);
}

static void check(gpu_test *t, const problem *p, enum epilogue epilogue, const matmul_shape *shape)
{
    matmul_args args = arguments(p, epilogue);
    gpu_commands *commands = gpu_test_begin(t);
    gpu_fill(commands, &p->b_y, 0, p->b_y.size_bytes, 0x7FC00000u);
    ops_matmul_shape(t->device, commands, &args, shape);
    gpu_test_submit(t);
    check_output(t, p, &p->b_y, epilogue, shape->name);
}

static void test_shapes(void **state)
{
    static const uint32_t sizes[][3] = {{1, 1, 1},    {1, 33, 31},  {2, 32, 32},  {3, 100, 65}, {5, 31, 128},
                                        {8, 257, 96}, {9, 64, 200}, {33, 70, 33}, {65, 130, 64}};
    gpu_test *t = *state;
    for (size_t d = 0; d < 3; d++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            problem p = problem_create(t, dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2]);
            for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
                if (matmul_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s]))
                    check(t, &p, BIAS, &matmul_shapes[s]);
            problem_destroy(&p);
        }
}

static void test_epilogues(void **state)
{
    gpu_test *t = *state;
    for (size_t d = 0; d < 3; d++) {
        problem p = problem_create(t, dtypes[d], 37, 77, 40);
        /* The epilogue is the same code around every core: each with a third of the types. */
        for (size_t s = d; s < MATMUL_N_SHAPES; s += 3)
            for (enum epilogue e = NONE; e < N_EPILOGUES; e++)
                if (matmul_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s]))
                    check(t, &p, e, &matmul_shapes[s]);
        problem_destroy(&p);
    }
}

/* The residual may be the output itself. */
static void test_in_place(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 70, 100, 64);
    for (size_t s = 0; s < MATMUL_N_SHAPES; s++) {
        if (!matmul_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s]))
            continue;
        matmul_args args = arguments(&p, GATE_ROWS);
        args.residual = args.y;
        gpu_commands *commands = gpu_test_begin(t);
        gpu_copy(commands, &p.b_residual, 0, &p.b_y, 0, p.b_y.size_bytes);
        ops_matmul_shape(t->device, commands, &args, &matmul_shapes[s]);
        gpu_test_submit(t);
        check_output(t, &p, &p.b_y, GATE_ROWS, matmul_shapes[s].name);
    }
    problem_destroy(&p);
}

static void run(gpu_test *t, problem *p, uint32_t n_rows, const matmul_shape *shape, float *out)
{
    matmul_args args = arguments(p, BIAS);
    args.n_rows = n_rows;
    gpu_commands *commands = gpu_test_begin(t);
    if (shape)
        ops_matmul_shape(t->device, commands, &args, shape);
    else
        ops_matmul(t->device, commands, &args);
    gpu_test_submit(t);
    gpu_test_read(t, &p->b_y, out, (size_t)n_rows * p->ldy * sizeof *out);
}

/* A row's bits depend neither on how many rows there are nor on the shape: each element is one chain. */
static void test_same_bits(void **state)
{
    gpu_test *t = *state;
    for (size_t d = 0; d < 3; d++) {
        problem p = problem_create(t, dtypes[d], 300, 96, 250);
        size_t row_bytes = p.ldy * sizeof(float);
        float *all = gpu_test_alloc(300 * row_bytes), *some = gpu_test_alloc(300 * row_bytes);
        run(t, &p, 300, NULL, all);
        for (uint32_t i = 0; i < 300u * p.ldy; i++)
            assert_true(fabsf(all[i]) < 1000);
        static const uint32_t counts[] = {1, 2, 4, 7, 17, 64, 129};
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            run(t, &p, counts[i], NULL, some);
            assert_memory_equal(some, all, counts[i] * row_bytes);
        }
        for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
            if (matmul_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s])) {
                run(t, &p, 65, &matmul_shapes[s], some);
                if (memcmp(some, all, 65 * row_bytes) != 0)
                    fail_msg("%s, %s: not the bits of the default", matmul_shapes[s].name,
                             vkdlm_dtype_name(dtypes[d]));
            }
        free(all);
        free(some);
        problem_destroy(&p);
    }
}

/* Every finite half, subnormals included, through the identity: Y = W^T exactly. */
static void test_all_halves(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F16, 256, 256, 256);
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)((i & 0x7C00u) == 0x7C00u ? 0 : i);
        memcpy(p.data + 1 + 2 * i, &h, 2);
    }
    weight_destroy(&p.w);
    upload_weight(t, &p, 1 << 20);
    memset(p.x, 0, (size_t)p.capacity * p.ldx * 4);
    for (uint32_t i = 0; i < 256; i++)
        p.x[i * p.ldx + i] = 1;
    gpu_buffer_destroy(&p.b_x);
    p.b_x = gpu_test_buffer(t, p.x, (size_t)p.capacity * p.ldx * 4);
    float *y = gpu_test_alloc(65536 * sizeof *y);
    for (size_t s = 0; s < MATMUL_N_SHAPES; s++) {
        if (!matmul_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s]))
            continue;
        matmul_args args = arguments(&p, NONE);
        ops_matmul_shape(t->device, gpu_test_begin(t), &args, &matmul_shapes[s]);
        gpu_test_submit(t);
        gpu_test_read(t, &p.b_y, y, 65536 * sizeof *y);
        for (uint32_t n = 0; n < 256; n++)
            for (uint32_t k = 0; k < 256; k++) {
                float expected = load_element(p.data + 1, VKDLM_DTYPE_F16, n * 256 + k);
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
    problem p = problem_create(t, VKDLM_DTYPE_F32, 1, 32, 32);
    gpu_buffer_destroy(&p.b_bias);
    p.b_bias = gpu_test_buffer(t, arguments_of, sizeof arguments_of);
    memset(p.data, 0, 32 * 32 * 4 + 1);
    weight_destroy(&p.w);
    upload_weight(t, &p, 1 << 16);
    for (enum epilogue e = GELU; e <= SILU; e++) {
        float y[32];
        matmul_args args = arguments(&p, e);
        ops_matmul(t->device, gpu_test_begin(t), &args);
        gpu_test_submit(t);
        gpu_test_read(t, &p.b_y, y, sizeof y);
        for (int i = 0; i < 32; i++) {
            double v = (double)arguments_of[i], expected = e == GELU ? ref_gelu(v) : ref_silu(v);
            /* exp(e) inherits the rounding of its argument, which matters only where the result is small. */
            if (!(fabs((double)y[i] - expected) <= 0x1p-20 * fabs(expected) + 4e-7 * fmin(1, fabs(v))))
                fail_msg("%s(%g) is %g, expected %g", epilogue_names[e], v, (double)y[i], expected);
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
    for (size_t d = 0; d < 3; d++) {
        problem p = problem_create(&t, dtypes[d], 150, 130, 128);
        for (enum epilogue e = NONE; e < N_EPILOGUES; e++) {
            matmul_args args = arguments(&p, e);
            gpu_commands *commands = gpu_test_begin(&t);
            gpu_fill(commands, &p.b_y, 0, p.b_y.size_bytes, 0x7FC00000u);
            ops_matmul(t.device, commands, &args);
            uint32_t slice = weight_panels_per_slice(&p.w, gpu_device_caps(t.device));
            assert_int_equal(gpu_commands_dispatches(commands), 3 * ((5 + slice - 1) / slice));
            gpu_test_submit(&t);
            check_output(&t, &p, &p.b_y, e, "slices");
        }
        problem_destroy(&p);
    }
    problem p = problem_create(&t, VKDLM_DTYPE_F32, 1, 32, 320);
    matmul_args args = arguments(&p, NONE);
    ops_matmul(t.device, gpu_test_begin(&t), &args);
    vkdlm_error err;
    assert_int_equal(gpu_submit_wait(t.commands, &err), VKDLM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "32 x 320"));
    problem_destroy(&p);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* Panels on the host: element (n, k) lies where the layout says, everything else is zero. */
static void test_pack(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{1, 1}, {32, 32}, {33, 31}, {70, 100}, {64, 129}};
    for (size_t d = 0; d < 3; d++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            uint32_t n_columns = sizes[i][0], depth = sizes[i][1], depth_padded = weight_pad(depth);
            size_t n = (size_t)n_columns * depth;
            char *data = gpu_test_alloc(n * 4 + 1);
            for (size_t e = 0; e < n; e++)
                store_element(data + 1, dtypes[d], e, (float)(e % 251) + 1);
            vkdlm_tensor tensor = {.name = "w",
                                   .dtype = dtypes[d],
                                   .n_dims = 2,
                                   .shape = {n_columns, depth},
                                   .data = data + 1,
                                   .file = "test"};
            weight w;
            vkdlm_error err;
            gpu_test_ok(weight_describe(&tensor, &w, &err), &err);
            char *packed = gpu_test_alloc(w.bytes);
            memset(packed, 0xFF, w.bytes);
            for (uint32_t p = 0; p < w.n_panels; p++)
                weight_pack_panels(packed + p * w.panel_bytes, &tensor, p, 1);
            for (uint32_t c = 0; c < weight_pad(n_columns); c++)
                for (uint32_t k = 0; k < depth_padded; k++) {
                    float expected =
                        c < n_columns && k < depth ? (float)(((size_t)c * depth + k) % 251) + 1 : 0;
                    size_t at = ((size_t)(c / 32) * depth_padded + k) * 32 + c % 32;
                    assert_true(load_element(packed, dtypes[d], at) == expected);
                }
            free(packed);
            free(data);
        }
}

/* A staging ring smaller than one panel, and one that holds several. */
static void test_upload_sizes(void **state)
{
    gpu_test *t = *state;
    static const uint64_t staging[] = {128, 1000, 8192, 20000, 1 << 20};
    problem p = problem_create(t, VKDLM_DTYPE_F16, 4, 150, 70);
    for (size_t i = 0; i < sizeof staging / sizeof *staging; i++) {
        weight_destroy(&p.w);
        upload_weight(t, &p, staging[i]);
        check(t, &p, BIAS, matmul_select(gpu_device_caps(t->device), p.n_rows));
    }
    problem_destroy(&p);
}

static void test_wrong_tensors(void **state)
{
    (void)state;
    weight w;
    vkdlm_error err;
    vkdlm_tensor tensor = {
        .name = "blocks.0.w", .dtype = VKDLM_DTYPE_I32, .n_dims = 2, .shape = {4, 4}, .file = "f"};
    assert_int_equal(weight_describe(&tensor, &w, &err), VKDLM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "blocks.0.w"));
    tensor.dtype = VKDLM_DTYPE_F32;
    tensor.n_dims = 1;
    assert_int_equal(weight_describe(&tensor, &w, &err), VKDLM_MALFORMED);
    tensor.n_dims = 2;
    tensor.shape[1] = 0;
    assert_int_equal(weight_describe(&tensor, &w, &err), VKDLM_MALFORMED);
    tensor.shape[1] = UINT64_MAX;
    assert_int_equal(weight_describe(&tensor, &w, &err), VKDLM_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack),       cmocka_unit_test(test_wrong_tensors),
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_in_place),   cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_all_halves), cmocka_unit_test(test_activation_range),
        cmocka_unit_test(test_slices),     cmocka_unit_test(test_upload_sizes),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
