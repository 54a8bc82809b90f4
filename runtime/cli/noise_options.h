/* The noise schedule on the command line, shared by generate and score. */
#ifndef CLI_NOISE_OPTIONS_H
#define CLI_NOISE_OPTIONS_H

#include <vkdlm/session.h>

#include "options.h"

typedef struct noise_values {
    option_value schedule, eps, sigma_min, sigma_max;
} noise_values;

extern const char *const noise_schedules[];

#define NOISE_OPTIONS(base)                                                                      \
    {"schedule",                                                                                 \
     0,                                                                                          \
     OPTION_CHOICE,                                                                              \
     (base) + offsetof(noise_values, schedule),                                                  \
     "NAME",                                                                                     \
     "noise schedule",                                                                           \
     .initial = "loglinear",                                                                     \
     .choices = noise_schedules,                                                                 \
     .fits = MODEL_MASKED},                                                                      \
        {"schedule-eps",                                                                         \
         0,                                                                                      \
         OPTION_NUMBER,                                                                          \
         (base) + offsetof(noise_values, eps),                                                   \
         "X",                                                                                    \
         "eps of loglinear, cosine and cosinesqr",                                               \
         .initial = "1e-3",                                                                      \
         .interval = {0, 1, true, true},                                                         \
         .fits = MODEL_MASKED},                                                                  \
        {"sigma-min",                                                                            \
         0,                                                                                      \
         OPTION_NUMBER,                                                                          \
         (base) + offsetof(noise_values, sigma_min),                                             \
         "X",                                                                                    \
         "sigma at t = 0 of linear and geometric",                                               \
         .initially = "0 (linear), 1e-3 (geometric)",                                            \
         .interval = {0, INFINITY, false, true},                                                 \
         .fits = MODEL_MASKED},                                                                  \
    {                                                                                            \
        "sigma-max", 0, OPTION_NUMBER, (base) + offsetof(noise_values, sigma_max), "X",          \
            "sigma at t = 1 of linear and geometric", .initially = "10 (linear), 1 (geometric)", \
                                                      .interval = {0, INFINITY, true, true},     \
                                                      .fits = MODEL_MASKED                       \
    }

/* Checks that the parameters belong to the schedule. Errors: INVALID_ARGUMENT. */
vkdlm_status noise_from_options(const noise_values *values, vkdlm_noise *noise, vkdlm_error *err);

#endif
