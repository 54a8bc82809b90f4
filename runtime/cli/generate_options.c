#include "generate.h"

#include "message.h"

#define AT(field) offsetof(generate_values, field)

static const char *const samplers[] = {
#define SAMPLER_NAME(suffix, name) name,
    VKDLM_SAMPLER_LIST(SAMPLER_NAME)
#undef SAMPLER_NAME
        NULL};
static const char *const llada_samplers[] = {"confidence", "margin", "entropy", "random",
                                             "threshold",  "factor", NULL};

#define CAUSAL (MODEL_CAUSAL | MODEL_L2D)

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(AT(model)),
    ENGINE_TOKENIZER_OPTION(AT(tokenizer)),
    ENGINE_L2D_OPTION(AT(l2d)),
};

static const option_spec given_specs[] = {
    {"prompt", 'p', OPTION_TEXT, AT(prompt), "TEXT",
     "text at the start of the canvas, or that is continued; '-' reads standard input", .initially = "empty"},
    {"file", 'f', OPTION_TEXT, AT(file), "PATH",
     "the same from a file, but for a line feed at its end; '-' reads "
     "standard input",
     .initially = "none"},
    {"ids", 0, OPTION_TEXT, AT(ids), "\"1 2 3\"",
     "the same as token ids, of which the mask id (masked diffusion) marks a position to fill; '-' reads "
     "standard input",
     .initially = "none"},
    {"prompts", 0, OPTION_TEXT, AT(prompts), "FILE.jsonl",
     "many prompts in one run, a line {\"text\":...} or {\"ids\":[...]} each; '-' reads standard input",
     .initially = "none"},
    {"template", 0, OPTION_TEXT, AT(template_text), "TEXT",
     "infilling: [MASK] and [MASK:8] (eight tokens) are filled, the rest stays, and the canvas is as long as "
     "that; "
     "'-' reads standard input",
     .initially = "none", .fits = MODEL_MASKED},
    {"chat", 0, OPTION_FLAG, AT(chat),
     .help = "the prompt is a user's message: it is written as the model's chat template says",
     .fits = CAUSAL},
    {"system", 0, OPTION_TEXT, AT(system), "TEXT", "system message of the chat",
     .initially = "what the chat template writes without one", .fits = CAUSAL},
    {"length", 'n', OPTION_COUNT, AT(length), "N",
     "masked diffusion: length of the canvas; autoregressive: new tokens at most", "tokens",
     .initially = "the model's length, which is also the most; autoregressive: 128 (with --noise, the tokens "
                  "it has), or what the context leaves",
     .least = 1, .most = UINT32_MAX},
};

static const option_spec sampling_specs[] = {
    {"sampler", 0, OPTION_CHOICE, AT(sampler), "NAME", "how the masks are resolved", .initial = "ddpm-cache",
     .choices = samplers, .fits = MODEL_MASKED, .foreign_choices = llada_samplers,
     .family = "LLaDA and Dream"},
    {"steps", 0, OPTION_COUNT, AT(steps), "T",
     "denoising steps; first-hitting has none, it takes one evaluation a token. " FLOW_STEPS_HELP, "steps",
     .initially = "64; " FLOW_STEPS_UNITS, .most = 1000000, .fits = MODEL_MASKED | MODEL_L2D,
     .base_value = "0"},
    {"temperature", 0, OPTION_NUMBER, AT(temperature), "X",
     "of the token distribution; 0, for autoregressive models alone, is the likeliest token", .initial = "1",
     .interval = {0, INFINITY, false, true}},
    {"top-k", 0, OPTION_COUNT, AT(top_k), "K", "draws from the K likeliest tokens only; 0 is off", "tokens",
     .initial = "0", .most = UINT32_MAX},
    {"top-p", 0, OPTION_NUMBER, AT(top_p), "P",
     "draws from the fewest tokens that hold the probability P; 1 is off", .initial = "1",
     .interval = {0, 1, true, false}},
    {"seed", 0, OPTION_COUNT, AT(seed), "N",
     "of the random numbers; sample i takes stream i, whatever the batch", .initial = "0", .most = INT64_MAX},
    {"num-samples", 0, OPTION_COUNT, AT(num_samples), "N", "independent samples of each prompt", "samples",
     "1", .least = 1, .most = 1000000000},
    {"batch", 0, OPTION_COUNT, AT(batch), "B", "samples that run together", "samples",
     .initially = "chosen for the device, within its memory", .least = 1, .most = 65536},
    {"ignore-eos", 0, OPTION_FLAG, AT(ignore_eos), .help = "an end-of-text token does not end a sample",
     .fits = CAUSAL},
};

