/* Causal language models on a device (Llama 3.x, Qwen2), with or without a diffusion path (L2D).
 *
 * llm_main.c is the main path, l2d_path.c the diffusion path: both read top to bottom like the network.
 * llm_solve.c and llm_evaluate.c put them together: what one call of model/causal.h does.
 *
 * A model is immutable after open and may be shared; a workspace (cache, activations, one recording) belongs
 * to one thread. */
#ifndef MODEL_LLM_H
#define MODEL_LLM_H

#include "model/causal.h"
#include "model/l2d_config.h"
#include "model/llm_config.h"
#include "model/loader.h"

typedef struct llm llm;
typedef struct llm_workspace llm_workspace;

/* Checks every tensor and uploads the weights. path: the checkpoint of the diffusion path, NULL without one.
 * Both may be closed afterwards. progress may be NULL. */
vkdlm_status llm_open(gpu_device *device, checkpoint *base, checkpoint *path, loader_progress_fn progress,
                      void *user, llm **out, vkdlm_error *err);
void llm_close(llm *model);

const llm_config *llm_get_config(const llm *model);
/* NULL without a diffusion path. */
const l2d_config *llm_get_path_config(const llm *model);
uint64_t llm_weight_bytes(const llm *model);

/* Checks checkpoints without a device: the device bytes of their weights and of a workspace for one sequence
 * of the whole context, or the reason why they cannot be run. */
vkdlm_status llm_estimate(checkpoint *base, checkpoint *path, uint64_t *device_bytes, vkdlm_error *err);

vkdlm_status llm_workspace_create(const llm *model, llm_workspace **out, vkdlm_error *err);
void llm_workspace_destroy(llm_workspace *workspace);

/* The samplers' view of this workspace; valid as long as it. */
causal llm_causal(llm_workspace *workspace);

/* One sequence through the main path: the logits [n_rows, V] of the positions in rows (ascending), and, if
 * hidden is not NULL, hidden[(n_blocks + 1), n_rows, D]: the embedding and what each block leaves. */
vkdlm_status llm_forward(llm_workspace *workspace, const int32_t *tokens, uint32_t length,
                         const uint32_t *rows, uint32_t n_rows, float *logits, float *hidden,
                         vkdlm_error *err);

#endif
