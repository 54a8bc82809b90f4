#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/quantize.h>

#include "commands.h"
#include "engine.h"
#include "locate.h"
#include "message.h"
#include "report.h"
#include "signals.h"

typedef struct quantize_values {
    common_values common;
    option_value model, output, type;
} quantize_values;

#define AT(field) offsetof(quantize_values, field)

static const char *const types[] = {"f32",  "f16",    "bf16",   "q8_0",   "q4_0", "q4_1",
                                    "q5_0", "q5_1",   "q2_k",   "q3_k",   "q4_k", "q5_k",
                                    "q6_k", "iq4_nl", "q4_k_m", "q5_k_m", NULL};

/* The bundled model that the default was made from. */
#define UNQUANTISED_MODEL "kjv-mdlm"

static const option_spec specs[] = {
    {"model", 'm', OPTION_TEXT, AT(model), "MODEL",
     "model: a Hugging Face directory, a .safetensors file beside its config.json, a GGUF file, or the name "
     "of a bundled model (" UNQUANTISED_MODEL ", kjv-llama); or a diffusion path, its directory or its "
     "l2d.safetensors (kjv-l2d)",
     .initially = "the bundled " UNQUANTISED_MODEL},
    {"output", 'o', OPTION_TEXT, AT(output), "OUT.gguf",
     "the new file; an old one is replaced when it is complete", .initially = "none, it must be given"},
    {"type", 0, OPTION_CHOICE, AT(type), "T", "type of the matrices", .initial = "q4_k_m", .choices = types},
};
static const option_group group = {"Conversion", specs, sizeof specs / sizeof *specs, false};
static const option_group *const groups[] = {&group, &options_common, NULL};

typedef struct run {
    const quantize_values *values;
    progress bar;
    json_t *fell_back, *counts; /* what fell back; tensors by type; NULL: out of memory */
    vkdlm_quantize_info info;
    double seconds;
} run;

static bool show_progress(void *user, uint64_t done, uint64_t total)
{
    run *r = user;
    progress_update(&r->bar, total ? (double)done / (double)total : 1, NULL);
    return !signals_pending();
}

static void note_tensor(void *user, const vkdlm_quantize_tensor *tensor)
{
    run *r = user;
    const char *type = vkdlm_dtype_name(tensor->to);
    const json_t *count = json_object_get(r->counts, type);
    json_object_set_new(r->counts, type, json_integer(json_integer_value(count) + 1));
    if (tensor->fell_back)
        json_array_append_new(r->fell_back,
                              json_pack("{s:o,s:s}", "name", report_string(tensor->name), "type", type));
}

static double bits_per_weight(const vkdlm_quantize_info *info)
{
    return info->n_parameters ? 8 * (double)info->file_bytes / (double)info->n_parameters : 0;
}

static vkdlm_status report_json(const run *r, vkdlm_error *err)
{
    const vkdlm_quantize_info *info = &r->info;
    return report_object(json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:O,s:O,s:b,s:o,s:o}", //
                                   "output", report_string(r->values->output.text),         //
                                   "type", report_string(r->values->type.text),             //
                                   "architecture", report_string(info->architecture),       //
                                   "tensors", report_count(info->n_tensors),                //
                                   "parameters", report_count(info->n_parameters),          //
                                   "source_bytes", report_count(info->source_bytes),        //
                                   "file_bytes", report_count(info->file_bytes),            //
                                   "bits_per_weight", report_real(bits_per_weight(info)),   //
                                   "types", r->counts,                                      //
                                   "fell_back", r->fell_back,                               //
                                   "tokenizer", (int)info->tokenizer,                       //
                                   "no_tokenizer",
                                   report_string(info->tokenizer ? NULL : info->no_tokenizer), //
                                   "seconds", report_real(r->seconds)),
                         err);
}

