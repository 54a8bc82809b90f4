/* Configurations by key and type, and models on disk. */
#include "test_tensors_util.h"

#include <float.h>

#include "format/checkpoint.h"
#include "format/json.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static json_t *parse(const char *text)
{
    json_t *root;
    vkdlm_error err = {0};
    if (json_parse_object(text, strlen(text), "'text'", &root, &err))
        fail_msg("%s", err.message);
    return root;
}

static void json_refuses_what_is_not_strict(void **state)
{
    static const char *const rows[][2] = {
        {"", "empty file"},
        {"[1]", "found an array"},
        {"{\"a\":1,\"a\":1}", "duplicate"},
        {"{\"a\":1} x", "end of"},
        {"{\"a\":NaN}", "NaN"},
        {"{\"a\":1e999}", "overflow"},
        {"{\"a\":01}", "'0'"},
        {"{\"a\":\"\\u0000\"}", "\\u0000"},
        {"\"x\"", "expected"},
        {"{\"a\":}", "near"},
        {"\xEF\xBB\xBF{}", "expected"},
    };
    const char *path = temp_path(*state, "config.json");
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *root;
        vkdlm_error err = {0};
        temp_write_text(path, rows[i][0]);
        vkdlm_status status = json_open(path, &root, &err);
        assert_refused(status, VKDLM_MALFORMED, &err, path);
        assert_refused(status, VKDLM_MALFORMED, &err, rows[i][1]);
        assert_null(root);
    }
    json_t *root;
    vkdlm_error err = {0};
    assert_refused(json_open(*state, &root, &err), VKDLM_IO, &err, "directory");
    assert_int_equal(truncate(path, (off_t)JSON_MAX_FILE_BYTES + 1), 0);
    assert_refused(json_open(path, &root, &err), VKDLM_MALFORMED, &err, "at most");
}

static void json_depth_is_bounded(void **state)
{
    (void)state;
    for (int levels = JSON_MAX_DEPTH - 1; levels <= JSON_MAX_DEPTH + 1; levels++) {
        char text[4 * JSON_MAX_DEPTH] = "{\"[[[[[[[[[[\\\"[[[[[[[[[[\":";
        size_t n = strlen(text);
        for (int i = 1; i < levels; i++)
            text[n++] = '[';
        text[n++] = '1';
        for (int i = 1; i < levels; i++)
            text[n++] = ']';
        text[n++] = '}';
        json_t *root;
        vkdlm_error err = {0};
        vkdlm_status status = json_parse_object(text, n, "'text'", &root, &err);
        if (levels <= JSON_MAX_DEPTH)
            assert_int_equal(status, VKDLM_OK);
        else
            assert_refused(status, VKDLM_MALFORMED, &err, "levels");
        json_decref(root);
    }
}

