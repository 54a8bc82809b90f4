/* GGUF models on a device through the public API against the recorded logits of the dequantised weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "golden/golden.h"

#define FOLDER TESTS_DIR "/golden/gguf/"

/* The bar of the golden data. */
#define LOGITS_TOLERANCE 2e-4

/* Models that run, and one sentence about each of the others. */
static const struct {
    const char *name, *why_not;
} models[] = {
    {"llama-linear-f16", NULL},
    {"llama-tied-q4_k_m", NULL},
    {"llama-untied-q8_0", NULL},
    {"qwen2-untied-q5_k_m", NULL},
    {"qwen2-tied-mixed", NULL},
    {"dream-q8_0", "general.architecture"},
    {"llada-f16", "general.architecture"},
};

static vkdlm_status keep(void *user, uint32_t sequence, const float *logits, const float *hidden,
                         vkdlm_error *err)
{
    (void)sequence, (void)hidden, (void)err;
    vkdlm_tensor *out = user;
    for (uint64_t i = 0; i < out->n_elements; i++)
        ((double *)(uintptr_t)out->data)[i] = (double)logits[i];
    return VKDLM_OK;
}

static void check_logits(engine_test *engine, const char *name)
{
    char path[512];
    vkdlm_error err = {0};
    vkdlm_model_info info;
    snprintf(path, sizeof path, FOLDER "%s.gguf", name);
    engine_test_model(engine, path);
    vkdlm_model_get_info(engine->model, &info);
    assert_int_equal(info.family, VKDLM_FAMILY_CAUSAL);
    assert_non_null(vkdlm_model_tokenizer(engine->model));
    snprintf(path, sizeof path, FOLDER "%s.expected.safetensors", name);
    vkdlm_tensors *file = golden_open(path);
    size_t n = golden_extent(file, "tokens", 0), n_logits = n * info.vocab_size;
    int32_t *tokens = golden_ints(file, "tokens", n);
    double *expected = golden_doubles(file, "logits", n_logits);
    double *found = calloc(n_logits, sizeof *found);
    assert_non_null(found);
    vkdlm_tensor out = {.n_elements = n_logits, .data = found};
    vkdlm_forward_options options = {
        .tokens = tokens, .n_sequences = 1, .length = (uint32_t)n, .on_sequence = keep, .user = &out};
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);
    golden_check_close(name, found, expected, n_logits, LOGITS_TOLERANCE, true);
    free(found);
    free(expected);
    free(tokens);
    vkdlm_tensors_close(file);
    engine_test_close_model(engine);
}

static void check_refused(engine_test *engine, const char *name, const char *why_not)
{
    char path[512];
    vkdlm_error err = {0};
    vkdlm_model *model;
    snprintf(path, sizeof path, FOLDER "%s.gguf", name);
    assert_int_equal(vkdlm_model_open(engine->device, path, NULL, &model, &err), VKDLM_UNSUPPORTED);
    assert_null(model);
    if (!strstr(err.message, why_not) || !strstr(err.message, path))
        fail_msg("%s: expected a message about %s, found: %s", name, why_not, err.message);
}

static void test_models(void **state)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (models[i].why_not)
            check_refused(*state, models[i].name, models[i].why_not);
        else
            check_logits(*state, models[i].name);
    }
}

/* What the metadata says. */
static void test_info(void **state)
{
    engine_test *engine = *state;
    vkdlm_model_info info;
    engine_test_model(engine, FOLDER "llama-linear-f16.gguf");
    vkdlm_model_get_info(engine->model, &info);
    assert_string_equal(info.architecture, "llama");
    assert_int_equal(info.vocab_size, 320);
    assert_int_equal(info.length, 512);
    assert_int_equal(info.hidden_dim, 96);
    assert_int_equal(info.mlp_dim, 104);
    assert_int_equal(info.n_blocks, 2);
    assert_int_equal(info.n_heads, 4);
    assert_int_equal(info.n_kv_heads, 1);
    assert_int_equal(info.head_dim, 48);
    assert_int_equal(info.begin_id, 314);
    assert_int_equal(info.n_end_ids, 1);
    assert_int_equal(info.end_ids[0], 315);
    engine_test_close_model(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}
