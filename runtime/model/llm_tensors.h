/* The tensors of a causal language model, found by name and checked for shape. */
#ifndef MODEL_LLM_TENSORS_H
#define MODEL_LLM_TENSORS_H

#include "model/llm_config.h"

/* Shapes in comments: D hidden_dim, F mlp_dim, Q and KV columns of queries and of keys or values, V
 * vocab_size. A linear layer's weight is [out, in], row-major. */
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

/* Fills *out with pointers into the checkpoint. Errors: MALFORMED for a tensor that is missing, has another
 * shape or type than asked for, or belongs to no part. Release with deinit. */
vkdlm_status llm_tensors_bind(checkpoint *ck, const llm_config *config, llm_tensors *out, vkdlm_error *err);
void llm_tensors_deinit(llm_tensors *tensors);

#endif
