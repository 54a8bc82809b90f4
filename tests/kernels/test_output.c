/* The output layer fused with sampling against a double-precision reference, in every shape the device can
 * run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "environment.h"
#include "gpu_test.h"
#include "ops/output.h"
#include "ref/ref_matmul.h"
#include "ref/ref_output.h"

#define SEED 0x0123456789ABCDEFu

static const vkdlm_dtype dtypes[] = {VKDLM_DTYPE_F32, VKDLM_DTYPE_F16, VKDLM_DTYPE_BF16};

/* A problem: host data, its buffers, and the reference's logits before temperature. */
typedef struct problem {
    uint32_t n_rows, vocab, depth, ld, ldv;
    int32_t excluded;
    uint32_t top_k;
    float top_p;
    double *logits, *bound;
    output_draw *draws;
    weight w;
    gpu_buffer b_hidden, b_bias, b_draws, b_results, b_scratch;
} problem;

/* Draws and arguments of the most probable token, temperatures and targets, mixed over the rows. */
static void fill_draws(problem *p)
{
    for (uint32_t r = 0; r < p->n_rows; r++)
        p->draws[r] = (output_draw){
            .sample = r / 7,
            .step = r * 40503u % 1000,
            .position = r * 31,
            .target = r % 3 == 2 ? -1 : (int32_t)(r * 2654435761u % p->vocab),
            .draw = r % 2,
            .inv_temperature = r % 5 == 4   ? 1.7f
                               : r % 5 == 3 ? 0.6f
                                            : 1,
        };
}

static void upload(gpu_test *t, const vkdlm_tensor *tensor, weight *w)
{
    vkdlm_error err;
    gpu_upload *ring;
    gpu_test_ok(gpu_upload_create(t->device, 1 << 18, &ring, &err), &err);
    gpu_test_ok(weight_upload(t->device, ring, tensor, w, &err), &err);
    gpu_test_ok(gpu_upload_flush(ring, &err), &err);
    gpu_upload_destroy(ring);
}

/* spread: half width of the uniform weights; 0 gives logits that are the bias alone. */
static problem problem_create(gpu_test *t, vkdlm_dtype dtype, uint32_t n_rows, uint32_t vocab, uint32_t depth,
                              float spread, const float *bias)
{
    problem p = {
        .n_rows = n_rows, .vocab = vocab, .depth = depth, .excluded = (int32_t)vocab - 1, .top_p = 1};
    uint64_t seed = n_rows * 7919u + vocab * 31u + depth;
    uint32_t capacity = (uint32_t)size_round_up(n_rows, 64);
    p.ld = weight_pad(depth);
    p.ldv = weight_pad(vocab);
    size_t n = (size_t)vocab * depth;
    float *values = gpu_test_alloc(n * sizeof *values);
    double *exact = gpu_test_alloc(n * sizeof *exact);
    uint16_t *halves = gpu_test_alloc(n * sizeof *halves);
    gpu_test_random(values, n, seed, -spread, spread);
    for (size_t i = 0; i < n; i++) {
        halves[i] =
            dtype == VKDLM_DTYPE_F16 ? f16_from_f32(values[i]) : (uint16_t)(f32_to_bits(values[i]) >> 16);
        exact[i] = (double)(dtype == VKDLM_DTYPE_F32   ? values[i]
                            : dtype == VKDLM_DTYPE_F16 ? f32_from_f16(halves[i])
                                                       : f32_from_bf16(halves[i]));
    }
    vkdlm_tensor tensor = {.name = "head",
                           .dtype = dtype,
                           .n_dims = 2,
                           .shape = {vocab, depth},
                           .file = "test",
                           .data = dtype == VKDLM_DTYPE_F32 ? (const void *)values : halves};
    upload(t, &tensor, &p.w);
    float *hidden = gpu_test_alloc((size_t)capacity * p.ld * sizeof *hidden);
    gpu_test_random(hidden, (size_t)capacity * p.ld, seed + 1, -1, 1);
    for (uint32_t i = 0; i < capacity * p.ld; i++)
        if (i / p.ld >= n_rows || i % p.ld >= depth)
            hidden[i] = i / p.ld < n_rows ? 0 : NAN;
    float *padded_bias = gpu_test_alloc(p.ldv * sizeof *padded_bias);
    memset(padded_bias, 0, p.ldv * sizeof *padded_bias);
    if (bias)
        memcpy(padded_bias, bias, vocab * sizeof *bias);
    else
        gpu_test_random(padded_bias, vocab, seed + 2, -1, 1);
    p.logits = gpu_test_alloc((size_t)n_rows * vocab * sizeof *p.logits);
    p.bound = gpu_test_alloc((size_t)n_rows * vocab * sizeof *p.bound);
    ref_matmul(hidden, p.ld, exact, padded_bias, n_rows, vocab, depth, p.logits, p.bound);
    p.draws = gpu_test_alloc(n_rows * sizeof *p.draws);
    fill_draws(&p);
    p.b_hidden = gpu_test_buffer(t, hidden, (size_t)capacity * p.ld * sizeof *hidden);
    p.b_bias = gpu_test_buffer(t, padded_bias, p.ldv * sizeof *padded_bias);
    p.b_draws = gpu_test_buffer(t, p.draws, n_rows * sizeof *p.draws);
    p.b_results = gpu_test_buffer(t, NULL, n_rows * sizeof(output_result));
    p.b_scratch = gpu_test_buffer(t, NULL, output_scratch_bytes(&p.w, n_rows));
    free(values);
    free(exact);
    free(halves);
    free(hidden);
    free(padded_bias);
    return p;
}

