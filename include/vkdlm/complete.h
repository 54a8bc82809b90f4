/* Causal language models: continuing a prompt token by token, and measuring the next-token predictions on a
 * text; with or without a diffusion path (L2D).
 *
 * Thread rules as in session.h. */
#ifndef VKDLM_COMPLETE_H
#define VKDLM_COMPLETE_H

#include <vkdlm/flow.h>
#include <vkdlm/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the network was asked for. A prediction takes one evaluation of the main path, and those of the
 * diffusion path that were really run: not at t = 0 (the base's logits) nor from t = 1 on (velocity 0), with
 * the final one, and once for each branch of the guidance. */
typedef struct vkdlm_flow_counts {
    uint64_t main;           /* evaluations of the base model */
    uint64_t path;           /* evaluations of the diffusion path */
    uint64_t velocity_calls; /* as the authors count: with those at t = 0 and t >= 1, without the final one */
    uint64_t accepted, rejected; /* steps of adaptive solvers */
    uint64_t limited; /* tokens whose solve ended before its end time (limit, or too small a step) */
    uint64_t refined; /* tokens that the diffusion path refined */
} vkdlm_flow_counts;

/* One new token as the callback sees it. Pointers live until the callback returns. */
typedef struct vkdlm_token_step {
    uint64_t sample; /* index of the sample in the run */
    uint32_t index;  /* of the token among the new ones, from 0 (first_token of the options) */
    uint32_t max_tokens;
    int32_t token;
    float log_prob;     /* of the token under the distribution it was drawn from */
    float entropy;      /* of that distribution, nats */
    float base_entropy; /* of the base model's distribution before refinement; entropy when not refined */
    bool refined;
    const int32_t *tokens; /* prompt and new tokens so far, [length] */
    uint32_t length;
    const vkdlm_flow_counts *counts; /* of this sample so far */
} vkdlm_token_step;

/* Called after each token, in order within a sample; samples of a batch interleave. false cancels. */
typedef bool (*vkdlm_token_fn)(void *user, const vkdlm_token_step *step);

/* One evaluation of the velocity on the way to a new token, or (last) the one at the end time that the token
 * is drawn from. Those from t = 1 on, which run no network, are left out; that at t = 0 is the base model's.
 * With guidance it is the branch of the class. Pointers live until the callback returns. */
typedef struct vkdlm_flow_step {
    uint64_t sample;
    uint32_t token_index; /* of the new token, as in vkdlm_token_step */
    uint32_t index;       /* of the evaluation within the token, from 0 */
    bool last;
    double time;
    const float *x; /* the state it was evaluated at, on the scale of the noise, [dim] */
    uint32_t dim;
    int32_t xhat_id; /* token that x_hat is the embedding of; with averages the most probable one; last: the
                        token */
    float entropy;   /* nats, of the distribution that x_hat (the token) comes from; at temperature 1 where
                        x_hat is   its most probable token */
    /* The most probable tokens of that distribution, as in vkdlm_step. [n_candidates] */
    uint32_t n_candidates;
    const int32_t *candidate_ids;
    const float *candidate_probs;
    float wd_norm;      /* Euclidean norm of w_d(t), the weight of the path's output; 0 at t = 0 */
    uint64_t device_ns; /* of the evaluation, which a batch shares; 0 when the device does not tell */
} vkdlm_flow_step;

/* Called for each evaluation of a refined token, in order, before on_token of that token; false cancels. */
typedef bool (*vkdlm_flow_step_fn)(void *user, const vkdlm_flow_step *step);

/* A finished sample. Pointers live until the callback returns. */
typedef struct vkdlm_completion {
    uint64_t sample; /* index in the run: prompt * num_samples + copy */
    uint64_t prompt;
    const int32_t *tokens; /* prompt included, [length]; an end-of-text token is kept */
    uint32_t length, prompt_length;
    bool ended; /* by an end-of-text token */
    vkdlm_flow_counts counts;
    double mean_entropy, mean_base_entropy; /* over its new tokens, nats; NaN without any */
    double log_prob;                        /* sum over its new tokens */
    double seconds;                         /* wall time from its start until it was finished */
    bool complete; /* false: the run was cancelled and this is where the sample stood */
} vkdlm_completion;

/* Called once a sample, in the order of their index. Return false to cancel. */
typedef bool (*vkdlm_completion_fn)(void *user, const vkdlm_completion *completion);

/* A zeroed struct but for the prompts is a valid default. */
typedef struct vkdlm_complete_options {
    const vkdlm_canvas *prompts; /* [n_prompts], of 1 or more tokens each */
    uint32_t n_prompts;
    uint64_t num_samples; /* independent samples of each prompt; 0: 1 */
    uint32_t batch;       /* samples that run together; 0: chosen for the device */
    uint32_t max_tokens;  /* new tokens of a sample at most; 0: 128, or what the context leaves */
    bool ignore_end;      /* end-of-text tokens do not stop a sample */
    bool greedy;          /* the most probable token; temperature must be 0 */
    double temperature;   /* of the drawn token's distribution, > 0; 0: 1 */
    uint32_t top_k;       /* 0: off */
    double top_p;         /* in (0, 1); 0 or 1: off */
    uint64_t seed;
    uint64_t first_sample; /* number of the first sample's random stream */
    /* Going on behind a prompt that ends with new tokens of a run that was stopped: how many they are. The
     * random numbers (and rows of flow.noise) are those of the tokens behind them, and max_tokens, which is
     * more, counts them; steps count on. What a completion says (prompt_length, counts, means) is of the
     * tokens that were drawn here. */
    uint32_t first_token;
    bool cache_f16; /* keys and values are kept in half precision */
    vkdlm_flow_options flow;
    uint32_t n_candidates;           /* that on_flow_step tells, at most VKDLM_MAX_CANDIDATES */
    vkdlm_flow_step_fn on_flow_step; /* may be NULL, and costs nothing then */
    vkdlm_token_fn on_token;         /* may be NULL */
    vkdlm_completion_fn on_sample;
    void *user;
} vkdlm_complete_options;

typedef struct vkdlm_complete_stats {
    uint64_t samples; /* finished */
    uint64_t tokens;  /* new ones, of the finished samples */
    vkdlm_flow_counts counts;
    uint64_t prompt_tokens; /* that went through the main path */
    uint64_t submissions;
    uint32_t batch;
    double seconds;
    double prompt_seconds; /* of them, processing prompts */
} vkdlm_complete_stats;

/* Continues prompts. Same seed, model, device and driver: the same tokens, whatever the batch. Errors:
 * INVALID_ARGUMENT names the option, its bounds and what was found; UNSUPPORTED for a model that is not
 * causal; CANCELLED; device errors. stats may be NULL and is filled also on failure. */
VKDLM_API vkdlm_status vkdlm_complete(vkdlm_session *session, const vkdlm_complete_options *options,
                                      vkdlm_complete_stats *stats, vkdlm_error *err);

/* ---- next-token predictions on a text --------------------------------------------------------------- */

/* A zeroed struct is the default. */
typedef struct vkdlm_predict_options {
    uint32_t window; /* tokens a window, 2 .. the model's context; 0: the context. Windows do not overlap */
    uint64_t max_tokens; /* predictions that are made at most; 0: all */
    uint32_t draws;      /* of x_0 (and x_hat) a prediction with a diffusion path; 0: 1 */
    uint32_t batch;      /* predictions refined together; 0: chosen for the device */
    uint64_t seed;
    bool cache_f16;
    vkdlm_flow_options flow;
    bool (*progress)(void *user, uint64_t done, uint64_t total); /* predictions; false cancels. May be NULL */
    void *user;
} vkdlm_predict_options;

/* Averages over predictions with their standard errors over predictions. */
typedef struct vkdlm_prediction_quality {
    double accuracy, accuracy_stderr; /* how often the most probable token is the true one */
    double expected_accuracy, expected_accuracy_stderr; /* mean probability of the true token */
    double nats, nats_stderr;                           /* cross-entropy a token */
    double entropy;                                     /* mean of the distribution, nats */
} vkdlm_prediction_quality;

typedef struct vkdlm_predict_result {
    uint64_t tokens; /* predictions made: all tokens but the first of each window */
    uint64_t windows;
    uint64_t draws;
    vkdlm_prediction_quality base;
    bool has_refined;
    vkdlm_prediction_quality refined; /* over predictions and draws; stderr over predictions */
    vkdlm_flow_counts counts;
    double stderr_windows; /* of base.nats, over windows; NaN with one */
    double seconds;
} vkdlm_predict_result;

/* Predicts every token of a text from those before it in its window (teacher forcing). Of the refined
 * distribution at t = 1 the cross-entropy says little: there the network mostly copies x_1. */
VKDLM_API vkdlm_status vkdlm_predict(vkdlm_session *session, const int32_t *ids, size_t n,
                                     const vkdlm_predict_options *options, vkdlm_predict_result *out,
                                     vkdlm_error *err);

#ifdef __cplusplus
}
#endif

#endif
