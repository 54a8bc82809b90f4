/* Pipelines are created by threads while callers go on: once each, several at a time, with or without
 * threads, and what the driver refuses reaches everybody who asks. The driver's function is replaced by ones
 * that count, wait for each other, or refuse; the linker routes pthread_create through here. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "gpu/internal.h"
#include "gpu_test.h"
#include "shaders/params.h"

enum { N_PIPELINES = 6, N_CALLERS = 4, COLUMNS = 32, PATIENCE_MS = 20000 };

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *argument);

static atomic_bool no_threads;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument)
{
    return atomic_load(&no_threads) ? EAGAIN : __real_pthread_create(thread, attr, run, argument);
}

static void sleep_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Whether *value reached `least` in time. */
static bool wait_for(const atomic_int *value, int least)
{
    for (int ms = 0; atomic_load(value) < least && ms < PATIENCE_MS; ms++)
        sleep_ms(1);
    return atomic_load(value) >= least;
}

/* ---- the driver ----------------------------------------------------------------------------------- */

static PFN_vkCreateComputePipelines real_create;
static atomic_int n_created; /* calls so far */
static atomic_int n_inside;  /* calls that have begun, for those who wait for each other */
static atomic_int gate;      /* 1: calls may go on */

#define PARAMETERS                                                                                \
    VkDevice device, VkPipelineCache cache, uint32_t n, const VkComputePipelineCreateInfo *infos, \
        const VkAllocationCallbacks *allocator, VkPipeline *out

static VKAPI_ATTR VkResult VKAPI_CALL create_slowly(PARAMETERS)
{
    atomic_fetch_add(&n_created, 1);
    sleep_ms(5);
    return real_create(device, cache, n, infos, allocator, out);
}