static void problem_destroy(problem *p)
{
    gpu_buffer *buffers[] = {&p->b_hidden, &p->b_bias, &p->b_draws, &p->b_results, &p->b_scratch};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    weight_destroy(&p->w);
    free(p->logits);
    free(p->bound);
    free(p->draws);
}

static gpu_view rows_of(const gpu_buffer *buffer, uint32_t first, uint64_t row_bytes)
{
    return (gpu_view){buffer, first * row_bytes, buffer->size_bytes - first * row_bytes};
}

/* Results of rows first .. first+n-1; first is a multiple of 64. shape NULL: the default. */
static void run(gpu_test *t, const problem *p, uint32_t first, uint32_t n, const matmul_shape *shape,
                output_result *out)
{
    output_args args = {.w = &p->w,
                        .bias = gpu_view_all(&p->b_bias),
                        .hidden = rows_of(&p->b_hidden, first, p->ld * sizeof(float)),
                        .ld = p->ld,
                        .n_rows = n,
                        .vocab_size = p->vocab,
                        .excluded = p->excluded,
                        .draws = rows_of(&p->b_draws, first, sizeof(output_draw)),
                        .results = rows_of(&p->b_results, first, sizeof(output_result)),
                        .scratch = gpu_view_all(&p->b_scratch),
                        .seed = SEED,
                        .top_k = p->top_k,
                        .top_p = p->top_p};
    gpu_commands *commands = gpu_test_begin(t);
    if (shape)
        ops_output_shape(t->device, commands, &args, shape);
    else
        ops_output(t->device, commands, &args);
    gpu_test_submit(t);
    output_result *all = gpu_test_alloc(p->n_rows * sizeof *all);
    gpu_test_read(t, &p->b_results, all, p->n_rows * sizeof *all);
    memcpy(out, all + first, n * sizeof *out);
    free(all);
}

static void close_to(const char *what, const char *shape, uint32_t row, double expected, float found,
                     double tolerance)
{
    if (!(fabs((double)found - expected) <= tolerance))
        fail_msg("%s, row %u: %s is %.9g, expected %.9g within %g", shape, row, what, (double)found, expected,
                 tolerance);
}

/* One row. The logits are off by at most `slack` (as in test_matmul.c); max and log-sum-exp have slopes of 1,
 * the entropy of at most its largest |x - H| ~ the width of the logits, here below 60. Sums of V terms, exp
 * and log add 2^-19. A token may differ from the reference's only when their scores are that close. */
