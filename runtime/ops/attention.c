#include "ops/attention.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "ops/attention_select.h"
#include "shaders/params.h"

/* ---- variants ----------------------------------------------------------------------------------- */

/* Constants of attention_shared.comp. */
#define SHARED_BYTES (32u << 10) /* never more, so that two workgroups fit on most multiprocessors */

#define PLAIN_LANES \
    16u /* a tile of 64 slots; more gains nothing on SwiftShader and wastes on short sequences */

#define MIN_SHUFFLE_SIZE 8u /* on the CPU driver with subgroups of 4, shuffles are slower than loads */

static bool subgroups_usable(const gpu_caps *caps)
{
    return caps->subgroup_basic && caps->subgroup_shuffle && caps->subgroup_size >= 4 &&
           caps->subgroup_size <= 64 && caps->subgroup_size <= caps->max_invocations &&
           (caps->min_subgroup_size == caps->max_subgroup_size || caps->subgroup_size_control);
}

static attention_variant lanes_variant(enum gpu_kernel kernel, const attention_shape *shape, uint32_t lanes)
{
    return (attention_variant){
        .kernel = kernel,
        .spec = {.n = 2, .value = {lanes, shape->head_dim}},
        .tile_slots = lanes * ATTENTION_GROUP,
        .mix = true,
    };
}

/* Invocations of attention_shared.comp that share four queries: twice as many for large heads, whose outputs
 * would fill the registers (docs/gpu_kernels.md). */
static uint32_t shared_wide(uint32_t head_dim)
{
    return head_dim > 64 ? 16 : 8;
}

/* Shared memory of attention_shared.comp. */
static uint32_t shared_bytes(uint32_t head_dim, uint32_t rows, uint32_t slice)
{
    uint32_t wide = shared_wide(head_dim);
    uint32_t keys = wide * (slice + 1), weights = 4 * wide * (rows + 1);
    return 16 * (head_dim * rows + (keys > weights ? keys : weights) + wide * rows);
}

/* The largest tile of queries that fits, and of the key slices that go with it the widest. */
static bool shared_variant(const gpu_caps *caps, const attention_shape *shape, attention_variant *out)
{
    static const struct {
        uint32_t rows, slice;
    } tiles[] = {{16, 64}, {16, 32}, {8, 64}, {8, 32}, {4, 64}, {4, 32}, {2, 32}};
    uint32_t limit = u32_min(caps->max_shared_bytes, SHARED_BYTES);
    uint32_t widest = u32_min(caps->max_invocations, caps->max_workgroup_size_x);
    for (uint32_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        uint32_t wide = shared_wide(shape->head_dim), lanes = wide * tiles[i].rows;
        if (lanes > widest || shared_bytes(shape->head_dim, tiles[i].rows, tiles[i].slice) > limit)
            continue;
        *out = (attention_variant){
            .kernel = GPU_KERNEL_ATTENTION_SHARED,
            .spec = {.n = 4, .value = {lanes, shape->head_dim, tiles[i].slice, wide}},
            .tile_slots = tiles[i].rows * ATTENTION_GROUP,
        };
        return true;
    }
    return false;
}

static bool shape_valid(const attention_shape *shape)
{
    return shape->head_dim >= 2 && shape->head_dim <= ATTENTION_MAX_HEAD_DIM && shape->head_dim % 2 == 0 &&
           shape->n_heads > 0 && shape->n_heads <= 65535 && shape->n_kv_heads > 0 &&
           shape->n_heads % shape->n_kv_heads == 0;
}

uint32_t attention_variants(const gpu_caps *caps, const attention_shape *shape,
                            attention_variant out[ATTENTION_MAX_VARIANTS])
{
    if (!shape_valid(shape))
        return 0;
    attention_variant texels = lanes_variant(GPU_KERNEL_ATTENTION_TEXELS, shape, caps->subgroup_size);
    texels.spec.subgroup_size = caps->subgroup_size_control ? caps->subgroup_size : 0;
    attention_variant plain = lanes_variant(GPU_KERNEL_ATTENTION_PLAIN, shape, PLAIN_LANES);
    attention_variant subgroup = lanes_variant(GPU_KERNEL_ATTENTION_SUBGROUP, shape, caps->subgroup_size);
    subgroup.spec.subgroup_size = caps->subgroup_size_control ? caps->subgroup_size : 0;
    attention_variant shared;

    bool cpu = caps->type == GPU_TYPE_CPU;
    bool has_subgroup = subgroups_usable(caps), has_shared = shared_variant(caps, shape, &shared);
    bool shuffle_first = has_subgroup && caps->subgroup_size >= MIN_SHUFFLE_SIZE;
    uint32_t n = 0;
    if (has_shared && !cpu)
        out[n++] = shared;
    bool has_texels = has_subgroup && caps->texel_buffers && cpu;
    if (shuffle_first && has_texels)
        out[n++] = texels;
    if (shuffle_first)
        out[n++] = subgroup;
    out[n++] = plain;
    if (has_texels && !shuffle_first)
        out[n++] = texels;
    if (has_subgroup && !shuffle_first)
        out[n++] = subgroup;
    if (has_shared && cpu)
        out[n++] = shared;
    return n;
}

