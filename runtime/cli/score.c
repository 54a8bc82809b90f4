#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "engine.h"
#include "input.h"
#include "message.h"
#include "noise_options.h"
#include "report.h"
#include "signals.h"

#define MAX_INPUT_BYTES ((size_t)1 << 30)

typedef struct score_values {
    common_values common;
    option_value model, tokenizer, bound, steps, draws, window, batch, seed;
    noise_values noise;
} score_values;

#define AT(field) offsetof(score_values, field)

static const char *const bounds[] = {
    [VKDLM_BOUND_CONTINUOUS] = "continuous", [VKDLM_BOUND_DISCRETE] = "discrete", NULL};

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(AT(model)),
    ENGINE_TOKENIZER_OPTION(AT(tokenizer)),
    ENGINE_L2D_OPTION(0),
};
static const option_spec score_specs[] = {
    {"bound", 0, OPTION_CHOICE, AT(bound), "NAME", "upper bound of the negative log-likelihood",
     .initial = "continuous", .choices = bounds},
    {"steps", 0, OPTION_COUNT, AT(steps), "T", "denoising steps of the discrete bound", "steps",
     .initially = "64", .least = 1, .most = 1000000},
    {"draws", 0, OPTION_COUNT, AT(draws), "K", "Monte-Carlo draws of each window", "draws", "16", .least = 1,
     .most = 1000000},
    {"window", 0, OPTION_COUNT, AT(window), "N", "tokens scored together; windows do not overlap", "tokens",
     .initially = "the model's length, which is also the most", .least = 1, .most = UINT32_MAX},
    {"batch", 0, OPTION_COUNT, AT(batch), "B", "windows that run together", "windows",
     .initially = "chosen for the device, within its memory", .least = 1, .most = 65536},
    NOISE_OPTIONS(AT(noise)),
    {"seed", 0, OPTION_COUNT, AT(seed), "N", "of the random numbers", .initial = "0", .most = INT64_MAX},
};
static const option_spec l2d_specs[] = {
    {"solver", 0, OPTION_TEXT, 0, "NAME", "", .family = "L2D"},
};
static const option_group model_group = {"Model", model_specs, 3, false};
static const option_group score_group = {"Likelihood", score_specs, sizeof score_specs / sizeof *score_specs,
                                         true};
static const option_group l2d_group = {"L2D", l2d_specs, 1, false};
static const option_group *const groups[] = {&model_group, &score_group, &l2d_group, &options_common, NULL};

typedef struct run {
    engine engine;
    const score_values *values;
    vkdlm_ids ids;
    size_t n_bytes; /* of the text */
} run;

static vkdlm_status options_of(const score_values *v, vkdlm_score_options *options, vkdlm_error *err)
{
    *options = (vkdlm_score_options){
        .bound = (vkdlm_bound)v->bound.choice,
        .steps = (uint32_t)v->steps.count,
        .draws = (uint32_t)v->draws.count,
        .window = (uint32_t)v->window.count,
        .batch = (uint32_t)v->batch.count,
        .seed = v->seed.count,
    };
    if (v->steps.given && options->bound != VKDLM_BOUND_DISCRETE)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--steps' goes with '--bound discrete', not with '--bound %s'",
                           bounds[options->bound]);
    return noise_from_options(&v->noise, &options->noise, err);
}

static bool on_draws(void *user, uint64_t done, uint64_t total)
{
    run *r = user;
    progress_update(&r->engine.bar, total ? (double)done / (double)total : 1, NULL);
    return !signals_pending();
}

static vkdlm_status tokenize_text(run *r, const char *path, const char *text, vkdlm_error *err)
{
    if (!r->engine.tokenizer)
        return message_set(err, VKDLM_UNSUPPORTED,
                           "the model '%.300s' has no tokenizer; '--tokenizer PATH' names one",
                           r->engine.path);
    vkdlm_status status =
        vkdlm_tokenize(r->engine.tokenizer, text, r->n_bytes, VKDLM_TOKENIZE_NO_SPECIAL, &r->ids, err);
    if (status)
        return status;
    if (!r->ids.count)
        return message_set(err, VKDLM_MALFORMED, "'%.400s' holds no text to score", path);
    for (size_t i = 0; i < r->ids.count; i++)
        if ((uint32_t)r->ids.ids[i] >= r->engine.info.vocab_size)
            return message_set(err, VKDLM_MALFORMED,
                               "'%.400s': the tokenizer gives the id %" PRId32
                               ", but the model's are 0 to %" PRIu32,
                               path, r->ids.ids[i], r->engine.info.vocab_size - 1);
    return VKDLM_OK;
}

