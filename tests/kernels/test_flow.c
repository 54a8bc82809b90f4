/* The step of a flow, probabilities and the diffusion vocabulary against double-precision references. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "gpu_test.h"
#include "ops/flow.h"
#include "ref/ref_flow.h"
#include "shaders/params.h"

/* How a kernel is run: as the device would have it, or with so many invocations of a workgroup and of a row,
 * and without texels. */
typedef struct lane_shape {
    uint32_t size, lanes;
} lane_shape;

static const lane_shape wide_shapes[] = {{1, 1}, {4, 2}, {64, 8}, {128, 64}, {128, 128}};

enum { N_WIDE_SHAPES = sizeof wide_shapes / sizeof *wide_shapes };

static size_t row_stride(uint32_t n_columns)
{
    return size_round_up(n_columns, 32);
}

/* Values in [-spread, spread) in the first n_columns of every row, `pad` in the rest. */
static float *random_rows(uint32_t n_rows, uint32_t n_columns, uint64_t seed, float spread, float pad)
{
    size_t ld = row_stride(n_columns);
    float *rows = gpu_test_alloc((size_t)n_rows * ld * sizeof *rows);
    for (uint32_t r = 0; r < n_rows; r++) {
        gpu_test_random(rows + r * ld, n_columns, seed * 1000003 + r, -spread, spread);
        for (size_t c = n_columns; c < ld; c++)
            rows[r * ld + c] = pad;
    }
    return rows;
}

/* ---- a velocity and a step ------------------------------------------------------------------------ */

/* A problem; state, stage and slopes as they are before. */
typedef struct step {
    flow_stage_args args; /* without views */
    float *target, *state, *stage, *slopes;
} step;

/* What comes back, with rows of ld floats. */
typedef struct stepped {
    float *state, *stage, *slopes, *input;
} stepped;

static size_t slope_floats(const step *s)
{
    return size_round_up(s->args.n_rows, 64) * s->args.ld;
}

static size_t rows_bytes(const step *s)
{
    return (size_t)s->args.n_rows * s->args.ld * sizeof(float);
}

static step step_create(uint32_t n_rows, uint32_t n_columns, uint32_t n_branches, uint32_t slope,
                        bool normalise, bool advance)
{
    static const float steps[FLOW_MAX_SLOPES] = {-0.04f, 0.125f, 0.0625f, 0.1f};
    step s = {.args = {.n_rows = n_rows,
                       .n_columns = n_columns,
                       .ld = (uint32_t)row_stride(n_columns),
                       .n_branches = n_branches,
                       .normalise = normalise,
                       .rescale = sqrtf((float)n_columns),
                       .branch_weight = {n_branches == 2 ? 2.5f : 1, -1.5f},
                       .factor = 1 / 0.7f,
                       .slope = slope,
                       .advance = advance,
                       .input_scale = 1 / 45.0f}};
    memcpy(s.args.step, steps, sizeof steps);
    s.target = random_rows(n_branches * n_rows, n_columns, 1, normalise ? 0.02f : 1.7f, NAN);
    s.state = random_rows(n_rows, n_columns, 2, 300, 0);
    s.stage = random_rows(n_rows, n_columns, 3, 300, 0);
    s.slopes = gpu_test_alloc(FLOW_MAX_SLOPES * slope_floats(&s) * sizeof(float));
    for (uint32_t i = 0; i < FLOW_MAX_SLOPES; i++) {
        float *one = random_rows(n_rows, n_columns, 4 + i, 400, 0);
        memcpy(s.slopes + i * slope_floats(&s), one, rows_bytes(&s));
        free(one);
    }
    return s;
}

static void step_destroy(step *s)
{
    free(s->target);
    free(s->state);
    free(s->stage);
    free(s->slopes);
}

