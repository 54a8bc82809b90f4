/* The rotary kernel's workspace, element by element: rotation, scale, layout, empty slots. */
#include <math.h>
#include <stdlib.h>

#include "kernels/attention_layer.h"
#include "ref/ref_attention.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

/* Compares one of the three tensors of the workspace. column: where head 0 lies in a row of qkv; scale 0: the
 * tensor is not rotated. */
static void check_tensor(const layer *l, const char *what, const float *found, uint32_t n_heads,
                         uint32_t column, double scale)
{
    uint32_t dim = l->shape.head_dim, slot = 0;
    double *expected = gpu_test_alloc(dim * sizeof *expected);
    float *here = gpu_test_alloc(dim * sizeof *here);
    for (uint32_t s = 0; s < l->n_sequences; s++)
        for (uint32_t i = 0; i < l->length[s] || slot % ATTENTION_GROUP != 0; i++, slot++)
            for (uint32_t h = 0; h < n_heads; h++) {
                bool real = i < l->length[s];
                const float *x = l->qkv + (size_t)(l->start[s] + i) * l->ld + column + (size_t)h * dim;
                for (uint32_t d = 0; d < dim; d++)
                    expected[d] = real ? (double)x[d] * (scale != 0 ? scale : 1) : 0;
                if (real && scale != 0)
                    ref_rotary(expected, dim, i, LAYER_BASE);
                for (uint32_t d = 0; d < dim; d++)
                    here[d] = found[((((size_t)h * l->plan.capacity + slot) / 4) * dim + d) * 4 + slot % 4];
                /* Two products of values below 2 |scale| with factors rounded to 2^-25, and two more
                 * roundings; copies and zeros are exact. */
                double tolerance = real && scale != 0 ? 2 * scale * 4 * 0x1p-24 : 0;
                gpu_test_compare(what, expected, here, dim, tolerance, 0);
            }
    assert_int_equal(slot, l->plan.n_slots);
    free(expected);
    free(here);
}

static void check(gpu_test *t, attention_shape shape, const uint32_t *lengths, uint32_t n)
{
    layer l = layer_create(t, &shape, NULL, lengths, n, 2, 11);
    layer_run(&l, false);
    size_t n_bytes = attention_workspace_bytes(&shape, l.plan.capacity);
    float *work = gpu_test_alloc(n_bytes);
    gpu_test_read(t, &l.workspace, work, n_bytes);
    size_t head = (size_t)l.plan.capacity * shape.head_dim;
    uint32_t queries = shape.n_heads * shape.head_dim, keys = shape.n_kv_heads * shape.head_dim;
    double scale = 1 / (log(2) * sqrt(shape.head_dim));
    check_tensor(&l, "queries", work, shape.n_heads, 0, scale);
    check_tensor(&l, "keys", work + shape.n_heads * head, shape.n_kv_heads, queries, 1);
    check_tensor(&l, "values", work + (shape.n_heads + shape.n_kv_heads) * head, shape.n_kv_heads,
                 queries + keys, 0);
    free(work);
    layer_destroy(&l);
}

static void test_shapes(void **state)
{
    static const uint32_t lengths[] = {1, 5, 64, 3, 130, 2};
    static const attention_shape shapes[] = {{1, 1, 2, false},  {3, 3, 6, false},    {2, 2, 16, false},
                                             {5, 5, 24, false}, {12, 12, 64, false}, {1, 1, 128, false},
                                             {6, 2, 16, false}, {8, 1, 10, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++)
        check(*state, shapes[i], lengths, COUNT(lengths));
}

/* Far positions: the angle is reduced in double on the host, so the error does not grow with the position. */
static void test_far_positions(void **state)
{
    static const uint32_t length = 20011;
    check(*state, (attention_shape){1, 1, 16, false}, &length, 1);
}

static void test_many_sequences(void **state)
{
    static uint32_t lengths[1000];
    for (uint32_t i = 0; i < COUNT(lengths); i++)
        lengths[i] = 1 + i % 3;
    check(*state, (attention_shape){2, 2, 8, false}, lengths, COUNT(lengths));
}

/* The three cases of Llama 3's scaling, told apart by the wavelength. */
static void test_llama3_scaling(void **state)
{
    enum { LENGTH = 9001, DIM = 64 };
    gpu_test *t = *state;
    rotary_scaling scaling = {32, 1, 4, 8192, NULL};
    rotary_table table = {0};
    vkdlm_error err;
    gpu_test_ok(rotary_table_create(t->device, LENGTH, DIM, 500000, &scaling, &table, &err), &err);
    float *found = gpu_test_alloc(LENGTH * DIM * sizeof *found);
    gpu_test_read(t, &table.buffer, found, LENGTH * DIM * sizeof *found);
    double *expected = gpu_test_alloc(LENGTH * DIM * sizeof *expected);
    uint32_t n_kept = 0, n_divided = 0;
    for (uint32_t i = 0; i < DIM / 2; i++) {
        double w = pow(500000, -2.0 * i / DIM), length = 2 * acos(-1) / w, between = (8192 / length - 1) / 3;
        n_kept += length < 8192.0 / 4;
        n_divided += length > 8192.0;
        double angle = length < 8192.0 / 4 ? w
                       : length > 8192.0   ? w / 32
                                           : (1 - between) * w / 32 + between * w;
        for (uint32_t p = 0; p < LENGTH; p++) {
            expected[(size_t)p * DIM + 2 * i] = cos(p * angle);
            expected[(size_t)p * DIM + 2 * i + 1] = sin(p * angle);
        }
    }
    /* 15 of the 32 frequencies are kept, 14 divided, 3 lie between. */
    assert_int_equal(n_kept, 15);
    assert_int_equal(n_divided, 14);
    gpu_test_compare("table", expected, found, LENGTH * DIM, 0x1p-24, 0);
    free(expected);
    free(found);
    rotary_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_far_positions),
        cmocka_unit_test(test_many_sequences),
        cmocka_unit_test(test_llama3_scaling),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
