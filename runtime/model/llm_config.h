/* What a causal language model's config.json or GGUF metadata says, checked: Llama and Qwen2. */
#ifndef MODEL_LLM_CONFIG_H
#define MODEL_LLM_CONFIG_H

#include "format/checkpoint.h"
#include "ops/attention.h"
#include "ops/rotary.h"

#define LLM_MAX_END_IDS 16

/* Bounds that keep every product of sizes far from overflow. */
#define LLM_MAX_VOCAB   (1 << 21)
#define LLM_MAX_CONTEXT (1 << 20)
#define LLM_MAX_WIDTH   (1 << 17)
#define LLM_MAX_BLOCKS  (1 << 12)

typedef struct llm_config {
    const char *architecture; /* "llama" or "qwen2"; static text */
    uint32_t vocab_size;      /* V */
    uint32_t context;         /* max_position_embeddings */
    uint32_t hidden_dim;      /* D */
    uint32_t mlp_dim;         /* F */
    uint32_t n_blocks;
    uint32_t n_heads, n_kv_heads, head_dim; /* n_heads * head_dim need not be D */
    double norm_eps, rope_base;
    bool has_scaling; /* RoPE scaling of type "llama3" or "linear" */
    rotary_scaling scaling;
    bool interleaved; /* rows of queries and keys lie as weight_part.interleaved says */
    bool qkv_bias;    /* queries, keys and values have biases */
    bool tied;        /* the head is the embedding */
    int32_t begin_id; /* -1: none */
    int32_t end_ids[LLM_MAX_END_IDS];
    uint32_t n_end_ids;
} llm_config;

/* True when model_type (general.architecture of a GGUF file) names one of these models. */
bool llm_config_is(const checkpoint *ck);

/* Errors: MALFORMED (key missing, of a wrong type or out of range), UNSUPPORTED (another architecture,
 * another kind of RoPE scaling, activation or bias, a sliding window, a head too wide).
 * generation_config.json beside the configuration is read for the end-of-text ids when it is there. */
vkdlm_status llm_config_read(const checkpoint *ck, llm_config *out, vkdlm_error *err);
/* The same from the metadata of a GGUF file, for llm_config_read: architecture and qkv_bias are set. */
vkdlm_status llm_config_read_gguf(const checkpoint *ck, llm_config *out, vkdlm_error *err);

static inline attention_shape llm_attention_shape(const llm_config *config)
{
    return (attention_shape){.n_heads = config->n_heads,
                             .n_kv_heads = config->n_kv_heads,
                             .head_dim = config->head_dim,
                             .causal = true};
}

/* Columns of the queries, and of the keys or values. */
static inline uint32_t llm_q_dim(const llm_config *config)
{
    return config->n_heads * config->head_dim;
}
static inline uint32_t llm_kv_dim(const llm_config *config)
{
    return config->n_kv_heads * config->head_dim;
}

#endif
