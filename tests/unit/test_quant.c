/* Block formats against the golden blocks: values to the bit, quantised bytes and errors. */
#include "test_tensors_util.h"

#include <vkdlm/tensors.h>

#include "base/half.h"
#include "format/quant.h"

static const struct type {
    vkdlm_dtype dtype;
    const char *name;
} types[] = {
    {VKDLM_DTYPE_F16, "F16"},       {VKDLM_DTYPE_BF16, "BF16"}, {VKDLM_DTYPE_Q8_0, "Q8_0"},
    {VKDLM_DTYPE_Q4_0, "Q4_0"},     {VKDLM_DTYPE_Q4_1, "Q4_1"}, {VKDLM_DTYPE_Q5_0, "Q5_0"},
    {VKDLM_DTYPE_Q5_1, "Q5_1"},     {VKDLM_DTYPE_Q2_K, "Q2_K"}, {VKDLM_DTYPE_Q3_K, "Q3_K"},
    {VKDLM_DTYPE_Q4_K, "Q4_K"},     {VKDLM_DTYPE_Q5_K, "Q5_K"}, {VKDLM_DTYPE_Q6_K, "Q6_K"},
    {VKDLM_DTYPE_IQ4_NL, "IQ4_NL"},
};
#define N_TYPES (sizeof types / sizeof types[0])
#define ROW     512

static vkdlm_tensors *open_golden(const struct type *type)
{
    char path[4096];
    snprintf(path, sizeof path, TESTS_DIR "/golden/quant/%s.safetensors", type->name);
    vkdlm_tensors *file = NULL;
    vkdlm_error err = {0};
    if (vkdlm_tensors_open(path, &file, &err))
        fail_msg("%s", err.message);
    return file;
}

/* The tensor's data in memory of its own, at an odd address when `odd`; the caller frees *base. */
static const void *copy(const vkdlm_tensors *file, const char *name, bool odd, uint64_t *rows, void **base)
{
    const vkdlm_tensor *tensor = vkdlm_tensors_find(file, name);
    if (!tensor)
        fail_msg("no tensor %s", name);
    assert_int_equal(tensor->n_dims, 2);
    *rows = tensor->shape[0];
    *base = malloc(tensor->n_bytes + odd);
    assert_non_null(*base);
    memcpy((char *)*base + odd, tensor->data, tensor->n_bytes);
    return (char *)*base + odd;
}

static void check_values(const struct type *type, const vkdlm_tensors *file, const char *blocks,
                         const char *values)
{
    uint64_t n_rows, n_values;
    void *block_base, *value_base;
    const uint8_t *bytes = copy(file, blocks, true, &n_rows, &block_base);
    const float *expected = copy(file, values, false, &n_values, &value_base);
    assert_int_equal(n_rows, n_values);
    assert_true(n_rows >= 8);
    uint64_t row_bytes = quant_row_bytes(type->dtype, ROW);
    assert_int_equal(row_bytes, vkdlm_tensors_find(file, blocks)->shape[1]);
    for (uint64_t row = 0; row < n_rows; row++) {
        float out[ROW];
        memset(out, 0xAB, sizeof out);
        quant_dequantize_row(type->dtype, bytes + row * row_bytes, ROW, out);
        for (size_t i = 0; i < ROW; i++)
            if (f32_to_bits(out[i]) != f32_to_bits(expected[row * ROW + i]))
                fail_msg("%s: %s row %d element %zu: expected %a, found %a", type->name, blocks, (int)row, i,
                         (double)expected[row * ROW + i], (double)out[i]);
    }
    free(block_base);
    free(value_base);
}

static void test_dequantize(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        vkdlm_tensors *file = open_golden(&types[t]);
        check_values(&types[t], file, "blocks", "values");
        if (vkdlm_dtype_size(types[t].dtype) == 0)
            check_values(&types[t], file, "random_blocks", "random_values");
        vkdlm_tensors_close(file);
    }
}

static void test_f32_rows(void **state)
{
    (void)state;
    const float in[3] = {1.5f, -0.0f, f32_from_bits(1)};
    float out[3] = {0};
    quant_dequantize_row(VKDLM_DTYPE_F32, in, 3, out);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(quant_row_bytes(VKDLM_DTYPE_F32, 3), 12);
}

static void test_supported(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++)
        assert_true(quant_is_supported(types[t].dtype));
    assert_true(quant_is_supported(VKDLM_DTYPE_F32));
    assert_false(quant_is_supported(VKDLM_DTYPE_I32));
    assert_false(quant_is_supported(VKDLM_DTYPE_COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dequantize),
        cmocka_unit_test(test_f32_rows),
        cmocka_unit_test(test_supported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
