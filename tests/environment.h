/* What the environment asks of tests. */
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool environment_is_set(const char *name)
{
    const char *value = getenv(name);
    return value && strcmp(value, "1") == 0;
}

/* VKDLM_TEST_QUICK=1, for drivers and settings that are slow or that another run covers whole: fewer samples;
 * of kernels, shapes and types each one, but not each with each. */
static inline bool environment_is_quick(void)
{
    return environment_is_set("VKDLM_TEST_QUICK");
}

#endif
