/* The tuner on a device: sound variants pass its checks, and a faulty one is caught and avoided, in what runs
 * afterwards and after the next start. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vkdlm/vkdlm.h>

#include "device.h"
#include "gpu_test.h"
#include "ops/attention_select.h"
#include "ops/cached_rows.h"
#include "ops/matmul_select.h"
#include "ops/tune_trial.h"

#define CHOICES_FILE TESTS_BINARY_DIR "/tune-device.json"

enum { GELU = 1, ACTIVATION = 4 /* specialisation constant of matmul.comp */ };

static void attach(gpu_test *t, const char *path)
{
    vkdlm_error err;
    tune_options options = {.path = path, .budget = INFINITY};
    gpu_test_ok(tune_attach(t->device, &options, &err), &err);
}

static void open_tuned(gpu_test *t, const char *path)
{
    gpu_test_open(t, (gpu_options){0});
    attach(t, path);
}

static tune_choice choice_of(gpu_test *t, tune_key key)
{
    uint32_t chosen;
    vkdlm_error err;
    gpu_test_ok(tune_choose(t->device, key, &chosen, &err), &err);
    tune_choice *all = gpu_test_alloc(TUNE_MAX_CHOICES * sizeof *all), found = {0};
    uint32_t n = tune_list(t->device, all, TUNE_MAX_CHOICES);
    for (uint32_t i = 0; i < n; i++)
        if (all[i].key.group == key.group && all[i].key.type == key.type && all[i].key.size == key.size)
            found = all[i];
    free(all);
    assert_true(found.n > 0);
    assert_int_equal(found.chosen, chosen);
    return found;
}

