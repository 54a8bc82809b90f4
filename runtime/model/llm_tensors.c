#include "model/llm_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/binding.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* A dimension as the configurations give it. */
enum dim {
    DIM_NONE,
    DIM_V,
    DIM_D,
    DIM_F,
    DIM_Q,
    DIM_KV,
    DIM_PAIRS, /* head_dim / 2 */
    DIM_6D,
    DIM_FLOW,     /* n */
    DIM_ENCODER,  /* e */
    DIM_COND,     /* c */
    DIM_FEATURES, /* f */
    DIM_RANK,     /* r */
    DIM_LABELS,   /* J + 1 */
    N_DIMS
};

static void list_sizes(const llm_config *base, const l2d_config *path, uint64_t sizes[N_DIMS])
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

static void block_prefix(char prefix[BINDING_MAX_NAME / 2], const char *blocks, uint32_t block)
{
    snprintf(prefix, BINDING_MAX_NAME / 2, "%s%u.", blocks, block);
}

/* ---- base ------------------------------------------------------------------------------------------- */

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
    list_sizes(config, NULL, sizes);
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
        block_prefix(prefix, names->blocks, i);
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

/* ---- diffusion path --------------------------------------------------------------------------------- */

#define PATH(field, name, ...) BINDING(l2d_tensors, field, name, __VA_ARGS__)
#define LAYER(layer, name, out, in) \
    PATH(layer, name ".weight", out, in), PATH(layer##_bias, name ".bias", out)

static const binding path_table[] = {
    LAYER(time_in, "timestep_embedder.mlp.0", DIM_COND, DIM_FEATURES),
    LAYER(time_out, "timestep_embedder.mlp.2", DIM_COND, DIM_COND),
    LAYER(vocabulary, "flow_token_embedder.embedder.layers_module.0", DIM_FLOW, DIM_D),
    LAYER(encode_in, "flow_to_lm_encoder.embedder.layers_module.0", DIM_ENCODER, DIM_FLOW),
    LAYER(encode_out, "flow_to_lm_encoder.embedder.layers_module.2", DIM_D, DIM_ENCODER),
    LAYER(gate_in, "modulation_head.mlp.0", DIM_COND, DIM_COND),
    LAYER(gate_out, "modulation_head.mlp.2", DIM_D, DIM_COND),
};
static const binding label_table[] = {
    PATH(labels, "data_label_embedder.weight", DIM_LABELS, DIM_COND),
};
static const binding path_block_table[] = {
    BINDING(l2d_block_tensors, mod_in, "modulation_head.mlp.0.weight", DIM_COND, DIM_COND),
    BINDING(l2d_block_tensors, mod_in_bias, "modulation_head.mlp.0.bias", DIM_COND),
    BINDING(l2d_block_tensors, mod_out, "modulation_head.mlp.2.weight", DIM_6D, DIM_COND),
    BINDING(l2d_block_tensors, mod_out_bias, "modulation_head.mlp.2.bias", DIM_6D),
};

/* The five projections of a block. */
static const struct {
    const char *name;
    size_t offset;
    enum dim out, in;
    bool bias; /* in a model with biases on queries, keys and values */
} projections[] = {
    {"self_attn.flow_q_proj", offsetof(l2d_block_tensors, q), DIM_Q, DIM_D, true},
    {"self_attn.flow_o_proj", offsetof(l2d_block_tensors, o), DIM_D, DIM_Q, false},
    {"mlp.flow_gate_proj", offsetof(l2d_block_tensors, gate), DIM_F, DIM_D, false},
    {"mlp.flow_up_proj", offsetof(l2d_block_tensors, up), DIM_F, DIM_D, false},
    {"mlp.flow_down_proj", offsetof(l2d_block_tensors, down), DIM_D, DIM_F, false},
};

static vkdlm_status bind_projections(checkpoint *ck, const llm_config *base, const l2d_config *config,
                                     const uint64_t *sizes, const char *prefix, l2d_block_tensors *out,
                                     vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < COUNT(projections) && !status; i++) {
        const uint32_t o = projections[i].out, in = projections[i].in;
        const binding full[] = {BINDING(l2d_projection, full, ".weight", o, in)};
        const binding bias[] = {BINDING(l2d_projection, bias, ".bias", o)};
        const binding lora[] = {BINDING(l2d_projection, a, ".A", in, DIM_RANK),
                                BINDING(l2d_projection, b, ".B", DIM_RANK, o)};
        l2d_projection *to = (l2d_projection *)(void *)((char *)out + projections[i].offset);
        char name[BINDING_MAX_NAME], wrapped[BINDING_MAX_NAME];
        snprintf(name, sizeof name, "%s%s", prefix, projections[i].name);
        if (config->lora_rank) {
            status = binding_take(ck, sizes, lora, COUNT(lora), name, to, err);
            /* The frozen projection once more, as the authors save it. */
            static const char *const repeated[] = {".wrapped_layer.weight", ".wrapped_layer.bias"};
            for (size_t j = 0; j < COUNT(repeated); j++) {
                snprintf(wrapped, sizeof wrapped, "%.90s%s", name, repeated[j]);
                checkpoint_ignore(ck, wrapped);
            }
        } else {
            status = binding_take(ck, sizes, full, COUNT(full), name, to, err);
            if (!status && base->qkv_bias && projections[i].bias)
                status = binding_take(ck, sizes, bias, COUNT(bias), name, to, err);
        }
    }
    return status;
}

