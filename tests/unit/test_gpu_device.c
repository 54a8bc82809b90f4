/* Enumeration, opening, selection, what happens without drivers or layers. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu_test.h"

/* Runs a check in a process of its own, where the environment can be changed before the loader reads it. */
static void run_in_child(bool (*check)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(check() ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool reports_no_device(void)
{
    vkdlm_error err;
    gpu_caps *caps = (gpu_caps *)&err;
    uint32_t count = 99;
    if (gpu_enumerate(&caps, &count, &err) != VKDLM_NO_DEVICE || caps || count != 0)
        return false;
    gpu_device *device = (gpu_device *)&err;
    if (gpu_device_open(NULL, &device, &err) != VKDLM_NO_DEVICE || device)
        return false;
    return gpu_device_open(NULL, &device, NULL) == VKDLM_NO_DEVICE &&
           strstr(err.message, "mesa-vulkan-drivers") && !strchr(err.message, '\n');
}

static bool without_drivers(void)
{
    setenv("VK_ICD_FILENAMES", "/nonexistent/driver.json", 1);
    setenv("VK_DRIVER_FILES", "/nonexistent/driver.json", 1);
    return reports_no_device();
}

static bool without_layers(void)
{
    setenv("VK_LAYER_PATH", "/nonexistent", 1);
    gpu_options options = {.validation = true};
    gpu_device *device;
    vkdlm_error err;
    return gpu_device_open(&options, &device, &err) == VKDLM_UNSUPPORTED && !device &&
           strstr(err.message, "VK_LAYER_KHRONOS_validation");
}

static void test_no_driver(void **state)
{
    (void)state;
    run_in_child(without_drivers);
}

static void test_no_layer(void **state)
{
    (void)state;
    run_in_child(without_layers);
}

static void test_enumerate(void **state)
{
    (void)state;
    gpu_caps *caps;
    uint32_t count;
    vkdlm_error err;
    gpu_test_ok(gpu_enumerate(&caps, &count, &err), &err);
    assert_true(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(caps[i].name[0] && caps[i].driver[0]);
        /* The limits that Vulkan guarantees. */
        assert_true(caps[i].max_storage_range_bytes >= (uint64_t)1 << 27);
        assert_true(caps[i].max_allocation_bytes >= (uint64_t)1 << 30);
        assert_true(caps[i].storage_alignment_bytes > 0 && caps[i].storage_alignment_bytes <= 256);
        assert_true(caps[i].max_shared_bytes >= 16384);
        assert_true(caps[i].max_invocations >= 128 && caps[i].max_workgroup_size_x >= 128);
        for (int k = 0; k < 3; k++)
            assert_true(caps[i].max_workgroups[k] >= 65535);
        assert_true(caps[i].max_push_bytes >= 128 && caps[i].max_storage_buffers >= 4);
        assert_true(caps[i].subgroup_size >= 1 && caps[i].subgroup_basic);
        assert_true(caps[i].min_subgroup_size <= caps[i].subgroup_size);
        assert_true(caps[i].max_subgroup_size >= caps[i].subgroup_size);
        assert_true(caps[i].device_memory_bytes > 0);
    }
    uint32_t best;
    gpu_test_ok(gpu_choose(caps, count, NULL, &best, &err), &err);
    gpu_test t;
    gpu_test_open(&t, (gpu_options){0});
    assert_string_equal(gpu_device_caps(t.device)->name, caps[best].name);
    assert_int_equal(gpu_test_close(&t), 0);
    free(caps);
}

static void test_select(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.select = "0"});
    assert_int_equal(gpu_test_close(&t), 0);
    gpu_device *device;
    vkdlm_error err;
    gpu_options wrong = {.select = "no such device"};
    assert_int_equal(gpu_device_open(&wrong, &device, &err), VKDLM_INVALID_ARGUMENT);
    assert_null(device);
    assert_non_null(strstr(err.message, "no such device"));
    assert_non_null(strstr(err.message, "0: "));
}

static void test_restrictions(void **state)
{
    (void)state;
    gpu_test t;
    gpu_test_open(&t, (gpu_options){.limit_storage_range_bytes = 65536,
                                    .limit_memory_bytes = 1 << 20,
                                    .forbid_subgroups = true});
    const gpu_caps *caps = gpu_device_caps(t.device);
    assert_int_equal(caps->max_storage_range_bytes, 65536);
    assert_int_equal(caps->device_memory_bytes, 1 << 20);
    assert_true(gpu_device_available_bytes(t.device) <= 1 << 20);
    assert_false(caps->subgroup_basic || caps->subgroup_shuffle || caps->subgroup_arithmetic ||
                 caps->subgroup_size_control || caps->cooperative_matrix);
    assert_int_equal(caps->subgroup_size, 1);
    assert_int_equal(gpu_test_close(&t), 0);
}

/* Two devices at once, closed in the order of opening. */
static void test_two_devices(void **state)
{
    (void)state;
    gpu_test a, b;
    gpu_test_open(&a, (gpu_options){0});
    gpu_test_open(&b, (gpu_options){0});
    uint32_t word = 42, found = 0;
    gpu_buffer in_a = gpu_test_buffer(&a, &word, sizeof word);
    gpu_test_read(&a, &in_a, &found, sizeof found);
    assert_int_equal(found, 42);
    gpu_buffer_destroy(&in_a);
    assert_int_equal(gpu_test_close(&a), 0);
    gpu_buffer in_b = gpu_test_buffer(&b, &word, sizeof word);
    gpu_buffer_destroy(&in_b);
    assert_int_equal(gpu_test_close(&b), 0);
    gpu_device_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_driver),    cmocka_unit_test(test_no_layer),
        cmocka_unit_test(test_enumerate),    cmocka_unit_test(test_select),
        cmocka_unit_test(test_restrictions), cmocka_unit_test(test_two_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
