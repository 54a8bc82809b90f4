/* Files on the host: read-only mappings, bounded reads, paths, and outputs that appear whole or not at all.
 *
 * Every failure is one sentence that names the path. Nothing here keeps state between calls. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <vkdlm/status.h>

typedef enum file_kind {
    FILE_MISSING, /* nothing there, or not reachable */
    FILE_REGULAR,
    FILE_DIRECTORY,
    FILE_OTHER, /* device, pipe, socket */
} file_kind;

/* What is at `path`, symbolic links followed. */
file_kind file_probe(const char *path);

/* True when path ends in suffix (".json"). */
bool file_has_suffix(const char *path, const char *suffix);

/* dir/name, and the part before the last name ("." when there is none, "/" for the root). The caller
 * frees the result; NULL when out of memory. */
char *file_join(const char *dir, const char *name);
char *file_dirname(const char *path);

/* Makes every directory on the way to the file that is missing; failures show when the file is opened. */
void file_make_parents(const char *path);

/* A whole regular file, mapped read-only. data is NULL when size is 0. Another process that truncates
 * the file while it is mapped makes the lost pages unreadable (SIGBUS), as with every mapping. */
typedef struct file_map {
    const unsigned char *data;
    size_t size;
} file_map;

/* Errors: NOT_FOUND, IO (unreadable, a directory, not a regular file). *out is {NULL, 0} on failure. */
vkdlm_status file_map_open(const char *path, file_map *out, vkdlm_error *err);
/* Unmaps and clears; a zeroed map is allowed. */
void file_map_close(file_map *map);

/* Reads everything at `path`, which may also be a pipe or /dev/stdin, into *data: *size bytes and a
 * NUL that size does not count; the caller frees it. Content above max_bytes is refused without
 * reading it all. Errors: NOT_FOUND, IO, UNSUPPORTED (too large), OUT_OF_HOST_MEMORY. */
vkdlm_status file_read(const char *path, size_t max_bytes, char **data, size_t *size, vkdlm_error *err);

/* An output file under construction. It has no name until commit gives it the target's, or where the file
 * system knows no such files a temporary one in the target's directory, so that a reader never sees half of
 * it and a failure leaves the old file as it was.
 * Symbolic links are followed. A target that is no regular file (/dev/full, /dev/stdout, a FIFO) is
 * written directly; there, bytes can only be written in order. Used by one thread at a time. */
typedef struct file_output file_output;

/* Errors: NOT_FOUND (no such directory), IO, OUT_OF_HOST_MEMORY. *out is NULL on failure. */
vkdlm_status file_output_create(const char *path, file_output **out, vkdlm_error *err);

/* Appends behind the byte written last, or places bytes at an offset. Writes are buffered: an error
 * (disk full, closed pipe; no signal is raised) may be reported by a later call. After an error every
 * further write and commit fails. */
vkdlm_status file_output_write(file_output *output, const void *data, size_t n_bytes, vkdlm_error *err);
vkdlm_status file_output_write_at(file_output *output, uint64_t offset, const void *data, size_t n_bytes,
                                  vkdlm_error *err);
/* Hands everything buffered to the system. */
vkdlm_status file_output_flush(file_output *output, vkdlm_error *err);

/* Completes the file under its final name; destroys output whatever the outcome. sync waits until the
 * data is on the disk before the rename. On failure the temporary file is removed. */
vkdlm_status file_output_commit(file_output *output, bool sync, vkdlm_error *err);
/* Removes the temporary file and destroys output; NULL is allowed. */
void file_output_abort(file_output *output);

#endif
