#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

file_kind file_probe(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return FILE_MISSING;
    return S_ISREG(st.st_mode) ? FILE_REGULAR : S_ISDIR(st.st_mode) ? FILE_DIRECTORY : FILE_OTHER;
}

bool file_has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

char *file_join(const char *dir, const char *name)
{
    size_t n = strlen(dir), m = strlen(name);
    bool slash = n > 0 && dir[n - 1] != '/';
    char *path = malloc(n + m + 2);
    if (path)
        snprintf(path, n + m + 2, "%s%s%s", dir, slash ? "/" : "", name);
    return path;
}

char *file_dirname(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n ? strndup(path, n) : strdup(".");
}

void file_make_parents(const char *path)
{
    char *part = strdup(path);
    for (char *slash = part ? strchr(part + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(part, 0755);
        *slash = '/';
    }
    free(part);
}

static vkdlm_status open_failed(const char *path, int code, vkdlm_error *err)
{
    bool missing = code == ENOENT || code == ENOTDIR;
    return error_set(err, missing ? VKDLM_NOT_FOUND : VKDLM_IO, "cannot open '%s': %s", path, strerror(code));
}

vkdlm_status file_map_open(const char *path, file_map *out, vkdlm_error *err)
{
    *out = (file_map){0};
    /* Without O_NONBLOCK, opening a FIFO would wait for a writer before fstat can refuse it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return open_failed(path, errno, err);

    vkdlm_status status = VKDLM_OK;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        status = error_set(err, VKDLM_IO, "cannot inspect '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        status = error_set(err, VKDLM_IO, "'%s' is %s, expected a regular file", path,
                           S_ISDIR(st.st_mode) ? "a directory" : "a device or a pipe");
    } else if ((uint64_t)st.st_size > SIZE_MAX) {
        status = error_set(err, VKDLM_IO, "'%s' is too large to be mapped: %lld bytes", path,
                           (long long)st.st_size);
    } else if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = error_set(err, VKDLM_IO, "cannot map '%s': %s", path, strerror(errno));
        else
            *out = (file_map){.data = data, .size = (size_t)st.st_size};
    }
    close(fd);
    return status;
}

void file_map_close(file_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (file_map){0};
}

/* Reads fd to its end into a growing buffer with room for a NUL. */
static vkdlm_status read_all(int fd, const char *path, size_t max_bytes, char **data, size_t *size,
                             vkdlm_error *err)
{
    size_t capacity = 1 << 12, used = 0;
    char *buffer = malloc(capacity);
    if (!buffer)
        goto memory;
    for (;;) {
        ssize_t got = read(fd, buffer + used, capacity - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(buffer);
            return error_set(err, VKDLM_IO, "cannot read '%s': %s", path, strerror(errno));
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used > max_bytes) {
            free(buffer);
            return error_set(err, VKDLM_UNSUPPORTED, "'%s' is too large: expected at most %zu bytes", path,
                             max_bytes);
        }
        if (used + 1 < capacity)
            continue;
        char *larger = capacity <= SIZE_MAX / 2 ? realloc(buffer, capacity * 2) : NULL;
        if (!larger)
            goto memory;
        buffer = larger;
        capacity *= 2;
    }
    buffer[used] = 0;
    *data = buffer;
    *size = used;
    return VKDLM_OK;
memory:
    free(buffer);
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory while reading '%s'", path);
}

vkdlm_status file_read(const char *path, size_t max_bytes, char **data, size_t *size, vkdlm_error *err)
{
    *data = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return open_failed(path, errno, err);
    vkdlm_status status = read_all(fd, path, max_bytes, data, size, err);
    close(fd);
    return status;
}
