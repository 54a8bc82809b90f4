/* What an MDLM checkpoint's config.json or GGUF metadata says, checked. */
#ifndef MODEL_MDLM_CONFIG_H
#define MODEL_MDLM_CONFIG_H

#include "format/checkpoint.h"

typedef struct mdlm_config {
    uint32_t vocab_size; /* V, the mask token included; its id is V - 1 */
    uint32_t length;     /* L, model_length */
    uint32_t hidden_dim; /* D */
    uint32_t cond_dim;   /* C */
    uint32_t n_blocks;
    uint32_t n_heads; /* H, divides D; D / H is even */
    bool time_conditioning;
} mdlm_config;

/* Width of the timestep features. */
#define MDLM_TIMESTEP_FEATURES 256

static inline uint32_t mdlm_head_dim(const mdlm_config *config)
{
    return config->hidden_dim / config->n_heads;
}

/* Errors: MALFORMED (key missing, of a wrong type or out of range), UNSUPPORTED (a head too wide). */
vkdlm_status mdlm_config_read(const checkpoint *ck, mdlm_config *out, vkdlm_error *err);

#endif