static void check_row(const problem *p, uint32_t row, const output_result *found, const char *shape)
{
    const output_draw *d = &p->draws[row];
    uint32_t n = p->vocab;
    double *x = gpu_test_alloc(n * sizeof *x);
    bool *keep = gpu_test_alloc(n * sizeof *keep);
    uint32_t *order = gpu_test_alloc(n * sizeof *order);
    double slack = 0, best = -INFINITY;
    for (uint32_t v = 0; v < n; v++) {
        x[v] = p->logits[(size_t)row * n + v] * (double)d->inv_temperature;
        slack = fmax(slack, p->bound[(size_t)row * n + v] * (double)d->inv_temperature * (2 * p->depth + 4) *
                                0x1p-24);
    }
    ref_distribution e = ref_output(x, n, p->excluded, p->top_k, (double)p->top_p, keep, order);
    for (uint32_t v = 0; v < n; v++)
        if (keep[v])
            best = fmax(best, x[v] + (d->draw ? ref_gumbel(SEED, v, d->position, d->step, d->sample) : 0));
    double tolerance = slack + 0x1p-19 * (1 + fabs(e.max));
    close_to("max", shape, row, e.max, found->max, tolerance);
    close_to("log-sum-exp", shape, row, e.log_sum_exp, found->log_sum_exp, tolerance);
    close_to("entropy", shape, row, e.entropy, found->entropy, 60 * tolerance);
    uint32_t token = (uint32_t)found->token;
    if (token >= n || !keep[token])
        fail_msg("%s, row %u: token %d cannot be drawn", shape, row, found->token);
    double score = x[token] + (d->draw ? ref_gumbel(SEED, token, d->position, d->step, d->sample) : 0);
    if (!(score >= best - 2 * tolerance - 4e-6))
        fail_msg("%s, row %u: token %d scores %.9g, the best %.9g", shape, row, found->token, score, best);
    close_to("log-prob", shape, row, x[token] - e.log_sum_exp, found->log_prob, 2 * tolerance);
    if (d->target >= 0 && keep[d->target])
        close_to("target", shape, row, x[d->target], found->target_logit, tolerance);
    else if (d->target >= 0)
        assert_true(found->target_logit < -1e38f);
    free(x);
    free(keep);
    free(order);
}

static void check(gpu_test *t, const problem *p, const matmul_shape *shape)
{
    output_result *found = gpu_test_alloc(p->n_rows * sizeof *found);
    run(t, p, 0, p->n_rows, shape, found);
    for (uint32_t r = 0; r < p->n_rows; r++)
        check_row(p, r, &found[r], shape ? shape->name : "default");
    free(found);
}

static void test_shapes(void **state)
{
    static const uint32_t sizes[][3] = {{1, 2, 1}, {3, 33, 40}, {37, 257, 64}, {70, 100, 33}};
    gpu_test *t = *state;
    for (size_t d = 0; d < 3; d++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            problem p = problem_create(t, dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2], 0.5f, NULL);
            for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
                if (output_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s]) &&
                    (!environment_is_quick() || (s + d) % 3 == 0))
                    check(t, &p, &matmul_shapes[s]);
            problem_destroy(&p);
        }
}

/* The mask token may be anywhere, or there may be none. */
static void test_excluded(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 20, 70, 32, 0.5f, NULL);
    static const int32_t excluded[] = {-1, 0, 1, 33, 69};
    for (size_t i = 0; i < sizeof excluded / sizeof *excluded; i++) {
        p.excluded = excluded[i];
        check(t, &p, NULL);
    }
    problem_destroy(&p);
}

/* A row's result, to the bit, depends neither on the other rows nor on the shape; chunks of rows are
 * invisible. */
static void test_same_bits(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F16, 600, 130, 40, 0.5f, NULL);
    output_result *all = gpu_test_alloc(600 * sizeof *all), *some = gpu_test_alloc(600 * sizeof *some);
    for (int cut = 0; cut < 2; cut++) {
        p.top_k = cut ? 20 : 0;
        p.top_p = cut ? 0.8f : 1;
        run(t, &p, 0, 600, NULL, all);
        static const uint32_t pieces[][2] = {{0, 1}, {64, 1}, {128, 3}, {512, 88}, {192, 9}, {0, 65}};
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            run(t, &p, pieces[i][0], pieces[i][1], NULL, some);
            assert_memory_equal(some, all + pieces[i][0], pieces[i][1] * sizeof *some);
        }
        for (size_t s = 0; s < MATMUL_N_SHAPES; s++)
            if (output_shape_usable(gpu_device_caps(t->device), &matmul_shapes[s])) {
                run(t, &p, 0, 66, &matmul_shapes[s], some);
                if (memcmp(some, all, 66 * sizeof *some) != 0)
                    fail_msg("%s: not the bits of the default", matmul_shapes[s].name);
            }
    }
    for (uint32_t r = 0; r < 600; r += 37) {
        p.top_k = 20;
        p.top_p = 0.8f;
        check_row(&p, r, &all[r], "chunks");
    }
    free(all);
    free(some);
    problem_destroy(&p);
}

