/* base/file: mappings, bounded reads, paths, outputs that appear whole or not at all. */
#include "test_tensors_util.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/file.h"

static void paths_are_joined_and_split(void **state)
{
    (void)state;
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}, {".", "b", "./b"}};
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *path = file_join(joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        free(path);
    }
    static const char *const dirs[][2] = {{"a/b", "a"}, {"a", "."},    {"", "."},     {"/", "/"},
                                          {"/a", "/"},  {"a/", "."},   {"a/b/", "a"}, {"a//b", "a"},
                                          {"//", "/"},  {"../x", ".."}};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        char *path = file_dirname(dirs[i][0]);
        assert_string_equal(path, dirs[i][1]);
        free(path);
    }
    assert_true(file_has_suffix("x.json", ".json"));
    assert_false(file_has_suffix("json", ".json"));
    assert_false(file_has_suffix("x.jsonl", ".json"));
}

static void map_shows_the_file(void **state)
{
    const char *path = temp_path(*state, "f");
    temp_write_text(path, "hello");
    file_map map;
    assert_int_equal(file_map_open(path, &map, NULL), VKDLM_OK);
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "hello", 5);
    file_map_close(&map);
    assert_null(map.data);
    file_map_close(&map);

    temp_write_text(path, "");
    assert_int_equal(file_map_open(path, &map, NULL), VKDLM_OK);
    assert_int_equal(map.size, 0);
    assert_null(map.data);
}

static void map_refuses_what_is_no_file(void **state)
{
    file_map map;
    vkdlm_error err;
    const char *dir = *state, *missing = temp_path(dir, "missing"), *fifo = temp_path(dir, "fifo");
    assert_refused(file_map_open(missing, &map, &err), VKDLM_NOT_FOUND, &err, missing);
    assert_refused(file_map_open(temp_path(dir, "missing/x"), &map, &err), VKDLM_NOT_FOUND, &err, missing);
    assert_refused(file_map_open(dir, &map, &err), VKDLM_IO, &err, "is a directory");
    assert_refused(file_map_open("/dev/zero", &map, &err), VKDLM_IO, &err, "/dev/zero");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused(file_map_open(fifo, &map, &err), VKDLM_IO, &err, fifo); /* and does not wait */
    assert_int_equal(map.size, 0);

    assert_int_equal(file_probe(missing), FILE_MISSING);
    assert_int_equal(file_probe(dir), FILE_DIRECTORY);
    assert_int_equal(file_probe(fifo), FILE_OTHER);
}

static void unreadable_files_are_refused(void **state)
{
    if (geteuid() == 0)
        skip(); /* the superuser may read everything */
    const char *path = temp_path(*state, "secret");
    temp_write_text(path, "x");
    assert_int_equal(chmod(path, 0), 0);
    file_map map;
    vkdlm_error err;
    assert_refused(file_map_open(path, &map, &err), VKDLM_IO, &err, path);
}

static void read_is_bounded(void **state)
{
    const char *path = temp_path(*state, "f");
    char *data;
    size_t size;
    vkdlm_error err;
    char content[10000];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)(i % 251);
    temp_write(path, content, sizeof content);
    assert_int_equal(file_read(path, sizeof content, &data, &size, NULL), VKDLM_OK);
    assert_int_equal(size, sizeof content);
    assert_memory_equal(data, content, size);
    assert_int_equal(data[size], 0);
    free(data);

    assert_refused(file_read(path, sizeof content - 1, &data, &size, &err), VKDLM_UNSUPPORTED, &err, path);
    assert_null(data);
    assert_refused(file_read("/dev/zero", 1 << 20, &data, &size, &err), VKDLM_UNSUPPORTED, &err, "/dev/zero");
    assert_refused(file_read(*state, 10, &data, &size, &err), VKDLM_IO, &err, *state);
    assert_refused(file_read(temp_path(*state, "none"), 10, &data, &size, &err), VKDLM_NOT_FOUND, &err,
                   "none");

    assert_int_equal(file_read("/dev/null", 0, &data, &size, NULL), VKDLM_OK);
    assert_int_equal(size, 0);
    assert_string_equal(data, "");
    free(data);
}

static void assert_content(const char *path, const char *text)
{
    char *data;
    size_t size;
    assert_int_equal(file_read(path, 1 << 24, &data, &size, NULL), VKDLM_OK);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(data, text, size);
    free(data);
}

