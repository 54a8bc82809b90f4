#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "engine.h"
#include "message.h"
#include "report.h"
#include "signals.h"

enum { MAX_HIDDEN = 4096 };

typedef struct forward_values {
    common_values common;
    option_value model, output, hidden, rows;
} forward_values;

#define AT(field) offsetof(forward_values, field)

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(AT(model)),
    ENGINE_L2D_OPTION(0),
};
static const option_spec forward_specs[] = {
    {"output", 'o', OPTION_TEXT, AT(output), "OUT.safetensors", "where the result goes",
     .initially = "none, required"},
    {"hidden", 0, OPTION_FLAG, AT(hidden),
     .help = "also hidden.N, the embedding output and the output of every block"},
    {"rows", 0, OPTION_TEXT, AT(rows), "LIST", "only these positions, such as 0,5,7-9", "positions",
     .initially = "all"},
};
static const option_group model_group = {"Model", model_specs, 2, false};
static const option_group forward_group = {"Evaluation", forward_specs, 3, true};
static const option_group *const groups[] = {&model_group, &forward_group, &options_common, NULL};

typedef struct run {
    engine engine;
    const forward_values *values;
    vkdlm_tensors *input;
    int32_t *tokens; /* [n_sequences, length] */
    float *sigma;    /* [n_sequences], NULL: not given */
    uint32_t *rows;  /* [n_rows], ascending; NULL: all */
    uint32_t n_sequences, length, n_rows;
    vkdlm_tensors_writer *writer;
} run;

/* Reads a position; false when none stands at *s. */
static bool read_position(const char **s, uint64_t *out)
{
    const char *begin = *s;
    *out = 0;
    while (**s >= '0' && **s <= '9' && *out <= UINT32_MAX)
        *out = 10 * *out + (uint64_t)(*(*s)++ - '0');
    return *s > begin && *out <= UINT32_MAX;
}

/* Marks the positions of LIST, "0,5,7-9", in chosen [length]. */
static vkdlm_status mark_rows(const char *list, bool *chosen, uint32_t length, vkdlm_error *err)
{
    const char *s = list;
    for (;;) {
        uint64_t first = 0, last = 0;
        bool good = read_position(&s, &first);
        last = first;
        if (good && *s == '-') {
            s++;
            good = read_position(&s, &last) && last >= first;
        }
        if (!good || (*s && *s != ','))
            return message_set(err, VKDLM_INVALID_ARGUMENT,
                               "'--rows' takes positions such as 0,5,7-9, not '%.200s'", list);
        if (last >= length)
            return message_set(err, VKDLM_INVALID_ARGUMENT,
                               "'--rows' has the position %" PRIu64 ", but the input's are 0 to %" PRIu32,
                               last, length - 1);
        for (uint64_t i = first; i <= last; i++)
            chosen[i] = true;
        if (!*s)
            return VKDLM_OK;
        s++;
    }
}

static vkdlm_status read_rows(run *r, const char *list, vkdlm_error *err)
{
    bool *chosen = calloc(r->length, sizeof *chosen);
    r->rows = calloc(r->length, sizeof *r->rows);
    if (!chosen || !r->rows) {
        free(chosen);
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for '--rows'");
    }
    vkdlm_status status = mark_rows(list, chosen, r->length, err);
    for (uint32_t i = 0; i < r->length && !status; i++)
        if (chosen[i])
            r->rows[r->n_rows++] = i;
    free(chosen);
    return status;
}

/* The tensor, checked to be of the type and with n_dims dimensions. */
static vkdlm_status find_tensor(const run *r, const char *path, const char *name, vkdlm_dtype dtype,
                                uint32_t n_dims, const vkdlm_tensor **out, vkdlm_error *err)
{
    *out = vkdlm_tensors_find(r->input, name);
    if (!*out)
        return message_set(err, VKDLM_MALFORMED, "'%.400s' has no tensor '%s' (%s, %" PRIu32 " dimensions)",
                           path, name, vkdlm_dtype_name(dtype), n_dims);
    if ((*out)->dtype != dtype || (*out)->n_dims != n_dims)
        return message_set(
            err, VKDLM_MALFORMED,
            "'%.400s': tensor '%s' is %s with %" PRIu32 " dimensions, expected %s with %" PRIu32, path, name,
            vkdlm_dtype_name((*out)->dtype), (*out)->n_dims, vkdlm_dtype_name(dtype), n_dims);
    return VKDLM_OK;
}

