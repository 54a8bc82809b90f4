/* What sample/ needs of a causal language model and its diffusion path, whatever the network: tokens go
 * through the main path into the cache, and predictions are made from the states that it leaves, refined by
 * the flow or not. model/llm.c implements it.
 *
 * The main path leaves, for each token that asks for it, its state before the final norm in a held slot. A
 * prediction refers to a held slot and to what the cache holds of its sequence up to its position. */
#ifndef MODEL_CAUSAL_H
#define MODEL_CAUSAL_H

#include <vkdlm/status.h>

#include "model/candidate.h"

/* How much a run needs at once. */
typedef struct causal_capacity {
    uint32_t sequences;  /* of the cache */
    uint32_t context;    /* tokens a sequence, at most the model's */
    uint32_t chunk_rows; /* tokens of one call to causal.run */
    uint32_t held;       /* slots */
    uint32_t rows;       /* predictions of one call */
    uint32_t branches;   /* of the flow: 0 without, 1, or 2 */
    uint32_t calls;      /* velocities of one program */
    uint32_t times;      /* rows of modulation: times x classes */
    bool average;        /* estimates by the whole diffusion vocabulary */
    bool cut;            /* top-k or top-p */
    bool cache_f16;
    bool record;         /* what the evaluations of the flow find is read back */
    uint32_t candidates; /* of each of them */
} causal_capacity;

enum causal_keep { KEEP_NONE, KEEP_LAST, KEEP_ALL };

/* New tokens of one sequence. */
typedef struct causal_chunk {
    uint32_t sequence;     /* of the cache */
    uint32_t first;        /* position of tokens[0]: as many tokens are in the cache already */
    const int32_t *tokens; /* [length] */
    uint32_t length;
    enum causal_keep keep;
    uint32_t held; /* slot of the (first) kept state */
} causal_chunk;

/* One prediction: the token after `position`. */
typedef struct causal_row {
    uint32_t sequence, position;
    uint32_t held;
    uint32_t sample;  /* counter[3] of its draws (base/rng.h) */
    uint32_t counter; /* counter[1] of its draws */
    int32_t target;   /* the token whose probability is wanted, or -1 */
} causal_row;

enum flow_kind {
    FLOW_BASE,    /* t = 0: the base's logits, without the network */
    FLOW_NETWORK, /* an evaluation of the diffusion path */
    FLOW_ZERO,    /* t >= 1: velocity 0, without the network */
};

/* One velocity of a solver on a grid, and the step to the next state. */
typedef struct flow_step {
    enum flow_kind kind;
    uint32_t time;         /* FLOW_NETWORK: index of the prepared times */
    float inv_temperature; /* of x_hat; 0: the most probable token */
    float factor;          /* v = factor (x_hat - x) */
    uint32_t slope;        /* which slope this velocity is, 0 .. 3 */
    float step[4];         /* next state = grid state + sum over i <= slope of step[i] slope[i] */
    bool advance;          /* the next state is a grid point */
    float input_scale;     /* of the next state, as the input of the next step or of the final evaluation */
} flow_step;

/* A solve on a grid, and what the prepared classes are for. */
typedef struct flow_program {
    const flow_step *steps; /* [n_steps]; the first is FLOW_BASE */
    uint32_t n_steps;
    uint32_t n_branches;    /* 1 or 2 */
    uint32_t class_slot[2]; /* of each branch: index of the prepared classes */
    float branch_weight[2];
    uint32_t final_time;  /* index of the prepared times of the last evaluation */
    uint32_t final_class; /* index of the prepared classes */
    bool average;
} flow_program;

/* What one evaluation of the velocity found for a row; with guidance, in the first branch. */
typedef struct flow_found {
    int32_t token; /* drawn or most probable */
    float entropy; /* of the distribution it was drawn from; at temperature 1 when it was not drawn */
    float wd_norm; /* Euclidean norm of w_d(t) */
} flow_found;

/* For those who look on: the evaluations of a program for the rows that are refined, the last one at its end.
 * Calls that run no network are left as they are, and so are other rows. n_calls is n_steps + 1. */
typedef struct flow_record {
    uint32_t n_candidates;
    float *x;              /* [n_calls][n_rows, n]: the states they began from */
    flow_found *found;     /* [n_calls][n_rows] */
    candidate *candidates; /* [n_calls][n_rows, n_candidates] */
    uint64_t *device_ns;   /* [n_calls]; 0 when the device does not tell, means when it tells less */
} flow_record;

