/* Finding models by name. */
#ifndef CLI_LOCATE_H
#define CLI_LOCATE_H

#include <vkdlm/status.h>

/* Where a model or a diffusion path is: `given` if it exists; if it is a name without a slash, the bundled
 * one of that name; NULL is the bundled default. A name that is nowhere is returned as it is. Errors:
 * NOT_FOUND (no bundled default: names the places searched), OUT_OF_HOST_MEMORY. The caller frees *path. */
vkdlm_status locate_model(const char *given, char **path, vkdlm_error *err);

#endif
