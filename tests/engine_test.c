#include "engine_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "environment.h"

static void on_message(void *user, const char *message)
{
    engine_test *engine = user;
    engine->n_messages++;
    print_error("validation: %s\n", message);
}

void engine_test_ok(vkdlm_status status, const vkdlm_error *err)
{
    if (status != VKDLM_OK)
        fail_msg("%s: %s", vkdlm_status_text(status), err->message);
}

int engine_test_setup(void **state)
{
    engine_test *engine = calloc(1, sizeof *engine);
    if (!engine)
        return -1;
    vkdlm_device_options options = {.cache_dir = "",
                                    .validation = environment_is_set("VKDLM_TEST_VALIDATION"),
                                    .on_message = on_message,
                                    .user = engine};
    vkdlm_error err = {0};
    if (vkdlm_device_open(&options, &engine->device, &err)) {
        print_error("%s\n", err.message);
        free(engine);
        return -1;
    }
    *state = engine;
    return 0;
}

int engine_test_teardown(void **state)
{
    engine_test *engine = *state;
    engine_test_close_model(engine);
    vkdlm_device_close(engine->device);
    unsigned n_messages = engine->n_messages;
    free(engine);
    return n_messages ? -1 : 0;
}

void engine_test_model(engine_test *engine, const char *path)
{
    engine_test_close_model(engine);
    vkdlm_error err;
    engine_test_ok(vkdlm_model_open(engine->device, path, NULL, &engine->model, &err), &err);
    engine_test_ok(vkdlm_session_create(engine->model, &engine->session, &err), &err);
}

void engine_test_close_model(engine_test *engine)
{
    vkdlm_session_destroy(engine->session);
    vkdlm_model_close(engine->model);
    engine->session = NULL;
    engine->model = NULL;
}