static const option_spec masked_specs[] = {
    NOISE_OPTIONS(AT(schedule)),
    {"end-time", 0, OPTION_NUMBER, AT(end_time), "T",
     "where the reverse process, which runs from 1 down, stops", .initial = "1e-5",
     .interval = {0, 1, true, true}, .fits = MODEL_MASKED},
    {"no-final-denoise", 0, OPTION_FLAG, AT(no_final_denoise),
     .help = "what is still masked at the end stays so", .fits = MODEL_MASKED},
    {"stride", 0, OPTION_COUNT, AT(stride), "S", "semi-autoregressive generation: new tokens of a stage",
     "tokens", .initially = "off", .least = 1, .most = UINT32_MAX, .fits = MODEL_MASKED},
    {"strides", 0, OPTION_COUNT, AT(strides), "K", "stages after the first", "stages", .initially = "off",
     .least = 1, .most = UINT32_MAX, .fits = MODEL_MASKED},
};

static const option_spec noise_specs[] = {
    {"noise", 0, OPTION_TEXT, AT(noise), "FILE",
     "x_0 of each token from tensor noise F32 [tokens, n] or [tokens, samples, n] of a safetensors file, on "
     "the scale of the noise",
     .initially = "drawn from the seed", .fits = MODEL_L2D},
};

static const option_spec output_specs[] = {
    {"show", 0, OPTION_FLAG, AT(show),
     .help = "draws the canvas on the terminal while it resolves; autoregressive: writes the text as it "
             "comes"},
    {"view", 0, OPTION_FLAG, AT(view),
     .help = "runs one sample in a window, where it can be watched, stopped, changed and run again",
     .fits = MODEL_MASKED | MODEL_L2D},
    {"trajectory", 0, OPTION_TEXT, AT(trajectory), "FILE",
     "records the run of one sample, step by step, as a safetensors file that 'vkdlm view' and 'vkdlm "
     "trajectory' show; with --view when the window is asked to save and when it is closed",
     .initially = "off", .fits = MODEL_MASKED | MODEL_L2D},
    {"top", 0, OPTION_COUNT, AT(top), "K",
     "most probable tokens of each evaluation that a recording or the window keeps", "tokens", .initial = "8",
     .most = VKDLM_MAX_CANDIDATES, .fits = MODEL_MASKED | MODEL_L2D},
    {"every-position", 0, OPTION_FLAG, AT(every_position),
     .help = "a recording tells of every masked position what the model thinks of it, not only of those that "
             "take a token; costs the output layer for them; always so with --view",
     .fits = MODEL_MASKED},
};

#define GROUP(title, specs, fits)                        \
    {                                                    \
        title, specs, sizeof specs / sizeof *specs, fits \
    }
static const option_group model_group = GROUP("Model", model_specs, false);
static const option_group given_group =
    GROUP("What is given (at most one of the first five)", given_specs, false);
static const option_group sampling_group = GROUP("How it is sampled", sampling_specs, true);
static const option_group masked_group = GROUP("Masks", masked_specs, true);
static const option_group noise_group = GROUP("Noise of the diffusion path", noise_specs, true);
static const option_group output_group = GROUP("Output", output_specs, false);

const option_group *const generate_groups[] = {&model_group,    &given_group, &sampling_group, &masked_group,
                                               &causal_group,   &flow_group,  &noise_group,    &output_group,
                                               &options_common, NULL};

