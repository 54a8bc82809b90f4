/* The diffusion path (L2D) on the command line, shared by generate and score. */
#ifndef CLI_FLOW_OPTIONS_H
#define CLI_FLOW_OPTIONS_H

#include <vkdlm/model.h>

#include "options.h"

typedef struct flow_values {
    option_value solver, rtol, atol, max_evals, first_step, estimate, xhat_temperature, velocity, flow_end,
        class_id, guidance, budget, kv_type;
} flow_values;

/* What the values of a command with these options begin with. */
typedef struct flow_command_values {
    common_values common;
    flow_values flow;
} flow_command_values;

extern const option_group flow_group;   /* the options of the diffusion path */
extern const option_group causal_group; /* of every autoregressive model */

/* What the help of --steps says, and its bounds as an option; flow_from_options checks those of a path. */
#define FLOW_STEPS_HELP  "L2D: points of the time grid, 0 for the base model alone"
#define FLOW_STEPS_MOST  10000
#define FLOW_STEPS_UNITS "the diffusion path's for L2D"

/* Checks the options that were given against each other and copies them; what was not given is zero, which
 * stands for the model's own. steps: the value of --steps. Errors: INVALID_ARGUMENT. */
vkdlm_status flow_from_options(const flow_values *values, const option_value *steps, vkdlm_flow_options *flow,
                               vkdlm_error *err);

/* What will run: the option, else the model's. Steps are 0 when it is the base alone. */
vkdlm_solver flow_solver(const vkdlm_flow_options *flow, const vkdlm_flow_info *info);
uint32_t flow_steps(const vkdlm_flow_options *flow, const vkdlm_flow_info *info);

/* x_0 of generated tokens from the tensor `noise` of a file, F32 [tokens, n] or [tokens, rows, n] with 1 or
 * n_samples rows: sets flow->noise .. noise_rows. The caller frees *noise. Errors: MALFORMED (file, tensor,
 * expected, found), NOT_FOUND, IO. */
vkdlm_status flow_read_noise(const char *path, uint32_t n, uint64_t n_samples, vkdlm_flow_options *flow,
                             float **noise, vkdlm_error *err);

#endif
