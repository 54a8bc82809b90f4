#include "locate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

#define BUNDLED_MODEL "kjv-mdlm-q8_0.gguf"

/* Directory of the running program, "" when it cannot be found out. */
static void program_directory(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 1);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
}

enum { N_PLACES = 3 };

/* Where a bundled model may lie. */
static void list_places(const char *name, char (*places)[PATH_MAX + 512])
{
    char program[PATH_MAX];
    program_directory(program, sizeof program);
    snprintf(places[0], sizeof *places, "%s/../share/vkdlm/models/%.200s", program, name);
    snprintf(places[1], sizeof *places, "%s/%.200s", VKDLM_INSTALLED_MODELS, name);
    snprintf(places[2], sizeof *places, "%s/%.200s", VKDLM_SOURCE_MODELS, name);
}

vkdlm_status locate_model(const char *given, char **path, vkdlm_error *err)
{
    char places[N_PLACES][PATH_MAX + 512];
    const char *found = NULL;
    *path = NULL;
    if (!given || (access(given, F_OK) && *given && !strchr(given, '/'))) {
        list_places(given ? given : BUNDLED_MODEL, places);
        for (size_t i = 0; i < N_PLACES && !found; i++)
            if (!access(places[i], R_OK))
                found = places[i];
        if (!given && !found)
            return message_set(
                err, VKDLM_NOT_FOUND,
                "the bundled model is not in '%.300s', '%.300s' or '%.300s'; '-m MODEL' names another",
                places[0], places[1], places[2]);
    }
    *path = strdup(found ? found : given);
    return *path ? VKDLM_OK : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a path");
}
