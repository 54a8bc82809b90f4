/* Descriptor sets of a recording, from pools that grow. */
#include <stdlib.h>

#include "gpu/internal.h"

enum { POOL_SETS = 256, POOL_DESCRIPTORS = 1536 };

void descriptors_deinit(descriptors *s, gpu_device *d)
{
    descriptors_drop_texels(s, d);
    free(s->texel_views);
    for (uint32_t i = 0; i < s->n_pools; i++)
        d->vk.vkDestroyDescriptorPool(d->handle, s->pools[i], NULL);
    free(s->pools);
}

void descriptors_drop_texels(descriptors *s, gpu_device *d)
{
    for (uint32_t i = 0; i < s->n_texel_views; i++)
        d->vk.vkDestroyBufferView(d->handle, s->texel_views[i], NULL);
    s->n_texel_views = 0;
}

VkResult descriptors_reset(descriptors *s, gpu_device *d)
{
    descriptors_drop_texels(s, d);
    VkResult result = VK_SUCCESS;
    for (uint32_t i = 0; i < s->n_used && result == VK_SUCCESS; i++)
        result = d->vk.vkResetDescriptorPool(d->handle, s->pools[i], 0);
    s->n_used = s->sets_left = s->descriptors_left = 0;
    return result;
}

/* Makes another pool the one in use, creating it when all are used. */
static vkdlm_status next_pool(descriptors *s, gpu_device *d, vkdlm_error *err)
{
    if (s->n_used == s->n_pools) {
        VkDescriptorPool *grown = realloc(s->pools, (s->n_pools + 1) * sizeof *grown);
        if (!grown)
            return result_set(err, VK_ERROR_OUT_OF_HOST_MEMORY, "cannot grow the descriptor pools");
        s->pools = grown;
        VkDescriptorPoolSize sizes[2] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, POOL_DESCRIPTORS},
                                         {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, POOL_DESCRIPTORS}};
        VkDescriptorPoolCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
            .maxSets = POOL_SETS,
            .poolSizeCount = 2,
            .pPoolSizes = sizes,
        };
        VkResult result = d->vk.vkCreateDescriptorPool(d->handle, &info, NULL, &grown[s->n_pools]);
        if (result != VK_SUCCESS)
            return result_set(err, result, "cannot create a descriptor pool");
        s->n_pools++;
    }
    s->n_used++;
    s->sets_left = POOL_SETS;
    s->descriptors_left = POOL_DESCRIPTORS;
    return VKDLM_OK;
}

/* The texels of a view, until they are dropped. */
static vkdlm_status make_texel_view(descriptors *s, gpu_device *d, enum spirv_kind kind, const gpu_view *view,
                                    VkBufferView *out, vkdlm_error *err)
{
    if (s->n_texel_views == s->texel_views_room) {
        uint32_t room = s->texel_views_room ? 2 * s->texel_views_room : 64;
        VkBufferView *grown = realloc(s->texel_views, room * sizeof *grown);
        if (!grown)
            return result_set(err, VK_ERROR_OUT_OF_HOST_MEMORY, "cannot record more commands");
        s->texel_views = grown;
        s->texel_views_room = room;
    }
    VkBufferViewCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
        .buffer = view->buffer->handle,
        .format = kind == SPIRV_TEXELS_FLOAT ? VK_FORMAT_R32G32B32A32_SFLOAT : VK_FORMAT_R32G32B32A32_UINT,
        .offset = view->offset_bytes,
        .range = view->bytes / 16 * 16,
    };
    VkResult result = d->vk.vkCreateBufferView(d->handle, &info, NULL, out);
    if (result != VK_SUCCESS)
        return result_set(err, result, "cannot create a view of a buffer's texels");
    s->texel_views[s->n_texel_views++] = *out;
    return VKDLM_OK;
}

vkdlm_status descriptors_write(descriptors *s, gpu_device *d, const gpu_pipeline *p, const gpu_view *views,
                               VkDescriptorSet *out, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    if (s->sets_left == 0 || s->descriptors_left < p->n_bindings)
        status = next_pool(s, d, err);
    if (status)
        return status;
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = s->pools[s->n_used - 1],
        .descriptorSetCount = 1,
        .pSetLayouts = &p->set_layout,
    };
    VkDescriptorSet set = VK_NULL_HANDLE;
    VkResult result = d->vk.vkAllocateDescriptorSets(d->handle, &info, &set);
    if (result != VK_SUCCESS)
        return result_set(err, result, "cannot allocate a descriptor set");
    s->sets_left--;
    s->descriptors_left -= p->n_bindings;
    VkDescriptorBufferInfo buffers[SPIRV_MAX_BINDINGS];
    VkBufferView texels[SPIRV_MAX_BINDINGS];
    VkWriteDescriptorSet writes[SPIRV_MAX_BINDINGS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->info.n_bindings; i++) {
        const spirv_binding *binding = &p->info.bindings[i];
        if (!binding->used)
            continue;
        if (binding->kind != SPIRV_STORAGE)
            status = make_texel_view(s, d, binding->kind, &views[i], &texels[n], err);
        if (status)
            return status;
        buffers[n] = (VkDescriptorBufferInfo){views[i].buffer->handle, views[i].offset_bytes, views[i].bytes};
        writes[n] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = set,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = binding_type(binding),
            .pBufferInfo = &buffers[n],
            .pTexelBufferView = &texels[n],
        };
        n++;
    }
    d->vk.vkUpdateDescriptorSets(d->handle, n, writes, 0, NULL);
    *out = set;
    return VKDLM_OK;
}
