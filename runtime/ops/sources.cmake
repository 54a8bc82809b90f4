set(OPS_SOURCES embed.c attention.c attention_plan.c rotary.c)
