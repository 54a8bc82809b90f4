#include "generate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canvas.h"
#include "commands.h"
#include "decode.h"
#include "engine.h"
#include "input.h"
#include "message.h"
#include "report.h"
#include "signals.h"
#include "terminal.h"

#define MAX_INPUT_BYTES ((size_t)1 << 28)

enum { N_RUNNING = 1024 };

/* One run, as its callbacks see it. */
typedef struct run {
    engine engine;
    const generate_values *values;
    vkdlm_generate_options options;
    char *given; /* what was read from a file or standard input */
    size_t given_size;
    canvas_set canvases;
    terminal *terminal; /* --show */
    uint64_t total;     /* samples asked for */
    uint64_t delivered;
    /* For the progress: how far the samples are, added up, and one by one for those that may be running. */
    double parts;
    struct {
        uint64_t sample;
        double part;
    } running[N_RUNNING];
    vkdlm_status output; /* of the lines written so far */
    vkdlm_error output_error;
} run;

static const option_value *source_of(const generate_values *v)
{
    const option_value *sources[] = {&v->prompt, &v->file, &v->ids, &v->prompts, &v->template_text};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (sources[i]->given)
            return sources[i];
    return NULL;
}

/* Reads what is given: a file, standard input, or the option's own text. */
static vkdlm_status read_given(run *r, vkdlm_error *err)
{
    const generate_values *v = r->values;
    const option_value *source = source_of(v);
    if (!source)
        return VKDLM_OK;
    bool file = source == &v->file || source == &v->prompts;
    if (!file && strcmp(source->text, "-") != 0) {
        r->given = strdup(source->text);
        r->given_size = strlen(source->text);
        return r->given ? VKDLM_OK
                        : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the prompt");
    }
    vkdlm_status status = input_read(source->text, MAX_INPUT_BYTES, &r->given, &r->given_size, err);
    /* The line feed that ends a text file is not meant as a token. */
    if (!status && source != &v->prompts && r->given_size && r->given[r->given_size - 1] == '\n')
        r->given_size--;
    return status;
}

static vkdlm_status add_id_list(run *r, const canvas_rules *rules, vkdlm_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    vkdlm_status status = canvas_read_ids("'--ids'", r->given, r->given_size, &ids, &n, err);
    if (!status)
        status = canvas_add_ids(&r->canvases, rules, "'--ids'", ids, n, err);
    free(ids);
    return status;
}

static vkdlm_status make_canvases(run *r, vkdlm_error *err)
{
    const generate_values *v = r->values;
    const vkdlm_model_info *info = &r->engine.info;
    const option_value *source = source_of(v);
    canvas_rules rules = {
        .tokenizer = r->engine.tokenizer,
        .vocab_size = info->vocab_size,
        .mask_id = info->mask_id,
        .model_length = info->length,
        .length = v->length.given ? (uint32_t)v->length.count : info->length,
        .may_be_full = v->strides.given,
    };
    vkdlm_status status = VKDLM_OK;
    if (rules.length > info->length)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--length' is 1 to the model's length, %" PRIu32 ", not %" PRIu32
                           " ('--stride' and '--strides' generate beyond it)",
                           info->length, rules.length);
    if (!source)
        status = canvas_add_ids(&r->canvases, &rules, "the canvas", NULL, 0, err);
    else if (source == &v->ids)
        status = add_id_list(r, &rules, err);
    else if (source == &v->prompts)
        status =
            canvas_add_jsonl(&r->canvases, &rules, input_name(v->prompts.text), r->given, r->given_size, err);
    else if (source == &v->template_text)
        status = canvas_add_template(&r->canvases, &rules, r->given, r->given_size, err);
    else
        status = canvas_add_text(&r->canvases, &rules, "the prompt", r->given, r->given_size, err);
    if (!status)
        status = canvas_set_finish(&r->canvases, err);
    return status;
}

