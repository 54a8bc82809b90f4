/* Attention over cached keys and values against a scalar reference in double precision: chunks of every cut,
 * single queries, caches of f32 and of halves. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"
#include "base/size.h"
#include "environment.h"
#include "kernels/cached_layer.h"
#include "ops/cached_rows.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

static const uint32_t ragged[] = {1, 70, 4, 33, 7, 129, 2, 64};
enum { CONTEXT = 190 }; /* rounded up to 192 */

/* Every token as a row, in an order that jumps between the sequences. */
static void run_all_rows(cached_layer *l)
{
    uint32_t n = 0, longest = 0;
    for (uint32_t s = 0; s < l->n_sequences; s++) {
        n += l->length[s];
        longest = l->length[s] > longest ? l->length[s] : longest;
    }
    place *places = gpu_test_alloc(n * sizeof *places);
    uint32_t at = 0;
    for (uint32_t p = longest; p-- > 0;)
        for (uint32_t s = 0; s < l->n_sequences; s++)
            if (p < l->length[s])
                places[at++] = (place){s, p};
    cached_layer_rows(l, places, n);
    free(places);
}

/* Tiles and rows of whole sequences: a row sees no later position, though the cache holds them all. */
static void check_shape(gpu_test *t, attention_shape shape, enum kv_type type, float spread)
{
    cached_layer l = cached_layer_create(t, &shape, type, CONTEXT, ragged, COUNT(ragged), spread, 100);
    assert_int_equal(l.cache.context, 192);
    cached_layer_prefill(&l, true);
    assert_int_equal(l.n_dispatches, 2);
    cached_layer_check_cache(&l);
    cached_layer_check_rows(&l);
    run_all_rows(&l);
    assert_int_equal(l.n_dispatches, 1);
    cached_layer_check_rows(&l);
    cached_layer_destroy(&l);
}

/* With every type; where tests are quick with one, which the shape chooses. */
static void check_types(gpu_test *t, attention_shape shape, float spread)
{
    for (uint32_t type = 0; type < KV_N_TYPES; type++)
        if (!environment_is_quick() || (shape.n_heads + type) % KV_N_TYPES == 0)
            check_shape(t, shape, (enum kv_type)type, spread);
}

static void test_shapes(void **state)
{
    static const attention_shape shapes[] = {{1, 1, 2, true},  {3, 3, 6, true},  {2, 2, 16, true},
                                             {4, 2, 24, true}, {4, 1, 64, true}, {8, 1, 16, true},
                                             {12, 1, 10, true}};
    for (uint32_t i = 0; i < COUNT(shapes); i++)
        check_types(*state, shapes[i], 1.5f);
}

/* The plain tile kernel takes many seconds to compile where heads are wide, so wide heads are left to the
 * devices that need not use it. */
static void test_wide_heads(void **state)
{
    gpu_test *t = *state;
    static const attention_shape shapes[] = {{1, 1, 80, true}, {2, 1, 128, true}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) {
        attention_variant variants[ATTENTION_MAX_VARIANTS];
        attention_variants(gpu_device_caps(t->device), &shapes[i], variants);
        if (variants[0].kernel == GPU_KERNEL_ATTENTION_PLAIN)
            skip();
        check_types(t, shapes[i], 1.5f);
    }
}

/* 64 query heads on one key/value head: several workgroups share it. */
static void test_many_shares(void **state)
{
    static const uint32_t lengths[] = {37, 5};
    attention_shape shape = {64, 1, 16, true};
    for (int type = 0; type < KV_N_TYPES; type++) {
        cached_layer l = cached_layer_create(*state, &shape, (enum kv_type)type, 64, lengths, 2, 1.5f, 7);
        cached_layer_prefill(&l, true);
        cached_layer_check_cache(&l);
        cached_layer_check_rows(&l);
        run_all_rows(&l);
        cached_layer_check_rows(&l);
        cached_layer_destroy(&l);
    }
}