static void output_appears_at_commit(void **state)
{
    const char *path = temp_path(*state, "out");
    temp_write_text(path, "old");
    assert_int_equal(chmod(path, 0640), 0);
    file_output *output;
    assert_int_equal(file_output_create(path, &output, NULL), VKDLM_OK);
    assert_int_equal(file_output_write(output, "abc", 3, NULL), VKDLM_OK);
    assert_int_equal(file_output_write_at(output, 5, "f", 1, NULL), VKDLM_OK);
    assert_int_equal(file_output_write_at(output, 3, "de", 2, NULL), VKDLM_OK);
    assert_int_equal(file_output_flush(output, NULL), VKDLM_OK);
    assert_content(path, "old");
    assert_int_equal(file_output_commit(output, true, NULL), VKDLM_OK);
    assert_content(path, "abcdef");
    assert_int_equal(temp_count_entries(*state), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void new_outputs_obey_the_umask(void **state)
{
    const char *path = temp_path(*state, "out");
    mode_t old = umask(027);
    file_output *output;
    assert_int_equal(file_output_create(path, &output, NULL), VKDLM_OK);
    assert_int_equal(file_output_commit(output, false, NULL), VKDLM_OK);
    umask(old);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_size, 0);
}

static void aborted_outputs_leave_nothing(void **state)
{
    const char *path = temp_path(*state, "out");
    file_output *output;
    assert_int_equal(file_output_create(path, &output, NULL), VKDLM_OK);
    assert_true(temp_count_entries(*state) <= 1); /* none where files without a name are known */
    assert_int_equal(file_output_write(output, "abc", 3, NULL), VKDLM_OK);
    file_output_abort(output);
    file_output_abort(NULL);
    assert_int_equal(temp_count_entries(*state), 0);
}

/* Pieces around the size of the buffer, in order, must come out as one stream. */
static void large_writes_keep_their_order(void **state)
{
    static const size_t sizes[] = {1, 65535, 65536, 65537, 3, 200000, 0, 65533, 7};
    const char *path = temp_path(*state, "out");
    unsigned char *content = malloc(1 << 20);
    assert_non_null(content);
    for (size_t i = 0; i < 1 << 20; i++)
        content[i] = (unsigned char)(i * 2654435761u >> 24);
    file_output *output;
    assert_int_equal(file_output_create(path, &output, NULL), VKDLM_OK);
    size_t total = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(file_output_write(output, content + total, sizes[i], NULL), VKDLM_OK);
        total += sizes[i];
    }
    assert_int_equal(file_output_commit(output, false, NULL), VKDLM_OK);
    file_map map;
    assert_int_equal(file_map_open(path, &map, NULL), VKDLM_OK);
    assert_int_equal(map.size, total);
    assert_memory_equal(map.data, content, total);
    file_map_close(&map);
    free(content);
}

static void links_are_followed(void **state)
{
    const char *target = temp_path(*state, "target"), *link = temp_path(*state, "link");
    temp_write_text(target, "old");
    assert_int_equal(symlink("target", link), 0);
    file_output *output;
    assert_int_equal(file_output_create(link, &output, NULL), VKDLM_OK);
    assert_int_equal(file_output_write(output, "new", 3, NULL), VKDLM_OK);
    assert_int_equal(file_output_commit(output, false, NULL), VKDLM_OK);
    assert_content(target, "new");
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));

    const char *loop = temp_path(*state, "loop");
    vkdlm_error err;
    assert_int_equal(symlink("loop", loop), 0);
    assert_refused(file_output_create(loop, &output, &err), VKDLM_IO, &err, loop);
}

static void impossible_targets_are_refused(void **state)
{
    file_output *output;
    vkdlm_error err;
    const char *dir = *state;
    assert_refused(file_output_create(temp_path(dir, "none/out"), &output, &err), VKDLM_NOT_FOUND, &err,
                   "none/out");
    assert_null(output);
    assert_refused(file_output_create(dir, &output, &err), VKDLM_IO, &err, dir);
    assert_refused(file_output_create("", &output, &err), VKDLM_NOT_FOUND, &err, "''");
    assert_refused(file_output_create("/proc/none", &output, &err), VKDLM_NOT_FOUND, &err, "/proc/none");
    assert_int_equal(temp_count_entries(dir), 0);
}

