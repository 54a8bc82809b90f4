#include <inttypes.h>
#include <math.h>
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
    option_value model, l2d, output, hidden, rows;
} forward_values;

#define AT(field) offsetof(forward_values, field)

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(AT(model)),
    ENGINE_L2D_OPTION(AT(l2d)),
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

/* The tensors of an input, in the order of `copies` below. */
enum input_tensor { INPUT_TOKENS, INPUT_SIGMA, INPUT_X, INPUT_T, INPUT_CLASS, N_INPUTS };

static const struct {
    const char *name;
    vkdlm_dtype dtype;
    uint32_t n_dims;
    unsigned fits; /* set of model_kind that take it */
} inputs[N_INPUTS] = {
    [INPUT_TOKENS] = {"tokens", VKDLM_DTYPE_I32, 2, MODEL_MASKED | MODEL_CAUSAL | MODEL_L2D},
    [INPUT_SIGMA] = {"sigma", VKDLM_DTYPE_F32, 1, MODEL_MASKED},
    [INPUT_X] = {"x", VKDLM_DTYPE_F32, 2, MODEL_L2D},
    [INPUT_T] = {"t", VKDLM_DTYPE_F32, 1, MODEL_L2D},
    [INPUT_CLASS] = {"class", VKDLM_DTYPE_I32, 1, MODEL_L2D},
};

typedef struct run {
    engine engine;
    const forward_values *values;
    const char *path; /* of the input */
    vkdlm_tensors *input;
    void *copies[N_INPUTS]; /* data of the tensors, which may be unaligned in the file; NULL: absent */
    uint32_t *rows;         /* [n_rows], ascending; NULL: all */
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

/* Finds a tensor of the right type and for this kind of model; *out is NULL when it is absent. */
static vkdlm_status find_input(const run *r, enum input_tensor which, const vkdlm_tensor **out,
                               vkdlm_error *err)
{
    const char *name = inputs[which].name;
    *out = vkdlm_tensors_find(r->input, name);
    if (!*out)
        return VKDLM_OK;
    if (!(inputs[which].fits & r->engine.kind))
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s': tensor '%s' belongs to %s models and does not fit '%.200s' (%s)%s",
                           r->path, name, options_kinds(inputs[which].fits), r->engine.path,
                           r->engine.info.architecture,
                           r->engine.kind == MODEL_CAUSAL && inputs[which].fits == MODEL_L2D
                               ? "; '--l2d PATH' adds a diffusion path"
                               : "");
    if ((*out)->dtype != inputs[which].dtype || (*out)->n_dims != inputs[which].n_dims)
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s': tensor '%s' is %s with %" PRIu32
                           " dimensions, expected %s with %" PRIu32,
                           r->path, name, vkdlm_dtype_name((*out)->dtype), (*out)->n_dims,
                           vkdlm_dtype_name(inputs[which].dtype), inputs[which].n_dims);
    return VKDLM_OK;
}

static vkdlm_status copy_input(run *r, enum input_tensor which, const vkdlm_tensor *tensor, vkdlm_error *err)
{
    r->copies[which] = malloc((size_t)tensor->n_bytes);
    if (!r->copies[which])
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the tensor '%s' of '%.400s'",
                           inputs[which].name, r->path);
    memcpy(r->copies[which], tensor->data, (size_t)tensor->n_bytes);
    return VKDLM_OK;
}

