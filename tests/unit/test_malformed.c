/* Every file of golden/malformed is refused or accepted as its manifest says. */
#include "test_tensors_util.h"

#include <jansson.h>

#include <vkdlm/tensors.h>

#include "format/checkpoint.h"

#define FOLDER TESTS_DIR "/golden/malformed"

/* Our choice where the manifest allows either. */
static bool accepts_either(const char *file)
{
    return strcmp(file, "safetensors/entry_extra_field.safetensors") == 0 ||
           strcmp(file, "index/tensor_not_in_index") == 0 || strcmp(file, "gguf/dim_zero.gguf") == 0 ||
           strcmp(file, "gguf/value_invalid_utf8.gguf") == 0;
}

/* A container that is correct and holds no model. */
static bool is_no_model(const char *file)
{
    return strncmp(file, "gguf/architecture_", strlen("gguf/architecture_")) == 0;
}

/* A GGUF file is a checkpoint by itself, and refused as that in the same way. */
static void check_checkpoint(const char *path, bool accept, const char *what)
{
    vkdlm_error err = {0};
    checkpoint *ck;
    vkdlm_status status = checkpoint_open(path, &ck, &err);
    if (accept && status)
        fail_msg("%s (%s): expected it opened, found: %s", path, what, err.message);
    if (!accept) {
        assert_null(ck);
        assert_refused(status, VKDLM_MALFORMED, &err, path);
        assert_non_null(strstr(err.message, "expected"));
    }
    checkpoint_close(ck);
}

/* Reads every byte of every tensor, so that a range outside of the mapping is noticed. */
static unsigned touch(const vkdlm_tensors *tensors)
{
    unsigned sum = 0;
    for (size_t i = 0; i < vkdlm_tensors_count(tensors); i++) {
        const vkdlm_tensor *tensor = vkdlm_tensors_at(tensors, i);
        assert_ptr_equal(vkdlm_tensors_find(tensors, tensor->name), tensor);
        for (uint64_t k = 0; k < tensor->n_bytes; k++)
            sum += ((const unsigned char *)tensor->data)[k];
    }
    return sum;
}

static void check_case(const char *file, const char *expect, const char *what)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", FOLDER, file);
    bool accept = strcmp(expect, "accept") == 0 || (strcmp(expect, "either") == 0 && accepts_either(file));
    if (strncmp(file, "gguf/", 5) == 0)
        check_checkpoint(path, accept, what);
    accept = accept || is_no_model(file);
    vkdlm_error err = {0};
    vkdlm_tensors *tensors = (vkdlm_tensors *)&err; /* must be overwritten */
    vkdlm_status status = vkdlm_tensors_open(path, &tensors, &err);
    if (accept) {
        if (status != VKDLM_OK)
            fail_msg("%s (%s): expected it accepted, found: %s", file, what, err.message);
        touch(tensors);
        vkdlm_tensors_close(tensors);
        return;
    }
    if (status == VKDLM_OK)
        fail_msg("%s (%s): expected it refused, found it accepted", file, what);
    assert_null(tensors);
    bool missing = strcmp(file, "index/shard_missing") == 0;
    assert_refused(status, missing ? VKDLM_NOT_FOUND : VKDLM_MALFORMED, &err, path);
    assert_non_null(strstr(err.message, "expected"));
    assert_non_null(strstr(err.message, "found"));
    assert_int_equal(vkdlm_tensors_open(path, &tensors, NULL), status);
}

static void manifest_is_obeyed(void **state)
{
    (void)state;
    FILE *manifest = fopen(FOLDER "/manifest.jsonl", "r");
    assert_non_null(manifest);
    int n_rows = 0;
    char line[1024];
    while (fgets(line, sizeof line, manifest)) {
        json_t *row = json_loads(line, 0, NULL);
        const char *file = json_string_value(json_object_get(row, "file"));
        const char *expect = json_string_value(json_object_get(row, "expect"));
        const char *what = json_string_value(json_object_get(row, "what"));
        if (!file || !expect || !what)
            fail_msg("manifest line %d: expected file, expect and what", n_rows + 1);
        check_case(file, expect, what);
        json_decref(row);
        n_rows++;
    }
    fclose(manifest);
    assert_int_equal(n_rows, 145);
}

/* A valid file cut at every length: only the whole is a file. */
static void check_truncations(const char *directory, const char *whole, const char *name)
{
    FILE *f = fopen(whole, "rb");
    assert_non_null(f);
    unsigned char bytes[1024];
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_in_range(n, 100, sizeof bytes - 1);
    const char *path = temp_path(directory, name);
    for (size_t cut = 0; cut <= n; cut++) {
        temp_write(path, bytes, cut);
        vkdlm_error err = {0};
        vkdlm_tensors *tensors;
        vkdlm_status status = vkdlm_tensors_open(path, &tensors, &err);
        if (cut == n)
            assert_int_equal(status, VKDLM_OK);
        else
            assert_refused(status, VKDLM_MALFORMED, &err, path);
        vkdlm_tensors_close(tensors);
    }
}

static void every_truncation_is_refused(void **state)
{
    check_truncations(*state, FOLDER "/safetensors/valid_metadata.safetensors", "cut.safetensors");
    check_truncations(*state, FOLDER "/gguf/valid_no_final_padding.gguf", "cut.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_is_obeyed),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
