/* Shapes of a causal model's and its diffusion path's tensors, for tables of bindings. */
#ifndef MODEL_LLM_DIMS_H
#define MODEL_LLM_DIMS_H

#include "model/binding.h"
#include "model/l2d_config.h"
#include "model/llm_config.h"

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

/* path may be NULL: its sizes are 0. */
void llm_list_sizes(const llm_config *base, const l2d_config *path, uint64_t sizes[N_DIMS]);

#endif
