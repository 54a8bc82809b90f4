/* Predictions of a causal model and their refinement by its flow, whatever the solver: what complete.c and
 * predict.c have in common.
 *
 * On a fixed grid the whole solve is a program that the network runs in one submission together with the main
 * path. An adaptive solver decides on the host, in double: each row is integrated by itself, and every round
 * evaluates the network once for all rows that still want a velocity.
 *
 * x_0 of a row comes from the caller or from rng_normals (base/rng.h) with purpose RNG_STATE, counter[1] and
 * counter[3] being those of the row. */
#ifndef SAMPLE_COMPLETE_REFINE_H
#define SAMPLE_COMPLETE_REFINE_H

#include <vkdlm/complete.h>

#include "model/causal.h"
#include "sample/flow_options.h"

/* The distribution that the predicted token comes from. */
typedef struct token_law {
    bool draw;             /* false: the most probable token */
    float inv_temperature; /* > 0 */
    uint32_t top_k;        /* 0: off */
    float top_p;           /* 1: off */
} token_law;

/* Resolves and checks the options (INVALID_ARGUMENT). */
vkdlm_status token_law_init(token_law *law, bool greedy, double temperature, uint32_t top_k, double top_p,
                            uint32_t vocab_size, vkdlm_error *err);

/* The base distribution itself: temperature 1, no cuts. */
static inline bool token_law_is_plain(const token_law *law)
{
    return law->inv_temperature == 1 && law->top_k == 0 && law->top_p == 1;
}

typedef struct refine_row {
    causal_row row;
    bool refine;
    uint64_t noise_token, noise_row; /* which x_0 of those that the caller gives */
} refine_row;

typedef struct refine_call {
    const causal_chunk *chunks; /* as in causal_work */
    uint32_t n_chunks;
    bool prompt;
    const refine_row *rows; /* [n_rows], at most the rows of refiner_init */
    uint32_t n_rows;
    token_law law;
} refine_call;

/* One evaluation on the way to a refined token, for those who look on. Pointers live until the callback
 * returns. */
typedef struct refine_seen {
    uint32_t index; /* of the evaluation within the token */
    bool last;      /* the one that the token comes from */
    double time;
    const float *x; /* [flow_dim] */
    const flow_found *found;
    const candidate *candidates; /* [n_candidates] */
    uint64_t device_ns;
} refine_seen;

typedef struct refine_watch {
    void (*see)(void *user, const refine_row *row, const refine_seen *seen); /* NULL: nobody looks on */
    void *user;
    uint32_t n_candidates;
} refine_watch;

typedef struct refiner {
    causal *network;
    const flow_settings *flow;
    uint64_t seed;
    uint32_t n_rows; /* of one call */
    refine_watch watch;

    flow_grid grid;
    flow_step *steps;
    float *times; /* ascending, all different, [n_times] */
    uint32_t n_times;
    flow_program program;
    uint64_t path_rows; /* through the diffusion path, a refined token */

    causal_row *rows;
    bool *refine;
    float *x0;
    uint32_t *index;       /* rows that are solved on the host, by their number in the call */
    ode_adaptive *solvers; /* [n_rows], each begun when it was first needed */
    flow_point *points;
    float *x;
    double *normals, *x_hat, *slope;
    causal_result *results;
    /* For those who look on. */
    flow_record record; /* of one call on a fixed grid; found and candidates also of points */
    uint32_t *n_seen;   /* adaptive: evaluations of each solve */
} refiner;

/* Builds the program of a fixed grid. Errors: OUT_OF_HOST_MEMORY. r needs deinit also after an error. flow
 * must outlive it. */
vkdlm_status refiner_init(refiner *r, causal *network, const flow_settings *flow, uint64_t seed,
                          vkdlm_error *err);
/* Whom to tell of the evaluations of refined rows, in order within a row; before refiner_describe. */
void refiner_watch(refiner *r, const refine_watch *watch);
/* Fills in branches, calls, times, average and what is recorded. */
void refiner_describe(const refiner *r, causal_capacity *capacity);
/* Allocates for calls of up to n_rows rows, reserves `capacity` and prepares the times. */
vkdlm_status refiner_reserve(refiner *r, const causal_capacity *capacity, vkdlm_error *err);
void refiner_deinit(refiner *r);

/* Runs the chunks through the main path, predicts every row, and refines those that ask for it. results:
 * [n_rows]; base_entropy of a row that an adaptive solver refined is its final entropy. counts: [n_rows],
 * NULL or added to, but for `main`. Errors: INTERNAL when the network gives no usable probabilities; those of
 * the network. */
vkdlm_status refiner_run(refiner *r, const refine_call *call, causal_result *results,
                         vkdlm_flow_counts *counts, vkdlm_error *err);

/* Adds the counts of one to another. */
void flow_counts_add(vkdlm_flow_counts *sum, const vkdlm_flow_counts *more);

#endif