static vkdlm_status check_tokens(const run *r, const char *path, vkdlm_error *err)
{
    size_t n = (size_t)r->n_sequences * r->length;
    for (size_t i = 0; i < n; i++)
        if (r->tokens[i] < 0 || (uint32_t)r->tokens[i] >= r->engine.info.vocab_size)
            return message_set(
                err, VKDLM_MALFORMED,
                "'%.400s': tensor 'tokens' has %" PRId32 " at [%zu, %zu], but the model's ids are 0 to "
                "%" PRIu32,
                path, r->tokens[i], i / r->length, i % r->length, r->engine.info.vocab_size - 1);
    return VKDLM_OK;
}

/* tokens I32 [B, L] and sigma F32 [B]; the file's data may be unaligned, so they are copied. */
static vkdlm_status read_input(run *r, const char *path, vkdlm_error *err)
{
    const vkdlm_tensor *tokens = NULL, *sigma = NULL;
    vkdlm_status status = find_tensor(r, path, "tokens", VKDLM_DTYPE_I32, 2, &tokens, err);
    if (status)
        return status;
    if (!tokens->n_elements || tokens->shape[0] > UINT32_MAX || tokens->shape[1] > r->engine.info.length)
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s': tensor 'tokens' is %" PRIu64 " x %" PRIu64
                           ", expected at least one sequence of 1 to %" PRIu32 " tokens",
                           path, tokens->shape[0], tokens->shape[1], r->engine.info.length);
    r->n_sequences = (uint32_t)tokens->shape[0];
    r->length = (uint32_t)tokens->shape[1];
    r->tokens = malloc((size_t)tokens->n_bytes);
    if (!r->tokens)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the tokens of '%.400s'",
                           path);
    memcpy(r->tokens, tokens->data, (size_t)tokens->n_bytes);
    status = check_tokens(r, path, err);
    if (status || !vkdlm_tensors_find(r->input, "sigma"))
        return status;
    status = find_tensor(r, path, "sigma", VKDLM_DTYPE_F32, 1, &sigma, err);
    if (status)
        return status;
    if (sigma->n_elements != r->n_sequences)
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s': tensor 'sigma' has %" PRIu64
                           " elements, expected one for each of the %" PRIu32 " sequences",
                           path, sigma->n_elements, r->n_sequences);
    r->sigma = malloc((size_t)sigma->n_bytes);
    if (!r->sigma)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY,
                           "not enough memory for the tensor 'sigma' of '%.400s'", path);
    memcpy(r->sigma, sigma->data, (size_t)sigma->n_bytes);
    return VKDLM_OK;
}

static uint32_t n_rows_of(const run *r)
{
    return r->rows ? r->n_rows : r->length;
}

static vkdlm_status create_output(run *r, const char *path, vkdlm_error *err)
{
    const vkdlm_model_info *info = &r->engine.info;
    size_t n_hidden = r->values->hidden.given ? (size_t)info->n_blocks + 1 : 0;
    char(*names)[32] = n_hidden < MAX_HIDDEN ? calloc(n_hidden + 1, sizeof *names) : NULL;
    vkdlm_tensor_spec *specs = n_hidden < MAX_HIDDEN ? calloc(n_hidden + 1, sizeof *specs) : NULL;
    vkdlm_status status = VKDLM_OK;
    if (names && specs) {
        specs[0] = (vkdlm_tensor_spec){
            "logits", VKDLM_DTYPE_F32, 3, {r->n_sequences, n_rows_of(r), info->vocab_size}};
        for (size_t i = 0; i < n_hidden; i++) {
            snprintf(names[i], sizeof names[i], "hidden.%zu", i);
            specs[i + 1] = (vkdlm_tensor_spec){
                names[i], VKDLM_DTYPE_F32, 3, {r->n_sequences, n_rows_of(r), info->hidden_dim}};
        }
        status = vkdlm_tensors_writer_create(path, specs, n_hidden + 1, NULL, 0, &r->writer, err);
    } else {
        status =
            message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the tensors of '%.400s'", path);
    }
    free(names);
    free(specs);
    return status;
}

