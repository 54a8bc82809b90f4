/* What tests on a device share: a device opened per test group, buffers from arrays, one dispatch,
 * comparisons. Failures end the running cmocka test. */
#ifndef GPU_TEST_H
#define GPU_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gpu/gpu.h"

typedef struct gpu_test {
    gpu_device *device;
    gpu_commands *commands;
    unsigned n_messages; /* of the validation layer so far */
} gpu_test;

/* Group fixtures; *state is a gpu_test. Environment: VKDLM_TEST_VALIDATION=1 opens the device with
 * validation, and any message of the device's life fails the group; VKDLM_TEST_NO_SUBGROUPS=1 forbids
 * subgroup operations. */
int gpu_test_setup(void **state);
int gpu_test_teardown(void **state);

/* The same for tests that need special options: validation and message are set as the environment says. */
void gpu_test_open(gpu_test *test, gpu_options options);
/* Returns the number of validation messages of the device's life, after printing them. */
unsigned gpu_test_close(gpu_test *test);

/* A device buffer with these contents (NULL: every word is NaN, so that what is never written shows). */
gpu_buffer gpu_test_buffer(gpu_test *test, const void *data, size_t n_bytes);
/* Copies the first n_bytes back. */
void gpu_test_read(gpu_test *test, const gpu_buffer *buffer, void *out, size_t n_bytes);

/* Begins a recording; submits it and fails the test when that fails. */
gpu_commands *gpu_test_begin(gpu_test *test);
void gpu_test_submit(gpu_test *test);

/* Begins, records one dispatch, submits. */
void gpu_test_run(gpu_test *test, enum gpu_kernel kernel, const gpu_spec *spec, const gpu_view *views,
                  uint32_t n_views, const void *push, uint32_t push_bytes, uint32_t x, uint32_t y,
                  uint32_t z);

/* Deterministic floats in [low, high), the same for the same seed. */
void gpu_test_random(float *out, size_t n, uint64_t seed, float low, float high);

/* Fails, naming `what`, the index, the expected and the found value, unless |found - expected| <= absolute +
 * relative * |expected| everywhere; a NaN found where none is expected fails (and the reverse). */
void gpu_test_compare(const char *what, const double *expected, const float *found, size_t n, double absolute,
                      double relative);

/* The same for a matrix in rows of ld floats, expected in rows of n_columns; columns n_columns .. ld-1 must
 * be 0. */
void gpu_test_compare_rows(const char *what, const double *expected, const float *found, size_t n_rows,
                           size_t n_columns, size_t ld, double absolute, double relative);

/* malloc and calloc that fail the test. */
void *gpu_test_alloc(size_t n_bytes);

/* Fails with the error's message unless status is VKDLM_OK. */
void gpu_test_ok(vkdlm_status status, const vkdlm_error *err);

#endif
