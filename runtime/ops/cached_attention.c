#include "ops/cached_attention.h"

#include <assert.h>
#include <math.h>

#include "base/size.h"
#include "ops/attention_select.h"
#include "ops/cached_rows.h"
#include "shaders/params.h"

#define MAX_GROUPS_X 65535u /* always allowed */

/* ---- pipelines ---------------------------------------------------------------------------------- */

void cached_attention_half_spec(const gpu_caps *caps, gpu_spec *spec)
{
    spec->n = 10;
    spec->value[9] = caps->type == GPU_TYPE_CPU;
}

static enum gpu_kernel tiles_kernel(enum gpu_kernel kernel, enum kv_type type)
{
    if (type == KV_F32)
        return kernel;
    return kernel == GPU_KERNEL_ATTENTION_SHARED     ? GPU_KERNEL_ATTENTION_SHARED_F16
           : kernel == GPU_KERNEL_ATTENTION_TEXELS   ? GPU_KERNEL_ATTENTION_TEXELS_F16
           : kernel == GPU_KERNEL_ATTENTION_SUBGROUP ? GPU_KERNEL_ATTENTION_SUBGROUP_F16
                                                     : GPU_KERNEL_ATTENTION_PLAIN_F16;
}

void cached_attention_adapt(const gpu_caps *caps, enum kv_type type, attention_variant *variant)
{
    variant->kernel = tiles_kernel(variant->kernel, type);
    variant->mix = false; /* sequences lie far apart in the cache */
    cached_attention_half_spec(caps, &variant->spec);
}

vkdlm_status cached_attention_init(cached_attention *op, gpu_device *device, const attention_shape *shape,
                                   enum kv_type type, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(device);
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    if (attention_variants(caps, shape, variants) == 0)
        return attention_shape_error(shape, err);
    assert(shape->causal);
    *op = (cached_attention){.device = device, .shape = *shape, .type = type};
    vkdlm_status status = attention_choose(device, cached_attention_key(shape, type), &op->variant, err);
    if (status == VKDLM_OK)
        status = cached_rows_choose(device, shape, type, &op->rows_variant, err);
    if (status != VKDLM_OK)
        return status;

    gpu_spec write = {.n = 2, .value = {ROTARY_INVOCATIONS, shape->head_dim}};
    bool half = type == KV_F16;
    status = gpu_pipeline_get(device, half ? GPU_KERNEL_CACHED_WRITE_F16 : GPU_KERNEL_CACHED_WRITE_F32,
                              &write, &op->write, err);
    if (status == VKDLM_OK)
        status = gpu_pipeline_get(device,
                                  half ? GPU_KERNEL_CACHED_WRITE_KEYS_F16 : GPU_KERNEL_CACHED_WRITE_KEYS_F32,
                                  &write, &op->write_keys, err);
    if (status == VKDLM_OK)
        status = gpu_pipeline_get(device, op->variant.kernel, &op->variant.spec, &op->tiles, err);
    if (status == VKDLM_OK)
        status = gpu_pipeline_get(device, op->rows_variant.kernel, &op->rows_variant.spec, &op->rows, err);
    return status;
}

/* ---- plans -------------------------------------------------------------------------------------- */

void cached_attention_begin_plan(const cached_attention *op, const kv_cache *cache, attention_plan *plan,
                                 uint32_t *index, uint32_t reserved)
{
    (void)cache;
    assert(op->type == cache->type && op->shape.n_kv_heads == cache->shape.n_kv_heads &&
           op->shape.head_dim == cache->shape.head_dim);
    attention_plan_begin(plan, index, reserved, op->variant.tile_slots, false, true);
}

void cached_attention_add(const kv_cache *cache, attention_plan *plan, uint32_t sequence, uint32_t first,
                          uint32_t row_start, uint32_t length)
{
    assert(sequence < cache->n_sequences && first < cache->context && length <= cache->context - first);
    attention_plan_add_chunk(plan, sequence * cache->context, first, row_start, length);
}

uint32_t cached_attention_capacity(uint64_t n_rows, uint64_t n_chunks)
{
    /* The last slots of a chunk's first and last group are empty at most. */
    if (n_rows > ATTENTION_MAX_CAPACITY || n_chunks > ATTENTION_MAX_CAPACITY)
        return 0;
    uint64_t slots = size_round_up(n_rows + n_chunks * 2 * (ATTENTION_GROUP - 1), ATTENTION_CAPACITY_STEP);
    return slots > ATTENTION_MAX_CAPACITY ? 0 : (uint32_t)slots;
}

uint32_t cached_attention_max_capacity(const cached_attention *op)
{
    return attention_bindable_capacity(gpu_device_caps(op->device), &op->shape);
}

uint64_t cached_attention_workspace_bytes(const attention_shape *shape, uint32_t capacity)
{
    return (uint64_t)shape->n_heads * capacity * shape->head_dim * sizeof(float);
}

/* ---- recording ---------------------------------------------------------------------------------- */

/* Slots from one head of a layer to the next. */
static uint32_t cache_slots(const kv_cache *cache)
{
    return cache->n_sequences * cache->context;
}

/* Fills *slice with key/value heads first_kv_head .. of a layer and, where there is a workspace, their
 * queries of `capacity` slots a head, as many as bindings allow; false past the end. */