/* Equal logits: argmax is the lowest id, the entropy log(n), and a draw the token with the largest noise. */
static void test_equal_logits(void **state)
{
    gpu_test *t = *state;
    float bias[100] = {0};
    problem p = problem_create(t, VKDLM_DTYPE_F32, 512, 100, 32, 0, bias);
    for (int excluded = 0; excluded < 2; excluded++) {
        p.excluded = excluded ? 0 : 99;
        output_result found[512];
        run(t, &p, 0, 512, NULL, found);
        for (uint32_t r = 0; r < 512; r++) {
            check_row(&p, r, &found[r], "equal logits");
            if (!p.draws[r].draw)
                assert_int_equal(found[r].token, excluded);
        }
    }
    problem_destroy(&p);
}

/* Huge and tiny logits: nothing overflows, and the sharp distribution is certain. */
static void test_extremes(void **state)
{
    gpu_test *t = *state;
    float bias[70];
    for (int i = 0; i < 70; i++)
        bias[i] = i == 40 ? 20000 : i % 2 ? -20000 : 1e-20f;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 12, 70, 32, 0, bias);
    for (int cut = 0; cut < 2; cut++) {
        p.top_p = cut ? 0.5f : 1;
        output_result found[12];
        run(t, &p, 0, 12, NULL, found);
        for (uint32_t r = 0; r < 12; r++) {
            check_row(&p, r, &found[r], "extremes");
            assert_int_equal(found[r].token, 40);
            assert_true(found[r].entropy == 0 && found[r].log_prob == 0);
        }
    }
    problem_destroy(&p);
}

static void test_top_k_top_p(void **state)
{
    static const struct {
        uint32_t k;
        float p;
    } cuts[] = {{1, 1},    {2, 1},      {7, 1},    {299, 1},   {300, 1},  {1000, 1},  {0, 0.5f},
                {0, 0.9f}, {0, 0.999f}, {0, 0.0f}, {50, 0.9f}, {5, 0.3f}, {3, 0.999f}};
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 23, 300, 48, 0.6f, NULL);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        p.top_k = cuts[i].k;
        p.top_p = cuts[i].p;
        check(t, &p, NULL);
    }
    problem_destroy(&p);
}

/* Equals of the k-th stay; negative, zero and positive x in one threshold search. */
static void test_ties(void **state)
{
    gpu_test *t = *state;
    float bias[40];
    for (int i = 0; i < 40; i++)
        bias[i] = (float)(i % 5 - 2);
    problem p = problem_create(t, VKDLM_DTYPE_F32, 10, 40, 32, 0, bias);
    for (uint32_t k = 1; k <= 40; k++) {
        p.top_k = k;
        check(t, &p, NULL);
    }
    problem_destroy(&p);
}

/* Chi-square of 4096 draws against softmax, fixed seed: with 36 degrees of freedom 76.2 is exceeded with
 * probability 1e-4 by a correct sampler. */
static void test_law(void **state)
{
    gpu_test *t = *state;
    enum { N = 4096, V = 38 };
    float bias[V];
    for (int i = 0; i < V; i++)
        bias[i] = 0.08f * (float)(i % 19) - 0.5f;
    problem p = problem_create(t, VKDLM_DTYPE_F32, N, V, 32, 0, bias);
    for (uint32_t r = 0; r < N; r++)
        p.draws[r] = (output_draw){
            .sample = r, .step = 3, .position = 5, .target = -1, .draw = 1, .inv_temperature = 1};
    gpu_buffer_destroy(&p.b_draws);
    p.b_draws = gpu_test_buffer(t, p.draws, N * sizeof *p.draws);
    for (int cut = 0; cut < 2; cut++) {
        p.top_k = cut ? V - 1 : 0;
        output_result *found = gpu_test_alloc(N * sizeof *found);
        run(t, &p, 0, N, NULL, found);
        double count[V] = {0}, total = 0, chi = 0;
        for (uint32_t r = 0; r < N; r++)
            count[found[r].token]++;
        for (int v = 0; v < V - 1; v++)
            total += exp((double)bias[v]);
        for (int v = 0; v < V - 1; v++) {
            double expected = N * exp((double)bias[v]) / total;
            chi += (count[v] - expected) * (count[v] - expected) / expected;
        }
        assert_true(count[V - 1] == 0);
        if (!(chi < 76.2))
            fail_msg("chi-square %g with 36 degrees of freedom", chi);
        free(found);
    }
    problem_destroy(&p);
}

