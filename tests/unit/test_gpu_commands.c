/* Recording: the order of dependent commands, the number of barriers, refusals, timestamps. The kernel is the
 * embedding gather on f32 rows of 32 floats: out[r] = table[index[r]]. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_test.h"
#include "shaders/params.h"

enum { ROWS = 64, ROW_BYTES = 32 * 4, ALL_BYTES = ROWS * ROW_BYTES };

typedef struct scene {
    gpu_test *t;
    gpu_buffer a, b, c, index;
    const gpu_pipeline *gather;
} scene;

/* a holds row number r in all of row r; index rotates by one. */
static scene scene_create(gpu_test *t)
{
    scene s = {.t = t};
    float rows[ROWS][32];
    uint32_t index[ROWS];
    for (uint32_t r = 0; r < ROWS; r++) {
        index[r] = (r + 1) % ROWS;
        for (int c = 0; c < 32; c++)
            rows[r][c] = (float)r;
    }
    s.a = gpu_test_buffer(t, rows, sizeof rows);
    s.b = gpu_test_buffer(t, NULL, sizeof rows);
    s.c = gpu_test_buffer(t, NULL, sizeof rows);
    s.index = gpu_test_buffer(t, index, sizeof index);
    vkdlm_error err;
    gpu_test_ok(gpu_pipeline_get(t->device, GPU_KERNEL_EMBED_F32, NULL, &s.gather, &err), &err);
    return s;
}

static void scene_destroy(scene *s)
{
    gpu_buffer_destroy(&s->a);
    gpu_buffer_destroy(&s->b);
    gpu_buffer_destroy(&s->c);
    gpu_buffer_destroy(&s->index);
}

static gpu_view rows_of(const gpu_buffer *b, uint32_t first, uint32_t n)
{
    return (gpu_view){b, (uint64_t)first * ROW_BYTES, (uint64_t)n * ROW_BYTES};
}

static void gather(const scene *s, gpu_view from, gpu_view to)
{
    const gpu_view views[] = {from, gpu_view_all(&s->index), to};
    const struct embed_params push = {.n_tokens = (uint32_t)(to.bytes / ROW_BYTES),
                                      .token_stride = 1,
                                      .n_columns = 32,
                                      .ld = 32,
                                      .n_rows = (uint32_t)(from.bytes / ROW_BYTES)};
    gpu_dispatch(s->t->commands, s->gather, views, 3, &push, sizeof push, push.n_tokens, 1, 1);
}

/* Row r of the buffer is all (r + turn) % ROWS. */
static void expect_rotation(const scene *s, const gpu_buffer *b, uint32_t turn)
{
    float rows[ROWS][32];
    gpu_test_read(s->t, b, rows, sizeof rows);
    for (uint32_t r = 0; r < ROWS; r++)
        for (int c = 0; c < 32; c++)
            if (!(rows[r][c] == (float)((r + turn) % ROWS)))
                fail_msg("row %u is %g instead of %u", r, (double)rows[r][c], (r + turn) % ROWS);
}

static void test_chain(void **state)
{
    scene s = scene_create(*state);
    gpu_commands *c = gpu_test_begin(s.t);
    for (int i = 0; i < 50; i++) {
        gather(&s, gpu_view_all(&s.a), gpu_view_all(&s.b));
        gather(&s, gpu_view_all(&s.b), gpu_view_all(&s.a));
    }
    assert_int_equal(gpu_commands_dispatches(c), 100);
    assert_int_equal(gpu_commands_barriers(c), 99);
    gpu_test_submit(s.t);
    expect_rotation(&s, &s.a, 100 % ROWS);
    scene_destroy(&s);
}

/* The same chain over submissions: what one wrote the next reads. */
static void test_chain_of_submissions(void **state)
{
    scene s = scene_create(*state);
    for (int i = 0; i < 6; i++) {
        gpu_commands *c = gpu_test_begin(s.t);
        gather(&s, gpu_view_all(i % 2 ? &s.b : &s.a), gpu_view_all(i % 2 ? &s.a : &s.b));
        assert_int_equal(gpu_commands_barriers(c), 0);
        gpu_test_submit(s.t);
    }
    expect_rotation(&s, &s.a, 6);
    scene_destroy(&s);
}