static void step_dispatch(gpu_test *t, const flow_stage_args *a, const lane_shape *shape)
{
    const gpu_view views[] = {a->target, a->state, a->stage, a->slopes, a->input};
    const gpu_spec spec = {.n = 4, .value = {shape->size, shape->lanes, a->n_branches, a->normalise}};
    const struct flow_stage_params push = {
        .n_rows = a->n_rows,
        .n_columns = a->n_columns,
        .ld = a->ld,
        .slope = a->slope,
        .slope_stride = (uint32_t)size_round_up(a->n_rows, 64) * a->ld,
        .advance = a->advance,
        .rescale = a->rescale,
        .branch_weight0 = a->branch_weight[0],
        .branch_weight1 = a->branch_weight[1],
        .factor = a->factor,
        .step0 = a->step[0],
        .step1 = a->step[1],
        .step2 = a->step[2],
        .step3 = a->step[3],
        .input_scale = a->input_scale,
    };
    uint32_t rows = shape->size / shape->lanes;
    gpu_test_run(t, GPU_KERNEL_FLOW_STAGE, &spec, views, 5, &push, sizeof push, (a->n_rows + rows - 1) / rows,
                 1, 1);
}

/* shape NULL: as the device would have it. */
static stepped step_run(gpu_test *t, const step *s, const lane_shape *shape)
{
    size_t bytes = rows_bytes(s), slopes_bytes = FLOW_MAX_SLOPES * slope_floats(s) * sizeof(float);
    stepped out = {gpu_test_alloc(bytes), gpu_test_alloc(bytes), gpu_test_alloc(slopes_bytes),
                   gpu_test_alloc(s->args.n_branches * bytes)};
    gpu_buffer target = gpu_test_buffer(t, s->target, s->args.n_branches * bytes);
    gpu_buffer state = gpu_test_buffer(t, s->state, bytes);
    gpu_buffer stage = gpu_test_buffer(t, s->stage, bytes);
    gpu_buffer slopes = gpu_test_buffer(t, s->slopes, slopes_bytes);
    gpu_buffer input = gpu_test_buffer(t, NULL, s->args.n_branches * bytes);
    flow_stage_args args = s->args;
    args.target = gpu_view_all(&target);
    args.state = gpu_view_all(&state);
    args.stage = gpu_view_all(&stage);
    args.slopes = gpu_view_all(&slopes);
    args.input = gpu_view_all(&input);
    if (shape) {
        step_dispatch(t, &args, shape);
    } else {
        ops_flow_stage(t->device, gpu_test_begin(t), &args);
        gpu_test_submit(t);
    }
    gpu_test_read(t, &state, out.state, bytes);
    gpu_test_read(t, &stage, out.stage, bytes);
    gpu_test_read(t, &slopes, out.slopes, slopes_bytes);
    gpu_test_read(t, &input, out.input, s->args.n_branches * bytes);
    gpu_buffer *all[] = {&target, &state, &stage, &slopes, &input};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        gpu_buffer_destroy(all[i]);
    return out;
}

static void stepped_destroy(stepped *out)
{
    free(out->state);
    free(out->stage);
    free(out->slopes);
    free(out->input);
}

/* The velocity and the next state of row r, and the largest magnitudes that enter them. */
static void step_expect(const step *s, uint32_t r, double *v, double *next, double *v_size, double *next_size)
{
    const flow_stage_args *a = &s->args;
    uint32_t n = a->n_columns;
    double *x_hat[FLOW_MAX_BRANCHES], weights[FLOW_MAX_BRANCHES];
    const double *targets[FLOW_MAX_BRANCHES];
    *v_size = 0;
    for (uint32_t b = 0; b < a->n_branches; b++) {
        const float *row = s->target + ((size_t)b * a->n_rows + r) * a->ld;
        targets[b] = x_hat[b] = gpu_test_alloc(n * sizeof **x_hat);
        weights[b] = (double)a->branch_weight[b];
        if (a->normalise)
            ref_flow_normalise(row, n, (double)a->rescale, x_hat[b]);
        else
            for (uint32_t c = 0; c < n; c++)
                x_hat[b][c] = (double)row[c];
    }
    const float *stage = s->stage + (size_t)r * a->ld;
    ref_flow_velocity(targets, weights, a->n_branches, (double)a->factor, stage, n, v);
    for (uint32_t c = 0; a->factor != 0 && c < n; c++)
        for (uint32_t b = 0; b < a->n_branches; b++)
            *v_size = fmax(*v_size, fabs(weights[b] * (double)a->factor) *
                                        (fabs(x_hat[b][c]) + fabs((double)stage[c])));
    *next_size = fabs((double)a->step[a->slope]) * *v_size;
    for (uint32_t c = 0; c < n; c++) {
        size_t at = (size_t)r * a->ld + c;
        next[c] = (double)s->state[at] + (double)a->step[a->slope] * v[c];
        *next_size = fmax(*next_size, fabs((double)s->state[at]));
        for (uint32_t i = 0; i < a->slope; i++) {
            double term = (double)a->step[i] * (double)s->slopes[i * slope_floats(s) + at];
            next[c] += term;
            *next_size = fmax(*next_size, fabs(term));
        }
    }
    for (uint32_t b = 0; b < a->n_branches; b++)
        free(x_hat[b]);
}

