/* `score`: its options, and what the two families of models share. */
#ifndef CLI_SCORE_H
#define CLI_SCORE_H

#include <vkdlm/complete.h>

#include "engine.h"
#include "flow_options.h"
#include "noise_options.h"

/* Begins with a flow_command_values. */
typedef struct score_values {
    common_values common;
    flow_values flow;
    option_value model, tokenizer, l2d, bound, steps, draws, window, max_tokens, batch, seed;
    noise_values schedule;
} score_values;

typedef struct score_run {
    engine engine;
    const score_values *values;
    const char *path; /* how messages name the text */
    const char *text; /* [n_bytes] */
    size_t n_bytes;
    vkdlm_ids ids;
} score_run;

/* Checks and copies the options. Errors: INVALID_ARGUMENT. */
vkdlm_status score_masked_options(const score_values *values, vkdlm_score_options *options, vkdlm_error *err);
vkdlm_status score_causal_options(const score_values *values, vkdlm_predict_options *options,
                                  vkdlm_error *err);

/* The measurement and its report. CANCELLED after a signal, when what was done is reported. */
vkdlm_status score_masked(score_run *run, vkdlm_score_options *options, vkdlm_error *err);
vkdlm_status score_causal(score_run *run, vkdlm_predict_options *options, vkdlm_error *err);

/* Shows how far the work is; false when a signal arrived. user is the score_run. */
bool score_progress(void *user, uint64_t done, uint64_t total);

#endif
