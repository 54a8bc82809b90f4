/* Every Vulkan call and every allocation fails once: the answer is a status, nothing crashes or leaks (the
 * last under AddressSanitizer), and the device works afterwards. The linker routes allocations through here;
 * Vulkan calls are replaced in the device's function table. */
#include <stdlib.h>
#include <string.h>

#include "gpu/internal.h"
#include "gpu_test.h"
#include "shaders/params.h"

/* ---- allocations ---------------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* Allocations that still succeed; negative when none fails. */
static int remaining = -1;

static bool exhausted(void)
{
    if (remaining < 0)
        return false;
    return remaining == 0 || remaining-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return exhausted() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return exhausted() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return exhausted() ? NULL : __real_realloc(old, size);
}

/* ---- what is made to fail ------------------------------------------------------------------------- */

/* Everything the layer does with an open device, once: each kind of buffer, an upload, a dispatch, a copy. */
static vkdlm_status work(gpu_device *device, vkdlm_error *err)
{
    enum { BYTES = 4096 };
    gpu_buffer buffers[3] = {{0}};
    gpu_upload *upload = NULL;
    gpu_commands *commands = NULL;
    const gpu_pipeline *pipeline;
    void *out;
    vkdlm_status status = VKDLM_OK;
    for (int kind = 0; kind < 3 && !status; kind++)
        status = gpu_buffer_create(device, (enum gpu_memory)kind, BYTES, "work", &buffers[kind], err);
    if (!status)
        status = gpu_upload_create(device, BYTES, &upload, err);
    for (int i = 0; i < 3 && !status; i++) {
        status = gpu_upload_reserve(upload, &buffers[GPU_MEMORY_DEVICE], 0, BYTES, &out, err);
        if (!status)
            memset(out, 0, BYTES);
    }
    if (!status)
        status = gpu_upload_flush(upload, err);
    if (!status)
        status = gpu_commands_create(device, &commands, err);
    if (!status)
        status = gpu_commands_begin(commands, err);
    if (!status)
        status = gpu_pipeline_get(device, GPU_KERNEL_EMBED_F32, NULL, &pipeline, err);
    if (!status) {
        memset(buffers[GPU_MEMORY_UPLOAD].mapped, 0, BYTES);
        const struct embed_params push = {
            .n_tokens = 1, .token_stride = 1, .n_columns = 32, .ld = 32, .n_rows = 1};
        const gpu_view views[] = {gpu_view_all(&buffers[GPU_MEMORY_DEVICE]),
                                  gpu_view_all(&buffers[GPU_MEMORY_UPLOAD]),
                                  gpu_view_all(&buffers[GPU_MEMORY_READBACK])};
        gpu_mark(commands);
        for (int i = 0; i < 300; i++) /* more than one descriptor pool */
            gpu_dispatch(commands, pipeline, views, 3, &push, sizeof push, 1, 1, 1);
        gpu_copy(commands, views[0].buffer, 0, views[2].buffer, 0, 64);
        gpu_mark(commands);
        status = gpu_submit_wait(commands, err);
    }
    gpu_commands_destroy(commands);
    gpu_upload_destroy(upload);
    for (int kind = 0; kind < 3; kind++)
        gpu_buffer_destroy(&buffers[kind]);
    return status;
}

static VkResult injected;

/* Stands in for functions of any parameters: the caller's convention leaves them to the caller. */
static VKAPI_ATTR VkResult VKAPI_CALL refuse(void)
{
    return injected;
}

#define FUNCTIONS(X)               \
    X(vkCreateBuffer)              \
    X(vkAllocateMemory)            \
    X(vkBindBufferMemory)          \
    X(vkMapMemory)                 \
    X(vkCreateCommandPool)         \
    X(vkAllocateCommandBuffers)    \
    X(vkCreateFence)               \
    X(vkCreateQueryPool)           \
    X(vkResetCommandPool)          \
    X(vkBeginCommandBuffer)        \
    X(vkEndCommandBuffer)          \
    X(vkResetFences)               \
    X(vkQueueSubmit)               \
    X(vkCreateDescriptorSetLayout) \
    X(vkCreatePipelineLayout)      \
    X(vkCreateShaderModule)        \
    X(vkCreateComputePipelines)    \
    X(vkCreateDescriptorPool)      \
    X(vkAllocateDescriptorSets)

static const struct {
    VkResult result;
    vkdlm_status status;
} outcomes[] = {
    {VK_ERROR_OUT_OF_HOST_MEMORY, VKDLM_OUT_OF_HOST_MEMORY},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, VKDLM_OUT_OF_DEVICE_MEMORY},
    {VK_ERROR_DEVICE_LOST, VKDLM_DEVICE_LOST},
    {(VkResult)-1234567, VKDLM_INTERNAL},
};

static void expect_failure(gpu_device *device, const char *name, vkdlm_status expected)
{
    vkdlm_error err = {0};
    vkdlm_status status = work(device, &err);
    if (status != expected || err.status != expected || !err.message[0])
        fail_msg("%s: status %d ('%s') instead of %d", name, (int)status, err.message, (int)expected);
    assert_int_equal(work(device, NULL), expected);
    assert_int_equal(gpu_device_bytes(device), 0);
}