static void values_are_taken_by_type(void **state)
{
    (void)state;
    json_t *root = parse("{\"s\":\"text\",\"b\":true,\"i\":-5,\"r\":2.5,\"n\":null,\"o\":{\"p\":{\"x\":3}},"
                         "\"l\":[1],\"big\":9223372036854775807}");
    json_scope scope = {.object = root, .file = "config.json"};
    const char *s = NULL;
    bool b = false;
    int64_t i = 0;
    double d = 0;
    assert_int_equal(json_get_string(&scope, "s", &s, NULL), VKDLM_OK);
    assert_string_equal(s, "text");
    assert_int_equal(json_get_bool(&scope, "b", &b, NULL), VKDLM_OK);
    assert_true(b);
    assert_int_equal(json_get_integer(&scope, "i", -5, -5, &i, NULL), VKDLM_OK);
    assert_int_equal(i, -5);
    assert_int_equal(json_get_integer(&scope, "big", 0, INT64_MAX, &i, NULL), VKDLM_OK);
    assert_true(i == INT64_MAX);
    assert_int_equal(json_get_number(&scope, "r", 2.5, 2.5, &d, NULL), VKDLM_OK);
    assert_true(d == 2.5);
    assert_int_equal(json_get_number(&scope, "i", -DBL_MAX, 0, &d, NULL), VKDLM_OK);
    assert_true(d == -5);
    assert_true(json_has(&scope, "s"));
    assert_false(json_has(&scope, "n"));
    assert_false(json_has(&scope, "absent"));

    assert_int_equal(json_get_string_or(&scope, "n", "other", &s, NULL), VKDLM_OK);
    assert_string_equal(s, "other");
    assert_int_equal(json_get_bool_or(&scope, "absent", false, &b, NULL), VKDLM_OK);
    assert_false(b);
    assert_int_equal(json_get_integer_or(&scope, "absent", 0, 1, -7, &i, NULL), VKDLM_OK);
    assert_int_equal(i, -7);
    assert_int_equal(json_get_number_or(&scope, "n", 0, 1, 0.25, &d, NULL), VKDLM_OK);
    assert_true(d == 0.25);

    const json_t *list = NULL;
    assert_int_equal(json_get_array(&scope, "l", &list, NULL), VKDLM_OK);
    assert_int_equal(json_array_size(list), 1);
    json_scope o, p;
    assert_int_equal(json_get_object(&scope, "o", &o, NULL), VKDLM_OK);
    assert_int_equal(json_get_object(&o, "p", &p, NULL), VKDLM_OK);
    vkdlm_error err = {0};
    assert_refused(json_get_integer(&p, "x", 4, 9, &i, &err), VKDLM_MALFORMED, &err,
                   "'config.json': o.p.x: expected an integer from 4 to 9, found 3");
    json_decref(root);
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    json_t *root = parse("{\"s\":\"text\",\"b\":true,\"i\":-5,\"r\":2.5,\"n\":null,\"o\":{},\"l\":[1]}");
    json_scope scope = {.object = root, .file = "config.json"}, child;
    const char *s;
    bool b;
    int64_t i;
    double d;
    const json_t *list;
    vkdlm_error err = {0};
#define REFUSED(call, text) assert_refused(call, VKDLM_MALFORMED, &err, "'config.json': " text)
    REFUSED(json_get_string(&scope, "i", &s, &err), "i: expected a string, found -5");
    REFUSED(json_get_string(&scope, "n", &s, &err), "n: expected a string, found null");
    REFUSED(json_get_string(&scope, "absent", &s, &err), "absent: expected a string, found nothing");
    REFUSED(json_get_string_or(&scope, "b", "x", &s, &err), "b: expected a string, found true");
    REFUSED(json_get_bool(&scope, "i", &b, &err), "i: expected true or false, found -5");
    REFUSED(json_get_bool_or(&scope, "s", true, &b, &err), "s: expected true or false, found \"text\"");
    REFUSED(json_get_integer(&scope, "r", 0, 9, &i, &err), "r: expected an integer from 0 to 9, found 2.5");
    REFUSED(json_get_integer(&scope, "i", 0, 9, &i, &err), "i: expected an integer from 0 to 9, found -5");
    REFUSED(json_get_integer_or(&scope, "l", 0, 9, 1, &i, &err),
            "l: expected an integer from 0 to 9, found an array");
    REFUSED(json_get_number(&scope, "s", 0, 9, &d, &err), "s: expected a number from 0 to 9, found \"text\"");
    REFUSED(json_get_number_or(&scope, "r", 3, 9, 4, &d, &err),
            "r: expected a number from 3 to 9, found 2.5");
    REFUSED(json_get_array(&scope, "o", &list, &err), "o: expected an array, found an object");
    REFUSED(json_get_object(&scope, "l", &child, &err), "l: expected an object, found an array");
#undef REFUSED
    json_decref(root);
}

