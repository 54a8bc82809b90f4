#include "generate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "input.h"
#include "message.h"
#include "report.h"
#include "signals.h"

#define MAX_INPUT_BYTES ((size_t)1 << 28)

/* Reads what is given: a file, standard input, or the option's own text. */
static vkdlm_status read_given(generate_run *r, vkdlm_error *err)
{
    const generate_values *v = r->values;
    const option_value *source = generate_source(v);
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
        r->given[--r->given_size] = 0;
    return status;
}

static vkdlm_status add_id_list(generate_run *r, const canvas_rules *rules, vkdlm_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    vkdlm_status status = canvas_read_ids("'--ids'", r->given, r->given_size, &ids, &n, err);
    if (!status)
        status = canvas_add_ids(&r->canvases, rules, "'--ids'", ids, n, err);
    free(ids);
    return status;
}

vkdlm_status generate_add_given(generate_run *r, const canvas_rules *rules, vkdlm_error *err)
{
    const generate_values *v = r->values;
    const option_value *source = generate_source(v);
    if (!source)
        return canvas_add_empty(&r->canvases, rules, err);
    if (source == &v->ids)
        return add_id_list(r, rules, err);
    if (source == &v->prompts)
        return canvas_add_jsonl(&r->canvases, rules, input_name(v->prompts.text), r->given, r->given_size,
                                err);
    return canvas_add_text(&r->canvases, rules, "the prompt", r->given, r->given_size, err);
}

/* Samples of a batch advance together, so each counts with its own part. */
void generate_progress(generate_run *r, uint64_t sample, double part)
{
    size_t slot = sample % GENERATE_RUNNING;
    char detail[64];
    if (r->running[slot].sample != sample) {
        r->running[slot].sample = sample;
        r->running[slot].part = 0;
    }
    r->parts += fmin(part, 1) - r->running[slot].part;
    r->running[slot].part = fmin(part, 1);
    snprintf(detail, sizeof detail, "%" PRIu64 " of %" PRIu64 " finished", r->delivered, r->total);
    progress_update(&r->engine.bar, r->parts / (double)r->total, detail);
}

double generate_rate(uint64_t tokens, double seconds)
{
    return seconds > 0 ? (double)tokens / seconds : 0;
}

vkdlm_status generate_print_heading(const generate_run *r, uint64_t sample, vkdlm_error *err)
{
    if (r->total == 1)
        return VKDLM_OK;
    return report_line(err, "%s=== sample %" PRIu64 " of %" PRIu64 " ===", sample ? "\n" : "", sample + 1,
                       r->total);
}

vkdlm_status generate_print(const char *text, size_t size, const int32_t *ids, uint32_t n_ids,
                            vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    if (text) {
        status = report_text(text, size, err);
        if (!status)
            status = report_line(err, "%s", "");
    }
    for (uint32_t i = 0; !text && i < n_ids && !status; i++) {
        char id[16];
        int n = snprintf(id, sizeof id, "%" PRId32 "%c", ids[i], i + 1 < n_ids ? ' ' : '\n');
        status = report_text(id, n > 0 ? (size_t)n : 0, err);
    }
    return status ? status : report_flush(err);
}

vkdlm_status generate_refuse_base(vkdlm_error *err)
{
    return message_set(err, VKDLM_INVALID_ARGUMENT,
                       "'--trajectory' records the diffusion path, which '--steps 0' leaves out");
}

static vkdlm_prompt_kind prompt_kind(const generate_values *v)
{
    if (v->prompts.given)
        return VKDLM_PROMPT_LINES;
    if (v->ids.given)
        return VKDLM_PROMPT_IDS;
    if (v->template_text.given)
        return VKDLM_PROMPT_TEMPLATE;
    return v->chat.given ? VKDLM_PROMPT_CHAT : VKDLM_PROMPT_TEXT;
}

vkdlm_status generate_record(generate_run *r, const vkdlm_generate_options *masked,
                             const vkdlm_complete_options *flow, vkdlm_error *err)
{
    const char *path = r->values->trajectory.text;
    if (!r->values->trajectory.given)
        return VKDLM_OK;
    if (r->total != 1)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--trajectory' records one sample, but %" PRIu64 " were asked for", r->total);
    if (flow && flow->flow.off)
        return generate_refuse_base(err);
    const vkdlm_recorder_options options = {
        .masked = masked,
        .flow = flow,
        .info = &r->engine.info,
        .model = r->engine.path,
        .device = r->engine.device_info.name,
        .prompt = r->given,
        .prompt_kind = prompt_kind(r->values),
        .tokenizer_path = r->engine.tokenizer_path,
        .l2d = r->engine.l2d,
        .tokenizer = r->engine.tokenizer,
    };
    return vkdlm_recorder_create(path, &options, &r->recorder, err);
}

