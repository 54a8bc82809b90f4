#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

int spool_open(const char *path)
{
    char *dir = file_dirname(path);
    if (!dir)
        return -1;
    int fd = -1;
#ifdef O_TMPFILE
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#endif
    char *name = fd < 0 ? file_join(dir, ".vkdlm-spool-XXXXXX") : NULL;
    if (name) {
        fd = mkstemp(name);
        if (fd >= 0)
            unlink(name);
    }
    free(name);
    free(dir);
    if (fd >= 0)
        return fd;
    FILE *file = tmpfile();
    if (!file)
        return -1;
    fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
    fclose(file);
    return fd;
}

vkdlm_status spool_failed(const char *path, int code, vkdlm_error *err)
{
    return error_set(err, VKDLM_IO, "cannot keep the steps of '%s' on the disk: %s", path, strerror(code));
}

vkdlm_status spool_write(int fd, const char *path, const unsigned char *data, uint64_t bytes, uint64_t offset,
                         vkdlm_error *err)
{
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = pwrite(fd, data + done, (size_t)(bytes - done), (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return spool_failed(path, n < 0 ? errno : EIO, err);
        done += (uint64_t)n;
    }
    return VKDLM_OK;
}

vkdlm_status spool_read(int fd, const char *path, unsigned char *out, uint64_t bytes, uint64_t offset,
                        vkdlm_error *err)
{
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, out + done, (size_t)(bytes - done), (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return spool_failed(path, n < 0 ? errno : EIO, err);
        done += (uint64_t)n;
    }
    return VKDLM_OK;
}
