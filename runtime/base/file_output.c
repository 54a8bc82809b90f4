#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

enum { BUFFER_BYTES = 1 << 16, MAX_LINKS = 40, MAX_TEMPORARIES = 10000 };

struct file_output {
    int fd;
    char *path;      /* as the caller wrote it, for messages */
    char *target;    /* with links resolved; NULL when written directly */
    char *temporary; /* name until commit; NULL when written directly, and while the file has no name */
    bool nameless;
    bool failed;
    uint64_t position; /* of the buffer's first byte */
    size_t n_buffered;
    unsigned char buffer[BUFFER_BYTES];
};

/* The descriptor that a path such as /dev/stdout names, -1 for any other path. Reopening such a path
 * would lose the offset and the append mode of a redirection, so it is duplicated instead. */
static int descriptor_of(const char *path)
{
    static const char *const prefixes[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i]);
        if (strncmp(path, prefixes[i], n) == 0 && path[n] >= '0' && path[n] <= '9') {
            char *end;
            long fd = strtol(path + n, &end, 10);
            return *end == 0 && fd <= 1 << 20 ? (int)fd : -1;
        }
    }
    return -1;
}

/* Follows the symbolic links at `path` and stops early at a name of an open descriptor. Returns the
 * last path (to be freed), or NULL with errno set. */
static char *resolve(const char *path)
{
    char *current = strdup(path);
    for (int i = 0; current && i < MAX_LINKS; i++) {
        char link[4096];
        ssize_t n = descriptor_of(current) >= 0 ? -1 : readlink(current, link, sizeof link - 1);
        if (n < 0)
            return current;
        link[n] = 0;
        char *next;
        if (link[0] == '/') {
            next = strdup(link);
        } else {
            char *dir = file_dirname(current);
            next = dir ? file_join(dir, link) : NULL;
            free(dir);
        }
        free(current);
        current = next;
    }
    if (current)
        errno = ELOOP;
    free(current);
    return NULL;
}

/* Opens a file without a name in this directory, which no death of the process can leave behind; -1 where the
 * system has none, or no way to name it later. */
static int open_nameless(const char *dir)
{
#ifdef O_TMPFILE
    if (access("/proc/self/fd", X_OK) == 0)
        return open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
#endif
    (void)dir;
    return -1;
}

static int give_name(int fd, const char *name)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, link, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

/* Creates a file beside output->target, or gives that without a name one. Not mkstemp, whose mode ignores the
 * umask. Returns -1 with errno set on failure. */
static int open_temporary(file_output *output)
{
    char *dir = file_dirname(output->target);
    int fd = -1;
    for (int i = 0; dir && fd < 0 && i < MAX_TEMPORARIES; i++) {
        char name[64];
        snprintf(name, sizeof name, ".vkdlm-%ld-%d.tmp", (long)getpid(), i);
        output->temporary = file_join(dir, name);
        if (!output->temporary)
            break;
        if (output->nameless)
            fd = give_name(output->fd, output->temporary) ? -1 : output->fd;
        else
            fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0) {
            int code = errno;
            free(output->temporary);
            output->temporary = NULL;
            errno = code;
            if (code != EEXIST)
                break;
        }
    }
    int code = errno;
    free(dir);
    errno = code;
    return fd;
}

static void destroy(file_output *output)
{
    if (output->fd >= 0)
        close(output->fd);
    if (output->temporary)
        unlink(output->temporary);
    free(output->temporary);
    free(output->target);
    free(output->path);
    free(output);
}

/* Not written directly. */
static bool is_regular(const file_output *output)
{
    return output->temporary || output->nameless;
}

