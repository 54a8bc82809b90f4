#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"

static vkdlm_status io_error(const char *path, vkdlm_error *err)
{
    return message_set(err, VKDLM_IO, "cannot write '%.400s': %s", path, strerror(errno));
}

vkdlm_status output_file_begin(output_file *f, const char *path, vkdlm_error *err)
{
    struct stat found;
    if (!stat(path, &found) && !S_ISREG(found.st_mode)) {
        *f = (output_file){.path = path, .stream = fopen(path, "wb")};
        return f->stream ? VKDLM_OK : io_error(path, err);
    }
    size_t size = strlen(path) + 32;
    *f = (output_file){.path = path, .temporary = malloc(size)};
    if (!f->temporary)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a path");
    snprintf(f->temporary, size, "%s.%ld.tmp", path, (long)getpid());
    int fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    f->stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (f->stream)
        return VKDLM_OK;
    vkdlm_status status = io_error(path, err);
    if (fd >= 0) {
        close(fd);
        unlink(f->temporary);
    }
    free(f->temporary);
    f->temporary = NULL;
    return status;
}

vkdlm_status output_file_end(output_file *f, vkdlm_status status, vkdlm_error *err)
{
    if (fclose(f->stream) && !status)
        status = io_error(f->path, err);
    if (f->temporary && !status && rename(f->temporary, f->path))
        status = io_error(f->path, err);
    if (f->temporary && status)
        unlink(f->temporary);
    free(f->temporary);
    *f = (output_file){0};
    return status;
}
