/* Attention over cached keys and values: a causal language model whose tokens arrive in chunks, and single
 * queries beside it.
 *
 * Cache layout, per layer: keys, then values, each [n_kv_heads][n_slots / 4][head_dim][4], f32 or packed
 * halves; sequence s owns slots s * context .. (s + 1) * context - 1, a token's slot is s * context +
 * position. Slots that were never written are zero, so that they may be multiplied by zero. */
#ifndef OPS_CACHED_ATTENTION_H
#define OPS_CACHED_ATTENTION_H

#include "gpu/gpu.h"
#include "ops/attention.h"
#include "ops/rotary.h"

enum kv_type { KV_F32, KV_F16, KV_N_TYPES };

/* Of a number of a key or value. */
static inline uint64_t kv_element_bytes(enum kv_type type)
{
    return type == KV_F16 ? 2 : 4;
}

typedef struct kv_cache {
    gpu_device *device;
    attention_shape shape; /* causal */
    enum kv_type type;
    uint32_t n_layers, n_sequences;
    uint32_t context;   /* slots of a sequence, a multiple of ATTENTION_CAPACITY_STEP */
    gpu_buffer *layers; /* [n_layers] */
} kv_cache;

/* Device bytes of a cache, context rounded up; UINT64_MAX when that does not fit. */
uint64_t kv_cache_bytes(const attention_shape *shape, enum kv_type type, uint32_t n_layers,
                        uint32_t n_sequences, uint32_t context);
/* The most sequences of this context whose cache this device can take (a head's keys of all sequences are one
 * binding at least, a layer is one allocation); 0: not even one. */
uint32_t kv_cache_max_sequences(const gpu_caps *caps, const attention_shape *shape, enum kv_type type,
                                uint32_t context);
/* Creates a zeroed cache. *out is zeroed on failure. Errors: OUT_OF_*, UNSUPPORTED (does not fit the limits
 * of the device's bindings; says which). */
vkdlm_status kv_cache_create(gpu_device *device, const attention_shape *shape, enum kv_type type,
                             uint32_t n_layers, uint32_t n_sequences, uint32_t context, kv_cache *out,
                             vkdlm_error *err);
/* A zeroed cache is allowed. */
void kv_cache_destroy(kv_cache *cache);

/* One way to run the kernel for single queries (cached_rows.h). */
typedef struct cached_rows_variant {
    enum gpu_kernel kernel;
    uint32_t heads; /* query heads that one of its workgroups takes */
    gpu_spec spec;
} cached_rows_variant;

/* Pipelines for one shape, cache type and device; nothing to free. */
typedef struct cached_attention {
    gpu_device *device;
    attention_shape shape;
    enum kv_type type;
    attention_variant variant;        /* of the tiles */
    cached_rows_variant rows_variant; /* of single queries */
    const gpu_pipeline *write, *write_keys, *tiles, *rows;
} cached_attention;

/* Makes a variant of attention_variants into the one for the tiles of a cache. */
void cached_attention_adapt(const gpu_caps *caps, enum kv_type type, attention_variant *variant);

/* Appends what kernels that read halves ask: whether unpackHalf2x16 is exact, as it is on the CPU drivers. */
void cached_attention_half_spec(const gpu_caps *caps, gpu_spec *spec);

/* INVALID_ARGUMENT for a shape that attention_init refuses, and what gpu_pipeline_get reports. */
vkdlm_status cached_attention_init(cached_attention *op, gpu_device *device, const attention_shape *shape,
                                   enum kv_type type, vkdlm_error *err);

/* ---- chunks: new tokens of sequences ----------------------------------------------------------- */

/* The plan of one evaluation (attention_plan.h), whose query slots lie in groups aligned with the cache's:
 * a chunk that begins at position p leaves p % ATTENTION_GROUP slots empty in front. begin: index is memory
 * for attention_index_bytes(reserved). add: tokens at positions first .. first + length - 1 of cache
 * sequence `sequence` are activation rows row_start ..; a token attends to positions 0 .. its own. A
 * sequence appears in one chunk of a plan at most. */
void cached_attention_begin_plan(const cached_attention *op, const kv_cache *cache, attention_plan *plan,
                                 uint32_t *index, uint32_t reserved);
void cached_attention_add(const kv_cache *cache, attention_plan *plan, uint32_t sequence, uint32_t first,
                          uint32_t row_start, uint32_t length);
/* Slots that n_chunks chunks of n_rows tokens in all need at most; 0: more than a plan can hold. */
uint32_t cached_attention_capacity(uint64_t n_rows, uint64_t n_chunks);
/* The most slots whose queries this operation can take on its device. */
uint32_t cached_attention_max_capacity(const cached_attention *op);
/* Bytes of the rotated queries of so many slots (offset a multiple of 256). */
uint64_t cached_attention_workspace_bytes(const attention_shape *shape, uint32_t capacity);

/* Where the projection's output has queries, keys and values: first columns, each head-major. */
typedef struct qkv_columns {
    uint32_t q, k, v;
} qkv_columns;

/* Records the rotation of queries and keys and the write: keys and values into the cache's layer (halves are
 * rounded to nearest even and stay finite), queries into the workspace. A workspace without a buffer: keys
 * and values alone, where cached_attention_tiles does not follow. qkv: f32, rows of ld floats. */
void cached_attention_write(gpu_commands *commands, const cached_attention *op, const rotary_table *table,
                            const kv_cache *cache, uint32_t layer, const attention_plan *plan, gpu_view qkv,
                            uint32_t ld, qkv_columns columns, gpu_view index, gpu_view workspace);
/* Records attention of the plan's tokens, after the write: output rows of ld floats, head-major, pad zero.
 * A row's bits depend on its own sequence alone: not on how its tokens were cut into chunks, nor on the
 * batch. */
void cached_attention_tiles(gpu_commands *commands, const cached_attention *op, const kv_cache *cache,
                            uint32_t layer, const attention_plan *plan, gpu_view index, gpu_view workspace,
                            gpu_view output, uint32_t ld);

/* ---- rows: single queries ---------------------------------------------------------------------- */

/* One query per row: rows[r] = (sequence, position), u32 pairs; it is rotated to `position` here and attends
 * to positions 0 .. position of its sequence. q: f32, rows of ldq floats, queries from column q_column on,
 * head-major; output: f32, rows of ld floats, pad zero. Any number of rows may share a sequence. The bits of
 * a row depend on its query and its sequence alone. */
void cached_attention_rows(gpu_commands *commands, const cached_attention *op, const rotary_table *table,
                           const kv_cache *cache, uint32_t layer, gpu_view q, uint32_t ldq, uint32_t q_column,
                           gpu_view rows, uint32_t n_rows, gpu_view output, uint32_t ld);

#endif