/* Every variant of the rows is right, and those of one kernel have the same bits. */
static void check_variants(gpu_test *t, const attention_shape *shape, enum kv_type type)
{
    static const uint32_t lengths[] = {37, 5};
    cached_rows_variant variants[CACHED_ROWS_MAX_VARIANTS];
    uint32_t n = cached_rows_variants(gpu_device_caps(t->device), shape, type, variants);
    assert_in_range(n, 1, CACHED_ROWS_MAX_VARIANTS);
    cached_layer l = cached_layer_create(t, shape, type, 64, lengths, 2, 1.5f, 7);
    cached_layer_prefill(&l, false);
    cached_layer_check_cache(&l);
    float *first = NULL;
    for (uint32_t i = 0; i < n; i++) {
        vkdlm_error err;
        l.op.rows_variant = variants[i];
        gpu_test_ok(gpu_pipeline_get(t->device, variants[i].kernel, &variants[i].spec, &l.op.rows, &err),
                    &err);
        run_all_rows(&l);
        cached_layer_check_rows(&l);
        if (i > 0 && variants[i].kernel == variants[i - 1].kernel) {
            assert_true(variants[i].heads < variants[i - 1].heads);
            cached_layer_expect(&l, first, cached_rows_variant_name(&variants[i]));
        } else {
            free(first);
            first = cached_layer_outputs(&l);
        }
    }
    free(first);
    cached_layer_destroy(&l);
}

static void test_row_variants(void **state)
{
    static const attention_shape shapes[] = {{11, 1, 16, true}, {14, 2, 8, true}};
    for (uint32_t type = 0; type < KV_N_TYPES; type++)
        check_variants(*state, &shapes[type % COUNT(shapes)], (enum kv_type)type);
}

/* Scores of several hundred, of both signs. */
static void test_large_scores(void **state)
{
    check_types(*state, (attention_shape){2, 2, 16, true}, 12);
    check_types(*state, (attention_shape){4, 1, 64, true}, 30);
}

/* ---- bits ---------------------------------------------------------------------------------------- */

/* Feeds every sequence in pieces of `step` tokens (0: of changing sizes), all sequences in one plan or one by
 * one. */
static void feed(cached_layer *l, uint32_t step, bool together, bool attend)
{
    uint32_t *done = gpu_test_alloc(l->n_sequences * sizeof *done);
    chunk *chunks = gpu_test_alloc(l->n_sequences * sizeof *chunks);
    memset(done, 0, l->n_sequences * sizeof *done);
    for (uint32_t n = 1, round = 0; n > 0; round++) {
        n = 0;
        for (uint32_t s = 0; s < l->n_sequences; s++) {
            uint32_t size = step ? step : 1 + (7 * round + 3 * s) % 41;
            size = u32_min(size, l->length[s] - done[s]);
            if (size == 0)
                continue;
            chunks[n++] = (chunk){s, done[s], size};
            done[s] += size;
            if (!together)
                cached_layer_chunks(l, &chunks[n - 1], 1, attend);
        }
        if (n > 0 && together)
            cached_layer_chunks(l, chunks, n, attend);
    }
    free(done);
    free(chunks);
}

/* However the tokens are cut and whoever comes along, rows have the same bits, and the cache as well. */
static void test_splits(void **state)
{
    gpu_test *t = *state;
    static const uint32_t steps[] = {1, 2, 3, 5, 16, 33, 66, 0, 0};
    for (int type = 0; type < KV_N_TYPES; type++) {
        attention_shape shape = {4, 2, 24, true};
        cached_layer l =
            cached_layer_create(t, &shape, (enum kv_type)type, CONTEXT, ragged, COUNT(ragged), 4, 9);
        size_t cache_bytes = l.cache.layers[CACHED_LAYER].size_bytes;
        void *cache = gpu_test_alloc(cache_bytes), *found = gpu_test_alloc(cache_bytes);
        cached_layer_prefill(&l, true);
        cached_layer_check_cache(&l);
        cached_layer_check_rows(&l);
        float *whole = cached_layer_outputs(&l);
        gpu_test_read(t, &l.cache.layers[CACHED_LAYER], cache, cache_bytes);
        for (uint32_t i = 0; i < COUNT(steps); i++) {
            cached_layer_reset(&l);
            feed(&l, steps[i], i + 1 < COUNT(steps), true);
            cached_layer_expect(&l, whole, "in pieces");
            gpu_test_read(t, &l.cache.layers[CACHED_LAYER], found, cache_bytes);
            assert_memory_equal(found, cache, cache_bytes);
        }
        free(whole);
        free(cache);
        free(found);
        cached_layer_destroy(&l);
    }
}

