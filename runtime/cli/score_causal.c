/* `score` for autoregressive models: exact, and with a diffusion path the refined predictions beside it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow_report.h"
#include "message.h"
#include "progress.h"
#include "report.h"
#include "score.h"
#include "signals.h"

#define LN_2 0.693147180559945309417

vkdlm_status score_causal_options(const score_values *v, vkdlm_predict_options *options, vkdlm_error *err)
{
    *options = (vkdlm_predict_options){
        .window = (uint32_t)v->window.count,
        .max_tokens = v->max_tokens.count,
        .draws = (uint32_t)v->draws.count,
        .batch = (uint32_t)v->batch.count,
        .seed = v->seed.count,
        .cache_f16 = v->flow.kv_type.choice == 1,
    };
    if (v->window.given && v->window.count < 2)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--window' is 2 tokens or more with an autoregressive model, not %" PRIu64
                           ": the first of a window is not predicted",
                           v->window.count);
    return flow_from_options(&v->flow, &v->steps, &options->flow, err);
}

/* Bytes of the text that the first n predictions stand for: those of every token but the first of each
 * window. A character that several tokens share counts with its last. NaN when the tokens do not give the
 * text back. */
static double count_bytes(const score_run *r, uint32_t window, uint64_t n_predictions)
{
    vkdlm_decoder *decoder = NULL;
    vkdlm_error ignored;
    uint64_t done = 0, predicted = 0, total = 0;
    const char *piece = NULL;
    size_t size = 0;
    if (vkdlm_decoder_create(r->engine.tokenizer, false, &decoder, &ignored))
        return NAN;
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < r->ids.count && !status; i++) {
        status = vkdlm_decoder_push(decoder, r->ids.ids[i], &piece, &size, &ignored);
        total += size;
        if (i % window && done < n_predictions) {
            predicted += size;
            done++;
        }
    }
    if (!status && !vkdlm_decoder_flush(decoder, &piece, &size, &ignored))
        total += size;
    vkdlm_decoder_destroy(decoder);
    return !status && total == r->n_bytes && predicted ? (double)predicted : NAN;
}

static json_t *quality_json(const vkdlm_prediction_quality *q)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}",                                      //
                     "accuracy", report_real(q->accuracy),                                 //
                     "accuracy_stderr", report_real(q->accuracy_stderr),                   //
                     "expected_accuracy", report_real(q->expected_accuracy),               //
                     "expected_accuracy_stderr", report_real(q->expected_accuracy_stderr), //
                     "nats", report_real(q->nats),                                         //
                     "nats_stderr", report_real(q->nats_stderr),                           //
                     "entropy", report_real(q->entropy));
}

static vkdlm_status report_json(const vkdlm_predict_result *result, uint32_t n_steps, double bytes,
                                double bits_per_byte, vkdlm_error *err)
{
    json_t *line =
        json_pack("{s:o,s:o,s:o,s:n,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o}",                        //
                  "tokens", report_count(result->tokens),                                                 //
                  "bytes", isfinite(bytes) ? report_count((uint64_t)bytes) : json_null(),                 //
                  "nats_per_token", report_real(result->base.nats),                                       //
                  "stderr",                                                                               //
                  "stderr_text", report_real(result->stderr_windows),                                     //
                  "bits_per_byte", report_real(bits_per_byte),                                            //
                  "perplexity", report_real(exp(result->base.nats)),                                      //
                  "draws", report_count(result->draws),                                                   //
                  "windows", report_count(result->windows),                                               //
                  "seconds", report_real(result->seconds),                                                //
                  "bound", "exact",                                                                       //
                  "steps", report_count(n_steps),                                                         //
                  "evaluations", flow_report_evaluations(&result->counts, result->tokens, result->draws), //
                  "base", quality_json(&result->base),                                                    //
                  "refined", result->has_refined ? quality_json(&result->refined) : json_null());
    return report_object(flow_report_solves(line, &result->counts), err);
}

/* "0.3990 (standard error 0.0021)" */
static void describe(double value, double deviation, char *text, size_t size)
{
    if (isfinite(deviation))
        snprintf(text, size, "%.4f (standard error %.4f)", value, deviation);
    else
        snprintf(text, size, "%.4f", value);
}

static vkdlm_status report_quality(const vkdlm_prediction_quality *q, vkdlm_error *err)
{
    char accuracy[64], expected[64];
    describe(q->accuracy, q->accuracy_stderr, accuracy, sizeof accuracy);
    describe(q->expected_accuracy, q->expected_accuracy_stderr, expected, sizeof expected);
    return report_line(err,
                       "accuracy           %s\n"
                       "expected accuracy  %s",
                       accuracy, expected);
}

