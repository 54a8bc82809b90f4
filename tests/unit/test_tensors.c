/* The reader of safetensors files: names, values, order, shards, metadata, refusals. */
#include "test_tensors_util.h"

#include <inttypes.h>
#include <time.h>

#include <vkdlm/tensors.h>

#define FOLDER TESTS_DIR "/golden/malformed"

/* Writes a file of the given header text and data. */
static void write_safetensors(const char *path, const char *header, const void *data, size_t n_data)
{
    size_t n = strlen(header);
    unsigned char *bytes = malloc(8 + n + n_data);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(bytes + 8, header, n);
    if (n_data)
        memcpy(bytes + 8 + n, data, n_data);
    temp_write(path, bytes, 8 + n + n_data);
    free(bytes);
}

static void dtypes_have_names_and_sizes(void **state)
{
    (void)state;
    assert_string_equal(vkdlm_dtype_name(VKDLM_DTYPE_BF16), "BF16");
    assert_int_equal(vkdlm_dtype_size(VKDLM_DTYPE_BF16), 2);
    assert_string_equal(vkdlm_dtype_name(VKDLM_DTYPE_F8_E5M2), "F8_E5M2");
    assert_int_equal(vkdlm_dtype_size(VKDLM_DTYPE_F8_E5M2), 1);
    assert_string_equal(vkdlm_dtype_name((vkdlm_dtype)99), "unknown");
    assert_int_equal(vkdlm_dtype_size((vkdlm_dtype)99), 0);
    assert_int_equal(vkdlm_dtype_size((vkdlm_dtype)-1), 0);
}

static void valid_file_is_read(void **state)
{
    (void)state;
    const char *path = FOLDER "/safetensors/valid_metadata.safetensors";
    vkdlm_tensors *tensors;
    assert_int_equal(vkdlm_tensors_open(path, &tensors, NULL), VKDLM_OK);
    assert_int_equal(vkdlm_tensors_count(tensors), 2);
    const vkdlm_tensor *a = vkdlm_tensors_at(tensors, 0), *b = vkdlm_tensors_at(tensors, 1);
    assert_null(vkdlm_tensors_at(tensors, 2));
    assert_string_equal(a->name, "a.weight");
    assert_int_equal(a->dtype, VKDLM_DTYPE_F32);
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    assert_int_equal(a->n_elements, 6);
    assert_int_equal(a->n_bytes, 24);
    assert_string_equal(a->file, path);
    assert_string_equal(b->name, "b.bias");
    assert_int_equal(b->dtype, VKDLM_DTYPE_I64);
    assert_int_equal(b->n_bytes, 16);
    const unsigned char *bytes = a->data;
    assert_ptr_equal(b->data, bytes + 24);
    for (int i = 0; i < 40; i++)
        assert_int_equal(bytes[i], i);
    assert_ptr_equal(vkdlm_tensors_find(tensors, "b.bias"), b);
    assert_null(vkdlm_tensors_find(tensors, "b"));
    assert_null(vkdlm_tensors_find(tensors, "__metadata__"));
    assert_null(vkdlm_tensors_find(tensors, ""));
    assert_non_null(vkdlm_tensors_metadata(tensors, "format"));
    assert_null(vkdlm_tensors_metadata(tensors, "none"));
    vkdlm_tensors_close(tensors);
}

static void order_is_that_of_the_data(void **state)
{
    (void)state;
    vkdlm_tensors *tensors;
    assert_int_equal(vkdlm_tensors_open(FOLDER "/safetensors/valid_unordered.safetensors", &tensors, NULL),
                     0);
    assert_int_equal(vkdlm_tensors_count(tensors), 2);
    assert_string_equal(vkdlm_tensors_at(tensors, 0)->name, "a.weight");
    assert_string_equal(vkdlm_tensors_at(tensors, 1)->name, "b.bias");
    vkdlm_tensors_close(tensors);
}

