/* The weights of an MDLM model on a device. */
#ifndef MODEL_MDLM_WEIGHTS_H
#define MODEL_MDLM_WEIGHTS_H

#include "gpu/gpu.h"
#include "model/loader.h"
#include "model/mdlm.h"
#include "model/mdlm_tensors.h"
#include "ops/attention.h"
#include "ops/embed.h"
#include "ops/rotary.h"
#include "ops/weight.h"

/* ld(n): n rounded up to a multiple of 32. Vectors are f32 with zero pads. */
typedef struct mdlm_block {
    weight attn_qkv;        /* [3D, D] */
    weight attn_out;        /* [D, D] */
    weight mlp_up;          /* [4D, D] */
    weight mlp_down;        /* [D, 4D] */
    gpu_view norm1, norm2;  /* [ld(D)] */
    gpu_view mlp_up_bias;   /* [ld(4D)] */
    gpu_view mlp_down_bias; /* [ld(D)] */
} mdlm_block;

struct mdlm {
    gpu_device *device;
    mdlm_config config;
    uint32_t ld; /* ld(D) */

    embed_table embedding; /* [V, D], in embedding_buffer or embedding_weight */
    gpu_buffer embedding_buffer;
    weight embedding_weight; /* instead of the buffer, where the embedding is quantised */
    mdlm_block *blocks;      /* [n_blocks] */
    gpu_view final_norm;     /* [ld(D)] */
    weight head;             /* [V, D] */
    gpu_view head_bias;      /* [ld(V)] */

    /* Modulation (model/modulation.h). A time-conditioned model computes it from sigma; for any other it is
     * this one row, and the weights below are absent. */
    gpu_view modulation;      /* [modulation_width] */
    weight time_in, time_out; /* [C, 256], [C, C] */
    gpu_view time_in_bias, time_out_bias;
    /* [n_blocks + 1]: the first is [modulation_width, C], every adaLN layer; where their types differ, each
     * is one layer, the output layer's the last. The others are zeroed. */
    weight *modulation_weights;
    gpu_view modulation_bias; /* [modulation_width] */

    gpu_buffer vectors; /* what the views above point into */
    rotary_table rotary;
    attention attention;
    uint64_t weight_bytes; /* device bytes of all of it */
};

/* Device bytes of the weights of a model with these tensors. */
vkdlm_status mdlm_weights_estimate(const mdlm_config *config, const mdlm_tensors *tensors, uint64_t *bytes,
                                   vkdlm_error *err);

/* Uploads everything; the model's device and config are set before. On failure the caller closes the model.
 */
vkdlm_status mdlm_weights_upload(mdlm *model, const mdlm_tensors *tensors, loader_progress_fn progress,
                                 void *user, vkdlm_error *err);

#endif
