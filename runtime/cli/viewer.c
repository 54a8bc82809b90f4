#include <errno.h>
#include <limits.h>
#include <stdio.h>
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

void viewer_add(viewer_words *w, const char *name, const char *value)
{
    size_t size = (name ? strlen(name) : 0) + (value ? strlen(value) : 0) + 4;
    char **words = realloc(w->words, (w->n + 1) * sizeof *words);
    char *word = words ? malloc(size) : NULL;
    if (words)
        w->words = words;
    if (!word) {
        w->failed = true;
        return;
    }
    snprintf(word, size, "%s%s%s%s", name ? "--" : "", name ? name : "", name && value ? "=" : "",
             value ? value : "");
    w->words[w->n++] = word;
}

static vkdlm_status start(const viewer_words *w, const char *instead, vkdlm_error *err)
{
    char path[PATH_MAX];
    char **argv = w->failed ? NULL : calloc(w->n + 2, sizeof *argv);
    if (!argv)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory to start the viewer");
    find_beside(path, sizeof path);
    /* execvp takes them as they are, and changes none. */
    argv[0] = path;
    if (w->n)
        memcpy(argv + 1, w->words, w->n * sizeof *argv);
    execvp(path, argv);
    int reason = errno;
    if (reason == ENOENT)
        execvp(viewer_name, argv);
    free(argv);
    if (reason == ENOENT)
        return message_set(err, VKDLM_UNSUPPORTED,
                           "the viewer is not installed: there is no program '%.400s'; %s", path, instead);
    return message_set(err, VKDLM_IO, "the viewer '%.400s' cannot be started: %s", path, strerror(reason));
}

vkdlm_status viewer_start(viewer_words *words, const char *instead, vkdlm_error *err)
{
    vkdlm_status status = start(words, instead, err);
    for (size_t i = 0; i < words->n; i++)
        free(words->words[i]);
    free(words->words);
    *words = (viewer_words){0};
    return status;
}
