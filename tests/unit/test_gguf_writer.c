/* GGUF files that the writer makes, read back by the reader. */
#include "test_tensors_util.h"

#include <vkdlm/tensors.h>

#include "base/file.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"

static vkdlm_error err;

static gguf_writer *create(const char *path)
{
    gguf_writer *w;
    assert_int_equal(gguf_writer_create(path, &w, &err), VKDLM_OK);
    return w;
}

static void put_metadata(gguf_writer *w)
{
    const int32_t numbers[] = {1, -2, 3};
    const gguf_string strings[] = {{"a", 1}, {"", 0}, {"\xC4\xA0the", 5}};
    gguf_writer_put_string(w, "general.architecture", "mdlm");
    gguf_writer_put_u32(w, "mdlm.block_count", 4000000000u);
    gguf_writer_put_f32(w, "mdlm.eps", 1e-5f);
    gguf_writer_put_f64(w, "mdlm.fine", 1e-5);
    gguf_writer_put_bool(w, "mdlm.yes", true);
    gguf_writer_put_bool(w, "mdlm.no", false);
    gguf_writer_put_array(w, "numbers", GGUF_I32, numbers, 3);
    gguf_writer_put_strings(w, "strings", strings, 3);
    gguf_writer_put_strings(w, "none", NULL, 0);
}

static void check_metadata(const gguf *file)
{
    int64_t integer;
    double number;
    bool flag;
    gguf_string text;
    const gguf_value *array;
    assert_int_equal(file->version, 3);
    assert_int_equal(file->n_values, 9);
    assert_int_equal(gguf_get_string(file, "general.architecture", &text, &err), VKDLM_OK);
    assert_true(gguf_string_is(text, "mdlm"));
    assert_int_equal(gguf_get_integer(file, "mdlm.block_count", 0, UINT32_MAX, &integer, &err), VKDLM_OK);
    assert_int_equal(integer, 4000000000);
    assert_int_equal(gguf_get_number(file, "mdlm.eps", 0, 1, &number, &err), VKDLM_OK);
    assert_true(number == (double)1e-5f);
    assert_int_equal(gguf_get_number(file, "mdlm.fine", 0, 1, &number, &err), VKDLM_OK);
    assert_true(number == 1e-5);
    assert_int_equal(gguf_get_bool(file, "mdlm.yes", &flag, &err), VKDLM_OK);
    assert_true(flag);
    assert_int_equal(gguf_get_bool(file, "mdlm.no", &flag, &err), VKDLM_OK);
    assert_false(flag);
    assert_int_equal(gguf_get_array(file, "numbers", GGUF_I32, &array, &err), VKDLM_OK);
    assert_int_equal(array->count, 3);
    assert_int_equal(gguf_i32_at(array, 1), -2);
    assert_int_equal(gguf_get_array(file, "strings", GGUF_STRING, &array, &err), VKDLM_OK);
    assert_int_equal(array->count, 3);
    const unsigned char *cursor = array->data;
    assert_true(gguf_string_is(gguf_next_string(&cursor), "a"));
    assert_true(gguf_string_is(gguf_next_string(&cursor), ""));
    assert_true(gguf_string_is(gguf_next_string(&cursor), "\xC4\xA0the"));
    assert_int_equal(gguf_get_array(file, "none", GGUF_STRING, &array, &err), VKDLM_OK);
    assert_int_equal(array->count, 0);
}

/* Every type that GGUF has, rows of one block, three rows. */
static void test_round_trip(void **state)
{
    const char *path = temp_path(*state, "all.gguf"), *again = temp_path(*state, "again.gguf");
    gguf_writer *w = create(path);
    unsigned char data[3 * 256 * 8];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + i / 256);
    put_metadata(w);
    size_t n_tensors = 0;
    uint64_t n_bytes = 0;
    for (int t = 0; t < VKDLM_DTYPE_COUNT; t++) {
        vkdlm_dtype dtype = (vkdlm_dtype)t;
        if (dtype == VKDLM_DTYPE_U8 || dtype == VKDLM_DTYPE_BOOL ||
            (dtype >= VKDLM_DTYPE_U16 && dtype <= VKDLM_DTYPE_F8_E5M2))
            continue;
        uint32_t bytes;
        const uint64_t shape[] = {1, 3, vkdlm_dtype_block(dtype, &bytes)};
        gguf_writer_declare(w, vkdlm_dtype_name(dtype), dtype, t % 2 ? 3 : 2, shape + (t % 2 ? 0 : 1));
        n_bytes += 3 * bytes;
        n_tensors++;
    }
    const uint64_t empty[] = {0, 32};
    gguf_writer_declare(w, "empty", VKDLM_DTYPE_Q8_0, 2, empty);
    assert_int_equal(gguf_writer_begin(w, &err), VKDLM_OK);
    for (uint64_t done = 0; done < n_bytes; done += 100) /* pieces that cross tensors */
        assert_int_equal(gguf_writer_write(w, data + done, n_bytes - done < 100 ? n_bytes - done : 100, &err),
                         VKDLM_OK);
    uint64_t file_bytes = gguf_writer_file_bytes(w);
    assert_true(file_probe(path) == FILE_MISSING);
    assert_int_equal(gguf_writer_finish(w, &err), VKDLM_OK);

    file_map map;
    gguf file;
    assert_int_equal(file_map_open(path, &map, &err), VKDLM_OK);
    assert_int_equal(map.size, file_bytes);
    if (gguf_parse(map.data, map.size, path, &file, &err))
        fail_msg("%s", err.message);
    check_metadata(&file);
    assert_int_equal(file.n_tensors, n_tensors + 1);
    const unsigned char *expected = data;
    for (size_t i = 0; i < n_tensors; i++) {
        const vkdlm_tensor *tensor = &file.tensors[i];
        uint32_t bytes;
        assert_string_equal(tensor->name, vkdlm_dtype_name(tensor->dtype));
        assert_int_equal(tensor->shape[tensor->n_dims - 1], vkdlm_dtype_block(tensor->dtype, &bytes));
        assert_int_equal(tensor->shape[tensor->n_dims - 2], 3);
        assert_int_equal(((const unsigned char *)tensor->data - map.data) % GGUF_WRITER_ALIGNMENT_BYTES, 0);
        assert_int_equal(tensor->n_bytes, 3 * bytes);
        assert_memory_equal(tensor->data, expected, tensor->n_bytes);
        expected += tensor->n_bytes;
    }

    /* The values of the file, put as they are. */
    w = create(again);
    for (size_t i = 0; i < file.n_values; i++)
        gguf_writer_put_value(w, &file.values[i]);
    assert_int_equal(gguf_writer_begin(w, &err), VKDLM_OK);
    assert_int_equal(gguf_writer_finish(w, &err), VKDLM_OK);
    gguf_deinit(&file);
    file_map_close(&map);
    assert_int_equal(file_map_open(again, &map, &err), VKDLM_OK);
    assert_int_equal(gguf_parse(map.data, map.size, again, &file, &err), VKDLM_OK);
    check_metadata(&file);
    gguf_deinit(&file);
    file_map_close(&map);
}

