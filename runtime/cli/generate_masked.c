/* `generate` for masked diffusion models. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "decode.h"
#include "generate.h"
#include "message.h"
#include "report.h"
#include "signals.h"
#include "terminal.h"

typedef struct masked_run {
    generate_run *run;
    uint64_t seed;
    terminal *terminal; /* --show */
} masked_run;

static vkdlm_status make_canvases(generate_run *r, vkdlm_error *err)
{
    const generate_values *v = r->values;
    const vkdlm_model_info *info = &r->engine.info;
    canvas_rules rules = canvas_rules_of(info, r->engine.tokenizer);
    rules.may_be_full = v->strides.given;
    if (v->length.given)
        rules.length = (uint32_t)v->length.count;
    if (rules.length > info->length)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--length' is 1 to the model's length, %" PRIu32 ", not %" PRIu32
                           " ('--stride' and '--strides' generate beyond it)",
                           info->length, rules.length);
    vkdlm_status status = v->template_text.given
                              ? canvas_add_template(&r->canvases, &rules, r->given, r->given_size, err)
                              : generate_add_given(r, &rules, err);
    return status ? status : canvas_set_finish(&r->canvases, err);
}

static bool on_step(void *user, const vkdlm_step *step)
{
    masked_run *m = user;
    if (m->terminal)
        terminal_show(m->terminal, step, m->run->delivered);
    else
        generate_progress(m->run, step->sample,
                          step->n_steps
                              ? (double)step->step / step->n_steps
                              : 1 - (double)step->n_masked / (double)(step->length ? step->length : 1));
    bool recorded = !m->run->recorder || vkdlm_recorder_on_step(m->run->recorder, step);
    return recorded && !signals_pending();
}

/* Positions of a finished sample that generation filled. */
static uint64_t count_filled(const generate_run *r, const vkdlm_sample *sample)
{
    const vkdlm_canvas *canvas = &r->canvases.canvases[sample->prompt];
    int32_t mask_id = r->engine.info.mask_id;
    uint64_t filled = sample->length - canvas->length;
    for (uint32_t i = 0; i < canvas->length; i++)
        filled += canvas->tokens[i] == mask_id;
    for (uint32_t i = 0; i < sample->length; i++)
        filled -= filled && sample->tokens[i] == mask_id;
    return filled;
}

static vkdlm_status report_json(const masked_run *m, const vkdlm_sample *sample, const char *text,
                                size_t size, vkdlm_error *err)
{
    return report_object(json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",               //
                                   "sample", report_count(sample->sample),                //
                                   "seed", report_count(m->seed),                         //
                                   "ids", report_ids(sample->tokens, sample->length),     //
                                   "text", text ? json_stringn(text, size) : json_null(), //
                                   "length", report_count(sample->length),                //
                                   "nfe", report_count(sample->evaluations),              //
                                   "steps", report_count(sample->n_steps),                //
                                   "seconds", report_real(sample->seconds),               //
                                   "tokens_per_second",
                                   report_real(generate_rate(count_filled(m->run, sample), sample->seconds))),
                         err);
}

static bool on_sample(void *user, const vkdlm_sample *sample)
{
    masked_run *m = user;
    generate_run *r = m->run;
    char *text = NULL;
    size_t size = 0;
    if (!sample->complete)
        return !signals_pending();
    if (r->recorder)
        vkdlm_recorder_on_sample(r->recorder, sample);
    terminal_clear(m->terminal);
    progress_clear(&r->engine.bar);
    r->delivered = sample->sample + 1;
    if (r->engine.tokenizer)
        r->output = decode_canvas(r->engine.tokenizer, sample->tokens, sample->length, r->engine.info.mask_id,
                                  &text, &size, &r->output_error);
    if (!r->output && r->values->common.json.given) {
        r->output = report_json(m, sample, text, size, &r->output_error);
    } else if (!r->output) {
        r->output = generate_print_heading(r, sample->sample, &r->output_error);
        if (!r->output)
            r->output = generate_print(text, size, sample->tokens, sample->length, &r->output_error);
    }
    free(text);
    return !r->output && !signals_pending();
}

static vkdlm_status summarise(const generate_run *r, const void *user, vkdlm_error *err)
{
    const vkdlm_generate_stats *stats = user;
    uint64_t peak = vkdlm_device_peak_bytes(r->engine.device);
    double rate = generate_rate(stats->tokens, stats->seconds);
    if (r->engine.verbose)
        message_note("first evaluation: %.3f s", stats->first_evaluation_seconds);
    if (r->values->common.json.given)
        return report_object(
            json_pack("{s:{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}}", "summary", //
                      "samples", report_count(stats->samples),                                //
                      "seconds", report_real(stats->seconds),                                 //
                      "device", report_string(r->engine.device_info.name),                    //
                      "evaluations", report_count(stats->evaluations),                        //
                      "tokens", report_count(stats->tokens),                                  //
                      "tokens_per_second", report_real(rate),                                 //
                      "peak_device_bytes", report_count(peak),                                //
                      "network_rows", report_count(stats->network_rows),                      //
                      "output_rows", report_count(stats->output_rows),                        //
                      "output_rows_full", report_count(stats->output_rows_full),              //
                      "submissions", report_count(stats->submissions),                        //
                      "batch", report_count(stats->batch),                                    //
                      "first_evaluation_seconds", report_real(stats->first_evaluation_seconds)),
            err);
    if (!r->values->common.quiet.given)
        message_note("%" PRIu64 " tokens in %.2f s, %.1f a second; %" PRIu64 " evaluations, batch %" PRIu32
                     "; %s, %.0f MB at most",
                     stats->tokens, stats->seconds, rate, stats->evaluations, stats->batch,
                     r->engine.device_info.name, (double)peak / 1e6);
    return VKDLM_OK;
}

vkdlm_status generate_masked(generate_run *r, vkdlm_generate_options *options, vkdlm_error *err)
{
    masked_run m = {.run = r, .seed = options->seed};
    vkdlm_generate_stats stats = {0};
    vkdlm_status status = make_canvases(r, err);
    if (status)
        return status;
    options->canvases = r->canvases.canvases;
    options->n_canvases = r->canvases.n;
    options->on_step = on_step;
    options->on_sample = on_sample;
    options->user = &m;
    r->total = r->canvases.n * options->num_samples;
    status = generate_record(r, options, NULL, err);
    if (status)
        return status;
    if (r->values->show.given) {
        m.terminal = terminal_create(pieces_create(r->engine.tokenizer, NULL), r->engine.info.mask_id);
        if (!m.terminal)
            return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory to show the canvas");
    }
    progress_begin(&r->engine.bar, "generating");
    status = vkdlm_generate(r->engine.session, options, &stats, err);
    status = generate_end(r, status, summarise, &stats, err);
    terminal_destroy(m.terminal);
    return status;
}
