set(MODEL_SOURCES mdlm.c mdlm_config.c mdlm_open.c mdlm_tensors.c mdlm_weights.c mdlm_workspace.c modulation.c plan.c)
