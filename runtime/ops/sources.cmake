set(OPS_SOURCES weight.c weight_blocks.c matmul.c matmul_select.c output.c embed.c norm.c rms.c flow.c condition.c attention.c attention_plan.c cached_attention.c kv_cache.c rotary.c variants.c)
