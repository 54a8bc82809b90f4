#include "sample/masked_plan.h"

#include <float.h>
#include <math.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/size.h"

enum {
    DEFAULT_STEPS = 64,
    /* More canvases than this gain nothing and only delay the first sample. */
    AUTO_BATCH = 4096,
};

/* Rows of one evaluation, and tokens of one sample, stay far below 2^32. */
#define MAX_ROWS 0x7FFFFFFFu

static const char *const sampler_names[VKDLM_SAMPLER_COUNT] = {
#define SAMPLER_NAME(suffix, name) name,
    VKDLM_SAMPLER_LIST(SAMPLER_NAME)
#undef SAMPLER_NAME
};

const char *vkdlm_sampler_name(vkdlm_sampler sampler)
{
    return (unsigned)sampler < VKDLM_SAMPLER_COUNT ? sampler_names[sampler] : "unknown";
}

static vkdlm_status check_canvas(const vkdlm_canvas *canvas, uint32_t index, const denoiser *network,
                                 vkdlm_error *err)
{
    if (canvas->length == 0 || canvas->length > network->max_length)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "canvas %u: expected 1 to %u tokens, found %u", index,
                         network->max_length, canvas->length);
    if (!canvas->tokens)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "canvas %u: expected %u tokens, found none", index,
                         canvas->length);
    for (uint32_t i = 0; i < canvas->length; i++) {
        int32_t token = canvas->tokens[i];
        if (token < 0 || (uint32_t)token >= network->vocab_size)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "canvas %u, position %u: expected a token from 0 to %u, found %d", index, i,
                             network->vocab_size - 1, token);
    }
    return VKDLM_OK;
}

static vkdlm_status plan_canvases(masked_plan *plan, const denoiser *network,
                                  const vkdlm_generate_options *options, vkdlm_error *err)
{
    uint32_t n_canvases = options->n_canvases ? options->n_canvases : 1;
    if (options->n_canvases) {
        if (!options->canvases)
            return error_set(err, VKDLM_INVALID_ARGUMENT, "canvases: expected %u, found none", n_canvases);
        plan->canvases = options->canvases;
        for (uint32_t i = 0; i < n_canvases; i++) {
            vkdlm_status status = check_canvas(&plan->canvases[i], i, network, err);
            if (status != VKDLM_OK)
                return status;
            if (plan->canvases[i].length > plan->max_window)
                plan->max_window = plan->canvases[i].length;
        }
    } else {
        plan->max_window = network->max_length;
    }

    /* A sample's number is one word of the random counter. */
    const uint64_t limit = (uint64_t)1 << 32;
    plan->num_samples = options->num_samples ? options->num_samples : 1;
    uint64_t last = 0;
    if (!size_mul(n_canvases, plan->num_samples, &plan->n_samples) ||
        !size_add(options->first_sample, plan->n_samples, &last) || last > limit)
        return error_set(
            err, VKDLM_INVALID_ARGUMENT,
            "--num-samples: expected at most %llu samples in all, counted from the first sample's "
            "number %llu, found %llu for each of %u canvases",
            (unsigned long long)limit, (unsigned long long)options->first_sample,
            (unsigned long long)plan->num_samples, n_canvases);
    plan->first_stream = (uint32_t)options->first_sample;
    return VKDLM_OK;
}