/* Every variant of a sound driver is right; those of products have the same bits. */
static void test_sound_variants_pass(void **state)
{
    (void)state;
    gpu_test t;
    open_tuned(&t, NULL);
    const attention_shape heads = {2, 1, 16, false}, causal = {2, 1, 16, true}, shared = {4, 1, 16, true};
    const tune_key keys[] = {
        matmul_key(TUNE_MATMUL, VKDLM_DTYPE_F16, false, 1),
        matmul_key(TUNE_MATMUL, VKDLM_DTYPE_F16, false, 100),
        matmul_key(TUNE_MATMUL, VKDLM_DTYPE_F32, true, 3),
        matmul_key(TUNE_MATMUL, VKDLM_DTYPE_Q4_K, false, 2),
        matmul_key(TUNE_OUTPUT, VKDLM_DTYPE_F32, false, 6),
        attention_key(&heads),
        attention_key(&causal),
        cached_attention_key(&causal, KV_F32),
        cached_attention_key(&causal, KV_F16),
        cached_rows_key(&shared, KV_F32),
        cached_rows_key(&shared, KV_F16),
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        tune_choice c = choice_of(&t, keys[i]);
        char text[TUNE_TEXT];
        tune_table_of(keys[i].group)->describe(keys[i], text);
        assert_true(c.measured && c.bits != 0);
        assert_true(c.candidates[c.chosen].state == TUNE_TIMED || c.n == 1);
        for (uint32_t v = 0; v < c.n; v++) {
            enum tune_state s = c.candidates[v].state;
            bool may_differ = keys[i].group == TUNE_ATTENTION || keys[i].group == TUNE_CACHED_ROWS;
            bool fine =
                s == TUNE_TIMED || (s == TUNE_RIGHT && c.n == 1) || (s == TUNE_OTHER_BITS && may_differ);
            if (!fine)
                fail_msg("%s: '%s' is in state %d", text, c.candidates[v].name, (int)s);
        }
    }
    /* What is known is not measured again. */
    uint32_t n_pipelines = gpu_device_pipelines(t.device);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        choice_of(&t, keys[i]);
    assert_int_equal(gpu_device_pipelines(t.device), n_pipelines);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* ---- a product on a device, by ops_matmul ------------------------------------------------------------- */

enum { ROWS = 2, COLUMNS = 70, DEPTH = 64 };

static void run_product(gpu_test *t, float *out)
{
    vkdlm_error err;
    weight w;
    float *values, *x = gpu_test_alloc(64 * DEPTH * sizeof *x);
    gpu_test_ok(tune_make_weight(t->device, VKDLM_DTYPE_F16, COLUMNS, DEPTH, 5, &w, &values, &err), &err);
    gpu_test_random(x, (size_t)ROWS * DEPTH, 3, -1, 1);
    gpu_buffer b_x = gpu_test_buffer(t, x, 64 * DEPTH * sizeof *x),
               b_y = gpu_test_buffer(t, NULL, (size_t)64 * weight_pad(COLUMNS) * sizeof *out);
    matmul_args args = {.w = &w,
                        .x = gpu_view_all(&b_x),
                        .y = gpu_view_all(&b_y),
                        .ldx = DEPTH,
                        .ldy = weight_pad(COLUMNS),
                        .n_rows = ROWS};
    ops_matmul(t->device, gpu_test_begin(t), &args);
    gpu_test_submit(t);
    gpu_test_read(t, &b_y, out, ROWS * weight_pad(COLUMNS) * sizeof *out);
    gpu_buffer_destroy(&b_x);
    gpu_buffer_destroy(&b_y);
    weight_destroy(&w);
    free(values);
    free(x);
}

/* The kernel of a shape by its name ("texels 2") for a type (matmul_type_index). */
static enum gpu_kernel kernel_of(const char *shape, uint32_t type)
{
    static const struct {
        const char *name;
        enum gpu_kernel kernels[3];
    } families[] = {
        {"texels",
         {GPU_KERNEL_MATMUL_TEXELS_F32, GPU_KERNEL_MATMUL_TEXELS_F16, GPU_KERNEL_MATMUL_TEXELS_BF16}},
        {"subgroup",
         {GPU_KERNEL_MATMUL_SUBGROUP_F32, GPU_KERNEL_MATMUL_SUBGROUP_F16, GPU_KERNEL_MATMUL_SUBGROUP_BF16}},
        {"plain 1",
         {GPU_KERNEL_MATMUL_PLAIN_1_F32, GPU_KERNEL_MATMUL_PLAIN_1_F16, GPU_KERNEL_MATMUL_PLAIN_1_BF16}},
        {"plain 4",
         {GPU_KERNEL_MATMUL_PLAIN_4_F32, GPU_KERNEL_MATMUL_PLAIN_4_F16, GPU_KERNEL_MATMUL_PLAIN_4_BF16}},
        {"shared",
         {GPU_KERNEL_MATMUL_SHARED_F32, GPU_KERNEL_MATMUL_SHARED_F16, GPU_KERNEL_MATMUL_SHARED_BF16}},
    };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strncmp(shape, families[i].name, strlen(families[i].name)) == 0)
            return families[i].kernels[type];
    fail_msg("no kernel is known for '%s'", shape);
    return GPU_KERNEL_COUNT;
}

/* The driver makes something else of the preferred kernel than was asked for: it is caught, another variant
 * computes what the preferred one should have, and the next start knows. */
