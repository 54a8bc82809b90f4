#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "viewer.h"

static const char viewer_name[] = "vkdlm-view";

/* Path of the viewer beside this program; just its name, to be searched for, where that is not known. */
static void find_beside(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - sizeof viewer_name - 1);
    if (n > 0 && (size_t)n < size - sizeof viewer_name - 1) {
        path[n] = '\0';
        char *slash = strrchr(path, '/');
        if (slash) {
            strcpy(slash + 1, viewer_name);
            return;
        }
    }
    strcpy(path, viewer_name);
}

vkdlm_status viewer_start(const char *const *words, vkdlm_error *err)
{
    char path[PATH_MAX];
    size_t n = 0;
    while (words[n])
        n++;
    char **argv = calloc(n + 2, sizeof *argv);
    if (!argv)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory to start the viewer");
    find_beside(path, sizeof path);
    /* execvp takes them as they are, and changes none. */
    argv[0] = path;
    memcpy(argv + 1, words, n * sizeof *argv);
    execvp(path, argv);
    int reason = errno;
    if (reason == ENOENT)
        execvp(viewer_name, argv);
    free(argv);
    if (reason == ENOENT)
        return message_set(
            err, VKDLM_UNSUPPORTED,
            "the viewer is not installed: there is no program '%.400s'; '--text' replays the run "
            "on a terminal",
            path);
    return message_set(err, VKDLM_IO, "the viewer '%.400s' cannot be started: %s", path, strerror(reason));
}
