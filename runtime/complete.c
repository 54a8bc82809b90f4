/* Public functions of causal models. */
#include <vkdlm/complete.h>

#include "sample/complete.h"
#include "sample/predict.h"
#include "session.h"

vkdlm_status vkdlm_complete(vkdlm_session *session, const vkdlm_complete_options *options,
                            vkdlm_complete_stats *stats, vkdlm_error *err)
{
    vkdlm_model_info info;
    vkdlm_status status = session_check_family(session, VKDLM_FAMILY_CAUSAL, "vkdlm_complete", err);
    if (status)
        return status;
    vkdlm_model_get_info(session->model, &info);
    causal network = llm_causal(session->causal);
    return complete_run(&network, &info, options, stats, err);
}

vkdlm_status vkdlm_predict(vkdlm_session *session, const int32_t *ids, size_t n,
                           const vkdlm_predict_options *options, vkdlm_predict_result *out, vkdlm_error *err)
{
    vkdlm_model_info info;
    vkdlm_status status = session_check_family(session, VKDLM_FAMILY_CAUSAL, "vkdlm_predict", err);
    if (status)
        return status;
    vkdlm_model_get_info(session->model, &info);
    causal network = llm_causal(session->causal);
    return predict_run(&network, &info, ids, n, options, out, err);
}
