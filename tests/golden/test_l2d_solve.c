/* The inner loop on a device against the authors' solves: states at the grid points and final logits of
 * programs that run in one submission, and solves that the host drives evaluation by evaluation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/checkpoint.h"
#include "golden/golden.h"
#include "golden/solve.h"
#include "gpu_test.h"
#include "model/llm.h"
#include "sample/complete_refine.h"

/* As the golden data advises for f32; more for averages: noise of 5e-5 in the logits of the scalar reference
 * moves its final ones by up to 1.5e-3. */
static const solve_tolerance tolerance = {.logits = 1e-3, .average_logits = 2e-3, .state = 1e-4};

typedef struct device_case {
    llm *model;
    llm_workspace *workspace;
    causal causal;
    vkdlm_tensors *file;
    int32_t *prompt; /* [2, n_tokens] */
    uint32_t n_tokens;
    solve_network network;
} device_case;

static device_case open_case(gpu_test *test, const char *folder)
{
    char path[512], config[512];
    vkdlm_error err = {0};
    device_case c = {0};
    checkpoint *base, *flow;
    snprintf(path, sizeof path, "%s/golden/l2d/%s", TESTS_DIR, folder);
    gpu_test_ok(checkpoint_open(path, &base, &err), &err);
    snprintf(path, sizeof path, "%s/golden/l2d/%s/l2d.safetensors", TESTS_DIR, folder);
    snprintf(config, sizeof config, "%s/golden/l2d/%s/l2d.json", TESTS_DIR, folder);
    gpu_test_ok(checkpoint_open_files(path, config, &flow, &err), &err);
    gpu_test_ok(llm_open(test->device, base, flow, NULL, NULL, &c.model, &err), &err);
    checkpoint_close(flow);
    checkpoint_close(base);
    gpu_test_ok(llm_workspace_create(c.model, &c.workspace, &err), &err);
    c.causal = llm_causal(c.workspace);
    snprintf(path, sizeof path, "%s/golden/l2d/%s/expected.safetensors", TESTS_DIR, folder);
    c.file = golden_open(path);
    c.n_tokens = (uint32_t)golden_extent(c.file, "prompt", 1);
    c.prompt = golden_ints(c.file, "prompt", (size_t)2 * c.n_tokens);
    return c;
}

static void close_case(device_case *c)
{
    free(c->prompt);
    vkdlm_tensors_close(c->file);
    llm_workspace_destroy(c->workspace);
    llm_close(c->model);
}

/* The row's whole prompt, kept in slot `row`. */
static causal_chunk prompt_chunk(const device_case *c, uint32_t row)
{
    return (causal_chunk){.sequence = row,
                          .tokens = c->prompt + (size_t)row * c->n_tokens,
                          .length = c->n_tokens,
                          .keep = KEEP_LAST,
                          .held = row};
}

static causal_row last_row(const device_case *c, uint32_t row)
{
    return (causal_row){.sequence = row, .position = c->n_tokens - 1, .held = row, .target = -1};
}

static causal_capacity capacity(const device_case *c)
{
    return (causal_capacity){.sequences = 2,
                             .context = c->n_tokens,
                             .chunk_rows = 2 * c->n_tokens,
                             .held = 2,
                             .rows = 2,
                             .branches = 1,
                             .calls = 1,
                             .times = 1,
                             .average = true};
}

/* ---- single evaluations -------------------------------------------------------------------------------- */

static void evaluate(void *self, const solve_point *p, double *x_hat, double *logits)
{
    device_case *c = self;
    vkdlm_error err = {0};
    uint32_t n = c->causal.flow_dim, vocab = c->causal.vocab_size;
    float *x = gpu_test_alloc(n * sizeof *x), *narrow = gpu_test_alloc(vocab * sizeof *narrow);
    for (uint32_t i = 0; i < n; i++)
        x[i] = (float)p->x[i];
    const flow_point point = {.row = last_row(c, p->row),
                              .t = (float)p->t,
                              .class_id = p->class_id,
                              .inv_temperature = p->tau > 0   ? (float)(1 / p->tau)
                                                 : p->average ? 0
                                                              : 1};
    const flow_request request = {.points = &point,
                                  .n_points = 1,
                                  .x = x,
                                  .top_p = 1,
                                  .average = p->average,
                                  .x_hat = x_hat,
                                  .logits = narrow};
    gpu_test_ok(c->causal.evaluate(&c->causal, &request, &err), &err);
    for (uint32_t i = 0; i < vocab; i++)
        logits[i] = (double)narrow[i];
    free(narrow);
    free(x);
}