/* Samples of a batch advance together, so each counts with its own part. */
static void count_part(run *r, const vkdlm_step *step)
{
    size_t slot = step->sample % N_RUNNING;
    double part = step->n_steps ? (double)step->step / step->n_steps
                                : 1 - (double)step->n_masked / (double)(step->length ? step->length : 1);
    if (r->running[slot].sample != step->sample) {
        r->running[slot].sample = step->sample;
        r->running[slot].part = 0;
    }
    r->parts += fmin(part, 1) - r->running[slot].part;
    r->running[slot].part = fmin(part, 1);
}

static bool on_step(void *user, const vkdlm_step *step)
{
    run *r = user;
    if (r->terminal) {
        terminal_show(r->terminal, step, r->delivered);
    } else {
        char detail[64];
        count_part(r, step);
        snprintf(detail, sizeof detail, "%" PRIu64 " of %" PRIu64 " finished", r->delivered, r->total);
        progress_update(&r->engine.bar, r->parts / (double)r->total, detail);
    }
    return !signals_pending();
}

/* Positions of a finished sample that generation filled. */
static uint64_t count_filled(const run *r, const vkdlm_sample *sample)
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

static double rate(uint64_t tokens, double seconds)
{
    return seconds > 0 ? (double)tokens / seconds : 0;
}

static vkdlm_status report_sample_json(const run *r, const vkdlm_sample *sample, const char *text,
                                       size_t size, vkdlm_error *err)
{
    return report_object(json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",               //
                                   "sample", report_count(sample->sample),                //
                                   "seed", report_count(r->options.seed),                 //
                                   "ids", report_ids(sample->tokens, sample->length),     //
                                   "text", text ? json_stringn(text, size) : json_null(), //
                                   "length", report_count(sample->length),                //
                                   "nfe", report_count(sample->evaluations),              //
                                   "steps", report_count(sample->n_steps),                //
                                   "seconds", report_real(sample->seconds),               //
                                   "tokens_per_second",
                                   report_real(rate(count_filled(r, sample), sample->seconds))),
                         err);
}

static vkdlm_status report_sample_text(const run *r, const vkdlm_sample *sample, const char *text,
                                       size_t size, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    if (r->total > 1)
        status = report_line(err, "%s=== sample %" PRIu64 " of %" PRIu64 " ===", sample->sample ? "\n" : "",
                             sample->sample + 1, r->total);
    if (text) {
        if (!status)
            status = report_text(text, size, err);
        if (!status)
            status = report_line(err, "%s", "");
    }
    for (uint32_t i = 0; !text && i < sample->length && !status; i++) {
        char id[16];
        int n =
            snprintf(id, sizeof id, "%" PRId32 "%c", sample->tokens[i], i + 1 < sample->length ? ' ' : '\n');
        status = report_text(id, n > 0 ? (size_t)n : 0, err);
    }
    return status ? status : report_flush(err);
}

static bool on_sample(void *user, const vkdlm_sample *sample)
{
    run *r = user;
    char *text = NULL;
    size_t size = 0;
    if (!sample->complete)
        return !signals_pending();
    terminal_clear(r->terminal);
    progress_clear(&r->engine.bar);
    r->delivered = sample->sample + 1;
    if (r->engine.tokenizer)
        r->output = decode_canvas(r->engine.tokenizer, sample->tokens, sample->length, r->engine.info.mask_id,
                                  &text, &size, &r->output_error);
    if (!r->output)
        r->output = r->values->common.json.given
                        ? report_sample_json(r, sample, text, size, &r->output_error)
                        : report_sample_text(r, sample, text, size, &r->output_error);
    free(text);
    return !r->output && !signals_pending();
}