/* 1e-6 of the largest magnitude: a norm of up to 256 components is good to 2^-24 times a few, and some ten
 * roundings of 2^-24 follow. */
static void step_check(gpu_test *t, const step *s, const lane_shape *shape)
{
    const flow_stage_args *a = &s->args;
    uint32_t n = a->n_columns;
    stepped out = step_run(t, s, shape);
    double *v = gpu_test_alloc(n * sizeof *v), *next = gpu_test_alloc(n * sizeof *next), v_size, next_size;
    for (uint32_t r = 0; r < a->n_rows; r++) {
        size_t at = (size_t)r * a->ld;
        step_expect(s, r, v, next, &v_size, &next_size);
        gpu_test_compare_rows("velocity", v, out.slopes + a->slope * slope_floats(s) + at, 1, n, a->ld,
                              1e-6 * v_size, 0);
        gpu_test_compare_rows("stage", next, out.stage + at, 1, n, a->ld, 1e-6 * next_size, 0);
        if (a->advance)
            assert_memory_equal(out.state + at, out.stage + at, a->ld * sizeof(float));
        for (uint32_t c = 0; c < n; c++)
            next[c] *= (double)a->input_scale;
        for (uint32_t b = 0; b < a->n_branches; b++)
            gpu_test_compare_rows("input", next, out.input + (b * a->n_rows * (size_t)a->ld + at), 1, n,
                                  a->ld, 1e-6 * next_size * (double)a->input_scale, 0);
    }
    if (!a->advance)
        assert_memory_equal(out.state, s->state, rows_bytes(s));
    for (uint32_t i = 0; i < FLOW_MAX_SLOPES; i++)
        if (i != a->slope)
            assert_memory_equal(out.slopes + i * slope_floats(s), s->slopes + i * slope_floats(s),
                                rows_bytes(s));
    free(v);
    free(next);
    stepped_destroy(&out);
}

static void test_stage_shapes(void **state)
{
    static const uint32_t columns[] = {1, 2, 3, 4, 31, 32, 33, 64, 97, 256, 300};
    static const uint32_t rows[] = {1, 3, 8, 65};
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (uint32_t kind = 0; kind < 4; kind++) {
                step s = step_create(rows[r], columns[c], 1 + kind % 2,
                                     (kind + (uint32_t)r) % FLOW_MAX_SLOPES, kind / 2, (c + kind) % 2);
                step_check(*state, &s, NULL);
                step_destroy(&s);
            }
}

static void test_stage_slopes(void **state)
{
    for (uint32_t slope = 0; slope < FLOW_MAX_SLOPES; slope++)
        for (int advance = 0; advance < 2; advance++) {
            step s = step_create(5, 100, 1, slope, true, advance);
            step_check(*state, &s, NULL);
            step_destroy(&s);
        }
}

static void test_stage_lanes(void **state)
{
    for (uint32_t i = 0; i < N_WIDE_SHAPES; i++)
        for (uint32_t n_columns = 30; n_columns < 300; n_columns *= 3) {
            step s = step_create(19, n_columns, 2, 3, true, false);
            step_check(*state, &s, &wide_shapes[i]);
            step_destroy(&s);
        }
}

