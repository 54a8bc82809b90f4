set(OPS_SOURCES weight.c matmul.c embed.c attention.c attention_plan.c rotary.c)
