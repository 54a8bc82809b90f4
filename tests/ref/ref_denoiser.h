/* The reference network behind the interface that samplers use (model/denoiser.h): x_theta and its draws in
 * double precision, with the random numbers of base/rng.h. Outputs of small canvases are kept, so that a
 * hundred thousand samples of a three-token model are quick. */
#ifndef REF_DENOISER_H
#define REF_DENOISER_H

#include "model/denoiser.h"
#include "ref/ref_mdlm.h"

/* The distribution of one token. */
typedef struct ref_token_law {
    uint32_t vocab_size;
    uint32_t n_kept;   /* tokens that neither the mask nor top-k nor top-p removed */
    uint32_t *kept;    /* [vocab_size], by falling probability, the lower id first of equals */
    double *log_probs; /* [vocab_size], -infinity where removed */
} ref_token_law;

/* Arrays of law are the caller's, [vocab_size]. Removes mask_id, divides logits by temperature, keeps the
 * top_k most probable (0: all), then the fewest of those whose probabilities reach top_p (1: all). */
void ref_token_law_compute(ref_token_law *law, const double *logits, int32_t mask_id, double temperature,
                           uint32_t top_k, double top_p);

/* Gumbel-max: the kept token with the greatest log p - log E, E = -log1p(-u), u = (r + 1/2) 2^-32. */
int32_t ref_token_draw(const ref_token_law *law, uint64_t seed, uint32_t position, uint32_t step,
                       uint32_t sample);

/* net must outlive the denoiser. max_sequences is what the denoiser reports. */
denoiser *ref_denoiser_create(const ref_mdlm *net, uint32_t max_sequences);
void ref_denoiser_destroy(denoiser *d);

#endif
