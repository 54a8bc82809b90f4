#include "model/mdlm_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MAX_NAME 128

/* A dimension as the configuration gives it. */
enum dim { DIM_NONE, DIM_V, DIM_D, DIM_2D, DIM_3D, DIM_4D, DIM_6D, DIM_C, DIM_FEATURES };

static uint64_t dim_size(enum dim dim, const mdlm_config *config)
{
    uint64_t d = config->hidden_dim;
    const uint64_t sizes[] = {
        [DIM_NONE] = 0,
        [DIM_V] = config->vocab_size,
        [DIM_D] = d,
        [DIM_2D] = 2 * d,
        [DIM_3D] = 3 * d,
        [DIM_4D] = 4 * d,
        [DIM_6D] = 6 * d,
        [DIM_C] = config->cond_dim,
        [DIM_FEATURES] = MDLM_TIMESTEP_FEATURES,
    };
    return sizes[dim];
}

/* One tensor: its name behind the prefix, where its pointer goes, its shape. */
typedef struct binding {
    const char *name;
    size_t offset;
    enum dim shape[2];
} binding;

#define TENSOR(field, name, ...)             \
    {                                        \
        name, offsetof(mdlm_tensors, field), \
        {                                    \
            __VA_ARGS__                      \
        }                                    \
    }
#define BLOCK(field, name, ...)                    \
    {                                              \
        name, offsetof(mdlm_block_tensors, field), \
        {                                          \
            __VA_ARGS__                            \
        }                                          \
    }

static const binding tensor_table[] = {
    TENSOR(embedding, "vocab_embed.embedding", DIM_V, DIM_D),
    TENSOR(time_in, "sigma_map.mlp.0.weight", DIM_C, DIM_FEATURES),
    TENSOR(time_in_bias, "sigma_map.mlp.0.bias", DIM_C),
    TENSOR(time_out, "sigma_map.mlp.2.weight", DIM_C, DIM_C),
    TENSOR(time_out_bias, "sigma_map.mlp.2.bias", DIM_C),
    TENSOR(final_norm, "output_layer.norm_final.weight", DIM_D),
    TENSOR(final_modulation, "output_layer.adaLN_modulation.weight", DIM_2D, DIM_C),
    TENSOR(final_modulation_bias, "output_layer.adaLN_modulation.bias", DIM_2D),
    TENSOR(head, "output_layer.linear.weight", DIM_V, DIM_D),
    TENSOR(head_bias, "output_layer.linear.bias", DIM_V),
};

static const binding block_table[] = {
    BLOCK(norm1, "norm1.weight", DIM_D),
    BLOCK(attn_qkv, "attn_qkv.weight", DIM_3D, DIM_D),
    BLOCK(attn_out, "attn_out.weight", DIM_D, DIM_D),
    BLOCK(norm2, "norm2.weight", DIM_D),
    BLOCK(mlp_up, "mlp.0.weight", DIM_4D, DIM_D),
    BLOCK(mlp_up_bias, "mlp.0.bias", DIM_4D),
    BLOCK(mlp_down, "mlp.2.weight", DIM_D, DIM_4D),
    BLOCK(mlp_down_bias, "mlp.2.bias", DIM_D),
    BLOCK(modulation, "adaLN_modulation.weight", DIM_6D, DIM_C),
    BLOCK(modulation_bias, "adaLN_modulation.bias", DIM_6D),
};

/* Recomputed from the configuration; allowed in the file and not read. */
static const char *const ignored_table[] = {"backbone.rotary_emb.inv_freq"};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Binds every row of a table into the struct at `into`; names of blocks begin with prefix. */
static vkdlm_status bind_table(checkpoint *ck, const mdlm_config *config, const binding *table, size_t n,
                               const char *prefix, void *into, vkdlm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        char name[MAX_NAME];
        snprintf(name, sizeof name, "%s%s", prefix, table[i].name);
        uint32_t n_dims = table[i].shape[1] == DIM_NONE ? 1 : 2;
        uint64_t shape[2] = {dim_size(table[i].shape[0], config), dim_size(table[i].shape[1], config)};
        const vkdlm_tensor **slot = (const vkdlm_tensor **)(void *)((char *)into + table[i].offset);
        vkdlm_status status = checkpoint_take(ck, name, n_dims, shape, slot, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

vkdlm_status mdlm_tensors_bind(checkpoint *ck, const mdlm_config *config, mdlm_tensors *out, vkdlm_error *err)
{
    *out = (mdlm_tensors){0};
    out->blocks = calloc(config->n_blocks, sizeof *out->blocks);
    if (!out->blocks)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", config->n_blocks);
    vkdlm_status status = bind_table(ck, config, tensor_table, COUNT(tensor_table), "backbone.", out, err);
    for (uint32_t i = 0; i < config->n_blocks && !status; i++) {
        char prefix[MAX_NAME / 2];
        snprintf(prefix, sizeof prefix, "backbone.blocks.%u.", i);
        status = bind_table(ck, config, block_table, COUNT(block_table), prefix, &out->blocks[i], err);
    }
    for (size_t i = 0; i < COUNT(ignored_table); i++)
        checkpoint_ignore(ck, ignored_table[i]);
    if (!status)
        status = checkpoint_refuse_unexpected(ck, err);
    if (status)
        mdlm_tensors_deinit(out);
    return status;
}

void mdlm_tensors_deinit(mdlm_tensors *tensors)
{
    free(tensors->blocks);
    *tensors = (mdlm_tensors){0};
}
