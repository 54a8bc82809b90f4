/* The writer of safetensors files: round trips, order, and failures that leave nothing behind. */
#include "test_tensors_util.h"

#include <vkdlm/tensors.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const vkdlm_tensor_spec specs[] = {
    {.name = "flags", .dtype = VKDLM_DTYPE_BOOL, .n_dims = 1, .shape = {3}},
    {.name = "w", .dtype = VKDLM_DTYPE_BF16, .n_dims = 2, .shape = {2, 3}},
    {.name = "n\xC3\xA4me \"x\"\\", .dtype = VKDLM_DTYPE_F32, .n_dims = 0},
    {.name = "none", .dtype = VKDLM_DTYPE_F32, .n_dims = 2, .shape = {0, 5}},
    {.name = "ids", .dtype = VKDLM_DTYPE_I64, .n_dims = 1, .shape = {2}},
    {.name = "deep", .dtype = VKDLM_DTYPE_U8, .n_dims = 8, .shape = {1, 1, 2, 1, 1, 1, 2, 1}},
};
static const uint64_t sizes[] = {3, 12, 4, 0, 16, 4};
static const char *const metadata[][2] = {{"format", "pt"}, {"quote", "\"\n\xE2\x82\xAC"}, {"empty", ""}};

/* Byte k of tensor i. */
static unsigned char pattern(size_t i, uint64_t k)
{
    return (unsigned char)(37 * i + k + 1);
}

static vkdlm_tensors_writer *create(const char *path)
{
    vkdlm_tensors_writer *writer;
    vkdlm_error err = {0};
    if (vkdlm_tensors_writer_create(path, specs, COUNT(specs), metadata, COUNT(metadata), &writer, &err))
        fail_msg("%s", err.message);
    return writer;
}

/* Bytes [begin, end) of tensor i. */
static void write_piece(vkdlm_tensors_writer *writer, size_t i, uint64_t begin, uint64_t end)
{
    unsigned char bytes[64];
    for (uint64_t k = begin; k < end; k++)
        bytes[k - begin] = pattern(i, k);
    assert_int_equal(vkdlm_tensors_writer_write(writer, i, begin, bytes, (size_t)(end - begin), NULL),
                     VKDLM_OK);
}

static void check_file(const char *path)
{
    vkdlm_tensors *tensors;
    vkdlm_error err = {0};
    if (vkdlm_tensors_open(path, &tensors, &err))
        fail_msg("%s", err.message);
    assert_int_equal(vkdlm_tensors_count(tensors), COUNT(specs));
    for (size_t i = 0; i < COUNT(specs); i++) {
        const vkdlm_tensor *tensor = vkdlm_tensors_find(tensors, specs[i].name);
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, specs[i].dtype);
        assert_int_equal(tensor->n_dims, specs[i].n_dims);
        assert_memory_equal(tensor->shape, specs[i].shape, sizeof tensor->shape);
        assert_int_equal(tensor->n_bytes, sizes[i]);
        assert_int_equal((uintptr_t)tensor->data % vkdlm_dtype_size(tensor->dtype), 0);
        for (uint64_t k = 0; k < tensor->n_bytes; k++)
            assert_int_equal(((const unsigned char *)tensor->data)[k], pattern(i, k));
    }
    for (size_t i = 0; i < COUNT(metadata); i++)
        assert_string_equal(vkdlm_tensors_metadata(tensors, metadata[i][0]), metadata[i][1]);
    vkdlm_tensors_close(tensors);
}

static void whole_tensors_round_trip(void **state)
{
    const char *path = temp_path(*state, "x.safetensors");
    vkdlm_tensors_writer *writer = create(path);
    for (size_t i = 0; i < COUNT(specs); i++)
        write_piece(writer, i, 0, sizes[i]);
    assert_int_equal(vkdlm_tensors_writer_finish(writer, NULL), VKDLM_OK);
    check_file(path);
    assert_int_equal(temp_count_entries(*state), 1);
}

static void pieces_in_any_order_round_trip(void **state)
{
    const char *path = temp_path(*state, "x.safetensors");
    vkdlm_tensors_writer *writer = create(path);
    for (size_t i = COUNT(specs); i-- > 0;) {
        for (uint64_t k = sizes[i]; k-- > 0;)
            write_piece(writer, i, k, k + 1);
    }
    assert_int_equal(vkdlm_tensors_writer_finish(writer, NULL), VKDLM_OK);
    check_file(path);
}

static void no_tensors_round_trip(void **state)
{
    const char *path = temp_path(*state, "x.safetensors");
    vkdlm_tensors_writer *writer;
    assert_int_equal(vkdlm_tensors_writer_create(path, NULL, 0, NULL, 0, &writer, NULL), VKDLM_OK);
    assert_int_equal(vkdlm_tensors_writer_finish(writer, NULL), VKDLM_OK);
    vkdlm_tensors *tensors;
    assert_int_equal(vkdlm_tensors_open(path, &tensors, NULL), VKDLM_OK);
    assert_int_equal(vkdlm_tensors_count(tensors), 0);
    assert_null(vkdlm_tensors_at(tensors, 0));
    assert_null(vkdlm_tensors_find(tensors, "x"));
    vkdlm_tensors_close(tensors);
}

static void old_file_stays_until_finish(void **state)
{
    const char *path = temp_path(*state, "x.safetensors");
    vkdlm_tensors_writer *writer = create(path);
    for (size_t i = 0; i < COUNT(specs); i++)
        write_piece(writer, i, 0, sizes[i]);
    assert_int_equal(vkdlm_tensors_writer_finish(writer, NULL), VKDLM_OK);

    writer = create(path);
    write_piece(writer, 0, 0, 3);
    check_file(path);
    vkdlm_tensors_writer_abort(writer);
    vkdlm_tensors_writer_abort(NULL);
    check_file(path);
    assert_int_equal(temp_count_entries(*state), 1);
}