static void full_disk_is_reported(void **state)
{
    (void)state;
    file_output *output;
    vkdlm_error err;
    assert_int_equal(file_output_create("/dev/full", &output, NULL), VKDLM_OK);
    assert_int_equal(file_output_write(output, "abc", 3, NULL), VKDLM_OK);
    assert_refused(file_output_flush(output, &err), VKDLM_IO, &err, "/dev/full");
    assert_refused(file_output_write(output, "abc", 3, &err), VKDLM_IO, &err, "/dev/full");
    assert_refused(file_output_commit(output, true, &err), VKDLM_IO, &err, "/dev/full");

    assert_int_equal(file_output_create("/dev/full", &output, NULL), VKDLM_OK);
    assert_int_equal(file_output_write(output, "abc", 3, NULL), VKDLM_OK);
    assert_refused(file_output_commit(output, false, &err), VKDLM_IO, &err, "/dev/full");
}

/* A write beyond the process's file size limit fails like one on a full disk; nothing is left. */
static void failed_writes_remove_the_file(void **state)
{
    const char *path = temp_path(*state, "out");
    temp_write_text(path, "old");
    file_output *output;
    vkdlm_error err;
    assert_int_equal(file_output_create(path, &output, NULL), VKDLM_OK);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 1000, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    vkdlm_status write = file_output_write_at(output, 999, "xy", 2, NULL);
    vkdlm_status commit = file_output_commit(output, false, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(write, VKDLM_OK); /* buffered */
    assert_refused(commit, VKDLM_IO, &err, path);
    assert_content(path, "old");
    assert_int_equal(temp_count_entries(*state), 1);
}

static void closed_pipe_is_reported_without_a_signal(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    char path[64];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    file_output *output;
    vkdlm_error err;
    assert_int_equal(file_output_create(path, &output, NULL), VKDLM_OK);
    assert_int_equal(file_output_write(output, "abc", 3, NULL), VKDLM_OK);
    assert_int_equal(file_output_flush(output, NULL), VKDLM_OK);
    char got[4] = "";
    assert_int_equal(read(ends[0], got, 3), 3);
    assert_string_equal(got, "abc");

    assert_refused(file_output_write_at(output, 100, "x", 1, &err), VKDLM_IO, &err, "out of order");
    file_output_abort(output);

    assert_int_equal(file_output_create(path, &output, NULL), VKDLM_OK);
    close(ends[0]);
    assert_int_equal(file_output_write(output, "abc", 3, NULL), VKDLM_OK);
    assert_refused(file_output_commit(output, false, &err), VKDLM_IO, &err, path);
    sigset_t pending;
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    close(ends[1]);
}

/* What a shell's >> needs: the offset and the append mode of the open descriptor are kept. */
static void descriptors_are_appended_to(void **state)
{
    const char *path = temp_path(*state, "log");
    temp_write_text(path, "one ");
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    const char *link = temp_path(*state, "link");
    assert_int_equal(symlink(name, link), 0);
    file_output *output;
    assert_int_equal(file_output_create(link, &output, NULL), VKDLM_OK);
    assert_int_equal(file_output_write(output, "two", 3, NULL), VKDLM_OK);
    assert_int_equal(file_output_commit(output, true, NULL), VKDLM_OK);
    close(fd);
    assert_content(path, "one two");
    assert_int_equal(temp_count_entries(*state), 2);
}

#define WITH_TEMP(f) cmocka_unit_test_setup_teardown(f, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_joined_and_split),
        WITH_TEMP(map_shows_the_file),
        WITH_TEMP(map_refuses_what_is_no_file),
        WITH_TEMP(unreadable_files_are_refused),
        WITH_TEMP(read_is_bounded),
        WITH_TEMP(output_appears_at_commit),
        WITH_TEMP(new_outputs_obey_the_umask),
        WITH_TEMP(aborted_outputs_leave_nothing),
        WITH_TEMP(large_writes_keep_their_order),
        WITH_TEMP(links_are_followed),
        WITH_TEMP(impossible_targets_are_refused),
        cmocka_unit_test(full_disk_is_reported),
        WITH_TEMP(failed_writes_remove_the_file),
        cmocka_unit_test(closed_pipe_is_reported_without_a_signal),
        WITH_TEMP(descriptors_are_appended_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
