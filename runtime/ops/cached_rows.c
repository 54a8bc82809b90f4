#include "ops/cached_rows.h"

#include <assert.h>

#include "base/size.h"

/* Lanes of cached_rows_shared.comp, fewer where shared memory is small. */
#define SHARED_LANES 128u
/* Query heads of a workgroup at most. Their outputs are held in registers: with four heads and eight outputs
 * of each a lane, compilers for AMD's GPUs take 84 registers and keep three waves on a SIMD unit; twice as
 * many spill. */
#define LANES_HEADS  8u
#define SHARED_HEADS 4u

/* Lanes of a stream of cached_rows_shared.comp; with head sizes up to 128 a lane holds 8 outputs of a head at
 * most. */
static uint32_t shared_wide(const attention_shape *shape)
{
    return shape->head_dim > 64 ? 16 : 8;
}

/* Shared memory of cached_rows_shared.comp for so many lanes. */
static uint32_t shared_bytes(const attention_shape *shape, uint32_t heads, uint32_t lanes)
{
    uint32_t streams = lanes / shared_wide(shape);
    uint32_t stride = (uint32_t)size_round_up(shape->head_dim, 2 * shared_wide(shape));
    uint32_t parts = 16 * heads * lanes, outputs = 4 * streams * stride;
    return 4 * heads * stride + (parts > outputs ? parts : outputs) + (16 + 4 + 8) * heads * streams;
}

static uint32_t shared_lanes(const gpu_caps *caps, const attention_shape *shape, uint32_t heads)
{
    uint32_t lanes = SHARED_LANES, widest = u32_min(caps->max_invocations, caps->max_workgroup_size_x);
    while (lanes > shared_wide(shape) &&
           (lanes > widest || shared_bytes(shape, heads, lanes) > caps->max_shared_bytes))
        lanes /= 2;
    return lanes;
}

static bool lanes_usable(const gpu_caps *caps)
{
    return caps->type == GPU_TYPE_CPU && caps->texel_buffers && caps->subgroup_shuffle &&
           caps->subgroup_size >= 4 && caps->subgroup_size <= 64 &&
           (caps->min_subgroup_size == caps->max_subgroup_size || caps->subgroup_size_control);
}

/* The fewest blocks of equal numbers of heads that take no more than `most` heads each. */
static uint32_t even_heads(uint32_t share, uint32_t most)
{
    uint32_t blocks = (share + most - 1) / most;
    return (share + blocks - 1) / blocks;
}

/* Appends a kernel's variants: with as many heads as it takes, half of them, ... one. */
static uint32_t add_variants(const cached_rows_variant *widest, uint32_t share, cached_rows_variant *out)
{
    uint32_t n = 0;
    for (uint32_t heads = widest->heads;; heads = even_heads(share, heads / 2)) {
        assert(n < CACHED_ROWS_MAX_VARIANTS / 2);
        out[n] = *widest;
        out[n].heads = out[n].spec.value[2] = heads;
        n++;
        if (heads == 1)
            return n;
    }
}

uint32_t cached_rows_variants(const gpu_caps *caps, const attention_shape *shape, enum kv_type type,
                              cached_rows_variant out[CACHED_ROWS_MAX_VARIANTS])
{
    attention_variant tiles[ATTENTION_MAX_VARIANTS];
    if (attention_variants(caps, shape, tiles) == 0)
        return 0;
    uint32_t share = attention_share(shape), n = 0;
    bool half = type == KV_F16;
    if (lanes_usable(caps)) {
        cached_rows_variant lanes = {
            .kernel = half ? GPU_KERNEL_CACHED_ROWS_LANES_F16 : GPU_KERNEL_CACHED_ROWS_LANES_F32,
            .heads = even_heads(share, LANES_HEADS),
            .spec = {.value = {caps->subgroup_size, shape->head_dim},
                     .subgroup_size = caps->subgroup_size_control ? caps->subgroup_size : 0}};
        cached_attention_half_spec(caps, &lanes.spec);
        n += add_variants(&lanes, share, out + n);
    }
    cached_rows_variant shared = {
        .kernel = half ? GPU_KERNEL_CACHED_ROWS_SHARED_F16 : GPU_KERNEL_CACHED_ROWS_SHARED_F32,
        .heads = even_heads(share, SHARED_HEADS),
    };
    /* Fewer heads might have more lanes, but these decide the bits. */
    shared.spec = (gpu_spec){
        .value = {shared_lanes(caps, shape, shared.heads), shape->head_dim, 0, shared_wide(shape)}};
    cached_attention_half_spec(caps, &shared.spec);
    n += add_variants(&shared, share, out + n);
    return n;
}

const char *cached_rows_variant_name(const cached_rows_variant *variant)
{
    static const char *const lanes[LANES_HEADS] = {"lanes 1", "lanes 2", "lanes 3", "lanes 4",
                                                   "lanes 5", "lanes 6", "lanes 7", "lanes 8"};
    static const char *const shared[SHARED_HEADS] = {"shared 1", "shared 2", "shared 3", "shared 4"};
    bool in_lanes = variant->kernel == GPU_KERNEL_CACHED_ROWS_LANES_F16 ||
                    variant->kernel == GPU_KERNEL_CACHED_ROWS_LANES_F32;
    assert(variant->heads > 0 && variant->heads <= (in_lanes ? LANES_HEADS : SHARED_HEADS));
    return in_lanes ? lanes[variant->heads - 1] : shared[variant->heads - 1];
}
