/* Which variant attention takes: chosen by tune.h for a head size and where keys and values are. */
#ifndef OPS_ATTENTION_SELECT_H
#define OPS_ATTENTION_SELECT_H

#include "ops/cached_attention.h"
#include "ops/tune.h"

tune_key attention_key(const attention_shape *shape);
tune_key cached_attention_key(const attention_shape *shape, enum kv_type type);

/* The variant of a key of a valid shape. UNSUPPORTED when every one is wrong. */
vkdlm_status attention_choose(gpu_device *device, tune_key key, attention_variant *out, vkdlm_error *err);

#endif
