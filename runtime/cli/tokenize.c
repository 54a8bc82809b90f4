#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/model.h>

#include "canvas.h"
#include "commands.h"
#include "engine.h"
#include "input.h"
#include "jsonl.h"
#include "locate.h"
#include "message.h"
#include "report.h"

#define MAX_INPUT_BYTES ((size_t)1 << 30)

typedef struct tokenize_values {
    common_values common;
    option_value model, tokenizer, file, decode, jsonl, no_special, plain;
} tokenize_values;

#define AT(field) offsetof(tokenize_values, field)

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(AT(model)),
    ENGINE_TOKENIZER_OPTION(AT(tokenizer)),
};
static const option_spec input_specs[] = {
    {"file", 'f', OPTION_TEXT, AT(file), "PATH", "reads the text from a file; '-' reads standard input",
     .initially = "standard input, when TEXT is not given"},
    {"decode", 0, OPTION_TEXT, AT(decode), "\"1 2 3\"",
     "text of these ids; '-' reads them from standard input; ids that do not exist are left out",
     .initially = "none"},
    {"jsonl", 0, OPTION_FLAG, AT(jsonl),
     .help = "the input is lines of {\"text\":\"...\"} or {\"ids\":[...]}"},
    {"no-special", 0, OPTION_FLAG, AT(no_special), .help = "adds nothing that the text does not say"},
    {"plain", 0, OPTION_FLAG, AT(plain), .help = "also reads special tokens in the text as plain text"},
};
static const option_group model_group = {"Tokenizer", model_specs, 2, false};
static const option_group input_group = {"Input", input_specs, sizeof input_specs / sizeof *input_specs,
                                         false};
static const option_group *const groups[] = {&model_group, &input_group, &options_common, NULL};

static vkdlm_status check(const tokenize_values *v, const option_parse *parse, vkdlm_error *err)
{
    const char *text = parse->n_arguments ? parse->arguments[0] : NULL;
    if (v->model.given && v->tokenizer.given)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--model' and '--tokenizer' exclude each other");
    if (text && strcmp(text, "-") != 0 && (v->file.given || v->jsonl.given))
        return message_set(err, VKDLM_INVALID_ARGUMENT, "a text and '--%s' exclude each other",
                           v->file.given ? "file" : "jsonl");
    if (v->decode.given && (text || v->file.given || v->jsonl.given))
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--decode' and %s exclude each other",
                           text            ? "a text"
                           : v->file.given ? "'--file'"
                                           : "'--jsonl'");
    if (v->decode.given && (v->no_special.given || v->plain.given))
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' does not go with '--decode'",
                           v->no_special.given ? "no-special" : "plain");
    return VKDLM_OK;
}

/* Opens the tokenizer that the options name, without a device. */
static vkdlm_status open_tokenizer(const tokenize_values *v, vkdlm_tokenizer **tokenizer, vkdlm_error *err)
{
    vkdlm_checkpoint *checkpoint = NULL;
    vkdlm_checkpoint_info info;
    char *path = NULL;
    if (v->tokenizer.given)
        return vkdlm_tokenizer_open(v->tokenizer.text, tokenizer, err);
    vkdlm_status status = locate_model(v->model.text, &path, err);
    if (!status)
        status = vkdlm_checkpoint_open(path, &checkpoint, err);
    if (!status) {
        vkdlm_checkpoint_get_info(checkpoint, &info);
        status = info.tokenizer
                     ? vkdlm_tokenizer_open(info.tokenizer, tokenizer, err)
                     : message_set(err, VKDLM_NOT_FOUND,
                                   "the model '%.300s' has no tokenizer; '--tokenizer PATH' names one", path);
    }
    vkdlm_checkpoint_close(checkpoint);
    free(path);
    return status;
}

/* What can be shown after each id; the last piece also has what the end adds, so that together they are the
 * text. */
static json_t *list_pieces(const vkdlm_tokenizer *tokenizer, const int32_t *ids, size_t n, vkdlm_error *err)
{
    vkdlm_decoder *decoder = NULL;
    const char *piece = NULL;
    char *last = NULL;
    size_t size = 0, last_size = 0;
    json_t *pieces = json_array();
    vkdlm_status status = vkdlm_decoder_create(tokenizer, false, &decoder, err);
    for (size_t i = 0; pieces && !status && i < n; i++) {
        status = vkdlm_decoder_push(decoder, ids[i], &piece, &size, err);
        if (status)
            break;
        if (i + 1 < n) {
            if (json_array_append_new(pieces, json_stringn(piece, size)))
                goto fail;
            continue;
        }
        last = malloc(size + 1);
        if (!last)
            goto fail;
        memcpy(last, piece, size);
        last_size = size;
    }
    if (!status)
        status = vkdlm_decoder_flush(decoder, &piece, &size, err);
    if (!pieces || status)
        goto fail;
    if (n) {
        char *whole = realloc(last, last_size + size + 1);
        if (!whole)
            goto fail;
        last = whole;
        memcpy(last + last_size, piece, size);
        if (json_array_append_new(pieces, json_stringn(last, last_size + size)))
            goto fail;
    }
    free(last);
    vkdlm_decoder_destroy(decoder);
    return pieces;
fail:
    free(last);
    vkdlm_decoder_destroy(decoder);
    json_decref(pieces);
    return NULL;
}

