/* `generate` for autoregressive models, with or without a diffusion path. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "flow_report.h"
#include "generate.h"
#include "message.h"
#include "report.h"
#include "signals.h"
#include "stream.h"

typedef struct causal_run {
    generate_run *run;
    const vkdlm_complete_options *options;
    stream *stream;        /* --show */
    bool stream_is_output; /* what it writes is the sample's text on standard output */
    uint32_t n_steps;      /* grid points, 0: the base alone */
    vkdlm_chat_template *chat;
    float *noise;
} causal_run;

static vkdlm_status make_prompts(causal_run *c, vkdlm_error *err)
{
    generate_run *r = c->run;
    const generate_values *v = r->values;
    vkdlm_status status = VKDLM_OK;
    if (v->chat.given && !r->engine.tokenizer_path)
        return message_set(err, VKDLM_UNSUPPORTED,
                           "the model has no tokenizer, beside which the template of '--chat' would lie");
    if (v->chat.given)
        status = vkdlm_chat_template_open(r->engine.tokenizer_path, &c->chat, err);
    canvas_rules rules = canvas_rules_of(&r->engine.info, r->engine.tokenizer);
    rules.chat = c->chat;
    rules.system = v->system.text;
    if (!status)
        status = generate_add_given(r, &rules, err);
    return status ? status : canvas_set_finish(&r->canvases, err);
}

/* The text that people read: the answer alone in a chat, else prompt and continuation. */
static uint32_t first_shown(const causal_run *c, uint32_t prompt_length)
{
    return c->chat ? prompt_length : 0;
}

/* Writes what is new of the sample whose turn it is. */
static void show(causal_run *c, uint64_t sample, const int32_t *tokens, uint32_t prompt_length,
                 uint32_t length)
{
    generate_run *r = c->run;
    if (!stream_began(c->stream) && c->stream_is_output)
        r->output = generate_print_heading(r, sample, &r->output_error);
    if (!r->output)
        r->output = stream_push(c->stream, tokens, first_shown(c, prompt_length), length, &r->output_error);
}

static bool on_token(void *user, const vkdlm_token_step *step)
{
    causal_run *c = user;
    generate_run *r = c->run;
    if (!c->stream)
        generate_progress(r, step->sample, (double)(step->index + 1) / (double)step->max_tokens);
    else if (step->sample == r->delivered)
        show(c, step->sample, step->tokens, step->length - step->index - 1, step->length);
    bool recorded = !r->recorder || vkdlm_recorder_on_token(r->recorder, step);
    return recorded && !r->output && !signals_pending();
}

static bool on_flow_step(void *user, const vkdlm_flow_step *step)
{
    causal_run *c = user;
    return vkdlm_recorder_on_flow_step(c->run->recorder, step);
}

static vkdlm_status report_json(const causal_run *c, const vkdlm_completion *sample, const vkdlm_text *text,
                                vkdlm_error *err)
{
    uint64_t n_new = sample->length - sample->prompt_length;
    json_t *line = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o}",                       //
                             "sample", report_count(sample->sample),                                    //
                             "seed", report_count(c->options->seed),                                    //
                             "ids", report_ids(sample->tokens, sample->length),                         //
                             "text", text->bytes ? json_stringn(text->bytes, text->size) : json_null(), //
                             "length", report_count(sample->length),                                    //
                             "nfe", report_count(sample->counts.main + sample->counts.path),            //
                             "steps", report_count(c->n_steps),                                         //
                             "seconds", report_real(sample->seconds),                                   //
                             "tokens_per_second", report_real(generate_rate(n_new, sample->seconds)),   //
                             "prompt_length", report_count(sample->prompt_length),                      //
                             "ended", (int)sample->ended,                                               //
                             "evaluations", flow_report_evaluations(&sample->counts, n_new, 1));
    line = flow_report_solves(line, &sample->counts);
    if (line && (json_object_set_new(line, "entropy_before", report_real(sample->mean_base_entropy)) ||
                 json_object_set_new(line, "entropy_after", report_real(sample->mean_entropy)))) {
        json_decref(line);
        line = NULL;
    }
    return report_object(line, err);
}

static vkdlm_status report_sample(causal_run *c, const vkdlm_completion *sample, vkdlm_error *err)
{
    generate_run *r = c->run;
    const vkdlm_tokenizer *tokenizer = r->engine.tokenizer;
    bool json = r->values->common.json.given;
    uint32_t first = json ? 0 : first_shown(c, sample->prompt_length);
    vkdlm_text text = {0};
    vkdlm_status status = VKDLM_OK;
    if (c->stream) {
        show(c, sample->sample, sample->tokens, sample->prompt_length, sample->length);
        status = r->output ? r->output : stream_end(c->stream, err);
    }
    if (status || (c->stream && c->stream_is_output))
        return status;
    if (tokenizer)
        status =
            vkdlm_detokenize(tokenizer, sample->tokens + first, sample->length - first, true, &text, err);
    if (!status && json) {
        status = report_json(c, sample, &text, err);
    } else if (!status) {
        status = generate_print_heading(r, sample->sample, err);
        if (!status)
            status =
                generate_print(text.bytes, text.size, sample->tokens + first, sample->length - first, err);
    }
    vkdlm_text_free(&text);
    return status;
}

