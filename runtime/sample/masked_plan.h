/* What a masked generation run is: options checked against the model, with every default resolved. */
#ifndef SAMPLE_MASKED_PLAN_H
#define SAMPLE_MASKED_PLAN_H

#include <vkdlm/session.h>

#include "model/denoiser.h"
#include "sample/schedule.h"

typedef struct masked_plan {
    vkdlm_sampler sampler;
    schedule noise;
    uint32_t steps;     /* T, of one stage; 0 for first-hitting, which has none */
    double end_time;    /* 0 for semi-autoregressive stages */
    bool final_denoise; /* fill what is masked after the last step */
    /* What canvases have behind them when the run begins. */
    uint32_t first_step;
    double first_time; /* first-hitting */
    uint32_t n_stages, stride;

    const vkdlm_canvas *canvases; /* the caller's; NULL: one all-masked canvas of the model's length */
    uint64_t num_samples;         /* of each canvas */
    uint64_t n_samples;           /* of the run */
    uint32_t max_window;          /* tokens of the longest canvas */
    uint32_t max_output;          /* tokens of the longest sample */
    uint32_t batch;
    uint32_t first_stream;

    int32_t mask_id;
    uint64_t seed;
    float temperature;
    uint32_t top_k;
    float top_p;
    uint32_t n_candidates;
    bool evaluate_all;
} masked_plan;

/* Checks options against the network's vocabulary, length and capacity. The plan borrows options->canvases.
 * Errors: INVALID_ARGUMENT names the option as on the command line, its bounds and what was found. */
vkdlm_status masked_plan_init(masked_plan *plan, const denoiser *network,
                              const vkdlm_generate_options *options, vkdlm_error *err);

/* t after i steps of a stage, i = 0 .. steps: 1 + i (end_time - 1) / steps. */
double masked_plan_time(const masked_plan *plan, uint32_t i);

/* t where the run begins. */
double masked_plan_start_time(const masked_plan *plan);

/* Steps of a whole sample, 0 for first-hitting. */
uint32_t masked_plan_n_steps(const masked_plan *plan);

#endif