/* A size that l2d.json leaves open is that of a tensor. */
static void complete_size(const checkpoint *ck, const char *name, uint32_t dim, uint32_t *size)
{
    const vkdlm_tensor *tensor = *size ? NULL : vkdlm_tensors_find(ck->tensors, name);
    if (tensor && dim < tensor->n_dims && tensor->shape[dim] <= 1 << 16)
        *size = (uint32_t)tensor->shape[dim];
}

static void complete_sizes(const checkpoint *ck, l2d_config *config)
{
    const struct {
        const char *name;
        uint32_t dim;
        uint32_t *size;
    } sizes[] = {
        {"model.flow_token_embedder.embedder.layers_module.0.weight", 0, &config->flow_dim},
        {"model.flow_to_lm_encoder.embedder.layers_module.0.weight", 0, &config->encoder_dim},
        {"model.timestep_embedder.mlp.0.weight", 0, &config->cond_dim},
        {"model.timestep_embedder.mlp.0.weight", 1, &config->features},
    };
    for (size_t i = 0; i < COUNT(sizes); i++)
        complete_size(ck, sizes[i].name, sizes[i].dim, sizes[i].size);
}

static vkdlm_status check_base(const checkpoint *ck, const llm_config *base, const l2d_config *config,
                               vkdlm_error *err)
{
    if (strcmp(config->base, base->architecture) != 0)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "'%s': base_model_type: expected the base model's, \"%s\", found \"%.100s\"",
                         ck->config_path, base->architecture, config->base);
    if (config->features % 2)
        return error_set(err, VKDLM_MALFORMED, "'%s': expected an even number of timestep features, found %u",
                         ck->config_path, config->features);
    char name[BINDING_MAX_NAME];
    snprintf(name, sizeof name, "model.layers.%u.modulation_head.mlp.0.weight", base->n_blocks);
    if (!checkpoint_has(ck, name))
        return VKDLM_OK;
    uint32_t found = base->n_blocks;
    while (checkpoint_has(ck, name))
        snprintf(name, sizeof name, "model.layers.%u.modulation_head.mlp.0.weight", ++found);
    return error_set(err, VKDLM_MALFORMED,
                     "'%s': expected a diffusion path of the base model's %u layers, found %u", ck->directory,
                     base->n_blocks, found);
}

vkdlm_status l2d_tensors_bind(checkpoint *ck, const llm_config *base, l2d_config *config, l2d_tensors *out,
                              vkdlm_error *err)
{
    uint64_t sizes[N_DIMS];
    *out = (l2d_tensors){0};
    complete_sizes(ck, config);
    vkdlm_status status = check_base(ck, base, config, err);
    if (status)
        return status;
    list_sizes(base, config, sizes);
    out->blocks = calloc(base->n_blocks, sizeof *out->blocks);
    if (!out->blocks)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", base->n_blocks);
    status = binding_take(ck, sizes, path_table, COUNT(path_table), "model.", out, err);
    if (!status && config->n_classes)
        status = binding_take(ck, sizes, label_table, COUNT(label_table), "model.", out, err);
    for (uint32_t i = 0; i < base->n_blocks && !status; i++) {
        char prefix[BINDING_MAX_NAME / 2];
        block_prefix(prefix, hub_naming.blocks, i);
        status = bind_projections(ck, base, config, sizes, prefix, &out->blocks[i], err);
        if (!status)
            status = binding_take(ck, sizes, path_block_table, COUNT(path_block_table), prefix,
                                  &out->blocks[i], err);
    }
    if (!status)
        status = checkpoint_refuse_unexpected(ck, err);
    if (status)
        l2d_tensors_deinit(out);
    return status;
}

void l2d_tensors_deinit(l2d_tensors *tensors)
{
    free(tensors->blocks);
    *tensors = (l2d_tensors){0};
}
