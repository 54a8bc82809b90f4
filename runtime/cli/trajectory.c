/* `trajectory`: what a recorded run holds, and its steps for other programs. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "info_path.h"
#include "message.h"
#include "output_file.h"
#include "report.h"
#include "trajectory_export.h"
#include "trajectory_resumptions.h"

typedef struct trajectory_values {
    common_values common;
    option_value step, all, format, output;
} trajectory_values;

#define AT(field) offsetof(trajectory_values, field)

enum format { FORMAT_CSV, FORMAT_JSON };
static const char *const formats[] = {"csv", "json", NULL};

static const option_spec export_specs[] = {
    {"step", 0, OPTION_COUNT, AT(step), "N",
     "of a masked run the step, 0 being the start; of a flow's the new token, from 0", "steps",
     .initially = "the last one", .most = INT32_MAX},
    {"all", 0, OPTION_FLAG, AT(all), .help = "every step"},
    {"format", 0, OPTION_CHOICE, AT(format), "NAME", "how it is written", .initial = "csv",
     .choices = formats},
    {"output", 'o', OPTION_TEXT, AT(output), "PATH", "where to", .initially = "standard output"},
};
static const option_group export_group = {"Export", export_specs, sizeof export_specs / sizeof *export_specs,
                                          false};
static const option_group *const groups[] = {&export_group, &options_common, NULL};

/* ---- info --------------------------------------------------------------------------------------------- */

typedef struct summary {
    uint64_t host_ns, device_ns, evaluations;
    uint64_t committed;         /* positions that took a token; of a flow, refined tokens */
    double confidence, entropy; /* means over them; NaN without any */
    uint64_t changed_mind;      /* flow: refined tokens whose first guess was another */
} summary;

static void summarise_step(const vkdlm_trajectory_info *info, const vkdlm_trajectory_step *s, summary *out)
{
    for (uint32_t i = 0; i < info->length; i++) {
        if (s->tokens[i] == s->previous[i])
            continue;
        out->committed++;
        out->confidence += (double)s->confidence[i];
        out->entropy += (double)s->entropy[i];
    }
    out->host_ns += (uint64_t)s->host_ns;
    out->device_ns += (uint64_t)s->device_ns;
    out->evaluations = (uint64_t)s->evaluations;
}

static void summarise_token(const vkdlm_trajectory *t, uint32_t token, summary *out)
{
    uint32_t first = vkdlm_trajectory_first_evaluation(t, token);
    uint32_t end = vkdlm_trajectory_first_evaluation(t, token + 1);
    vkdlm_trajectory_evaluation v, start = {0};
    for (uint32_t i = first; i < end; i++) {
        vkdlm_trajectory_get_evaluation(t, i, &v);
        out->device_ns += (uint64_t)v.device_ns;
        if (i == first)
            start = v;
    }
    if (first == end)
        return;
    out->committed++;
    out->entropy += (double)v.entropy;
    out->changed_mind += start.xhat_id != v.xhat_id;
}

static summary summarise(const vkdlm_trajectory *t, const vkdlm_trajectory_info *info)
{
    summary s = {0};
    bool masked = info->kind == VKDLM_TRAJECTORY_MASKED;
    vkdlm_trajectory_step step;
    for (uint32_t i = 1; masked && i <= info->n_steps; i++)
        if (vkdlm_trajectory_get_step(t, i, &step))
            summarise_step(info, &step, &s);
    for (uint32_t i = 0; !masked && i < info->n_tokens; i++)
        summarise_token(t, i, &s);
    if (!masked)
        s.evaluations = info->n_evaluations;
    double n = s.committed ? (double)s.committed : NAN;
    s.confidence = masked ? s.confidence / n : NAN;
    s.entropy /= n;
    return s;
}

/* "" is unknown. */
static json_t *kind_json(const vkdlm_trajectory_info *info)
{
    return info->prompt_kind ? report_string(vkdlm_prompt_kind_name(info->prompt_kind)) : json_null();
}

