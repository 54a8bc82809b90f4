/* The diffusion path of an L2D model in scalar double precision, written from its formulas alone (Cetin,
 * Zhao, Tang, arXiv 2501.15781). Notation: n components of the noisy embedding, C conditioning size, D and V
 * as in ref_llm.h. */
#ifndef REF_L2D_H
#define REF_L2D_H

#include <stdbool.h>
#include <stdint.h>

#include "ref/ref_llm.h"

typedef struct ref_l2d_layer {
    ref_linear modulation0, modulation2; /* C -> C -> 6D: weight, shift, gate; attention, then MLP */
    ref_linear q, o, gate, up, down;     /* LoRA is added to the base's weights */
} ref_l2d_layer;

typedef struct ref_l2d {
    const ref_llm *base; /* borrowed */
    uint32_t n, n_features, cond_dim;
    uint32_t n_classes;       /* without the null class; 0: no labels */
    double sigma;             /* scale of the noise */
    double variance, rescale; /* v and k of the diffusion vocabulary */
    ref_linear timestep0, timestep2;
    double *labels;                      /* [n_classes + 1, C], the last is the null class; or NULL */
    ref_linear token;                    /* W_v: D -> n */
    ref_linear encoder0, encoder2;       /* n -> e -> D */
    ref_linear modulation0, modulation2; /* C -> C -> D */
    ref_l2d_layer *layers;
} ref_l2d;

/* Loads l2d.json and l2d.safetensors of a directory for this base; NULL, with a line on standard error, on
 * failure. */
ref_l2d *ref_l2d_open(const char *dir, const ref_llm *base);
void ref_l2d_close(ref_l2d *net);

/* V_y [n] of a token. */
void ref_l2d_vocabulary(const ref_l2d *net, int32_t token, double *v);

/* emb(t) [C] with the class (-1: the null class) added. */
void ref_l2d_condition(const ref_l2d *net, double t, int32_t class_id, double *emb);

/* w_d(t) [D]. */
void ref_l2d_gain(const ref_l2d *net, double t, int32_t class_id, double *gain);

/* One evaluation for the token after `position` of the cache. x [n] on the scale of the noise. y [n_layers +
 * 1, D]: the encoder's output, then after every layer; may be NULL. logits [V]. */
void ref_l2d_evaluate(const ref_l2d *net, const ref_llm_cache *cache, uint32_t position, const double *x,
                      double t, int32_t class_id, double *y, double *logits);

/* A solve by euler on a grid of `steps` points in [0, 1] with x_hat of the most probable token; x [n] is x_0,
 * then x_1. logits [V]: of the last evaluation, at t = 1. Returns the smallest lead of a best logit over the
 * second best at any evaluation: below the error of the other implementation, tokens may differ. */
double ref_l2d_euler(const ref_l2d *net, const ref_llm_cache *cache, uint32_t position, uint32_t steps,
                     int32_t class_id, double *x, double *logits);

/* Index of the largest of n values, the lowest of equals; *lead (may be NULL) over the second. */
uint32_t ref_l2d_argmax(const double *values, uint32_t n, double *lead);

#endif
