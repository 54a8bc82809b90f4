/* Public single evaluations of a model of any family. */
#include <stdlib.h>

#include "base/error.h"
#include "session.h"

/* ---- checks ----------------------------------------------------------------------------------------- */

static vkdlm_status check_tokens(const vkdlm_model_info *info, const vkdlm_forward_options *options,
                                 vkdlm_error *err)
{
    if (options->length < 1 || options->length > info->length)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "tokens: expected 1 to %u positions a sequence, found %u", info->length,
                         options->length);
    for (uint64_t i = 0; i < (uint64_t)options->n_sequences * options->length; i++) {
        if (options->tokens[i] < 0 || (uint32_t)options->tokens[i] >= info->vocab_size)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "tokens: expected ids from 0 to %u, found %d in sequence %u at position %u",
                             info->vocab_size - 1, options->tokens[i], (uint32_t)(i / options->length),
                             (uint32_t)(i % options->length));
    }
    return VKDLM_OK;
}

static vkdlm_status check_sigma(const vkdlm_model_info *info, const vkdlm_forward_options *options,
                                vkdlm_error *err)
{
    if (options->sigma && info->family != VKDLM_FAMILY_MASKED)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "sigma: expected none for a causal model, found some");
    for (uint32_t i = 0; options->sigma && i < options->n_sequences; i++) {
        if (!(options->sigma[i] >= 0 && options->sigma[i] <= 50000.0f))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "sigma: expected 0 to 50000, found %g for sequence %u",
                             (double)options->sigma[i], i);
    }
    return VKDLM_OK;
}

static vkdlm_status check_flow(const vkdlm_model_info *info, const vkdlm_forward_options *options,
                               vkdlm_error *err)
{
    if (!options->x && !options->t && !options->class_ids)
        return VKDLM_OK;
    if (!info->flow.present)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "x, t: expected a model with a diffusion path (L2D), found one without");
    if (!options->x || !options->t)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "x, t: expected both, found only one of them");
    if (options->rows)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "rows: expected none for an evaluation of the diffusion path, found %u",
                         options->n_rows);
    for (uint32_t i = 0; i < options->n_sequences; i++) {
        if (!(options->t[i] >= 0 && options->t[i] <= 1))
            return error_set(err, VKDLM_INVALID_ARGUMENT, "t: expected 0 to 1, found %g for sequence %u",
                             (double)options->t[i], i);
        int32_t class_id = options->class_ids ? options->class_ids[i] : -1;
        if (class_id < -1 || class_id >= (int32_t)info->flow.n_classes)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "class: expected -1 (none) to %d, found %d for sequence %u",
                             (int)info->flow.n_classes - 1, class_id, i);
    }
    return VKDLM_OK;
}

static vkdlm_status check_rows(const vkdlm_forward_options *options, vkdlm_error *err)
{
    for (uint32_t i = 0; options->rows && i < options->n_rows; i++) {
        if (options->rows[i] >= options->length || (i && options->rows[i] <= options->rows[i - 1]))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "rows: expected ascending positions below %u, found %u", options->length,
                             options->rows[i]);
    }
    return VKDLM_OK;
}

/* ---- one sequence ------------------------------------------------------------------------------------- */

/* Tokens of one pass through the main path before an evaluation of the diffusion path. */
#define CHUNK_ROWS 128u

/* The diffusion path for the token behind sequence s. */
static vkdlm_status forward_flow(llm_workspace *ws, const vkdlm_forward_options *options, uint32_t s,
                                 float *logits, float *hidden, vkdlm_error *err)
{
    causal network = llm_causal(ws);
    const int32_t *tokens = options->tokens + (size_t)s * options->length;
    const causal_capacity capacity = {.sequences = 1,
                                      .context = options->length,
                                      .chunk_rows = CHUNK_ROWS,
                                      .held = 1,
                                      .rows = 1,
                                      .branches = 1};
    vkdlm_status status = network.reserve(network.self, &capacity, err);
    for (uint32_t first = 0; first < options->length && !status; first += CHUNK_ROWS) {
        uint32_t n = options->length - first < CHUNK_ROWS ? options->length - first : CHUNK_ROWS;
        const causal_chunk chunk = {
            .first = first, .tokens = tokens + first, .length = n, .keep = KEEP_LAST, .held = 0};
        const causal_work work = {.chunks = &chunk, .n_chunks = 1, .prompt = true};
        status = network.run(&network, &work, NULL, err);
    }
    if (status)
        return status;
    const flow_point point = {.row = {.position = options->length - 1, .target = -1},
                              .t = options->t[s],
                              .class_id = options->class_ids ? options->class_ids[s] : -1,
                              .inv_temperature = 1};
    const flow_request request = {.points = &point,
                                  .n_points = 1,
                                  .x = options->x + (size_t)s * network.flow_dim,
                                  .top_p = 1,
                                  .logits = logits,
                                  .hidden = hidden};
    return network.evaluate(&network, &request, err);
}

static vkdlm_status forward_sequence(vkdlm_session *session, const vkdlm_forward_options *options, uint32_t s,
                                     const uint32_t *rows, uint32_t n_rows, float *logits, float *hidden,
                                     vkdlm_error *err)
{
    const int32_t *tokens = options->tokens + (size_t)s * options->length;
    if (options->x)
        return forward_flow(session->causal, options, s, logits, hidden, err);
    if (session->causal)
        return llm_forward(session->causal, tokens, options->length, rows, n_rows, logits, hidden, err);
    eval_sequence sequence = {
        .tokens = tokens, .length = options->length, .sigma = options->sigma ? options->sigma[s] : 0.0f};
    return mdlm_forward(session->masked, &sequence, rows, n_rows, logits, hidden, err);
}

vkdlm_status vkdlm_forward(vkdlm_session *session, const vkdlm_forward_options *options, vkdlm_error *err)
{
    vkdlm_model_info info;
    vkdlm_model_get_info(session->model, &info);
    vkdlm_status status = check_tokens(&info, options, err);
    if (!status)
        status = check_sigma(&info, options, err);
    if (!status)
        status = check_flow(&info, options, err);
    if (!status)
        status = check_rows(options, err);
    if (status)
        return status;

    uint32_t n_rows = options->x ? 1 : options->rows ? options->n_rows : options->length;
    uint32_t *all_rows = calloc(options->length, sizeof *all_rows);
    float *logits = calloc((size_t)n_rows * info.vocab_size, sizeof *logits);
    size_t n_hidden = (size_t)(info.n_blocks + 1) * n_rows * info.hidden_dim;
    float *hidden = options->hidden ? calloc(n_hidden, sizeof *hidden) : NULL;
    if (!all_rows || !logits || (options->hidden && !hidden)) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for the logits of %u positions",
                           n_rows);
        goto done;
    }
    for (uint32_t i = 0; i < options->length; i++)
        all_rows[i] = i;
    for (uint32_t s = 0; s < options->n_sequences && !status; s++) {
        status = forward_sequence(session, options, s, options->rows ? options->rows : all_rows, n_rows,
                                  logits, hidden, err);
        if (!status)
            status = options->on_sequence(options->user, s, logits, hidden, err);
    }
done:
    free(hidden);
    free(logits);
    free(all_rows);
    return status;
}
