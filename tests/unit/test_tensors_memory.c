/* Opening and writing models while memory runs out: whichever allocation fails, the answer is a status
 * and nothing leaks (the last under AddressSanitizer). The linker routes allocations through here. */
#include "test_tensors_util.h"

#include <errno.h>
#include <jansson.h>

#include <vkdlm/tokenizer.h>

#include "format/checkpoint.h"

#define INDEX TESTS_DIR "/golden/malformed/index/valid"
#define GGUF  TESTS_DIR "/fuzz/corpus/gguf/tokenizer_llama"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

/* Allocations that still succeed; negative when none fails. */
static int remaining = -1;

static bool exhausted(void)
{
    if (remaining < 0)
        return false;
    if (remaining > 0) {
        remaining--;
        return false;
    }
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return exhausted() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return exhausted() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return exhausted() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return exhausted() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t n)
{
    return exhausted() ? NULL : __real_strndup(text, n);
}

static vkdlm_status open_model(const char *dir, vkdlm_error *err)
{
    (void)dir;
    vkdlm_tensors *tensors;
    vkdlm_status status = vkdlm_tensors_open(INDEX, &tensors, err);
    vkdlm_tensors_close(tensors);
    return status;
}

static vkdlm_status write_model(const char *dir, vkdlm_error *err)
{
    static const vkdlm_tensor_spec specs[] = {{.name = "a", .n_dims = 1, .shape = {1}}, {.name = "b"}};
    static const char *const metadata[][2] = {{"k", "v"}};
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    vkdlm_tensors_writer *writer;
    vkdlm_status status = vkdlm_tensors_writer_create(path, specs, 2, metadata, 1, &writer, err);
    if (status)
        return status;
    status = vkdlm_tensors_writer_write(writer, 0, 0, "1234", 4, err);
    if (!status)
        status = vkdlm_tensors_writer_write(writer, 1, 0, "1234", 4, err);
    if (!status)
        return vkdlm_tensors_writer_finish(writer, err);
    vkdlm_tensors_writer_abort(writer);
    return status;
}

static vkdlm_status open_checkpoint(const char *dir, vkdlm_error *err)
{
    checkpoint *model;
    vkdlm_status status = checkpoint_open(dir, &model, err);
    checkpoint_close(model);
    return status;
}

static vkdlm_status open_gguf(const char *dir, vkdlm_error *err)
{
    (void)dir;
    return open_checkpoint(GGUF, err);
}

static vkdlm_status open_gguf_tokenizer(const char *dir, vkdlm_error *err)
{
    (void)dir;
    vkdlm_tokenizer *tokenizer;
    vkdlm_status status = vkdlm_tokenizer_open(GGUF, &tokenizer, err);
    vkdlm_tokenizer_close(tokenizer);
    return status;
}

/* Lets the first, the second, ... allocation fail until the call succeeds. */
static void exhaust(vkdlm_status (*call)(const char *, vkdlm_error *), const char *dir)
{
    for (int n = 0; n < 10000; n++) {
        vkdlm_error err = {0};
        remaining = n;
        vkdlm_status status = call(dir, &err);
        remaining = -1;
        if (status == VKDLM_OK) {
            assert_in_range(n, 5, 9999);
            return;
        }
        /* jansson takes some of its own failures for errors in the text. */
        bool misread = status == VKDLM_MALFORMED && strstr(err.message, "expected JSON");
        if (!misread && (status != VKDLM_OUT_OF_HOST_MEMORY || !strstr(err.message, "memory")))
            fail_msg("allocation %d: expected out of memory, found status %d and \"%s\"", n, status,
                     err.message);
    }
    fail_msg("expected success with enough memory");
}

static void exhausted_memory_is_a_status(void **state)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    exhaust(open_model, *state);
    exhaust(write_model, *state);
    assert_int_equal(temp_count_entries(*state), 1);
    temp_write_text(temp_path(*state, "config.json"), "{\"a\":[1,2.5,\"text\",{\"b\":null}]}");
    temp_write_text(temp_path(*state, "tokenizer.json"), "{}");
    exhaust(open_checkpoint, *state);
    exhaust(open_gguf, *state);
    exhaust(open_gguf_tokenizer, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exhausted_memory_is_a_status, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
