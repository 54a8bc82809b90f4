/* Attention (with its rotary embedding) against a scalar reference in double precision, every variant the
 * device can run; and the plans that place a ragged batch. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/size.h"
#include "environment.h"
#include "kernels/attention_layer.h"

#define ALL_ROWS     UINT32_MAX
#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

static void check(gpu_test *t, const attention_shape *shape, const attention_variant *variant,
                  const uint32_t *lengths, uint32_t n, float spread, uint32_t rows)
{
    layer l = layer_create(t, shape, variant, lengths, n, spread, n * 1000 + lengths[0]);
    layer_check(&l, rows);
    layer_destroy(&l);
}

/* Calls check with every variant. */
static void check_all(gpu_test *t, attention_shape shape, const uint32_t *lengths, uint32_t n, float spread,
                      uint32_t rows)
{
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    uint32_t n_variants = attention_variants(gpu_device_caps(t->device), &shape, variants);
    assert_in_range(n_variants, 1, ATTENTION_MAX_VARIANTS);
    for (uint32_t i = 0; i < n_variants; i++)
        check(t, &shape, &variants[i], lengths, n, spread, rows);
}

static const uint32_t ragged[] = {1, 2, 3, 4, 5, 33, 1, 31, 64, 8, 70, 1, 1, 6, 129};

/* The plain kernel is left out where it is wide: it unrolls over the head's size like the others, but takes
 * many seconds to compile. */
static void test_head_sizes(void **state)
{
    gpu_test *t = *state;
    static const uint32_t dims[] = {2, 16, 24, 64, 72, 128};
    for (uint32_t i = 0; i < COUNT(dims); i++) {
        if (environment_is_quick() && dims[i] != 2 && dims[i] != 72)
            continue; /* the other tests have 16, 24 and 64 */
        attention_shape shape = {1 + i % 3, 1 + i % 3, dims[i], false};
        attention_variant variants[ATTENTION_MAX_VARIANTS];
        uint32_t n = attention_variants(gpu_device_caps(t->device), &shape, variants);
        for (uint32_t v = 0; v < n; v++)
            if (dims[i] <= 64 || n == 1 || variants[v].kernel != GPU_KERNEL_ATTENTION_PLAIN)
                check(t, &shape, &variants[v], ragged, COUNT(ragged), 1.5f, ALL_ROWS);
    }
}

static void test_single_sequences(void **state)
{
    static const uint32_t lengths[] = {1, 2, 4, 31, 32, 33, 63, 65, 257};
    for (uint32_t i = 0; i < COUNT(lengths); i++)
        check_all(*state, (attention_shape){3, 3, 16, false}, &lengths[i], 1, 1.5f, ALL_ROWS);
}

static void test_shared_keys_and_causal(void **state)
{
    check_all(*state, (attention_shape){6, 2, 16, false}, ragged, COUNT(ragged), 1.5f, ALL_ROWS);
    check_all(*state, (attention_shape){4, 1, 24, true}, ragged, COUNT(ragged), 1.5f, ALL_ROWS);
    check_all(*state, (attention_shape){2, 2, 16, true}, ragged, COUNT(ragged), 1.5f, ALL_ROWS);
}

/* As many keys as a driver with a limit on loop iterations would cut off. */
static void test_long(void **state)
{
    static const uint32_t lengths[] = {5, 4099};
    attention_shape shape = {1, 1, 64, false};
    check(*state, &shape, NULL, lengths, 2, 1, 4);
    check_all(*state, (attention_shape){1, 1, 16, false}, lengths, 2, 1, 4);
}

/* Scores of several hundred, of both signs; rows whose best key is far above all others. */
static void test_large_scores(void **state)
{
    check_all(*state, (attention_shape){2, 2, 16, false}, ragged, COUNT(ragged), 12, ALL_ROWS);
    check_all(*state, (attention_shape){1, 1, 64, false}, ragged, COUNT(ragged), 30, ALL_ROWS);
}

