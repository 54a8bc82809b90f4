/* The variants of the kernel for single queries over a cache (cached_attention_rows), and which one a device
 * takes. */
#ifndef OPS_CACHED_ROWS_H
#define OPS_CACHED_ROWS_H

#include "ops/cached_attention.h"
#include "ops/tune.h"

#define CACHED_ROWS_MAX_VARIANTS 8u

/* Lists the variants that a device can run for a valid shape, the one expected to be fastest first, and
 * returns how many there are. They differ in the kernel, and in how many of the query heads that share keys
 * and values a workgroup takes: many read them once, few make more workgroups. Of one kernel all have the
 * same bits. 0 for a shape that attention_variants refuses. */
uint32_t cached_rows_variants(const gpu_caps *caps, const attention_shape *shape, enum kv_type type,
                              cached_rows_variant out[CACHED_ROWS_MAX_VARIANTS]);

/* Static text, different for every variant of a list. */
const char *cached_rows_variant_name(const cached_rows_variant *variant);

/* The class of a valid shape: head size, heads that share, type of the cache. */
tune_key cached_rows_key(const attention_shape *shape, enum kv_type type);

/* The variant of a valid shape. UNSUPPORTED when every one is wrong. */
vkdlm_status cached_rows_choose(gpu_device *device, const attention_shape *shape, enum kv_type type,
                                cached_rows_variant *out, vkdlm_error *err);

#endif
