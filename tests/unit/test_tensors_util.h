/* A temporary directory and checks of error messages for the tests of files. */
#ifndef TEST_TENSORS_UTIL_H
#define TEST_TENSORS_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vkdlm/status.h>

#include "base/utf8.h"

/* cmocka setup and teardown: *state is the path of a fresh directory. */
static inline int temp_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);
    if (!path)
        return -1;
    snprintf(path, 4096, "%s/vkdlm-test-XXXXXX", base && *base ? base : "/tmp");
    *state = mkdtemp(path);
    return *state ? 0 : -1;
}

static inline int temp_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline int temp_teardown(void **state)
{
    int failed = nftw(*state, temp_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return failed;
}

/* dir/name, in one of a few static buffers. */
static inline const char *temp_path(const char *dir, const char *name)
{
    static char buffers[8][4096];
    static unsigned next;
    char *out = buffers[next++ % 8];
    snprintf(out, sizeof buffers[0], "%s/%s", dir, name);
    return out;
}

static inline void temp_write(const char *path, const void *data, size_t n_bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n_bytes, f), n_bytes);
    assert_int_equal(fclose(f), 0);
}

static inline void temp_write_text(const char *path, const char *text)
{
    temp_write(path, text, strlen(text));
}

/* Number of entries in a directory besides "." and "..". */
static inline int temp_count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = -2;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* A refusal: the status, and one sentence in one line of UTF-8 that contains `text`. */
static inline void assert_refused(vkdlm_status got, vkdlm_status expected, const vkdlm_error *err,
                                  const char *text)
{
    if (got != expected || err->status != expected || !strstr(err->message, text))
        fail_msg("expected status %d and a message with \"%s\", found status %d and \"%s\"", expected, text,
                 got, err->message);
    size_t n = strlen(err->message);
    assert_true(n > 0 && n < sizeof err->message);
    assert_null(strpbrk(err->message, "\r\n"));
    assert_true(utf8_valid((const unsigned char *)err->message, n));
}

#endif
