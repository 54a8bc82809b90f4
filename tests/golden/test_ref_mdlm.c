/* The scalar reference network against the authors' network in float64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "ref/ref_mdlm.h"

/* Float32 runs of the authors are within 2e-6 of their float64 run. */
#define FLOAT32_TOLERANCE 5e-6

static void check_network(const char *dir, bool has_hidden)
{
    char path[512];
    ref_mdlm *net = ref_mdlm_open(dir);
    assert_non_null(net);
    snprintf(path, sizeof path, "%s/expected.safetensors", dir);
    vkdlm_tensors *file = golden_open(path);
    size_t n_sequences = golden_extent(file, "tokens", 0), n = golden_extent(file, "tokens", 1);
    size_t dim = net->dim, vocab = net->vocab_size, layers = net->n_blocks + 1u;
    int32_t *tokens = golden_ints(file, "tokens", n_sequences * n);
    double *sigma = golden_doubles(file, "sigma", n_sequences);
    double *expected_logits = golden_doubles(file, "logits64", n_sequences * n * vocab);
    double *expected_c = golden_doubles(file, "c", n_sequences * net->cond_dim);
    double *logits = malloc(n_sequences * n * vocab * sizeof *logits);
    double *hidden = malloc(n_sequences * layers * n * dim * sizeof *hidden);
    double *c = malloc(n_sequences * net->cond_dim * sizeof *c);
    double *features = malloc(n_sequences * REF_MDLM_FEATURES * sizeof *features);
    assert_true(logits && hidden && c && features);

    for (size_t i = 0; i < n_sequences; i++) {
        ref_mdlm_condition(net, sigma[i], features + i * REF_MDLM_FEATURES, c + i * net->cond_dim);
        ref_mdlm_forward(net, tokens + i * n, (uint32_t)n, sigma[i], hidden + i * layers * n * dim,
                         logits + i * n * vocab);
    }
    golden_check_close("logits64", logits, expected_logits, n_sequences * n * vocab, 1e-12, false);
    golden_check_close("c", c, expected_c, n_sequences * net->cond_dim, FLOAT32_TOLERANCE, false);
    if (has_hidden) {
        double *expected = golden_doubles(file, "timestep_features", n_sequences * REF_MDLM_FEATURES);
        golden_check_close("timestep_features", features, expected, n_sequences * REF_MDLM_FEATURES,
                           FLOAT32_TOLERANCE, false);
        free(expected);
    }
    for (size_t layer = 0; has_hidden && layer < layers; layer++) {
        char name[32];
        snprintf(name, sizeof name, "hidden.%zu", layer);
        double *expected = golden_doubles(file, name, n_sequences * n * dim);
        for (size_t i = 0; i < n_sequences; i++)
            golden_check_close(name, hidden + (i * layers + layer) * n * dim, expected + i * n * dim, n * dim,
                               FLOAT32_TOLERANCE, false);
        free(expected);
    }
    free(features);
    free(c);
    free(hidden);
    free(logits);
    free(expected_c);
    free(expected_logits);
    free(sigma);
    free(tokens);
    vkdlm_tensors_close(file);
    ref_mdlm_close(net);
}

static void conditioned_network(void **state)
{
    (void)state;
    check_network(GOLDEN_MDLM("tc"), true);
}

static void unconditioned_network(void **state)
{
    (void)state;
    check_network(GOLDEN_MDLM("notc"), true);
}

static void tiny_networks(void **state)
{
    (void)state;
    check_network(GOLDEN_MDLM("tiny"), false);
    check_network(GOLDEN_MDLM("tiny-tc"), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditioned_network),
        cmocka_unit_test(unconditioned_network),
        cmocka_unit_test(tiny_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
