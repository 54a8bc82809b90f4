/* LayerNorm with modulation against the double-precision reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "gpu_test.h"
#include "ops/norm.h"
#include "ref/ref_norm.h"
#include "shaders/params.h"

/* A problem: n_in rows of x, n_out rows of y; every array has pads of zero. */
typedef struct problem {
    uint32_t n_in, n_out, n_columns, ld, n_mod;
    bool has_source, has_seq;
    float *x, *weight, *modulation; /* modulation rows: scale, something else, shift */
    uint32_t *source, *row_seq;
} problem;

/* Values in [center - spread, center + spread) in the first n_columns of every row. */
static float *random_rows(uint32_t n_rows, uint32_t n_columns, uint32_t ld, uint64_t seed, float center,
                          float spread)
{
    float *rows = gpu_test_alloc((size_t)n_rows * ld * sizeof *rows);
    for (uint32_t r = 0; r < n_rows; r++)
        gpu_test_random(rows + (size_t)r * ld, n_columns, seed * 1000003 + r, center - spread,
                        center + spread);
    return rows;
}

static problem problem_create(uint32_t n_in, uint32_t n_out, uint32_t n_columns, uint32_t n_mod, float center,
                              float spread)
{
    problem p = {.n_in = n_in, .n_out = n_out, .n_columns = n_columns, .n_mod = n_mod};
    p.ld = (uint32_t)size_round_up(n_columns, 32);
    p.has_source = n_in != n_out;
    p.has_seq = n_mod > 1;
    p.x = random_rows(n_in, n_columns, p.ld, 1, center, spread);
    p.weight = random_rows(1, n_columns, p.ld, 2, 1, 0.5f);
    p.modulation = random_rows(3 * n_mod, n_columns, p.ld, 3, 0, 1);
    p.source = gpu_test_alloc(n_out * sizeof *p.source);
    p.row_seq = gpu_test_alloc(n_out * sizeof *p.row_seq);
    for (uint32_t r = 0; r < n_out; r++) {
        p.source[r] = p.has_source ? (r * 7 + 3) % n_in : r;
        p.row_seq[r] = p.has_seq ? (r * 5 + 1) % n_mod : 0;
    }
    return p;
}

static void problem_destroy(problem *p)
{
    free(p->x);
    free(p->weight);
    free(p->modulation);
    free(p->source);
    free(p->row_seq);
}

/* y[n_out * ld] from the device. */
static float *run(gpu_test *t, const problem *p)
{
    size_t y_bytes = (size_t)p->n_out * p->ld * sizeof(float);
    gpu_buffer x = gpu_test_buffer(t, p->x, (size_t)p->n_in * p->ld * sizeof(float));
    gpu_buffer y = gpu_test_buffer(t, NULL, y_bytes);
    gpu_buffer weight = gpu_test_buffer(t, p->weight, p->ld * sizeof(float));
    gpu_buffer modulation = gpu_test_buffer(t, p->modulation, (size_t)3 * p->n_mod * p->ld * sizeof(float));
    gpu_buffer source = gpu_test_buffer(t, p->source, p->n_out * sizeof(uint32_t));
    gpu_buffer row_seq = gpu_test_buffer(t, p->row_seq, p->n_out * sizeof(uint32_t));
    norm_args args = {
        .x = gpu_view_all(&x),
        .y = gpu_view_all(&y),
        .weight = gpu_view_all(&weight),
        .n_rows = p->n_out,
        .n_columns = p->n_columns,
        .ld = p->ld,
        .modulation = gpu_view_all(&modulation),
        .mod_stride = 3 * p->ld,
        .scale_offset = 0,
        .shift_offset = 2 * p->ld,
    };
    if (p->has_source)
        args.source = gpu_view_all(&source);
    if (p->has_seq)
        args.row_seq = gpu_view_all(&row_seq);
    ops_norm(t->device, gpu_test_begin(t), &args);
    gpu_test_submit(t);
    float *found = gpu_test_alloc(y_bytes);
    gpu_test_read(t, &y, found, y_bytes);
    gpu_buffer *all[] = {&x, &y, &weight, &modulation, &source, &row_seq};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        gpu_buffer_destroy(all[i]);
    return found;
}

static double *expect(const problem *p)
{
    double *y = gpu_test_alloc((size_t)p->n_out * p->n_columns * sizeof *y);
    for (uint32_t r = 0; r < p->n_out; r++) {
        const float *mod = p->modulation + (size_t)p->row_seq[r] * 3 * p->ld;
        ref_norm(p->x + (size_t)p->source[r] * p->ld, p->weight, mod, mod + 2 * p->ld, p->n_columns, 1e-5,
                 y + (size_t)r * p->n_columns);
    }
    return y;
}

/* Rounding of a sum of n/4 terms one after the other (four chains): at most n/4 half-ulps (2^-24) of the mean
 * magnitude, shifted values by as much; typically the root of that. Normalised, that is multiplied by
 * (|center| + spread) / deviation, then by |weight (1 + scale)| <= 3; a few more roundings on values up to
 * ~6. */
static double tolerance(uint32_t n_columns, double center, double spread)
{
    double deviation = sqrt(spread * spread / 3 + 1e-5);
    return 0x1p-24 * (3 * (16 + 4 * sqrt(n_columns / 4.0)) * (fabs(center) + spread) / deviation + 16);
}