const char *attention_variant_name(const attention_variant *variant)
{
    static const char *const names[][2] = {
        {"SHARED", "shared"}, {"SUBGROUP", "subgroup"}, {"TEXELS", "texels"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(gpu_kernel_name(variant->kernel), names[i][0]))
            return names[i][1];
    return "plain";
}

/* ---- the operation ------------------------------------------------------------------------------ */

vkdlm_status attention_shape_error(const attention_shape *shape, vkdlm_error *err)
{
    return error_set(
        err, VKDLM_INVALID_ARGUMENT,
        "attention needs an even head size of 2 to %u and a number of query heads (1 to 65535) that "
        "is a multiple of the key heads, not %u heads of %u for %u",
        ATTENTION_MAX_HEAD_DIM, shape->n_heads, shape->head_dim, shape->n_kv_heads);
}

vkdlm_status attention_init(attention *op, gpu_device *device, const attention_shape *shape,
                            const attention_variant *variant, vkdlm_error *err)
{
    attention_variant allowed[ATTENTION_MAX_VARIANTS];
    if (attention_variants(gpu_device_caps(device), shape, allowed) == 0)
        return attention_shape_error(shape, err);
    *op = (attention){.device = device, .shape = *shape};
    vkdlm_status status = VKDLM_OK;
    if (variant)
        op->variant = *variant;
    else
        status = attention_choose(device, attention_key(shape), &op->variant, err);
    if (status != VKDLM_OK)
        return status;
    gpu_spec rotary = {.n = 2, .value = {ROTARY_INVOCATIONS, shape->head_dim}};
    status = gpu_pipeline_get(device, GPU_KERNEL_ROTARY, &rotary, &op->rotate, err);
    if (status != VKDLM_OK)
        return status;
    return gpu_pipeline_get(device, op->variant.kernel, &op->variant.spec, &op->attend, err);
}

/* Bytes of one head's slots. */
static uint64_t head_bytes(const attention_shape *shape, uint32_t capacity)
{
    return (uint64_t)capacity * shape->head_dim * sizeof(float);
}

uint32_t attention_bindable_capacity(const gpu_caps *caps, const attention_shape *shape)
{
    uint64_t slots = caps->max_storage_range_bytes / (head_bytes(shape, 1) * attention_share(shape));
    return (uint32_t)(u64_min(slots, ATTENTION_MAX_CAPACITY) / ATTENTION_CAPACITY_STEP *
                      ATTENTION_CAPACITY_STEP);
}

uint32_t attention_max_capacity(const attention *op)
{
    return attention_bindable_capacity(gpu_device_caps(op->device), &op->shape);
}

uint64_t attention_workspace_bytes(const attention_shape *shape, uint32_t capacity)
{
    return (shape->n_heads + 2 * (uint64_t)shape->n_kv_heads) * head_bytes(shape, capacity);
}

void attention_begin_plan(const attention *op, attention_plan *plan, uint32_t *index, uint32_t reserved)
{
    attention_plan_begin(plan, index, reserved, op->variant.tile_slots, op->variant.mix, op->shape.causal);
}

/* ---- recording ---------------------------------------------------------------------------------- */

gpu_view attention_slots_view(const attention_plan *plan, gpu_view index)
{
    return (gpu_view){index.buffer, index.offset_bytes, (uint64_t)plan->n_slots * 16};
}

gpu_view attention_tiles_view(const attention_plan *plan, gpu_view index)
{
    return (gpu_view){index.buffer, index.offset_bytes + attention_tiles_offset(plan),
                      (uint64_t)plan->n_tiles * 16};
}

bool attention_slice_at(const attention *op, const attention_plan *plan, gpu_view workspace,
                        uint32_t first_kv_head, attention_slice *slice)
{
    const attention_shape *shape = &op->shape;
    if (first_kv_head >= shape->n_kv_heads || plan->n_slots == 0)
        return false;
    assert(plan->capacity <= attention_max_capacity(op));
    assert(workspace.bytes >= attention_workspace_bytes(shape, plan->capacity));

    uint32_t share = attention_share(shape);
    uint64_t head = head_bytes(shape, plan->capacity);
    uint64_t fit = gpu_device_caps(op->device)->max_storage_range_bytes / (head * share);
    uint32_t n = (uint32_t)u64_min(fit, shape->n_kv_heads - first_kv_head);
    uint64_t queries = workspace.offset_bytes, keys = queries + shape->n_heads * head;
    uint64_t values = keys + shape->n_kv_heads * head;
    *slice = (attention_slice){
        .first_kv_head = first_kv_head,
        .n_kv_heads = n,
        .queries = {workspace.buffer, queries + first_kv_head * share * head, n * share * head},
        .keys = {workspace.buffer, keys + first_kv_head * head, n * head},
        .values = {workspace.buffer, values + first_kv_head * head, n * head},
    };
    return true;
}

void attention_record(gpu_commands *commands, const attention *op, const attention_plan *plan, gpu_view index,
                      gpu_view workspace, gpu_view output, uint32_t ld)
{
    uint32_t share = attention_share(&op->shape);
    attention_slice slice;
    for (uint32_t head = 0; attention_slice_at(op, plan, workspace, head, &slice); head += slice.n_kv_heads) {
        struct attention_params push = {
            .ld = ld,
            .capacity = plan->capacity,
            .key_capacity = plan->capacity,
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
        gpu_dispatch(commands, op->attend, views, 6, &push, sizeof push, plan->n_tiles,
                     slice.n_kv_heads * share, 1);
    }
}
