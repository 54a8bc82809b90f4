#include "noise_options.h"

#include "message.h"

const char *const noise_schedules[] = {
#define SCHEDULE_NAME(suffix, name, has_eps, has_sigma) name,
    VKDLM_SCHEDULE_LIST(SCHEDULE_NAME)
#undef SCHEDULE_NAME
        NULL};

static const struct {
    bool has_eps, has_sigma;
} parameters[] = {
#define SCHEDULE_PARAMETERS(suffix, name, has_eps, has_sigma) {has_eps, has_sigma},
    VKDLM_SCHEDULE_LIST(SCHEDULE_PARAMETERS)
#undef SCHEDULE_PARAMETERS
};

vkdlm_status noise_from_options(const noise_values *values, vkdlm_noise *noise, vkdlm_error *err)
{
    vkdlm_schedule schedule = (vkdlm_schedule)values->schedule.choice;
    bool geometric = schedule == VKDLM_SCHEDULE_GEOMETRIC;
    const char *name = noise_schedules[schedule];
    *noise = (vkdlm_noise){.schedule = schedule};
    if (values->eps.given && !parameters[schedule].has_eps)
        return message_set(
            err, VKDLM_INVALID_ARGUMENT,
            "'--schedule-eps' does not go with the schedule %s, which takes --sigma-min and --sigma-max",
            name);
    if ((values->sigma_min.given || values->sigma_max.given) && !parameters[schedule].has_sigma)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--sigma-m%s' does not go with the schedule %s, which takes --schedule-eps",
                           values->sigma_min.given ? "in" : "ax", name);
    if (parameters[schedule].has_eps)
        noise->eps = values->eps.number;
    if (!parameters[schedule].has_sigma)
        return VKDLM_OK;
    noise->sigma_min = values->sigma_min.given ? values->sigma_min.number : geometric ? 1e-3 : 0;
    noise->sigma_max = values->sigma_max.given ? values->sigma_max.number : geometric ? 1 : 10;
    if (geometric && noise->sigma_min <= 0)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--sigma-min' of the schedule geometric is above 0, not %g", noise->sigma_min);
    if (noise->sigma_min >= noise->sigma_max)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--sigma-min' is %g, but it is below '--sigma-max', %g", noise->sigma_min,
                           noise->sigma_max);
    return VKDLM_OK;
}
