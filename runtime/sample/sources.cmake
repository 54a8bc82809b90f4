set(SAMPLE_SOURCES schedule.c masked.c masked_plan.c masked_sample.c likelihood.c ode.c ode_fixed.c ode_tableaus.c flow_grid.c
    flow_options.c complete.c complete_plan.c complete_refine.c predict.c)