static vkdlm_status plan_sampler(masked_plan *plan, const vkdlm_generate_options *options, vkdlm_error *err)
{
    if ((unsigned)options->sampler >= VKDLM_SAMPLER_COUNT)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--sampler: expected ddpm-cache, ddpm, analytic or first-hitting, found number %d",
                         (int)options->sampler);
    vkdlm_status status = schedule_init(&plan->noise, &options->noise, err);
    if (status != VKDLM_OK)
        return status;
    plan->sampler = options->sampler;
    if (plan->sampler == VKDLM_SAMPLER_DDPM_CACHE && plan->noise.kind != VKDLM_SCHEDULE_LOGLINEAR)
        return error_set(
            err, VKDLM_INVALID_ARGUMENT,
            "--sampler ddpm-cache: expected --schedule loglinear, found %s, which --sampler ddpm, "
            "analytic and first-hitting accept",
            vkdlm_schedule_name(plan->noise.kind));

    bool hitting = plan->sampler == VKDLM_SAMPLER_FIRST_HITTING;
    if (hitting && (options->end_time != 0 || options->no_final_denoise))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "%s does not apply to --sampler first-hitting, which ends when nothing is masked",
                         options->end_time != 0 ? "--end-time" : "--no-final-denoise");
    plan->end_time = options->end_time != 0 ? options->end_time : 1e-5;
    if (!(plan->end_time > 0 && plan->end_time < 1))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--end-time: expected a number between 0 and 1, found %g", options->end_time);
    plan->steps = hitting ? 0 : options->steps ? options->steps : DEFAULT_STEPS;
    plan->final_denoise = !options->no_final_denoise;
    return VKDLM_OK;
}

static vkdlm_status plan_stages(masked_plan *plan, const vkdlm_generate_options *options, vkdlm_error *err)
{
    plan->n_stages = 1;
    plan->max_output = plan->max_window;
    if (options->stride || options->strides) {
        if (!options->stride || !options->strides)
            return error_set(
                err, VKDLM_INVALID_ARGUMENT,
                "semi-autoregressive generation needs both --stride and --strides, found only %s",
                options->stride ? "--stride" : "--strides");
        if (plan->sampler != VKDLM_SAMPLER_DDPM_CACHE)
            return error_set(err, VKDLM_INVALID_ARGUMENT, "--stride: expected --sampler ddpm-cache, found %s",
                             vkdlm_sampler_name(plan->sampler));
        if (options->end_time != 0 || options->no_final_denoise)
            return error_set(
                err, VKDLM_INVALID_ARGUMENT,
                "%s does not apply to semi-autoregressive generation (--stride), whose stages end at "
                "t = 0 with nothing masked",
                options->end_time != 0 ? "--end-time" : "--no-final-denoise");
        uint32_t shortest = plan->max_window;
        for (uint32_t i = 0; i < options->n_canvases; i++)
            shortest = u32_min(shortest, plan->canvases[i].length);
        if (options->stride > shortest)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "--stride: expected at most the canvas length %u, found %u", shortest,
                             options->stride);
        uint64_t output = (uint64_t)options->strides * options->stride + plan->max_window;
        if (options->strides == UINT32_MAX || output > MAX_ROWS)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "--strides: expected at most %u tokens of output, found %llu", MAX_ROWS,
                             (unsigned long long)output);
        plan->max_output = (uint32_t)output;
        plan->n_stages = options->strides + 1;
        plan->stride = options->stride;
        plan->end_time = 0;
    }
    /* Every step of every stage, and the final noise removal, has a number of its own. */
    if ((uint64_t)plan->n_stages * plan->steps >= RNG_MAX_STEP)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--steps: expected at most %u in all, found %u%s",
                         RNG_MAX_STEP - 1, plan->steps, plan->n_stages > 1 ? " for each window" : "");
    return VKDLM_OK;
}

static vkdlm_status plan_start(masked_plan *plan, const vkdlm_generate_options *options, vkdlm_error *err)
{
    bool hitting = plan->sampler == VKDLM_SAMPLER_FIRST_HITTING;
    if (plan->stride && (options->first_step || options->first_time != 0))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "%s: expected 0 for semi-autoregressive generation (--stride), found %g",
                         options->first_step ? "first_step" : "first_time",
                         options->first_step ? (double)options->first_step : options->first_time);
    if (!hitting && options->first_time != 0)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "first_time: expected 0 with --sampler %s, whose steps tell the time, found %g",
                         vkdlm_sampler_name(plan->sampler), options->first_time);
    /* A step of first-hitting fills one position. */
    uint32_t most = hitting ? RNG_MAX_STEP - u32_min(plan->max_window, RNG_MAX_STEP) : plan->steps;
    if (options->first_step > most)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "first_step: expected at most %u, found %u", most,
                         options->first_step);
    plan->first_step = options->first_step;
    plan->first_time = options->first_time != 0 ? options->first_time : 1;
    if (!(plan->first_time > 0 && plan->first_time <= 1))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "first_time: expected a number above 0 and at most 1, found %g",
                         options->first_time);
    return VKDLM_OK;
}

