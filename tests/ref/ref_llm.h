/* Causal language models (Llama, Qwen2) in scalar double precision, written from their formulas alone: what
 * kernels and models are compared with. Notation: V vocabulary, D hidden size, H heads of A components, G
 * key/value heads, F inner size of the MLP. */
#ifndef REF_LLM_H
#define REF_LLM_H

#include <stdint.h>

#include <vkdlm/tensors.h>

#include "ref/ref_linear.h"

typedef struct ref_llm_layer {
    double *norm_attention, *norm_mlp; /* [D] */
    ref_linear q, k, v, o;             /* D -> HA, GA, GA; HA -> D */
    ref_linear gate, up, down;         /* D -> F, F; F -> D */
} ref_llm_layer;

typedef struct ref_llm {
    uint32_t vocab_size, dim, n_layers, n_heads, n_kv_heads, head_dim, mlp_dim;
    double norm_eps;
    double *frequencies; /* of the rotary pairs, [A/2] */
    double *embedding;   /* [V, D] */
    ref_llm_layer *layers;
    double *norm;    /* [D] */
    ref_linear head; /* D -> V */
} ref_llm;

/* What one sequence leaves behind. */
typedef struct ref_llm_cache {
    uint32_t capacity, length; /* tokens */
    double *keys, *values;     /* rotated keys; [n_layers, capacity, GA] */
    double *states;            /* after all layers, before the final norm; [capacity, D] */
} ref_llm_cache;

/* Loads config.json and the weights of a directory (F32, F16 or BF16; one file or shards); NULL, with a line
 * on standard error, on failure. */
ref_llm *ref_llm_open(const char *dir);
void ref_llm_close(ref_llm *net);

ref_llm_cache ref_llm_cache_create(const ref_llm *net, uint32_t capacity);
void ref_llm_cache_destroy(ref_llm_cache *cache);

/* Appends tokens [n] to the cache. hidden [n_layers + 1, n, D]: the embedding, then every layer's output;
 * logits [n, V]; either may be NULL. */
void ref_llm_forward(const ref_llm *net, ref_llm_cache *cache, const int32_t *tokens, uint32_t n,
                     double *hidden, double *logits);

/* logits [V] of a state [D] before the final norm. */
void ref_llm_logits(const ref_llm *net, const double *state, double *logits);

/* ---- parts that the diffusion path shares ------------------------------------------------------------ */

/* calloc that aborts instead of failing. */
void *ref_llm_allocate(size_t n, size_t size);
/* `name`.weight [out, in] and, if there, `name`.bias; weight is NULL when the file has none. */
ref_linear ref_llm_load_linear(const vkdlm_tensors *file, const char *name);
/* Tensor `name` widened, in its own order; NULL when the file has none. */
double *ref_llm_load(const vkdlm_tensors *file, const char *name);
void ref_llm_free_linear(ref_linear *layer);
/* x / (1 + exp(-x)) of n values in place. */
void ref_llm_silu(double *x, uint32_t n);
/* y = x / sqrt(mean(x^2) + eps). */
void ref_llm_rms(const ref_llm *net, const double *x, double *y);
/* Rotates n_heads heads in place for a position: pairs (i, i + A/2), angle position * frequencies[i]. */
void ref_llm_rotate(const ref_llm *net, double *heads, uint32_t n_heads, uint32_t position);
/* out [HA]: attention of rotated q [HA] over the first n_keys tokens of the cache in `layer`. */
void ref_llm_attend(const ref_llm *net, const ref_llm_cache *cache, uint32_t layer, uint32_t n_keys,
                    const double *q, double *out);

#endif