/* Near the end of a flow the factor is large. */
static void test_stage_large_factor(void **state)
{
    step s = step_create(5, 256, 2, 1, true, true);
    s.args.factor = 1e6f;
    step_check(*state, &s, NULL);
    step_destroy(&s);
}

/* A velocity of zero reads no target. */
static void test_stage_without_target(void **state)
{
    for (uint32_t n_branches = 1; n_branches <= 2; n_branches++) {
        step s = step_create(5, 100, n_branches, 2, true, true);
        for (size_t i = 0; i < (size_t)n_branches * 5 * s.args.ld; i++)
            s.target[i] = i % 3 ? NAN : INFINITY;
        s.args.factor = 0;
        step_check(*state, &s, NULL);
        step_destroy(&s);
    }
}

/* Below 1e-12 a norm counts as that, so that zeros stay zeros. */
static void test_stage_tiny_targets(void **state)
{
    static const float sizes[] = {0, 1e-13f, 1e-11f};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        step s = step_create(3, 64, 1, 0, true, false);
        free(s.target);
        s.target = random_rows(3, 64, 9, sizes[i], 0);
        memset(s.stage, 0, rows_bytes(&s));
        s.args.rescale = 1e6f;
        step_check(*state, &s, NULL);
        step_destroy(&s);
    }
}

static void test_stage_rows_are_independent(void **state)
{
    step s = step_create(20, 130, 1, 1, true, false);
    stepped together = step_run(*state, &s, NULL);
    for (uint32_t r = 0; r < 20; r += 3) {
        size_t at = (size_t)r * s.args.ld, bytes = s.args.ld * sizeof(float);
        step one = step_create(1, 130, 1, 1, true, false);
        memcpy(one.target, s.target + at, bytes);
        memcpy(one.state, s.state + at, bytes);
        memcpy(one.stage, s.stage + at, bytes);
        for (uint32_t i = 0; i < FLOW_MAX_SLOPES; i++)
            memcpy(one.slopes + i * slope_floats(&one), s.slopes + i * slope_floats(&s) + at, bytes);
        stepped alone = step_run(*state, &one, NULL);
        assert_memory_equal(alone.stage, together.stage + at, bytes);
        assert_memory_equal(alone.input, together.input + at, bytes);
        assert_memory_equal(alone.slopes + slope_floats(&one), together.slopes + slope_floats(&s) + at,
                            bytes);
        stepped_destroy(&alone);
        step_destroy(&one);
    }
    stepped_destroy(&together);
    step_destroy(&s);
}

/* ---- probabilities --------------------------------------------------------------------------------- */

/* size: invocations of a row, without texels; 0: as the device would have it. */
static float *softmax_run(gpu_test *t, const float *logits, uint32_t n_rows, uint32_t n_columns,
                          const float *inv_temperature, uint32_t size)
{
    size_t ld = row_stride(n_columns), bytes = n_rows * ld * sizeof(float);
    gpu_buffer values = gpu_test_buffer(t, logits, bytes);
    gpu_buffer temperatures = gpu_test_buffer(t, inv_temperature, n_rows * sizeof(float));
    if (size) {
        const gpu_view views[] = {gpu_view_all(&values), gpu_view_all(&values), gpu_view_all(&temperatures)};
        const gpu_spec spec = {.n = 1, .value = {size}};
        const struct flow_softmax_params push = {n_rows, n_columns, (uint32_t)ld};
        gpu_test_run(t, GPU_KERNEL_FLOW_SOFTMAX, &spec, views, 3, &push, sizeof push, n_rows, 1, 1);
    } else {
        ops_flow_softmax(t->device, gpu_test_begin(t), gpu_view_all(&values), n_rows, n_columns, (uint32_t)ld,
                         gpu_view_all(&temperatures));
        gpu_test_submit(t);
    }
    float *found = gpu_test_alloc(bytes);
    gpu_test_read(t, &values, found, bytes);
    gpu_buffer_destroy(&values);
    gpu_buffer_destroy(&temperatures);
    return found;
}

/* x is rounded twice, to 2^-23 of the largest |x| that still has a probability (87); the exponential is good
 * to (3 + 2 |x|) 2^-24 of itself by the rules of Vulkan, and where |x| is large it is small itself; the sum
 * has chains of n / 32 terms. */
