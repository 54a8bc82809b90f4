/* RMSNorm, plain, modulated and of a gated sum, against the double-precision reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "gpu_test.h"
#include "ops/rms.h"
#include "ref/ref_norm.h"
#include "shaders/params.h"

static const float eps = 1e-6f;

/* Modulation rows: gate, scale, something else, shift. */
enum { GATE, SCALE, OTHER, SHIFT, N_PARTS };

enum form { PLAIN, MODULATED, SUM, BOTH, N_FORMS };

static bool has_scale(enum form form)
{
    return form == MODULATED || form == BOTH;
}

static bool has_add(enum form form)
{
    return form == SUM || form == BOTH;
}

/* A problem: n_in rows of x, n_out rows of y and of add; every array has pads of zero. */
typedef struct problem {
    uint32_t n_in, n_out, n_columns, ld, n_mod;
    enum form form;
    bool has_source, has_row_mod;
    float *x, *add, *weight, *modulation;
    uint32_t *source, *row_mod;
} problem;

/* Values in [-spread, spread) in the first n_columns of every row. */
static float *random_rows(uint32_t n_rows, uint32_t n_columns, uint32_t ld, uint64_t seed, float spread)
{
    float *rows = gpu_test_alloc((size_t)n_rows * ld * sizeof *rows);
    for (uint32_t r = 0; r < n_rows; r++)
        gpu_test_random(rows + (size_t)r * ld, n_columns, seed * 1000003 + r, -spread, spread);
    return rows;
}

static problem problem_create(enum form form, uint32_t n_in, uint32_t n_out, uint32_t n_columns,
                              uint32_t n_mod, float spread)
{
    problem p = {.form = form, .n_in = n_in, .n_out = n_out, .n_columns = n_columns, .n_mod = n_mod};
    p.ld = (uint32_t)size_round_up(n_columns, 32);
    p.has_source = n_in != n_out;
    p.has_row_mod = n_mod > 1;
    p.x = random_rows(n_in, n_columns, p.ld, 1, spread);
    p.add = random_rows(n_out, n_columns, p.ld, 4, spread);
    p.weight = random_rows(1, n_columns, p.ld, 2, 1.5f);
    p.modulation = random_rows(N_PARTS * n_mod, n_columns, p.ld, 3, 1);
    p.source = gpu_test_alloc(n_out * sizeof *p.source);
    p.row_mod = gpu_test_alloc(n_out * sizeof *p.row_mod);
    for (uint32_t r = 0; r < n_out; r++) {
        p.source[r] = p.has_source ? (r * 7 + 3) % n_in : r;
        p.row_mod[r] = p.has_row_mod ? (r * 5 + 1) % n_mod : 0;
    }
    return p;
}

static void problem_destroy(problem *p)
{
    free(p->x);
    free(p->add);
    free(p->weight);
    free(p->modulation);
    free(p->source);
    free(p->row_mod);
}

static const float *part(const problem *p, uint32_t row, uint32_t which)
{
    return p->modulation + ((size_t)p->row_mod[row] * N_PARTS + which) * p->ld;
}

/* y[n_out * ld] from the device; in_place: written over x. */
static float *run(gpu_test *t, const problem *p, bool in_place)
{
    size_t y_bytes = (size_t)p->n_out * p->ld * sizeof(float);
    gpu_buffer x = gpu_test_buffer(t, p->x, (size_t)p->n_in * p->ld * sizeof(float));
    gpu_buffer y = gpu_test_buffer(t, NULL, y_bytes);
    gpu_buffer add = gpu_test_buffer(t, p->add, y_bytes);
    gpu_buffer weight = gpu_test_buffer(t, p->weight, p->ld * sizeof(float));
    gpu_buffer modulation =
        gpu_test_buffer(t, p->modulation, (size_t)N_PARTS * p->n_mod * p->ld * sizeof(float));
    gpu_buffer source = gpu_test_buffer(t, p->source, p->n_out * sizeof(uint32_t));
    gpu_buffer row_mod = gpu_test_buffer(t, p->row_mod, p->n_out * sizeof(uint32_t));
    rms_args args = {
        .x = gpu_view_all(&x),
        .y = gpu_view_all(in_place ? &x : &y),
        .weight = gpu_view_all(&weight),
        .n_rows = p->n_out,
        .n_columns = p->n_columns,
        .ld = p->ld,
        .eps = eps,
        .mod_stride = N_PARTS * p->ld,
        .scale_shift = has_scale(p->form),
        .scale_offset = SCALE * p->ld,
        .shift_offset = SHIFT * p->ld,
        .gate_offset = GATE * p->ld,
    };
    if (p->form != PLAIN)
        args.modulation = gpu_view_all(&modulation);
    if (has_add(p->form))
        args.add = gpu_view_all(&add);
    if (p->has_source)
        args.source = gpu_view_all(&source);
    if (p->has_row_mod)
        args.row_mod = gpu_view_all(&row_mod);
    ops_rms(t->device, gpu_test_begin(t), &args);
    gpu_test_submit(t);
    float *found = gpu_test_alloc(y_bytes);
    gpu_test_read(t, in_place ? &x : &y, found, y_bytes);
    gpu_buffer *all[] = {&x, &y, &add, &weight, &modulation, &source, &row_mod};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        gpu_buffer_destroy(all[i]);
    return found;
}

