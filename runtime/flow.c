/* Names of what include/vkdlm/flow.h enumerates. */
#include <vkdlm/flow.h>

static const char *const solver_names[VKDLM_SOLVER_COUNT] = {[VKDLM_SOLVER_DEFAULT] = "",
#define SOLVER_NAME(suffix, name, adaptive) [VKDLM_SOLVER_##suffix] = name,
                                                             VKDLM_SOLVER_LIST(SOLVER_NAME)
#undef SOLVER_NAME
};

static const bool solver_adaptive[VKDLM_SOLVER_COUNT] = {
#define SOLVER_ADAPTIVE(suffix, name, adaptive) [VKDLM_SOLVER_##suffix] = adaptive,
    VKDLM_SOLVER_LIST(SOLVER_ADAPTIVE)
#undef SOLVER_ADAPTIVE
};

static const char *const estimate_names[VKDLM_ESTIMATE_COUNT] = {
    [VKDLM_ESTIMATE_DEFAULT] = "",
    [VKDLM_ESTIMATE_SAMPLE] = "sample",
    [VKDLM_ESTIMATE_AVERAGE] = "average",
};

static const char *const velocity_names[VKDLM_VELOCITY_COUNT] = {
    [VKDLM_VELOCITY_DEFAULT] = "",
    [VKDLM_VELOCITY_CONSTANT] = "constant",
    [VKDLM_VELOCITY_EDM] = "edm",
};

static const char *const budget_names[VKDLM_BUDGET_COUNT] = {
    [VKDLM_BUDGET_ALL] = "all",
    [VKDLM_BUDGET_ENTROPY] = "entropy",
    [VKDLM_BUDGET_CONFIDENCE] = "confidence",
};

const char *vkdlm_solver_name(vkdlm_solver solver)
{
    return (unsigned)solver < VKDLM_SOLVER_COUNT ? solver_names[solver] : "";
}

bool vkdlm_solver_is_adaptive(vkdlm_solver solver)
{
    return (unsigned)solver < VKDLM_SOLVER_COUNT && solver_adaptive[solver];
}

const char *vkdlm_estimate_name(vkdlm_estimate estimate)
{
    return (unsigned)estimate < VKDLM_ESTIMATE_COUNT ? estimate_names[estimate] : "";
}

const char *vkdlm_velocity_name(vkdlm_velocity velocity)
{
    return (unsigned)velocity < VKDLM_VELOCITY_COUNT ? velocity_names[velocity] : "";
}

const char *vkdlm_budget_name(vkdlm_budget budget)
{
    return (unsigned)budget < VKDLM_BUDGET_COUNT ? budget_names[budget] : "";
}
