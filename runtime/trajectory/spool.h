/* Where the steps of a recording wait: a file without a name, which no death of the process can leave behind.
 */
#ifndef RUNTIME_TRAJECTORY_SPOOL_H
#define RUNTIME_TRAJECTORY_SPOOL_H

#include <vkdlm/status.h>

/* A descriptor in the directory of `path`, the recording's target, or where the system keeps such files;
 * close() ends it. -1 and errno on failure. */
int spool_open(const char *path);

/* IO, in the words of every failure here; code: of errno. */
vkdlm_status spool_failed(const char *path, int code, vkdlm_error *err);

vkdlm_status spool_write(int fd, const char *path, const unsigned char *data, uint64_t bytes, uint64_t offset,
                         vkdlm_error *err);
/* What was never written is an error. */
vkdlm_status spool_read(int fd, const char *path, unsigned char *out, uint64_t bytes, uint64_t offset,
                        vkdlm_error *err);

#endif
