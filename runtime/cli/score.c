#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "input.h"
#include "message.h"
#include "report.h"
#include "score.h"
#include "signals.h"

#define MAX_INPUT_BYTES ((size_t)1 << 30)

#define AT(field) offsetof(score_values, field)

static const char *const bounds[] = {
    [VKDLM_BOUND_CONTINUOUS] = "continuous", [VKDLM_BOUND_DISCRETE] = "discrete", NULL};

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(AT(model)),
    ENGINE_TOKENIZER_OPTION(AT(tokenizer)),
    ENGINE_L2D_OPTION(AT(l2d)),
};
#define CAUSAL (MODEL_CAUSAL | MODEL_L2D)

static const option_spec score_specs[] = {
    {"bound", 0, OPTION_CHOICE, AT(bound), "NAME", "upper bound of the negative log-likelihood",
     .initial = "continuous", .choices = bounds, .fits = MODEL_MASKED},
    {"steps", 0, OPTION_COUNT, AT(steps), "T", "denoising steps of the discrete bound. " FLOW_STEPS_HELP,
     "steps", .initially = "64; " FLOW_STEPS_UNITS, .most = 1000000, .fits = MODEL_MASKED | MODEL_L2D,
     .base_value = "0"},
    {"draws", 0, OPTION_COUNT, AT(draws), "K",
     "Monte-Carlo draws of each window; L2D: of the noise of each prediction", "draws",
     .initially = "16; 1 for L2D", .least = 1, .most = 1000000, .fits = MODEL_MASKED | MODEL_L2D},
    {"window", 0, OPTION_COUNT, AT(window), "N", "tokens scored together; windows do not overlap", "tokens",
     .initially = "the model's length or context, which is also the most", .least = 1, .most = UINT32_MAX},
    {"max-tokens", 0, OPTION_COUNT, AT(max_tokens), "N", "stops after so many predictions", "predictions",
     .initially = "all", .least = 1, .most = INT64_MAX, .fits = CAUSAL},
    {"batch", 0, OPTION_COUNT, AT(batch), "B", "windows (autoregressive: predictions) that run together",
     "windows", .initially = "chosen for the device, within its memory", .least = 1, .most = 65536},
    {"seed", 0, OPTION_COUNT, AT(seed), "N", "of the random numbers", .initial = "0", .most = INT64_MAX},
};
static const option_spec schedule_specs[] = {NOISE_OPTIONS(AT(schedule))};
static const option_group model_group = {"Model", model_specs, 3, false};
static const option_group score_group = {"Likelihood", score_specs, sizeof score_specs / sizeof *score_specs,
                                         true};
static const option_group schedule_group = {"Noise schedule", schedule_specs,
                                            sizeof schedule_specs / sizeof *schedule_specs, true};
static const option_group *const groups[] = {
    &model_group, &score_group, &schedule_group, &causal_group, &flow_group, &options_common, NULL};

vkdlm_status score_masked_options(const score_values *v, vkdlm_score_options *options, vkdlm_error *err)
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
    if (v->steps.given && !v->steps.count)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--steps' takes a whole number from 1 to 1000000 (steps) with a masked diffusion "
                           "model, not '%.40s'",
                           v->steps.text);
    return noise_from_options(&v->schedule, &options->noise, err);
}

bool score_progress(void *user, uint64_t done, uint64_t total)
{
    score_run *r = user;
    progress_update(&r->engine.bar, total ? (double)done / (double)total : 1, NULL);
    return !signals_pending();
}

static vkdlm_status tokenize_text(score_run *r, vkdlm_error *err)
{
    if (!r->engine.tokenizer)
        return message_set(err, VKDLM_UNSUPPORTED,
                           "the model '%.300s' has no tokenizer; '--tokenizer PATH' names one",
                           r->engine.path);
    vkdlm_status status =
        vkdlm_tokenize(r->engine.tokenizer, r->text, r->n_bytes, VKDLM_TOKENIZE_NO_SPECIAL, &r->ids, err);
    if (status)
        return status;
    if (!r->ids.count)
        return message_set(err, VKDLM_MALFORMED, "'%.400s' holds no text to score", r->path);
    for (size_t i = 0; i < r->ids.count; i++)
        if ((uint32_t)r->ids.ids[i] >= r->engine.info.vocab_size)
            return message_set(err, VKDLM_MALFORMED,
                               "'%.400s': the tokenizer gives the id %" PRId32
                               ", but the model's are 0 to %" PRIu32,
                               r->path, r->ids.ids[i], r->engine.info.vocab_size - 1);
    return VKDLM_OK;
}

static vkdlm_status report_result(const score_run *r, const vkdlm_score_result *result, vkdlm_error *err)
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

vkdlm_status score_masked(score_run *r, vkdlm_score_options *options, vkdlm_error *err)
{
    vkdlm_score_result result = {0};
    options->progress = score_progress;
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
    const engine_names names = {v->model.text, v->tokenizer.text, v->l2d.text};
    const char *path = parse->arguments[0];
    score_run r = {.values = v, .path = input_name(path)};
    vkdlm_score_options masked_options;
    vkdlm_predict_options causal_options;
    vkdlm_error err = {0};
    char *text = NULL;
    vkdlm_status status = engine_find(&r.engine, cmd, values, parse, &names, &err);
    bool masked = r.engine.kind == MODEL_MASKED;
    if (!status)
        status = masked ? score_masked_options(v, &masked_options, &err)
                        : score_causal_options(v, &causal_options, &err);
    if (!status)
        status = input_read(path, MAX_INPUT_BYTES, &text, &r.n_bytes, &err);
    r.text = text;
    if (!status)
        status = engine_open(&r.engine, &err);
    if (!status)
        status = tokenize_text(&r, &err);
    if (!status)
        status = masked ? score_masked(&r, &masked_options, &err) : score_causal(&r, &causal_options, &err);
    int code = engine_finish(&r.engine, status, &err);
    vkdlm_ids_free(&r.ids);
    free(text);
    engine_close(&r.engine);
    return code;
}

const command command_score = {
    .name = "score",
    .summary = "Likelihood of a text under a model: an upper bound of its negative logarithm for masked "
               "diffusion, exact for an autoregressive model.",
    .arguments = "FILE",
    .least_arguments = 1,
    .most_arguments = 1,
    .groups = groups,
    .notes =
        "FILE '-' is standard input. The text is tokenized once and nothing is added; a last window that is "
        "shorter is scored at its own length.\n"
        "An autoregressive model predicts every token but the first of each window; bits per byte count the "
        "bytes of those tokens. Its accuracy says how often the likeliest token is the true one, its "
        "expected "
        "accuracy is the mean probability of the true token; with a diffusion path both are also measured "
        "for the refined predictions.\n"
        "--json: one object with \"tokens\", \"bytes\", \"nats_per_token\", \"stderr\" (Monte-Carlo, over "
        "draws; "
        "null with one draw, and where the figure is exact), \"stderr_text\" (over windows; null with one "
        "window), \"bits_per_byte\", "
        "\"perplexity\", \"draws\", \"windows\", \"seconds\", \"bound\", \"evaluations\". An autoregressive "
        "model: \"tokens\" are the predictions, \"bytes\" theirs, \"bound\" is \"exact\", \"evaluations\" "
        "are "
        "as generate reports them, and \"base\" and \"refined\" (null without a diffusion path) hold "
        "accuracy, expected_accuracy and nats, each with its standard error over predictions, and "
        "entropy.\n"
        "Ctrl-C stops early: what was scored so far is reported, the exit status is 130.",
    .values_size = sizeof(score_values),
    .run = run_score,
};
