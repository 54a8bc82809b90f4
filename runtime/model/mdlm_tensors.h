/* The tensors of an MDLM checkpoint, found by name and checked for shape. */
#ifndef MODEL_MDLM_TENSORS_H
#define MODEL_MDLM_TENSORS_H

#include "model/mdlm_config.h"

/* Shapes in comments: D hidden_dim, C cond_dim, V vocab_size. A linear layer's weight is [out, in],
 * row-major. */
typedef struct mdlm_block_tensors {
    const vkdlm_tensor *norm1;    /* [D] */
    const vkdlm_tensor *attn_qkv; /* [3D, D]: rows of q, then k, then v, each head-major */
    const vkdlm_tensor *attn_out; /* [D, D] */
    const vkdlm_tensor *norm2;    /* [D] */
    const vkdlm_tensor *mlp_up;   /* [4D, D] */
    const vkdlm_tensor *mlp_up_bias;
    const vkdlm_tensor *mlp_down; /* [D, 4D] */
    const vkdlm_tensor *mlp_down_bias;
    const vkdlm_tensor *modulation; /* [6D, C]: shift_a scale_a gate_a shift_m scale_m gate_m */
    const vkdlm_tensor *modulation_bias;
} mdlm_block_tensors;

typedef struct mdlm_tensors {
    const vkdlm_tensor *embedding; /* [V, D] */
    const vkdlm_tensor *time_in;   /* [C, 256] */
    const vkdlm_tensor *time_in_bias;
    const vkdlm_tensor *time_out; /* [C, C] */
    const vkdlm_tensor *time_out_bias;
    const vkdlm_tensor *final_norm;       /* [D] */
    const vkdlm_tensor *final_modulation; /* [2D, C]: shift scale */
    const vkdlm_tensor *final_modulation_bias;
    const vkdlm_tensor *head; /* [V, D] */
    const vkdlm_tensor *head_bias;
    mdlm_block_tensors *blocks; /* [n_blocks] */
} mdlm_tensors;

/* Fills *out with pointers into the checkpoint. Errors: MALFORMED for a tensor that is missing, has another
 * shape or type than the configuration asks for, or belongs to no part of the model. Release with deinit. */
vkdlm_status mdlm_tensors_bind(checkpoint *ck, const mdlm_config *config, mdlm_tensors *out,
                               vkdlm_error *err);
void mdlm_tensors_deinit(mdlm_tensors *tensors);

#endif