static vkdlm_status report_summary(const run *r, const vkdlm_generate_stats *stats, vkdlm_error *err)
{
    uint64_t peak = vkdlm_device_peak_bytes(r->engine.device);
    if (r->values->common.json.given)
        return report_object(
            json_pack("{s:{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}}", "summary", //
                      "samples", report_count(stats->samples),                                //
                      "seconds", report_real(stats->seconds),                                 //
                      "device", report_string(r->engine.device_info.name),                    //
                      "evaluations", report_count(stats->evaluations),                        //
                      "tokens", report_count(stats->tokens),                                  //
                      "tokens_per_second", report_real(rate(stats->tokens, stats->seconds)),  //
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
                     stats->tokens, stats->seconds, rate(stats->tokens, stats->seconds), stats->evaluations,
                     stats->batch, r->engine.device_info.name, (double)peak / 1e6);
    return VKDLM_OK;
}

static vkdlm_status generate(run *r, vkdlm_error *err)
{
    vkdlm_generate_stats stats = {0};
    r->options.canvases = r->canvases.canvases;
    r->options.n_canvases = r->canvases.n;
    r->options.on_step = on_step;
    r->options.on_sample = on_sample;
    r->options.user = r;
    r->total = r->canvases.n * r->values->num_samples.count;
    if (r->values->show.given) {
        r->terminal = terminal_create(r->engine.tokenizer, r->engine.info.mask_id);
        if (!r->terminal)
            return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory to show the canvas");
    }
    progress_begin(&r->engine.bar, "generating");
    vkdlm_status status = vkdlm_generate(r->engine.session, &r->options, &stats, err);
    progress_clear(&r->engine.bar);
    if (r->output) {
        *err = r->output_error;
        return r->output;
    }
    bool stopped = status == VKDLM_CANCELLED && signals_pending();
    if (status && !stopped)
        return status;
    if (r->engine.verbose)
        message_note("first evaluation: %.3f s", stats.first_evaluation_seconds);
    vkdlm_status summary = report_summary(r, &stats, err);
    if (summary)
        return summary;
    return stopped ? message_set(err, VKDLM_CANCELLED,
                                 "interrupted when %" PRIu64 " of %" PRIu64 " samples were finished",
                                 r->delivered, r->total)
                   : VKDLM_OK;
}

static int run_generate(const command *cmd, void *values, const option_parse *parse)
{
    const generate_values *v = values;
    run r = {.values = v};
    vkdlm_error err = {0};
    vkdlm_status status = generate_from_options(v, &r.options, &err);
    if (!status)
        status = read_given(&r, &err);
    if (!status)
        status = engine_open(&r.engine, cmd, parse, &v->common, v->model.text, v->tokenizer.text, &err);
    if (!status)
        status = make_canvases(&r, &err);
    if (!status)
        status = generate(&r, &err);
    int code = engine_finish(&r.engine, status, &err);
    terminal_destroy(r.terminal);
    canvas_set_deinit(&r.canvases);
    free(r.given);
    engine_close(&r.engine);
    return code;
}

const command command_generate = {
    .name = "generate",
    .summary = "Samples text from a masked diffusion language model.",
    .arguments = "",
    .groups = generate_groups,
    .notes =
        "A prompt is tokenized as its tokenizer says (its post-processor may add tokens); a template is "
        "tokenized "
        "piece by piece and nothing is added, so that a space before [MASK] stays a token of its own: write "
        "'the[MASK] of' to let the filled token bring its space.\n"
        "--json: a line {\"sample\":0,\"seed\":0,\"ids\":[...],\"text\":\"...\",\"length\":L,\"nfe\":N,"
        "\"steps\":T,\"seconds\":s,\"tokens_per_second\":r} as each sample is finished, then "
        "{\"summary\":{...}}. \"text\" is null for a model without tokenizer and says [MASK] where a mask is "
        "left; \"ids\" include the given tokens; \"nfe\" counts the evaluations of the network.\n"
        "Ctrl-C stops after the running step: finished samples are printed, the exit status is 130.",
    .values_size = sizeof(generate_values),
    .run = run_generate,
};
