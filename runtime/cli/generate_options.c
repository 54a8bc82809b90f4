#include "engine.h"
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

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(AT(model)),
    ENGINE_TOKENIZER_OPTION(AT(tokenizer)),
    ENGINE_L2D_OPTION(0),
};

static const option_spec given_specs[] = {
    {"prompt", 'p', OPTION_TEXT, AT(prompt), "TEXT",
     "text at the start of the canvas; '-' reads standard input", .initially = "empty"},
    {"file", 'f', OPTION_TEXT, AT(file), "PATH",
     "the same from a file, but for a line feed at its end; '-' reads "
     "standard input",
     .initially = "none"},
    {"ids", 0, OPTION_TEXT, AT(ids), "\"1 2 3\"",
     "token ids at the start of the canvas, of which the mask id marks a position to fill; '-' reads "
     "standard input",
     .initially = "none"},
    {"prompts", 0, OPTION_TEXT, AT(prompts), "FILE.jsonl",
     "many prompts in one run, a line {\"text\":...} or {\"ids\":[...]} each; '-' reads standard input",
     .initially = "none"},
    {"template", 0, OPTION_TEXT, AT(template_text), "TEXT",
     "infilling: [MASK] and [MASK:8] (eight tokens) are filled, the rest stays, and the canvas is as long as "
     "that; "
     "'-' reads standard input",
     .initially = "none"},
    {"length", 'n', OPTION_COUNT, AT(length), "N", "length of the canvas", "tokens",
     .initially = "the model's length, which is also the most", .least = 1, .most = UINT32_MAX},
};

static const option_spec sampling_specs[] = {
    {"sampler", 0, OPTION_CHOICE, AT(sampler), "NAME", "how the masks are resolved", .initial = "ddpm-cache",
     .choices = samplers, .foreign_choices = llada_samplers, .family = "LLaDA and Dream"},
    {"steps", 0, OPTION_COUNT, AT(steps), "T",
     "denoising steps; first-hitting has none, it takes one evaluation a token", "steps", "64", .least = 1,
     .most = 1000000},
    NOISE_OPTIONS(AT(noise)),
    {"end-time", 0, OPTION_NUMBER, AT(end_time), "T",
     "where the reverse process, which runs from 1 down, stops", .initial = "1e-5",
     .interval = {0, 1, true, true}},
    {"no-final-denoise", 0, OPTION_FLAG, AT(no_final_denoise),
     .help = "what is still masked at the end stays so"},
    {"stride", 0, OPTION_COUNT, AT(stride), "S", "semi-autoregressive generation: new tokens of a stage",
     "tokens", .initially = "off", .least = 1, .most = UINT32_MAX},
    {"strides", 0, OPTION_COUNT, AT(strides), "K", "stages after the first", "stages", .initially = "off",
     .least = 1, .most = UINT32_MAX},
    {"temperature", 0, OPTION_NUMBER, AT(temperature), "X", "of the token distribution", .initial = "1",
     .interval = {0, INFINITY, true, true}},
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
};

static const option_spec output_specs[] = {
    {"show", 0, OPTION_FLAG, AT(show), .help = "draws the canvas on the terminal while it resolves"},
    {"trajectory", 0, OPTION_TEXT, AT(trajectory), "FILE", "records the run", .initially = "off",
     .absent = "recording a trajectory"},
    {"top", 0, OPTION_COUNT, AT(top), "K", "candidates a position that a recording keeps", "tokens",
     .initially = "off", .least = 1, .most = 1024, .absent = "recording a trajectory"},
};

#define L2D(option, value)                                        \
    {                                                             \
        (option), 0, OPTION_TEXT, 0, (value), "", .family = "L2D" \
    }
static const option_spec l2d_specs[] = {
    L2D("solver", "NAME"), L2D("rtol", "X"),        L2D("atol", "X"),
    L2D("max-evals", "N"), L2D("estimate", "NAME"), L2D("xhat-temperature", "X"),
    L2D("guidance", "W"),  L2D("class", "J"),       L2D("noise", "FILE"),
};

#define GROUP(title, specs, fits)                        \
    {                                                    \
        title, specs, sizeof specs / sizeof *specs, fits \
    }
static const option_group model_group = GROUP("Model", model_specs, false);
static const option_group given_group =
    GROUP("What is given (at most one of the first five)", given_specs, false);
static const option_group sampling_group = GROUP("How it is sampled", sampling_specs, true);
static const option_group output_group = GROUP("Output", output_specs, false);
static const option_group l2d_group = GROUP("L2D", l2d_specs, false);

const option_group *const generate_groups[] = {
    &model_group, &given_group, &sampling_group, &output_group, &l2d_group, &options_common, NULL};

/* At most one of what is given, and what goes with it. */
static vkdlm_status check_given(const generate_values *v, vkdlm_error *err)
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
    return VKDLM_OK;
}

vkdlm_status generate_from_options(const generate_values *v, vkdlm_generate_options *options,
                                   vkdlm_error *err)
{
    vkdlm_status status = check_given(v, err);
    if (!status && v->stride.given != v->strides.given)
        status = message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' needs '--%s' beside it",
                             v->stride.given ? "stride" : "strides", v->stride.given ? "strides" : "stride");
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
    };
    if (!status)
        status = noise_from_options(&v->noise, &options->noise, err);
    return status;
}