/* Scores of +80 and -80 at two positions only, in both orders, with values that show which was weighed. */
static void test_extreme_pairs(void **state)
{
    gpu_test *t = *state;
    attention_shape shape = {1, 1, 2, false};
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    uint32_t n_variants = attention_variants(gpu_device_caps(t->device), &shape, variants);
    for (uint32_t i = 0; i < n_variants; i++) {
        static const uint32_t lengths[] = {2, 2};
        layer l = layer_create(t, &shape, &variants[i], lengths, 2, 1, 1);
        float scale = sqrtf(80 * sqrtf(2));
        for (uint32_t r = 0; r < 4; r++) {
            /* The key of the other sign is turned back by its position's angle, so that scores are +-80 at
             * row 0. */
            float key = (r == 0 || r == 3) ? scale : -scale, angle = -(float)(r % 2);
            float values[] = {scale, 0, key * cosf(angle), key * sinf(angle), (float)r + 1, -(float)r};
            memcpy(l.qkv + (size_t)r * l.ld, values, sizeof values);
        }
        layer_check(&l, ALL_ROWS);
        float *o = layer_output(&l);
        assert_true(fabsf(o[0] - 1) < 1e-5f); /* first row of both sequences: the key of +80 alone */
        assert_true(fabsf(o[(size_t)2 * l.ld_out] - 4) < 1e-5f);
        free(o);
        layer_destroy(&l);
    }
}

/* Equal tokens: equal values average to themselves, whatever the scores. */
static void test_equal_values(void **state)
{
    gpu_test *t = *state;
    attention_shape shape = {2, 2, 16, false};
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    uint32_t n_variants = attention_variants(gpu_device_caps(t->device), &shape, variants);
    for (uint32_t i = 0; i < n_variants; i++) {
        static const uint32_t lengths[] = {77, 3};
        layer l = layer_create(t, &shape, &variants[i], lengths, 2, 2, 5);
        for (uint32_t r = 1; r < l.n_rows; r++)
            memcpy(l.qkv + (size_t)r * l.ld, l.qkv, l.ld * sizeof(float));
        layer_check(&l, ALL_ROWS);
        float *o = layer_output(&l);
        for (uint32_t r = 0; r < l.n_rows; r++)
            for (uint32_t c = 0; c < l.width; c++)
                assert_true(fabsf(o[(size_t)r * l.ld_out + c] - l.qkv[2 * l.width + c]) < 1e-6f);
        free(o);
        layer_destroy(&l);
    }
}

/* Every sequence alone gives the bits it had in the batch. */
static void test_batch_independence(void **state)
{
    gpu_test *t = *state;
    for (uint32_t causal = 0; causal < 2; causal++) {
        attention_shape shape = {2, 1, 24, causal != 0};
        attention_variant variants[ATTENTION_MAX_VARIANTS];
        uint32_t n_variants = attention_variants(gpu_device_caps(t->device), &shape, variants);
        for (uint32_t i = 0; i < n_variants; i++) {
            layer all = layer_create(t, &shape, &variants[i], ragged, COUNT(ragged), 4, 9);
            layer_run(&all, true);
            float *together = layer_output(&all);
            for (uint32_t s = 0; s < all.n_sequences; s++) {
                layer one = layer_create(t, &shape, &variants[i], &ragged[s], 1, 1, 1);
                memcpy(one.qkv, all.qkv + (size_t)all.start[s] * all.ld,
                       (size_t)ragged[s] * all.ld * sizeof(float));
                layer_run(&one, true);
                float *alone = layer_output(&one);
                assert_memory_equal(alone, together + (size_t)all.start[s] * all.ld_out,
                                    (size_t)ragged[s] * all.ld_out * sizeof(float));
                free(alone);
                layer_destroy(&one);
            }
            free(together);
            layer_destroy(&all);
        }
    }
}

/* Thousands of tiny sequences are one dispatch of each kernel, and few workgroups where tiles mix sequences.
 */
static void test_tiny_sequences(void **state)
{
    gpu_test *t = *state;
    static uint32_t lengths[4096];
    for (uint32_t i = 0; i < COUNT(lengths); i++)
        lengths[i] = 3;
    attention_shape shape = {1, 1, 16, false};
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    uint32_t n_variants = attention_variants(gpu_device_caps(t->device), &shape, variants);
    for (uint32_t i = 0; i < n_variants; i++) {
        layer l = layer_create(t, &shape, &variants[i], lengths, COUNT(lengths), 1.5f, 3);
        layer_check(&l, ALL_ROWS);
        assert_int_equal(l.n_dispatches, 2);
        if (variants[i].mix)
            assert_int_equal(l.plan.n_tiles, 4096 * ATTENTION_GROUP / variants[i].tile_slots);
        layer_destroy(&l);
    }
}

/* Queries beyond the storage range go key head by key head: single tokens take four slots each, so that their
 * workspace is larger than what the projection wrote. */