/* Writes a model of four tensors: a F32 [2, 3], b F16 [4], c BF16 [1], ids I32 [1]. */
static void write_weights(const char *path)
{
    static const vkdlm_tensor_spec specs[] = {
        {.name = "a", .dtype = VKDLM_DTYPE_F32, .n_dims = 2, .shape = {2, 3}},
        {.name = "b", .dtype = VKDLM_DTYPE_F16, .n_dims = 1, .shape = {4}},
        {.name = "c", .dtype = VKDLM_DTYPE_BF16, .n_dims = 1, .shape = {1}},
        {.name = "ids", .dtype = VKDLM_DTYPE_I32, .n_dims = 1, .shape = {1}},
    };
    static const unsigned char zeros[24];
    vkdlm_tensors_writer *writer;
    assert_int_equal(vkdlm_tensors_writer_create(path, specs, COUNT(specs), NULL, 0, &writer, NULL),
                     VKDLM_OK);
    static const size_t sizes[] = {24, 8, 2, 4};
    for (size_t i = 0; i < COUNT(specs); i++)
        assert_int_equal(vkdlm_tensors_writer_write(writer, i, 0, zeros, sizes[i], NULL), VKDLM_OK);
    assert_int_equal(vkdlm_tensors_writer_finish(writer, NULL), VKDLM_OK);
}

static void directories_and_files_are_opened(void **state)
{
    const char *dir = *state, *weights = temp_path(dir, "model.safetensors");
    write_weights(weights);
    temp_write_text(temp_path(dir, "config.json"), "{\"model_type\":\"x\"}");
    checkpoint *model;
    vkdlm_error err = {0};
    const char *const paths[] = {dir, weights};
    for (size_t i = 0; i < COUNT(paths); i++) {
        if (checkpoint_open(paths[i], &model, &err))
            fail_msg("%s", err.message);
        assert_string_equal(model->directory, dir);
        assert_null(model->tokenizer_path);
        json_scope config = checkpoint_config(model);
        const char *type = NULL;
        assert_int_equal(json_get_string(&config, "model_type", &type, NULL), VKDLM_OK);
        assert_string_equal(type, "x");
        assert_int_equal(vkdlm_tensors_count(model->tensors), 4);
        checkpoint_close(model);
    }
    checkpoint_close(NULL);

    temp_write_text(temp_path(dir, "vocab.json"), "{}");
    assert_int_equal(checkpoint_open(dir, &model, NULL), VKDLM_OK);
    assert_string_equal(model->tokenizer_path, temp_path(dir, "vocab.json"));
    checkpoint_close(model);
    temp_write_text(temp_path(dir, "tokenizer.json"), "{}");
    assert_int_equal(checkpoint_open(dir, &model, NULL), VKDLM_OK);
    assert_string_equal(model->tokenizer_path, temp_path(dir, "tokenizer.json"));
    checkpoint_close(model);

    temp_write_text(temp_path(dir, "other.json"), "{\"other\":1}");
    assert_int_equal(checkpoint_open_files(weights, temp_path(dir, "other.json"), &model, NULL), VKDLM_OK);
    json_scope config = checkpoint_config(model);
    assert_true(json_has(&config, "other"));
    checkpoint_close(model);
}

static void incomplete_models_are_refused(void **state)
{
    const char *dir = *state, *config = temp_path(dir, "config.json");
    checkpoint *model;
    vkdlm_error err = {0};
    const char *missing = temp_path(dir, "none");
    assert_refused(checkpoint_open(missing, &model, &err), VKDLM_NOT_FOUND, &err, missing);
    assert_null(model);
    assert_refused(checkpoint_open("/dev/null", &model, &err), VKDLM_IO, &err, "/dev/null");
    assert_refused(checkpoint_open(dir, &model, &err), VKDLM_NOT_FOUND, &err, "config.json");

    temp_write_text(config, "{}");
    assert_refused(checkpoint_open(dir, &model, &err), VKDLM_NOT_FOUND, &err, "model.safetensors");
    temp_write_text(temp_path(dir, "pytorch_model.bin"), "x");
    assert_refused(checkpoint_open(dir, &model, &err), VKDLM_UNSUPPORTED, &err, "pytorch_model.bin");
    temp_write_text(temp_path(dir, "m.gguf"), "GGUF");
    assert_refused(checkpoint_open(temp_path(dir, "m.gguf"), &model, &err), VKDLM_MALFORMED, &err, "m.gguf");

    temp_write_text(temp_path(dir, "model.safetensors"), "x");
    assert_refused(checkpoint_open(dir, &model, &err), VKDLM_MALFORMED, &err, "model.safetensors");
    write_weights(temp_path(dir, "model.safetensors"));
    temp_write_text(config, "{");
    assert_refused(checkpoint_open(dir, &model, &err), VKDLM_MALFORMED, &err, "config.json");
    assert_int_equal(remove(config), 0);
    assert_refused(checkpoint_open(temp_path(dir, "model.safetensors"), &model, &err), VKDLM_NOT_FOUND, &err,
                   "config.json");
    assert_int_equal(mkdir(config, 0700), 0);
    assert_refused(checkpoint_open(dir, &model, &err), VKDLM_IO, &err, "config.json");
}