static bool on_sample(void *user, const vkdlm_completion *sample)
{
    causal_run *c = user;
    generate_run *r = c->run;
    if (!sample->complete)
        return !signals_pending();
    progress_clear(&r->engine.bar);
    r->output = report_sample(c, sample, &r->output_error);
    r->delivered = sample->sample + 1;
    return !r->output && !signals_pending();
}

static vkdlm_status summarise(const generate_run *r, const void *user, vkdlm_error *err)
{
    const vkdlm_complete_stats *stats = user;
    const vkdlm_flow_counts *counts = &stats->counts;
    uint64_t peak = vkdlm_device_peak_bytes(r->engine.device);
    double rate = generate_rate(stats->tokens, stats->seconds);
    if (r->engine.verbose)
        message_note("prompts: %" PRIu64 " tokens in %.3f s", stats->prompt_tokens, stats->prompt_seconds);
    if (r->values->common.json.given) {
        json_t *summary =
            flow_report_solves(json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",              //
                                         "samples", report_count(stats->samples),                          //
                                         "seconds", report_real(stats->seconds),                           //
                                         "device", report_string(r->engine.device_info.name),              //
                                         "nfe", report_count(counts->main + counts->path),                 //
                                         "evaluations", flow_report_evaluations(counts, stats->tokens, 1), //
                                         "tokens", report_count(stats->tokens),                            //
                                         "tokens_per_second", report_real(rate),                           //
                                         "peak_device_bytes", report_count(peak),                          //
                                         "prompt_tokens", report_count(stats->prompt_tokens),              //
                                         "prompt_seconds", report_real(stats->prompt_seconds),             //
                                         "submissions", report_count(stats->submissions),                  //
                                         "batch", report_count(stats->batch)),
                               counts);
        return report_object(summary ? json_pack("{s:o}", "summary", summary) : NULL, err);
    }
    if (!r->values->common.quiet.given)
        message_note("%" PRIu64 " tokens in %.2f s, %.1f a second; %" PRIu64 " evaluations (base %" PRIu64
                     ", diffusion path %" PRIu64 "), batch %" PRIu32 "; %s, %.0f MB at most",
                     stats->tokens, stats->seconds, rate, counts->main + counts->path, counts->main,
                     counts->path, stats->batch, r->engine.device_info.name, (double)peak / 1e6);
    if (!r->values->common.quiet.given && counts->limited)
        message_note("of %" PRIu64 " refined tokens, the solves of %" PRIu64
                     " stopped before their end (the limit of evaluations, or a step too small)",
                     counts->refined, counts->limited);
    return VKDLM_OK;
}

static vkdlm_status start_stream(causal_run *c, vkdlm_error *err)
{
    generate_run *r = c->run;
    if (!r->values->show.given)
        return VKDLM_OK;
    c->stream_is_output = isatty(STDOUT_FILENO) && !r->values->common.json.given;
    c->stream = stream_create(r->engine.tokenizer, c->stream_is_output ? stdout : stderr);
    return c->stream ? VKDLM_OK
                     : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory to show the text");
}

static vkdlm_status read_noise(causal_run *c, vkdlm_complete_options *options, vkdlm_error *err)
{
    const generate_values *v = c->run->values;
    if (!v->noise.given || options->flow.off)
        return VKDLM_OK;
    vkdlm_status status = flow_read_noise(v->noise.text, c->run->engine.info.flow.dim, c->run->total,
                                          &options->flow, &c->noise, err);
    if (status)
        return status;
    if (!v->length.given)
        options->max_tokens = options->flow.noise_tokens;
    if (options->max_tokens > options->flow.noise_tokens)
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s': tensor 'noise' is for %" PRIu32 " tokens, but '--length' is %" PRIu32,
                           v->noise.text, options->flow.noise_tokens, options->max_tokens);
    return VKDLM_OK;
}

vkdlm_status generate_causal(generate_run *r, vkdlm_complete_options *options, vkdlm_error *err)
{
    causal_run c = {.run = r, .options = options};
    vkdlm_complete_stats stats = {0};
    vkdlm_status status = make_prompts(&c, err);
    c.n_steps = flow_steps(&options->flow, &r->engine.info.flow);
    options->prompts = r->canvases.canvases;
    options->n_prompts = r->canvases.n;
    options->on_token = on_token;
    options->on_sample = on_sample;
    options->user = &c;
    r->total = r->canvases.n * options->num_samples;
    if (!status)
        status = read_noise(&c, options, err);
    if (!status)
        status = generate_record(r, NULL, options, err);
    if (r->recorder)
        options->on_flow_step = on_flow_step;
    if (!status)
        status = start_stream(&c, err);
    if (!status) {
        progress_begin(&r->engine.bar, "generating");
        status = vkdlm_complete(r->engine.session, options, &stats, err);
        if (c.stream && !r->output)
            r->output = stream_end(c.stream, &r->output_error); /* of a sample that was stopped */
        status = generate_end(r, status, summarise, &stats, err);
    }
    stream_destroy(c.stream);
    vkdlm_chat_template_close(c.chat);
    free(c.noise);
    return status;
}
