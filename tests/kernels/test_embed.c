/* Embedding gather against the table itself: every value must come back bit for bit. */
#include <string.h>

#include <stdlib.h>

#include "base/half.h"
#include "base/size.h"
#include "gpu_test.h"
#include "ops/embed.h"

static double element(const void *table, vkdlm_dtype dtype, size_t i)
{
    switch (dtype) {
    case VKDLM_DTYPE_F32:
        return (double)((const float *)table)[i];
    case VKDLM_DTYPE_F16:
        return (double)f32_from_f16(((const uint16_t *)table)[i]);
    default:
        return (double)f32_from_bf16(((const uint16_t *)table)[i]);
    }
}

static void fill_table(void *table, vkdlm_dtype dtype, size_t n, uint64_t seed)
{
    float *values = gpu_test_alloc(n * sizeof *values);
    gpu_test_random(values, n, seed, -2, 2);
    for (size_t i = 0; i < n; i++) {
        if (dtype == VKDLM_DTYPE_F32)
            ((float *)table)[i] = values[i];
        else if (dtype == VKDLM_DTYPE_F16)
            ((uint16_t *)table)[i] = f16_from_f32(values[i]);
        else
            ((uint16_t *)table)[i] = (uint16_t)(f32_to_bits(values[i]) >> 16);
    }
    free(values);
}

/* Gathers every token in `tokens`, given less `base` and every second word, and compares all of x. */
static void check_gather(gpu_test *t, const embed_table *e, const void *table, const uint32_t *tokens,
                         uint32_t n_tokens, uint32_t base)
{
    uint32_t ld = (uint32_t)size_round_up(e->n_columns, 32), n_columns = e->n_columns;
    uint32_t *words = gpu_test_alloc(2 * n_tokens * sizeof *words);
    for (uint32_t i = 0; i < n_tokens; i++) {
        words[2 * i] = tokens[i] - base;
        words[2 * i + 1] = UINT32_MAX;
    }
    gpu_buffer b_tokens = gpu_test_buffer(t, words, 2 * n_tokens * sizeof *words);
    size_t x_bytes = (size_t)n_tokens * ld * sizeof(float);
    gpu_buffer b_x = gpu_test_buffer(t, NULL, x_bytes);
    ops_embed(t->device, gpu_test_begin(t), e, gpu_view_all(&b_tokens), 2, base, n_tokens, gpu_view_all(&b_x),
              ld);
    gpu_test_submit(t);

    float *x = gpu_test_alloc(x_bytes);
    gpu_test_read(t, &b_x, x, x_bytes);
    double *expected = gpu_test_alloc((size_t)n_tokens * n_columns * sizeof *expected);
    for (uint32_t r = 0; r < n_tokens; r++)
        for (uint32_t c = 0; c < n_columns; c++)
            expected[(size_t)r * n_columns + c] = element(table, e->dtype, (size_t)tokens[r] * n_columns + c);
    gpu_test_compare_rows("embedding", expected, x, n_tokens, n_columns, ld, 0, 0);
    free(expected);
    free(x);
    free(words);
    gpu_buffer_destroy(&b_tokens);
    gpu_buffer_destroy(&b_x);
}

/* The table as it is, and as the weight of a linear layer. */
static void check_table(gpu_test *t, const void *table, vkdlm_dtype dtype, uint32_t n_rows,
                        uint32_t n_columns, const uint32_t *tokens, uint32_t n_tokens)
{
    size_t table_bytes = (size_t)n_rows * n_columns * vkdlm_dtype_size(dtype);
    gpu_buffer b_table = gpu_test_buffer(t, table, table_bytes);
    embed_table e = {.buffer = &b_table, .dtype = dtype, .n_rows = n_rows, .n_columns = n_columns};
    check_gather(t, &e, table, tokens, n_tokens, 0);
    check_gather(t, &e, table, tokens, n_tokens, 3);
    gpu_buffer_destroy(&b_table);

    vkdlm_tensor tensor = {.name = "table",
                           .file = "none",
                           .dtype = dtype,
                           .n_dims = 2,
                           .shape = {n_rows, n_columns},
                           .n_elements = (uint64_t)n_rows * n_columns,
                           .n_bytes = table_bytes,
                           .data = table};
    weight w;
    vkdlm_error err;
    gpu_test_ok(weight_describe(&tensor, &w, &err), &err);
    if (w.panel_bytes > gpu_device_caps(t->device)->max_storage_range_bytes)
        return;
    void *panels = gpu_test_alloc(w.bytes);
    weight_pack_panels(panels, &tensor, 0, w.n_panels);
    w.buffer = gpu_test_buffer(t, panels, w.bytes);
    e = embed_table_of(&w);
    check_gather(t, &e, table, tokens, n_tokens, 0);
    check_gather(t, &e, table, tokens, n_tokens, 3);
    free(panels);
    weight_destroy(&w);
}

