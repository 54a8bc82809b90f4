/* A conversion to GGUF, planned before anything is written. */
#ifndef RUNTIME_QUANTIZE_H
#define RUNTIME_QUANTIZE_H

#include <vkdlm/quantize.h>

#include "format/checkpoint.h"
#include "format/gguf_writer.h"

/* One tensor of the new file. */
typedef struct quantize_item {
    char name[64];
    vkdlm_dtype dtype;
    bool fell_back;
    uint32_t head_dim; /* not 0: rows of each head are interleaved, row 2i from i, 2i + 1 from i + half */
    const vkdlm_tensor *source; /* NULL: computed */
    float *values;              /* F32 [n_values], of a computed one */
    uint64_t n_values;
} quantize_item;

typedef struct quantize_plan {
    quantize_item *items;
    size_t n_items, capacity;
} quantize_plan;

/* What the types of a file are called, and which tensor gets which. */
typedef struct quantize_type {
    const char *name;
    uint32_t file_type; /* general.file_type */
    vkdlm_dtype most;   /* matrices */
    vkdlm_dtype output; /* output.weight, or the embedding when it is the output too */
    vkdlm_dtype
        more; /* attn_v and ffn_down in the first and last eighth of the blocks and every third other */
} quantize_type;

/* NULL when there is no such type. */
const quantize_type *quantize_find_type(const char *name);

/* Sets the types of all items. */
void quantize_choose_types(const quantize_type *type, quantize_plan *plan);

/* Adds a tensor; `name` is printed with `block` where it has a %u, unless that is QUANTIZE_NO_BLOCK. Errors:
 * OUT_OF_HOST_MEMORY. */
#define QUANTIZE_NO_BLOCK UINT32_MAX
vkdlm_status quantize_add(quantize_plan *plan, const vkdlm_tensor *source, const char *name, uint32_t block,
                          uint32_t head_dim, vkdlm_error *err);
void quantize_plan_deinit(quantize_plan *plan);

/* Puts what every file says of itself; the model is called as the last part of its directory's path. */
void quantize_put_general(gguf_writer *w, const checkpoint *ck, const char *architecture);

/* Plans the tensors of a model and puts its metadata, without what concerns types and tokenizer; architecture
 * is static text. Errors: those of configurations and tensors. */
vkdlm_status quantize_plan_llm(checkpoint *ck, quantize_plan *plan, gguf_writer *w, const char **architecture,
                               vkdlm_error *err);
vkdlm_status quantize_plan_mdlm(checkpoint *ck, quantize_plan *plan, gguf_writer *w,
                                const char **architecture, vkdlm_error *err);
/* The same of a diffusion path, from l2d_checkpoint_open. Whether the tensors are all there, and their
 * shapes, depends on the base model and is not looked at. */
vkdlm_status quantize_plan_path(checkpoint *ck, quantize_plan *plan, gguf_writer *w,
                                const char **architecture, vkdlm_error *err);

/* Puts the tokenizer and the chat template of a model whose network has n_ids ids. UNSUPPORTED, with nothing
 * put: there is none, or GGUF's names do not describe it. Errors: IO, MALFORMED, OUT_OF_HOST_MEMORY. */
vkdlm_status quantize_put_tokenizer(const checkpoint *ck, uint64_t n_ids, gguf_writer *w, vkdlm_error *err);

#endif