static vkdlm_status report_result(const run *r, const vkdlm_score_result *result, vkdlm_error *err)
{
    double bits_per_byte =
        result->nats_per_token * (double)result->tokens / ((double)r->n_bytes * 0.693147180559945309417);
    /* Of a text that was scored in part, the bytes that its tokens stand for are not known. */
    if (result->tokens < r->ids.count)
        bits_per_byte = NAN;
    double perplexity = exp(result->nats_per_token);
    const char *bound = bounds[r->values->bound.choice];
    if (r->values->common.json.given)
        return report_object(json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o}",   //
                                       "tokens", report_count(result->tokens),                //
                                       "bytes", report_count(r->n_bytes),                     //
                                       "nats_per_token", report_real(result->nats_per_token), //
                                       "stderr", report_real(result->stderr_draws),           //
                                       "stderr_text", report_real(result->stderr_windows),    //
                                       "bits_per_byte", report_real(bits_per_byte),           //
                                       "perplexity", report_real(perplexity),                 //
                                       "draws", report_count(result->draws),                  //
                                       "windows", report_count(result->windows),              //
                                       "seconds", report_real(result->seconds),               //
                                       "bound", bound,                                        //
                                       "evaluations", report_count(result->evaluations)),
                             err);
    char draws[32] = "unknown", windows[32] = "unknown";
    if (isfinite(result->stderr_draws))
        snprintf(draws, sizeof draws, "%.4f", result->stderr_draws);
    if (isfinite(result->stderr_windows))
        snprintf(windows, sizeof windows, "%.4f", result->stderr_windows);
    vkdlm_status status =
        report_line(err,
                    "nats per token  %.4f (%s bound)\n"
                    "standard error  %s (Monte-Carlo, draws: %" PRIu64 "), %s (text, windows: %" PRIu64 ")\n"
                    "bits per byte   %.4f\n"
                    "perplexity      %.3f\n"
                    "text            %" PRIu64 " tokens, %zu bytes",
                    result->nats_per_token, bound, draws, result->draws, windows, result->windows,
                    bits_per_byte, perplexity, result->tokens, r->n_bytes);
    if (!status && !r->values->common.quiet.given)
        message_note("%" PRIu64 " evaluations in %.2f s on %s", result->evaluations, result->seconds,
                     r->engine.device_info.name);
    return status;
}

static vkdlm_status score(run *r, vkdlm_score_options *options, vkdlm_error *err)
{
    vkdlm_score_result result = {0};
    options->progress = on_draws;
    options->user = r;
    progress_begin(&r->engine.bar, "scoring");
    vkdlm_status status = vkdlm_score(r->engine.session, r->ids.ids, r->ids.count, options, &result, err);
    progress_clear(&r->engine.bar);
    bool stopped = status == VKDLM_CANCELLED && signals_pending();
    if (status && !stopped)
        return status;
    if (result.tokens) {
        vkdlm_status report = report_result(r, &result, err);
        if (report)
            return report;
    }
    return stopped
               ? message_set(err, VKDLM_CANCELLED, "interrupted when %" PRIu64 " of %zu tokens were scored",
                             result.tokens, r->ids.count)
               : VKDLM_OK;
}

static int run_score(const command *cmd, void *values, const option_parse *parse)
{
    const score_values *v = values;
    run r = {.values = v};
    vkdlm_score_options options;
    vkdlm_error err = {0};
    char *text = NULL;
    const char *path = parse->arguments[0];
    vkdlm_status status = options_of(v, &options, &err);
    if (!status)
        status = input_read(path, MAX_INPUT_BYTES, &text, &r.n_bytes, &err);
    if (!status)
        status = engine_open(&r.engine, cmd, parse, &v->common, v->model.text, v->tokenizer.text, &err);
    if (!status)
        status = tokenize_text(&r, input_name(path), text, &err);
    if (!status)
        status = score(&r, &options, &err);
    int code = engine_finish(&r.engine, status, &err);
    vkdlm_ids_free(&r.ids);
    free(text);
    engine_close(&r.engine);
    return code;
}

const command command_score = {
    .name = "score",
    .summary = "Likelihood of a text under a model: an upper bound of its negative logarithm.",
    .arguments = "FILE",
    .least_arguments = 1,
    .most_arguments = 1,
    .groups = groups,
    .notes =
        "FILE '-' is standard input. The text is tokenized once and nothing is added; a last window that is "
        "shorter is scored at its own length.\n"
        "--json: one object with \"tokens\", \"bytes\", \"nats_per_token\", \"stderr\" (Monte-Carlo, over "
        "draws; "
        "null with one draw), \"stderr_text\" (over windows; null with one window), \"bits_per_byte\", "
        "\"perplexity\", \"draws\", \"windows\", \"seconds\", \"bound\", \"evaluations\".\n"
        "Ctrl-C stops early: the windows scored so far are reported, the exit status is 130.",
    .values_size = sizeof(score_values),
    .run = run_score,
};
