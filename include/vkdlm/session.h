/* Sessions: generation, likelihood and single evaluations of a model.
 *
 * Thread rules: a session belongs to one thread at a time; sessions on different threads run concurrently. */
#ifndef VKDLM_SESSION_H
#define VKDLM_SESSION_H

#include <vkdlm/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkdlm_session vkdlm_session;

VKDLM_API vkdlm_status vkdlm_session_create(vkdlm_model *model, vkdlm_session **out, vkdlm_error *err);
VKDLM_API void vkdlm_session_destroy(vkdlm_session *session);

/* ---- masked generation ---------------------------------------------------------------------------- */

/* X(suffix, name on the command line) */
#define VKDLM_SAMPLER_LIST(X)   \
    X(DDPM_CACHE, "ddpm-cache") \
    X(DDPM, "ddpm")             \
    X(ANALYTIC, "analytic")     \
    X(FIRST_HITTING, "first-hitting")

/* X(suffix, name, has_eps, has_sigma_range) */
#define VKDLM_SCHEDULE_LIST(X)             \
    X(LOGLINEAR, "loglinear", true, false) \
    X(COSINE, "cosine", true, false)       \
    X(COSINESQR, "cosinesqr", true, false) \
    X(LINEAR, "linear", false, true)       \
    X(GEOMETRIC, "geometric", false, true)

/* Zero is the default of each. */
typedef enum vkdlm_sampler {
#define VKDLM_SAMPLER_ENUM(suffix, name) VKDLM_SAMPLER_##suffix,
    VKDLM_SAMPLER_LIST(VKDLM_SAMPLER_ENUM)
#undef VKDLM_SAMPLER_ENUM
        VKDLM_SAMPLER_COUNT
} vkdlm_sampler;

typedef enum vkdlm_schedule {
#define VKDLM_SCHEDULE_ENUM(suffix, name, has_eps, has_sigma) VKDLM_SCHEDULE_##suffix,
    VKDLM_SCHEDULE_LIST(VKDLM_SCHEDULE_ENUM)
#undef VKDLM_SCHEDULE_ENUM
        VKDLM_SCHEDULE_COUNT
} vkdlm_schedule;

VKDLM_API const char *vkdlm_sampler_name(vkdlm_sampler sampler);
VKDLM_API const char *vkdlm_schedule_name(vkdlm_schedule schedule);

/* Noise schedule: sigma(t) for t in [0, 1]; alpha = exp(-sigma) is the chance that a token is unmasked at t.
 * (Sahoo et al., arXiv 2406.07524.) Zeroed parameters mean the defaults: eps 1e-3; sigma 0..10 for linear,
 * 1e-3..1 for geometric. */
typedef struct vkdlm_noise {
    vkdlm_schedule schedule;
    double eps;                  /* in (0, 1); 0: 1e-3 */
    double sigma_min, sigma_max; /* each that is 0 takes its default */
} vkdlm_noise;

/* Time at which this share of the tokens is expected to be masked: 1 - alpha(*time) = share; the nearer end
 * of [0, 1] where it is at no time. Errors: INVALID_ARGUMENT. */
VKDLM_API vkdlm_status vkdlm_noise_time(const vkdlm_noise *noise, double share, double *time,
                                        vkdlm_error *err);

#define VKDLM_MAX_CANDIDATES 1024

/* One evaluation of the network as the callback sees it. Pointers live until the callback returns. */
typedef struct vkdlm_step {
    uint64_t sample; /* index of the sample in the run */
    uint32_t step; /* steps of the reverse process done, 1 .. n_steps; n_steps + 1: the final noise removal */
    uint32_t n_steps;      /* of the whole run of this sample, 0 when the sampler has none */
    uint32_t stage;        /* semi-autoregressive stage, 0 for the first window */
    double time;           /* t after this step */
    uint32_t evaluations;  /* of the network for this sample so far */
    const int32_t *tokens; /* canvas after the step, [length] */
    uint32_t length;
    uint32_t n_masked; /* positions still masked */
    /* Positions whose distribution was computed, [n_evaluated]: first those that this step unmasked,
     * n_changed of them, then, where the options say evaluate_all, those that stay masked. */
    const uint32_t *changed;
    uint32_t n_changed, n_evaluated;
    /* For each: probability of the token it took (that stays masked: of the most probable one) and entropy
     * (nats) of its distribution, after temperature, top-k and top-p. [n_evaluated] */
    const float *probability;
    const float *entropy;
    /* For each, where the options ask for candidates: the most probable tokens of that distribution, most
     * probable first, the lowest id of equals first; id -1 and probability 0 when there are fewer.
     * [n_evaluated, n_candidates]; NULL otherwise. */
    uint32_t n_candidates;
    const int32_t *candidate_ids;
    const float *candidate_probs;
    uint64_t host_ns;   /* wall time of the evaluation, which a batch shares */
    uint64_t device_ns; /* of it, on the device; 0 when the device does not tell */
} vkdlm_step;