static vkdlm_status plan_token_law(masked_plan *plan, const denoiser *network,
                                   const vkdlm_generate_options *options, vkdlm_error *err)
{
    double temperature = options->temperature != 0 ? options->temperature : 1;
    if (!(temperature >= 1e-6 && temperature <= 1e6))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--temperature: expected a number from 1e-6 to 1e6, found %g", temperature);
    double top_p = options->top_p != 0 ? options->top_p : 1;
    if (!(top_p > 0 && top_p <= 1))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--top-p: expected a number above 0 and at most 1, found %g", top_p);
    plan->temperature = (float)temperature;
    plan->top_p = fmaxf((float)top_p, FLT_MIN);
    plan->top_k = options->top_k < network->vocab_size - 1 ? options->top_k : 0;
    return VKDLM_OK;
}

static vkdlm_status plan_report(masked_plan *plan, const vkdlm_generate_options *options, vkdlm_error *err)
{
    if (options->n_candidates > VKDLM_MAX_CANDIDATES)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--top: expected at most %u candidates, found %u",
                         VKDLM_MAX_CANDIDATES, options->n_candidates);
    /* Nobody would see them. */
    if (!options->on_step)
        return VKDLM_OK;
    plan->n_candidates = options->n_candidates;
    plan->evaluate_all = options->evaluate_all;
    return VKDLM_OK;
}

static vkdlm_status plan_batch(masked_plan *plan, const denoiser *network,
                               const vkdlm_generate_options *options, vkdlm_error *err)
{
    uint32_t most = network->max_sequences(network->self, plan->max_window);
    most = u32_min(most, MAX_ROWS / plan->max_window);
    if (options->batch > most)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--batch: expected at most %u canvases of %u tokens on this device, found %u", most,
                         plan->max_window, options->batch);
    uint32_t batch = options->batch
                         ? options->batch
                         : denoiser_auto_batch(network, plan->max_window, u32_min(most, AUTO_BATCH));
    plan->batch = (uint32_t)u64_min(batch, plan->n_samples);
    return VKDLM_OK;
}

vkdlm_status masked_plan_init(masked_plan *plan, const denoiser *network,
                              const vkdlm_generate_options *options, vkdlm_error *err)
{
    *plan = (masked_plan){.mask_id = network->mask_id, .seed = options->seed};
    vkdlm_status status = plan_canvases(plan, network, options, err);
    if (status == VKDLM_OK)
        status = plan_sampler(plan, options, err);
    if (status == VKDLM_OK)
        status = plan_stages(plan, options, err);
    if (status == VKDLM_OK)
        status = plan_start(plan, options, err);
    if (status == VKDLM_OK)
        status = plan_token_law(plan, network, options, err);
    if (status == VKDLM_OK)
        status = plan_report(plan, options, err);
    if (status == VKDLM_OK)
        status = plan_batch(plan, network, options, err);
    return status;
}

double masked_plan_time(const masked_plan *plan, uint32_t i)
{
    return i == plan->steps ? plan->end_time : 1 + i * (plan->end_time - 1) / plan->steps;
}

double masked_plan_start_time(const masked_plan *plan)
{
    return plan->steps ? masked_plan_time(plan, plan->first_step) : plan->first_time;
}

uint32_t masked_plan_n_steps(const masked_plan *plan)
{
    return plan->steps * plan->n_stages;
}