/* Pipelines are made once and kept: a device for each outcome, and what comes after them last in the list. */
static void test_vulkan_calls(void **state)
{
    (void)state;
    for (size_t o = 0; o < sizeof outcomes / sizeof *outcomes; o++) {
        gpu_test t;
        gpu_test_open(&t, (gpu_options){0});
        struct VolkDeviceTable *vk = &t.device->vk;
        injected = outcomes[o].result;
#define INJECT(function)                                         \
    {                                                            \
        PFN_##function kept = vk->function;                      \
        vk->function = (PFN_##function)(void (*)(void))refuse;   \
        expect_failure(t.device, #function, outcomes[o].status); \
        vk->function = kept;                                     \
    }
        FUNCTIONS(INJECT)
#undef INJECT
        vkdlm_error err;
        gpu_test_ok(work(t.device, &err), &err);
        assert_int_equal(gpu_test_close(&t), 0);
    }
}

static PFN_vkWaitForFences real_wait;

/* Waits, so that nothing is destroyed in use, and then reports the failure. */
static VKAPI_ATTR VkResult VKAPI_CALL wait_and_fail(VkDevice device, uint32_t n, const VkFence *fences,
                                                    VkBool32 all, uint64_t timeout)
{
    real_wait(device, n, fences, all, timeout);
    return injected;
}

/* A device that is lost, or does not finish, while the host waits for it. */
static void test_waiting(void **state)
{
    gpu_test *t = *state;
    real_wait = t->device->vk.vkWaitForFences;
    t->device->vk.vkWaitForFences = wait_and_fail;
    injected = VK_ERROR_DEVICE_LOST;
    expect_failure(t->device, "vkWaitForFences", VKDLM_DEVICE_LOST);
    injected = VK_TIMEOUT; /* time and again */
    expect_failure(t->device, "vkWaitForFences", VKDLM_DEVICE_LOST);
    t->device->vk.vkWaitForFences = real_wait;
    vkdlm_error err;
    gpu_test_ok(work(t->device, &err), &err);
}

/* A dispatch whose operands are texels. */
static vkdlm_status texel_work(gpu_test *t, vkdlm_error *err)
{
    const gpu_pipeline *pipeline;
    const gpu_spec spec = {.n = 2, .value = {8, 1}};
    gpu_test_ok(gpu_pipeline_get(t->device, GPU_KERNEL_NORM_TEXELS, &spec, &pipeline, err), err);
    float ones[32] = {1};
    gpu_buffer x = gpu_test_buffer(t, ones, sizeof ones), y = gpu_test_buffer(t, NULL, sizeof ones);
    const gpu_view in = gpu_view_all(&x);
    const gpu_view views[] = {in, gpu_view_all(&y), in, in, in, in};
    const struct norm_params push = {1, 32, 32, 32, 0, 0, 1e-5f};
    gpu_commands *c = gpu_test_begin(t);
    for (int i = 0; i < 100; i++)
        gpu_dispatch(c, pipeline, views, 6, &push, sizeof push, 1, 1, 1);
    vkdlm_status status = gpu_submit_wait(c, err);
    gpu_buffer_destroy(&x);
    gpu_buffer_destroy(&y);
    return status;
}

static void test_texel_views(void **state)
{
    gpu_test *t = *state;
    if (!gpu_device_caps(t->device)->texel_buffers)
        skip();
    for (size_t o = 0; o < sizeof outcomes / sizeof *outcomes; o++) {
        PFN_vkCreateBufferView kept = t->device->vk.vkCreateBufferView;
        injected = outcomes[o].result;
        t->device->vk.vkCreateBufferView = (PFN_vkCreateBufferView)(void (*)(void))refuse;
        vkdlm_error err;
        assert_int_equal(texel_work(t, &err), outcomes[o].status);
        t->device->vk.vkCreateBufferView = kept;
        gpu_test_ok(texel_work(t, &err), &err);
    }
}

static void test_no_host_memory(void **state)
{
    gpu_test *t = *state;
    vkdlm_status status = VKDLM_OUT_OF_HOST_MEMORY;
    int n = 0;
    for (; status; n++) {
        vkdlm_error err;
        remaining = n;
        status = work(t->device, &err);
        remaining = -1;
        assert_true(status == VKDLM_OK || status == VKDLM_OUT_OF_HOST_MEMORY);
        assert_int_equal(gpu_device_bytes(t->device), 0);
    }
    assert_true(n > 4);
}

/* Opening: without memory for the cache file's data it still succeeds, without the rest it does not. */
static void test_open_without_host_memory(void **state)
{
    (void)state;
    int n_failed = 0;
    for (int n = 0; n < 40; n++) {
        gpu_device *device;
        gpu_caps *caps;
        uint32_t count;
        vkdlm_error err;
        gpu_options options = {.cache_dir = TESTS_BINARY_DIR "/gpu-failures"};
        remaining = n;
        vkdlm_status status = gpu_device_open(&options, &device, &err);
        gpu_device_close(device);
        assert_true(status == VKDLM_OK || status == VKDLM_OUT_OF_HOST_MEMORY || status == VKDLM_NO_DEVICE);
        n_failed += status != VKDLM_OK;
        remaining = n;
        status = gpu_enumerate(&caps, &count, &err);
        remaining = -1;
        assert_int_equal(status == VKDLM_OK, caps != NULL);
        free(caps);
    }
    assert_true(n_failed > 2 && n_failed < 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vulkan_calls),
        cmocka_unit_test_setup_teardown(test_waiting, gpu_test_setup, gpu_test_teardown),
        cmocka_unit_test_setup_teardown(test_texel_views, gpu_test_setup, gpu_test_teardown),
        cmocka_unit_test_setup_teardown(test_no_host_memory, gpu_test_setup, gpu_test_teardown),
        cmocka_unit_test(test_open_without_host_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