static vkdlm_status on_sequence(void *user, uint32_t sequence, const float *logits, const float *hidden,
                                vkdlm_error *err)
{
    run *r = user;
    const vkdlm_model_info *info = &r->engine.info;
    size_t n_logits = (size_t)n_rows_of(r) * info->vocab_size,
           n_hidden = (size_t)n_rows_of(r) * info->hidden_dim;
    vkdlm_status status = vkdlm_tensors_writer_write(
        r->writer, 0, (uint64_t)sequence * n_logits * sizeof *logits, logits, n_logits * sizeof *logits, err);
    for (uint32_t i = 0; r->values->hidden.given && i <= info->n_blocks && !status; i++)
        status = vkdlm_tensors_writer_write(r->writer, i + 1, (uint64_t)sequence * n_hidden * sizeof *hidden,
                                            hidden + i * n_hidden, n_hidden * sizeof *hidden, err);
    progress_update(&r->engine.bar, (double)(sequence + 1) / r->n_sequences, NULL);
    if (!status && signals_pending())
        status = message_set(err, VKDLM_CANCELLED, "interrupted");
    return status;
}

static vkdlm_status evaluate(run *r, const char *path, vkdlm_error *err)
{
    vkdlm_forward_options options = {
        .tokens = r->tokens,
        .n_sequences = r->n_sequences,
        .length = r->length,
        .sigma = r->sigma,
        .rows = r->rows,
        .n_rows = r->n_rows,
        .hidden = r->values->hidden.given,
        .on_sequence = on_sequence,
        .user = r,
    };
    double begun = progress_now();
    vkdlm_status status = create_output(r, path, err);
    if (status)
        return status;
    progress_begin(&r->engine.bar, "evaluating");
    status = message_blame_file(vkdlm_forward(r->engine.session, &options, err), err);
    if (status)
        return status;
    vkdlm_tensors_writer *writer = r->writer;
    r->writer = NULL; /* finish destroys it */
    status = vkdlm_tensors_writer_finish(writer, err);
    progress_clear(&r->engine.bar);
    if (status)
        return status;
    double seconds = progress_now() - begun;
    if (r->values->common.json.given)
        return report_object(json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}",                       //
                                       "output", report_string(path),                         //
                                       "sequences", report_count(r->n_sequences),             //
                                       "length", report_count(r->length),                     //
                                       "rows", report_count(n_rows_of(r)),                    //
                                       "vocab_size", report_count(r->engine.info.vocab_size), //
                                       "device", report_string(r->engine.device_info.name),   //
                                       "seconds", report_real(seconds)),
                             err);
    if (!r->values->common.quiet.given)
        message_note("%s: logits of %" PRIu32 " x %" PRIu32 " positions in %.2f s on %s", path,
                     r->n_sequences, n_rows_of(r), seconds, r->engine.device_info.name);
    return VKDLM_OK;
}

static int run_forward(const command *cmd, void *values, const option_parse *parse)
{
    const forward_values *v = values;
    const char *path = parse->arguments[0];
    run r = {.values = v};
    vkdlm_error err = {0};
    vkdlm_status status = VKDLM_OK;
    if (!v->output.given)
        status = message_set(&err, VKDLM_INVALID_ARGUMENT, "'forward' needs '--output OUT.safetensors'");
    if (!status)
        status = vkdlm_tensors_open(path, &r.input, &err);
    if (!status)
        status = engine_open(&r.engine, cmd, parse, &v->common, v->model.text, NULL, &err);
    if (!status)
        status = read_input(&r, path, &err);
    if (!status && v->rows.given)
        status = read_rows(&r, v->rows.text, &err);
    if (!status)
        status = evaluate(&r, v->output.text, &err);
    int code = engine_finish(&r.engine, status, &err);
    vkdlm_tensors_writer_abort(r.writer);
    vkdlm_tensors_close(r.input);
    free(r.tokens);
    free(r.sigma);
    free(r.rows);
    engine_close(&r.engine);
    return code;
}

const command command_forward = {
    .name = "forward",
    .summary = "Evaluates the network once on given ids.",
    .arguments = "IN.safetensors",
    .least_arguments = 1,
    .most_arguments = 1,
    .groups = groups,
    .notes = "Input tensors: tokens I32 [B, L]; sigma F32 [B] (0 when absent; without effect on a model "
             "without time "
             "conditioning). Output tensors: logits F32 [B, L, V] as the network gives them; with --hidden "
             "also hidden.N "
             "F32 [B, L, D]. With --rows, L counts the chosen positions. A file that fails leaves no output "
             "behind.",
    .values_size = sizeof(forward_values),
    .run = run_forward,
};
