#include "model/llm_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/llm_dims.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

void llm_list_sizes(const llm_config *base, const l2d_config *path, uint64_t sizes[N_DIMS])
{
    const l2d_config none = {0};
    if (!path)
        path = &none;
    const uint64_t table[N_DIMS] = {
        [DIM_V] = base->vocab_size,
        [DIM_D] = base->hidden_dim,
        [DIM_F] = base->mlp_dim,
        [DIM_Q] = llm_q_dim(base),
        [DIM_KV] = llm_kv_dim(base),
        [DIM_PAIRS] = base->head_dim / 2,
        [DIM_6D] = 6 * (uint64_t)base->hidden_dim,
        [DIM_FLOW] = path->flow_dim,
        [DIM_ENCODER] = path->encoder_dim,
        [DIM_COND] = path->cond_dim,
        [DIM_FEATURES] = path->features,
        [DIM_RANK] = path->lora_rank,
        [DIM_LABELS] = path->n_classes + 1,
    };
    memcpy(sizes, table, sizeof table);
}

#define TENSOR(field, name, ...) BINDING(llm_tensors, field, name, __VA_ARGS__)
#define BLOCK(field, name, ...)  BINDING(llm_block_tensors, field, name, __VA_ARGS__)

static const binding base_table[] = {
    TENSOR(embedding, "model.embed_tokens.weight", DIM_V, DIM_D),
    TENSOR(norm, "model.norm.weight", DIM_D),
};
static const binding head_table[] = {
    TENSOR(head, "lm_head.weight", DIM_V, DIM_D),
};
static const binding block_table[] = {
    BLOCK(attn_norm, "input_layernorm.weight", DIM_D),
    BLOCK(q, "self_attn.q_proj.weight", DIM_Q, DIM_D),
    BLOCK(k, "self_attn.k_proj.weight", DIM_KV, DIM_D),
    BLOCK(v, "self_attn.v_proj.weight", DIM_KV, DIM_D),
    BLOCK(o, "self_attn.o_proj.weight", DIM_D, DIM_Q),
    BLOCK(mlp_norm, "post_attention_layernorm.weight", DIM_D),
    BLOCK(gate, "mlp.gate_proj.weight", DIM_F, DIM_D),
    BLOCK(up, "mlp.up_proj.weight", DIM_F, DIM_D),
    BLOCK(down, "mlp.down_proj.weight", DIM_D, DIM_F),
};
static const binding bias_table[] = {
    BLOCK(q_bias, "self_attn.q_proj.bias", DIM_Q),
    BLOCK(k_bias, "self_attn.k_proj.bias", DIM_KV),
    BLOCK(v_bias, "self_attn.v_proj.bias", DIM_KV),
};
/* Recomputed from the configuration; allowed in the file and not read. */
static const char *const ignored_of_block[] = {"self_attn.rotary_emb.inv_freq"};

/* The same in a GGUF file. */
static const binding gguf_base_table[] = {
    TENSOR(embedding, "token_embd.weight", DIM_V, DIM_D),
    TENSOR(norm, "output_norm.weight", DIM_D),
    {"rope_freqs.weight", offsetof(llm_tensors, divisors), {DIM_PAIRS}, true},
};
static const binding gguf_head_table[] = {
    TENSOR(head, "output.weight", DIM_V, DIM_D),
};
static const binding gguf_block_table[] = {
    BLOCK(attn_norm, "attn_norm.weight", DIM_D),  BLOCK(q, "attn_q.weight", DIM_Q, DIM_D),
    BLOCK(k, "attn_k.weight", DIM_KV, DIM_D),     BLOCK(v, "attn_v.weight", DIM_KV, DIM_D),
    BLOCK(o, "attn_output.weight", DIM_D, DIM_Q), BLOCK(mlp_norm, "ffn_norm.weight", DIM_D),
    BLOCK(gate, "ffn_gate.weight", DIM_F, DIM_D), BLOCK(up, "ffn_up.weight", DIM_F, DIM_D),
    BLOCK(down, "ffn_down.weight", DIM_D, DIM_F),
};
static const binding gguf_bias_table[] = {
    BLOCK(q_bias, "attn_q.bias", DIM_Q),
    BLOCK(k_bias, "attn_k.bias", DIM_KV),
    BLOCK(v_bias, "attn_v.bias", DIM_KV),
};

/* How a kind of file names the tensors. */
typedef struct naming {
    const binding *base, *head, *block, *bias;
    size_t n_base, n_head, n_block, n_bias;
    const char *blocks; /* begins the prefix of a block, before its number */
} naming;

#define TABLE(field, table) .field = table, .n_##field = COUNT(table)

static const naming hub_naming = {TABLE(base, base_table), TABLE(head, head_table), TABLE(block, block_table),
                                  TABLE(bias, bias_table), .blocks = "model.layers."};
static const naming gguf_naming = {TABLE(base, gguf_base_table), TABLE(head, gguf_head_table),
                                   TABLE(block, gguf_block_table), TABLE(bias, gguf_bias_table),
                                   .blocks = "blk."};

vkdlm_status llm_tensors_bind(checkpoint *ck, const llm_config *config, llm_tensors *out, vkdlm_error *err)
{
    uint64_t sizes[N_DIMS];
    llm_list_sizes(config, NULL, sizes);
    const naming *names = ck->metadata ? &gguf_naming : &hub_naming;
    *out = (llm_tensors){.blocks = calloc(config->n_blocks, sizeof *out->blocks)};
    if (!out->blocks)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", config->n_blocks);
    vkdlm_status status = binding_take(ck, sizes, names->base, names->n_base, "", out, err);
    if (!status && !config->tied)
        status = binding_take(ck, sizes, names->head, names->n_head, "", out, err);
    if (config->tied) {
        out->head = out->embedding;
        checkpoint_ignore(ck, names->head[0].name); /* a copy of the embedding, where it is */
    }
    for (uint32_t i = 0; i < config->n_blocks && !status; i++) {
        char prefix[BINDING_MAX_NAME / 2], name[BINDING_MAX_NAME];
        snprintf(prefix, sizeof prefix, "%s%u.", names->blocks, i);
        status = binding_take(ck, sizes, names->block, names->n_block, prefix, &out->blocks[i], err);
        if (!status && config->qkv_bias)
            status = binding_take(ck, sizes, names->bias, names->n_bias, prefix, &out->blocks[i], err);
        for (size_t j = 0; j < COUNT(ignored_of_block); j++) {
            snprintf(name, sizeof name, "%s%s", prefix, ignored_of_block[j]);
            checkpoint_ignore(ck, name);
        }
    }
    if (!status)
        status = checkpoint_refuse_unexpected(ck, err);
    if (status)
        llm_tensors_deinit(out);
    return status;
}

void llm_tensors_deinit(llm_tensors *tensors)
{
    free(tensors->blocks);
    *tensors = (llm_tensors){0};
}