static void test_independent_commands_have_no_barrier(void **state)
{
    scene s = scene_create(*state);
    gpu_commands *c = gpu_test_begin(s.t);
    gather(&s, gpu_view_all(&s.a), gpu_view_all(&s.b)); /* two readers of a */
    gather(&s, gpu_view_all(&s.a), gpu_view_all(&s.c));
    assert_int_equal(gpu_commands_barriers(c), 0);
    gather(&s, gpu_view_all(&s.b), gpu_view_all(&s.a)); /* reads b (written), writes a (read): one barrier */
    assert_int_equal(gpu_commands_barriers(c), 1);
    gather(&s, gpu_view_all(&s.c),
           gpu_view_all(&s.b)); /* c is past the barrier; b was read since: one more */
    assert_int_equal(gpu_commands_barriers(c), 2);
    gather(&s, gpu_view_all(&s.a), gpu_view_all(&s.b)); /* b is written twice */
    assert_int_equal(gpu_commands_barriers(c), 3);
    gpu_test_submit(s.t);
    expect_rotation(&s, &s.a, 2);
    expect_rotation(&s, &s.b, 3);
    expect_rotation(&s, &s.c, 1);
    scene_destroy(&s);
}

/* Ranges, not buffers, are what is compared. */
static void test_halves_of_a_buffer(void **state)
{
    scene s = scene_create(*state);
    gpu_commands *c = gpu_test_begin(s.t);
    gather(&s, gpu_view_all(&s.a), rows_of(&s.b, 0, 32));
    gather(&s, gpu_view_all(&s.a), rows_of(&s.b, 32, 32));
    assert_int_equal(gpu_commands_barriers(c), 0);
    gather(&s, rows_of(&s.b, 0, 32), rows_of(&s.c, 0, 16));
    assert_int_equal(gpu_commands_barriers(c), 1);
    gather(&s, rows_of(&s.b, 32, 32), rows_of(&s.c, 16, 16)); /* past the barrier */
    assert_int_equal(gpu_commands_barriers(c), 1);
    gather(&s, gpu_view_all(&s.a), rows_of(&s.b, 16, 32)); /* overlaps two that were read */
    assert_int_equal(gpu_commands_barriers(c), 2);
    gpu_test_submit(s.t);
    scene_destroy(&s);
}

static void test_copies_and_fills(void **state)
{
    scene s = scene_create(*state);
    gpu_commands *c = gpu_test_begin(s.t);
    gpu_fill(c, &s.b, 0, ALL_BYTES, 0x3F800000u);
    gpu_fill(c, &s.c, 0, ALL_BYTES, 0x40000000u);
    assert_int_equal(gpu_commands_barriers(c), 0);
    gpu_copy(c, &s.b, 0, &s.c, 0, ALL_BYTES / 2); /* after both fills */
    assert_int_equal(gpu_commands_barriers(c), 1);
    gpu_copy(c, &s.a, 0, &s.c, ALL_BYTES / 2, ROW_BYTES); /* another part of c */
    assert_int_equal(gpu_commands_barriers(c), 1);
    gather(&s, gpu_view_all(&s.c), gpu_view_all(&s.b));
    assert_int_equal(gpu_commands_barriers(c), 2);
    gpu_test_submit(s.t);
    float rows[ROWS][32];
    gpu_test_read(s.t, &s.b, rows, sizeof rows);
    for (uint32_t r = 0; r < ROWS; r++) {
        uint32_t from = (r + 1) % ROWS;
        assert_true(rows[r][5] == (from < 32 ? 1.0f : from == 32 ? 0.0f : 2.0f));
    }
    /* In place: source and target of one copy do not conflict with themselves. */
    c = gpu_test_begin(s.t);
    gpu_copy(c, &s.a, 0, &s.a, ALL_BYTES / 2, ALL_BYTES / 2);
    assert_int_equal(gpu_commands_barriers(c), 0);
    gpu_test_submit(s.t);
    scene_destroy(&s);
}

/* More dispatches than one descriptor pool holds, twice, so that pools are made and reset. */
static void test_many_dispatches(void **state)
{
    scene s = scene_create(*state);
    for (int round = 0; round < 3; round++) {
        gpu_commands *c = gpu_test_begin(s.t);
        for (int i = 0; i < 900; i++)
            gather(&s, gpu_view_all(&s.a), rows_of(&s.b, (uint32_t)i % ROWS / 2 * 2, 2));
        assert_int_equal(gpu_commands_dispatches(c), 900);
        gpu_test_submit(s.t);
    }
    scene_destroy(&s);
}

