/* The public model and session handles. */
#ifndef RUNTIME_SESSION_H
#define RUNTIME_SESSION_H

#include <vkdlm/session.h>

#include "model/mdlm.h"

struct vkdlm_model {
    vkdlm_device *device;
    mdlm *network;
    vkdlm_tokenizer *tokenizer; /* NULL when there is none */
    uint64_t n_parameters;
};

struct vkdlm_session {
    const vkdlm_model *model;
    mdlm_workspace *workspace;
};

#endif
