/* What a sampler needs from a masked diffusion model, whatever the network: one evaluation on a ragged batch
 * of canvases, with the output layer and the token draws on the device for the rows that are asked for.
 * sample/ sees models only through this interface; model/mdlm.c implements it. */
#ifndef MODEL_DENOISER_H
#define MODEL_DENOISER_H

#include <vkdlm/status.h>

#include "model/candidate.h"

/* One canvas of an evaluation. */
typedef struct eval_sequence {
    const int32_t *tokens; /* [length], mask id allowed */
    uint32_t length;       /* 1 .. max_length */
    float sigma;           /* ignored by a model without time conditioning */
} eval_sequence;

enum eval_mode {
    EVAL_DRAW,   /* draw a token from x_theta (Gumbel-max, RNG_TOKEN numbers of base/rng.h) */
    EVAL_ARGMAX, /* the most probable token; the lowest id of equals */
    EVAL_SCORE,  /* only the statistics of `target`, at temperature 1 */
};

/* One row of the output layer. */
typedef struct eval_row {
    uint32_t sequence; /* index in the request */
    uint32_t position; /* in the sequence; also counter[1] of the draw */
    enum eval_mode mode;
    uint32_t sample; /* counter[3] of the draw */
    uint32_t step;   /* counter[2] of the draw, <= RNG_MAX_STEP */
    int32_t target;  /* EVAL_SCORE: the token whose probability is wanted; else -1 */
} eval_row;

/* x_theta is softmax(logits / temperature) with the mask token at probability zero, cut by top-k and then
 * top-p. */
typedef struct eval_request {
    const eval_sequence *sequences;
    uint32_t n_sequences; /* at most max_sequences(length of the longest) */
    const eval_row *rows;
    uint32_t n_rows; /* 1 .. the sum of the sequences' lengths */
    uint64_t seed;
    float temperature; /* > 0 */
    uint32_t top_k;    /* 0: off */
    float top_p;       /* 1: off */
    /* The most probable tokens of each row under x_theta; they change nothing of the results. */
    uint32_t n_candidates; /* 0: none */
    candidate *candidates; /* [n_rows, n_candidates], filled */
    uint64_t *device_ns;   /* NULL, or filled: of the evaluation, 0 when the device does not tell */
} eval_request;

typedef struct eval_result {
    int32_t token;  /* drawn or most probable; the target for EVAL_SCORE */
    float log_prob; /* natural log of x_theta at token */
    float entropy;  /* of x_theta, nats */
} eval_result;

/* Work done so far; a denoiser adds to it at every evaluation. */
typedef struct eval_counters {
    uint64_t submissions;
    uint64_t network_rows; /* token positions that went through the blocks */
    uint64_t output_rows;  /* rows of the output layer */
} eval_counters;

typedef struct denoiser {
    void *self;
    uint32_t vocab_size; /* mask token included */
    int32_t mask_id;
    uint32_t max_length;
    bool time_conditioning; /* false: sigma is ignored and an unchanged canvas has an unchanged output */
    eval_counters counters;
    /* How many canvases of this length one evaluation takes at most (>= 1), from the device's memory. */
    uint32_t (*max_sequences)(void *self, uint32_t length);
    /* Token positions of one evaluation beyond which a larger batch gains nothing on this device but delays
     * what a caller sees (progress, the answer to a cancellation, the first sample); 0: none. A batch that is
     * chosen for the caller stays within, if that allows one canvas. */
    uint32_t auto_rows;
    /* Allocates what evaluations of up to n_sequences canvases of `length` tokens and as many output rows as
     * they have tokens need, with lists of candidates, so that evaluate allocates nothing.
     * OUT_OF_DEVICE_MEMORY says how much is needed. NULL: nothing to do. */
    vkdlm_status (*reserve)(void *self, uint32_t n_sequences, uint32_t length, uint32_t n_candidates,
                            vkdlm_error *err);
    /* Evaluates the network on every sequence and fills results[n_rows]. A row's result depends on its own
     * canvas, sigma, sample, step and position alone, never on what else is in the request. */
    vkdlm_status (*evaluate)(struct denoiser *self, const eval_request *request, eval_result *results,
                             vkdlm_error *err);
} denoiser;

/* The batch of canvases of `length` tokens when the caller leaves the choice. */
static inline uint32_t denoiser_auto_batch(const denoiser *network, uint32_t length, uint32_t most)
{
    uint32_t fits = network->auto_rows / length;
    if (!network->auto_rows || fits >= most)
        return most;
    return fits ? fits : 1;
}

static inline vkdlm_status denoiser_reserve(const denoiser *network, uint32_t n_sequences, uint32_t length,
                                            uint32_t n_candidates, vkdlm_error *err)
{
    return network->reserve ? network->reserve(network->self, n_sequences, length, n_candidates, err)
                            : VKDLM_OK;
}

#endif