static void test_slices(void **state)
{
    (void)state;
    gpu_test t;
    static uint32_t lengths[256];
    for (uint32_t i = 0; i < COUNT(lengths); i++)
        lengths[i] = i == 100 ? 7 : 1;
    attention_shape shape = {6, 3, 24, false};
    gpu_options options = {.limit_storage_range_bytes = 400000};
    gpu_test_open(&t, options);
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    uint32_t n_variants = attention_variants(gpu_device_caps(t.device), &shape, variants);
    for (uint32_t i = 0; i < n_variants; i++) {
        layer l = layer_create(&t, &shape, &variants[i], lengths, COUNT(lengths), 1.5f, 3);
        layer_check(&l, ALL_ROWS);
        assert_int_equal(l.n_dispatches, 2 * 3);
        layer_destroy(&l);
    }
    assert_int_equal(gpu_test_close(&t), 0);
}

static void test_invalid_shapes(void **state)
{
    gpu_test *t = *state;
    static const attention_shape shapes[] = {{1, 1, 0, false},  {1, 1, 1, false},     {1, 1, 130, false},
                                             {0, 1, 16, false}, {1, 0, 16, false},    {3, 2, 16, false},
                                             {2, 4, 16, false}, {70000, 1, 16, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) {
        attention op;
        vkdlm_error err;
        assert_int_equal(attention_init(&op, t->device, &shapes[i], NULL, &err), VKDLM_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "head"));
    }
}

/* ---- variants and plans, without a device -------------------------------------------------------- */

static void test_variant_choice(void **state)
{
    (void)state;
    attention_shape shape = {12, 12, 64, false};
    attention_variant v[ATTENTION_MAX_VARIANTS];
    gpu_caps gpu = {.type = GPU_TYPE_DISCRETE,
                    .max_shared_bytes = 48 << 10,
                    .max_invocations = 1024,
                    .max_workgroup_size_x = 1024,
                    .subgroup_size = 32,
                    .min_subgroup_size = 32,
                    .max_subgroup_size = 32,
                    .subgroup_basic = true,
                    .subgroup_shuffle = true};
    assert_int_equal(attention_variants(&gpu, &shape, v), 3);
    assert_int_equal(v[0].kernel, GPU_KERNEL_ATTENTION_SHARED);
    assert_int_equal(v[0].spec.value[0], 128);
    assert_int_equal(v[0].tile_slots, 64);

    /* The smallest device that Vulkan allows, without subgroup operations: a smaller tile, then the plain
     * kernel. */
    gpu_caps least = {.type = GPU_TYPE_INTEGRATED,
                      .max_shared_bytes = 16 << 10,
                      .max_invocations = 128,
                      .max_workgroup_size_x = 128,
                      .subgroup_size = 1,
                      .min_subgroup_size = 1,
                      .max_subgroup_size = 1};
    for (shape.head_dim = 2; shape.head_dim <= 128; shape.head_dim += 2) {
        assert_int_equal(attention_variants(&least, &shape, v), 2);
        assert_int_equal(v[0].kernel, GPU_KERNEL_ATTENTION_SHARED);
        assert_int_equal(v[1].kernel, GPU_KERNEL_ATTENTION_PLAIN);
    }

    shape.head_dim = 64;
    gpu_caps cpu = gpu;
    cpu.type = GPU_TYPE_CPU;
    cpu.subgroup_size = cpu.min_subgroup_size = cpu.max_subgroup_size = 8;
    assert_int_equal(attention_variants(&cpu, &shape, v), 3);
    assert_int_equal(v[0].kernel, GPU_KERNEL_ATTENTION_SUBGROUP);
    assert_int_equal(v[0].spec.value[0], 8);
    assert_int_equal(v[0].tile_slots, 32);
    cpu.subgroup_size = cpu.min_subgroup_size = cpu.max_subgroup_size = 4;
    assert_int_equal(attention_variants(&cpu, &shape, v), 3);
    assert_int_equal(v[0].kernel, GPU_KERNEL_ATTENTION_PLAIN);
    cpu.texel_buffers = true;
    assert_int_equal(attention_variants(&cpu, &shape, v), 4);
    assert_int_equal(v[1].kernel, GPU_KERNEL_ATTENTION_TEXELS);
    cpu.subgroup_size = cpu.min_subgroup_size = cpu.max_subgroup_size = 8;
    assert_int_equal(attention_variants(&cpu, &shape, v), 4);
    assert_int_equal(v[0].kernel, GPU_KERNEL_ATTENTION_TEXELS);

    /* A size that the driver may change from pipeline to pipeline is no size to build on, unless it can be
     * fixed. */
    gpu_caps changing = gpu;
    changing.min_subgroup_size = 8;
    assert_int_equal(attention_variants(&changing, &shape, v), 2);
    changing.subgroup_size_control = true;
    assert_int_equal(attention_variants(&changing, &shape, v), 3);
    assert_int_equal(v[1].kernel, GPU_KERNEL_ATTENTION_SUBGROUP);
    assert_int_equal(v[1].spec.subgroup_size, 32);
}

