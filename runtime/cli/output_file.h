/* A file that a command writes: it appears under its name when it is whole, and not at all otherwise. */
#ifndef CLI_OUTPUT_FILE_H
#define CLI_OUTPUT_FILE_H

#include <stdio.h>

#include <vkdlm/status.h>

typedef struct output_file {
    FILE *stream; /* to write to */
    const char *path;
    char *temporary; /* NULL: written in place */
} output_file;

/* Opens a new file beside path, which must outlive *f; what is no regular file (a pipe, a device) is opened
 * itself. Errors: IO, OUT_OF_HOST_MEMORY; then there is nothing
 * to end. */
vkdlm_status output_file_begin(output_file *f, const char *path, vkdlm_error *err);
/* With status OK gives the file its name, replacing an old one; otherwise, or when that fails, removes it.
 * Returns status, or the error (IO), and frees what *f holds. */
vkdlm_status output_file_end(output_file *f, vkdlm_status status, vkdlm_error *err);

#endif
