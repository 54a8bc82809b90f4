/* MDLM on a device: the weights, and one evaluation of the network.
 * Mathematics: Sahoo et al., "Simple and Effective Masked Diffusion Language Models", arXiv 2406.07524; a DiT
 * whose LayerNorms are modulated by the timestep. mdlm.c reads top to bottom like the network.
 *
 * A model is immutable after open and may be shared; a workspace (activations, one recording) belongs to one
 * thread. */
#ifndef MODEL_MDLM_H
#define MODEL_MDLM_H

#include "gpu/gpu.h"
#include "model/denoiser.h"
#include "model/loader.h"
#include "model/mdlm_config.h"

typedef struct mdlm mdlm;
typedef struct mdlm_workspace mdlm_workspace;

/* Checks every tensor and uploads the weights. The checkpoint may be closed afterwards. progress may be NULL.
 */
vkdlm_status mdlm_open(gpu_device *device, checkpoint *ck, loader_progress_fn progress, void *user,
                       mdlm **out, vkdlm_error *err);
void mdlm_close(mdlm *model);

const mdlm_config *mdlm_get_config(const mdlm *model);
uint64_t mdlm_weight_bytes(const mdlm *model);

/* Checks a checkpoint without a device: the device bytes that its weights and a workspace for one full canvas
 * need, or the reason why it cannot be run. */
vkdlm_status mdlm_estimate(checkpoint *ck, uint64_t *device_bytes, vkdlm_error *err);

vkdlm_status mdlm_workspace_create(const mdlm *model, mdlm_workspace **out, vkdlm_error *err);
void mdlm_workspace_destroy(mdlm_workspace *workspace);

/* The samplers' view of this workspace; valid as long as it. */
denoiser mdlm_denoiser(mdlm_workspace *workspace);

/* One whole canvas through the network, nothing merged: the logits [n_rows, V] of the positions in rows
 * (ascending), and, if hidden is not NULL, hidden[(n_blocks + 1), n_rows, D]. Both arrays are the caller's.
 */
vkdlm_status mdlm_forward(mdlm_workspace *workspace, const eval_sequence *sequence, const uint32_t *rows,
                          uint32_t n_rows, float *logits, float *hidden, vkdlm_error *err);

#endif
