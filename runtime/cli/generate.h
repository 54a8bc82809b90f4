/* Options of `generate`. */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "noise_options.h"
#include "options.h"

typedef struct generate_values {
    common_values common;
    option_value model, tokenizer;
    option_value prompt, file, ids, prompts, template_text;
    option_value length, sampler, steps, end_time, no_final_denoise, stride, strides;
    noise_values noise;
    option_value temperature, top_k, top_p;
    option_value seed, num_samples, batch;
    option_value trajectory, top, show;
} generate_values;

extern const option_group *const generate_groups[];

/* Checks options against each other and copies those of the run. Errors: INVALID_ARGUMENT. */
vkdlm_status generate_from_options(const generate_values *values, vkdlm_generate_options *options,
                                   vkdlm_error *err);

#endif
