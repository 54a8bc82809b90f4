/* Buffers and their memory. */
#include <inttypes.h>
#include <string.h>

#include "base/size.h"
#include "gpu/internal.h"

/* Memory types with a flag outside this set (protected, lazily allocated, vendors' uncached) are not for us.
 */
#define KNOWN_FLAGS                                                              \
    (VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | \
     VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT)

static const struct {
    const char *name;
    VkMemoryPropertyFlags required, wanted, unwanted;
} memory_kinds[] = {
    [GPU_MEMORY_DEVICE] = {"device", 0, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                           VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT},
    [GPU_MEMORY_UPLOAD] = {"upload",
                           VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 0,
                           VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT},
    [GPU_MEMORY_READBACK] = {"readback",
                             VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                             VK_MEMORY_PROPERTY_HOST_CACHED_BIT, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT},
};

static int count_bits(VkMemoryPropertyFlags flags)
{
    return __builtin_popcount(flags);
}

/* The allowed type with most of what is wanted and least of what is not, UINT32_MAX when none is allowed. */
static uint32_t find_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t allowed,
                          enum gpu_memory kind)
{
    uint32_t best = UINT32_MAX;
    int best_score = 0;
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        VkMemoryPropertyFlags flags = memory->memoryTypes[i].propertyFlags;
        if (!(allowed >> i & 1) || (flags & ~(VkMemoryPropertyFlags)KNOWN_FLAGS) ||
            (flags & memory_kinds[kind].required) != memory_kinds[kind].required)
            continue;
        int score = 8 * count_bits(flags & memory_kinds[kind].wanted) -
                    count_bits(flags & memory_kinds[kind].unwanted);
        if (best == UINT32_MAX || score > best_score) {
            best = i;
            best_score = score;
        }
    }
    return best;
}

static void account(gpu_device *d, uint64_t add, uint64_t remove)
{
    pthread_mutex_lock(&d->lock);
    d->bytes += add;
    d->bytes -= remove;
    if (d->bytes > d->peak_bytes)
        d->peak_bytes = d->bytes;
    pthread_mutex_unlock(&d->lock);
}

static vkdlm_status no_room(gpu_device *d, const char *what, uint64_t bytes, vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_DEVICE_MEMORY,
                     "%s need %" PRIu64 " bytes of device memory, device '%s' has %" PRIu64 " left", what,
                     bytes, d->caps.name, gpu_device_available_bytes(d));
}

static vkdlm_status allocate(gpu_device *d, enum gpu_memory kind, const char *what, gpu_buffer *b,
                             vkdlm_error *err)
{
    VkMemoryRequirements needs;
    d->vk.vkGetBufferMemoryRequirements(d->handle, b->handle, &needs);
    uint32_t type = find_type(&d->memory, needs.memoryTypeBits, kind);
    if (type == UINT32_MAX)
        return error_set(err, VKDLM_UNSUPPORTED, "device '%s' has no memory type for %s buffers (%s)",
                         d->caps.name, memory_kinds[kind].name, what);
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = needs.size,
        .memoryTypeIndex = type,
    };
    VkDeviceMemory memory = VK_NULL_HANDLE;
    VkResult result = d->vk.vkAllocateMemory(d->handle, &info, NULL, &memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        return no_room(d, what, b->size_bytes, err);
    if (result != VK_SUCCESS)
        return result_set(err, result, what);
    b->memory = memory;
    result = d->vk.vkBindBufferMemory(d->handle, b->handle, memory, 0);
    if (result == VK_SUCCESS && kind != GPU_MEMORY_DEVICE)
        result = d->vk.vkMapMemory(d->handle, memory, 0, VK_WHOLE_SIZE, 0, &b->mapped);
    return result == VK_SUCCESS ? VKDLM_OK : result_set(err, result, what);
}

vkdlm_status gpu_buffer_create(gpu_device *d, enum gpu_memory kind, uint64_t size_bytes, const char *what,
                               gpu_buffer *out, vkdlm_error *err)
{
    memset(out, 0, sizeof *out);
    if (size_bytes > d->caps.max_allocation_bytes)
        return error_set(err, VKDLM_OUT_OF_DEVICE_MEMORY,
                         "%s need one allocation of %" PRIu64 " bytes, device '%s' allows at most %" PRIu64,
                         what, size_bytes, d->caps.name, d->caps.max_allocation_bytes);
    uint64_t size = size_round_up(size_bytes ? size_bytes : 1, 16);
    /* A CPU driver would promise memory that the host does not have. */
    if ((d->options.limit_memory_bytes || d->caps.type == GPU_TYPE_CPU) &&
        size > gpu_device_available_bytes(d))
        return no_room(d, what, size, err);

    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    gpu_buffer b = {.device = d, .size_bytes = size};
    VkBuffer handle = VK_NULL_HANDLE;
    VkResult result = d->vk.vkCreateBuffer(d->handle, &info, NULL, &handle);
    if (result != VK_SUCCESS)
        return result_set(err, result, what);
    b.handle = handle;
    account(d, size, 0);
    vkdlm_status status = d->options.compile_only ? VKDLM_OK : allocate(d, kind, what, &b, err);
    if (status) {
        gpu_buffer_destroy(&b);
        return status;
    }
    *out = b;
    return VKDLM_OK;
}

void gpu_buffer_destroy(gpu_buffer *b)
{
    if (!b->device)
        return;
    gpu_device *d = b->device;
    d->vk.vkDestroyBuffer(d->handle, b->handle, NULL);
    d->vk.vkFreeMemory(d->handle, b->memory, NULL);
    account(d, 0, b->size_bytes);
    memset(b, 0, sizeof *b);
}