/* Every slot lies in exactly one tile, and every tile covers the keys that its slots attend to. */
static void check_plan(const attention_plan *p, const uint32_t *lengths, uint32_t n)
{
    const uint32_t *slots = p->index, *tiles = p->index + (size_t)p->reserved * 4;
    uint32_t slot = 0, row = 0;
    for (uint32_t s = 0; s < n; s++) {
        uint32_t start = slot;
        assert_int_equal(start % ATTENTION_GROUP, 0);
        for (uint32_t i = 0; i < lengths[s]; i++, slot++, row++) {
            const uint32_t expected[] = {row, i, start, start + (p->causal ? i + 1 : lengths[s])};
            assert_memory_equal(slots + (size_t)slot * 4, expected, sizeof expected);
        }
        for (; slot % ATTENTION_GROUP != 0; slot++) {
            assert_int_equal(slots[(size_t)slot * 4], UINT32_MAX);
            assert_int_equal(slots[(size_t)slot * 4 + 1], slot - start);
        }
    }
    assert_int_equal(p->n_slots, slot);
    assert_int_equal(p->capacity, size_round_up(slot, 64));
    assert_in_range(p->capacity, 0, p->reserved);

    uint32_t next = 0;
    for (uint32_t t = 0; t < p->n_tiles; t++) {
        const uint32_t *tile = tiles + (size_t)t * 4;
        assert_int_equal(tile[0], next);
        assert_in_range(tile[1], 1, p->tile_slots);
        next += tile[1];
        assert_int_equal((tile[0] | tile[1] | tile[2] | tile[3]) % ATTENTION_GROUP, 0);
        uint32_t low = UINT32_MAX, high = 0;
        for (uint32_t i = tile[0]; i < next; i++) {
            const uint32_t *s = slots + (size_t)i * 4;
            if (s[0] == UINT32_MAX)
                continue;
            low = s[2] < low ? s[2] : low;
            high = s[3] > high ? s[3] : high;
            assert_true(p->mix || s[2] == tile[2]);
        }
        assert_int_equal(tile[2], low);
        assert_int_equal(tile[3], size_round_up(high, ATTENTION_GROUP));
    }
    assert_int_equal(next, p->n_slots);
}

static void test_plans(void **state)
{
    (void)state;
    uint32_t lengths[40];
    for (uint32_t trial = 0; trial < 400; trial++) {
        rng_block random = rng_philox(7, trial, 0, 0, 0);
        uint32_t n = 1 + random.word[0] % 40, limit = 1u << random.word[1] % 9, rows = 0;
        for (uint32_t i = 0; i < n; i++) {
            lengths[i] = 1 + rng_philox(7, trial, i + 1, 0, 0).word[0] % limit;
            rows += lengths[i];
        }
        uint32_t reserved = attention_capacity(rows, n);
        uint32_t *index = gpu_test_alloc(attention_index_bytes(reserved));
        attention_plan plan;
        attention_plan_begin(&plan, index, reserved, 16u << random.word[2] % 5, random.word[3] & 1,
                             random.word[3] & 2);
        uint32_t row = 0;
        for (uint32_t i = 0; i < n; row += lengths[i++])
            attention_plan_add(&plan, row, lengths[i]);
        attention_plan_end(&plan);
        check_plan(&plan, lengths, n);
        free(index);
    }
}

static void test_capacity_limits(void **state)
{
    (void)state;
    assert_int_equal(attention_capacity(1, 1), 64);
    assert_int_equal(attention_capacity(64, 0), 64);
    assert_int_equal(attention_capacity(ATTENTION_MAX_CAPACITY, 0), ATTENTION_MAX_CAPACITY);
    assert_int_equal(attention_capacity(ATTENTION_MAX_CAPACITY, 1), 0);
    assert_int_equal(attention_capacity(UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(attention_capacity(4, UINT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_sizes),
        cmocka_unit_test(test_single_sequences),
        cmocka_unit_test(test_shared_keys_and_causal),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_large_scores),
        cmocka_unit_test(test_extreme_pairs),
        cmocka_unit_test(test_equal_values),
        cmocka_unit_test(test_batch_independence),
        cmocka_unit_test(test_tiny_sequences),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_invalid_shapes),
        cmocka_unit_test(test_variant_choice),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_capacity_limits),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
