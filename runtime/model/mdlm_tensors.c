#include "model/mdlm_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/binding.h"

/* A dimension as the configuration gives it. */
enum dim { DIM_NONE, DIM_V, DIM_D, DIM_2D, DIM_3D, DIM_4D, DIM_6D, DIM_C, DIM_FEATURES, N_DIMS };

static void list_sizes(const mdlm_config *config, uint64_t sizes[N_DIMS])
{
    uint64_t d = config->hidden_dim;
    const uint64_t table[N_DIMS] = {
        [DIM_V] = config->vocab_size,
        [DIM_D] = d,
        [DIM_2D] = 2 * d,
        [DIM_3D] = 3 * d,
        [DIM_4D] = 4 * d,
        [DIM_6D] = 6 * d,
        [DIM_C] = config->cond_dim,
        [DIM_FEATURES] = MDLM_TIMESTEP_FEATURES,
    };
    memcpy(sizes, table, sizeof table);
}

#define TENSOR(field, name, ...) BINDING(mdlm_tensors, field, name, __VA_ARGS__)
#define BLOCK(field, name, ...)  BINDING(mdlm_block_tensors, field, name, __VA_ARGS__)

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

/* The same in a GGUF file. */
static const binding gguf_tensor_table[] = {
    TENSOR(embedding, "token_embd.weight", DIM_V, DIM_D),
    TENSOR(time_in, "time_in.weight", DIM_C, DIM_FEATURES),
    TENSOR(time_in_bias, "time_in.bias", DIM_C),
    TENSOR(time_out, "time_out.weight", DIM_C, DIM_C),
    TENSOR(time_out_bias, "time_out.bias", DIM_C),
    TENSOR(final_norm, "output_norm.weight", DIM_D),
    TENSOR(final_modulation, "output_mod.weight", DIM_2D, DIM_C),
    TENSOR(final_modulation_bias, "output_mod.bias", DIM_2D),
    TENSOR(head, "output.weight", DIM_V, DIM_D),
    TENSOR(head_bias, "output.bias", DIM_V),
};

static const binding gguf_block_table[] = {
    BLOCK(norm1, "attn_norm.weight", DIM_D),
    BLOCK(attn_qkv, "attn_qkv.weight", DIM_3D, DIM_D),
    BLOCK(attn_out, "attn_output.weight", DIM_D, DIM_D),
    BLOCK(norm2, "ffn_norm.weight", DIM_D),
    BLOCK(mlp_up, "ffn_up.weight", DIM_4D, DIM_D),
    BLOCK(mlp_up_bias, "ffn_up.bias", DIM_4D),
    BLOCK(mlp_down, "ffn_down.weight", DIM_D, DIM_4D),
    BLOCK(mlp_down_bias, "ffn_down.bias", DIM_D),
    BLOCK(modulation, "mod.weight", DIM_6D, DIM_C),
    BLOCK(modulation_bias, "mod.bias", DIM_6D),
};

/* Recomputed from the configuration; allowed in the file and not read. */
static const char *const ignored_table[] = {"backbone.rotary_emb.inv_freq"};

#define COUNT(table) (sizeof(table) / sizeof *(table))

vkdlm_status mdlm_tensors_bind(checkpoint *ck, const mdlm_config *config, mdlm_tensors *out, vkdlm_error *err)
{
    *out = (mdlm_tensors){0};
    out->blocks = calloc(config->n_blocks, sizeof *out->blocks);
    if (!out->blocks)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", config->n_blocks);
    uint64_t sizes[N_DIMS];
    list_sizes(config, sizes);
    bool named_by_gguf = ck->metadata != NULL;
    vkdlm_status status =
        named_by_gguf ? binding_take(ck, sizes, gguf_tensor_table, COUNT(gguf_tensor_table), "", out, err)
                      : binding_take(ck, sizes, tensor_table, COUNT(tensor_table), "backbone.", out, err);
    for (uint32_t i = 0; i < config->n_blocks && !status; i++) {
        char prefix[BINDING_MAX_NAME / 2];
        snprintf(prefix, sizeof prefix, "%s%u.", named_by_gguf ? "blk." : "backbone.blocks.", i);
        status = binding_take(ck, sizes, named_by_gguf ? gguf_block_table : block_table, COUNT(block_table),
                              prefix, &out->blocks[i], err);
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