static void incomplete_tensors_are_refused(void **state)
{
    const char *path = temp_path(*state, "x.safetensors");
    vkdlm_error err = {0};
    vkdlm_tensors_writer *writer = create(path);
    for (size_t i = 0; i < COUNT(specs); i++)
        write_piece(writer, i, 0, sizes[i] - (i == 1));
    assert_refused(vkdlm_tensors_writer_finish(writer, &err), VKDLM_INVALID_ARGUMENT, &err,
                   "tensor 'w': expected 12 bytes written, found 11");
    assert_non_null(strstr(err.message, path));
    assert_int_equal(temp_count_entries(*state), 0);
}

static void writes_outside_a_tensor_are_refused(void **state)
{
    vkdlm_error err = {0};
    vkdlm_tensors_writer *writer = create(temp_path(*state, "x.safetensors"));
    static const struct {
        size_t index;
        uint64_t offset;
        size_t n_bytes;
    } rows[] = {{1, 0, 13}, {1, 12, 1}, {1, 13, 0}, {1, UINT64_MAX, 2}, {3, 0, 1}, {COUNT(specs), 0, 0}};
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(vkdlm_tensors_writer_write(writer, rows[i].index, rows[i].offset, "0123456789abcdef",
                                                  rows[i].n_bytes, &err),
                       VKDLM_INVALID_ARGUMENT, &err, "x.safetensors");
    vkdlm_tensors_writer_abort(writer);
    assert_int_equal(temp_count_entries(*state), 0);
}

static void bad_specs_are_refused(void **state)
{
    static const struct {
        vkdlm_tensor_spec spec;
        const char *message;
    } rows[] = {
        {{.name = "first"}, "twice"},
        {{.name = NULL}, "UTF-8"},
        {{.name = "\xFF"}, "UTF-8"},
        {{.name = ""}, "empty"},
        {{.name = "__metadata__"}, "reserved"},
        {{.name = "a", .dtype = (vkdlm_dtype)99}, "dtype"},
        {{.name = "a", .n_dims = 9}, "8 dimensions"},
        {{.name = "a", .n_dims = 2, .shape = {1ull << 32, 1ull << 32}}, "63 bits"},
        {{.name = "a", .n_dims = 2, .shape = {0, UINT64_MAX}}, "63 bits"},
        {{.name = "a", .n_dims = 1, .shape = {INT64_MAX / 4}}, "file size"},
    };
    const char *path = temp_path(*state, "x.safetensors");
    for (size_t i = 0; i < COUNT(rows); i++) {
        vkdlm_tensor_spec two[] = {{.name = "first"}, rows[i].spec};
        vkdlm_tensors_writer *writer;
        vkdlm_error err = {0};
        assert_refused(vkdlm_tensors_writer_create(path, two, 2, NULL, 0, &writer, &err),
                       VKDLM_INVALID_ARGUMENT, &err, rows[i].message);
        assert_non_null(strstr(err.message, path));
        assert_null(writer);
    }
    assert_int_equal(temp_count_entries(*state), 0);
}

static void bad_metadata_is_refused(void **state)
{
    static const char *const rows[][2][2] = {{{"a", "1"}, {"a", "2"}},
                                             {{"a", "1"}, {NULL, "2"}},
                                             {{"a", "1"}, {"b", NULL}},
                                             {{"a", "1"}, {"b", "\xC3"}}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        vkdlm_tensors_writer *writer;
        vkdlm_error err = {0};
        assert_refused(
            vkdlm_tensors_writer_create(temp_path(*state, "x"), NULL, 0, rows[i], 2, &writer, &err),
            VKDLM_INVALID_ARGUMENT, &err, "metadata pair 1");
    }
    assert_int_equal(temp_count_entries(*state), 0);
}

static void impossible_paths_are_refused(void **state)
{
    static const struct {
        const char *path;
        vkdlm_status status;
    } rows[] = {{"/dev/full", VKDLM_IO}, {"/none/x.safetensors", VKDLM_NOT_FOUND}, {"/dev", VKDLM_IO}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        vkdlm_tensors_writer *writer;
        vkdlm_error err = {0};
        assert_refused(vkdlm_tensors_writer_create(rows[i].path, specs, COUNT(specs), NULL, 0, &writer, &err),
                       rows[i].status, &err, rows[i].path);
        assert_null(writer);
    }
    /* The directory is gone when the file should get its name. */
    char dir[1024];
    snprintf(dir, sizeof dir, "%s/gone", (const char *)*state);
    assert_int_equal(mkdir(dir, 0700), 0);
    const char *path = temp_path(dir, "x.safetensors");
    vkdlm_tensors_writer *writer;
    vkdlm_error err = {0};
    assert_int_equal(vkdlm_tensors_writer_create(path, NULL, 0, NULL, 0, &writer, NULL), VKDLM_OK);
    char command[1100];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
    assert_refused(vkdlm_tensors_writer_finish(writer, &err), VKDLM_IO, &err, path);
}

#define WITH_TEMP(f) cmocka_unit_test_setup_teardown(f, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TEMP(whole_tensors_round_trip),       WITH_TEMP(pieces_in_any_order_round_trip),
        WITH_TEMP(no_tensors_round_trip),          WITH_TEMP(old_file_stays_until_finish),
        WITH_TEMP(incomplete_tensors_are_refused), WITH_TEMP(writes_outside_a_tensor_are_refused),
        WITH_TEMP(bad_specs_are_refused),          WITH_TEMP(bad_metadata_is_refused),
        WITH_TEMP(impossible_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
