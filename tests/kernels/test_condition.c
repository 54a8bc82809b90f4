/* Timestep features against sin and cos in double. */
#include <math.h>
#include <stdlib.h>

#include "gpu_test.h"
#include "ops/condition.h"

static void check(gpu_test *t, const float *sigma, uint32_t n)
{
    size_t n_features = (size_t)n * TIMESTEP_FEATURES;
    gpu_buffer b_sigma = gpu_test_buffer(t, sigma, n * sizeof *sigma);
    gpu_buffer b_features = gpu_test_buffer(t, NULL, n_features * sizeof(float));
    ops_timestep(t->device, gpu_test_begin(t), gpu_view_all(&b_sigma), n, gpu_view_all(&b_features));
    gpu_test_submit(t);
    float *found = gpu_test_alloc(n_features * sizeof *found);
    gpu_test_read(t, &b_features, found, n_features * sizeof *found);
    for (uint32_t s = 0; s < n; s++)
        for (uint32_t i = 0; i < TIMESTEP_FEATURES; i++) {
            double angle = (double)sigma[s] * pow(10000.0, -(double)(i % 128) / 128);
            double expected = i < 128 ? cos(angle) : sin(angle);
            double difference = fabs((double)found[s * TIMESTEP_FEATURES + i] - expected);
            /* The angle carries three roundings (the table's, the decade's, the product's). */
            if (!(difference <= 0x1p-22 * (1 + fabs(angle))))
                fail_msg("sigma %.9g, feature %u: expected %.9g, found %.9g", (double)sigma[s], i, expected,
                         (double)found[s * TIMESTEP_FEATURES + i]);
        }
    free(found);
    gpu_buffer_destroy(&b_sigma);
    gpu_buffer_destroy(&b_features);
}

static void test_known_levels(void **state)
{
    static const float sigma[] = {0,          1e-30f,     1e-5f,      1e-3f,  0.5f,       0.785398f, 1,
                                  1.5707964f, 2.3561945f, 3.1415927f, 4.712f, 6.2831855f, 6.9f,      10,
                                  13.8f,      20,         100,        1000,   40000,      -3};
    check(*state, sigma, sizeof sigma / sizeof *sigma);
}

static void test_many_sequences(void **state)
{
    static const uint32_t counts[] = {1, 2, 3, 65, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        float *sigma = gpu_test_alloc(counts[i] * sizeof *sigma);
        gpu_test_random(sigma, counts[i], i, 0, 25);
        check(*state, sigma, counts[i]);
        free(sigma);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_levels),
        cmocka_unit_test(test_many_sequences),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
