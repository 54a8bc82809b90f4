/* Block formats against the golden blocks: values to the bit, quantised bytes and errors. */
#include "test_tensors_util.h"

#include <math.h>

#include <vkdlm/tensors.h>

#include "base/half.h"
#include "format/quant.h"

static const struct type {
    vkdlm_dtype dtype;
    const char *name;
    bool exact; /* the quantiser gives the golden bytes */
} types[] = {
    {VKDLM_DTYPE_F16, "F16", true},        {VKDLM_DTYPE_BF16, "BF16", true},
    {VKDLM_DTYPE_Q8_0, "Q8_0", true},      {VKDLM_DTYPE_Q4_0, "Q4_0", true},
    {VKDLM_DTYPE_Q4_1, "Q4_1", true},      {VKDLM_DTYPE_Q5_0, "Q5_0", true},
    {VKDLM_DTYPE_Q5_1, "Q5_1", true},      {VKDLM_DTYPE_Q2_K, "Q2_K", false},
    {VKDLM_DTYPE_Q3_K, "Q3_K", false},     {VKDLM_DTYPE_Q4_K, "Q4_K", false},
    {VKDLM_DTYPE_Q5_K, "Q5_K", false},     {VKDLM_DTYPE_Q6_K, "Q6_K", false},
    {VKDLM_DTYPE_IQ4_NL, "IQ4_NL", false},
};
#define N_TYPES    (sizeof types / sizeof types[0])
#define ROW        512
#define MOST_RATIO 1.02 /* of our squared error to the reference's */

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

static double row_error(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < ROW; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

/* The error of our blocks of every row is at most 1.02 times the reference's. */
static void check_quantised(const struct type *type, const vkdlm_tensors *file)
{
    uint64_t n_rows, n;
    void *source_base, *block_base, *value_base;
    const float *source = copy(file, "source", false, &n_rows, &source_base);
    const float *values = copy(file, "values", false, &n, &value_base);
    assert_int_equal(n, n_rows);
    const uint8_t *blocks = copy(file, "blocks", true, &n, &block_base);
    assert_int_equal(n, n_rows);
    size_t row_bytes = (size_t)quant_row_bytes(type->dtype, ROW);
    for (uint64_t row = 0; row < n_rows; row++) {
        uint8_t out[ROW * 4];
        const float *x = source + row * ROW;
        memset(out, 0xAB, sizeof out);
        quant_quantize_row(type->dtype, x, ROW, out);
        assert_int_equal(out[row_bytes], 0xAB);
        if (type->exact) {
            if (memcmp(out, blocks + row * row_bytes, row_bytes) != 0)
                fail_msg("%s: row %d has other bytes", type->name, (int)row);
            continue;
        }
        float ours[ROW];
        quant_dequantize_row(type->dtype, out, ROW, ours);
        double error = row_error(ours, x), reference = row_error(values + row * ROW, x);
        if (!(error <= MOST_RATIO * reference))
            fail_msg("%s: row %d: expected an error of at most %g times %g, found %g", type->name, (int)row,
                     MOST_RATIO, reference, error);
    }
    free(source_base);
    free(block_base);
    free(value_base);
}

static void test_quantize(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        vkdlm_tensors *file = open_golden(&types[t]);
        check_quantised(&types[t], file);
        vkdlm_tensors_close(file);
    }
}

/* A row of one block and its error relative to the largest magnitude. */
static double block_error(vkdlm_dtype dtype, const float *x)
{
    uint32_t n_bytes, n = vkdlm_dtype_block(dtype, &n_bytes);
    uint8_t block[1024];
    float y[256];
    double worst = 0, most = 0;
    quant_quantize_row(dtype, x, n, block);
    quant_dequantize_row(dtype, block, n, y);
    for (uint32_t i = 0; i < n; i++) {
        double e = fabs((double)x[i] - (double)y[i]);
        if (!(e <= worst))
            worst = e;
        most = fmax(most, fabs((double)x[i]));
    }
    return worst / most;
}

/* What quant_check_row accepts becomes a finite block, up to the limit it names, and nothing beyond. */
static void test_limits(void **state)
{
    (void)state;
    vkdlm_error err = {0};
    for (size_t t = 0; t < N_TYPES; t++) {
        float x[256];
        for (size_t i = 0; i < 256; i++)
            x[i] = i % 2 ? 65504.0f : -65504.0f;
        assert_int_equal(quant_check_row(types[t].dtype, x, 256, "f", "t", 0, &err), VKDLM_OK);
        assert_true(block_error(types[t].dtype, x) <= 0.2);
        const float refused[] = {NAN, INFINITY, -INFINITY, types[t].dtype == VKDLM_DTYPE_BF16 ? NAN : 1e9f};
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
            x[17] = refused[i];
            assert_int_equal(quant_check_row(types[t].dtype, x, 256, "a.gguf", "some.weight", 1000, &err),
                             VKDLM_UNSUPPORTED);
            assert_non_null(strstr(err.message, "'a.gguf': tensor 'some.weight': element 1017: expected"));
        }
    }
    const float largest[2] = {3.4e38f, INFINITY};
    assert_int_equal(quant_check_row(VKDLM_DTYPE_F32, largest, 1, "f", "t", 0, &err), VKDLM_OK);
    assert_int_equal(quant_check_row(VKDLM_DTYPE_F32, largest, 2, "f", "t", 0, &err), VKDLM_UNSUPPORTED);
}

/* A large element, last in its block, is kept whatever its neighbours are. */
static void test_outlier(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++)
        for (int sign = -1; vkdlm_dtype_size(types[t].dtype) == 0 && sign <= 1; sign += 2) {
            float x[256] = {0};
            for (size_t i = 0; i < 256; i += 32)
                x[i + 31] = 5.0f * (float)sign;
            double error = block_error(types[t].dtype, x);
            if (!(error <= 0.02))
                fail_msg("%s: an element of %g is lost by %g", types[t].name, 5.0 * sign, error);
        }
}

static void test_f32_rows(void **state)
{
    (void)state;
    const float in[3] = {1.5f, -0.0f, f32_from_bits(1)};
    float out[3] = {0};
    quant_dequantize_row(VKDLM_DTYPE_F32, in, 3, out);
    assert_memory_equal(in, out, sizeof in);
    memset(out, 0, sizeof out);
    quant_quantize_row(VKDLM_DTYPE_F32, in, 3, out);
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
        cmocka_unit_test(test_dequantize), cmocka_unit_test(test_quantize), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_outlier),    cmocka_unit_test(test_f32_rows), cmocka_unit_test(test_supported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