static vkdlm_status report_lines(const run *r, vkdlm_error *err)
{
    const vkdlm_quantize_info *info = &r->info;
    const char *type;
    json_t *count, *tensor;
    size_t i;
    vkdlm_status status = report_line(
        err, "%s: %s, %" PRIu64 " parameters in %" PRIu32 " tensors, %.1f MB to %.1f MB (%.2f bits a weight)",
        r->values->output.text, info->architecture, info->n_parameters, info->n_tensors,
        (double)info->source_bytes / 1e6, (double)info->file_bytes / 1e6, bits_per_weight(info));
    json_object_foreach(r->counts, type, count)
    {
        if (!status)
            status = report_line(err, "%6" JSON_INTEGER_FORMAT " %s", json_integer_value(count), type);
    }
    if (!status && info->n_fell_back > 0)
        status =
            report_line(err, "%" PRIu32 " matrices took another type, their rows are no whole blocks%s",
                        info->n_fell_back, r->values->common.verbose.given ? "" : " (--verbose lists them)");
    json_array_foreach(r->fell_back, i, tensor)
    {
        if (!status && r->values->common.verbose.given)
            status = report_line(err, "  %s: %s", json_string_value(json_object_get(tensor, "name")),
                                 json_string_value(json_object_get(tensor, "type")));
    }
    if (!status && !info->tokenizer)
        status = report_line(err, "no tokenizer: %s", info->no_tokenizer);
    return status;
}

static vkdlm_status convert(run *r, vkdlm_error *err)
{
    const quantize_values *v = r->values;
    const vkdlm_quantize_options options = {
        .type = v->type.text, .progress = show_progress, .tensor = note_tensor, .user = r};
    char *path = NULL;
    double begun = progress_now();
    vkdlm_status status = locate_model(v->model.given ? v->model.text : UNQUANTISED_MODEL, &path, err);
    signals_catch();
    progress_begin(&r->bar, "converting");
    if (!status)
        status = vkdlm_quantize(path, v->output.text, &options, &r->info, err);
    progress_clear(&r->bar);
    r->seconds = progress_now() - begun;
    free(path);
    if (status == VKDLM_CANCELLED)
        status = message_set(err, status, "interrupted, '%.400s' was not written", v->output.text);
    if (!status)
        status = v->common.json.given    ? report_json(r, err)
                 : v->common.quiet.given ? VKDLM_OK
                                         : report_lines(r, err);
    return status;
}

static int run_quantize(const command *cmd, void *values, const option_parse *parse)
{
    const quantize_values *v = values;
    run r = {.values = v, .fell_back = json_array(), .counts = json_object()};
    vkdlm_error err = {0};
    vkdlm_status status = VKDLM_OK;
    (void)cmd, (void)parse;
    progress_init(&r.bar, v->common.quiet.given);
    if (!v->output.given)
        status = message_set(&err, VKDLM_INVALID_ARGUMENT, "'quantize' needs '--output OUT.gguf'");
    else
        status = message_blame_file(convert(&r, &err), &err);
    json_decref(r.fell_back);
    json_decref(r.counts);
    if (!status)
        return CLI_OK;
    int code = message_error(&err);
    return status == VKDLM_CANCELLED && signals_pending() ? signals_exit_status() : code;
}

const command command_quantize = {
    .name = "quantize",
    .summary = "Converts a model to a GGUF file with quantised weights. No device is needed.",
    .arguments = "",
    .groups = groups,
    .notes =
        "Matrices get the type that is named; norms, biases and other vectors are f32. With a type of blocks "
        "(q8_0 and below), an mdlm model's timestep and modulation matrices are q8_0.\n"
        "q4_k_m and q5_k_m are mixtures: q4_k or q5_k, but q6_k for the output matrix (the embedding where "
        "it is "
        "the output too), and for attn_v and ffn_down in the first and the last eighth of the blocks and "
        "every "
        "third one between them.\n"
        "Rows that are no whole blocks of 256 fall back: q2_k and q3_k to iq4_nl, q4_k to q5_0, q5_k to "
        "q5_1, "
        "q6_k to q8_0; and rows that are no whole blocks of 32 to f16. The report says which.\n"
        "A weight that is NaN, infinite or too large for its type is refused. The tokenizer is written when "
        "it "
        "is a byte-level BPE that GGUF's names describe; the report says when it is not. Of a model's "
        "directory "
        "with a diffusion path the base alone is written; its l2d.safetensors, or a directory of the path "
        "alone, "
        "becomes a file for --l2d, whose LoRA and classes are f16 and whose timestep and modulation matrices "
        "are q8_0 with a type of blocks.\n"
        "--json: one object with \"output\", \"type\", \"architecture\", \"tensors\", \"parameters\", "
        "\"source_bytes\", \"file_bytes\", \"bits_per_weight\", \"types\" (tensors of each), \"fell_back\" "
        "(name "
        "and type), \"tokenizer\", \"no_tokenizer\" (why, or null) and \"seconds\".",
    .values_size = sizeof(quantize_values),
    .run = run_quantize,
};
