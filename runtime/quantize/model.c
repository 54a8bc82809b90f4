/* Tensors and metadata of the models that are read from the Hugging Face layout. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/llm_tensors.h"
#include "model/mdlm_tensors.h"
#include "quantize.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static vkdlm_status grow(quantize_plan *plan, vkdlm_error *err)
{
    if (plan->n_items < plan->capacity)
        return VKDLM_OK;
    size_t capacity = 2 * plan->capacity + 64;
    quantize_item *items = realloc(plan->items, capacity * sizeof *items);
    if (!items)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a list of %zu tensors", capacity);
    plan->items = items;
    plan->capacity = capacity;
    return VKDLM_OK;
}

vkdlm_status quantize_add(quantize_plan *plan, const vkdlm_tensor *source, const char *name, uint32_t block,
                          uint32_t head_dim, vkdlm_error *err)
{
    vkdlm_status status = grow(plan, err);
    if (status)
        return status;
    quantize_item *item = &plan->items[plan->n_items++];
    *item = (quantize_item){.source = source, .head_dim = head_dim};
    const char *number = block == QUANTIZE_NO_BLOCK ? NULL : strstr(name, "%u");
    if (number)
        snprintf(item->name, sizeof item->name, "%.*s%u%s", (int)(number - name), name, block, number + 2);
    else
        snprintf(item->name, sizeof item->name, "%s", name);
    return VKDLM_OK;
}

void quantize_plan_deinit(quantize_plan *plan)
{
    for (size_t i = 0; i < plan->n_items; i++)
        free(plan->items[i].values);
    free(plan->items);
    *plan = (quantize_plan){0};
}

/* A tensor of a struct of pointers, and its name. A NULL pointer is left out. */
typedef struct naming {
    size_t offset;
    const char *name;
    bool interleaved; /* in llama */
} naming;

static vkdlm_status add_all(quantize_plan *plan, const naming *names, size_t n, const void *tensors,
                            uint32_t block, uint32_t head_dim, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < n && !status; i++) {
        const vkdlm_tensor *source;
        memcpy(&source, (const char *)tensors + names[i].offset, sizeof source);
        if (source)
            status =
                quantize_add(plan, source, names[i].name, block, names[i].interleaved ? head_dim : 0, err);
    }
    return status;
}

/* A key that begins with the architecture's name. */
static const char *key_of(const char *architecture, const char *name, char key[128])
{
    snprintf(key, 128, "%s.%s", architecture, name);
    return key;
}

typedef struct number_key {
    const char *name;
    uint32_t value;
} number_key;

static void put_numbers(gguf_writer *w, const char *architecture, const number_key *keys, size_t n)
{
    char key[128];
    for (size_t i = 0; i < n; i++)
        gguf_writer_put_u32(w, key_of(architecture, keys[i].name, key), keys[i].value);
}

void quantize_put_general(gguf_writer *w, const checkpoint *ck, const char *architecture)
{
    const char *slash = strrchr(ck->directory, '/');
    const char *name = slash ? slash + 1 : ck->directory;
    gguf_writer_put_string(w, "general.architecture", architecture);
    gguf_writer_put_string(w, "general.type", "model");
    gguf_writer_put_string(w, "general.name", *name && *name != '.' ? name : architecture);
}

/* ---- llama, qwen2 ------------------------------------------------------------------------------------- */

#define BASE(field, name)                         \
    {                                             \
        offsetof(llm_tensors, field), name, false \
    }
#define LAYER(field, name, reordered)                                 \
    {                                                                 \
        offsetof(llm_block_tensors, field), "blk.%u." name, reordered \
    }

static const naming llm_names[] = {
    BASE(embedding, "token_embd.weight"),
    BASE(norm, "output_norm.weight"),
    BASE(head, "output.weight"),
};
static const naming llm_block_names[] = {
    LAYER(attn_norm, "attn_norm.weight", false), LAYER(q, "attn_q.weight", true),
    LAYER(q_bias, "attn_q.bias", false),         LAYER(k, "attn_k.weight", true),
    LAYER(k_bias, "attn_k.bias", false),         LAYER(v, "attn_v.weight", false),
    LAYER(v_bias, "attn_v.bias", false),         LAYER(o, "attn_output.weight", false),
    LAYER(mlp_norm, "ffn_norm.weight", false),   LAYER(gate, "ffn_gate.weight", false),
    LAYER(up, "ffn_up.weight", false),           LAYER(down, "ffn_down.weight", false),
};

/* rope_freqs: what Llama 3's scaling divides each inverse frequency by (see rotary_scaling). */
static vkdlm_status add_divisors(quantize_plan *plan, const llm_config *config, vkdlm_error *err)
{
    const rotary_scaling *s = &config->scaling;
    uint32_t n = config->head_dim / 2;
    vkdlm_status status = quantize_add(plan, NULL, "rope_freqs.weight", QUANTIZE_NO_BLOCK, 0, err);
    if (status)
        return status;
    quantize_item *item = &plan->items[plan->n_items - 1];
    item->values = malloc(n * sizeof *item->values);
    item->n_values = n;
    if (!item->values)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for %u frequencies", n);
    for (uint32_t i = 0; i < n; i++) {
        double w = pow(config->rope_base, -2.0 * i / config->head_dim);
        double turns = s->original_length * w / (2 * 3.14159265358979323846);
        double mix = (turns - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
        mix = mix < 0 ? 0 : mix > 1 ? 1 : mix;
        item->values[i] = (float)(1 / ((1 - mix) / s->factor + mix));
    }
    return VKDLM_OK;
}

static void put_llm(gguf_writer *w, const llm_config *config)
{
    const char *a = config->architecture;
    const number_key keys[] = {
        {"block_count", config->n_blocks},          {"context_length", config->context},
        {"embedding_length", config->hidden_dim},   {"feed_forward_length", config->mlp_dim},
        {"attention.head_count", config->n_heads},  {"attention.head_count_kv", config->n_kv_heads},
        {"attention.key_length", config->head_dim}, {"attention.value_length", config->head_dim},
        {"rope.dimension_count", config->head_dim}, {"vocab_size", config->vocab_size},
    };
    char key[128];
    put_numbers(w, a, keys, COUNT(keys));
    gguf_writer_put_f32(w, key_of(a, "attention.layer_norm_rms_epsilon", key), (float)config->norm_eps);
    gguf_writer_put_f32(w, key_of(a, "rope.freq_base", key), (float)config->rope_base);
    if (config->begin_id >= 0)
        gguf_writer_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)config->begin_id);
    if (config->n_end_ids > 0)
        gguf_writer_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)config->end_ids[0]);
    if (config->n_end_ids > 1)
        gguf_writer_put_u32(w, "tokenizer.ggml.eot_token_id",
                            (uint32_t)config->end_ids[config->n_end_ids - 1]);
}

