/* What a completion run is: options checked against the model, with every default resolved. */
#ifndef SAMPLE_COMPLETE_PLAN_H
#define SAMPLE_COMPLETE_PLAN_H

#include <vkdlm/complete.h>

#include "sample/complete_refine.h"

typedef struct complete_plan {
    const vkdlm_canvas *prompts; /* the caller's */
    uint64_t num_samples;        /* of each prompt */
    uint64_t n_samples;          /* of the run */
    uint32_t first_stream;
    uint32_t context;     /* tokens a sample may have in all */
    uint32_t max_tokens;  /* new ones; a prompt may leave room for fewer */
    uint32_t first_token; /* new ones that stand at the end of the prompts already; max_tokens counts them */
    uint32_t max_output;  /* tokens of the longest sample */
    uint32_t batch;
    uint32_t chunk_rows; /* tokens of prompts that go through the main path at once */
    token_law law;
    flow_settings flow;
    uint64_t seed;
    const int32_t *end_ids; /* the model's */
    uint32_t n_end_ids;     /* 0 where they do not stop a sample */
} complete_plan;

/* Checks options against the model, whose diffusion path `network` offers. Borrows the prompts and the
 * model's end ids. The batch is left to complete_plan_batch. Errors: INVALID_ARGUMENT names the option as on
 * the command line, its bounds and what was found. */
vkdlm_status complete_plan_init(complete_plan *plan, const causal *network, const vkdlm_model_info *model,
                                const vkdlm_complete_options *options, vkdlm_error *err);

/* Chooses or checks the batch and gives the capacity of the run. INVALID_ARGUMENT when the device holds
 * fewer sequences than asked for. */
vkdlm_status complete_plan_batch(complete_plan *plan, const refiner *r, const causal *network,
                                 const vkdlm_complete_options *options, causal_capacity *capacity,
                                 vkdlm_error *err);

/* New tokens of a sample of this prompt at most, those that it has already among them; more than these. */
uint32_t complete_plan_max_tokens(const complete_plan *plan, uint64_t prompt);

bool complete_plan_ends(const complete_plan *plan, int32_t token);

#endif