static void test_a_faulty_variant_is_avoided(void **state)
{
    (void)state;
    gpu_test t;
    float expected[ROWS * 96], found[ROWS * 96];
    tune_key key = matmul_key(TUNE_MATMUL, VKDLM_DTYPE_F16, false, ROWS);
    unlink(CHOICES_FILE);

    open_tuned(&t, NULL);
    run_product(&t, expected);
    tune_choice sound = choice_of(&t, key);
    const char *spoiled = sound.candidates[0].name;
    assert_int_equal(gpu_test_close(&t), 0);

    /* Without a tuner the fault is in the results: the test can fail. */
    gpu_test_open(&t, (gpu_options){0});
    gpu_device_spoil(t.device, kernel_of(spoiled, 1), ACTIVATION, GELU);
    run_product(&t, found);
    assert_memory_not_equal(found, expected, sizeof expected);
    assert_int_equal(gpu_test_close(&t), 0);

    open_tuned(&t, CHOICES_FILE);
    gpu_device_spoil(t.device, kernel_of(spoiled, 1), ACTIVATION, GELU);
    run_product(&t, found);
    assert_memory_equal(found, expected, sizeof expected);
    tune_choice c = choice_of(&t, key);
    assert_int_equal(c.candidates[0].state, TUNE_WRONG);
    assert_int_not_equal(c.chosen, 0);
    assert_true(c.bits == sound.bits);
    assert_int_equal(gpu_test_close(&t), 0);

    /* From the file: nothing runs for it. */
    open_tuned(&t, CHOICES_FILE);
    c = choice_of(&t, key);
    assert_int_equal(c.candidates[0].state, TUNE_WRONG);
    assert_int_not_equal(c.chosen, 0);
    assert_int_equal(gpu_device_pipelines(t.device), 0);
    assert_int_equal(gpu_test_close(&t), 0);
    unlink(CHOICES_FILE);
}

/* The same of attention, whose variants may round differently: the first right one is taken. */
static void test_faulty_attention_is_avoided(void **state)
{
    (void)state;
    gpu_test t;
    const attention_shape shape = {2, 1, 16, false};
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    open_tuned(&t, NULL);
    uint32_t n = attention_variants(gpu_device_caps(t.device), &shape, variants);
    gpu_device_spoil(t.device, variants[0].kernel, 1, shape.head_dim / 2); /* its constant DIM */
    tune_choice c = choice_of(&t, attention_key(&shape));
    assert_int_equal(c.n, n);
    assert_int_equal(c.candidates[0].state, TUNE_WRONG);
    assert_true(n > 1 ? c.chosen == 1 || c.candidates[c.chosen].state == TUNE_TIMED : c.chosen == n);
    attention op;
    vkdlm_error err;
    vkdlm_status status = attention_init(&op, t.device, &shape, NULL, &err);
    if (n > 1) {
        gpu_test_ok(status, &err);
        assert_int_not_equal(op.variant.kernel, variants[0].kernel);
    } else {
        assert_int_equal(status, VKDLM_UNSUPPORTED);
        assert_non_null(strstr(err.message, "wrong numbers"));
    }
    assert_int_equal(gpu_test_close(&t), 0);
}

/* The same of single queries over a cache: every variant of the spoiled kernel is caught. */
static void test_faulty_rows_are_avoided(void **state)
{
    (void)state;
    gpu_test t;
    const attention_shape shape = {4, 1, 16, true};
    for (int type = 0; type < KV_N_TYPES; type++) {
        cached_rows_variant variants[CACHED_ROWS_MAX_VARIANTS];
        open_tuned(&t, NULL);
        uint32_t n = cached_rows_variants(gpu_device_caps(t.device), &shape, (enum kv_type)type, variants),
                 n_wrong = 0;
        while (n_wrong < n && variants[n_wrong].kernel == variants[0].kernel)
            n_wrong++;
        gpu_device_spoil(t.device, variants[0].kernel, 1, shape.head_dim / 2); /* its constant DIM */
        cached_attention op;
        vkdlm_error err;
        vkdlm_status status = cached_attention_init(&op, t.device, &shape, (enum kv_type)type, &err);
        if (n > n_wrong) {
            gpu_test_ok(status, &err);
            assert_int_not_equal(op.rows_variant.kernel, variants[0].kernel);
            tune_choice c = choice_of(&t, cached_rows_key(&shape, (enum kv_type)type));
            for (uint32_t i = 0; i < n_wrong; i++)
                assert_int_equal(c.candidates[i].state, TUNE_WRONG);
        } else {
            assert_int_equal(status, VKDLM_UNSUPPORTED);
            assert_non_null(strstr(err.message, "wrong numbers"));
        }
        assert_int_equal(gpu_test_close(&t), 0);
    }
}