static void expect_refused(gguf_writer *w, const char *what)
{
    assert_int_equal(gguf_writer_begin(w, &err), VKDLM_INVALID_ARGUMENT);
    if (!strstr(err.message, what))
        fail_msg("expected '%s', found: %s", what, err.message);
    gguf_writer_abort(w);
}

static void test_refused(void **state)
{
    const char *path = temp_path(*state, "refused.gguf");
    const uint64_t shape[] = {1, 1, 1, 2, 32}, huge[] = {UINT64_MAX / 2, 32};
    char name[65];
    memset(name, 'n', 64);
    name[64] = 0;
    gguf_writer *w = create(path);
    gguf_writer_put_u32(w, "twice", 1);
    gguf_writer_put_u32(w, "once", 1);
    gguf_writer_put_u32(w, "twice", 2);
    expect_refused(w, "key 'twice': expected it once");
    w = create(path);
    gguf_writer_put_string(w, "key", "\xFF");
    expect_refused(w, "key 'key': expected a value in UTF-8");
    w = create(path);
    gguf_writer_put_u32(w, "", 1);
    expect_refused(w, "expected 1 to 65535 bytes");
    w = create(path);
    gguf_writer_declare(w, name, VKDLM_DTYPE_F32, 1, shape);
    expect_refused(w, "expected 1 to 63 bytes");
    w = create(path);
    gguf_writer_declare(w, "t", VKDLM_DTYPE_U8, 1, shape);
    expect_refused(w, "tensor 't': expected a type of GGUF files");
    w = create(path);
    gguf_writer_declare(w, "t", VKDLM_DTYPE_F32, 5, shape);
    expect_refused(w, "tensor 't': expected 1 to 4 dimensions");
    w = create(path);
    gguf_writer_declare(w, "t", VKDLM_DTYPE_Q8_0, 4, shape);
    expect_refused(w, "tensor 't': expected rows of whole blocks");
    w = create(path);
    gguf_writer_declare(w, "t", VKDLM_DTYPE_Q8_0, 2, huge);
    expect_refused(w, "tensor 't': expected a size that fits 63 bits");
    w = create(path);
    gguf_writer_declare(w, "t", VKDLM_DTYPE_F32, 2, shape);
    gguf_writer_declare(w, "t", VKDLM_DTYPE_F32, 2, shape);
    expect_refused(w, "tensor 't': expected it once");
    assert_true(file_probe(path) == FILE_MISSING);
}

/* Too much data, too little, and an old file that stays. */
static void test_incomplete(void **state)
{
    const char *path = temp_path(*state, "old.gguf");
    const uint64_t shape[] = {4};
    temp_write(path, "old", 3);
    for (size_t n = 0; n < 3; n++) {
        gguf_writer *w = create(path);
        gguf_writer_declare(w, "t", VKDLM_DTYPE_F32, 1, shape);
        assert_int_equal(gguf_writer_begin(w, &err), VKDLM_OK);
        if (n == 0) {
            assert_int_equal(gguf_writer_write(w, "0123456789abcde", 15, &err), VKDLM_OK);
            assert_int_equal(gguf_writer_finish(w, &err), VKDLM_INVALID_ARGUMENT);
        } else if (n == 1) {
            assert_int_equal(gguf_writer_write(w, "0123456789abcdefg", 17, &err), VKDLM_INVALID_ARGUMENT);
            gguf_writer_abort(w);
        } else {
            gguf_writer_abort(w);
        }
        file_map map;
        assert_int_equal(file_map_open(path, &map, &err), VKDLM_OK);
        assert_int_equal(map.size, 3);
        file_map_close(&map);
    }
    gguf_writer *w = create(temp_path(*state, "missing/new.gguf"));
    assert_int_equal(gguf_writer_begin(w, &err), VKDLM_NOT_FOUND);
    gguf_writer_abort(w);
    gguf_writer_abort(NULL);
    /* Nothing temporary is left. */
    DIR *dir = opendir(*state);
    size_t n_files = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        n_files += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(dir);
    assert_int_equal(n_files, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_refused, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_incomplete, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
