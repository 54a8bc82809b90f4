set(OPS_SOURCES weight.c matmul.c embed.c norm.c attention.c attention_plan.c rotary.c)