/* ---- a whole model ------------------------------------------------------------------------------------- */

enum { LENGTH = 12 };

static bool keep_tokens(void *user, const vkdlm_sample *sample)
{
    memcpy(user, sample->tokens, LENGTH * sizeof(int32_t));
    return true;
}

static void generate(vkdlm_device *device, int32_t tokens[LENGTH])
{
    vkdlm_error err;
    vkdlm_model *model;
    vkdlm_session *session;
    vkdlm_model_info info;
    int32_t start[LENGTH];
    gpu_test_ok(vkdlm_model_open(device, MODELS_DIR "/kjv-mdlm", NULL, &model, &err), &err);
    gpu_test_ok(vkdlm_session_create(model, &session, &err), &err);
    vkdlm_model_get_info(model, &info);
    for (int i = 0; i < LENGTH; i++)
        start[i] = info.mask_id;
    vkdlm_canvas canvas = {start, LENGTH};
    vkdlm_generate_options options = {.canvases = &canvas,
                                      .n_canvases = 1,
                                      .steps = 3,
                                      .seed = 4,
                                      .on_sample = keep_tokens,
                                      .user = tokens};
    gpu_test_ok(vkdlm_generate(session, &options, NULL, &err), &err);
    vkdlm_session_destroy(session);
    vkdlm_model_close(model);
}

static uint32_t all_choices(vkdlm_device *device, vkdlm_kernel_choice **choices)
{
    *choices = gpu_test_alloc(TUNE_MAX_CHOICES * sizeof **choices);
    return vkdlm_device_choices(device, *choices, TUNE_MAX_CHOICES);
}

/* Tokens stay the same when the variant that a model would use is faulty, and the public interface tells of
 * it. */
static void test_a_model_is_unharmed(void **state)
{
    (void)state;
    vkdlm_device *device;
    vkdlm_error err;
    vkdlm_kernel_choice *choices;
    int32_t expected[LENGTH], found[LENGTH];
    char spoiled[32] = "";
    uint32_t type = 0, n_wrong = 0;
    const vkdlm_device_options options = {.cache_dir = ""};

    gpu_test_ok(vkdlm_device_open(&options, &device, &err), &err);
    generate(device, expected);
    uint32_t n = all_choices(device, &choices);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(choices[i].group, "matmul") == 0 &&
            choices[i].variants[0].state != VKDLM_VARIANT_UNTRIED) {
            snprintf(spoiled, sizeof spoiled, "%s", choices[i].variants[0].name);
            type = strncmp(choices[i].problem, "F16", 3) == 0    ? 1
                   : strncmp(choices[i].problem, "BF16", 4) == 0 ? 2
                                                                 : 0;
        }
    free(choices);
    vkdlm_device_close(device);
    assert_true(*spoiled);

    gpu_test_ok(vkdlm_device_open(&options, &device, &err), &err);
    gpu_device_spoil(device->gpu, kernel_of(spoiled, type), ACTIVATION, GELU);
    generate(device, found);
    assert_memory_equal(found, expected, sizeof expected);
    n = all_choices(device, &choices);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t v = 0; v < choices[i].n_variants; v++)
            if (choices[i].variants[v].state == VKDLM_VARIANT_WRONG) {
                n_wrong++;
                assert_string_not_equal(choices[i].variants[v].name, choices[i].variant);
            }
    free(choices);
    vkdlm_device_close(device);
    assert_true(n_wrong > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_variants_pass),
        cmocka_unit_test(test_a_faulty_variant_is_avoided),
        cmocka_unit_test(test_faulty_attention_is_avoided),
        cmocka_unit_test(test_faulty_rows_are_avoided),
        cmocka_unit_test(test_a_model_is_unharmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
