/* The tensors of a diffusion path, found by name and checked for shape. */
#ifndef MODEL_L2D_TENSORS_H
#define MODEL_L2D_TENSORS_H

#include "model/l2d_config.h"
#include "model/llm_config.h"

/* Shapes in comments: D hidden_dim of the base; n, e, c, f, r, J as in l2d_config. A linear layer's weight is
 * [out, in], row-major. */

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

/* Completes the sizes that config leaves open (0) from the tensors, checks that the path belongs to this
 * base (architecture, widths, number of blocks), and fills *out with pointers into the checkpoint, an
 * l2d.json with its weights or a GGUF file. Errors: MALFORMED for a tensor that is missing, has another shape
 * or type than asked for, or belongs to no part; INVALID_ARGUMENT (another architecture), UNSUPPORTED
 * (quantised classes). Release with deinit. */
vkdlm_status l2d_tensors_bind(checkpoint *ck, const llm_config *base, l2d_config *config, l2d_tensors *out,
                              vkdlm_error *err);
void l2d_tensors_deinit(l2d_tensors *tensors);

/* What GGUF files call a tensor of l2d.safetensors; false: no path has a tensor of this name. */
bool l2d_tensor_gguf_name(const char *name, char out[64]);
/* Whether it repeats a weight of the base, which a path's file may and GGUF files do not. */
bool l2d_tensor_is_repeated(const char *name);

#endif
