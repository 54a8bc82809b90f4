set(SAMPLE_SOURCES schedule.c masked.c masked_plan.c masked_sample.c likelihood.c)