/* Decoding token by token, keys and values alone and then a row, gives the bits that rows have when the whole
 * sequence and all others are there. */
static void test_decode(void **state)
{
    gpu_test *t = *state;
    static const attention_shape shapes[] = {{4, 2, 24, true}, {8, 1, 16, true}};
    static const uint32_t lengths[] = {70, 3, 41};
    for (int type = 0; type < KV_N_TYPES; type++)
        for (uint32_t i = 0; i < COUNT(shapes); i++) {
            cached_layer l =
                cached_layer_create(t, &shapes[i], (enum kv_type)type, 72, lengths, COUNT(lengths), 2, 21);
            cached_layer_prefill(&l, false);
            assert_int_equal(l.n_dispatches, 1);
            run_all_rows(&l);
            cached_layer_check_cache(&l);
            cached_layer_check_rows(&l);
            float *together = cached_layer_outputs(&l);
            cached_layer_reset(&l);
            for (uint32_t s = 0; s < COUNT(lengths); s++)
                for (uint32_t p = 0; p < lengths[s]; p++) {
                    chunk one = {s, p, 1};
                    place at = {s, p};
                    cached_layer_chunks(&l, &one, 1, false);
                    cached_layer_rows(&l, &at, 1);
                }
            cached_layer_expect(&l, together, "one by one");
            free(together);
            cached_layer_destroy(&l);
        }
}

/* ---- what the cache holds ------------------------------------------------------------------------ */

/* A token may be written again, and a sequence begun anew over an older one: only its slots change. */
static void test_overwrite(void **state)
{
    static const uint32_t lengths[] = {30, 30};
    attention_shape shape = {2, 1, 16, true};
    for (int type = 0; type < KV_N_TYPES; type++) {
        cached_layer l = cached_layer_create(*state, &shape, (enum kv_type)type, 30, lengths, 2, 2, 3);
        cached_layer_prefill(&l, true);
        for (uint32_t i = 0; i < 13 * l.ld; i++)
            l.qkv[1][i] = -l.qkv[1][i] + 0.25f;
        chunk pieces[] = {{1, 9, 4}, {1, 0, 9}};
        cached_layer_chunks(&l, &pieces[1], 1, true);
        cached_layer_chunks(&l, &pieces[0], 1, true);
        cached_layer_check_cache(&l);
        for (uint32_t p = 0; p < 13; p++)
            cached_layer_check_row(&l, 1, p);
        run_all_rows(&l);
        cached_layer_check_rows(&l);
        cached_layer_destroy(&l);
    }
}

/* Halves: ties go to even, subnormals are kept, what is too large becomes the largest. Values are not
 * rotated, so that they show. */
static void test_half_rounding(void **state)
{
    static const uint32_t length = 64;
    attention_shape shape = {1, 1, 16, true};
    cached_layer l = cached_layer_create(*state, &shape, KV_F16, length, &length, 1, 1, 3);
    for (uint32_t p = 0; p < length; p++)
        for (uint32_t d = 0; d < 16; d++) {
            rng_block random = rng_philox(5, p, d, 0, 0);
            int exponent = (int)(random.word[1] % 34) - 27;
            float x = ldexpf(1 + (float)(random.word[0] % 8192) / 8192, exponent); /* many ties */
            static const float special[] = {0,     65504,    65519,    65520,     1e6f,
                                            1e30f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f};
            if (p == 0 && d < COUNT(special))
                x = special[d];
            l.qkv[0][p * l.ld + l.columns.v + d] = random.word[2] & 1 ? -x : x;
        }
    cached_layer_prefill(&l, false);
    cached_layer_check_cache(&l);
    for (uint32_t p = 0; p < length; p++)
        for (uint32_t d = 0; d < 16; d++) {
            float x = l.qkv[0][p * l.ld + l.columns.v + d];
            float half = f32_from_f16(f16_from_f32(fminf(fmaxf(x, -65504), 65504)));
            assert_true(l.values[0][p * 16 + d] == half);
        }
    cached_layer_destroy(&l);
}