static void scalars_and_empty_tensors_are_read(void **state)
{
    const char *path = temp_path(*state, "x.safetensors");
    static const float value = 1.5f;
    write_safetensors(path,
                      "{\"e1\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]},"
                      "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                      "\"e2\":{\"dtype\":\"I8\",\"shape\":[3,0],\"data_offsets\":[4,4]}}",
                      &value, sizeof value);
    vkdlm_tensors *tensors;
    vkdlm_error err = {0};
    if (vkdlm_tensors_open(path, &tensors, &err))
        fail_msg("%s", err.message);
    const vkdlm_tensor *s = vkdlm_tensors_find(tensors, "s");
    assert_int_equal(s->n_dims, 0);
    assert_int_equal(s->n_elements, 1);
    assert_memory_equal(s->data, &value, sizeof value);
    assert_string_equal(vkdlm_tensors_at(tensors, 0)->name, "e1");
    assert_int_equal(vkdlm_tensors_at(tensors, 0)->n_elements, 0);
    assert_int_equal(vkdlm_tensors_at(tensors, 0)->shape[1], 7);
    assert_string_equal(vkdlm_tensors_at(tensors, 2)->name, "e2");
    vkdlm_tensors_close(tensors);
}

#define U8(name, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

/* Refusals that the copied malformed files do not contain, or that there more than one rule would make. */
static void further_headers_are_refused(void **state)
{
    static const struct {
        const char *header;
        size_t n_data;
        vkdlm_status status;
        const char *message;
    } rows[] = {
        {"{" U8("a", "1,1,1,1,1,1,1,1,1", "0", "1") "}", 1, VKDLM_UNSUPPORTED,
         "expected at most 8 dimensions, found 9"},
        /* The dimensions after a zero could overflow in whoever multiplies them. */
        {"{" U8("a", "0,4294967296,4294967296", "0", "0") "}", 0, VKDLM_MALFORMED, "64 bits"},
        {"{" U8("a", "1e0", "0", "1") "}", 1, VKDLM_MALFORMED, "a.shape[0]"},
        {"{" U8("a", "true", "0", "1") "}", 1, VKDLM_MALFORMED, "found true"},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, VKDLM_MALFORMED, "a.dtype"},
        {"{" U8("a", "1", "0", "1") "}\n", 1, VKDLM_MALFORMED, "ends with '}'"},
        {"{" U8("a", "1", "0", "1") "}}", 1, VKDLM_MALFORMED, "end of file"},
        {"{" U8("a\\nb", "1", "0", "2") "}", 2, VKDLM_MALFORMED, "a?b.data_offsets"},
        {"{\"__metadata__\":null," U8("a", "1", "0", "1") "}", 1, VKDLM_MALFORMED, "__metadata__"},
        /* The lengths add up to the file, as an overlap makes up for a gap. */
        {"{" U8("a", "4", "0", "4") "," U8("b", "4", "2", "6") "," U8("c", "2", "8", "10") "}", 10,
         VKDLM_MALFORMED, "b: expected its data at byte 4"},
        {"{" U8("a", "4", "0", "3") "," U8("b", "1", "4", "5") "}", 5, VKDLM_MALFORMED,
         "a.data_offsets: expected 4 bytes"},
        {"{" U8("a", "9223372036854775807", "0", "9223372036854775807") "}", 4, VKDLM_MALFORMED,
         "within the 4 bytes of data"},
    };
    const char *path = temp_path(*state, "x.safetensors");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_safetensors(path, rows[i].header, "0123456789", rows[i].n_data);
        vkdlm_tensors *tensors;
        vkdlm_error err = {0};
        assert_refused(vkdlm_tensors_open(path, &tensors, &err), rows[i].status, &err, rows[i].message);
        assert_non_null(strstr(err.message, path));
        assert_null(tensors);
    }
}