static void refused(gpu_test *t, const char *why)
{
    vkdlm_error err;
    assert_int_equal(gpu_submit_wait(t->commands, &err), VKDLM_INTERNAL);
    if (!strstr(err.message, why))
        fail_msg("'%s' does not say '%s'", err.message, why);
}

static void test_misuse(void **state)
{
    scene s = scene_create(*state);
    gpu_commands *c = s.t->commands;
    const gpu_view views[] = {gpu_view_all(&s.a), gpu_view_all(&s.index), gpu_view_all(&s.b)};
    const struct embed_params push = {
        .n_tokens = 1, .token_stride = 1, .n_columns = 32, .ld = 32, .n_rows = 1};

    refused(s.t, "without a recording");
    gpu_test_begin(s.t);
    gpu_dispatch(c, s.gather, views, 2, &push, sizeof push, 1, 1, 1);
    refused(s.t, "3 bindings, 2");
    gpu_test_begin(s.t);
    gpu_dispatch(c, s.gather, views, 3, &push, 4, 1, 1, 1);
    refused(s.t, "push constants");
    gpu_test_begin(s.t);
    gpu_dispatch(c, s.gather, views, 3, &push, sizeof push, 1, UINT32_MAX, 1);
    refused(s.t, "workgroups");
    static const uint64_t bad_ranges[][2] = {
        {ALL_BYTES, 16}, {0, 0}, {0, ALL_BYTES + 16}, {UINT64_MAX - 255, 512}};
    for (size_t i = 0; i < sizeof bad_ranges / sizeof *bad_ranges; i++) {
        gpu_test_begin(s.t);
        gpu_view bad[] = {views[0], views[1], {&s.b, bad_ranges[i][0], bad_ranges[i][1]}};
        gpu_dispatch(c, s.gather, bad, 3, &push, sizeof push, 1, 1, 1);
        refused(s.t, "binding 2");
    }
    gpu_test_begin(s.t);
    gpu_view odd[] = {views[0], views[1], {&s.b, 4, 128}};
    gpu_dispatch(c, s.gather, odd, 3, &push, sizeof push, 1, 1, 1);
    refused(s.t, "multiples of");
    gpu_test_begin(s.t);
    gpu_view absent[] = {views[0], views[1], {0}};
    gpu_dispatch(c, s.gather, absent, 3, &push, sizeof push, 1, 1, 1);
    refused(s.t, "no buffer");
    gpu_test_begin(s.t);
    gpu_copy(c, &s.a, 0, &s.b, 16, ALL_BYTES);
    refused(s.t, "copy");
    gpu_test_begin(s.t);
    gpu_fill(c, &s.a, 2, 4, 0);
    refused(s.t, "multiple of 4");

    /* The first failure wins, and the next recording starts clean. */
    gpu_test_begin(s.t);
    const vkdlm_error mine = {VKDLM_UNSUPPORTED, "mine"};
    gpu_commands_fail(c, &mine);
    gpu_copy(c, &s.a, 0, &s.b, 16, ALL_BYTES);
    vkdlm_error err;
    assert_int_equal(gpu_submit_wait(c, &err), VKDLM_UNSUPPORTED);
    assert_string_equal(err.message, "mine");
    gpu_test_begin(s.t);
    gpu_dispatch(c, s.gather, views, 3, &push, sizeof push, 0, 1, 1);
    assert_int_equal(gpu_commands_dispatches(c), 0);
    gpu_test_submit(s.t);
    scene_destroy(&s);
}

static void test_storage_range(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.limit_storage_range_bytes = ALL_BYTES - 16});
    scene s = scene_create(&t);
    gpu_test_begin(&t);
    gather(&s, gpu_view_all(&s.a), gpu_view_all(&s.b));
    refused(&t, "binds at most");
    scene_destroy(&s);
    assert_int_equal(gpu_test_close(&t), 0);
}