static void softmax_check(gpu_test *t, const float *logits, uint32_t n_rows, uint32_t n_columns,
                          const float *inv_temperature, uint32_t size)
{
    float *found = softmax_run(t, logits, n_rows, n_columns, inv_temperature, size);
    size_t ld = row_stride(n_columns);
    double *expected = gpu_test_alloc((size_t)n_rows * n_columns * sizeof *expected);
    for (uint32_t r = 0; r < n_rows; r++)
        ref_flow_softmax(logits + r * ld, n_columns, (double)inv_temperature[r],
                         expected + (size_t)r * n_columns);
    gpu_test_compare_rows("softmax", expected, found, n_rows, n_columns, ld, 1e-37, 4e-5);
    free(expected);
    free(found);
}

static void test_softmax_shapes(void **state)
{
    static const uint32_t columns[] = {1, 2, 3, 5, 31, 32, 33, 100, 257, 4000, 151936};
    static const float inverse[] = {1, 0, 0.1f, 7, 1.2e-38f, 3000};
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        uint32_t n_rows = columns[c] > 100000 ? 2 : 6;
        float *logits = random_rows(n_rows, columns[c], 5, 12, 50);
        softmax_check(*state, logits, n_rows, columns[c], inverse, 0);
        free(logits);
    }
}

static void test_softmax_sizes(void **state)
{
    static const float inverse[] = {1, 0, 0.3f};
    for (uint32_t size = 1; size <= 128; size *= 2)
        for (uint32_t n_columns = 3; n_columns < 2000; n_columns *= 5) {
            float *logits = random_rows(3, n_columns, 15, 9, 50);
            softmax_check(*state, logits, 3, n_columns, inverse, size);
            free(logits);
        }
}

/* Logits far from zero, spread beyond the range of exp, and excluded ones. */
static void test_softmax_ranges(void **state)
{
    static const float inverse[] = {1, 0.5f, 2, 0};
    size_t ld = row_stride(500);
    float *logits = random_rows(4, 500, 6, 200, 0);
    for (size_t i = 0; i < 4 * ld; i++)
        logits[i] += i % 2 ? 3e4f : -3e4f;
    for (size_t i = 0; i < 4 * ld; i += 7)
        logits[i] = i % 3 ? -INFINITY : -1e30f;
    softmax_check(*state, logits, 4, 500, inverse, 0);
    free(logits);
}

/* The lowest id of equals, wherever they are. */
static void test_softmax_ties(void **state)
{
    static const uint32_t firsts[] = {0, 3, 4, 31, 257, 998};
    static const float zero = 0;
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        float *logits = random_rows(1, 1000, 8, 2, 90);
        for (uint32_t c = firsts[i]; c < 1000; c += 1 + c % 5)
            logits[c] = 2.5f;
        softmax_check(*state, logits, 1, 1000, &zero, 0);
        free(logits);
    }
}

static void test_softmax_rows_are_independent(void **state)
{
    static const float inverse[] = {1, 0.25f, 0, 3, 1, 2, 1, 1, 0.5f};
    size_t ld = row_stride(1037);
    float *logits = random_rows(9, 1037, 7, 9, 0);
    float *together = softmax_run(*state, logits, 9, 1037, inverse, 0);
    for (uint32_t r = 0; r < 9; r++) {
        float *alone = softmax_run(*state, logits + r * ld, 1, 1037, inverse + r, 0);
        assert_memory_equal(alone, together + r * ld, ld * sizeof(float));
        free(alone);
    }
    free(together);
    free(logits);
}

/* An infinite inverse temperature is no NaN. */
static void test_softmax_infinite(void **state)
{
    static const float inverse = INFINITY;
    float *logits = random_rows(1, 100, 3, 5, 0);
    logits[41] = 6;
    float *found = softmax_run(*state, logits, 1, 100, &inverse, 0);
    for (uint32_t c = 0; c < row_stride(100); c++)
        assert_true(found[c] == (c == 41 ? 1 : 0));
    free(found);
    free(logits);
}

/* ---- the vocabulary -------------------------------------------------------------------------------- */