/* What one call does, in one submission: chunks through the main path, then the predictions of `rows`. */
typedef struct causal_work {
    const causal_chunk *chunks;
    uint32_t n_chunks;
    bool prompt; /* the chunks are pieces of prompts; otherwise generated tokens, one or more of a sequence,
                    whose states have the bits that they have one by one */

    const causal_row *rows;
    uint32_t n_rows;
    uint64_t seed;
    /* The distribution that the predicted token is drawn from. */
    bool draw;             /* false: the most probable token */
    float inv_temperature; /* > 0 */
    uint32_t top_k;        /* 0: off */
    float top_p;           /* 1: off */
    /* Refinement of the rows with refine[r]; program NULL: of none. refine NULL: of all. */
    const flow_program *program;
    const bool *refine;
    const float *x0; /* [n_rows, n]; those of rows that are not refined are not read */
    float *trace; /* NULL, or [number of advancing steps][n_rows, n]: the states at the grid points after 0 */
    const flow_record *record; /* NULL, or filled; needs a capacity with `record` */
} causal_work;

typedef struct causal_result {
    int32_t token;
    float log_prob;        /* of the token, under the distribution it was drawn from */
    float entropy;         /* of that distribution */
    float max_log_prob;    /* of its most probable token */
    float target_log_prob; /* of the row's target; NaN without one */
    float base_entropy;    /* of the first estimate's distribution, at its temperature (1 where that is 0);
                              entropy for a row that was not refined */
} causal_result;

/* Single evaluations of the flow's network, for solvers whose steps depend on what they find. */
typedef struct flow_point {
    causal_row row;
    float t;
    int32_t class_id; /* -1: the null class, or a model without classes */
    uint32_t step;    /* of the draw's counter, see causal.h's numbering below */
    bool draw;        /* false: the most probable token; with `average`: inv_temperature decides */
    float inv_temperature;
} flow_point;

typedef struct flow_request {
    const flow_point *points; /* [n_points] */
    uint32_t n_points;
    const float *x; /* [n_points, n], on the scale of the noise */
    uint64_t seed;
    uint32_t top_k; /* of the draws */
    float top_p;
    bool average;           /* x_hat is the mean under the tempered distribution */
    double *x_hat;          /* [n_points, n] or NULL */
    causal_result *results; /* [n_points] or NULL */
    flow_found *found;      /* [n_points] or NULL; needs a capacity with `record` */
    uint32_t n_candidates;  /* 0, or with found */
    candidate *candidates;  /* [n_points, n_candidates] */
    uint64_t *device_ns;    /* of the evaluation, or NULL */
    float *logits;          /* [n_points, vocab_size] or NULL */
    float *hidden;          /* [n_blocks + 1, n_points, hidden_dim] or NULL */
} flow_request;

/* counter[2] of the draws of one token: 0 for the token itself, then one number for each velocity and branch.
 */
static inline uint32_t flow_draw_step(uint32_t call, uint32_t branch)
{
    return 1 + 2 * call + branch;
}

/* Work done so far. */
typedef struct causal_counters {
    uint64_t submissions;
    uint64_t main_rows; /* tokens through the main path */
    uint64_t path_rows; /* rows through the diffusion path */
} causal_counters;

typedef struct causal {
    void *self;
    uint32_t vocab_size;
    uint32_t context;     /* tokens a sequence at most */
    uint32_t flow_dim;    /* n; 0: no diffusion path */
    uint32_t n_classes;   /* without the null class; 0: none */
    double noise_scale;   /* sigma */
    double data_variance; /* v of the input scale 1 / sqrt((1 - t)^2 sigma^2 + t^2 v) */
    causal_counters counters;
    /* The most of `what` is left to the caller that one device can hold: sequences of this context for which
     * causal_capacity, filled in for one of them, can be reserved. */
    uint32_t (*max_sequences)(void *self, const causal_capacity *one);
    /* Rows of one call beyond which a larger batch gains nothing on this device (>= 1). */
    uint32_t auto_rows;
    /* Makes room; forgets what the cache, the held slots and the prepared times hold. OUT_OF_DEVICE_MEMORY
     * says how much is needed. run and evaluate allocate nothing afterwards. */
    vkdlm_status (*reserve)(void *self, const causal_capacity *capacity, vkdlm_error *err);
    /* Computes the modulation of every layer for these times and classes once. classes: -1 is the null class
     * (and the only one of a model without classes); n_classes 1 or 2. */
    vkdlm_status (*prepare)(void *self, const float *times, uint32_t n_times, const int32_t *classes,
                            uint32_t n_classes, vkdlm_error *err);
    /* results: [n_rows]. A row's result depends on its own sequence, noise and draws alone, never on what
     * else is in the batch. */
    vkdlm_status (*run)(struct causal *self, const causal_work *work, causal_result *results,
                        vkdlm_error *err);
    /* Needs no prepared times and forgets them. Points with t = 0 have the base's logits, bit for bit;
     * the network is not run when all have. n_points is at most rows x branches of the capacity. */
    vkdlm_status (*evaluate)(struct causal *self, const flow_request *request, vkdlm_error *err);
} causal;

#endif
