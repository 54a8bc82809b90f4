/* Models: a checkpoint on disk, its description, and its weights on a device.
 *
 * Thread rules: a checkpoint or model is immutable after open and may be shared between threads. */
#ifndef VKDLM_MODEL_H
#define VKDLM_MODEL_H

#include <vkdlm/device.h>
#include <vkdlm/flow.h>
#include <vkdlm/tensors.h>
#include <vkdlm/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a model generates with. */
typedef enum vkdlm_family {
    VKDLM_FAMILY_MASKED, /* a canvas of mask tokens is filled: vkdlm_generate, vkdlm_score */
    VKDLM_FAMILY_CAUSAL, /* a prompt is continued: vkdlm_complete, vkdlm_predict */
} vkdlm_family;

/* The diffusion path of a causal model and the values its file gives; zeroed without one. */
typedef struct vkdlm_flow_info {
    bool present;
    uint32_t dim;       /* n, components of the noisy embedding */
    uint32_t n_classes; /* for guidance, without the null class; 0: none */
    uint32_t lora_rank; /* 0: full weights */
    double noise_scale; /* sigma */
    uint32_t steps;     /* the defaults of vkdlm_flow_options, resolved */
    vkdlm_solver solver;
    vkdlm_estimate estimate;
    vkdlm_velocity velocity;
    const char *temperature; /* owned by the model */
    double rtol, atol, end_time;
} vkdlm_flow_info;

/* ---- checkpoints: looking into model files without a device ------------------------------------- */

typedef struct vkdlm_checkpoint vkdlm_checkpoint;

/* One hyperparameter as the configuration gives it, numbers printed in full; of a GGUF file, any pair of its
 * metadata, of arrays only type and length. */
typedef struct vkdlm_parameter {
    const char *name;
    const char *value;
} vkdlm_parameter;

typedef struct vkdlm_checkpoint_info {
    const char *path;
    const char *architecture; /* "mdlm", or what the file says for one that cannot be run */
    bool runnable;
    const char *why_not;   /* one sentence when not runnable, else NULL */
    const char *tokenizer; /* path of the tokenizer file (a GGUF file's own), NULL when there is none */
    uint64_t n_parameters; /* elements of all tensors */
    uint64_t file_bytes;   /* of all tensors */
    uint64_t device_bytes; /* needed for weights and a batch of one; 0 when not runnable */
    vkdlm_family family;   /* when runnable */
    vkdlm_flow_info flow;  /* of a diffusion path, when runnable */
} vkdlm_checkpoint_info;

/* Opens a Hugging Face directory, a .safetensors file beside its config.json, or a GGUF file. Any well-formed
 * checkpoint can be opened, also of an architecture that cannot be run. *out is NULL on failure. */
VKDLM_API vkdlm_status vkdlm_checkpoint_open(const char *path, vkdlm_checkpoint **out, vkdlm_error *err);
/* The same with a diffusion path: as vkdlm_model_options.l2d. */
VKDLM_API vkdlm_status vkdlm_checkpoint_open_l2d(const char *path, const char *l2d, vkdlm_checkpoint **out,
                                                 vkdlm_error *err);
VKDLM_API void vkdlm_checkpoint_close(vkdlm_checkpoint *checkpoint);
/* Pointers live as long as the checkpoint. */
VKDLM_API void vkdlm_checkpoint_get_info(const vkdlm_checkpoint *checkpoint, vkdlm_checkpoint_info *info);
/* Scalar entries of the configuration, or all of a GGUF file's, in file order; false past the end. */
VKDLM_API bool vkdlm_checkpoint_parameter(const vkdlm_checkpoint *checkpoint, size_t index,
                                          vkdlm_parameter *out);
VKDLM_API const vkdlm_tensors *vkdlm_checkpoint_tensors(const vkdlm_checkpoint *checkpoint);
/* Of the diffusion path, NULL without one: the directory of l2d.json or the GGUF file; what l2d.json says, or
 * the GGUF file's keys in its place, as JSON (NULL without memory too; to be freed by free()); the tensors.
 */
VKDLM_API const char *vkdlm_checkpoint_l2d_path(const vkdlm_checkpoint *checkpoint);
VKDLM_API char *vkdlm_checkpoint_l2d_config(const vkdlm_checkpoint *checkpoint);
VKDLM_API const vkdlm_tensors *vkdlm_checkpoint_l2d_tensors(const vkdlm_checkpoint *checkpoint);

/* ---- models ------------------------------------------------------------------------------------- */

typedef struct vkdlm_model vkdlm_model;

/* A zeroed struct is the default. */
typedef struct vkdlm_model_options {
    /* Called during the upload of the weights; false stops it (CANCELLED). May be NULL. */
    bool (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
    const char *tokenizer; /* path of a tokenizer; NULL: the one beside the model, if any */
    /* A diffusion path for a causal model: a directory with l2d.json and l2d.safetensors, that .safetensors
     * file, or a GGUF file; NULL: the one in the model's directory, if any. */
    const char *l2d;
} vkdlm_model_options;

#define VKDLM_MAX_END_IDS 16

typedef struct vkdlm_model_info {
    const char *architecture; /* static text: "mdlm", "llama", "qwen2" */
    vkdlm_family family;
    uint32_t vocab_size; /* ids the network takes, the mask token included */
    int32_t mask_id;     /* -1 for a causal model */
    uint32_t length;     /* masked: canvas length of training, and the longest; causal: tokens of context */
    uint32_t hidden_dim, n_blocks, n_heads, cond_dim;
    uint32_t n_kv_heads, head_dim, mlp_dim; /* causal */
    int32_t begin_id;                       /* causal: beginning of text, -1: none */
    int32_t end_ids[VKDLM_MAX_END_IDS];     /* causal: end of text */
    uint32_t n_end_ids;
    vkdlm_flow_info flow;
    bool time_conditioning;
    uint64_t n_parameters;
    uint64_t weight_bytes; /* on the device */
} vkdlm_model_info;

/* Opens the checkpoint at `path`, checks every tensor, and uploads the weights. options may be NULL.
 * The device must outlive the model. *out is NULL on failure. */
VKDLM_API vkdlm_status vkdlm_model_open(vkdlm_device *device, const char *path,
                                        const vkdlm_model_options *options, vkdlm_model **out,
                                        vkdlm_error *err);
/* Its sessions must be destroyed before. NULL is allowed. */
VKDLM_API void vkdlm_model_close(vkdlm_model *model);
VKDLM_API void vkdlm_model_get_info(const vkdlm_model *model, vkdlm_model_info *info);
/* NULL when the model has none. Owned by the model. */
VKDLM_API const vkdlm_tokenizer *vkdlm_model_tokenizer(const vkdlm_model *model);

#ifdef __cplusplus
}
#endif

#endif
