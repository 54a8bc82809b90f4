#include "gpu_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "environment.h"

static void on_message(void *user, const char *message)
{
    gpu_test *test = user;
    test->n_messages++;
    print_error("validation: %s\n", message);
}

void gpu_test_ok(vkdlm_status status, const vkdlm_error *err)
{
    if (status != VKDLM_OK)
        fail_msg("%s: %s", vkdlm_status_text(status), err->message);
}

void *gpu_test_alloc(size_t n_bytes)
{
    void *p = calloc(n_bytes ? n_bytes : 1, 1);
    assert_non_null(p);
    return p;
}

void gpu_test_open(gpu_test *test, gpu_options options)
{
    memset(test, 0, sizeof *test);
    options.validation = environment_is_set("VKDLM_TEST_VALIDATION");
    options.message = on_message;
    options.message_user = test;
    vkdlm_error err;
    gpu_test_ok(gpu_device_open(&options, &test->device, &err), &err);
    gpu_test_ok(gpu_commands_create(test->device, &test->commands, &err), &err);
}

unsigned gpu_test_close(gpu_test *test)
{
    gpu_commands_destroy(test->commands);
    uint64_t left = test->device ? gpu_device_bytes(test->device) : 0;
    gpu_device_close(test->device);
    if (left > 0)
        print_error("%llu bytes of device memory were not freed\n", (unsigned long long)left);
    test->commands = NULL;
    test->device = NULL;
    return test->n_messages + (left > 0);
}

int gpu_test_setup(void **state)
{
    gpu_test *test = gpu_test_alloc(sizeof *test);
    *state = test;
    gpu_options options = {.forbid_subgroups = environment_is_set("VKDLM_TEST_NO_SUBGROUPS")};
    gpu_test_open(test, options);
    return 0;
}

int gpu_test_teardown(void **state)
{
    unsigned bad = gpu_test_close(*state);
    free(*state);
    *state = NULL;
    return bad ? -1 : 0;
}

gpu_commands *gpu_test_begin(gpu_test *test)
{
    vkdlm_error err;
    gpu_test_ok(gpu_commands_begin(test->commands, &err), &err);
    return test->commands;
}

void gpu_test_submit(gpu_test *test)
{
    vkdlm_error err;
    gpu_test_ok(gpu_submit_wait(test->commands, &err), &err);
}

gpu_buffer gpu_test_buffer(gpu_test *test, const void *data, size_t n_bytes)
{
    vkdlm_error err;
    gpu_buffer buffer, staging;
    gpu_test_ok(gpu_buffer_create(test->device, GPU_MEMORY_DEVICE, n_bytes, "test data", &buffer, &err),
                &err);
    gpu_test_ok(gpu_buffer_create(test->device, GPU_MEMORY_UPLOAD, n_bytes, "test staging", &staging, &err),
                &err);
    memset(staging.mapped, 0xFF, staging.size_bytes);
    if (data)
        memcpy(staging.mapped, data, n_bytes);
    gpu_commands *c = gpu_test_begin(test);
    gpu_copy(c, &staging, 0, &buffer, 0, buffer.size_bytes);
    gpu_test_submit(test);
    gpu_buffer_destroy(&staging);
    return buffer;
}

void gpu_test_read(gpu_test *test, const gpu_buffer *buffer, void *out, size_t n_bytes)
{
    vkdlm_error err;
    gpu_buffer staging;
    gpu_test_ok(gpu_buffer_create(test->device, GPU_MEMORY_READBACK, n_bytes, "test staging", &staging, &err),
                &err);
    gpu_commands *c = gpu_test_begin(test);
    gpu_copy(c, buffer, 0, &staging, 0, n_bytes);
    gpu_test_submit(test);
    memcpy(out, staging.mapped, n_bytes);
    gpu_buffer_destroy(&staging);
}

void gpu_test_run(gpu_test *test, enum gpu_kernel kernel, const gpu_spec *spec, const gpu_view *views,
                  uint32_t n_views, const void *push, uint32_t push_bytes, uint32_t x, uint32_t y, uint32_t z)
{
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    gpu_test_ok(gpu_pipeline_get(test->device, kernel, spec, &pipeline, &err), &err);
    gpu_commands *c = gpu_test_begin(test);
    gpu_dispatch(c, pipeline, views, n_views, push, push_bytes, x, y, z);
    gpu_test_submit(test);
}

void gpu_test_random(float *out, size_t n, uint64_t seed, float low, float high)
{
    for (size_t i = 0; i < n; i++) {
        rng_block block = rng_philox(seed, (uint32_t)i, (uint32_t)(i >> 32), 0, 0);
        out[i] = low + (high - low) * (float)(block.word[0] >> 8) * 0x1p-24f;
    }
}

/* Written so that a NaN on either side alone is a difference. */
static bool is_close(double expected, double found, double absolute, double relative)
{
    if (isnan(expected))
        return isnan(found);
    return expected == found || fabs(found - expected) <= absolute + relative * fabs(expected);
}

void gpu_test_compare(const char *what, const double *expected, const float *found, size_t n, double absolute,
                      double relative)
{
    gpu_test_compare_rows(what, expected, found, 1, n, n, absolute, relative);
}

void gpu_test_compare_rows(const char *what, const double *expected, const float *found, size_t n_rows,
                           size_t n_columns, size_t ld, double absolute, double relative)
{
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t c = 0; c < n_columns; c++) {
            double e = expected[r * n_columns + c], f = (double)found[r * ld + c];
            if (!is_close(e, f, absolute, relative))
                fail_msg("%s: row %zu, column %zu (of %zu x %zu): expected %.9g, found %.9g, difference %.3g",
                         what, r, c, n_rows, n_columns, e, f, fabs(e - f));
        }
        for (size_t c = n_columns; c < ld; c++)
            if (!(found[r * ld + c] == 0))
                fail_msg("%s: row %zu: pad column %zu (of %zu) is %.9g instead of 0", what, r, c, ld,
                         (double)found[r * ld + c]);
    }
}