static double *expect(const problem *p)
{
    double *y = gpu_test_alloc((size_t)p->n_out * p->n_columns * sizeof *y);
    for (uint32_t r = 0; r < p->n_out; r++)
        ref_rms(p->x + (size_t)p->source[r] * p->ld, part(p, r, GATE),
                has_add(p->form) ? p->add + (size_t)r * p->ld : NULL, p->weight,
                has_scale(p->form) ? part(p, r, SCALE) : NULL, has_scale(p->form) ? part(p, r, SHIFT) : NULL,
                p->n_columns, (double)eps, y + (size_t)r * p->n_columns);
    return y;
}

/* Rounding of a sum of n/4 squares one after the other (four chains): at most n/4 half-ulps (2^-24) relative,
 * typically the root of that; the root halves it. A few more roundings follow. The result is at most
 * sqrt(n) |weight + scale| + |shift| where one component is the whole row, and 4 * 2.5 + 1 in common rows. */
static double tolerance(uint32_t n_columns)
{
    return 0x1p-24 * (11 * (8 + sqrt(n_columns / 4.0)));
}

static void compare(const problem *p, const float *found)
{
    double *expected = expect(p);
    gpu_test_compare_rows("rms", expected, found, p->n_out, p->n_columns, p->ld, tolerance(p->n_columns), 0);
    free(expected);
}

static void check(gpu_test *t, enum form form, uint32_t n_in, uint32_t n_out, uint32_t n_columns,
                  uint32_t n_mod, float spread)
{
    problem p = problem_create(form, n_in, n_out, n_columns, n_mod, spread);
    float *found = run(t, &p, false);
    compare(&p, found);
    free(found);
    problem_destroy(&p);
}

static void test_shapes(void **state)
{
    static const uint32_t columns[] = {1, 2, 3, 4, 31, 32, 33, 64, 97, 257, 896, 1000, 1024, 2047, 4096};
    static const uint32_t rows[][3] = {{1, 1, 1}, {2, 2, 1}, {9, 9, 2}, {33, 5, 1}, {7, 70, 3}};
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (enum form form = 0; form < N_FORMS; form++)
                check(*state, form, rows[r][0], rows[r][1], columns[c], rows[r][2], 1);
}

/* Where eps dominates, and where values are large. */
static void test_scales(void **state)
{
    static const float spreads[] = {1e-5f, 1e-3f, 30, 1e4f};
    for (size_t i = 0; i < sizeof spreads / sizeof *spreads; i++)
        for (enum form form = 0; form < N_FORMS; form++) {
            check(*state, form, 10, 10, 67, 1, spreads[i]);
            check(*state, form, 3, 3, 2048, 1, spreads[i]);
        }
}

static void test_in_place(void **state)
{
    static const uint32_t columns[] = {3, 67, 1030};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        for (enum form form = 0; form < N_FORMS; form++) {
            problem p = problem_create(form, 9, 9, columns[i], 2, 1);
            float *apart = run(*state, &p, false), *found = run(*state, &p, true);
            assert_memory_equal(found, apart, (size_t)p.n_out * p.ld * sizeof(float));
            free(apart);
            free(found);
            problem_destroy(&p);
        }
}

/* A row of zeros is divided by sqrt(eps), not by zero. */
static void test_zero_rows(void **state)
{
    problem p = problem_create(PLAIN, 4, 4, 100, 1, 0);
    float *found = run(*state, &p, false);
    for (uint32_t i = 0; i < 4 * p.ld; i++)
        assert_true(found[i] == 0);
    free(found);
    problem_destroy(&p);
}

