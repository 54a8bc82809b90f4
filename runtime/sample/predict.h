/* Next-token predictions of a causal model on a text, refined by its flow or not.
 *
 * The text is cut into windows. A window's tokens go through the main path in chunks that keep the state of
 * every token; after each chunk its predictions are made, first the base's, then `draws` refinements of those
 * that the budget asks for. A window of W tokens gives W - 1 predictions: nothing predicts its first.
 *
 * Random numbers (base/rng.h): the draws of a prediction have its target's position in the text as counter[1]
 * and the number of the draw as counter[3], so a result does not depend on the batch. */
#ifndef SAMPLE_PREDICT_H
#define SAMPLE_PREDICT_H

#include <vkdlm/complete.h>

#include "model/causal.h"

/* Runs vkdlm_predict (vkdlm/complete.h); of `model` only the flow is read; err may be NULL. A given x_0
 * (options->flow.noise) has a token for each prediction and 1 row or `draws`. counts->main counts
 * predictions; all others count each draw.
 *
 * On CANCELLED the result covers the predictions that were finished (NaN when there are none). Errors:
 * INVALID_ARGUMENT (options; a token outside the vocabulary, with its position), INTERNAL when the network
 * returns no probability, OUT_OF_HOST_MEMORY, and what the network reports. */
vkdlm_status predict_run(causal *network, const vkdlm_model_info *model, const int32_t *ids, size_t n,
                         const vkdlm_predict_options *options, vkdlm_predict_result *out, vkdlm_error *err);

#endif