/* The message keeps its end although the name alone would fill it. */
static void long_names_leave_room_for_the_reason(void **state)
{
    char name[5001], header[5200];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}", name);
    const char *path = temp_path(*state, "x.safetensors");
    write_safetensors(path, header, "x", 1);
    vkdlm_tensors *tensors;
    vkdlm_error err = {0};
    assert_refused(vkdlm_tensors_open(path, &tensors, &err), VKDLM_MALFORMED, &err, "expected 2 bytes");
    assert_non_null(strstr(err.message, "found 1"));
}

static void missing_paths_are_refused(void **state)
{
    vkdlm_tensors *tensors;
    vkdlm_error err = {0};
    const char *dir = *state, *path = temp_path(dir, "none.safetensors");
    assert_refused(vkdlm_tensors_open(path, &tensors, &err), VKDLM_NOT_FOUND, &err, path);
    path = temp_path(dir, "none.json");
    assert_refused(vkdlm_tensors_open(path, &tensors, &err), VKDLM_NOT_FOUND, &err, path);
    assert_refused(vkdlm_tensors_open("", &tensors, &err), VKDLM_NOT_FOUND, &err, "''");
    assert_refused(vkdlm_tensors_open(dir, &tensors, &err), VKDLM_NOT_FOUND, &err,
                   "model.safetensors.index.json");
    assert_refused(vkdlm_tensors_open("/dev/null", &tensors, &err), VKDLM_IO, &err, "/dev/null");
    assert_refused(vkdlm_tensors_open(NULL, &tensors, &err), VKDLM_INVALID_ARGUMENT, &err, "NULL");
    assert_refused(vkdlm_tensors_open(dir, NULL, &err), VKDLM_INVALID_ARGUMENT, &err, "NULL");
    vkdlm_tensors_close(NULL);
}

static void shards_are_one_model(void **state)
{
    (void)state;
    static const char *const paths[] = {FOLDER "/index/valid",
                                        FOLDER "/index/valid/model.safetensors.index.json"};
    for (size_t i = 0; i < 2; i++) {
        vkdlm_tensors *tensors;
        vkdlm_error err = {0};
        if (vkdlm_tensors_open(paths[i], &tensors, &err))
            fail_msg("%s", err.message);
        assert_int_equal(vkdlm_tensors_count(tensors), 2);
        assert_string_equal(vkdlm_tensors_at(tensors, 0)->name, "a");
        assert_string_equal(vkdlm_tensors_at(tensors, 1)->name, "b");
        assert_string_equal(vkdlm_tensors_find(tensors, "a")->file,
                            FOLDER "/index/valid/model-00001-of-00002.safetensors");
        assert_string_equal(vkdlm_tensors_find(tensors, "b")->file,
                            FOLDER "/index/valid/model-00002-of-00002.safetensors");
        vkdlm_tensors_close(tensors);
    }
}

static void write_entry(const char *path, const char *first, const char *second)
{
    char header[400];
    int n = snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}",
                     first);
    if (second)
        n += snprintf(header + n, sizeof header - (size_t)n,
                      ",\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}", second);
    snprintf(header + n, sizeof header - (size_t)n, "%s", "}");
    write_safetensors(path, header, "xy", second ? 2 : 1);
}

/* Shards are visited in the order of their names, whatever the order of the index. */
static void shards_come_in_the_order_of_their_names(void **state)
{
    const char *index = temp_path(*state, "model.safetensors.index.json");
    write_entry(temp_path(*state, "1"), "z", "y");
    write_entry(temp_path(*state, "2"), "a", NULL);
    temp_write_text(index, "{\"weight_map\":{\"a\":\"2\",\"z\":\"1\",\"y\":\"1\"}}");
    vkdlm_tensors *tensors;
    assert_int_equal(vkdlm_tensors_open(*state, &tensors, NULL), VKDLM_OK);
    assert_string_equal(vkdlm_tensors_at(tensors, 0)->name, "z");
    assert_string_equal(vkdlm_tensors_at(tensors, 1)->name, "y");
    assert_string_equal(vkdlm_tensors_at(tensors, 2)->name, "a");
    vkdlm_tensors_close(tensors);

    write_entry(temp_path(*state, "model.safetensors"), "single", NULL);
    assert_int_equal(vkdlm_tensors_open(*state, &tensors, NULL), VKDLM_OK);
    assert_string_equal(vkdlm_tensors_at(tensors, 0)->name, "single");
    vkdlm_tensors_close(tensors);
}

