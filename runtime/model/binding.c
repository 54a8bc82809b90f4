#include "model/binding.h"

#include <stdio.h>

vkdlm_status binding_take(checkpoint *ck, const uint64_t *sizes, const binding *table, size_t n,
                          const char *prefix, void *into, vkdlm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        char name[BINDING_MAX_NAME];
        snprintf(name, sizeof name, "%s%s", prefix, table[i].name);
        if (table[i].optional && !checkpoint_has(ck, name))
            continue;
        uint32_t n_dims = table[i].shape[1] ? 2 : 1;
        uint64_t shape[2] = {sizes[table[i].shape[0]], sizes[table[i].shape[1]]};
        const vkdlm_tensor **slot = (const vkdlm_tensor **)(void *)((char *)into + table[i].offset);
        vkdlm_status status = checkpoint_take(ck, name, n_dims, shape, slot, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}