/* Called after each evaluation, in order within a sample; samples of a batch interleave. Return false to
 * cancel: the run stops with CANCELLED and what is finished has been delivered. */
typedef bool (*vkdlm_step_fn)(void *user, const vkdlm_step *step);

/* A finished sample. Pointers live until the callback returns. */
typedef struct vkdlm_sample {
    uint64_t sample;       /* index in the run: prompt * num_samples + copy */
    uint64_t prompt;       /* which of the options' canvases it began from */
    const int32_t *tokens; /* given tokens included, [length] */
    uint32_t length;
    uint32_t evaluations; /* network evaluations for this sample; the field's NFE */
    uint32_t n_steps;
    uint64_t output_rows; /* rows of the output layer computed for it */
    double seconds;       /* wall time from its start until it was finished, 0 when it is not */
    bool complete;        /* false: the run was cancelled and this is where the sample stood */
} vkdlm_sample;

/* Called once a sample, in the order of their index. Return false to cancel. */
typedef bool (*vkdlm_sample_fn)(void *user, const vkdlm_sample *sample);

/* Where a sample starts: `length` ids; the mask id marks a position to fill, everything else stays. */
typedef struct vkdlm_canvas {
    const int32_t *tokens;
    uint32_t length; /* 1 .. the model's length */
} vkdlm_canvas;

/* A zeroed struct is a valid default: one sample of the model's length by ddpm-cache in 64 steps. */
typedef struct vkdlm_generate_options {
    const vkdlm_canvas *canvases; /* [n_canvases]; 0: one canvas of the model's length, all masked */
    uint32_t n_canvases;
    uint64_t num_samples; /* independent samples of each canvas; 0: 1 */
    uint32_t batch;       /* samples that run together; 0: chosen for the device */
    vkdlm_sampler sampler;
    uint32_t steps; /* 0: 64 */
    vkdlm_noise noise;
    double end_time; /* in (0, 1): where the reverse process stops; 0: 1e-5 */
    bool no_final_denoise;
    uint32_t stride, strides; /* semi-autoregressive: K = strides stages of S = stride new tokens; 0: off */
    double temperature;       /* of the token distribution, > 0; 0: 1 */
    uint32_t top_k;           /* 0: off */
    double top_p;             /* in (0, 1); 0 or 1: off */
    uint64_t seed;
    uint64_t first_sample; /* number of the first sample's random stream */
    /* Going on from canvases that are on their way: how many steps they have behind them, 0 .. steps, and for
     * first-hitting, which has no grid, also t in (0, 1] (0: 1). With the canvas, seed and options of a run
     * that was stopped behind that step, the rest of that run; with tokens changed or masked again by hand,
     * the reverse process goes on from there. Steps count on, evaluations begin anew. first_time is the time
     * that the step told (where it told 0, the smallest number above it): what was masked then takes the same
     * tokens, at times that differ by its rounding. Not for semi-autoregressive runs. */
    uint32_t first_step;
    double first_time;
    /* What the steps tell. Neither changes the tokens. */
    uint32_t n_candidates; /* most probable tokens of each evaluated position, at most VKDLM_MAX_CANDIDATES;
                              0: none */
    bool evaluate_all;     /* also positions that stay masked; costs the output layer for them */
    vkdlm_step_fn on_step; /* may be NULL */
    vkdlm_sample_fn on_sample;
    void *user;
} vkdlm_generate_options;

