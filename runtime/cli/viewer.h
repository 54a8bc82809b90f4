/* The viewer: a program of its own beside this one. */
#ifndef CLI_VIEWER_H
#define CLI_VIEWER_H

#include <stddef.h>

#include <vkdlm/status.h>

/* What the viewer is started with. A zeroed struct is empty. */
typedef struct viewer_words {
    char **words; /* [n] */
    size_t n;
    bool failed; /* there was no memory */
} viewer_words;

/* Adds `--name=value`; `--name` when value is NULL; value alone when name is. */
void viewer_add(viewer_words *words, const char *name, const char *value);

/* Becomes the viewer, with these words behind its name. Returns only on failure, and frees the words:
 * UNSUPPORTED when it is not installed (instead: a clause that says what shows a run without it),
 * OUT_OF_HOST_MEMORY, IO. */
vkdlm_status viewer_start(viewer_words *words, const char *instead, vkdlm_error *err);

#endif
