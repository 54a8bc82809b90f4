/* Converting models to GGUF files with quantised weights. No device is needed. */
#ifndef VKDLM_QUANTIZE_H
#define VKDLM_QUANTIZE_H

#include <vkdlm/tensors.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What became of one tensor. */
typedef struct vkdlm_quantize_tensor {
    const char *name; /* in the new file */
    vkdlm_dtype from, to;
    bool fell_back; /* its rows are not whole blocks of the type that the rule names */
} vkdlm_quantize_tensor;

/* A zeroed struct is the default. */
typedef struct vkdlm_quantize_options {
    const char *type; /* one of vkdlm_quantize_type; NULL: "q4_k_m" */
    /* Called while the weights are converted; false stops it (CANCELLED). May be NULL. */
    bool (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    /* Called for every tensor, in the order of the file, before any is converted. May be NULL. */
    void (*tensor)(void *user, const vkdlm_quantize_tensor *tensor);
    void *user;
} vkdlm_quantize_options;

typedef struct vkdlm_quantize_info {
    char architecture[64];
    uint64_t n_parameters; /* elements of all tensors */
    uint64_t source_bytes; /* of the tensors */
    uint64_t file_bytes;   /* of the new file */
    uint32_t n_tensors, n_fell_back;
    bool tokenizer;          /* the new file holds one */
    char no_tokenizer[1024]; /* the sentence that says why it holds none */
} vkdlm_quantize_info;

/* Name of a type ("f32", "q8_0", "q4_k_m", ...), NULL past the last. */
VKDLM_API const char *vkdlm_quantize_type(size_t index);

/* Converts the model at `model` (mdlm, llama or qwen2 in the Hugging Face layout, a diffusion path, as
 * vkdlm_model_options.l2d names it and whatever lies beside it, or a GGUF file of any architecture, whose
 * metadata is kept) to the GGUF file `path`, which appears when it is complete; a file
 * that already has that name stays until then. What is kept in memory does not grow with the tensors.
 * docs/gguf.md says which tensor gets which type. options may be NULL; info may be NULL.
 * Errors: NOT_FOUND, IO, MALFORMED, UNSUPPORTED (architecture; a weight that is not finite or too large for
 * its type), INVALID_ARGUMENT (type), CANCELLED, OUT_OF_HOST_MEMORY. */
VKDLM_API vkdlm_status vkdlm_quantize(const char *model, const char *path,
                                      const vkdlm_quantize_options *options, vkdlm_quantize_info *info,
                                      vkdlm_error *err);

#ifdef __cplusplus
}
#endif

#endif