/* Totals of a run. */
typedef struct vkdlm_generate_stats {
    uint64_t samples;          /* finished */
    uint64_t tokens;           /* generated: positions filled in the finished samples */
    uint64_t evaluations;      /* sum over the samples */
    uint64_t network_rows;     /* rows (token positions) that went through the blocks */
    uint64_t output_rows;      /* rows of the output layer that were computed */
    uint64_t output_rows_full; /* L x evaluations: what computing every row would have taken */
    uint64_t submissions;
    uint32_t batch;
    double seconds;
    double first_evaluation_seconds; /* until the first evaluation was complete */
} vkdlm_generate_stats;

/* Samples text by the reverse process of a masked diffusion model. Same seed, model, device and driver: the
 * same tokens, whatever the batch. Errors: INVALID_ARGUMENT names the option, its bounds and what was found;
 * CANCELLED; device errors. stats may be NULL and is filled also on failure. */
VKDLM_API vkdlm_status vkdlm_generate(vkdlm_session *session, const vkdlm_generate_options *options,
                                      vkdlm_generate_stats *stats, vkdlm_error *err);

/* ---- likelihood ----------------------------------------------------------------------------------- */

typedef enum vkdlm_bound { VKDLM_BOUND_CONTINUOUS, VKDLM_BOUND_DISCRETE } vkdlm_bound;

/* A zeroed struct is the default. */
typedef struct vkdlm_score_options {
    vkdlm_bound bound;
    uint32_t steps;  /* T of the discrete bound; 0: 64 */
    uint32_t draws;  /* Monte-Carlo draws a window; 0: 16 */
    uint32_t window; /* tokens a window, 1 .. the model's length; 0: the model's length */
    uint32_t batch;  /* windows that run together; 0: chosen for the device */
    vkdlm_noise noise;
    uint64_t seed;
    /* Called as draws finish; false cancels: what is finished is reported (CANCELLED). May be NULL. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
} vkdlm_score_options;

typedef struct vkdlm_score_result {
    uint64_t tokens;
    uint64_t windows;
    uint64_t draws; /* a window */
    double nats_per_token;
    double stderr_draws;   /* Monte-Carlo standard error of nats_per_token; NaN with one draw */
    double stderr_windows; /* standard error over windows; NaN with one window */
    uint64_t evaluations;
    double seconds;
} vkdlm_score_result;

/* Upper bound of the negative log-likelihood of n ids under the model, averaged over tokens. The text is cut
 * into windows that do not overlap; a shorter last one is scored at its own length. ids must not be the mask
 * id. */
VKDLM_API vkdlm_status vkdlm_score(vkdlm_session *session, const int32_t *ids, size_t n,
                                   const vkdlm_score_options *options, vkdlm_score_result *out,
                                   vkdlm_error *err);

/* ---- single evaluations ----------------------------------------------------------------------------- */

/* A zeroed struct but for tokens, n_sequences and length is the default. */
typedef struct vkdlm_forward_options {
    const int32_t *tokens; /* [n_sequences, length] */
    uint32_t n_sequences, length;
    const float *sigma; /* [n_sequences], NULL: 0; ignored by a model without time conditioning */
    /* L2D: one evaluation of the diffusion path for the token behind each sequence. x: [n_sequences, n] on
     * the scale of the noise; NULL: the base model. t: [n_sequences] in [0, 1]. class_ids: [n_sequences], -1
     * or a NULL array: the null class. Then there is one row of logits a sequence, and `rows` must be NULL;
     * hidden is [n_blocks + 1, 1, hidden_dim], the encoder's output and y after each block. */
    const float *x, *t;
    const int32_t *class_ids;
    const uint32_t *rows; /* positions whose logits are wanted, ascending, [n_rows]; NULL: all */
    uint32_t n_rows;
    bool hidden; /* also the hidden states */
    /* Called once a sequence, in order. logits: [n_rows or length, vocab_size] as the network gives them;
     * hidden: [n_blocks + 1, n_rows or length, hidden_dim], the embedding output and each block's, NULL
     * unless asked for. Pointers live until it returns; anything but OK stops the run with that status. */
    vkdlm_status (*on_sequence)(void *user, uint32_t sequence, const float *logits, const float *hidden,
                                vkdlm_error *err);
    void *user;
} vkdlm_forward_options;

VKDLM_API vkdlm_status vkdlm_forward(vkdlm_session *session, const vkdlm_forward_options *options,
                                     vkdlm_error *err);

#ifdef __cplusplus
}
#endif

#endif
