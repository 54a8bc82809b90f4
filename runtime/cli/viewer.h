/* The viewer: a program of its own beside this one. */
#ifndef CLI_VIEWER_H
#define CLI_VIEWER_H

#include <vkdlm/status.h>

/* Becomes the viewer, with these words behind its name (ends with NULL). Returns only on failure: UNSUPPORTED
 * when it is not installed, OUT_OF_HOST_MEMORY, IO. */
vkdlm_status viewer_start(const char *const *words, vkdlm_error *err);

#endif
