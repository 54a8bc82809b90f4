/* The pipeline cache file: cold, warm, damaged, in the way of others. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu_test.h"

/* A fresh directory under the build tree for each test. */
typedef struct place {
    char dir[512];
} place;

static int place_setup(void **state)
{
    place *p = gpu_test_alloc(sizeof *p);
    snprintf(p->dir, sizeof p->dir, "%s/cache-XXXXXX", TESTS_BINARY_DIR);
    *state = p;
    return mkdtemp(p->dir) ? 0 : -1;
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char child[1024];
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        struct stat info;
        if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode))
            remove_tree(child);
        else
            unlink(child);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static int place_teardown(void **state)
{
    remove_tree(((place *)*state)->dir);
    free(*state);
    return 0;
}

/* Opens a device with this cache directory, makes two pipelines, closes; returns the bytes it accepted. */
static size_t use(const char *dir)
{
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.cache_dir = dir});
    size_t accepted = gpu_device_cache_bytes(t.device);
    const gpu_pipeline *pipeline;
    vkdlm_error err;
    gpu_test_ok(gpu_pipeline_get(t.device, GPU_KERNEL_EMBED_F32, NULL, &pipeline, &err), &err);
    gpu_test_ok(gpu_pipeline_get(t.device, GPU_KERNEL_EMBED_F16, NULL, &pipeline, &err), &err);
    assert_int_equal(gpu_test_close(&t), 0);
    return accepted;
}

/* Path of the only file of the directory. */
static void find_file(const char *dir, char *path, size_t size)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(path, size, "%s/%s", dir, e->d_name);
            n++;
        }
    closedir(d);
    assert_int_equal(n, 1);
}

static unsigned char *load(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    unsigned char *data = gpu_test_alloc(1 << 24);
    *n = fread(data, 1, 1 << 24, f);
    fclose(f);
    return data;
}

static void store(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_cold_and_warm(void **state)
{
    const char *dir = ((place *)*state)->dir;
    char path[1400];
    assert_int_equal(use(dir), 0);
    find_file(dir, path, sizeof path);
    struct stat first, second;
    assert_int_equal(stat(path, &first), 0);
    size_t accepted = use(dir);
    assert_true(accepted >= 32); /* at least the driver's own header */
    assert_int_equal(use(NULL), 0);
    find_file(dir, path, sizeof path);
    assert_int_equal(stat(path, &second), 0);
    assert_true((size_t)second.st_size > accepted);
}

static void test_damaged_files_are_replaced(void **state)
{
    const char *dir = ((place *)*state)->dir;
    char path[1400];
    use(dir);
    find_file(dir, path, sizeof path);
    size_t n;
    unsigned char *good = load(path, &n), *bad = gpu_test_alloc(n + 1);
    /* Each field of our header, the driver's header, the data, in turn. */
    for (size_t at = 0; at < n; at += at < 72 ? 5 : n / 6 + 1) {
        memcpy(bad, good, n);
        bad[at] ^= 0x41;
        store(path, bad, n);
        if (use(dir) != 0)
            fail_msg("a file with byte %zu of %zu changed was accepted", at, n);
        assert_true(use(dir) > 0);
    }
    const size_t cuts[] = {0, 1, 7, 39, 40, 71, n - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        store(path, good, cuts[i]);
        assert_int_equal(use(dir), 0);
        assert_true(use(dir) > 0);
    }
    memcpy(bad, good, n);
    bad[n] = 0;
    store(path, bad, n + 1);
    assert_int_equal(use(dir), 0);
    memset(bad, 0xA5, n);
    store(path, bad, n);
    assert_int_equal(use(dir), 0);
    assert_true(use(dir) > 0);
    free(good);
    free(bad);
}

/* A directory that cannot be made, and a directory where the file should be, are no errors. */
static void test_unusable_places(void **state)
{
    const char *dir = ((place *)*state)->dir;
    char path[1400], blocked[1100];
    snprintf(path, sizeof path, "%s/file", dir);
    store(path, "x", 1);
    snprintf(blocked, sizeof blocked, "%s/file/below", dir);
    assert_int_equal(use(blocked), 0);
    assert_int_equal(use("/proc/nothing/here"), 0);
    assert_int_equal(use(""), 0);
    unlink(path);

    use(dir);
    find_file(dir, path, sizeof path);
    unlink(path);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(use(dir), 0);
    find_file(dir, path, sizeof path); /* no temporary file stays */
}

static void test_nested_directory(void **state)
{
    char nested[1024], path[1400];
    snprintf(nested, sizeof nested, "%s/a/b/c", ((place *)*state)->dir);
    assert_int_equal(use(nested), 0);
    find_file(nested, path, sizeof path);
    assert_true(use(nested) > 0);
}

/* Processes that start and close at the same time leave one sound file. */
static void test_concurrent_processes(void **state)
{
    const char *dir = ((place *)*state)->dir;
    pid_t children[6];
    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            gpu_device *device = NULL;
            bool good = true;
            for (int k = 0; k < 3 && good; k++) {
                const gpu_pipeline *pipeline;
                gpu_options options = {.cache_dir = dir};
                good = !gpu_device_open(&options, &device, NULL) &&
                       !gpu_pipeline_get(device, (enum gpu_kernel)(GPU_KERNEL_EMBED_F32 + i % 3), NULL,
                                         &pipeline, NULL);
                gpu_device_close(device);
            }
            _exit(good ? 0 : 1);
        }
    }
    for (int i = 0; i < 6; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    char path[1400];
    find_file(dir, path, sizeof path);
    assert_true(use(dir) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_concurrent_processes, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_cold_and_warm, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_files_are_replaced, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_unusable_places, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_nested_directory, place_setup, place_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
