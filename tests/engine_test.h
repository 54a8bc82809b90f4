/* What tests of the public API share: one device per test group, one open model at a time.
 * VKDLM_TEST_VALIDATION=1 opens the device with validation; any message then fails the group. */
#ifndef ENGINE_TEST_H
#define ENGINE_TEST_H

#include <stdbool.h>

#include <vkdlm/vkdlm.h>

typedef struct engine_test {
    vkdlm_device *device;
    vkdlm_model *model;
    vkdlm_session *session;
    unsigned n_messages; /* of the validation layer */
} engine_test;

/* Group fixtures; *state is an engine_test. */
int engine_test_setup(void **state);
int engine_test_teardown(void **state);

/* Opens a model directory and a session on it; the test fails when that fails. */
void engine_test_model(engine_test *engine, const char *path);
void engine_test_close_model(engine_test *engine);

/* Fails with the error's message unless status is VKDLM_OK. */
void engine_test_ok(vkdlm_status status, const vkdlm_error *err);

#endif