static vkdlm_status report_json(const vkdlm_trajectory *t, const vkdlm_trajectory_info *info,
                                const summary *s, vkdlm_error *err)
{
    bool masked = info->kind == VKDLM_TRAJECTORY_MASKED;
    json_error_t why;
    json_t *sampler = json_loads(info->sampler, 0, &why);
    return report_object(
        json_pack(
            "{s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", //
            "kind", masked ? "masked" : "flow",                                                          //
            "model", info->model,                                                                        //
            "l2d", info->l2d,                                                                            //
            "sampler", sampler ? sampler : json_string(info->sampler),                                   //
            "seed", info->seed,                                                                          //
            "device", info->device,                                                                      //
            "prompt", info->prompt,                                                                      //
            "tokenizer", info->tokenizer,                                                                //
            "prompt_kind", kind_json(info),                                                              //
            "prompt_ids",
            info->n_prompt_ids ? report_ids(info->prompt_ids, info->n_prompt_ids) : json_null(), //
            "steps", masked ? report_count(info->n_steps) : json_null(),                         //
            "length", report_count(masked ? info->length : info->n_tokens),                      //
            "dim", masked ? json_null() : report_count(info->dim),                               //
            "candidates", report_count(info->n_candidates),                                      //
            "pieces", report_count(info->n_pieces),                                              //
            "evaluations", report_count(s->evaluations),                                         //
            masked ? "filled" : "refined", report_count(s->committed),                           //
            "mean_confidence", report_real(s->confidence),                                       //
            "mean_entropy", report_real(s->entropy),                                             //
            "host_seconds", masked ? report_real((double)s->host_ns * 1e-9) : json_null(),       //
            "device_seconds", report_real((double)s->device_ns * 1e-9),                          //
            "resumptions", trajectory_resumptions_json(t)),
        err);
}

__attribute__((format(printf, 3, 4))) static vkdlm_status field(vkdlm_error *err, const char *name,
                                                                const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = 0;
    va_end(args);
    return info_report_field(name, text, err);
}

static vkdlm_status report_table(const vkdlm_trajectory *t, const vkdlm_trajectory_info *info,
                                 const summary *s, vkdlm_error *err)
{
    bool masked = info->kind == VKDLM_TRAJECTORY_MASKED;
    const struct {
        const char *name, *value;
    } texts[] = {
        {"kind", masked ? "masked diffusion" : "autoregressive with a diffusion path"},
        {"model", info->model},
        {"path", info->l2d},
        {"sampler", info->sampler},
        {"seed", info->seed},
        {"device", info->device},
        {"prompt", info->prompt},
        {"prompt given as", info->prompt_kind ? vkdlm_prompt_kind_name(info->prompt_kind) : "not told"},
        {"tokenizer", info->tokenizer}};
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !status; i++)
        status = info_report_field(texts[i].name, texts[i].value, err);
    if (!status)
        status = masked ? field(err, "canvas",
                                "%" PRIu32 " tokens, of which %" PRIu64 " were filled in %" PRIu32
                                " recorded steps",
                                info->length, s->committed, info->n_steps)
                        : field(err, "new tokens",
                                "%" PRIu32 ", of which %" PRIu64 " were refined (%" PRIu64
                                " to another token than the first guess)",
                                info->n_tokens, s->committed, s->changed_mind);
    if (!status)
        status = field(err, "evaluations", "%" PRIu64, s->evaluations);
    if (!status)
        status = field(err, "candidates", "%" PRIu32 " for each evaluation", info->n_candidates);
    if (!status && masked && s->committed)
        status = field(err, "confidence", "%.4f on average, of the tokens that were taken", s->confidence);
    if (!status && s->committed)
        status =
            field(err, "entropy", "%.4f nats on average, of the distributions they come from", s->entropy);
    if (!status && masked)
        status = field(err, "time", "%.3f s, of them %.3f s on the device", (double)s->host_ns * 1e-9,
                       (double)s->device_ns * 1e-9);
    if (!status && !masked)
        status = field(err, "time", "%.3f s on the device", (double)s->device_ns * 1e-9);
    return status ? status : trajectory_resumptions_report(t, err);
}

static vkdlm_status show_info(const trajectory_values *v, const vkdlm_trajectory *t, vkdlm_error *err)
{
    vkdlm_trajectory_info info;
    vkdlm_trajectory_get_info(t, &info);
    summary s = summarise(t, &info);
    return v->common.json.given ? report_json(t, &info, &s, err) : report_table(t, &info, &s, err);
}