vkdlm_status quantize_plan_llm(checkpoint *ck, quantize_plan *plan, gguf_writer *w, const char **architecture,
                               vkdlm_error *err)
{
    llm_config config;
    llm_tensors tensors = {0};
    vkdlm_status status = llm_config_read(ck, &config, err);
    if (!status)
        status = llm_tensors_bind(ck, &config, &tensors, err);
    if (status)
        return status;
    *architecture = config.architecture;
    bool interleaved = strcmp(config.architecture, "llama") == 0;
    quantize_put_general(w, ck, config.architecture);
    put_llm(w, &config);
    if (config.tied)
        tensors.head = NULL;
    if (config.has_scaling)
        status = add_divisors(plan, &config, err);
    if (!status)
        status = add_all(plan, llm_names, COUNT(llm_names), &tensors, QUANTIZE_NO_BLOCK, 0, err);
    for (uint32_t i = 0; i < config.n_blocks && !status; i++)
        status = add_all(plan, llm_block_names, COUNT(llm_block_names), &tensors.blocks[i], i,
                         interleaved ? config.head_dim : 0, err);
    llm_tensors_deinit(&tensors);
    return status;
}

/* ---- mdlm --------------------------------------------------------------------------------------------- */

#define MDLM(field, name)                          \
    {                                              \
        offsetof(mdlm_tensors, field), name, false \
    }
#define MDLM_LAYER(field, name)                                    \
    {                                                              \
        offsetof(mdlm_block_tensors, field), "blk.%u." name, false \
    }

static const naming mdlm_names[] = {
    MDLM(embedding, "token_embd.weight"),
    MDLM(time_in, "time_in.weight"),
    MDLM(time_in_bias, "time_in.bias"),
    MDLM(time_out, "time_out.weight"),
    MDLM(time_out_bias, "time_out.bias"),
    MDLM(final_norm, "output_norm.weight"),
    MDLM(final_modulation, "output_mod.weight"),
    MDLM(final_modulation_bias, "output_mod.bias"),
    MDLM(head, "output.weight"),
    MDLM(head_bias, "output.bias"),
};
static const naming mdlm_block_names[] = {
    MDLM_LAYER(norm1, "attn_norm.weight"),      MDLM_LAYER(attn_qkv, "attn_qkv.weight"),
    MDLM_LAYER(attn_out, "attn_output.weight"), MDLM_LAYER(norm2, "ffn_norm.weight"),
    MDLM_LAYER(mlp_up, "ffn_up.weight"),        MDLM_LAYER(mlp_up_bias, "ffn_up.bias"),
    MDLM_LAYER(mlp_down, "ffn_down.weight"),    MDLM_LAYER(mlp_down_bias, "ffn_down.bias"),
    MDLM_LAYER(modulation, "mod.weight"),       MDLM_LAYER(modulation_bias, "mod.bias"),
};

vkdlm_status quantize_plan_mdlm(checkpoint *ck, quantize_plan *plan, gguf_writer *w,
                                const char **architecture, vkdlm_error *err)
{
    mdlm_config config;
    mdlm_tensors tensors = {0};
    vkdlm_status status = mdlm_config_read(ck, &config, err);
    if (!status)
        status = mdlm_tensors_bind(ck, &config, &tensors, err);
    if (status)
        return status;
    *architecture = "mdlm";
    quantize_put_general(w, ck, "mdlm");
    const number_key keys[] = {
        {"block_count", config.n_blocks},         {"context_length", config.length},
        {"embedding_length", config.hidden_dim},  {"feed_forward_length", 4 * config.hidden_dim},
        {"attention.head_count", config.n_heads}, {"conditioning_length", config.cond_dim},
        {"vocab_size", config.vocab_size},
    };
    put_numbers(w, "mdlm", keys, COUNT(keys));
    gguf_writer_put_bool(w, "mdlm.attention.causal", false);
    gguf_writer_put_bool(w, "mdlm.time_conditioning", config.time_conditioning);
    gguf_writer_put_u32(w, "tokenizer.ggml.mask_token_id", config.vocab_size - 1);
    status = add_all(plan, mdlm_names, COUNT(mdlm_names), &tensors, QUANTIZE_NO_BLOCK, 0, err);
    for (uint32_t i = 0; i < config.n_blocks && !status; i++)
        status = add_all(plan, mdlm_block_names, COUNT(mdlm_block_names), &tensors.blocks[i], i, 0, err);
    mdlm_tensors_deinit(&tensors);
    return status;
}
