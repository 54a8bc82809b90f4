/* What the flow of a run is: options checked against the model, with every default resolved. */
#ifndef SAMPLE_FLOW_OPTIONS_H
#define SAMPLE_FLOW_OPTIONS_H

#include <vkdlm/model.h>

#include "model/causal.h"
#include "sample/flow_grid.h"

typedef struct flow_settings {
    bool on; /* false: the base model alone, and nothing else is set */
    bool adaptive;
    flow_options solve;
    double rtol, atol, first_step; /* of adaptive solvers; first_step 0: chosen by the solver */
    uint32_t max_evaluations;
    bool average; /* x_hat is a mean */
    /* The classes that are needed, -1 for the null class; which of them each branch of the guidance takes,
     * with its weight, and which the final evaluation takes. A branch of weight 0 is left out. */
    int32_t classes[2];
    uint32_t n_classes;
    uint32_t branch_class[2];
    double branch_weight[2];
    uint32_t n_branches;
    uint32_t final_class;
    vkdlm_budget budget;
    double threshold;
    const float *noise; /* the caller's; NULL: drawn */
    uint32_t noise_tokens, noise_rows;
} flow_settings;

/* Errors: INVALID_ARGUMENT names the option as on the command line, its bounds and what was found. */
vkdlm_status flow_settings_init(flow_settings *out, const vkdlm_flow_options *options,
                                const vkdlm_flow_info *model, const causal *network, vkdlm_error *err);

/* Whether a given x_0 has what n_tokens tokens of each of n_rows samples take (INVALID_ARGUMENT). */
vkdlm_status flow_settings_check_noise(const flow_settings *settings, uint32_t dim, uint64_t n_tokens,
                                       uint64_t n_rows, vkdlm_error *err);

/* Does the budget ask for the refinement of a token with this base result, of temperature 1 without cuts? */
bool flow_settings_wants(const flow_settings *settings, const causal_result *base);

#endif
