#include "engine.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "signals.h"

#define BUNDLED_MODEL "kjv-mdlm"

/* Directory of the running program, "" when it cannot be found out. */
static void program_directory(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 1);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
}

vkdlm_status engine_locate(const char *given, char **path, vkdlm_error *err)
{
    char program[PATH_MAX], beside[PATH_MAX + 64];
    *path = NULL;
    if (!given) {
        program_directory(program, sizeof program);
        snprintf(beside, sizeof beside, "%s/../share/vkdlm/models/" BUNDLED_MODEL, program);
        const char *const places[] = {beside, VKDLM_INSTALLED_MODELS "/" BUNDLED_MODEL,
                                      VKDLM_SOURCE_MODELS "/" BUNDLED_MODEL};
        for (size_t i = 0; i < sizeof places / sizeof *places && !given; i++)
            if (!access(places[i], R_OK))
                given = places[i];
        if (!given)
            return message_set(
                err, VKDLM_NOT_FOUND,
                "the bundled model is not in '%.300s', '%.300s' or '%.300s'; '-m MODEL' names another",
                places[0], places[1], places[2]);
    }
    *path = strdup(given);
    return *path ? VKDLM_OK : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a path");
}

/* Refuses a model that cannot be run and options that it does not take, without a device. */
static vkdlm_status check_model(const engine *e, const command *cmd, const option_parse *parse,
                                vkdlm_error *err)
{
    vkdlm_checkpoint *checkpoint = NULL;
    vkdlm_checkpoint_info info;
    vkdlm_status status = vkdlm_checkpoint_open(e->path, &checkpoint, err);
    if (status)
        return status;
    vkdlm_checkpoint_get_info(checkpoint, &info);
    if (!info.runnable)
        status = message_set(err, VKDLM_UNSUPPORTED, "%s", info.why_not);
    else if (parse->misfit)
        status = options_misfit(cmd, parse, e->path, info.architecture, err);
    vkdlm_checkpoint_close(checkpoint);
    return status;
}

static bool on_upload(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    engine *e = user;
    char detail[64];
    snprintf(detail, sizeof detail, "%.1f of %.1f MB", (double)done_bytes / 1e6, (double)total_bytes / 1e6);
    progress_update(&e->bar, total_bytes ? (double)done_bytes / (double)total_bytes : 1, detail);
    return !signals_pending();
}

/* Says how long a phase took and starts the next. */
static void lap(const engine *e, const char *what, double *begun)
{
    double now = progress_now();
    if (e->verbose)
        message_note("%s: %.3f s", what, now - *begun);
    *begun = now;
}

static vkdlm_status interrupted(vkdlm_error *err)
{
    return signals_pending() ? message_set(err, VKDLM_CANCELLED, "interrupted") : VKDLM_OK;
}

vkdlm_status engine_open(engine *e, const command *cmd, const option_parse *parse,
                         const common_values *common, const char *model, const char *tokenizer,
                         vkdlm_error *err)
{
    vkdlm_device_options device = {.select = common->device.text,
                                   .memory_limit_bytes = common->memory_limit.count << 20};
    vkdlm_model_options options = {.progress = on_upload, .user = e, .tokenizer = tokenizer};
    double begun = progress_now();
    *e = (engine){.verbose = common->verbose.given};
    progress_init(&e->bar, common->quiet.given);
    vkdlm_status status = engine_locate(model, &e->path, err);
    if (!status)
        status = check_model(e, cmd, parse, err);
    if (status)
        return status;
    lap(e, "reading the model's description", &begun);
    signals_catch();
    status = vkdlm_device_open(&device, &e->device, err);
    if (!status)
        status = interrupted(err);
    if (status)
        return status;
    vkdlm_device_get_info(e->device, &e->device_info);
    if (e->verbose)
        message_note("device: %s (%s)", e->device_info.name, e->device_info.driver);
    lap(e, "opening the device", &begun);
    progress_begin(&e->bar, "loading");
    status = message_blame_file(vkdlm_model_open(e->device, e->path, &options, &e->model, err), err);
    progress_clear(&e->bar);
    if (status)
        return status;
    vkdlm_model_get_info(e->model, &e->info);
    e->tokenizer = vkdlm_model_tokenizer(e->model);
    lap(e, "loading the model", &begun);
    status = vkdlm_session_create(e->model, &e->session, err);
    if (!status)
        status = interrupted(err);
    if (!status)
        lap(e, "creating the session", &begun);
    return status;
}

void engine_close(engine *e)
{
    vkdlm_session_destroy(e->session);
    vkdlm_model_close(e->model);
    vkdlm_device_close(e->device);
    free(e->path);
    *e = (engine){0};
}

int engine_finish(engine *e, vkdlm_status status, const vkdlm_error *err)
{
    progress_clear(&e->bar);
    if (!status)
        return CLI_OK;
    int code = message_error(err);
    return status == VKDLM_CANCELLED && signals_pending() ? signals_exit_status() : code;
}
