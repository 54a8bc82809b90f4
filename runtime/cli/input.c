#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

enum { FIRST_BYTES = 65536 };

const char *input_name(const char *path)
{
    return strcmp(path, "-") ? path : "standard input";
}

vkdlm_status input_read(const char *path, size_t max_bytes, char **data, size_t *size, vkdlm_error *err)
{
    bool standard = !strcmp(path, "-");
    const char *name = input_name(path);
    size_t used = 0, capacity = FIRST_BYTES;
    vkdlm_status status = VKDLM_OK;
    char *bytes = NULL;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    *data = NULL;
    *size = 0;
    if (fd < 0) {
        status = message_set(err, errno == ENOENT ? VKDLM_NOT_FOUND : VKDLM_IO, "cannot open '%.400s': %s",
                             path, strerror(errno));
        goto fail;
    }
    bytes = malloc(capacity + 1);
    if (!bytes)
        goto no_memory;
    for (;;) {
        ssize_t n = read(fd, bytes + used, capacity - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            status = message_set(err, VKDLM_IO, "cannot read '%.400s': %s", name, strerror(errno));
            goto fail;
        }
        if (!n)
            break;
        used += (size_t)n;
        if (used > max_bytes) {
            status =
                message_set(err, VKDLM_UNSUPPORTED,
                            "'%.400s' is larger than the %zu bytes that are read at most", name, max_bytes);
            goto fail;
        }
        if (used == capacity) {
            char *larger = realloc(bytes, 2 * capacity + 1);
            if (!larger)
                goto no_memory;
            bytes = larger;
            capacity *= 2;
        }
    }
    if (!standard)
        close(fd);
    bytes[used] = 0;
    *data = bytes;
    *size = used;
    return VKDLM_OK;
no_memory:
    status = message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory to read '%.400s'", name);
fail:
    if (fd >= 0 && !standard)
        close(fd);
    free(bytes);
    return status;
}