/* Opens output->fd for the resolved path; false with errno set. */
static bool open_target(file_output *output)
{
    struct stat st;
    int descriptor = descriptor_of(output->target);
    bool exists = descriptor < 0 && stat(output->target, &st) == 0;
    if (descriptor >= 0) {
        output->fd = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    } else if (exists && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
    } else if (exists && !S_ISREG(st.st_mode)) {
        output->fd = open(output->target, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else if (!exists || access(output->target, W_OK) == 0) {
        char *dir = file_dirname(output->target);
        output->fd = dir ? open_nameless(dir) : -1;
        output->nameless = output->fd >= 0;
        free(dir);
        if (!output->nameless)
            output->fd = open_temporary(output);
        /* The replacement keeps the permissions; a file system that cannot store them is no error. */
        if (output->fd >= 0 && exists && fchmod(output->fd, st.st_mode & 07777) != 0)
            errno = 0;
    }
    if (output->fd >= 0 && !is_regular(output)) {
        free(output->target);
        output->target = NULL;
    }
    return output->fd >= 0;
}

vkdlm_status file_output_create(const char *path, file_output **out, vkdlm_error *err)
{
    *out = NULL;
    file_output *output = malloc(sizeof *output);
    if (!output)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory while creating '%s'", path);
    memset(output, 0, offsetof(file_output, buffer));
    output->fd = -1;
    errno = ENOMEM;
    output->path = strdup(path);
    output->target = output->path ? resolve(path) : NULL;
    if (output->target && *path == 0)
        errno = ENOENT;
    else if (output->target && open_target(output)) {
        *out = output;
        return VKDLM_OK;
    }
    int code = errno;
    vkdlm_status status = code == ENOENT || code == ENOTDIR ? VKDLM_NOT_FOUND
                          : code == ENOMEM                  ? VKDLM_OUT_OF_HOST_MEMORY
                                                            : VKDLM_IO;
    destroy(output);
    return error_set(err, status, "cannot create '%s': %s", path, strerror(code));
}

static vkdlm_status write_failed(file_output *output, int code, vkdlm_error *err)
{
    output->failed = true;
    return error_set(err, VKDLM_IO, "cannot write '%s': %s", output->path, strerror(code));
}

/* write() that reports a closed pipe as EPIPE without letting SIGPIPE reach the process: the signal
 * is blocked in this thread and, when this write raised it, taken away before it is unblocked. */
static ssize_t write_quietly(int fd, const void *data, size_t n_bytes)
{
    sigset_t pipe_set, old, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    ssize_t n = write(fd, data, n_bytes);
    int code = errno;
    sigpending(&pending);
    int taken;
    if (n < 0 && code == EPIPE && !was_pending && sigismember(&pending, SIGPIPE) == 1)
        sigwait(&pipe_set, &taken);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = code;
    return n;
}

/* Writes at output->position and advances it. */
static vkdlm_status write_through(file_output *output, const unsigned char *data, size_t n_bytes,
                                  vkdlm_error *err)
{
    while (n_bytes > 0) {
        ssize_t n = is_regular(output) ? pwrite(output->fd, data, n_bytes, (off_t)output->position)
                                       : write_quietly(output->fd, data, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return write_failed(output, n < 0 ? errno : EIO, err);
        data += n;
        n_bytes -= (size_t)n;
        output->position += (uint64_t)n;
    }
    return VKDLM_OK;
}

vkdlm_status file_output_flush(file_output *output, vkdlm_error *err)
{
    if (output->failed)
        return error_set(err, VKDLM_IO, "cannot complete '%s': an earlier write failed", output->path);
    size_t n = output->n_buffered;
    output->n_buffered = 0;
    return write_through(output, output->buffer, n, err);
}

vkdlm_status file_output_write(file_output *output, const void *data, size_t n_bytes, vkdlm_error *err)
{
    return file_output_write_at(output, output->position + output->n_buffered, data, n_bytes, err);
}

vkdlm_status file_output_write_at(file_output *output, uint64_t offset, const void *data, size_t n_bytes,
                                  vkdlm_error *err)
{
    bool contiguous = offset == output->position + output->n_buffered;
    if (!contiguous || output->failed || n_bytes > BUFFER_BYTES - output->n_buffered) {
        vkdlm_status status = file_output_flush(output, err);
        if (status)
            return status;
    }
    if (!contiguous) {
        if (!is_regular(output)) {
            output->failed = true;
            return error_set(
                err, VKDLM_IO,
                "cannot write '%s' out of order, as it is not a regular file: expected byte %llu,"
                " found byte %llu",
                output->path, (unsigned long long)output->position, (unsigned long long)offset);
        }
        if (offset > INT64_MAX - (uint64_t)n_bytes)
            return write_failed(output, EFBIG, err);
        output->position = offset;
    }
    if (n_bytes > BUFFER_BYTES)
        return write_through(output, data, n_bytes, err);
    if (n_bytes > 0)
        memcpy(output->buffer + output->n_buffered, data, n_bytes);
    output->n_buffered += n_bytes;
    return VKDLM_OK;
}

vkdlm_status file_output_commit(file_output *output, bool sync, vkdlm_error *err)
{
    vkdlm_status status = file_output_flush(output, err);
    if (!status && sync && is_regular(output) && fsync(output->fd) != 0)
        status = write_failed(output, errno, err);
    /* Whole, it may have a name: at once its own, which must not be taken, or one to be moved from. */
    if (!status && output->nameless && give_name(output->fd, output->target) != 0 &&
        open_temporary(output) < 0)
        status = write_failed(output, errno, err);
    if (!status) {
        /* Network file systems report a full disk here. */
        int failed = close(output->fd);
        output->fd = -1;
        if (failed && errno != EINTR)
            status = write_failed(output, errno, err);
    }
    if (!status && output->temporary) {
        if (rename(output->temporary, output->target) != 0) {
            status = write_failed(output, errno, err);
        } else {
            free(output->temporary);
            output->temporary = NULL;
        }
    }
    destroy(output);
    return status;
}

void file_output_abort(file_output *output)
{
    if (output)
        destroy(output);
}