static void tensors_are_taken_by_shape(void **state)
{
    const char *dir = *state, *weights = temp_path(dir, "model.safetensors");
    write_weights(weights);
    temp_write_text(temp_path(dir, "config.json"), "{}");
    checkpoint *model;
    assert_int_equal(checkpoint_open(dir, &model, NULL), VKDLM_OK);
    const vkdlm_tensor *tensor;
    vkdlm_error err = {0};
#define REFUSED(name, n_dims, text, ...)                                                                 \
    assert_refused(checkpoint_take(model, name, n_dims, (const uint64_t[]){__VA_ARGS__}, &tensor, &err), \
                   VKDLM_MALFORMED, &err, text)
    REFUSED("a", 2, "tensor 'a': expected shape [3, 2], found [2, 3]", 3, 2);
    assert_non_null(strstr(err.message, weights));
    REFUSED("a", 1, "expected shape [6], found [2, 3]", 6);
    REFUSED("b", 0, "expected shape [], found [4]", 0);
    REFUSED("ids", 1, "tensor 'ids': expected dtype F32, F16 or BF16, found I32", 1);
    REFUSED("none", 1, "tensor 'none': expected shape [1], found no such tensor", 1);
#undef REFUSED
    assert_null(tensor);
    assert_true(checkpoint_has(model, "a"));
    assert_false(checkpoint_has(model, "none"));

    /* Nothing was taken so far. */
    assert_refused(checkpoint_refuse_unexpected(model, &err), VKDLM_MALFORMED, &err,
                   "found 4 that it does not use: 'a', 'ids', 'b', ...");
    assert_int_equal(checkpoint_take(model, "a", 2, (const uint64_t[]){2, 3}, &tensor, NULL), VKDLM_OK);
    assert_string_equal(tensor->name, "a");
    assert_int_equal(checkpoint_take(model, "c", 1, (const uint64_t[]){1}, &tensor, NULL), VKDLM_OK);
    checkpoint_ignore(model, "ids");
    checkpoint_ignore(model, "none");
    size_t cursor = 0;
    assert_string_equal(checkpoint_next_unexpected(model, &cursor)->name, "b");
    assert_null(checkpoint_next_unexpected(model, &cursor));
    assert_refused(checkpoint_refuse_unexpected(model, &err), VKDLM_MALFORMED, &err, "found 1");
    assert_int_equal(checkpoint_take(model, "b", 1, (const uint64_t[]){4}, &tensor, NULL), VKDLM_OK);
    assert_int_equal(checkpoint_refuse_unexpected(model, NULL), VKDLM_OK);
    checkpoint_close(model);
}

#define WITH_TEMP(f) cmocka_unit_test_setup_teardown(f, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TEMP(json_refuses_what_is_not_strict),  cmocka_unit_test(json_depth_is_bounded),
        cmocka_unit_test(values_are_taken_by_type),  cmocka_unit_test(wrong_values_are_refused),
        WITH_TEMP(directories_and_files_are_opened), WITH_TEMP(incomplete_models_are_refused),
        WITH_TEMP(tensors_are_taken_by_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