/* tokens I32 [B, L], which says how many sequences there are. */
static vkdlm_status read_tokens(run *r, vkdlm_error *err)
{
    const vkdlm_tensor *tensor = NULL;
    vkdlm_status status = find_input(r, INPUT_TOKENS, &tensor, err);
    if (!status && !tensor)
        status =
            message_set(err, VKDLM_MALFORMED, "'%.400s' has no tensor 'tokens' (I32, 2 dimensions)", r->path);
    if (!status &&
        (!tensor->n_elements || tensor->shape[0] > UINT32_MAX || tensor->shape[1] > r->engine.info.length))
        status = message_set(err, VKDLM_MALFORMED,
                             "'%.400s': tensor 'tokens' is %" PRIu64 " x %" PRIu64
                             ", expected at least one sequence of 1 to %" PRIu32 " tokens",
                             r->path, tensor->shape[0], tensor->shape[1], r->engine.info.length);
    if (!status)
        status = copy_input(r, INPUT_TOKENS, tensor, err);
    if (status)
        return status;
    r->n_sequences = (uint32_t)tensor->shape[0];
    r->length = (uint32_t)tensor->shape[1];
    const int32_t *ids = r->copies[INPUT_TOKENS];
    for (size_t i = 0; i < tensor->n_elements; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= r->engine.info.vocab_size)
            return message_set(err, VKDLM_MALFORMED,
                               "'%.400s': tensor 'tokens' has %" PRId32
                               " at [%zu, %zu], but the model's ids are 0 to "
                               "%" PRIu32,
                               r->path, ids[i], i / r->length, i % r->length, r->engine.info.vocab_size - 1);
    return VKDLM_OK;
}

/* A tensor with one element, or one row, for each sequence; an absent one leaves its copy NULL. */
static vkdlm_status read_rest(run *r, enum input_tensor which, vkdlm_error *err)
{
    const vkdlm_tensor *tensor = NULL;
    vkdlm_status status = find_input(r, which, &tensor, err);
    if (status || !tensor)
        return status;
    if (tensor->shape[0] != r->n_sequences)
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s': tensor '%s' has %" PRIu64 " %s, expected one for each of the %" PRIu32
                           " sequences",
                           r->path, inputs[which].name, tensor->shape[0],
                           tensor->n_dims == 1 ? "elements" : "rows", r->n_sequences);
    if (which == INPUT_X && tensor->shape[1] != r->engine.info.flow.dim)
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s': tensor 'x' has rows of %" PRIu64 ", but the diffusion path has %" PRIu32
                           " components",
                           r->path, tensor->shape[1], r->engine.info.flow.dim);
    return copy_input(r, which, tensor, err);
}

/* What is to be evaluated at: x finite, t in [0, 1], a class of the path or -1. */
static vkdlm_status check_point(const run *r, vkdlm_error *err)
{
    const float *x = r->copies[INPUT_X], *t = r->copies[INPUT_T];
    const int32_t *class_ids = r->copies[INPUT_CLASS];
    uint32_t n_classes = r->engine.info.flow.n_classes;
    size_t n_x = x ? (size_t)r->n_sequences * r->engine.info.flow.dim : 0;
    if (!x != !t || (class_ids && !x))
        return message_set(err, VKDLM_MALFORMED,
                           "'%.400s' has the tensor '%s' without '%s', which it needs beside it", r->path,
                           x   ? "x"
                           : t ? "t"
                               : "class",
                           x ? "t" : "x");
    for (size_t i = 0; i < n_x; i++)
        if (!isfinite(x[i]))
            return message_set(err, VKDLM_MALFORMED,
                               "'%.400s': tensor 'x' has a value at element %zu that is no finite number",
                               r->path, i);
    for (uint32_t i = 0; t && i < r->n_sequences; i++)
        if (!(t[i] >= 0 && t[i] <= 1))
            return message_set(err, VKDLM_MALFORMED,
                               "'%.400s': tensor 't' has %g at [%" PRIu32 "], expected 0 to 1", r->path,
                               (double)t[i], i);
    for (uint32_t i = 0; class_ids && i < r->n_sequences; i++)
        if (class_ids[i] < -1 || class_ids[i] >= (int64_t)n_classes)
            return message_set(err, VKDLM_MALFORMED,
                               "'%.400s': tensor 'class' has %" PRId32 " at [%" PRIu32
                               "], but the diffusion path has %" PRIu32
                               " classes, from 0 (-1 is the null class)",
                               r->path, class_ids[i], i, n_classes);
    return VKDLM_OK;
}

