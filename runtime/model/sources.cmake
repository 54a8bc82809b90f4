set(MODEL_SOURCES architecture.c arena.c binding.c l2d_checkpoint.c l2d_config.c l2d_path.c l2d_tensors.c
  llm_causal.c llm_config.c llm_config_gguf.c llm_evaluate.c llm_forward.c llm_main.c llm_open.c llm_record.c llm_rows.c
  llm_solve.c llm_tensors.c llm_weights.c llm_workspace.c loader.c mdlm.c
  mdlm_config.c mdlm_open.c mdlm_tensors.c mdlm_weights.c mdlm_workspace.c modulation.c plan.c)