static void indexes_that_disagree_are_refused(void **state)
{
    static const char *const rows[][2] = {
        {"{\"weight_map\":{\"a\":\"1\"}}", "tensor 'b'"}, /* its shard has b too */
        {"{\"weight_map\":{\"a\":\"1\",\"b\":\"1\",\"c\":\"1\"}}", "tensor 'c'"},
        {"{\"weight_map\":{}}", "weight_map"},
        {"{\"weight_map\":{\"a\":\"\"}}", "weight_map.a"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "weight_map.a"},
        {"{\"weight_map\":{\"a\":\"sub/1\"}}", "weight_map.a"},
        {"{\"weight_map\":{\"a\":\".\"}}", "weight_map.a"},
        {"", "empty"},
        {"[]", "found an array"},
    };
    const char *index = temp_path(*state, "model.safetensors.index.json");
    write_entry(temp_path(*state, "1"), "a", "b");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        temp_write_text(index, rows[i][0]);
        vkdlm_tensors *tensors;
        vkdlm_error err = {0};
        assert_refused(vkdlm_tensors_open(*state, &tensors, &err), VKDLM_MALFORMED, &err, rows[i][1]);
        assert_non_null(strstr(err.message, index));
    }
}

/* A sparse file of 1 GiB with 1000 tensors: opening reads the header alone. The bound is loose, for
 * slow machines and sanitizers; reading the data would take far longer. */
static void large_files_open_fast(void **state)
{
    enum { COUNT = 1000 };
    const uint64_t each = 1 << 20;
    char *header = malloc(COUNT * 120);
    assert_non_null(header);
    size_t n = 0;
    for (unsigned i = 0; i < COUNT; i++)
        n += (size_t)sprintf(header + n,
                             "%c\"model.layers.%u.mlp.down_proj.weight\":"
                             "{\"dtype\":\"F16\",\"shape\":[512,1024],\"data_offsets\":[%" PRIu64 ",%" PRIu64
                             "]}",
                             i ? ',' : '{', i, i * each, (i + 1) * each);
    strcpy(header + n, "}");
    const char *path = temp_path(*state, "large.safetensors");
    write_safetensors(path, header, NULL, 0);
    assert_int_equal(truncate(path, (off_t)(8 + n + 1 + COUNT * each)), 0);
    free(header);

    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    vkdlm_tensors *tensors;
    vkdlm_error err = {0};
    if (vkdlm_tensors_open(path, &tensors, &err))
        fail_msg("%s", err.message);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(vkdlm_tensors_count(tensors), COUNT);
    assert_ptr_equal(vkdlm_tensors_find(tensors, "model.layers.999.mlp.down_proj.weight"),
                     vkdlm_tensors_at(tensors, 999));
    vkdlm_tensors_close(tensors);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    print_message("opened in %.2f ms\n", 1e3 * seconds);
    assert_true(seconds < 0.5);
}

#define WITH_TEMP(f) cmocka_unit_test_setup_teardown(f, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes_have_names_and_sizes),
        cmocka_unit_test(valid_file_is_read),
        cmocka_unit_test(order_is_that_of_the_data),
        WITH_TEMP(scalars_and_empty_tensors_are_read),
        WITH_TEMP(further_headers_are_refused),
        WITH_TEMP(long_names_leave_room_for_the_reason),
        WITH_TEMP(missing_paths_are_refused),
        cmocka_unit_test(shards_are_one_model),
        WITH_TEMP(shards_come_in_the_order_of_their_names),
        WITH_TEMP(indexes_that_disagree_are_refused),
        WITH_TEMP(large_files_open_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
