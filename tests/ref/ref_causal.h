/* A causal model with a flow, small enough to be known exactly, behind the interface that sample/ uses
 * (model/causal.h), in double precision. It is no transformer: the logits come from a random table of the
 * last two tokens of the context, and the flow adds t times a random linear map of its scaled state and a
 * bias of the class. It fails the test when a caller breaks a rule of the interface: tokens that are not in
 * the cache, a held state that is another's, times that were not prepared, more than was reserved. */
#ifndef REF_CAUSAL_H
#define REF_CAUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include <vkdlm/model.h>

#include "model/causal.h"

typedef struct ref_causal_config {
    uint32_t vocab_size;
    uint32_t context;
    uint32_t flow_dim;  /* 0: no flow */
    uint32_t n_classes; /* without the null class; 0: none */
    uint32_t auto_rows; /* 0: 8 */
    uint32_t most;      /* sequences that "fit the device"; 0: 1000 */
    double sharpness;   /* standard deviation of the logits; 0: 1 */
    double noise_scale; /* 0: 64 */
    uint64_t seed;      /* of the tables */
} ref_causal_config;

/* What the caller did. */
typedef struct ref_causal_log {
    uint32_t n_runs, n_evaluates, n_reserves, n_prepares;
    uint32_t n_prompt_runs;   /* of the runs, with prompt set */
    uint32_t most_rows;       /* of one call */
    causal_capacity capacity; /* as reserved last */
    uint64_t refined_rows;    /* rows of runs that went through the flow's program */
} ref_causal_log;

/* What such a model says of itself: its end token is REF_CAUSAL_END, its flow takes four steps by midpoint.
 */
enum { REF_CAUSAL_END = 7 };
vkdlm_model_info ref_causal_info(const ref_causal_config *config);

causal *ref_causal_create(const ref_causal_config *config);
void ref_causal_destroy(causal *network);

ref_causal_log *ref_causal_get_log(causal *network);
/* Call number n (from 1, runs and evaluations together) and those after it fail with DEVICE_LOST; 0: never.
 */
void ref_causal_fail_at(causal *network, uint32_t n);
/* ... or give probabilities that are not numbers. */
void ref_causal_spoil_at(causal *network, uint32_t n);

/* [vocab_size]: logits of the token behind `before` and `last`; before is -1 when there is none. */
void ref_causal_base(const causal *network, int32_t before, int32_t last, double *logits);
/* The same at (x, t), x [flow_dim] on the scale of the noise; class_id -1 is the null class. */
void ref_causal_flow(const causal *network, int32_t before, int32_t last, const double *x, double t,
                     int32_t class_id, double *logits);
/* V_y: [vocab_size, flow_dim]. */
const double *ref_causal_vocabulary(const causal *network);

#endif