/* ---- sizes --------------------------------------------------------------------------------------- */

/* The longest context: as many keys as a driver with a limit on loop iterations would cut off. */
static void test_long(void **state)
{
    static const uint32_t lengths[] = {131072, 5};
    attention_shape shape = {1, 1, 16, true};
    for (int type = 0; type < KV_N_TYPES; type++) {
        cached_layer l =
            cached_layer_create(*state, &shape, (enum kv_type)type, lengths[0], lengths, 2, 1, 17);
        cached_layer_prefill(&l, false);
        cached_layer_check_cache(&l);
        place last[] = {{0, lengths[0] - 1}, {1, 4}, {0, 70000}};
        cached_layer_rows(&l, last, COUNT(last));
        for (uint32_t i = 0; i < COUNT(last); i++)
            cached_layer_check_row(&l, last[i].sequence, last[i].position);
        chunk end = {0, lengths[0] - 6, 6};
        cached_layer_chunks(&l, &end, 1, true);
        for (uint32_t i = 0; i < end.length; i++)
            cached_layer_check_row(&l, 0, end.first + i);
        cached_layer_destroy(&l);
    }
}

/* More rows than one dispatch takes. Narrow drivers take a minute for so many workgroups. */
static void test_many_rows(void **state)
{
    enum { N = 65535 + 70 };
    gpu_test *t = *state;
    if (gpu_device_caps(t->device)->subgroup_size < 8)
        skip();
    static const uint32_t length = 4;
    attention_shape shape = {1, 1, 2, true};
    cached_layer l = cached_layer_create(t, &shape, KV_F32, length, &length, 1, 1, 5);
    cached_layer_prefill(&l, true);
    cached_layer_check_cache(&l);
    place *places = gpu_test_alloc(N * sizeof *places);
    for (uint32_t i = 0; i < N; i++)
        places[i] = (place){0, i % 3};
    places[N - 1].position = 3;
    cached_layer_rows(&l, places, N);
    assert_int_equal(l.n_dispatches, 2);
    cached_layer_check_rows(&l);
    free(places);
    cached_layer_destroy(&l);
}

/* Layers beyond the storage range go by key/value heads, tiles also by their queries. */
static void test_slices(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {100, 90, 3, 128};
    attention_shape shape = {12, 6, 16, true};
    for (int type = 0; type < KV_N_TYPES; type++) {
        gpu_test t;
        /* Keys of one head: 4 sequences of 1024 slots. Two heads fit in f32. */
        gpu_test_open(&t, (gpu_options){.limit_storage_range_bytes = 2 * 4 * 1024 * 16 * 4 + 300});
        const gpu_caps *caps = gpu_device_caps(t.device);
        assert_int_equal(kv_cache_max_sequences(caps, &shape, (enum kv_type)type, 1000),
                         type == KV_F16 ? 16 : 8);
        cached_layer l = cached_layer_create(&t, &shape, (enum kv_type)type, 1000, lengths, 4, 1.5f, 3);
        chunk chunks[] = {{0, 0, 100}, {2, 0, 3}, {3, 0, 128}};
        cached_layer_chunks(&l, chunks, 3, true);
        assert_int_equal(l.n_dispatches, 2 * (type == KV_F16 ? 2 : 3));
        cached_layer_chunks(&l, &(chunk){1, 0, 90}, 1, true);
        cached_layer_check_cache(&l);
        cached_layer_check_rows(&l);
        cached_layer_rows(&l, (place[]){{3, 127}, {0, 55}}, 2);
        assert_int_equal(l.n_dispatches, type == KV_F16 ? 2 : 3);
        cached_layer_check_row(&l, 3, 127);
        cached_layer_check_row(&l, 0, 55);
        cached_layer_destroy(&l);
        assert_int_equal(gpu_test_close(&t), 0);
    }
}