/* Weights that exceed the storage range, and a vocabulary that no binding can hold. */
static void test_slices(void **state)
{
    (void)state;
    gpu_test t;
    gpu_options options = {.limit_storage_range_bytes = 100000};
    gpu_test_open(&t, options);
    problem p = problem_create(&t, VKDLM_DTYPE_F32, 90, 345, 128, 0.5f, NULL);
    for (int cut = 0; cut < 2; cut++) {
        p.top_k = cut ? 30 : 0;
        check(&t, &p, NULL);
    }
    problem_destroy(&p);
    p = problem_create(&t, VKDLM_DTYPE_F32, 2, 2000, 32, 0.5f, NULL);
    output_args args = {.w = &p.w,
                        .bias = gpu_view_all(&p.b_bias),
                        .hidden = gpu_view_all(&p.b_hidden),
                        .ld = p.ld,
                        .n_rows = 2,
                        .vocab_size = 2000,
                        .draws = gpu_view_all(&p.b_draws),
                        .results = gpu_view_all(&p.b_results),
                        .scratch = gpu_view_all(&p.b_scratch),
                        .top_p = 1};
    ops_output(t.device, gpu_test_begin(&t), &args);
    vkdlm_error err;
    assert_int_equal(gpu_submit_wait(t.commands, &err), VKDLM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "2000 tokens"));
    problem_destroy(&p);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* ---- candidates -------------------------------------------------------------------------------- */

/* Results and lists of k candidates of all rows. */
static void run_list(gpu_test *t, const problem *p, uint32_t k, const matmul_shape *shape, output_result *out,
                     output_candidate *list)
{
    gpu_buffer b_list = gpu_test_buffer(t, NULL, (uint64_t)p->n_rows * k * sizeof *list);
    gpu_buffer b_scratch = gpu_test_buffer(t, NULL, output_list_scratch_bytes(&p->w, p->n_rows));
    output_args args = {.w = &p->w,
                        .bias = gpu_view_all(&p->b_bias),
                        .hidden = gpu_view_all(&p->b_hidden),
                        .ld = p->ld,
                        .n_rows = p->n_rows,
                        .vocab_size = p->vocab,
                        .excluded = p->excluded,
                        .draws = gpu_view_all(&p->b_draws),
                        .results = gpu_view_all(&p->b_results),
                        .scratch = gpu_view_all(&b_scratch),
                        .seed = SEED,
                        .top_k = p->top_k,
                        .top_p = p->top_p,
                        .n_candidates = k,
                        .candidates = gpu_view_all(&b_list)};
    gpu_commands *commands = gpu_test_begin(t);
    if (shape)
        ops_output_shape(t->device, commands, &args, shape);
    else
        ops_output(t->device, commands, &args);
    gpu_test_submit(t);
    gpu_test_read(t, &p->b_results, out, p->n_rows * sizeof *out);
    gpu_test_read(t, &b_list, list, (uint64_t)p->n_rows * k * sizeof *list);
    gpu_buffer_destroy(&b_list);
    gpu_buffer_destroy(&b_scratch);
}

/* One list against the logits in double: every entry is a token that counts, none twice, in order, with its
 * probability, and none that was left out is more probable; each within the rounding of the logits
 * (check_row). */
static void check_list(const problem *p, uint32_t row, uint32_t k, const output_candidate *list)
{
    const output_draw *d = &p->draws[row];
    uint32_t n = p->vocab, n_kept = 0, n_listed = 0;
    double *x = gpu_test_alloc(n * sizeof *x);
    bool *keep = gpu_test_alloc(n * sizeof *keep), *listed = gpu_test_alloc(n * sizeof *listed);
    uint32_t *order = gpu_test_alloc(n * sizeof *order);
    double slack = 0, least = INFINITY, missed = -INFINITY;
    for (uint32_t v = 0; v < n; v++) {
        double inv_temperature = (double)d->inv_temperature;
        x[v] = p->logits[(size_t)row * n + v] * inv_temperature;
        slack = fmax(slack, p->bound[(size_t)row * n + v] * inv_temperature * (2 * p->depth + 4) * 0x1p-24);
        listed[v] = false;
    }
    ref_distribution e = ref_output(x, n, p->excluded, p->top_k, (double)p->top_p, keep, order);
    double tolerance = slack + 0x1p-19 * (1 + fabs(e.max));
    for (uint32_t v = 0; v < n; v++)
        n_kept += keep[v];
    for (uint32_t i = 0; i < k; i++) {
        int32_t token = list[i].token;
        if (token < 0) {
            if (!(i >= n_kept && list[i].x < -1e38f))
                fail_msg("row %u of %u, %u tokens, top-k %u: candidate %u of %u is missing, %u count", row,
                         p->n_rows, n, p->top_k, i, k, n_kept);
            continue;
        }
        assert_true(i == n_listed && (uint32_t)token < n && keep[token] && !listed[token]);
        listed[token] = true;
        n_listed++;
        close_to("a candidate", "list", row, x[token], list[i].x, tolerance);
        if (i)
            assert_true(list[i].x < list[i - 1].x ||
                        (list[i].x == list[i - 1].x &&
                         (token > list[i - 1].token || x[token] < x[list[i - 1].token] + 2 * tolerance)));
        least = fmin(least, x[token]);
    }
    for (uint32_t v = 0; v < n; v++)
        if (keep[v] && !listed[v])
            missed = fmax(missed, x[v]);
    assert_int_equal(n_listed, n_kept < k ? n_kept : k);
    assert_true(missed <= least + 2 * tolerance);
    free(x);
    free(keep);
    free(listed);
    free(order);
}

