/* The MDLM network in scalar double precision, written from its formulas alone: what kernels and models are
 * compared with, and the network under the tests of the samplers. Notation: V vocabulary with the mask token
 * (id V - 1), L positions, D hidden size, H heads, C conditioning size. */
#ifndef REF_MDLM_H
#define REF_MDLM_H

#include <stdbool.h>
#include <stdint.h>

#include "ref/ref_linear.h"

#define REF_MDLM_FEATURES 256

typedef struct ref_mdlm_block {
    double *norm1, *norm2; /* [D] */
    ref_linear modulation; /* C -> 6D: shift_a, scale_a, gate_a, shift_m, scale_m, gate_m */
    ref_linear qkv, out, up, down;
} ref_mdlm_block;

typedef struct ref_mdlm {
    uint32_t vocab_size, length, dim, n_heads, n_blocks, cond_dim;
    bool time_conditioning;
    double *frequencies; /* of the timestep features, [128] */
    double *rotary;      /* cos, sin of every position and pair, [length, D/H/2, 2] */
    double *embedding;   /* [V, D] */
    ref_linear sigma0, sigma2;
    ref_mdlm_block *blocks;
    double *norm_final;          /* [D] */
    ref_linear modulation, head; /* C -> 2D: shift, scale; D -> V */
} ref_mdlm;

/* Loads config.json and model.safetensors of a directory, or a .gguf file, whose weights are dequantised;
 * NULL, with a line on standard error, on failure. */
ref_mdlm *ref_mdlm_open(const char *path);
void ref_mdlm_close(ref_mdlm *net);

/* features [256] (may be NULL) and c [C] for a noise level; a network without time conditioning takes 0 for
 * it. */
void ref_mdlm_condition(const ref_mdlm *net, double sigma, double *features, double *c);

/* tokens [n], n <= length. hidden [n_blocks + 1, n, D] (the embedding, then every block's output) and logits
 * [n, V] as the network gives them; either may be NULL. */
void ref_mdlm_forward(const ref_mdlm *net, const int32_t *tokens, uint32_t n, double sigma, double *hidden,
                      double *logits);

#endif