static void test_limits(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.limit_storage_range_bytes = 1 << 16});
    attention_shape shape = {4, 2, 16, true};
    const gpu_caps *caps = gpu_device_caps(t.device);
    assert_int_equal(kv_cache_bytes(&shape, KV_F32, 3, 5, 100), 3 * 5 * 2 * 2 * 128 * 16 * 4);
    assert_int_equal(kv_cache_bytes(&shape, KV_F16, 3, 5, 128), 3 * 5 * 2 * 2 * 128 * 16 * 2);
    assert_int_equal(kv_cache_bytes(&shape, KV_F16, UINT32_MAX, UINT32_MAX, UINT32_MAX), UINT64_MAX);
    assert_int_equal(kv_cache_max_sequences(caps, &shape, KV_F32, 1024), 1);
    assert_int_equal(kv_cache_max_sequences(caps, &shape, KV_F16, 1024), 2);
    assert_int_equal(kv_cache_max_sequences(caps, &shape, KV_F32, 1025), 0);
    assert_int_equal(kv_cache_max_sequences(caps, &shape, KV_F32, UINT32_MAX), 0);

    kv_cache cache;
    vkdlm_error err;
    gpu_test_ok(kv_cache_create(t.device, &shape, KV_F16, 1, 2, 1024, &cache, &err), &err);
    kv_cache_destroy(&cache);
    assert_int_equal(kv_cache_create(t.device, &shape, KV_F16, 1, 3, 1024, &cache, &err), VKDLM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "3 sequences of 1024 tokens are 98304 bytes"));
    assert_non_null(strstr(err.message, "65536"));
    assert_null(cache.layers);
    assert_int_equal(kv_cache_create(t.device, &shape, KV_F32, 1, 1, UINT32_MAX, &cache, &err),
                     VKDLM_UNSUPPORTED);
    assert_int_equal(kv_cache_create(t.device, &shape, KV_F32, 1, UINT32_MAX, UINT32_MAX, &cache, &err),
                     VKDLM_UNSUPPORTED);
    kv_cache_destroy(&cache);
    assert_int_equal(gpu_test_close(&t), 0);

    gpu_test_open(&t, (gpu_options){.limit_memory_bytes = 1 << 20});
    assert_int_equal(kv_cache_create(t.device, &shape, KV_F32, 9, 1, 1024, &cache, &err),
                     VKDLM_OUT_OF_DEVICE_MEMORY);
    assert_non_null(strstr(err.message, "cached keys and values"));
    assert_int_equal(gpu_test_close(&t), 0);

    gpu_caps small = {.max_storage_range_bytes = 1 << 30, .max_allocation_bytes = 1 << 20};
    assert_int_equal(kv_cache_max_sequences(&small, &shape, KV_F32, 1024), 4);
}

static void test_invalid_shapes(void **state)
{
    gpu_test *t = *state;
    static const attention_shape shapes[] = {
        {1, 1, 0, true}, {1, 1, 15, true}, {1, 1, 130, true}, {3, 2, 16, true}, {70000, 1, 16, true}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) {
        cached_attention op;
        vkdlm_error err;
        assert_int_equal(cached_attention_init(&op, t->device, &shapes[i], KV_F32, &err),
                         VKDLM_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "head"));
    }
}

/* ---- plans, without a device --------------------------------------------------------------------- */

