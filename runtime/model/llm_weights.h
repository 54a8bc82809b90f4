/* The weights of a causal language model and of its diffusion path on a device. */
#ifndef MODEL_LLM_WEIGHTS_H
#define MODEL_LLM_WEIGHTS_H

#include "model/l2d_tensors.h"
#include "model/llm_tensors.h"
#include "model/loader.h"
#include "ops/attention.h"
#include "ops/cached_attention.h"
#include "ops/embed.h"
#include "ops/rotary.h"
#include "ops/weight.h"

/* pad(n): n rounded up to a multiple of 32. Vectors are f32 with zero pads. */
typedef struct llm_block {
    /* Queries, keys and values: one weight, or one for each run of tensors of the same type, with the first
     * column of what it gives; the others are zeroed. */
    weight qkv[3];
    uint32_t qkv_column[3];
    weight o; /* [D, Q] */
    /* [2 pad(F), D], paired; of different types the gate and then the other, [F, D] each. The second is
     * zeroed when they are paired. */
    weight gate_up[2];
    weight down; /* [D, F] */
    gpu_view attn_norm, mlp_norm;
    gpu_view qkv_bias; /* buffer NULL: none */
} llm_block;

/* A projection of the diffusion path. With LoRA, w is the base's (shared, not to be destroyed), and z = x a
 * is computed before; the pair of gate and up has one z of two parts. */
typedef struct l2d_linear {
    weight w;
    weight a; /* [parts round4(r), in]; zeroed without LoRA */
    weight b; /* f32, the scale included; depth parts round4(r) */
    gpu_view bias;
} l2d_linear;

typedef struct l2d_block {
    l2d_linear q, o, down;
    l2d_linear gate_up[2]; /* as in llm_block; with LoRA, paired when the base's are */
    weight modulation;     /* [6 stride, c]: w_a s_a r_a w_m s_m r_m, each from a multiple of the stride on */
    gpu_view modulation_bias;
} l2d_block;

enum l2d_chunk { L2D_SCALE_A, L2D_SHIFT_A, L2D_GATE_A, L2D_SCALE_M, L2D_SHIFT_M, L2D_GATE_M, L2D_CHUNKS };

typedef struct l2d {
    l2d_config config;
    l2d_block *blocks; /* [n_blocks] */
    weight time_in, time_out;
    gpu_view time_in_bias, time_out_bias;
    weight
        modulation_in; /* [(n_blocks + 1) cond_stride, c]: the first layers of all heads, that of w_d last */
    gpu_view modulation_in_bias;
    weight gate_out; /* [D, c]; its bias cancels in w_d(t) = head(t) - head(0) */
    weight encode_in, encode_out;
    gpu_view encode_in_bias, encode_out_bias;
    weight vocabulary; /* [n, D] */
    gpu_view vocabulary_bias;
    gpu_buffer labels_buffer;
    embed_table labels; /* [J + 1, c] */
} l2d;

typedef struct llm {
    gpu_device *device;
    llm_config config;
    uint32_t ld; /* pad(D) */
    gpu_buffer embedding_buffer;
    weight embedding_weight; /* instead of the buffer, where the embedding is quantised */
    embed_table
        embedding;     /* [V, D], in embedding_buffer, embedding_weight, or the head where both are tied */
    llm_block *blocks; /* [n_blocks] */
    gpu_view norm;
    weight head; /* [V, D] */
    gpu_buffer vectors;
    rotary_table rotary;
    bool has_path;
    l2d path;
    uint64_t weight_bytes; /* device bytes of all of it */
} llm;

/* Floats from one chunk of modulation to the next, and from one conditioning vector to the next: what can be
 * bound by itself on every device (256 bytes). */
static inline uint32_t l2d_stride(uint32_t n)
{
    return (n + 63) / 64 * 64;
}

/* Where a row has queries, keys and values; each can be bound by itself. */
static inline qkv_columns llm_qkv_columns(const llm_config *config)
{
    uint32_t q = l2d_stride(llm_q_dim(config)), kv = l2d_stride(llm_kv_dim(config));
    return (qkv_columns){0, q, q + kv};
}

/* Device bytes of the weights; path may be NULL. */
vkdlm_status llm_weights_estimate(const llm_config *config, const llm_tensors *tensors,
                                  const l2d_config *path_config, const l2d_tensors *path, uint64_t *bytes,
                                  vkdlm_error *err);

/* Uploads everything; device, config, and with a path has_path and path.config, are set before. On failure
 * the caller closes the model. */
vkdlm_status llm_weights_upload(llm *model, const llm_tensors *tensors, const l2d_tensors *path,
                                loader_progress_fn progress, void *user, vkdlm_error *err);
/* Frees all of it; model may be partly filled. */
void llm_weights_destroy(llm *model);

#endif
