/* The tensors of a causal language model and of a diffusion path, found by name and checked for shape. */
#ifndef MODEL_LLM_TENSORS_H
#define MODEL_LLM_TENSORS_H

#include "model/l2d_config.h"
#include "model/llm_config.h"

/* Shapes in comments: D hidden_dim, F mlp_dim, Q and KV columns of queries and of keys or values, V
 * vocab_size; n, e, c, f, r, J as in l2d_config. A linear layer's weight is [out, in], row-major. */
typedef struct llm_block_tensors {
    const vkdlm_tensor *attn_norm;                /* [D] */
    const vkdlm_tensor *q, *k, *v;                /* [Q, D], [KV, D], [KV, D] */
    const vkdlm_tensor *q_bias, *k_bias, *v_bias; /* NULL without biases */
    const vkdlm_tensor *o;                        /* [D, Q] */
    const vkdlm_tensor *mlp_norm;                 /* [D] */
    const vkdlm_tensor *gate, *up;                /* [F, D] */
    const vkdlm_tensor *down;                     /* [D, F] */
} llm_block_tensors;

typedef struct llm_tensors {
    const vkdlm_tensor *embedding; /* [V, D] */
    const vkdlm_tensor *norm;      /* [D] */
    const vkdlm_tensor *head;      /* [V, D]; the embedding when tied */
    const vkdlm_tensor *divisors;  /* [head_dim / 2] of rotary_scaling; NULL: none */
    llm_block_tensors *blocks;     /* [n_blocks] */
} llm_tensors;

/* A projection of the path: full, or a change of the base's of low rank: W x + scale B (A x). */
typedef struct l2d_projection {
    const vkdlm_tensor *full; /* [out, in], NULL with LoRA */
    const vkdlm_tensor *bias; /* [out]; NULL: none */
    const vkdlm_tensor *a;    /* [in, r] */
    const vkdlm_tensor *b;    /* [r, out] */
} l2d_projection;

typedef struct l2d_block_tensors {
    l2d_projection q, o, gate, up, down;
    const vkdlm_tensor *mod_in, *mod_in_bias;   /* [c, c] */
    const vkdlm_tensor *mod_out, *mod_out_bias; /* [6D, c] */
} l2d_block_tensors;

typedef struct l2d_tensors {
    const vkdlm_tensor *time_in, *time_in_bias;       /* [c, f] */
    const vkdlm_tensor *time_out, *time_out_bias;     /* [c, c] */
    const vkdlm_tensor *labels;                       /* [J + 1, c]; NULL without classes */
    const vkdlm_tensor *vocabulary, *vocabulary_bias; /* [n, D] */
    const vkdlm_tensor *encode_in, *encode_in_bias;   /* [e, n] */
    const vkdlm_tensor *encode_out, *encode_out_bias; /* [D, e] */
    const vkdlm_tensor *gate_in, *gate_in_bias;       /* [c, c]: of w_d */
    const vkdlm_tensor *gate_out, *gate_out_bias;     /* [D, c] */
    l2d_block_tensors *blocks;                        /* [n_blocks] */
} l2d_tensors;

/* Fill *out with pointers into the checkpoint. Errors: MALFORMED for a tensor that is missing, has another
 * shape or type than asked for, or belongs to no part. Release with deinit. */
vkdlm_status llm_tensors_bind(checkpoint *ck, const llm_config *config, llm_tensors *out, vkdlm_error *err);
void llm_tensors_deinit(llm_tensors *tensors);

/* Completes the sizes that config leaves open (0) from the tensors, and checks that the path belongs to this
 * base: architecture, widths, number of blocks. */
vkdlm_status l2d_tensors_bind(checkpoint *ck, const llm_config *base, l2d_config *config, l2d_tensors *out,
                              vkdlm_error *err);
void l2d_tensors_deinit(l2d_tensors *tensors);

#endif
