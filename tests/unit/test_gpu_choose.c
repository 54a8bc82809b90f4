/* Which device is taken, from tables of invented ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/gpu.h"

#define GIB ((uint64_t)1 << 30)

static const gpu_caps machine[] = {
    {.name = "llvmpipe (LLVM 15)", .type = GPU_TYPE_CPU, .device_memory_bytes = 64 * GIB},
    {.name = "Intel(R) UHD Graphics 620", .type = GPU_TYPE_INTEGRATED, .device_memory_bytes = 16 * GIB},
    {.name = "NVIDIA GeForce RTX 4090", .type = GPU_TYPE_DISCRETE, .device_memory_bytes = 24 * GIB},
    {.name = "AMD Radeon PRO W7900", .type = GPU_TYPE_DISCRETE, .device_memory_bytes = 48 * GIB},
    {.name = "AMD Radeon RX 580", .type = GPU_TYPE_DISCRETE, .device_memory_bytes = 8 * GIB},
    {.name = "Virtio-GPU Venus", .type = GPU_TYPE_VIRTUAL, .device_memory_bytes = 96 * GIB},
};

static void test_choices(void **state)
{
    (void)state;
    static const struct {
        const char *select;
        uint32_t first, count; /* of machine */
        uint32_t index;        /* within them */
    } rows[] = {
        {NULL, 0, 6, 3},   {NULL, 0, 2, 1},   {NULL, 0, 1, 0},       {NULL, 0, 3, 2},
        {NULL, 5, 1, 0},   {"0", 0, 6, 0},    {"5", 0, 6, 5},        {"radeon", 0, 6, 3},
        {"rx 5", 0, 6, 4}, {"4090", 0, 6, 2}, {"LLVMPIPE", 0, 6, 0}, {"620", 0, 6, 1},
        {"amd", 3, 2, 0},  {"a", 0, 6, 3},    {"Venus", 0, 6, 5},    {"03", 0, 6, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t index = 99;
        vkdlm_error err;
        assert_int_equal(gpu_choose(machine + rows[i].first, rows[i].count, rows[i].select, &index, &err),
                         VKDLM_OK);
        if (index != rows[i].index)
            fail_msg("row %zu: device %u instead of %u", i, index, rows[i].index);
    }
}

/* Equals: the first. */
static void test_equal_devices(void **state)
{
    (void)state;
    const gpu_caps two[] = {{.name = "A", .type = GPU_TYPE_DISCRETE, .device_memory_bytes = GIB},
                            {.name = "A", .type = GPU_TYPE_DISCRETE, .device_memory_bytes = GIB}};
    uint32_t index = 99;
    assert_int_equal(gpu_choose(two, 2, NULL, &index, NULL), VKDLM_OK);
    assert_int_equal(index, 0);
    assert_int_equal(gpu_choose(two, 2, "a", &index, NULL), VKDLM_OK);
    assert_int_equal(index, 0);
}

static void test_errors_name_what_exists(void **state)
{
    (void)state;
    static const char *const wrong[] = {"6", "99999999999999999999", "geforce rtx 3090", "", "-1", "4091"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t index = 99;
        vkdlm_error err;
        assert_int_equal(gpu_choose(machine, 6, wrong[i], &index, &err), VKDLM_INVALID_ARGUMENT);
        assert_int_equal(err.status, VKDLM_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, wrong[i]));
        assert_non_null(strstr(err.message, "2: NVIDIA GeForce RTX 4090"));
        assert_int_equal(index, 99);
    }
    uint32_t index;
    vkdlm_error err;
    assert_int_equal(gpu_choose(machine, 0, NULL, &index, &err), VKDLM_NO_DEVICE);
    assert_int_equal(gpu_choose(machine, 0, "0", &index, NULL), VKDLM_NO_DEVICE);
}

/* A hundred long names do not overflow the message. */
static void test_many_names(void **state)
{
    (void)state;
    static gpu_caps many[100];
    for (int i = 0; i < 100; i++) {
        memset(many[i].name, 'x', sizeof many[i].name - 1);
        many[i].name[sizeof many[i].name - 1] = 0;
    }
    uint32_t index;
    vkdlm_error err;
    assert_int_equal(gpu_choose(many, 100, "y", &index, &err), VKDLM_INVALID_ARGUMENT);
    assert_true(strlen(err.message) < sizeof err.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_equal_devices),
        cmocka_unit_test(test_errors_name_what_exists),
        cmocka_unit_test(test_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
