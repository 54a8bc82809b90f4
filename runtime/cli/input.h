/* Whole inputs: a file or, by the name "-", standard input. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stddef.h>

#include <vkdlm/status.h>

/* Reads everything: *size bytes and a NUL that size does not count; the caller frees *data. More than
 * max_bytes is refused. Errors: NOT_FOUND, IO, UNSUPPORTED (too large), OUT_OF_HOST_MEMORY, each naming the
 * path. */
vkdlm_status input_read(const char *path, size_t max_bytes, char **data, size_t *size, vkdlm_error *err);

/* How a message names the input. */
const char *input_name(const char *path);

#endif
