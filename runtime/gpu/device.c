/* Opening and closing a device; submission. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "gpu/internal.h"

/* The longest a submission may take. A denoising step of a large model on a CPU driver takes minutes. */
#define WAIT_SLICE_NS ((uint64_t)1000000000)
#define WAIT_SLICES   3600

static vkdlm_status choose_physical(gpu_device *d, caps_enable *enable, vkdlm_error *err)
{
    uint32_t n = d->instance.n_devices;
    gpu_caps *all = calloc(n, sizeof *all);
    if (!all)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the list of %u devices", n);
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < n && !status; i++)
        status = caps_query(&d->instance, d->instance.devices[i], &all[i], NULL, err);
    uint32_t index = 0;
    if (!status)
        status = gpu_choose(all, n, d->options.select, &index, err);
    free(all);
    if (status)
        return status;
    d->physical = d->instance.devices[index];
    return caps_query(&d->instance, d->physical, &d->caps, enable, err);
}

static vkdlm_status create_device(gpu_device *d, caps_enable *enable, vkdlm_error *err)
{
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = enable->features.pNext,
        .pipelineExecutableInfo = VK_TRUE,
    };
    if (d->options.compile_only) {
        if (!d->caps.pipeline_executable_properties)
            return error_set(err, VKDLM_UNSUPPORTED,
                             "device '%s' does not tell what its compiler makes of pipelines", d->caps.name);
        enable->features.pNext = &executable;
        enable->extensions[enable->n_extensions++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    }
    uint32_t bits;
    d->queue_family = instance_queue_family(&d->instance, d->physical, &bits);
    const float priority = 1;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = d->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &enable->features,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = enable->n_extensions,
        .ppEnabledExtensionNames = enable->extensions,
    };
    VkResult result = d->instance.CreateDevice(d->physical, &info, NULL, &d->handle);
    if (result != VK_SUCCESS) {
        d->handle = NULL;
        char what[300];
        snprintf(what, sizeof what, "cannot open device '%s'", d->caps.name);
        return result_set(err, result, what);
    }
    volkLoadDeviceTable(&d->vk, d->handle);
    d->vk.vkGetDeviceQueue(d->handle, d->queue_family, 0, &d->queue);
    d->instance.GetPhysicalDeviceMemoryProperties(d->physical, &d->memory);
    return VKDLM_OK;
}

vkdlm_status gpu_device_open(const gpu_options *options, gpu_device **out, vkdlm_error *err)
{
    *out = NULL;
    gpu_device *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a device");
    if (options)
        d->options = *options;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->queue_lock, NULL);
    compiler_init(&d->compiler);
    caps_enable enable;
    vkdlm_status status = instance_create(&d->options, &d->instance, err);
    if (!status)
        status = choose_physical(d, &enable, err);
    if (!status)
        status = create_device(d, &enable, err);
    if (!status) {
        caps_restrict(&d->caps, &d->options);
        status = cache_open(d, d->options.cache_dir, err);
    }
    /* The caller's strings need not outlive this call. */
    d->options.select = d->options.cache_dir = NULL;
    if (status) {
        gpu_device_close(d);
        return status;
    }
    *out = d;
    return VKDLM_OK;
}

void gpu_device_close(gpu_device *d)
{
    if (!d)
        return;
    if (d->attached)
        d->destroy_attached(d->attached);
    compiler_stop(d);
    if (d->handle) {
        pipeline_destroy_all(d);
        cache_close(d);
        d->vk.vkDestroyDevice(d->handle, NULL);
    }
    instance_destroy(&d->instance);
    compiler_deinit(&d->compiler);
    pthread_mutex_destroy(&d->queue_lock);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

const gpu_caps *gpu_device_caps(const gpu_device *d)
{
    return &d->caps;
}

/* The counters are read through a const device, which only the lock makes other than const. */
static uint64_t read_locked(const gpu_device *d, const uint64_t *value)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&d->lock;
    pthread_mutex_lock(lock);
    uint64_t result = *value;
    pthread_mutex_unlock(lock);
    return result;
}

uint64_t gpu_device_bytes(const gpu_device *d)
{
    return read_locked(d, &d->bytes);
}

uint64_t gpu_device_peak_bytes(const gpu_device *d)
{
    return read_locked(d, &d->peak_bytes);
}

/* A CPU device shares the host's memory, whatever size its driver gives its heap (Mesa's says 2 GiB): half of
 * it. */
static uint64_t cpu_device_bytes(const gpu_caps *caps)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t host = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    return (host > caps->device_memory_bytes ? host : caps->device_memory_bytes) / 2;
}

uint64_t gpu_device_available_bytes(const gpu_device *d)
{
    uint64_t held = gpu_device_bytes(d);
    uint64_t total = d->caps.type == GPU_TYPE_CPU ? cpu_device_bytes(&d->caps) : d->caps.device_memory_bytes;
    if (d->options.limit_memory_bytes)
        total = d->options.limit_memory_bytes;
    uint64_t available = total > held ? total - held : 0;
    if (!d->caps.memory_budget)
        return available;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = &budget,
    };
    d->instance.GetPhysicalDeviceMemoryProperties2(d->physical, &memory);
    uint64_t most = 0;
    for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; i++) {
        uint64_t free_bytes =
            budget.heapBudget[i] > budget.heapUsage[i] ? budget.heapBudget[i] - budget.heapUsage[i] : 0;
        if ((memory.memoryProperties.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            free_bytes > most)
            most = free_bytes;
    }
    /* Some CPU drivers count only what has been written to: what was promised counts as well. */
    return u64_min(available, most);
}

uint32_t gpu_device_pipelines(const gpu_device *d)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&d->lock;
    pthread_mutex_lock(lock);
    uint32_t n = d->n_pipelines;
    pthread_mutex_unlock(lock);
    return n;
}

size_t gpu_device_cache_bytes(const gpu_device *d)
{
    return d->cache_bytes;
}

void gpu_device_attach(gpu_device *d, void *object, void (*destroy)(void *object))
{
    d->attached = object;
    d->destroy_attached = destroy;
}

void *gpu_device_attached(const gpu_device *d)
{
    return d->attached;
}

VkResult device_submit(gpu_device *d, VkCommandBuffer commands, VkFence fence)
{
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &commands,
    };
    pthread_mutex_lock(&d->queue_lock);
    VkResult result = d->vk.vkQueueSubmit(d->queue, 1, &info, fence);
    pthread_mutex_unlock(&d->queue_lock);
    return result;
}

vkdlm_status device_wait(gpu_device *d, VkFence fence, vkdlm_error *err)
{
    VkResult result = VK_TIMEOUT;
    for (int i = 0; i < WAIT_SLICES && result == VK_TIMEOUT; i++)
        result = d->vk.vkWaitForFences(d->handle, 1, &fence, VK_TRUE, WAIT_SLICE_NS);
    return result == VK_SUCCESS ? VKDLM_OK : result_set(err, result, "cannot wait for the device");
}
