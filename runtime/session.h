/* The public model and session handles, and what the files that implement them share. */
#ifndef RUNTIME_SESSION_H
#define RUNTIME_SESSION_H

#include <vkdlm/complete.h>
#include <vkdlm/session.h>

#include "model/llm.h"
#include "model/mdlm.h"

/* One of mdlm and llm is there: the model's family. */
struct vkdlm_model {
    vkdlm_device *device;
    mdlm *mdlm;
    llm *llm;
    vkdlm_tokenizer *tokenizer; /* NULL when there is none */
    uint64_t n_parameters;
};

struct vkdlm_session {
    const vkdlm_model *model;
    mdlm_workspace *masked; /* of a masked model */
    llm_workspace *causal;  /* of a causal model */
};

/* UNSUPPORTED unless the session's model is of this family; what: the function that asks. */
vkdlm_status session_check_family(const vkdlm_session *session, vkdlm_family family, const char *what,
                                  vkdlm_error *err);

/* Elements and bytes of all tensors. */
uint64_t tensors_count_elements(const vkdlm_tensors *tensors, uint64_t *n_bytes);

/* *out points into config. */
void flow_info_fill(const l2d_config *config, vkdlm_flow_info *out);

#endif