static void check(gpu_test *t, vkdlm_dtype dtype, uint32_t n_rows, uint32_t n_columns, uint32_t n_tokens)
{
    size_t n = (size_t)n_rows * n_columns;
    void *table = gpu_test_alloc(n * vkdlm_dtype_size(dtype));
    fill_table(table, dtype, n, n_rows * 131 + n_columns);
    uint32_t *tokens = gpu_test_alloc(n_tokens * sizeof *tokens);
    for (uint32_t i = 0; i < n_tokens; i++)
        tokens[i] = i == 0 ? n_rows - 1 : i * 2654435761u % n_rows;
    check_table(t, table, dtype, n_rows, n_columns, tokens, n_tokens);
    free(tokens);
    free(table);
}

static const vkdlm_dtype dtypes[] = {VKDLM_DTYPE_F32, VKDLM_DTYPE_F16, VKDLM_DTYPE_BF16};

static void test_shapes(void **state)
{
    static const uint32_t shapes[][3] = {{1, 2, 1},    {3, 2, 5},     {7, 3, 9},     {5, 31, 4},
                                         {5, 32, 4},   {5, 33, 70},   {101, 257, 3}, {50, 768, 33},
                                         {3, 4095, 2}, {2, 16384, 3}, {259, 64, 259}};
    for (size_t d = 0; d < 3; d++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            check(*state, dtypes[d], shapes[s][0], shapes[s][1], shapes[s][2]);
}

/* Every 16-bit pattern but NaNs (whose payload need not survive) is widened exactly, subnormals included. */
static void test_all_halves(void **state)
{
    uint16_t *table = gpu_test_alloc(65536 * sizeof *table);
    uint32_t tokens[128];
    for (uint32_t i = 0; i < 128; i++)
        tokens[i] = 127 - i;
    for (uint32_t i = 0; i < 65536; i++)
        table[i] = (uint16_t)i;
    check_table(*state, table, VKDLM_DTYPE_F16, 128, 512, tokens, 128);
    /* bfloat16 subnormals are subnormal floats, which drivers may flush when they are moved as floats. */
    for (uint32_t i = 0; i < 65536; i++)
        table[i] = (i & 0x7F80u) == 0 ? 0 : (uint16_t)i;
    check_table(*state, table, VKDLM_DTYPE_BF16, 128, 512, tokens, 128);
    free(table);
}

/* A table larger than the storage range is bound in slices, whose rows begin anywhere. */
static void test_slices(void **state)
{
    (void)state;
    gpu_test t;
    gpu_options options = {.limit_storage_range_bytes = 4096};
    gpu_test_open(&t, options);
    for (size_t d = 0; d < 3; d++) {
        check(&t, dtypes[d], 1000, 33, 15);
        check(&t, dtypes[d], 77, 31, 31);
        check(&t, dtypes[d], 10, 800, 1);
    }
    assert_int_equal(gpu_test_close(&t), 0);
}

static void test_wrong_type(void **state)
{
    gpu_test *t = *state;
    gpu_buffer b = gpu_test_buffer(t, NULL, 256);
    embed_table e = {.buffer = &b, .dtype = VKDLM_DTYPE_I64, .n_rows = 1, .n_columns = 2};
    ops_embed(t->device, gpu_test_begin(t), &e, gpu_view_all(&b), 1, 0, 1, gpu_view_all(&b), 32);
    vkdlm_error err;
    assert_int_equal(gpu_submit_wait(t->commands, &err), VKDLM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "I64"));
    gpu_buffer_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_all_halves),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_wrong_type),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
