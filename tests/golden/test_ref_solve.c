/* Grids, temperatures and solvers of the diffusion path against the authors' solves, with the scalar
 * reference as the network. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "golden/solve.h"
#include "ref/ref_l2d.h"

/* Of the recorded f32 network from this f64 one, as tests/golden/l2d/README.md gives it, and some room. */
static const solve_tolerance tolerance = {.logits = 3e-4, .average_logits = 1e-3, .state = 5e-5};

typedef struct reference {
    ref_llm *base;
    ref_l2d *net;
    ref_llm_cache caches[2];
    double *vocabulary; /* V_y of every token, [V, n] */
    solve_network network;
} reference;

static void mean_embedding(const reference *r, const double *logits, double tau, double *x_hat)
{
    uint32_t n = r->net->n, vocab = r->base->vocab_size;
    double max = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < vocab; i++)
        max = fmax(max, logits[i]);
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp((logits[i] - max) / tau);
    for (uint32_t i = 0; i < n; i++)
        x_hat[i] = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        double p = exp((logits[i] - max) / tau) / sum;
        for (uint32_t j = 0; j < n; j++)
            x_hat[j] += p * r->vocabulary[(size_t)i * n + j];
    }
}

static void evaluate(void *self, const solve_point *p, double *x_hat, double *logits)
{
    const reference *r = self;
    ref_l2d_evaluate(r->net, &r->caches[p->row], r->caches[p->row].length - 1, p->x, p->t, p->class_id, NULL,
                     logits);
    if (x_hat && p->average && p->tau > 0)
        mean_embedding(r, logits, p->tau, x_hat);
    else if (x_hat)
        ref_l2d_vocabulary(r->net, (int32_t)ref_l2d_argmax(logits, r->base->vocab_size, NULL), x_hat);
}

static void check_case(void *user, const solve_case *c)
{
    solve_check_fixed(user, c, &tolerance);
}

static void check_folder(void **state)
{
    const char *folder = *state;
    char path[512];
    reference r = {.base = ref_llm_open(folder)};
    assert_non_null(r.base);
    r.net = ref_l2d_open(folder, r.base);
    assert_non_null(r.net);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    vkdlm_tensors *file = golden_open(path);
    size_t n = golden_extent(file, "prompt", 1);
    int32_t *prompt = golden_ints(file, "prompt", 2 * n);
    for (size_t i = 0; i < 2; i++) {
        r.caches[i] = ref_llm_cache_create(r.base, (uint32_t)n);
        ref_llm_forward(r.base, &r.caches[i], prompt + i * n, (uint32_t)n, NULL, NULL);
    }
    r.vocabulary = calloc((size_t)r.base->vocab_size * r.net->n, sizeof *r.vocabulary);
    assert_non_null(r.vocabulary);
    for (uint32_t i = 0; i < r.base->vocab_size; i++)
        ref_l2d_vocabulary(r.net, (int32_t)i, r.vocabulary + (size_t)i * r.net->n);
    r.network = (solve_network){.self = &r,
                                .n = r.net->n,
                                .vocab_size = r.base->vocab_size,
                                .sigma = r.net->sigma,
                                .variance = r.net->variance,
                                .evaluate = evaluate};
    solve_each_fixed(file, check_case, &r.network);
    bool llama = folder[strlen(TESTS_DIR "/golden/l2d/")] == 'l';
    assert_int_equal(solve_check_adaptive(&r.network, file, 0.9), llama ? 5 : 0);
    assert_int_equal(solve_check_adaptive(&r.network, file, 1), llama ? 4 : 0);
    for (size_t i = 0; i < 2; i++)
        ref_llm_cache_destroy(&r.caches[i]);
    free(r.vocabulary);
    free(prompt);
    vkdlm_tensors_close(file);
    ref_l2d_close(r.net);
    ref_llm_close(r.base);
}

/* tau.* is the formula alone. */
static void check_temperatures(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } schedules[] = {{"tau.p1_end1", "polynomial_1_1"},
                     {"tau.p2_end1", "polynomial_2_1"},
                     {"tau.p1_end0.9", "polynomial_1_0.9"},
                     {"tau.p0.5_end0.8", "polynomial_0.5_0.8"},
                     {"tau.p3_end0.5", "polynomial_3_0.5"}};
    vkdlm_tensors *file = golden_open(TESTS_DIR "/golden/l2d/llama-lora/expected.safetensors");
    size_t n = golden_extent(file, "tau.t", 0);
    double *t = golden_doubles(file, "tau.t", n), *found = calloc(n, sizeof *found);
    assert_non_null(found);
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++) {
        vkdlm_error err;
        flow_temperature schedule;
        assert_int_equal(flow_temperature_parse(schedules[i].text, &schedule, &err), VKDLM_OK);
        double *expected = golden_doubles(file, schedules[i].name, n);
        for (size_t j = 0; j < n; j++)
            found[j] = flow_tau(&schedule, t[j]);
        golden_check_close(schedules[i].name, found, expected, n, 1e-14, true);
        free(expected);
    }
    free(found);
    free(t);
    vkdlm_tensors_close(file);
}

#define FOLDER_TEST(folder)                                                                                 \
    {                                                                                                       \
        .name = folder, .test_func = check_folder, .initial_state = (void *)TESTS_DIR "/golden/l2d/" folder \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST("llama-lora"),
        FOLDER_TEST("llama-full"),
        FOLDER_TEST("qwen2-lora-cfg"),
        FOLDER_TEST("qwen2-full"),
        cmocka_unit_test(check_temperatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