/* Lists are right, and asking for them changes no bit of the results, whatever the shape. */
static void test_candidates(void **state)
{
    static const uint32_t sizes[][3] = {
        {1, 2, 1}, {3, 33, 40}, {37, 257, 64}, {70, 100, 33}, {130, 2049, 32}};
    static const uint32_t counts[] = {1, 3, 8, 300};
    gpu_test *t = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        problem p = problem_create(t, dtypes[i % 3], sizes[i][0], sizes[i][1], sizes[i][2], 0.5f, NULL);
        output_result *plain = gpu_test_alloc(p.n_rows * sizeof *plain),
                      *found = gpu_test_alloc(p.n_rows * sizeof *found);
        output_candidate *list = gpu_test_alloc((size_t)p.n_rows * 300 * sizeof *list);
        for (int cut = 0; cut < 2; cut++) {
            p.top_k = cut ? 5 : 0;
            p.top_p = cut ? 0.9f : 1;
            run(t, &p, 0, p.n_rows, NULL, plain);
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                uint32_t k = counts[c];
                size_t shape = (i + c) % MATMUL_N_SHAPES;
                bool usable = output_shape_usable(gpu_device_caps(t->device), &matmul_shapes[shape]);
                run_list(t, &p, k, usable ? &matmul_shapes[shape] : NULL, found, list);
                assert_memory_equal(plain, found, p.n_rows * sizeof *plain);
                for (uint32_t r = 0; r < p.n_rows; r++)
                    check_list(&p, r, k, list + (size_t)r * k);
            }
        }
        free(plain);
        free(found);
        free(list);
        problem_destroy(&p);
    }
}

/* Equals in the order of their ids, over panels; the excluded token is in no list. */
static void test_equal_candidates(void **state)
{
    gpu_test *t = *state;
    float bias[100];
    for (int i = 0; i < 100; i++)
        bias[i] = i % 3 == 1 ? 2 : 1;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 3, 100, 32, 0, bias);
    p.excluded = 1;
    output_result found[3];
    output_candidate list[3][100];
    run_list(t, &p, 100, NULL, found, list[0]);
    for (uint32_t r = 0; r < 3; r++) {
        for (uint32_t i = 0, v = 4; i < 32; i++, v += 3)
            assert_int_equal(list[r][i].token, v);
        for (uint32_t i = 32, v = 0; i < 99; i++, v++) {
            v += v % 3 == 1;
            assert_int_equal(list[r][i].token, v);
        }
        assert_int_equal(list[r][99].token, -1);
    }
    problem_destroy(&p);
}

/* A hidden row of NaN has no candidates, and the others theirs. */
static void test_candidates_of_nan(void **state)
{
    gpu_test *t = *state;
    problem p = problem_create(t, VKDLM_DTYPE_F32, 2, 70, 32, 0.5f, NULL);
    float *hidden = gpu_test_alloc(64 * p.ld * sizeof *hidden);
    gpu_test_read(t, &p.b_hidden, hidden, 64 * p.ld * sizeof *hidden);
    for (uint32_t i = 0; i < 32; i++)
        hidden[i] = NAN;
    gpu_buffer_destroy(&p.b_hidden);
    p.b_hidden = gpu_test_buffer(t, hidden, 64 * p.ld * sizeof *hidden);
    output_result found[2];
    output_candidate list[2][4];
    run_list(t, &p, 4, NULL, found, list[0]);
    for (int i = 0; i < 4; i++)
        assert_int_equal(list[0][i].token, -1);
    check_list(&p, 1, 4, list[1]);
    free(hidden);
    problem_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_excluded),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_equal_logits),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_top_k_top_p),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_law),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_equal_candidates),
        cmocka_unit_test(test_candidates_of_nan),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
