/* Generation with a masked diffusion model: start reading here.
 *
 * The reverse process runs from t = 1, where a canvas is masked, to its end time. At every step each masked
 * position unmasks with a probability that depends on the noise schedule alone (sample/schedule.h), and a
 * position that unmasks draws its token from the network's distribution x_theta for the canvas as it stands.
 *
 * Because the decision to unmask does not depend on x_theta, it is made first, on the host: steps in which
 * nothing unmasks cost no evaluation, and the output layer runs only for the rows that unmask. The samples of
 * a batch advance on their own, each to its next event: one may be at step 3 while another is at step 17,
 * since the noise level belongs to a sequence. So every evaluation is full, and a sample that finishes is
 * replaced at once by the next of the run. Random numbers depend on (seed, stream, step, position) alone,
 * hence the tokens of a sample do not depend on the batch.
 *
 *   masked.c         the loop over evaluations: batch, delivery in order, callbacks, statistics
 *   masked_plan.c    what a run is: options checked against the model, defaults resolved
 *   masked_sample.c  one sample: advances to its next event; one function per sampler
 *
 * Samplers (Sahoo et al., arXiv 2406.07524; first-hitting: Zheng et al., arXiv 2409.02908). The first three
 * have the same law but for the end: ddpm           evaluates at every step while something is masked, as the
 * authors do: what the cache saves can be measured against it. What is masked at the end takes argmax x_theta
 * at sigma(end time). ddpm-cache     evaluates only at steps that unmask something, with or without time
 * conditioning; loglinear noise only, whose move chance is proportional to t. The same end. analytic like
 * ddpm-cache under any schedule; what is masked at the end draws from x_theta instead. first-hitting  one
 * position per evaluation at the random time at which the continuous process unmasks it: no steps, no end.
 * Semi-autoregressive generation (stride, strides) runs ddpm-cache in windows of the canvas length L: each
 * further stage moves the window by `stride` tokens and keeps the rest; the output has strides * stride + L
 * tokens. */
#ifndef SAMPLE_MASKED_H
#define SAMPLE_MASKED_H

#include <vkdlm/session.h>

#include "model/denoiser.h"

/* Runs vkdlm_generate (vkdlm/session.h) on a denoiser; stats and err may be NULL.
 *
 * on_step: `tokens` is the whole output of the sample, also in semi-autoregressive generation, where what
 * later windows will fill is still masked; `changed` are positions of it. The final noise removal reports
 * time 0. A cancelled run delivers the samples that finished and then, with complete = false, those that were
 * begun, in the order of their index; a run that fails delivers only finished ones. After on_sample returned
 * false it is not called again. A canvas without masks is delivered as it is, without an evaluation.
 *
 * Errors: INVALID_ARGUMENT; CANCELLED; OUT_OF_HOST_MEMORY; INTERNAL when the network returns no probabilities
 * (NaN) or a token outside its vocabulary; what the denoiser reports. */
vkdlm_status masked_run(denoiser *network, const vkdlm_generate_options *options, vkdlm_generate_stats *stats,
                        vkdlm_error *err);

#endif
