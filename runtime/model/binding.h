/* Finding a model's tensors by name: tables of names, places and shapes. */
#ifndef MODEL_BINDING_H
#define MODEL_BINDING_H

#include <stddef.h>

#include "format/checkpoint.h"

#define BINDING_MAX_NAME 128

/* One tensor: its name behind the prefix, where its pointer goes in a struct, its shape. A dimension is an
 * index into the model's sizes; index 0 means that there is no such dimension. */
typedef struct binding {
    const char *name;
    size_t offset;
    uint32_t shape[2];
    bool optional; /* absent: the pointer stays NULL */
} binding;

/* BINDING(struct, field, "name", dim [, dim]) */
#define BINDING(type, field, name, ...)                   \
    {                                                     \
        name, offsetof(type, field), {__VA_ARGS__}, false \
    }

/* Takes every row of a table into the struct at `into`. Errors: MALFORMED, naming file, tensor, expected and
 * found. */
vkdlm_status binding_take(checkpoint *ck, const uint64_t *sizes, const binding *table, size_t n,
                          const char *prefix, void *into, vkdlm_error *err);

#endif
