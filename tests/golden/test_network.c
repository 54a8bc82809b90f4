/* The network on a device against the authors' float64 run: hidden states of every block and logits of every
 * golden model through the public API, and properties that must hold to the bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "golden/golden.h"

/* Relative to the largest value. The bar of the golden data is 1e-4; 5e-5 already tells the two GELUs apart;
 * a plain fp32 implementation stays below 1e-5. */
#define TOLERANCE 1e-5

typedef struct sequence_outputs {
    double *logits; /* [B, L, V] */
    double *hidden; /* [blocks + 1, B, L, D]; NULL when not wanted */
    vkdlm_model_info info;
    uint32_t n_sequences, length;
} sequence_outputs;

static vkdlm_status keep(void *user, uint32_t sequence, const float *logits, const float *hidden,
                         vkdlm_error *err)
{
    (void)err;
    sequence_outputs *out = user;
    size_t n_logits = (size_t)out->length * out->info.vocab_size;
    for (size_t i = 0; i < n_logits; i++)
        out->logits[sequence * n_logits + i] = (double)logits[i];
    size_t n_hidden = (size_t)out->length * out->info.hidden_dim;
    for (uint32_t state = 0; hidden && state <= out->info.n_blocks; state++) {
        for (size_t i = 0; i < n_hidden; i++)
            out->hidden[(state * (size_t)out->n_sequences + sequence) * n_hidden + i] =
                (double)hidden[state * n_hidden + i];
    }
    return VKDLM_OK;
}

/* One golden model: all of its sequences in one call. */
static void check_model(engine_test *engine, const char *folder, bool has_hidden)
{
    char path[512];
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    vkdlm_tensors *expected = golden_open(path);
    engine_test_model(engine, folder);

    sequence_outputs out = {.n_sequences = (uint32_t)golden_extent(expected, "tokens", 0),
                            .length = (uint32_t)golden_extent(expected, "tokens", 1)};
    vkdlm_model_get_info(engine->model, &out.info);
    size_t n_logits = (size_t)out.n_sequences * out.length * out.info.vocab_size;
    size_t n_hidden = (size_t)out.n_sequences * out.length * out.info.hidden_dim;
    out.logits = calloc(n_logits, sizeof *out.logits);
    out.hidden = calloc((out.info.n_blocks + 1) * n_hidden, sizeof *out.hidden);
    int32_t *tokens = golden_ints(expected, "tokens", (size_t)out.n_sequences * out.length);
    double *wide_sigma = golden_doubles(expected, "sigma", out.n_sequences);
    float *sigma = calloc(out.n_sequences, sizeof *sigma);
    assert_true(out.logits && out.hidden && sigma);
    for (uint32_t i = 0; i < out.n_sequences; i++)
        sigma[i] = (float)wide_sigma[i];

    vkdlm_forward_options options = {.tokens = tokens,
                                     .n_sequences = out.n_sequences,
                                     .length = out.length,
                                     .sigma = sigma,
                                     .hidden = has_hidden,
                                     .on_sequence = keep,
                                     .user = &out};
    vkdlm_error err;
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);

    for (uint32_t i = 0; has_hidden && i <= out.info.n_blocks; i++) {
        char name[32];
        snprintf(name, sizeof name, "hidden.%u", i);
        double *state = golden_doubles(expected, name, n_hidden);
        golden_check_close(name, out.hidden + i * n_hidden, state, n_hidden, TOLERANCE, false);
        free(state);
    }
    double *logits = golden_doubles(expected, "logits64", n_logits);
    golden_check_close("logits", out.logits, logits, n_logits, TOLERANCE, false);
    free(logits);
    free(sigma);
    free(wide_sigma);
    free(tokens);
    free(out.hidden);
    free(out.logits);
    vkdlm_tensors_close(expected);
    engine_test_close_model(engine);
}

static void test_time_conditioned(void **state)
{
    check_model(*state, GOLDEN_MDLM("tc"), true);
}

static void test_folded(void **state)
{
    check_model(*state, GOLDEN_MDLM("notc"), true);
}

static void test_tiny(void **state)
{
    check_model(*state, GOLDEN_MDLM("tiny"), false);
    check_model(*state, GOLDEN_MDLM("tiny-tc"), false);
}

/* A row's logits are the same bits whichever rows are asked for beside it. */
typedef struct row_bits {
    float *row;
    size_t n;
    uint32_t index;
} row_bits;

static vkdlm_status keep_row(void *user, uint32_t sequence, const float *logits, const float *hidden,
                             vkdlm_error *err)
{
    (void)sequence;
    (void)hidden;
    (void)err;
    row_bits *out = user;
    memcpy(out->row, logits + out->index * out->n, out->n * sizeof *out->row);
    return VKDLM_OK;
}

static void test_rows_do_not_depend_on_each_other(void **state)
{
    engine_test *engine = *state;
    engine_test_model(engine, GOLDEN_MDLM("notc"));
    vkdlm_model_info info;
    vkdlm_model_get_info(engine->model, &info);
    int32_t *tokens = calloc(info.length, sizeof *tokens);
    float *all = calloc(info.vocab_size, sizeof *all), *one = calloc(info.vocab_size, sizeof *one);
    assert_true(tokens && all && one);
    for (uint32_t i = 0; i < info.length; i++)
        tokens[i] = (int32_t)(i * 37 % info.vocab_size);
    uint32_t row = 41;
    vkdlm_error err;
    row_bits bits = {.row = all, .n = info.vocab_size, .index = row};
    vkdlm_forward_options options = {
        .tokens = tokens, .n_sequences = 1, .length = info.length, .on_sequence = keep_row, .user = &bits};
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);
    options.rows = &row;
    options.n_rows = 1;
    bits.row = one;
    bits.index = 0;
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);
    assert_memory_equal(all, one, info.vocab_size * sizeof *all);
    free(one);
    free(all);
    free(tokens);
    engine_test_close_model(engine);
}

static void test_bad_inputs(void **state)
{
    engine_test *engine = *state;
    engine_test_model(engine, GOLDEN_MDLM("tiny"));
    int32_t outside[] = {0, 5, 1}, good[] = {0, 4, 1};
    uint32_t far[] = {3}, twice[] = {1, 1};
    const vkdlm_forward_options cases[] = {
        {.tokens = outside, .n_sequences = 1, .length = 3},
        {.tokens = good, .n_sequences = 1, .length = 0},
        {.tokens = good, .n_sequences = 1, .length = 4},
        {.tokens = good, .n_sequences = 1, .length = 3, .rows = far, .n_rows = 1},
        {.tokens = good, .n_sequences = 1, .length = 3, .rows = twice, .n_rows = 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_error err = {0};
        assert_int_equal(vkdlm_forward(engine->session, &cases[i], &err), VKDLM_INVALID_ARGUMENT);
        assert_true(strlen(err.message) > 0);
    }
    engine_test_close_model(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_conditioned),
        cmocka_unit_test(test_folded),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_rows_do_not_depend_on_each_other),
        cmocka_unit_test(test_bad_inputs),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