static void check_chunk(const attention_plan *p, uint32_t *slot, uint32_t key_start, const chunk *c,
                        uint32_t row)
{
    const uint32_t *slots = p->index;
    for (uint32_t at = c->first / 4 * 4; at < size_round_up(c->first + c->length, 4); at++, ++*slot) {
        bool real = at >= c->first && at < c->first + c->length;
        const uint32_t expected[] = {real ? row + at - c->first : UINT32_MAX, at, key_start,
                                     real ? key_start + at + 1 : key_start};
        assert_memory_equal(slots + (size_t)*slot * 4, expected, sizeof expected);
    }
}

static void test_plans(void **state)
{
    (void)state;
    for (uint32_t trial = 0; trial < 300; trial++) {
        rng_block random = rng_philox(8, trial, 0, 0, 0);
        uint32_t n = 1 + random.word[0] % 9, rows = 0, key_starts[9];
        chunk chunks[9];
        for (uint32_t i = 0; i < n; i++) {
            rng_block more = rng_philox(8, trial, i + 1, 0, 0);
            chunks[i] = (chunk){i, more.word[0] % 70, 1 + more.word[1] % (1u << more.word[2] % 8)};
            key_starts[i] = (n - i) * 1024;
            rows += chunks[i].length;
        }
        uint32_t reserved = cached_attention_capacity(rows, n);
        uint32_t *index = gpu_test_alloc(attention_index_bytes(reserved));
        attention_plan plan;
        attention_plan_begin(&plan, index, reserved, 16u << random.word[1] % 4, false, true);
        for (uint32_t i = 0, row = 0; i < n; row += chunks[i++].length)
            attention_plan_add_chunk(&plan, key_starts[i], chunks[i].first, row, chunks[i].length);
        attention_plan_end(&plan);

        uint32_t slot = 0, longest = 0;
        for (uint32_t i = 0, row = 0; i < n; row += chunks[i++].length) {
            check_chunk(&plan, &slot, key_starts[i], &chunks[i], row);
            if (chunks[i].first + chunks[i].length > longest)
                longest = chunks[i].first + chunks[i].length;
        }
        assert_int_equal(plan.n_slots, slot);
        assert_int_equal(plan.max_length, longest);
        const uint32_t *tile = plan.index + (size_t)plan.reserved * 4;
        uint32_t next = 0;
        for (uint32_t i = 0; i < plan.n_tiles; i++, tile += 4) {
            assert_int_equal(tile[0], next);
            assert_in_range(tile[1], 4, plan.tile_slots);
            next += tile[1];
            const uint32_t *first = plan.index + (size_t)tile[0] * 4;
            const uint32_t *last = plan.index + (size_t)(next - 1) * 4;
            assert_int_equal(first[2], last[2]); /* one sequence */
            assert_int_equal(tile[2], first[2]);
            assert_int_equal(tile[3], first[2] + last[1] + 1);
            assert_int_equal((tile[0] | tile[1] | tile[2] | tile[3]) % 4, 0);
        }
        assert_int_equal(next, plan.n_slots);
        free(index);
    }
}

static void test_capacity(void **state)
{
    (void)state;
    assert_int_equal(cached_attention_capacity(1, 1), 64);
    assert_int_equal(cached_attention_capacity(58, 1), 64);
    assert_int_equal(cached_attention_capacity(59, 1), 128);
    assert_int_equal(cached_attention_capacity(ATTENTION_MAX_CAPACITY, 0), ATTENTION_MAX_CAPACITY);
    assert_int_equal(cached_attention_capacity(ATTENTION_MAX_CAPACITY, 1), 0);
    assert_int_equal(cached_attention_capacity(UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(cached_attention_capacity(4, UINT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),        cmocka_unit_test(test_wide_heads),
        cmocka_unit_test(test_many_shares),   cmocka_unit_test(test_row_variants),
        cmocka_unit_test(test_large_scores),  cmocka_unit_test(test_splits),
        cmocka_unit_test(test_decode),        cmocka_unit_test(test_overwrite),
        cmocka_unit_test(test_half_rounding), cmocka_unit_test(test_long),
        cmocka_unit_test(test_many_rows),     cmocka_unit_test(test_slices),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_invalid_shapes),
        cmocka_unit_test(test_plans),         cmocka_unit_test(test_capacity),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
