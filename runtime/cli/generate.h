/* `generate`: its options, and what the runs of both families of models share. */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include <vkdlm/complete.h>
#include <vkdlm/trajectory.h>

#include "canvas.h"
#include "engine.h"
#include "flow_options.h"
#include "noise_options.h"
#include "options.h"

/* Begins with a flow_command_values. */
typedef struct generate_values {
    common_values common;
    flow_values flow;
    option_value model, tokenizer, l2d;
    option_value prompt, file, ids, prompts, template_text, chat, system;
    option_value length, sampler, steps, end_time, no_final_denoise, stride, strides;
    noise_values schedule;
    option_value temperature, top_k, top_p;
    option_value seed, num_samples, batch, ignore_eos, noise;
    option_value trajectory, top, every_position, show, view;
} generate_values;

extern const option_group *const generate_groups[];

/* The option that says what is given, NULL when none does. */
const option_value *generate_source(const generate_values *values);

/* Checks what goes together whatever the model. Errors: INVALID_ARGUMENT. */
vkdlm_status generate_check(const generate_values *values, vkdlm_error *err);

/* Each checks the options against each other and copies those of the run. Errors: INVALID_ARGUMENT. */
vkdlm_status generate_masked_options(const generate_values *values, vkdlm_generate_options *options,
                                     vkdlm_error *err);
vkdlm_status generate_causal_options(const generate_values *values, vkdlm_complete_options *options,
                                     vkdlm_error *err);

enum { GENERATE_RUNNING = 1024 };

/* One run, as its callbacks see it. */
typedef struct generate_run {
    engine engine;
    const generate_values *values;
    char *given; /* what was read from an option, a file or standard input; NULL: nothing is given */
    size_t given_size;
    canvas_set canvases;
    vkdlm_recorder *recorder; /* --trajectory */
    uint64_t total;           /* samples asked for */
    uint64_t delivered;
    /* For the progress: how far the samples are, added up, and one by one for those that may be running. */
    double parts;
    struct {
        uint64_t sample;
        double part;
    } running[GENERATE_RUNNING];
    vkdlm_status output; /* of the lines written so far */
    vkdlm_error output_error;
} generate_run;

/* The run itself, once the model is open: fills canvases and prints samples and summary. */
vkdlm_status generate_masked(generate_run *run, vkdlm_generate_options *options, vkdlm_error *err);
vkdlm_status generate_causal(generate_run *run, vkdlm_complete_options *options, vkdlm_error *err);

/* Goes on in the viewer, with the options and what was read as given; the model was found, but no device is
 * open. Returns only on failure. One of masked and causal is the run. */
vkdlm_status generate_view(generate_run *run, const vkdlm_generate_options *masked,
                           const vkdlm_complete_options *causal, vkdlm_error *err);

/* The sentence that the base model alone is not recorded (INVALID_ARGUMENT). */
vkdlm_status generate_refuse_base(vkdlm_error *err);

/* Adds to the canvases what the options give, but for a template. */
vkdlm_status generate_add_given(generate_run *run, const canvas_rules *rules, vkdlm_error *err);

/* Sample `sample` is done to this part, 0 .. 1: updates the bar. */
void generate_progress(generate_run *run, uint64_t sample, double part);

/* "=== sample 1 of 3 ===", when there are several. */
vkdlm_status generate_print_heading(const generate_run *run, uint64_t sample, vkdlm_error *err);
/* The sample for people: its text, or its ids when text is NULL. */
vkdlm_status generate_print(const char *text, size_t size, const int32_t *ids, uint32_t n_ids,
                            vkdlm_error *err);

/* Begins the recording that '--trajectory' asks for; one of masked and flow is the run. */
vkdlm_status generate_record(generate_run *run, const vkdlm_generate_options *masked,
                             const vkdlm_complete_options *flow, vkdlm_error *err);

/* What a run ends with: status is that of the library. Completes the recording, which keeps what was finished
 * of a run that was stopped. Prints the summary by `summarise` unless the run failed, and returns what the
 * command ends with. */
vkdlm_status generate_end(generate_run *run, vkdlm_status status,
                          vkdlm_status (*summarise)(const generate_run *run, const void *stats,
                                                    vkdlm_error *err),
                          const void *stats, vkdlm_error *err);

/* Tokens a second, 0 when no time has passed. */
double generate_rate(uint64_t tokens, double seconds);

#endif
