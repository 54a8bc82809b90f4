#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "locate.h"
#include "message.h"
#include "signals.h"

vkdlm_status engine_describe(const char *path, const char *l2d, vkdlm_checkpoint **out, vkdlm_error *err)
{
    vkdlm_checkpoint *checkpoint = NULL;
    vkdlm_checkpoint_info info;
    vkdlm_status status = vkdlm_checkpoint_open(path, &checkpoint, err);
    *out = checkpoint;
    if (status || !l2d)
        return status;
    vkdlm_checkpoint_get_info(checkpoint, &info);
    /* A model that takes no path: the options that name one do not fit, wherever it is. */
    if (info.runnable && info.family == VKDLM_FAMILY_MASKED)
        return VKDLM_OK;
    vkdlm_checkpoint_close(checkpoint);
    return vkdlm_checkpoint_open_l2d(path, l2d, out, err);
}

enum model_kind engine_kind(const vkdlm_checkpoint_info *info)
{
    return info->family == VKDLM_FAMILY_MASKED ? MODEL_MASKED : info->flow.present ? MODEL_L2D : MODEL_CAUSAL;
}

/* Looks into the model that was located. */
static vkdlm_status examine(engine *e, const command *cmd, const void *values, const option_parse *parse,
                            vkdlm_error *err)
{
    vkdlm_checkpoint *checkpoint = NULL;
    vkdlm_checkpoint_info info;
    char description[80];
    vkdlm_status status = engine_describe(e->path, e->l2d, &checkpoint, err);
    if (status)
        return status;
    vkdlm_checkpoint_get_info(checkpoint, &info);
    e->kind = engine_kind(&info);
    snprintf(description, sizeof description, "%.40s%s", info.architecture,
             e->kind == MODEL_MASKED ? ""
             : e->kind == MODEL_L2D  ? " with a diffusion path"
                                     : " without a diffusion path");
    if (!e->tokenizer_path && info.tokenizer) {
        e->tokenizer_path = strdup(info.tokenizer);
        if (!e->tokenizer_path)
            status = message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a path");
    }
    if (!status && !info.runnable)
        status = message_set(err, VKDLM_UNSUPPORTED, "%s", info.why_not);
    if (!status)
        status = options_check_model(cmd, values, parse, e->kind, e->path, description, err);
    vkdlm_checkpoint_close(checkpoint);
    return status;
}

vkdlm_status engine_find(engine *e, const command *cmd, const void *values, const option_parse *parse,
                         const engine_names *names, vkdlm_error *err)
{
    *e = (engine){.common = values};
    e->verbose = e->common->verbose.given;
    progress_init(&e->bar, e->common->quiet.given);
    vkdlm_status status = locate_model(names->model, &e->path, err);
    if (!status && names->l2d)
        status = locate_model(names->l2d, &e->l2d, err);
    if (!status && names->tokenizer)
        status = locate_model(names->tokenizer, &e->tokenizer_path, err);
    return status ? status : examine(e, cmd, values, parse, err);
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

vkdlm_status engine_open(engine *e, vkdlm_error *err)
{
    vkdlm_device_options device = {.select = e->common->device.text,
                                   .memory_limit_bytes = e->common->memory_limit.count << 20};
    vkdlm_model_options options = {
        .progress = on_upload, .user = e, .tokenizer = e->tokenizer_path, .l2d = e->l2d};
    double begun = progress_now();
    signals_catch();
    vkdlm_status status = vkdlm_device_open(&device, &e->device, err);
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
    free(e->l2d);
    free(e->tokenizer_path);
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
