/* Plans one evaluation: which canvases go through the network, and where their rows lie.
 *
 * Canvases that must have the same hidden states are evaluated once: those with the same tokens (and the same
 * sigma, where the network is time-conditioned), and a canvas whose tokens are all equal shrinks to a single
 * row, because equal values average to themselves and the rotary embedding touches only queries and keys. */
#ifndef MODEL_PLAN_H
#define MODEL_PLAN_H

#include "model/denoiser.h"

/* A canvas that is evaluated. */
typedef struct plan_sequence {
    uint32_t source;    /* index of the request's sequence that it was first seen in */
    uint32_t row_start; /* its first row of the network */
    uint32_t length;    /* its rows: the canvas's length, or 1 where all tokens are equal */
} plan_sequence;

typedef struct plan {
    plan_sequence *sequences; /* [n_sequences], rows ascending without gaps */
    uint32_t n_sequences;
    uint32_t n_rows; /* of the network */
    uint32_t *of;    /* [request's n_sequences]: which of `sequences` stands for it */
    uint32_t *slots; /* hash table, [n_slots], n_slots a power of two */
    uint32_t n_slots;
    uint32_t capacity; /* sequences */
} plan;

/* Makes room for requests of up to n_sequences. plan must be zeroed or initialised before; earlier contents
 * go. */
vkdlm_status plan_reserve(plan *p, uint32_t n_sequences, vkdlm_error *err);
void plan_deinit(plan *p);

/* Fills the plan (n_sequences <= capacity). use_sigma: sequences with different sigma are different. merge
 * false keeps every sequence whole and apart, in order. */
void plan_build(plan *p, const eval_sequence *sequences, uint32_t n_sequences, bool use_sigma, bool merge);

/* The network's row that holds `position` of the request's sequence `sequence`. */
static inline uint32_t plan_row(const plan *p, uint32_t sequence, uint32_t position)
{
    const plan_sequence *s = &p->sequences[p->of[sequence]];
    return s->row_start + (s->length == 1 ? 0 : position);
}

#endif