static vkdlm_status read_input(run *r, vkdlm_error *err)
{
    vkdlm_status status = read_tokens(r, err);
    for (int i = INPUT_SIGMA; i < N_INPUTS && !status; i++)
        status = read_rest(r, (enum input_tensor)i, err);
    if (!status)
        status = check_point(r, err);
    if (!status && r->copies[INPUT_X] && r->values->rows.given)
        status = message_set(err, VKDLM_INVALID_ARGUMENT,
                             "'--rows' does not go with the tensor 'x' of '%.400s', which gives one row a "
                             "sequence",
                             r->path);
    return status;
}

/* Rows of each sequence that come out; a diffusion path has one, without a dimension of its own. */
static uint32_t n_rows_of(const run *r)
{
    return r->copies[INPUT_X] ? 1 : r->rows ? r->n_rows : r->length;
}

static vkdlm_tensor_spec output_spec(const run *r, const char *name, uint32_t width)
{
    if (r->copies[INPUT_X])
        return (vkdlm_tensor_spec){name, VKDLM_DTYPE_F32, 2, {r->n_sequences, width}};
    return (vkdlm_tensor_spec){name, VKDLM_DTYPE_F32, 3, {r->n_sequences, n_rows_of(r), width}};
}

static vkdlm_status create_output(run *r, const char *path, vkdlm_error *err)
{
    const vkdlm_model_info *info = &r->engine.info;
    size_t n_hidden = r->values->hidden.given ? (size_t)info->n_blocks + 1 : 0;
    char(*names)[32] = n_hidden < MAX_HIDDEN ? calloc(n_hidden + 1, sizeof *names) : NULL;
    vkdlm_tensor_spec *specs = n_hidden < MAX_HIDDEN ? calloc(n_hidden + 1, sizeof *specs) : NULL;
    vkdlm_status status = VKDLM_OK;
    if (names && specs) {
        specs[0] = output_spec(r, "logits", info->vocab_size);
        for (size_t i = 0; i < n_hidden; i++) {
            snprintf(names[i], sizeof names[i], "hidden.%zu", i);
            specs[i + 1] = output_spec(r, names[i], info->hidden_dim);
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
        .tokens = r->copies[INPUT_TOKENS],
        .n_sequences = r->n_sequences,
        .length = r->length,
        .sigma = r->copies[INPUT_SIGMA],
        .x = r->copies[INPUT_X],
        .t = r->copies[INPUT_T],
        .class_ids = r->copies[INPUT_CLASS],
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
    const engine_names names = {v->model.text, NULL, v->l2d.text};
    run r = {.values = v, .path = parse->arguments[0]};
    vkdlm_error err = {0};
    vkdlm_status status = VKDLM_OK;
    if (!v->output.given)
        status = message_set(&err, VKDLM_INVALID_ARGUMENT, "'forward' needs '--output OUT.safetensors'");
    if (!status)
        status = vkdlm_tensors_open(r.path, &r.input, &err);
    if (!status)
        status = engine_find(&r.engine, cmd, values, parse, &names, &err);
    if (!status)
        status = engine_open(&r.engine, &err);
    if (!status)
        status = read_input(&r, &err);
    if (!status && v->rows.given)
        status = read_rows(&r, v->rows.text, &err);
    if (!status)
        status = evaluate(&r, v->output.text, &err);
    int code = engine_finish(&r.engine, status, &err);
    vkdlm_tensors_writer_abort(r.writer);
    vkdlm_tensors_close(r.input);
    for (int i = 0; i < N_INPUTS; i++)
        free(r.copies[i]);
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
    .notes =
        "Input tensors: tokens I32 [B, L]. A masked diffusion model: sigma F32 [B] (0 when absent; without "
        "effect on a model without time conditioning). A model with a diffusion path: x F32 [B, n] on the "
        "scale of the noise, t F32 [B] in 0 to 1, class I32 [B] (the null class, -1, when absent) "
        "evaluate the path for the token after the last one; without x it is the base alone.\n"
        "Output tensors: logits F32 [B, L, V] as the network gives them; with --hidden also hidden.N F32 "
        "[B, L, D]. With --rows, L counts the chosen positions. Of the diffusion path, logits are F32 "
        "[B, V] and hidden.N F32 [B, D]: the encoder's output and y after each block. A file that fails "
        "leaves no output behind.",
    .values_size = sizeof(forward_values),
    .run = run_forward,
};