static vkdlm_status report_refined(const vkdlm_predict_result *result, const char *solver, uint32_t n_steps,
                                   vkdlm_error *err)
{
    const vkdlm_flow_counts *counts = &result->counts;
    double n = (double)result->tokens, n_refined = n * (double)result->draws;
    vkdlm_status status = report_line(err, "\nrefined            %s, %" PRIu32 " points, draws: %" PRIu64,
                                      solver, n_steps, result->draws);
    if (!status)
        status = report_quality(&result->refined, err);
    if (!status)
        status = report_line(
            err,
            "cross-entropy      %.4f nats at t = 1 (says little: there the network mostly "
            "copies x_1)\n"
            "evaluations        a token: %.2f of the base; a draw: %.2f of the diffusion path, %.2f "
            "velocity calls",
            result->refined.nats, (double)counts->main / n, (double)counts->path / n_refined,
            (double)counts->velocity_calls / n_refined);
    if (!status && counts->refined != result->tokens * result->draws)
        status = report_line(err, "tokens refined     %" PRIu64 " of %" PRIu64, counts->refined,
                             result->tokens * result->draws);
    if (!status && counts->limited)
        status = report_line(err, "stopped early      %" PRIu64 " solves", counts->limited);
    return status;
}

static vkdlm_status report_table(const vkdlm_predict_result *result, double bits_per_byte, const char *solver,
                                 uint32_t n_steps, vkdlm_error *err)
{
    char windows[32] = "unknown", bits[32] = "unknown";
    if (isfinite(result->stderr_windows))
        snprintf(windows, sizeof windows, "%.4f", result->stderr_windows);
    if (isfinite(bits_per_byte))
        snprintf(bits, sizeof bits, "%.4f", bits_per_byte);
    vkdlm_status status = report_line(err,
                                      "nats per token     %.4f (exact)\n"
                                      "standard error     %s (text, windows: %" PRIu64 ")\n"
                                      "bits per byte      %s\n"
                                      "perplexity         %.3f\n"
                                      "predictions        %" PRIu64,
                                      result->base.nats, windows, result->windows, bits,
                                      exp(result->base.nats), result->tokens);
    if (!status)
        status = report_quality(&result->base, err);
    if (!status && result->has_refined)
        status = report_refined(result, solver, n_steps, err);
    return status;
}

static vkdlm_status report(const score_run *r, const vkdlm_predict_options *options,
                           const vkdlm_predict_result *result, bool stopped, vkdlm_error *err)
{
    const vkdlm_flow_info *flow = &r->engine.info.flow;
    uint32_t window = options->window ? options->window : r->engine.info.length;
    uint32_t n_steps = flow_steps(&options->flow, flow);
    /* Which tokens were predicted when a run stops is not known. */
    double bytes = stopped ? NAN : count_bytes(r, window, result->tokens);
    double bits_per_byte = result->base.nats * (double)result->tokens / (bytes * LN_2);
    if (r->values->common.json.given)
        return report_json(result, n_steps, bytes, bits_per_byte, err);
    vkdlm_status status = report_table(result, bits_per_byte,
                                       vkdlm_solver_name(flow_solver(&options->flow, flow)), n_steps, err);
    if (!status && !r->values->common.quiet.given)
        message_note("%" PRIu64 " evaluations in %.2f s on %s", result->counts.main + result->counts.path,
                     result->seconds, r->engine.device_info.name);
    return status;
}

vkdlm_status score_causal(score_run *r, vkdlm_predict_options *options, vkdlm_error *err)
{
    vkdlm_predict_result result = {0};
    if (r->ids.count < 2)
        return message_set(err, VKDLM_MALFORMED, "'%.400s' is one token, which leaves nothing to predict",
                           r->path);
    options->progress = score_progress;
    options->user = r;
    progress_begin(&r->engine.bar, "scoring");
    vkdlm_status status = vkdlm_predict(r->engine.session, r->ids.ids, r->ids.count, options, &result, err);
    progress_clear(&r->engine.bar);
    bool stopped = status == VKDLM_CANCELLED && signals_pending();
    if (status && !stopped)
        return status;
    if (result.tokens) {
        vkdlm_status printed = report(r, options, &result, stopped, err);
        if (printed)
            return printed;
    }
    return stopped ? message_set(err, VKDLM_CANCELLED, "interrupted when %" PRIu64 " predictions were made",
                                 result.tokens)
                   : VKDLM_OK;
}