/* With a gate of zero the addend leaves no trace, not even in the sign of a zero. */
static void test_closed_gate(void **state)
{
    static const uint32_t columns[] = {5, 67, 256, 1030};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        for (int modulated = 0; modulated < 2; modulated++) {
            problem p = problem_create(modulated ? BOTH : SUM, 9, 9, columns[i], 2, 1);
            for (uint32_t m = 0; m < 2; m++)
                memset(p.modulation + (size_t)(m * N_PARTS + GATE) * p.ld, 0, p.ld * sizeof(float));
            for (uint32_t r = 0; r < 9; r++)
                p.x[(size_t)r * p.ld + r % p.n_columns] = -0.0f;
            float *with = run(*state, &p, false);
            p.form = modulated ? MODULATED : PLAIN;
            float *without = run(*state, &p, false);
            assert_memory_equal(with, without, (size_t)p.n_out * p.ld * sizeof(float));
            compare(&p, with);
            free(with);
            free(without);
            problem_destroy(&p);
        }
}

/* A row gives the same bits in any company, and no row sees another's infinities. */
static void rows_are_independent(gpu_test *t, enum form form, uint32_t n_columns)
{
    problem p = problem_create(form, 37, 37, n_columns, 1, 1);
    float *together = run(t, &p, false);
    float *x = p.x, *add = p.add;
    p.n_in = p.n_out = 1;
    for (uint32_t r = 0; r < 37; r += 4) {
        p.x = x + (size_t)r * p.ld;
        p.add = add + (size_t)r * p.ld;
        float *alone = run(t, &p, false);
        assert_memory_equal(alone, together + (size_t)r * p.ld, p.ld * sizeof(float));
        free(alone);
    }
    p.x = x;
    p.add = add;
    p.n_in = p.n_out = 37;
    for (uint32_t r = 1; r < 37; r += 2)
        for (uint32_t c = 0; c < p.n_columns; c++)
            p.x[r * p.ld + c] = c % 2 ? INFINITY : NAN;
    float *dirty = run(t, &p, false);
    for (uint32_t r = 0; r < 37; r += 2)
        assert_memory_equal(dirty + (size_t)r * p.ld, together + (size_t)r * p.ld, p.ld * sizeof(float));
    free(dirty);
    free(together);
    problem_destroy(&p);
}

static void test_rows_are_independent(void **state)
{
    for (enum form form = 0; form < N_FORMS; form++) {
        rows_are_independent(*state, form, 333);
        rows_are_independent(*state, form, 1100);
    }
}

/* Every way to share a row between invocations, whatever this device would choose. */
static void test_lanes(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {2, 2}, {8, 4}, {8, 8}, {64, 8}, {128, 16}, {128, 128}};
    static const uint32_t columns[] = {2, 33, 257, 768};
    gpu_test *t = *state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) {
            problem p = problem_create(BOTH, 21, 21, columns[k], 1, 1);
            size_t x_bytes = (size_t)p.n_in * p.ld * sizeof(float);
            gpu_buffer x = gpu_test_buffer(t, p.x, x_bytes);
            gpu_buffer y = gpu_test_buffer(t, NULL, x_bytes);
            gpu_buffer add = gpu_test_buffer(t, p.add, x_bytes);
            gpu_buffer weight = gpu_test_buffer(t, p.weight, p.ld * sizeof(float));
            gpu_buffer modulation = gpu_test_buffer(t, p.modulation, (size_t)N_PARTS * p.ld * sizeof(float));
            const gpu_view views[] = {gpu_view_all(&x),          gpu_view_all(&y), gpu_view_all(&weight),
                                      gpu_view_all(&modulation), gpu_view_all(&x), gpu_view_all(&x),
                                      gpu_view_all(&add)};
            const gpu_spec spec = {.n = 6, .value = {shapes[i][0], shapes[i][1], 0, 0, 1, 1}};
            const struct rms_params push = {p.n_in,       p.n_columns,  p.ld,        N_PARTS * p.ld,
                                            SCALE * p.ld, SHIFT * p.ld, GATE * p.ld, eps};
            uint32_t rows = shapes[i][0] / shapes[i][1];
            gpu_test_run(t, GPU_KERNEL_RMS, &spec, views, 7, &push, sizeof push, (p.n_in + rows - 1) / rows,
                         1, 1);
            float *found = gpu_test_alloc(x_bytes);
            gpu_test_read(t, &y, found, x_bytes);
            compare(&p, found);
            free(found);
            gpu_buffer *all[] = {&x, &y, &add, &weight, &modulation};
            for (size_t b = 0; b < sizeof all / sizeof *all; b++)
                gpu_buffer_destroy(all[b]);
            problem_destroy(&p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),      cmocka_unit_test(test_scales),
        cmocka_unit_test(test_in_place),    cmocka_unit_test(test_zero_rows),
        cmocka_unit_test(test_closed_gate), cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_lanes),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