static void vocabulary_dispatch(gpu_test *t, const weight *w, uint32_t first, gpu_view u, uint32_t n_rows,
                                uint32_t ld, float rescale, const lane_shape *shape)
{
    const gpu_view views[] = {u, gpu_view_all(&w->buffer)};
    const gpu_spec spec = {.n = 2, .value = {shape->size, shape->lanes}};
    const struct flow_vocabulary_params push = {
        n_rows, w->n_columns, ld, first, (uint32_t)row_stride(w->depth), 0, w->n_panels, rescale};
    uint32_t rows = shape->size / shape->lanes;
    gpu_test_run(t, GPU_KERNEL_FLOW_VOCABULARY, &spec, views, 2, &push, sizeof push,
                 (n_rows + rows - 1) / rows, 1, 1);
}

static void vocabulary_check(gpu_test *t, uint32_t vocab_size, uint32_t n_columns, uint32_t chunk,
                             const lane_shape *shape)
{
    vkdlm_error err;
    float rescale = sqrtf((float)n_columns);
    size_t ld = row_stride(n_columns);
    uint32_t depth = (uint32_t)row_stride(vocab_size);
    weight w = flow_vocabulary_describe(vocab_size, n_columns);
    assert_int_equal(w.dtype, VKDLM_DTYPE_F32);
    assert_int_equal(w.n_columns, n_columns);
    assert_int_equal(w.depth, vocab_size);
    assert_int_equal(w.n_panels, ld / 32);
    assert_int_equal(w.bytes, ld * depth * sizeof(float));
    gpu_test_ok(gpu_buffer_create(t->device, GPU_MEMORY_DEVICE, w.bytes, "vocabulary", &w.buffer, &err),
                &err);
    float *u = random_rows(vocab_size, n_columns, 11, 0.05f, NAN);
    memset(u, 0, n_columns * sizeof *u); /* token 0 has no embedding */
    gpu_commands *commands = gpu_test_begin(t);
    gpu_fill(commands, &w.buffer, 0, w.bytes, 0);
    gpu_test_submit(t);
    for (uint32_t first = 0; first < vocab_size; first += chunk) {
        uint32_t n = u32_min(chunk, vocab_size - first);
        gpu_buffer rows = gpu_test_buffer(t, u + first * ld, n * ld * sizeof(float));
        if (shape) {
            vocabulary_dispatch(t, &w, first, gpu_view_all(&rows), n, (uint32_t)ld, rescale, shape);
        } else {
            ops_flow_vocabulary(t->device, gpu_test_begin(t), &w, first, gpu_view_all(&rows), n, (uint32_t)ld,
                                rescale);
            gpu_test_submit(t);
        }
        gpu_buffer_destroy(&rows);
    }
    float *panels = gpu_test_alloc(w.bytes), *found = gpu_test_alloc(depth * ld * sizeof *found);
    gpu_test_read(t, &w.buffer, panels, w.bytes);
    for (size_t v = 0; v < depth; v++)
        for (size_t c = 0; c < ld; c++)
            found[v * ld + c] = panels[(c / 32 * depth + v) * 32 + c % 32];
    double *expected = gpu_test_alloc((size_t)depth * n_columns * sizeof *expected);
    for (uint32_t v = 0; v < vocab_size; v++)
        ref_flow_normalise(u + v * ld, n_columns, (double)rescale, expected + (size_t)v * n_columns);
    /* A norm of 256 squares in four chains, a quotient and a product. */
    gpu_test_compare_rows("vocabulary", expected, found, depth, n_columns, ld, 0, 2e-6);
    free(expected);
    free(found);
    free(panels);
    free(u);
    gpu_buffer_destroy(&w.buffer);
}