const option_value *generate_source(const generate_values *v)
{
    const option_value *sources[] = {&v->prompt, &v->file, &v->ids, &v->prompts, &v->template_text};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (sources[i]->given)
            return sources[i];
    return NULL;
}

/* At most one of what is given, and what goes with it. */
vkdlm_status generate_check(const generate_values *v, vkdlm_error *err)
{
    const struct {
        const option_value *value;
        const char *name;
    } sources[] = {{&v->prompt, "prompt"},
                   {&v->file, "file"},
                   {&v->ids, "ids"},
                   {&v->prompts, "prompts"},
                   {&v->template_text, "template"}};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (!sources[i].value->given)
            continue;
        if (first)
            return message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' and '--%s' exclude each other", first,
                               sources[i].name);
        first = sources[i].name;
    }
    if (v->template_text.given && v->length.given)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--length' does not go with '--template', whose text and masks are the canvas");
    if ((v->top.given || v->every_position.given) && !v->trajectory.given && !v->view.given)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' needs '--trajectory' or '--view' beside it",
                           v->top.given ? "top" : "every-position");
    if (v->system.given && !v->chat.given)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--system' needs '--chat' beside it");
    if (v->chat.given && (!first || v->ids.given))
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--chat' needs a text: '--prompt', '--file' or '--prompts'");
    return VKDLM_OK;
}

vkdlm_status generate_causal_options(const generate_values *v, vkdlm_complete_options *options,
                                     vkdlm_error *err)
{
    *options = (vkdlm_complete_options){
        .num_samples = v->num_samples.count,
        .batch = (uint32_t)v->batch.count,
        .max_tokens = (uint32_t)v->length.count,
        .ignore_end = v->ignore_eos.given,
        .greedy = v->temperature.number == 0,
        .temperature = v->temperature.number,
        .top_k = (uint32_t)v->top_k.count,
        .top_p = v->top_p.number,
        .seed = v->seed.count,
        .cache_f16 = v->flow.kv_type.choice == 1,
        .n_candidates = v->trajectory.given || v->view.given ? (uint32_t)v->top.count : 0,
    };
    return flow_from_options(&v->flow, &v->steps, &options->flow, err);
}

vkdlm_status generate_masked_options(const generate_values *v, vkdlm_generate_options *options,
                                     vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    if (v->stride.given != v->strides.given)
        status = message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' needs '--%s' beside it",
                             v->stride.given ? "stride" : "strides", v->stride.given ? "strides" : "stride");
    else if (v->steps.given && !v->steps.count)
        status = message_set(err, VKDLM_INVALID_ARGUMENT,
                             "'--steps' takes a whole number from 1 to 1000000 (steps) with a masked "
                             "diffusion model, not '%.40s'",
                             v->steps.text);
    else if (v->temperature.number == 0)
        status = message_set(err, VKDLM_INVALID_ARGUMENT,
                             "'--temperature' takes a number > 0 with a masked diffusion model, not '%.40s'",
                             v->temperature.text);
    *options = (vkdlm_generate_options){
        .num_samples = v->num_samples.count,
        .batch = (uint32_t)v->batch.count,
        .sampler = (vkdlm_sampler)v->sampler.choice,
        .steps = (uint32_t)v->steps.count,
        .end_time = v->end_time.given ? v->end_time.number : 0,
        .no_final_denoise = v->no_final_denoise.given,
        .stride = (uint32_t)v->stride.count,
        .strides = (uint32_t)v->strides.count,
        .temperature = v->temperature.number,
        .top_k = (uint32_t)v->top_k.count,
        .top_p = v->top_p.number,
        .seed = v->seed.count,
        .n_candidates = v->trajectory.given || v->view.given ? (uint32_t)v->top.count : 0,
        .evaluate_all = v->every_position.given || v->view.given,
    };
    if (!status)
        status = noise_from_options(&v->schedule, &options->noise, err);
    return status;
}