/* ---- export ------------------------------------------------------------------------------------------- */

static vkdlm_status write_steps(trajectory_export *e, uint32_t first, uint32_t end, const char *path,
                                vkdlm_error *err)
{
    errno = 0;
    bool good = e->json || trajectory_export_heading(e);
    for (uint32_t i = first; good && i < end; i++)
        good = trajectory_export_step(e, i);
    if (good && !fflush(e->out) && !ferror(e->out))
        return VKDLM_OK;
    return message_set(err, VKDLM_IO, "cannot write to '%.400s': %s", path,
                       errno ? strerror(errno) : "not enough memory");
}

static vkdlm_status export_steps(const trajectory_values *v, const vkdlm_trajectory *t, vkdlm_error *err)
{
    trajectory_export e = {.trajectory = t, .json = v->format.choice == FORMAT_JSON};
    vkdlm_trajectory_get_info(t, &e.info);
    uint32_t n = trajectory_export_count(&e), first = v->step.given ? (uint32_t)v->step.count : n ? n - 1 : 0;
    if (v->step.given && first >= n)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--step' is 0 to %" PRId64 " of this file, not %" PRIu64, (int64_t)n - 1,
                           v->step.count);
    e.text = pieces_create(NULL, t);
    if (!e.text)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the text of tokens");
    const char *path = v->output.given ? v->output.text : "standard output";
    output_file file;
    vkdlm_status status = v->output.given ? output_file_begin(&file, path, err) : VKDLM_OK;
    if (!status) {
        e.out = v->output.given ? file.stream : stdout;
        status = v->all.given ? write_steps(&e, 0, n, path, err)
                              : write_steps(&e, first, n ? first + 1 : 0, path, err);
        if (v->output.given)
            status = output_file_end(&file, status, err);
    }
    pieces_destroy(e.text);
    return status;
}

static int run_trajectory(const command *cmd, void *values, const option_parse *parse)
{
    (void)cmd;
    const trajectory_values *v = values;
    const char *action = parse->arguments[0];
    bool export = !strcmp(action, "export");
    vkdlm_trajectory *t = NULL;
    vkdlm_error err = {0};
    vkdlm_status status = VKDLM_OK;
    if (!export && strcmp(action, "info") != 0)
        status = message_set(&err, VKDLM_INVALID_ARGUMENT, "'trajectory' takes info or export, not '%.100s'",
                             action);
    else if (!export && (v->step.given || v->all.given || v->format.given || v->output.given))
        status = message_set(&err, VKDLM_INVALID_ARGUMENT,
                             "'--step', '--all', '--format' and '--output' belong to 'trajectory export'");
    else if (export && v->common.json.given)
        status = message_set(&err, VKDLM_INVALID_ARGUMENT,
                             "'--json' belongs to 'trajectory info'; 'export' takes '--format json'");
    else if (v->step.given && v->all.given)
        status = message_set(&err, VKDLM_INVALID_ARGUMENT, "'--step' and '--all' exclude each other");
    if (!status)
        status = message_blame_file(vkdlm_trajectory_open(parse->arguments[1], &t, &err), &err);
    if (!status)
        status = export ? export_steps(v, t, &err) : show_info(v, t, &err);
    vkdlm_trajectory_close(t);
    return status ? message_error(&err) : CLI_OK;
}

const command command_trajectory = {
    .name = "trajectory",
    .summary = "Describes a run that 'generate --trajectory' recorded, or writes its steps as CSV or JSON.",
    .arguments = "info|export FILE",
    .least_arguments = 2,
    .most_arguments = 2,
    .groups = groups,
    .notes = "export: of a masked run one line of CSV for each position (step, time, nfe, position, token, "
             "text, changed, "
             "confidence, entropy, and top1_id, top1_text, top1_prob, ...; empty where a position was not "
             "evaluated), of a "
             "flow's run one for each evaluation of the token (token_index, evaluation, t, xhat_id, text, "
             "entropy, wd_norm, "
             "x_norm, device_ns, and the same candidates). --format json: an object a step and line, with "
             "the states x of "
             "a flow.\n"
             "The file is in the safetensors format: libraries for it read the tensors as they are.",
    .values_size = sizeof(trajectory_values),
    .run = run_trajectory,
};