static vkdlm_status report_json(const vkdlm_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                vkdlm_error *err)
{
    vkdlm_text text = {0};
    vkdlm_status status = vkdlm_detokenize(tokenizer, ids, n, false, &text, err);
    if (status)
        return status;
    status = report_object(json_pack("{s:o,s:o,s:o}", "ids", report_ids(ids, n), "text",
                                     json_stringn(text.bytes ? text.bytes : "", text.size), "pieces",
                                     list_pieces(tokenizer, ids, n, err)),
                           err);
    vkdlm_text_free(&text);
    return status;
}

static vkdlm_status report_ids_line(const int32_t *ids, size_t n, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < n && !status; i++) {
        char id[16];
        int size = snprintf(id, sizeof id, "%s%" PRId32, i ? " " : "", ids[i]);
        status = report_text(id, size > 0 ? (size_t)size : 0, err);
    }
    return status ? status : report_line(err, "%s", "");
}

static uint32_t flags_of(const tokenize_values *v)
{
    uint32_t flags = VKDLM_TOKENIZE_DEFAULT;
    if (v->no_special.given)
        flags |= VKDLM_TOKENIZE_NO_SPECIAL;
    if (v->plain.given)
        flags |= VKDLM_TOKENIZE_PLAIN;
    return flags;
}

static vkdlm_status encode(const tokenize_values *v, const vkdlm_tokenizer *tokenizer, const char *text,
                           size_t size, bool json, vkdlm_error *err)
{
    vkdlm_ids ids = {0};
    vkdlm_status status = vkdlm_tokenize(tokenizer, text, size, flags_of(v), &ids, err);
    if (!status)
        status =
            json ? report_json(tokenizer, ids.ids, ids.count, err) : report_ids_line(ids.ids, ids.count, err);
    vkdlm_ids_free(&ids);
    return status;
}

static vkdlm_status decode(const tokenize_values *v, const vkdlm_tokenizer *tokenizer, const char *list,
                           size_t size, vkdlm_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    vkdlm_text text = {0};
    vkdlm_status status = canvas_read_ids("'--decode'", list, size, &ids, &n, err);
    if (!status && v->common.json.given) {
        status = report_json(tokenizer, ids, n, err);
    } else if (!status) {
        status = vkdlm_detokenize(tokenizer, ids, n, false, &text, err);
        if (!status)
            status = report_text(text.bytes ? text.bytes : "", text.size, err);
        if (!status)
            status = report_line(err, "%s", "");
    }
    vkdlm_text_free(&text);
    free(ids);
    return status;
}

static vkdlm_status run_lines(const tokenize_values *v, const vkdlm_tokenizer *tokenizer, const char *path,
                              const char *bytes, size_t size, vkdlm_error *err)
{
    jsonl_reader reader = {.path = path, .rest = bytes, .size = size};
    jsonl_line line = {0};
    vkdlm_status status = VKDLM_OK;
    while (!status && jsonl_next(&reader, &line, &status, err)) {
        status = line.text ? encode(v, tokenizer, line.text, line.text_size, true, err)
                           : report_json(tokenizer, line.ids, line.n_ids, err);
        jsonl_line_deinit(&line);
    }
    return status;
}

static int run_tokenize(const command *cmd, void *values, const option_parse *parse)
{
    const tokenize_values *v = values;
    const char *text = parse->n_arguments ? parse->arguments[0] : NULL;
    vkdlm_tokenizer *tokenizer = NULL;
    vkdlm_error err = {0};
    char *data = NULL;
    size_t size = 0;
    (void)cmd;
    /* The text itself, or the file that holds it. */
    const char *source = v->decode.given ? v->decode.text : text;
    const char *path = v->file.given ? v->file.text : "-";
    bool inline_text = source && strcmp(source, "-") != 0;
    vkdlm_status status = check(v, parse, &err);
    if (!status)
        status = open_tokenizer(v, &tokenizer, &err);
    if (!status && !inline_text)
        status = input_read(path, MAX_INPUT_BYTES, &data, &size, &err);
    if (!status && inline_text)
        size = strlen(source);
    if (!status) {
        const char *input = inline_text ? source : data;
        if (v->decode.given)
            status = decode(v, tokenizer, input, size, &err);
        else if (v->jsonl.given)
            status = run_lines(v, tokenizer, input_name(path), input, size, &err);
        else
            status = encode(v, tokenizer, input, size, v->common.json.given, &err);
    }
    vkdlm_tokenizer_close(tokenizer);
    free(data);
    return status ? message_error(&err) : CLI_OK;
}

const command command_tokenize = {
    .name = "tokenize",
    .summary = "Turns text into token ids, and ids into text. No device is needed.",
    .arguments = "[TEXT]",
    .most_arguments = 1,
    .groups = groups,
    .notes =
        "Prints the ids between spaces. By default what the tokenizer's post-processor adds is added, and "
        "special "
        "tokens in the text are recognised. The text is taken as it is, a line feed at its end included.\n"
        "--jsonl and --json: a line {\"ids\":[...],\"text\":\"...\",\"pieces\":[\"...\"]} for each input; "
        "the "
        "pieces are what can be shown after each id (a character cut between ids comes with its last), and "
        "together they are the text.",
    .values_size = sizeof(tokenize_values),
    .run = run_tokenize,
};
