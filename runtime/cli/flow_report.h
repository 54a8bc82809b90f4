/* How evaluations of an autoregressive model and its diffusion path are reported. */
#ifndef CLI_FLOW_REPORT_H
#define CLI_FLOW_REPORT_H

#include <jansson.h>
#include <vkdlm/complete.h>

/* {"main":..,"path":..,"velocity_calls":..,"per_token":{...}}; per_token holds nulls when n_tokens is 0.
 * n_draws: how often each token was refined. */
json_t *flow_report_evaluations(const vkdlm_flow_counts *counts, uint64_t n_tokens, uint64_t n_draws);

/* Adds accepted_steps, rejected_steps, limited_tokens and refined_tokens to an object, which may be NULL;
 * NULL when out of memory (the object is released). */
json_t *flow_report_solves(json_t *object, const vkdlm_flow_counts *counts);

#endif
