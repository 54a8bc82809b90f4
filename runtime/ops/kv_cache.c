#include <assert.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "ops/cached_attention.h"

static const char *const type_names[KV_N_TYPES] = {[KV_F32] = "f32", [KV_F16] = "f16"};

/* Keys of one head of one sequence: heads then begin at multiples of every storage-buffer alignment. */
static uint64_t sequence_bytes(const attention_shape *shape, enum kv_type type, uint32_t context)
{
    return size_round_up(context, ATTENTION_CAPACITY_STEP) * shape->head_dim * kv_element_bytes(type);
}

uint64_t kv_cache_bytes(const attention_shape *shape, enum kv_type type, uint32_t n_layers,
                        uint32_t n_sequences, uint32_t context)
{
    uint64_t bytes = sequence_bytes(shape, type, context);
    bool fits = size_mul(bytes, 2 * (uint64_t)shape->n_kv_heads, &bytes) &&
                size_mul(bytes, n_sequences, &bytes) && size_mul(bytes, n_layers, &bytes);
    return fits ? bytes : UINT64_MAX;
}

uint32_t kv_cache_max_sequences(const gpu_caps *caps, const attention_shape *shape, enum kv_type type,
                                uint32_t context)
{
    uint64_t head = sequence_bytes(shape, type, context);
    uint64_t n = u64_min(caps->max_storage_range_bytes / head,
                         caps->max_allocation_bytes / 2 / shape->n_kv_heads / head);
    return (uint32_t)u64_min(n, UINT32_MAX);
}

static vkdlm_status check_limits(const kv_cache *cache, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(cache->device);
    const attention_shape *shape = &cache->shape;
    unsigned long long head = sequence_bytes(shape, cache->type, cache->context) * cache->n_sequences;
    if (head > caps->max_storage_range_bytes)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "the %s keys of one head for %u sequences of %u tokens are %llu bytes, but this "
                         "device binds no more than %llu at once",
                         type_names[cache->type], cache->n_sequences, cache->context, head,
                         (unsigned long long)caps->max_storage_range_bytes);
    if (head > caps->max_allocation_bytes / 2 / shape->n_kv_heads)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "a layer's cache for %u sequences of %u tokens is 2 x %u heads of %llu bytes, but "
                         "this device allocates no more than %llu at once",
                         cache->n_sequences, cache->context, shape->n_kv_heads, head,
                         (unsigned long long)caps->max_allocation_bytes);
    return VKDLM_OK;
}

/* Zeroes every layer on the device. */
static vkdlm_status clear(const kv_cache *cache, vkdlm_error *err)
{
    gpu_commands *commands = NULL;
    vkdlm_status status = gpu_commands_create(cache->device, &commands, err);
    if (status == VKDLM_OK)
        status = gpu_commands_begin(commands, err);
    if (status == VKDLM_OK) {
        for (uint32_t i = 0; i < cache->n_layers; i++)
            gpu_fill(commands, &cache->layers[i], 0, cache->layers[i].size_bytes, 0);
        status = gpu_submit_wait(commands, err);
    }
    gpu_commands_destroy(commands);
    return status;
}

vkdlm_status kv_cache_create(gpu_device *device, const attention_shape *shape, enum kv_type type,
                             uint32_t n_layers, uint32_t n_sequences, uint32_t context, kv_cache *out,
                             vkdlm_error *err)
{
    assert(n_layers > 0 && n_sequences > 0 && context > 0);
    uint64_t rounded = size_round_up(context, ATTENTION_CAPACITY_STEP);
    *out = (kv_cache){
        .device = device,
        .shape = *shape,
        .type = type,
        .n_layers = n_layers,
        .n_sequences = n_sequences,
        .context = (uint32_t)u64_min(rounded, UINT32_MAX),
    };
    vkdlm_status status = check_limits(out, err);
    if (status != VKDLM_OK)
        goto fail;
    out->layers = calloc(n_layers, sizeof *out->layers);
    if (!out->layers) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a cache of %u layers", n_layers);
        goto fail;
    }
    uint64_t layer_bytes = kv_cache_bytes(shape, type, 1, n_sequences, context);
    for (uint32_t i = 0; i < n_layers; i++) {
        status = gpu_buffer_create(device, GPU_MEMORY_DEVICE, layer_bytes, "cached keys and values",
                                   &out->layers[i], err);
        if (status != VKDLM_OK)
            goto fail;
    }
    status = clear(out, err);
    if (status != VKDLM_OK)
        goto fail;
    return VKDLM_OK;

fail:
    kv_cache_destroy(out);
    return status;
}

void kv_cache_destroy(kv_cache *cache)
{
    for (uint32_t i = 0; cache->layers && i < cache->n_layers; i++)
        gpu_buffer_destroy(&cache->layers[i]);
    free(cache->layers);
    *cache = (kv_cache){0};
}
