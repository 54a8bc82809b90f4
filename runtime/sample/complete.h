/* Continuing prompts with a causal model, with or without a diffusion path: start reading here.
 *
 * Every sample of the batch owns one sequence of the cache and one held state. Its prompt goes through the
 * main path in chunks; then each step predicts one token for every sample of the batch, and the next step
 * sends these tokens through the main path, whose states the next predictions start from. On a fixed grid a
 * step is one submission: main path, solve and draw. A sample that ends leaves its place to the next of the
 * run, whose prompt is processed between two steps.
 *
 * A budget (vkdlm/flow.h) needs the base distributions first, and so do reports about an adaptive solver:
 * then a step begins with a submission that predicts without the flow, and only what this leaves open is
 * asked for after it.
 *
 * Random numbers depend on (seed, stream, number of the new token) alone, hence the tokens of a sample do not
 * depend on the batch.
 *
 *   complete.c         the loop over tokens: batch, delivery in order, callbacks, statistics
 *   complete_plan.c    what a run is: options checked against the model, defaults resolved
 *   complete_refine.c  predictions refined by the flow, on a fixed grid or by an adaptive solver
 *   flow_options.c     the flow's options
 *   flow_grid.c, ode*.c  the solvers */
#ifndef SAMPLE_COMPLETE_H
#define SAMPLE_COMPLETE_H

#include <vkdlm/complete.h>

#include "model/causal.h"

/* Runs vkdlm_complete (vkdlm/complete.h); of `model` only the flow and the end ids are read. stats and err
 * may be NULL. A cancelled run delivers the samples that finished and then, with complete = false, those that
 * were begun, in the order of their index; a run that fails delivers only finished ones. After on_sample
 * returned false it is not called again. stats->counts holds all work of the run, also that for samples that
 * did not finish.
 *
 * Errors: INVALID_ARGUMENT; CANCELLED; OUT_OF_HOST_MEMORY; INTERNAL when the network returns no
 * probabilities; what the network reports. */
vkdlm_status complete_run(causal *network, const vkdlm_model_info *model,
                          const vkdlm_complete_options *options, vkdlm_complete_stats *stats,
                          vkdlm_error *err);

#endif
