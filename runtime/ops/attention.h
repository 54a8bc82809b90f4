/* Attention over a ragged batch, bidirectional or causal, with fewer key/value heads than query heads if need
 * be.
 *
 * One layer: rotary_record (ops/rotary.h) writes queries, keys and values from the projection's output into a
 * workspace, attention_record reads it and writes o [rows, ld]: o = softmax(q k^T / sqrt(head_dim)) v per
 * head, f32, columns h * head_dim .. of head h; the columns from n_heads * head_dim to ld become 0, rows of
 * no sequence are left alone. A row's bits depend on its own sequence, the device and the variant only: not
 * on the batch, as long as values are finite. Scores must stay below 1e30 in magnitude. */
#ifndef OPS_ATTENTION_H
#define OPS_ATTENTION_H

#include "gpu/gpu.h"
#include "ops/attention_plan.h"

#define ATTENTION_MAX_HEAD_DIM 128u
#define ROTARY_INVOCATIONS     64u /* of a workgroup of rotary.comp */

typedef struct attention_shape {
    uint32_t n_heads;    /* query heads, at most 65535 */
    uint32_t n_kv_heads; /* divides n_heads */
    uint32_t head_dim;   /* even, 2 .. ATTENTION_MAX_HEAD_DIM */
    bool causal;
} attention_shape;

/* Query heads of a key/value head. */
static inline uint32_t attention_share(const attention_shape *shape)
{
    return shape->n_heads / shape->n_kv_heads;
}

/* One way to run the kernel on a device. */
typedef struct attention_variant {
    enum gpu_kernel kernel;
    gpu_spec spec;
    uint32_t tile_slots; /* of attention_plan_begin */
    bool mix;            /* of attention_plan_begin */
} attention_variant;

#define ATTENTION_MAX_VARIANTS 8u

/* Lists the variants that a device can run for a shape, the one expected to be fastest first, and returns how
 * many there are (0 for an invalid shape). The order is a guess from the device's properties, the numbers
 * behind it are in the shaders' headers; the tuner (tune.h) times them. Every device can run ATTENTION_PLAIN.
 */
uint32_t attention_variants(const gpu_caps *caps, const attention_shape *shape,
                            attention_variant out[ATTENTION_MAX_VARIANTS]);

/* Static text, different for every variant of a list. */
const char *attention_variant_name(const attention_variant *variant);

/* The most slots whose queries can be bound, at least those of one key/value head at once: at most
 * ATTENTION_MAX_CAPACITY. */
uint32_t attention_bindable_capacity(const gpu_caps *caps, const attention_shape *shape);

/* What attention_init reports for a shape that attention_variants knows nothing for. */
vkdlm_status attention_shape_error(const attention_shape *shape, vkdlm_error *err);

/* Pipelines for one shape on one device; nothing to free, they belong to the device. */
typedef struct attention {
    gpu_device *device;
    attention_shape shape;
    attention_variant variant;
    const gpu_pipeline *rotate, *attend;
} attention;

/* variant NULL: what attention_choose says (attention_select.h). INVALID_ARGUMENT for a shape outside the
 * limits above, and what gpu_pipeline_get reports. */
vkdlm_status attention_init(attention *op, gpu_device *device, const attention_shape *shape,
                            const attention_variant *variant, vkdlm_error *err);

/* The largest plan capacity this operation can take on its device. */
uint32_t attention_max_capacity(const attention *op);

/* Bytes of queries, keys and values for so many slots. The workspace's offset is a multiple of 256 bytes; it
 * may be larger than one binding. */
uint64_t attention_workspace_bytes(const attention_shape *shape, uint32_t capacity);

/* Starts the plan of a batch for this operation (ops/attention_plan.h). */
void attention_begin_plan(const attention *op, attention_plan *plan, uint32_t *index, uint32_t reserved);

/* Records the kernel for a plan. index holds what the plan wrote. */
void attention_record(gpu_commands *commands, const attention *op, const attention_plan *plan, gpu_view index,
                      gpu_view workspace, gpu_view output, uint32_t ld);

/* For ops/rotary.c: the part of the workspace that one dispatch binds, key/value heads first .. first + count
 * - 1 with their query heads. */
typedef struct attention_slice {
    uint32_t first_kv_head, n_kv_heads;
    gpu_view queries, keys, values;
} attention_slice;

/* Fills *slice with the slice that begins at first_kv_head, as large as one binding allows; false past the
 * end. */
bool attention_slice_at(const attention *op, const attention_plan *plan, gpu_view workspace,
                        uint32_t first_kv_head, attention_slice *slice);

/* The slots and the tiles of the index. */
gpu_view attention_slots_view(const attention_plan *plan, gpu_view index);
gpu_view attention_tiles_view(const attention_plan *plan, gpu_view index);

#endif
