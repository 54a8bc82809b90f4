/* Public sessions: generation, likelihood, single evaluations. */
#include "session.h"

#include <stdlib.h>

#include "base/error.h"
#include "sample/likelihood.h"
#include "sample/masked.h"

vkdlm_status vkdlm_session_create(vkdlm_model *model, vkdlm_session **out, vkdlm_error *err)
{
    *out = NULL;
    vkdlm_session *session = calloc(1, sizeof *session);
    if (!session)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory creating a session");
    session->model = model;
    vkdlm_status status = mdlm_workspace_create(model->network, &session->workspace, err);
    if (status) {
        free(session);
        return status;
    }
    *out = session;
    return VKDLM_OK;
}

void vkdlm_session_destroy(vkdlm_session *session)
{
    if (!session)
        return;
    mdlm_workspace_destroy(session->workspace);
    free(session);
}

vkdlm_status vkdlm_generate(vkdlm_session *session, const vkdlm_generate_options *options,
                            vkdlm_generate_stats *stats, vkdlm_error *err)
{
    denoiser d = mdlm_denoiser(session->workspace);
    return masked_run(&d, options, stats, err);
}

vkdlm_status vkdlm_score(vkdlm_session *session, const int32_t *ids, size_t n,
                         const vkdlm_score_options *options, vkdlm_score_result *out, vkdlm_error *err)
{
    denoiser d = mdlm_denoiser(session->workspace);
    return likelihood_run(&d, ids, n, options, out, err);
}

/* Checks what the network relies on: ids and rows in range, rows ascending. */
static vkdlm_status check_forward(const mdlm_config *config, const vkdlm_forward_options *options,
                                  vkdlm_error *err)
{
    if (options->length < 1 || options->length > config->length)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "tokens: expected 1 to %u positions a sequence, found %u", config->length,
                         options->length);
    for (uint64_t i = 0; i < (uint64_t)options->n_sequences * options->length; i++) {
        if (options->tokens[i] < 0 || (uint32_t)options->tokens[i] >= config->vocab_size)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "tokens: expected ids from 0 to %u, found %d in sequence %u at position %u",
                             config->vocab_size - 1, options->tokens[i], (uint32_t)(i / options->length),
                             (uint32_t)(i % options->length));
    }
    for (uint32_t i = 0; options->sigma && i < options->n_sequences; i++) {
        if (!(options->sigma[i] >= 0 && options->sigma[i] <= 50000.0f))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "sigma: expected 0 to 50000, found %g for sequence %u",
                             (double)options->sigma[i], i);
    }
    for (uint32_t i = 0; options->rows && i < options->n_rows; i++) {
        if (options->rows[i] >= options->length || (i && options->rows[i] <= options->rows[i - 1]))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "rows: expected ascending positions below %u, found %u", options->length,
                             options->rows[i]);
    }
    return VKDLM_OK;
}

vkdlm_status vkdlm_forward(vkdlm_session *session, const vkdlm_forward_options *options, vkdlm_error *err)
{
    const mdlm_config *config = mdlm_get_config(session->model->network);
    vkdlm_status status = check_forward(config, options, err);
    if (status)
        return status;

    uint32_t n_rows = options->rows ? options->n_rows : options->length;
    uint32_t *all_rows = calloc(options->length, sizeof *all_rows);
    float *logits = calloc((size_t)n_rows * config->vocab_size, sizeof *logits);
    size_t n_hidden = (size_t)(config->n_blocks + 1) * n_rows * config->hidden_dim;
    float *hidden = options->hidden ? calloc(n_hidden, sizeof *hidden) : NULL;
    if (!all_rows || !logits || (options->hidden && !hidden)) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for the logits of %u positions",
                           n_rows);
        goto done;
    }
    for (uint32_t i = 0; i < options->length; i++)
        all_rows[i] = i;
    for (uint32_t s = 0; s < options->n_sequences && !status; s++) {
        eval_sequence sequence = {.tokens = options->tokens + (size_t)s * options->length,
                                  .length = options->length,
                                  .sigma = options->sigma ? options->sigma[s] : 0.0f};
        status = mdlm_forward(session->workspace, &sequence, options->rows ? options->rows : all_rows, n_rows,
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