/* Both prompts go into the cache. */
static void begin_evaluations(device_case *c)
{
    vkdlm_error err = {0};
    const causal_capacity room = capacity(c);
    const causal_chunk chunks[] = {prompt_chunk(c, 0), prompt_chunk(c, 1)};
    const causal_row rows[] = {last_row(c, 0), last_row(c, 1)};
    causal_result results[2];
    const causal_work work = {.chunks = chunks,
                              .n_chunks = 2,
                              .prompt = true,
                              .rows = rows,
                              .n_rows = 2,
                              .inv_temperature = 1,
                              .top_p = 1};
    gpu_test_ok(c->causal.reserve(c->causal.self, &room, &err), &err);
    gpu_test_ok(c->causal.run(&c->causal, &work, results, &err), &err);
    c->network = (solve_network){.self = c,
                                 .n = c->causal.flow_dim,
                                 .vocab_size = c->causal.vocab_size,
                                 .sigma = c->causal.noise_scale,
                                 .variance = c->causal.data_variance,
                                 .single = true,
                                 .evaluate = evaluate};
}

static void check_by_evaluations(void *user, const solve_case *solve)
{
    solve_check_fixed(user, solve, &tolerance);
}

/* ---- programs ------------------------------------------------------------------------------------------ */

static flow_settings settings_of(const device_case *c, const solve_case *solve)
{
    flow_settings s = {.on = true,
                       .solve = solve->options,
                       .average = solve->average,
                       .classes = {solve->class_id, -1},
                       .n_classes = solve->guided ? 2 : 1,
                       .branch_class = {0, 1},
                       .branch_weight = {solve->guided ? solve->weight : 1, 1 - solve->weight},
                       .n_branches = solve->guided ? 2 : 1};
    s.solve.sigma = c->causal.noise_scale;
    s.solve.variance = c->causal.data_variance;
    return s;
}

static void widen(const float *from, double *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (double)from[i];
}

/* The drawn token is the most probable one of the recorded logits, with its probability. */
static void check_result(const solve_case *solve, const causal_result *result, uint32_t vocab)
{
    char name[96];
    snprintf(name, sizeof name, "%s.logits", solve->name);
    double *logits = golden_doubles(solve->file, name, vocab), sum = 0;
    uint32_t best = 0;
    for (uint32_t i = 1; i < vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp(logits[i] - logits[best]);
    double found = (double)result->log_prob, expected = -log(sum);
    assert_int_equal(result->token, best);
    golden_check_close(solve->name, &found, &expected, 1,
                       solve->average ? tolerance.average_logits : tolerance.logits, true);
    free(logits);
}

/* Prompt, solve and final evaluation in one submission. */
static void check_program(void *user, const solve_case *solve)
{
    device_case *c = user;
    vkdlm_error err = {0};
    refiner r;
    const flow_settings settings = settings_of(c, solve);
    gpu_test_ok(refiner_init(&r, &c->causal, &settings, 0, &err), &err);
    solve_check_calls(solve, &r.grid);
    causal_capacity room = capacity(c);
    refiner_describe(&r, &room);
    gpu_test_ok(refiner_reserve(&r, &room, &err), &err);

    uint32_t n = c->causal.flow_dim, n_points = solve->options.n_points;
    double *start = solve_start(solve, n);
    double *states = gpu_test_alloc((size_t)n_points * n * sizeof *states);
    float *x0 = gpu_test_alloc(n * sizeof *x0);
    float *trace = gpu_test_alloc((size_t)(n_points - 1) * n * sizeof *trace);
    for (uint32_t i = 0; i < n; i++)
        x0[i] = (float)start[i];
    const causal_chunk chunk = prompt_chunk(c, solve->row);
    const causal_row row = last_row(c, solve->row);
    causal_result result;
    const causal_work work = {.chunks = &chunk,
                              .n_chunks = 1,
                              .prompt = true,
                              .rows = &row,
                              .n_rows = 1,
                              .inv_temperature = 1,
                              .top_p = 1,
                              .program = &r.program,
                              .x0 = x0,
                              .trace = trace};
    gpu_test_ok(c->causal.run(&c->causal, &work, &result, &err), &err);
    memcpy(states, start, n * sizeof *states);
    widen(trace, states + n, (size_t)(n_points - 1) * n);
    solve_check_states(solve, "traj", states, (size_t)n_points * n, &tolerance);
    solve_check_states(solve, "x1", states + (size_t)(n_points - 1) * n, n, &tolerance);
    check_result(solve, &result, c->causal.vocab_size);
    free(trace);
    free(x0);
    free(states);
    free(start);
    refiner_deinit(&r);
}

static void check_folder(gpu_test *test, const char *folder, uint32_t n_adaptive)
{
    device_case c = open_case(test, folder);
    solve_each_fixed(c.file, check_program, &c);
    begin_evaluations(&c);
    solve_each_fixed(c.file, check_by_evaluations, &c.network);
    assert_int_equal(solve_check_adaptive(&c.network, c.file, 0.9), n_adaptive);
    close_case(&c);
}

static void test_llama_lora(void **state)
{
    check_folder(*state, "llama-lora", 5);
}

static void test_llama_full(void **state)
{
    check_folder(*state, "llama-full", 5);
}

static void test_qwen2_lora_guided(void **state)
{
    check_folder(*state, "qwen2-lora-cfg", 0);
}

static void test_qwen2_full(void **state)
{
    check_folder(*state, "qwen2-full", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_lora),
        cmocka_unit_test(test_llama_full),
        cmocka_unit_test(test_qwen2_lora_guided),
        cmocka_unit_test(test_qwen2_full),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