/* Fails when it is not called twice at a time. */
static VKAPI_ATTR VkResult VKAPI_CALL create_together(PARAMETERS)
{
    atomic_fetch_add(&n_inside, 1);
    return wait_for(&n_inside, 2) ? real_create(device, cache, n, infos, allocator, out)
                                  : VK_ERROR_INITIALIZATION_FAILED;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_behind_gate(PARAMETERS)
{
    atomic_fetch_add(&n_inside, 1);
    return wait_for(&gate, 1) ? real_create(device, cache, n, infos, allocator, out)
                              : VK_ERROR_INITIALIZATION_FAILED;
}

static VKAPI_ATTR VkResult VKAPI_CALL refuse(PARAMETERS)
{
    (void)device, (void)cache, (void)infos, (void)allocator;
    atomic_fetch_add(&n_created, 1);
    for (uint32_t i = 0; i < n; i++)
        out[i] = VK_NULL_HANDLE;
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

/* Opens a device whose driver creates pipelines like this. */
static void open_device(gpu_test *t, PFN_vkCreateComputePipelines create)
{
    atomic_store(&n_created, 0);
    atomic_store(&n_inside, 0);
    atomic_store(&gate, 0);
    gpu_test_open(t, (gpu_options){0});
    real_create = t->device->vk.vkCreateComputePipelines;
    t->device->vk.vkCreateComputePipelines = create;
}

/* ---- callers -------------------------------------------------------------------------------------- */

static vkdlm_status get(gpu_device *device, uint32_t number, const gpu_pipeline **out, vkdlm_error *err)
{
    const gpu_spec spec = {.n = 2, .value = {4u << number, 1}};
    return gpu_pipeline_get(device, GPU_KERNEL_NORM, &spec, out, err);
}

typedef struct caller {
    gpu_device *device;
    vkdlm_status status;
    vkdlm_error err;
    bool right; /* the kernel's results */
} caller;

/* A norm of ones, with ones to scale and shift by, by every pipeline: 1. */
static vkdlm_status use_all(caller *a)
{
    gpu_commands *commands = NULL;
    gpu_buffer in = {0}, out = {0};
    const uint64_t row_bytes = COLUMNS * sizeof(float);
    vkdlm_status status = gpu_commands_create(a->device, &commands, &a->err);
    if (!status)
        status = gpu_buffer_create(a->device, GPU_MEMORY_UPLOAD, row_bytes, "in", &in, &a->err);
    if (!status)
        status = gpu_buffer_create(a->device, GPU_MEMORY_READBACK, N_PIPELINES * 256, "out", &out, &a->err);
    if (!status)
        status = gpu_commands_begin(commands, &a->err);
    for (uint32_t i = 0; i < N_PIPELINES && !status; i++) {
        const gpu_pipeline *pipeline;
        status = get(a->device, i, &pipeline, &a->err);
        if (status)
            break;
        for (int c = 0; c < COLUMNS; c++) {
            ((float *)in.mapped)[c] = 1;
            ((float *)out.mapped)[i * 64 + (uint32_t)c] = 7;
        }
        const gpu_view x = gpu_view_all(&in);
        const gpu_view views[] = {x, {&out, i * UINT64_C(256), row_bytes}, x, x, x, x};
        const struct norm_params push = {1, COLUMNS, COLUMNS, 0, 0, 0, 1e-5F};
        gpu_dispatch(commands, pipeline, views, 6, &push, sizeof push, 1, 1, 1);
    }
    if (!status)
        status = gpu_submit_wait(commands, &a->err);
    a->right = !status;
    for (uint32_t i = 0; i < N_PIPELINES && a->right; i++)
        for (uint32_t c = 0; c < COLUMNS && a->right; c++)
            a->right = ((const float *)out.mapped)[i * 64 + c] == 1;
    gpu_buffer_destroy(&in);
    gpu_buffer_destroy(&out);
    gpu_commands_destroy(commands);
    return status;
}

static void *run_caller(void *argument)
{
    caller *a = argument;
    a->status = use_all(a);
    return NULL;
}

/* Callers on threads of their own. */
static void call(gpu_device *device, caller callers[N_CALLERS])
{
    pthread_t threads[N_CALLERS];
    for (int i = 0; i < N_CALLERS; i++) {
        callers[i] = (caller){.device = device};
        assert_int_equal(__real_pthread_create(&threads[i], NULL, run_caller, &callers[i]), 0);
    }
    for (int i = 0; i < N_CALLERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void expect_success(const caller callers[N_CALLERS])
{
    for (int i = 0; i < N_CALLERS; i++) {
        gpu_test_ok(callers[i].status, &callers[i].err);
        assert_true(callers[i].right);
    }
}

/* ---- tests ---------------------------------------------------------------------------------------- */

static void test_created_once(void **state)
{
    (void)state;
    gpu_test t;
    caller callers[N_CALLERS];
    for (int without = 0; without < 2; without++) {
        atomic_store(&no_threads, without);
        open_device(&t, create_slowly);
        call(t.device, callers);
        expect_success(callers);
        assert_int_equal(atomic_load(&n_created), N_PIPELINES);
        assert_int_equal(gpu_device_pipelines(t.device), N_PIPELINES);
        call(t.device, callers);
        expect_success(callers);
        assert_int_equal(atomic_load(&n_created), N_PIPELINES);
        atomic_store(&no_threads, false);
        assert_int_equal(gpu_test_close(&t), 0);
    }
}

static void test_created_together(void **state)
{
    (void)state;
    gpu_test t;
    open_device(&t, create_together);
    caller a = {.device = t.device};
    a.status = use_all(&a);
    gpu_test_ok(a.status, &a.err);
    assert_true(a.right);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* The driver is still busy with the first pipeline when the caller has all of them. */
static void test_caller_goes_on(void **state)
{
    (void)state;
    gpu_test t;
    vkdlm_error err;
    const gpu_pipeline *pipelines[N_PIPELINES];
    open_device(&t, create_behind_gate);
    for (uint32_t i = 0; i < N_PIPELINES; i++) {
        gpu_test_ok(get(t.device, i, &pipelines[i], &err), &err);
        uint32_t size[3];
        gpu_pipeline_local_size(pipelines[i], size);
        assert_int_equal(size[0], 4 << i);
    }
    assert_true(wait_for(&n_inside, 1));
    atomic_store(&gate, 1);
    caller a = {.device = t.device};
    a.status = use_all(&a);
    gpu_test_ok(a.status, &a.err);
    assert_true(a.right);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* Nobody waits for what is queued. */
static void test_close_at_once(void **state)
{
    (void)state;
    gpu_test t;
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    for (int without = 0; without < 2; without++) {
        atomic_store(&no_threads, without);
        open_device(&t, create_slowly);
        for (uint32_t i = 0; i < N_PIPELINES; i++)
            gpu_test_ok(get(t.device, i, &pipeline, &err), &err);
        atomic_store(&no_threads, false);
        assert_int_equal(gpu_test_close(&t), 0);
        if (without)
            assert_int_equal(atomic_load(&n_created), 0);
    }
}

static void test_refused(void **state)
{
    (void)state;
    gpu_test t;
    caller callers[N_CALLERS];
    for (int without = 0; without < 2; without++) {
        atomic_store(&no_threads, without);
        open_device(&t, refuse);
        call(t.device, callers);
        for (int i = 0; i < N_CALLERS; i++) {
            assert_int_equal(callers[i].status, VKDLM_OUT_OF_DEVICE_MEMORY);
            assert_int_equal(callers[i].err.status, VKDLM_OUT_OF_DEVICE_MEMORY);
            assert_non_null(strstr(callers[i].err.message, "'norm'"));
        }
        assert_true(atomic_load(&n_created) >= N_CALLERS);
        /* Later the driver has room again. The threads end, so that none reads what changes. */
        compiler_stop(t.device);
        t.device->vk.vkCreateComputePipelines = real_create;
        call(t.device, callers);
        expect_success(callers);
        atomic_store(&no_threads, false);
        assert_int_equal(gpu_test_close(&t), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_created_once),   cmocka_unit_test(test_created_together),
        cmocka_unit_test(test_caller_goes_on), cmocka_unit_test(test_close_at_once),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
