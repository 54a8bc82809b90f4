/* What l2d.json, or the keys of a GGUF file, say about a diffusion path, checked. */
#ifndef MODEL_L2D_CONFIG_H
#define MODEL_L2D_CONFIG_H

#include <vkdlm/flow.h>

#include "format/checkpoint.h"

/* Norm of the rows of the diffusion vocabulary, and the variance of their components. */
enum l2d_rescaling { L2D_RESCALE_MULT, L2D_RESCALE_DIV, L2D_RESCALE_NONE };

/* Sizes that are 0 are left to the tensors (model/l2d_tensors.h). */
typedef struct l2d_config {
    const char *base;     /* base_model_type; lives as long as the checkpoint */
    uint32_t flow_dim;    /* n */
    uint32_t encoder_dim; /* e, flow_to_lm_hidden_size */
    uint32_t cond_dim;    /* c */
    uint32_t features;    /* f, of the timestep; even */
    uint32_t lora_rank;   /* r; 0: full weights */
    double lora_scale;    /* alpha / r */
    uint32_t n_classes;   /* J, without the null class */
    enum l2d_rescaling rescaling;
    double noise_scale; /* sigma */
    /* Defaults of a solve. */
    uint32_t steps;
    vkdlm_solver solver;
    vkdlm_estimate estimate;
    vkdlm_velocity velocity;
    char temperature[64];
    double rtol, atol, end_time;
} l2d_config;

/* From an opened path (model/l2d_checkpoint.h). Errors: MALFORMED, UNSUPPORTED (a setting that is not run).
 */
vkdlm_status l2d_config_read(const checkpoint *ck, l2d_config *out, vkdlm_error *err);

/* k of V_y = k u / ||u||, and v, the variance of V_y's components. */
double l2d_vocabulary_norm(const l2d_config *config);
double l2d_vocabulary_variance(const l2d_config *config);

#endif