static bool slice_at(const cached_attention *op, const kv_cache *cache, uint32_t layer, gpu_view workspace,
                     uint32_t capacity, uint32_t first_kv_head, attention_slice *slice)
{
    const attention_shape *shape = &op->shape;
    if (first_kv_head >= shape->n_kv_heads)
        return false;
    uint64_t range = gpu_device_caps(op->device)->max_storage_range_bytes;
    uint64_t keys = (uint64_t)cache_slots(cache) * shape->head_dim * kv_element_bytes(cache->type);
    uint64_t queries = (uint64_t)attention_share(shape) * capacity * shape->head_dim * sizeof(float);
    uint64_t n = u64_min(shape->n_kv_heads - first_kv_head, range / keys);
    if (workspace.buffer)
        n = u64_min(n, range / queries);
    assert(n > 0);

    const gpu_buffer *buffer = &cache->layers[layer];
    *slice = (attention_slice){
        .first_kv_head = first_kv_head,
        .n_kv_heads = (uint32_t)n,
        .queries = {workspace.buffer, workspace.offset_bytes + first_kv_head * queries, n * queries},
        .keys = {buffer, first_kv_head * keys, n * keys},
        .values = {buffer, (shape->n_kv_heads + first_kv_head) * keys, n * keys},
    };
    return true;
}

static float query_scale(const attention_shape *shape)
{
    return (float)(M_LOG2E / sqrt(shape->head_dim)); /* attention works with powers of two */
}

void cached_attention_write(gpu_commands *commands, const cached_attention *op, const rotary_table *table,
                            const kv_cache *cache, uint32_t layer, const attention_plan *plan, gpu_view qkv,
                            uint32_t ld, qkv_columns columns, gpu_view index, gpu_view workspace)
{
    uint32_t dim = op->shape.head_dim, share = attention_share(&op->shape);
    assert(table->head_dim == dim && plan->max_length <= table->max_length && layer < cache->n_layers);

    bool queries = workspace.buffer != NULL;
    attention_slice slice;
    for (uint32_t head = 0;
         plan->n_slots > 0 && slice_at(op, cache, layer, workspace, plan->capacity, head, &slice);
         head += slice.n_kv_heads) {
        struct cached_write_params push = {
            .ld = ld,
            .q_column = columns.q + head * share * dim,
            .k_column = columns.k + head * dim,
            .v_column = columns.v + head * dim,
            .capacity = plan->capacity,
            .key_capacity = cache_slots(cache),
            .bound_kv_heads = slice.n_kv_heads,
            .share = share,
            .scale = query_scale(&op->shape),
        };
        gpu_view views[] = {qkv,
                            attention_slots_view(plan, index),
                            gpu_view_all(&table->buffer),
                            slice.keys,
                            slice.values,
                            slice.queries};
        uint32_t pairs = slice.n_kv_heads * (queries ? share : 1) * (dim / 2);
        gpu_dispatch(commands, queries ? op->write : op->write_keys, views, queries ? 6 : 5, &push,
                     sizeof push, (pairs + ROTARY_INVOCATIONS - 1) / ROTARY_INVOCATIONS,
                     plan->n_slots / ATTENTION_GROUP, 1);
    }
}

void cached_attention_tiles(gpu_commands *commands, const cached_attention *op, const kv_cache *cache,
                            uint32_t layer, const attention_plan *plan, gpu_view index, gpu_view workspace,
                            gpu_view output, uint32_t ld)
{
    uint32_t share = attention_share(&op->shape);
    attention_slice slice;
    for (uint32_t head = 0;
         plan->n_slots > 0 && slice_at(op, cache, layer, workspace, plan->capacity, head, &slice);
         head += slice.n_kv_heads) {
        struct attention_params push = {
            .ld = ld,
            .capacity = plan->capacity,
            .key_capacity = cache_slots(cache),
            .first_head = head * share,
            .n_heads = op->shape.n_heads,
            .share = share,
        };
        gpu_view views[] = {slice.queries,
                            slice.keys,
                            slice.values,
                            attention_slots_view(plan, index),
                            attention_tiles_view(plan, index),
                            output};
        gpu_dispatch(commands, op->tiles, views, 6, &push, sizeof push, plan->n_tiles,
                     slice.n_kv_heads * share, 1);
    }
}

void cached_attention_rows(gpu_commands *commands, const cached_attention *op, const rotary_table *table,
                           const kv_cache *cache, uint32_t layer, gpu_view q, uint32_t ldq, uint32_t q_column,
                           gpu_view rows, uint32_t n_rows, gpu_view output, uint32_t ld)
{
    uint32_t share = attention_share(&op->shape);
    assert(table->head_dim == op->shape.head_dim && layer < cache->n_layers);

    attention_slice slice;
    for (uint32_t head = 0; slice_at(op, cache, layer, (gpu_view){0}, 0, head, &slice);
         head += slice.n_kv_heads)
        for (uint32_t row = 0; row < n_rows; row += MAX_GROUPS_X) {
            struct cached_rows_params push = {
                .ldq = ldq,
                .q_column = q_column,
                .ld = ld,
                .first_row = row,
                .key_capacity = cache_slots(cache),
                .context = cache->context,
                .first_head = head * share,
                .n_heads = op->shape.n_heads,
                .share = share,
                .scale = query_scale(&op->shape),
            };
            gpu_view views[] = {q, rows, gpu_view_all(&table->buffer), slice.keys, slice.values, output};
            gpu_dispatch(commands, op->rows, views, 6, &push, sizeof push,
                         u32_min(n_rows - row, MAX_GROUPS_X), slice.n_kv_heads,
                         (share + op->rows_variant.heads - 1) / op->rows_variant.heads);
        }
}