static void check(gpu_test *t, uint32_t n_in, uint32_t n_out, uint32_t n_columns, uint32_t n_mod,
                  float center, float spread)
{
    problem p = problem_create(n_in, n_out, n_columns, n_mod, center, spread);
    float *found = run(t, &p);
    double *expected = expect(&p);
    gpu_test_compare_rows("norm", expected, found, n_out, n_columns, p.ld,
                          tolerance(n_columns, (double)center, (double)spread), 0x1p-20);
    free(expected);
    free(found);
    problem_destroy(&p);
}

static void test_shapes(void **state)
{
    static const uint32_t columns[] = {2, 3, 4, 31, 32, 33, 64, 97, 257, 768, 1000, 4096, 16384};
    static const uint32_t rows[][3] = {{1, 1, 1},  {2, 2, 1},  {9, 9, 2},
                                       {33, 5, 1}, {7, 70, 3}, {129, 129, 1}};
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            check(*state, rows[r][0], rows[r][1], columns[c], rows[r][2], 0, 1);
}

/* Where eps dominates the variance, and where the mean is a thousand deviations. */
static void test_scales(void **state)
{
    static const float scales[][2] = {{0, 1e-4f}, {0, 3e-3f}, {0, 1e4f},
                                      {100, 1},   {-1000, 1}, {1e-3f, 1e-3f}};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        check(*state, 10, 10, 768, 1, scales[i][0], scales[i][1]);
        check(*state, 10, 10, 67, 1, scales[i][0], scales[i][1]);
    }
}

/* A constant row has no variance: the result is the shift alone. */
static void test_constant_rows(void **state)
{
    problem p = problem_create(4, 4, 100, 2, 0, 1);
    for (uint32_t r = 0; r < 4; r++)
        for (uint32_t c = 0; c < 100; c++)
            p.x[r * p.ld + c] = (float)r - 1;
    float *found = run(*state, &p);
    for (uint32_t r = 0; r < 4; r++)
        for (uint32_t c = 0; c < 100; c++) {
            float shift = p.modulation[(p.row_seq[r] * 3 + 2) * p.ld + c];
            assert_true(fabsf(found[r * p.ld + c] - shift) <= 1e-6f);
        }
    free(found);
    problem_destroy(&p);
}

/* A row gives the same bits in any company, and no row sees another's infinities. */
static void test_rows_are_independent(void **state)
{
    problem p = problem_create(37, 37, 333, 1, 0, 1);
    float *together = run(*state, &p);
    float *x = p.x;
    p.n_in = p.n_out = 1;
    for (uint32_t r = 0; r < 37; r += 4) {
        p.x = x + (size_t)r * p.ld;
        float *alone = run(*state, &p);
        assert_memory_equal(alone, together + (size_t)r * p.ld, p.ld * sizeof(float));
        free(alone);
    }
    p.x = x;
    p.n_in = p.n_out = 37;
    for (uint32_t r = 1; r < 37; r += 2)
        for (uint32_t c = 0; c < p.n_columns; c++)
            p.x[r * p.ld + c] = c % 2 ? INFINITY : NAN;
    float *dirty = run(*state, &p);
    for (uint32_t r = 0; r < 37; r += 2)
        assert_memory_equal(dirty + (size_t)r * p.ld, together + (size_t)r * p.ld, p.ld * sizeof(float));
    free(dirty);
    free(together);
    problem_destroy(&p);
}

/* Every way to share a row between invocations, whatever this device would choose. */
static void test_lanes(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {2, 2}, {8, 4}, {8, 8}, {64, 8}, {128, 16}, {128, 128}};
    static const uint32_t columns[] = {2, 33, 257, 768};
    gpu_test *t = *state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) {
            problem p = problem_create(21, 21, columns[k], 1, 0.5, 1);
            size_t x_bytes = (size_t)p.n_in * p.ld * sizeof(float);
            gpu_buffer x = gpu_test_buffer(t, p.x, x_bytes);
            gpu_buffer y = gpu_test_buffer(t, NULL, x_bytes);
            gpu_buffer weight = gpu_test_buffer(t, p.weight, p.ld * sizeof(float));
            gpu_buffer modulation = gpu_test_buffer(t, p.modulation, (size_t)3 * p.ld * sizeof(float));
            const gpu_view views[] = {gpu_view_all(&x),          gpu_view_all(&y), gpu_view_all(&weight),
                                      gpu_view_all(&modulation), gpu_view_all(&x), gpu_view_all(&x)};
            const gpu_spec spec = {.n = 4, .value = {shapes[i][0], shapes[i][1], 0, 0}};
            const struct norm_params push = {p.n_in, p.n_columns, p.ld, 3 * p.ld, 0, 2 * p.ld, NORM_EPS};
            uint32_t rows = shapes[i][0] / shapes[i][1];
            gpu_test_run(t, GPU_KERNEL_NORM, &spec, views, 6, &push, sizeof push, (p.n_in + rows - 1) / rows,
                         1, 1);
            float *found = gpu_test_alloc(x_bytes);
            gpu_test_read(t, &y, found, x_bytes);
            double *expected = expect(&p);
            gpu_test_compare_rows("norm", expected, found, p.n_out, p.n_columns, p.ld,
                                  tolerance(columns[k], 0.5, 1), 0x1p-20);
            free(expected);
            free(found);
            gpu_buffer *all[] = {&x, &y, &weight, &modulation};
            for (size_t b = 0; b < sizeof all / sizeof *all; b++)
                gpu_buffer_destroy(all[b]);
            problem_destroy(&p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_constant_rows), cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_lanes),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