/* status: of the run. A failure is one of the output's. */
static void end_recording(generate_run *r, vkdlm_status status)
{
    vkdlm_error err = {0};
    if (!r->recorder)
        return;
    if (status && status != VKDLM_CANCELLED) {
        vkdlm_recorder_abort(r->recorder);
    } else if ((status = vkdlm_recorder_finish(r->recorder, &err)) && !r->output) {
        r->output = status;
        r->output_error = err;
    }
    r->recorder = NULL;
}

vkdlm_status generate_end(generate_run *r, vkdlm_status status,
                          vkdlm_status (*summarise)(const generate_run *run, const void *stats,
                                                    vkdlm_error *err),
                          const void *stats, vkdlm_error *err)
{
    progress_clear(&r->engine.bar);
    end_recording(r, status);
    if (r->output) {
        *err = r->output_error;
        return r->output;
    }
    bool stopped = status == VKDLM_CANCELLED && signals_pending();
    if (status && !stopped)
        return status;
    vkdlm_status summary = summarise(r, stats, err);
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
    const engine_names names = {v->model.text, v->tokenizer.text, v->l2d.text};
    generate_run r = {.values = v};
    vkdlm_generate_options masked_options;
    vkdlm_complete_options causal_options;
    vkdlm_error err = {0};
    vkdlm_status status = generate_check(v, &err);
    if (!status)
        status = engine_find(&r.engine, cmd, values, parse, &names, &err);
    bool masked = r.engine.kind == MODEL_MASKED;
    if (!status)
        status = masked ? generate_masked_options(v, &masked_options, &err)
                        : generate_causal_options(v, &causal_options, &err);
    if (!status)
        status = read_given(&r, &err);
    if (!status && v->view.given)
        status = generate_view(&r, masked ? &masked_options : NULL, masked ? NULL : &causal_options, &err);
    if (!status)
        status = engine_open(&r.engine, &err);
    if (!status)
        status =
            masked ? generate_masked(&r, &masked_options, &err) : generate_causal(&r, &causal_options, &err);
    int code = engine_finish(&r.engine, status, &err);
    vkdlm_recorder_abort(r.recorder);
    canvas_set_deinit(&r.canvases);
    free(r.given);
    engine_close(&r.engine);
    return code;
}

const command command_generate = {
    .name = "generate",
    .summary = "Samples text: a masked diffusion model fills a canvas, an autoregressive one continues a "
               "prompt, each token refined by the diffusion path if there is one (L2D).",
    .arguments = "",
    .groups = generate_groups,
    .notes =
        "A prompt is tokenized as its tokenizer says (its post-processor may add tokens); a template is "
        "tokenized "
        "piece by piece and nothing is added, so that a space before [MASK] stays a token of its own: write "
        "'the[MASK] of' to let the filled token bring its space.\n"
        "An empty prompt of an autoregressive model is what its tokenizer adds to a text, else the model's "
        "token for the beginning of a text, else its first one for the end.\n"
        "--chat writes the prompt as a user's message in the template that lies beside the tokenizer "
        "(chat_template.jinja or tokenizer_config.json; those of Llama 3 and Qwen2.5 are known) and prints "
        "the answer alone.\n"
        "--json: a line {\"sample\":0,\"seed\":0,\"ids\":[...],\"text\":\"...\",\"length\":L,\"nfe\":N,"
        "\"steps\":T,\"seconds\":s,\"tokens_per_second\":r} as each sample is finished, then "
        "{\"summary\":{...}}. \"text\" is null for a model without tokenizer and says [MASK] where a mask is "
        "left; \"ids\" include the given tokens; \"nfe\" counts the evaluations of the network that were "
        "run. For an autoregressive model \"nfe\" is the sum of those of the base (main) and of the "
        "diffusion path (path: not at t = 0 nor from t = 1 on, with the final one, once for each branch of "
        "the guidance), \"text\" leaves special tokens out, \"steps\" are grid points (0: the base alone), "
        "and there are also \"prompt_length\", \"ended\" (by an end-of-text token), "
        "\"evaluations\":{\"main\","
        "\"path\",\"velocity_calls\",\"per_token\":{...}} (velocity calls as the method's authors count), "
        "\"accepted_steps\", \"rejected_steps\", \"limited_tokens\" (whose solve stopped early), "
        "\"refined_tokens\", \"entropy_before\" and \"entropy_after\" the refinement (nats, means).\n"
        "Ctrl-C stops after the running step: finished samples are printed, the exit status is 130.",
    .values_size = sizeof(generate_values),
    .run = run_generate,
};
