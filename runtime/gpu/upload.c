/* Staging memory in two halves: the host fills one while the device copies the other. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "gpu/internal.h"

/* Copies need no more than 4; 64 keeps the host's stores and the device's reads on cache lines. */
enum { STAGING_ALIGNMENT = 64 };

typedef struct half {
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkFence fence;
    bool in_flight;
    struct piece {
        VkBuffer to;
        VkBufferCopy region;
    } * pieces;
    uint32_t n_pieces, room;
    uint64_t used_bytes;
} half;

struct gpu_upload {
    gpu_device *device;
    gpu_buffer staging;
    uint64_t half_bytes;
    half halves[2];
    int current;
};

static VkResult half_init(gpu_device *d, half *h)
{
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
        .queueFamilyIndex = d->queue_family,
    };
    VkResult result = d->vk.vkCreateCommandPool(d->handle, &pool, NULL, &h->pool);
    if (result != VK_SUCCESS)
        return result;
    VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = h->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    result = d->vk.vkAllocateCommandBuffers(d->handle, &commands, &h->commands);
    if (result != VK_SUCCESS)
        return result;
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return d->vk.vkCreateFence(d->handle, &fence, NULL, &h->fence);
}

vkdlm_status gpu_upload_create(gpu_device *device, uint64_t half_bytes, gpu_upload **out, vkdlm_error *err)
{
    *out = NULL;
    if (half_bytes == 0 || half_bytes > (uint64_t)1 << 40)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "a staging ring of two times %" PRIu64 " bytes is out of range", half_bytes);
    gpu_upload *u = calloc(1, sizeof *u);
    if (!u)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for an upload ring");
    u->device = device;
    u->half_bytes = size_round_up(half_bytes, STAGING_ALIGNMENT);
    vkdlm_status status =
        gpu_buffer_create(device, GPU_MEMORY_UPLOAD, 2 * u->half_bytes, "upload buffers", &u->staging, err);
    for (int i = 0; i < 2 && !status; i++) {
        VkResult result = half_init(device, &u->halves[i]);
        if (result != VK_SUCCESS)
            status = result_set(err, result, "cannot create an upload ring");
    }
    if (status) {
        gpu_upload_destroy(u);
        return status;
    }
    *out = u;
    return VKDLM_OK;
}

static vkdlm_status wait_half(gpu_upload *u, half *h, vkdlm_error *err)
{
    if (!h->in_flight)
        return VKDLM_OK;
    h->in_flight = false;
    return device_wait(u->device, h->fence, err);
}

void gpu_upload_destroy(gpu_upload *u)
{
    if (!u)
        return;
    gpu_device *d = u->device;
    for (int i = 0; i < 2; i++) {
        half *h = &u->halves[i];
        wait_half(u, h, NULL);
        d->vk.vkDestroyFence(d->handle, h->fence, NULL);
        d->vk.vkDestroyCommandPool(d->handle, h->pool, NULL);
        free(h->pieces);
    }
    gpu_buffer_destroy(&u->staging);
    free(u);
}

uint64_t gpu_upload_max_bytes(const gpu_upload *u)
{
    return u->half_bytes;
}

/* Submits the current half's copies and makes the other half, once idle, the current one. */
static vkdlm_status turn(gpu_upload *u, vkdlm_error *err)
{
    gpu_device *d = u->device;
    half *h = &u->halves[u->current];
    if (h->n_pieces > 0) {
        VkResult result = d->vk.vkResetCommandPool(d->handle, h->pool, 0);
        VkCommandBufferBeginInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
        };
        if (result == VK_SUCCESS)
            result = d->vk.vkBeginCommandBuffer(h->commands, &info);
        if (result != VK_SUCCESS)
            return result_set(err, result, "cannot record an upload");
        /* Earlier copies and kernels may have touched the same ranges. */
        VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                   .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                   .dstAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT};
        d->vk.vkCmdPipelineBarrier(h->commands,
                                   VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                                   VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
        for (uint32_t i = 0; i < h->n_pieces; i++)
            d->vk.vkCmdCopyBuffer(h->commands, u->staging.handle, h->pieces[i].to, 1, &h->pieces[i].region);
        result = d->vk.vkEndCommandBuffer(h->commands);
        if (result == VK_SUCCESS)
            result = d->vk.vkResetFences(d->handle, 1, &h->fence);
        if (result == VK_SUCCESS)
            result = device_submit(d, h->commands, h->fence);
        if (result != VK_SUCCESS)
            return result_set(err, result, "cannot submit an upload");
        h->in_flight = true;
    }
    h->n_pieces = 0;
    h->used_bytes = 0;
    u->current = !u->current;
    return wait_half(u, &u->halves[u->current], err);
}

/* Whether a piece already waiting in this half overlaps the range: copies of one submission are unordered. */
static bool overlaps(const half *h, const gpu_buffer *to, uint64_t offset, uint64_t bytes)
{
    for (uint32_t i = 0; i < h->n_pieces; i++) {
        const struct piece *p = &h->pieces[i];
        if (p->to == (VkBuffer)to->handle && p->region.dstOffset < offset + bytes &&
            offset < p->region.dstOffset + p->region.size)
            return true;
    }
    return false;
}

vkdlm_status gpu_upload_reserve(gpu_upload *u, const gpu_buffer *to, uint64_t to_offset, uint64_t bytes,
                                void **out, vkdlm_error *err)
{
    *out = NULL;
    if (bytes == 0 || bytes > u->half_bytes || to_offset % 4 || to_offset > to->size_bytes ||
        bytes > to->size_bytes - to_offset)
        return error_set(err, VKDLM_INTERNAL,
                         "an upload of %" PRIu64 " bytes to %" PRIu64
                         " does not fit: pieces are at most %" PRIu64 " bytes, the buffer has %" PRIu64,
                         bytes, to_offset, u->half_bytes, to->size_bytes);
    half *h = &u->halves[u->current];
    if (bytes > u->half_bytes - h->used_bytes || overlaps(h, to, to_offset, bytes)) {
        vkdlm_status status = turn(u, err);
        if (status)
            return status;
        h = &u->halves[u->current];
    }
    if (h->n_pieces == h->room) {
        uint32_t room = h->room ? 2 * h->room : 32;
        struct piece *grown = realloc(h->pieces, room * sizeof *grown);
        if (!grown)
            return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for %u pieces of an upload", room);
        h->pieces = grown;
        h->room = room;
    }
    uint64_t at = (uint64_t)u->current * u->half_bytes + h->used_bytes;
    h->pieces[h->n_pieces++] = (struct piece){to->handle, {at, to_offset, bytes}};
    h->used_bytes = u64_min(size_round_up(h->used_bytes + bytes, STAGING_ALIGNMENT), u->half_bytes);
    *out = (unsigned char *)u->staging.mapped + at;
    return VKDLM_OK;
}

vkdlm_status gpu_upload_flush(gpu_upload *u, vkdlm_error *err)
{
    for (int i = 0; i < 2; i++) {
        vkdlm_status status = turn(u, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}
