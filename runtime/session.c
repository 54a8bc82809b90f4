/* Public sessions, and what they do with masked models. */
#include "session.h"

#include <stdlib.h>

#include "base/error.h"
#include "sample/likelihood.h"
#include "sample/masked.h"
#include "sample/schedule.h"

vkdlm_status vkdlm_session_create(vkdlm_model *model, vkdlm_session **out, vkdlm_error *err)
{
    *out = NULL;
    vkdlm_session *session = calloc(1, sizeof *session);
    if (!session)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory creating a session");
    session->model = model;
    vkdlm_status status = model->llm ? llm_workspace_create(model->llm, &session->causal, err)
                                     : mdlm_workspace_create(model->mdlm, &session->masked, err);
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
    mdlm_workspace_destroy(session->masked);
    llm_workspace_destroy(session->causal);
    free(session);
}

vkdlm_status session_check_family(const vkdlm_session *session, vkdlm_family family, const char *what,
                                  vkdlm_error *err)
{
    static const char *const names[] = {[VKDLM_FAMILY_MASKED] = "masked", [VKDLM_FAMILY_CAUSAL] = "causal"};
    vkdlm_family found = session->model->llm ? VKDLM_FAMILY_CAUSAL : VKDLM_FAMILY_MASKED;
    if (found == family)
        return VKDLM_OK;
    return error_set(err, VKDLM_UNSUPPORTED, "%s: expected a %s model, found a %s one", what, names[family],
                     names[found]);
}

vkdlm_status vkdlm_noise_time(const vkdlm_noise *noise, double share, double *time, vkdlm_error *err)
{
    schedule s;
    vkdlm_status status = schedule_init(&s, noise, err);
    if (!status)
        *time = schedule_time(&s, share);
    return status;
}

vkdlm_status vkdlm_generate(vkdlm_session *session, const vkdlm_generate_options *options,
                            vkdlm_generate_stats *stats, vkdlm_error *err)
{
    vkdlm_status status = session_check_family(session, VKDLM_FAMILY_MASKED, "vkdlm_generate", err);
    if (status)
        return status;
    denoiser d = mdlm_denoiser(session->masked);
    return masked_run(&d, options, stats, err);
}

vkdlm_status vkdlm_score(vkdlm_session *session, const int32_t *ids, size_t n,
                         const vkdlm_score_options *options, vkdlm_score_result *out, vkdlm_error *err)
{
    vkdlm_status status = session_check_family(session, VKDLM_FAMILY_MASKED, "vkdlm_score", err);
    if (status)
        return status;
    denoiser d = mdlm_denoiser(session->masked);
    return likelihood_run(&d, ids, n, options, out, err);
}