static void test_vocabulary(void **state)
{
    static const uint32_t shapes[][3] = {{1, 1, 1},     {7, 3, 7},      {33, 32, 10},    {100, 33, 64},
                                         {257, 64, 64}, {300, 100, 77}, {2000, 256, 999}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        vocabulary_check(*state, shapes[i][0], shapes[i][1], shapes[i][2], NULL);
}

static void test_vocabulary_lanes(void **state)
{
    for (uint32_t i = 0; i < N_WIDE_SHAPES; i++) {
        vocabulary_check(*state, 50, 7, 33, &wide_shapes[i]);
        vocabulary_check(*state, 200, 250, 150, &wide_shapes[i]);
    }
}

/* A binding that holds three panels of five, and one that holds none. */
static void test_vocabulary_slices(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.limit_storage_range_bytes = 3 * 320 * 32 * sizeof(float) + 64});
    vocabulary_check(&t, 300, 150, 128, NULL);
    vkdlm_error err;
    weight w = flow_vocabulary_describe(1000, 40);
    gpu_test_ok(gpu_buffer_create(t.device, GPU_MEMORY_DEVICE, w.bytes, "vocabulary", &w.buffer, &err), &err);
    gpu_buffer rows = gpu_test_buffer(&t, NULL, 64 * sizeof(float));
    ops_flow_vocabulary(t.device, gpu_test_begin(&t), &w, 0, gpu_view_all(&rows), 1, 64, 1);
    assert_int_equal(gpu_submit_wait(t.commands, &err), VKDLM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "1000 tokens"));
    gpu_buffer_destroy(&rows);
    gpu_buffer_destroy(&w.buffer);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* ---- differences of rows --------------------------------------------------------------------------- */

static void difference_check(gpu_test *t, uint32_t n_rows, uint32_t n_columns, uint32_t ldx, uint32_t ldy)
{
    size_t x_bytes = (size_t)n_rows * ldx * sizeof(float), y_bytes = (size_t)n_rows * ldy * sizeof(float);
    float *x = gpu_test_alloc(x_bytes), *found = gpu_test_alloc(y_bytes);
    uint32_t *base = gpu_test_alloc(n_rows * sizeof *base);
    gpu_test_random(x, (size_t)n_rows * ldx, 17, -9, 9);
    for (uint32_t r = 0; r < n_rows; r++)
        base[r] = r % 3 ? r * 5 % n_rows : r;
    gpu_buffer from = gpu_test_buffer(t, x, x_bytes), to = gpu_test_buffer(t, NULL, y_bytes);
    gpu_buffer bases = gpu_test_buffer(t, base, n_rows * sizeof *base);
    ops_flow_difference(t->device, gpu_test_begin(t), gpu_view_all(&from), n_rows, n_columns, ldx,
                        gpu_view_all(&bases), gpu_view_all(&to), ldy);
    gpu_test_submit(t);
    gpu_test_read(t, &to, found, y_bytes);
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t c = 0; c < n_columns; c++)
            assert_true(found[r * ldy + c] == x[r * ldx + c] - x[base[r] * (size_t)ldx + c]);
        for (size_t c = n_columns; c < ldy; c++)
            assert_true(isnan(found[r * ldy + c])); /* not touched */
    }
    gpu_buffer_destroy(&from);
    gpu_buffer_destroy(&to);
    gpu_buffer_destroy(&bases);
    free(base);
    free(found);
    free(x);
}

static void test_difference(void **state)
{
    difference_check(*state, 1, 4, 4, 4);
    difference_check(*state, 7, 12, 32, 16);
    difference_check(*state, 16, 192, 192, 224);
    difference_check(*state, 65, 132, 320, 160);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stage_shapes),
        cmocka_unit_test(test_stage_slopes),
        cmocka_unit_test(test_stage_lanes),
        cmocka_unit_test(test_stage_large_factor),
        cmocka_unit_test(test_stage_without_target),
        cmocka_unit_test(test_stage_tiny_targets),
        cmocka_unit_test(test_stage_rows_are_independent),
        cmocka_unit_test(test_softmax_shapes),
        cmocka_unit_test(test_softmax_sizes),
        cmocka_unit_test(test_softmax_ranges),
        cmocka_unit_test(test_softmax_ties),
        cmocka_unit_test(test_softmax_rows_are_independent),
        cmocka_unit_test(test_softmax_infinite),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_vocabulary_lanes),
        cmocka_unit_test(test_vocabulary_slices),
        cmocka_unit_test(test_difference),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
