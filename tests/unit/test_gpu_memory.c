/* Buffers, limits and their messages, the upload ring. */
#include <stdlib.h>
#include <string.h>

#include "gpu_test.h"

static void test_accounting(void **state)
{
    gpu_test *t = *state;
    uint64_t before = gpu_device_bytes(t->device);
    gpu_buffer a, b;
    vkdlm_error err;
    gpu_test_ok(gpu_buffer_create(t->device, GPU_MEMORY_DEVICE, 1000, "a", &a, &err), &err);
    assert_int_equal(a.size_bytes, 1008);
    assert_null(a.mapped);
    gpu_test_ok(gpu_buffer_create(t->device, GPU_MEMORY_READBACK, 0, "b", &b, &err), &err);
    assert_int_equal(b.size_bytes, 16);
    assert_non_null(b.mapped);
    assert_int_equal(gpu_device_bytes(t->device), before + 1024);
    gpu_buffer_destroy(&a);
    gpu_buffer_destroy(&a);
    assert_int_equal(gpu_device_bytes(t->device), before + 16);
    gpu_buffer_destroy(&b);
    assert_int_equal(gpu_device_bytes(t->device), before);
    assert_true(gpu_device_peak_bytes(t->device) >= before + 1024);
}

static void test_limits(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.limit_memory_bytes = 100000});
    gpu_buffer a, b;
    vkdlm_error err;
    gpu_test_ok(gpu_buffer_create(t.device, GPU_MEMORY_DEVICE, 60000, "weights", &a, &err), &err);
    memset(&b, 1, sizeof b);
    assert_int_equal(gpu_buffer_create(t.device, GPU_MEMORY_DEVICE, 60000, "activations", &b, &err),
                     VKDLM_OUT_OF_DEVICE_MEMORY);
    assert_null(b.device);
    assert_non_null(strstr(err.message, "activations need 60000 bytes"));
    assert_non_null(strstr(err.message, "40000 left"));
    gpu_buffer_destroy(&b);
    gpu_test_ok(gpu_buffer_create(t.device, GPU_MEMORY_DEVICE, 40000, "activations", &b, &err), &err);
    assert_int_equal(gpu_device_available_bytes(t.device), 0);
    gpu_buffer_destroy(&a);
    gpu_buffer_destroy(&b);

    uint64_t most = gpu_device_caps(t.device)->max_allocation_bytes;
    const uint64_t sizes[] = {most + 1, UINT64_MAX, UINT64_MAX - 15, UINT64_MAX / 2};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(gpu_buffer_create(t.device, GPU_MEMORY_DEVICE, sizes[i], "cache", &a, &err),
                         VKDLM_OUT_OF_DEVICE_MEMORY);
        assert_non_null(strstr(err.message, "cache"));
        assert_non_null(strstr(err.message, gpu_device_caps(t.device)->name));
    }
    assert_int_equal(gpu_device_bytes(t.device), 0);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* More than the device has, in allowed pieces: a status, and everything can be freed. */
static void test_exhaustion(void **state)
{
    gpu_test *t = *state;
    if (gpu_device_caps(t->device)->type != GPU_TYPE_CPU)
        skip(); /* filling a real device disturbs whoever else uses it */
    uint64_t piece = gpu_device_caps(t->device)->max_allocation_bytes / 16 * 16;
    gpu_buffer buffers[256];
    vkdlm_error err;
    vkdlm_status status = VKDLM_OK;
    int n = 0;
    while (n < 256 && !status) {
        status = gpu_buffer_create(t->device, GPU_MEMORY_DEVICE, piece, "everything", &buffers[n], &err);
        n += status == VKDLM_OK;
    }
    for (int i = 0; i < n; i++)
        gpu_buffer_destroy(&buffers[i]);
    assert_int_equal(status, VKDLM_OUT_OF_DEVICE_MEMORY);
}

/* Pieces of every size through a small ring, some overwriting earlier ones, arrive in order. */
static void test_upload(void **state)
{
    gpu_test *t = *state;
    enum { HALF = 4096, TARGET = 100000 };
    gpu_upload *upload;
    vkdlm_error err;
    gpu_buffer target;
    gpu_test_ok(gpu_upload_create(t->device, HALF, &upload, &err), &err);
    assert_int_equal(gpu_upload_max_bytes(upload), HALF);
    gpu_test_ok(gpu_buffer_create(t->device, GPU_MEMORY_DEVICE, TARGET, "target", &target, &err), &err);
    unsigned char *expected = gpu_test_alloc(TARGET), *found = gpu_test_alloc(TARGET);

    uint32_t random = 1;
    for (int round = 0; round < 3; round++) {
        uint64_t at = 0;
        while (at < TARGET) {
            random = random * 1664525u + 1013904223u;
            uint64_t bytes = round == 0 ? HALF : 1 + (random >> 8) % HALF;
            if (bytes > TARGET - at)
                bytes = TARGET - at;
            void *out;
            gpu_test_ok(gpu_upload_reserve(upload, &target, at, bytes, &out, &err), &err);
            for (uint64_t i = 0; i < bytes; i++)
                expected[at + i] = ((unsigned char *)out)[i] =
                    (unsigned char)(random + i * 7 + (uint64_t)round);
            at = (at + bytes) / 4 * 4 + (bytes < 4 ? 4 : 0);
            if (round == 2 && at > 50000)
                at += HALF; /* gaps keep the previous round */
        }
    }
    gpu_test_ok(gpu_upload_flush(upload, &err), &err);
    gpu_test_ok(gpu_upload_flush(upload, &err), &err);
    gpu_test_read(t, &target, found, TARGET);
    assert_memory_equal(found, expected, TARGET);

    void *out;
    assert_int_equal(gpu_upload_reserve(upload, &target, 0, HALF + 1, &out, &err), VKDLM_INTERNAL);
    assert_int_equal(gpu_upload_reserve(upload, &target, TARGET - 8, 100, &out, &err), VKDLM_INTERNAL);
    assert_int_equal(gpu_upload_reserve(upload, &target, 2, 100, &out, &err), VKDLM_INTERNAL);
    assert_null(out);
    /* Destroying with pieces waiting or in flight is clean. */
    for (int i = 0; i < 3; i++)
        gpu_test_ok(gpu_upload_reserve(upload, &target, 0, HALF, &out, &err), &err);
    gpu_upload_destroy(upload);
    gpu_upload_destroy(NULL);
    gpu_buffer_destroy(&target);
    free(expected);
    free(found);
}

static void test_upload_create_fails(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.limit_memory_bytes = 10000});
    gpu_upload *upload;
    vkdlm_error err;
    assert_int_equal(gpu_upload_create(t.device, 8192, &upload, &err), VKDLM_OUT_OF_DEVICE_MEMORY);
    assert_null(upload);
    assert_int_equal(gpu_upload_create(t.device, 0, &upload, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(gpu_upload_create(t.device, UINT64_MAX, &upload, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(gpu_test_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accounting),          cmocka_unit_test(test_limits),
        cmocka_unit_test(test_exhaustion),          cmocka_unit_test(test_upload),
        cmocka_unit_test(test_upload_create_fails),
    };
    return cmocka_run_group_tests(tests, gpu_test_setup, gpu_test_teardown);
}