static void test_pipelines(void **state)
{
    gpu_test *t = *state;
    vkdlm_error err;
    const gpu_pipeline *a, *b, *c;
    uint32_t before = gpu_device_pipelines(t->device);
    gpu_spec spec = {.n = 2, .value = {16, 4, 77, 78}};
    gpu_test_ok(gpu_pipeline_get(t->device, GPU_KERNEL_NORM, &spec, &a, &err), &err);
    spec.value[2] = 99; /* past n */
    gpu_test_ok(gpu_pipeline_get(t->device, GPU_KERNEL_NORM, &spec, &b, &err), &err);
    spec.value[0] = 32;
    gpu_test_ok(gpu_pipeline_get(t->device, GPU_KERNEL_NORM, &spec, &c, &err), &err);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(gpu_device_pipelines(t->device), before + 2);
    uint32_t size[3];
    gpu_pipeline_local_size(c, size);
    assert_int_equal(size[0], 32);

    spec.value[0] = gpu_device_caps(t->device)->max_invocations * 2;
    assert_int_equal(gpu_pipeline_get(t->device, GPU_KERNEL_NORM, &spec, &c, &err), VKDLM_UNSUPPORTED);
    assert_null(c);
    assert_non_null(strstr(err.message, "norm"));
    assert_int_equal(gpu_pipeline_get(t->device, GPU_KERNEL_COUNT, NULL, &c, &err), VKDLM_INTERNAL);
    gpu_spec subgroup = {.n = 2, .value = {64, 64}, .subgroup_size = 4096};
    assert_int_equal(gpu_pipeline_get(t->device, GPU_KERNEL_NORM, &subgroup, &c, &err), VKDLM_UNSUPPORTED);
}

static void test_marks(void **state)
{
    scene s = scene_create(*state);
    gpu_commands *c = gpu_test_begin(s.t);
    for (int i = 0; i < GPU_MAX_MARKS + 5; i++) {
        gpu_mark(c);
        gather(&s, gpu_view_all(&s.a), gpu_view_all(&s.b));
    }
    gpu_test_submit(s.t);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < GPU_MAX_MARKS - 1; i++)
        sum += gpu_mark_ns(c, i);
    if (gpu_device_caps(s.t->device)->timestamps)
        assert_true(sum > 0 && sum < (uint64_t)60000000000);
    else
        assert_int_equal(sum, 0);
    assert_int_equal(gpu_mark_ns(c, GPU_MAX_MARKS - 1), 0);
    gpu_test_begin(s.t);
    gpu_mark(c);
    gpu_test_submit(s.t);
    assert_int_equal(gpu_mark_ns(c, 0), 0);
    scene_destroy(&s);
}

/* ---- threads -------------------------------------------------------------------------------------- */

typedef struct worker {
    gpu_device *device;
    uint32_t number;
    bool good;
} worker;

/* Fills a buffer, copies it about and reads it back, making a pipeline of its own now and then. */
static bool work(worker *w)
{
    enum { BYTES = 65536, ROUNDS = 40 };
    gpu_commands *c = NULL;
    gpu_buffer from = {0}, to = {0};
    const gpu_pipeline *pipeline;
    bool good = !gpu_commands_create(w->device, &c, NULL) &&
                !gpu_buffer_create(w->device, GPU_MEMORY_DEVICE, BYTES, "from", &from, NULL) &&
                !gpu_buffer_create(w->device, GPU_MEMORY_READBACK, BYTES, "to", &to, NULL);
    for (uint32_t i = 0; i < ROUNDS && good; i++) {
        const gpu_spec spec = {.n = 2, .value = {1 + i % 16, 1}};
        uint32_t value = w->number * 1000 + i;
        good = !gpu_pipeline_get(w->device, GPU_KERNEL_NORM, &spec, &pipeline, NULL) &&
               !gpu_commands_begin(c, NULL);
        if (!good)
            break;
        gpu_fill(c, &from, 0, BYTES, value);
        gpu_copy(c, &from, 0, &to, 0, BYTES);
        good = !gpu_submit_wait(c, NULL);
        for (uint32_t k = 0; k < BYTES / 4 && good; k++)
            good = ((const uint32_t *)to.mapped)[k] == value;
    }
    gpu_buffer_destroy(&from);
    gpu_buffer_destroy(&to);
    gpu_commands_destroy(c);
    return good;
}

static void *run_worker(void *argument)
{
    worker *w = argument;
    w->good = work(w);
    return NULL;
}

static void test_threads(void **state)
{
    gpu_test *t = *state;
    worker workers[4];
    pthread_t threads[4];
    uint64_t before = gpu_device_bytes(t->device);
    for (uint32_t i = 0; i < 4; i++) {
        workers[i] = (worker){t->device, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(workers[i].good);
    assert_int_equal(gpu_device_bytes(t->device), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_chain_of_submissions),
        cmocka_unit_test(test_independent_commands_have_no_barrier),
        cmocka_unit_test(test_halves_of_a_buffer),
        cmocka_unit_test(test_copies_and_fills),
        cmocka_unit_test(test_many_dispatches),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_storage_range),
        cmocka_unit_test(test_pipelines),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
