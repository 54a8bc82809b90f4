/* A model on disk: its configuration, its tensors, and where its tokenizer lies.
 *
 * A model binding takes tensors by name, dtype and shape; what it never asked for can be refused at
 * the end, so that no weight is dropped silently. Used by one thread at a time. */
#ifndef FORMAT_CHECKPOINT_H
#define FORMAT_CHECKPOINT_H

#include <vkdlm/tensors.h>

#include "format/gguf.h"
#include "format/json.h"

typedef struct checkpoint {
    char *directory;      /* of the model */
    char *config_path;    /* config.json, or the GGUF file */
    char *tokenizer_path; /* tokenizer.json or vocab.json in the directory, or the GGUF file when it holds a
                             tokenizer; else NULL */
    json_t *config;       /* an object; use checkpoint_config */
    const gguf *metadata; /* instead of config, from a GGUF file; else NULL */
    char *architecture;   /* what that says in general.architecture */
    vkdlm_tensors *tensors;
    bool *taken; /* for each of vkdlm_tensors_at: a caller asked for it */
} checkpoint;

/* Opens `path`: a directory in the Hugging Face layout, a .safetensors file (or shard index) with
 * config.json beside it, or a GGUF file. Errors: NOT_FOUND (path, config.json or weights missing), IO,
 * MALFORMED, UNSUPPORTED (weights that are not safetensors or GGUF). *out is NULL on failure. */
vkdlm_status checkpoint_open(const char *path, checkpoint **out, vkdlm_error *err);

/* The same from files whose names are known: weights is whatever vkdlm_tensors_open takes, the model's
 * directory is that of config_path. */
vkdlm_status checkpoint_open_files(const char *weights, const char *config_path, checkpoint **out,
                                   vkdlm_error *err);
/* NULL is allowed. */
void checkpoint_close(checkpoint *self);

/* What messages call the model: its directory, or the GGUF file. */
static inline const char *checkpoint_name(const checkpoint *self)
{
    return self->metadata ? self->config_path : self->directory;
}

/* The configuration's root; lives as long as the checkpoint. Without members for a GGUF file. */
json_scope checkpoint_config(const checkpoint *self);

/* True when there is a tensor of that name; asking does not take it. */
bool checkpoint_has(const checkpoint *self, const char *name);

/* Takes a floating-point tensor (F32, F16 or BF16) whose shape must equal the n_dims numbers of
 * `shape`; a matrix may also be quantised. Errors: MALFORMED, naming file, tensor, what was expected and what
 * was found. */
vkdlm_status checkpoint_take(checkpoint *self, const char *name, uint32_t n_dims, const uint64_t *shape,
                             const vkdlm_tensor **out, vkdlm_error *err);

/* Takes whatever has that name (buffers that are computed, not read); absent is fine. */
void checkpoint_ignore(checkpoint *self, const char *name);

/* The first tensor at or after *cursor (start at 0) that nobody took, NULL when there is none left;
 * *cursor moves behind it. */
const vkdlm_tensor *checkpoint_next_unexpected(const checkpoint *self, size_t *cursor);

/* MALFORMED with the number and the first names of tensors that nobody took; OK when all are taken. */
vkdlm_status checkpoint_refuse_unexpected(const checkpoint *self, vkdlm_error *err);

#endif
