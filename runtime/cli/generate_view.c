/* `generate --view`: the run goes on in the viewer's window. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "message.h"
#include "viewer.h"

/* What cannot be had in the window. */
static vkdlm_status check_view(const generate_run *r, const vkdlm_complete_options *causal, vkdlm_error *err)
{
    const generate_values *v = r->values;
    const struct {
        const option_value *value;
        const char *name;
    } others[] = {{&v->common.json, "json"}, {&v->show, "show"},   {&v->prompts, "prompts"},
                  {&v->chat, "chat"},        {&v->noise, "noise"}, {&v->common.memory_limit, "memory-limit"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].value->given)
            return message_set(err, VKDLM_INVALID_ARGUMENT, "'--view' and '--%s' exclude each other",
                               others[i].name);
    if (v->num_samples.count != 1)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--view' shows one sample, but %" PRIu64 " were asked for", v->num_samples.count);
    if (causal && causal->flow.off && v->trajectory.given)
        return generate_refuse_base(err);
    if (r->given_size && memchr(r->given, 0, r->given_size))
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--view' takes a text, but what is given has a byte that is 0");
    return VKDLM_OK;
}

/* What the window does not have to find out. */
static vkdlm_status check_ids(const generate_run *r, vkdlm_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    if (!r->values->ids.given)
        return VKDLM_OK;
    vkdlm_status status = canvas_read_ids("'--ids'", r->given, r->given_size, &ids, &n, err);
    free(ids);
    return status;
}

/* The options with what the model gives, as JSON; to be freed. */
static vkdlm_status write_run(const generate_run *r, const vkdlm_generate_options *masked,
                              const vkdlm_complete_options *causal, char **run, vkdlm_error *err)
{
    vkdlm_checkpoint *checkpoint = NULL;
    vkdlm_checkpoint_info info;
    vkdlm_status status = engine_describe(r->engine.path, r->engine.l2d, &checkpoint, err);
    *run = NULL;
    if (status)
        return status;
    vkdlm_checkpoint_get_info(checkpoint, &info);
    *run = masked ? vkdlm_generate_options_write(masked) : vkdlm_complete_options_write(causal, &info.flow);
    vkdlm_checkpoint_close(checkpoint);
    return *run ? VKDLM_OK : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the options");
}

vkdlm_status generate_view(generate_run *r, const vkdlm_generate_options *masked,
                           const vkdlm_complete_options *causal, vkdlm_error *err)
{
    const generate_values *v = r->values;
    viewer_words w = {0};
    char *run = NULL, number[24];
    vkdlm_status status = check_view(r, causal, err);
    if (!status)
        status = check_ids(r, err);
    if (!status)
        status = write_run(r, masked, causal, &run, err);
    if (status)
        return status;
    viewer_add(&w, "live", r->engine.path);
    if (r->engine.l2d)
        viewer_add(&w, "l2d", r->engine.l2d);
    if (v->tokenizer.given)
        viewer_add(&w, "tokenizer", r->engine.tokenizer_path);
    if (v->common.device.given)
        viewer_add(&w, "device", v->common.device.text);
    viewer_add(&w, "given", v->template_text.given ? "masks" : v->ids.given ? "ids" : "prompt");
    viewer_add(&w, "text", r->given ? r->given : "");
    if (v->length.given) {
        snprintf(number, sizeof number, "%" PRIu64, v->length.count);
        viewer_add(&w, "length", number);
    }
    viewer_add(&w, "run", run);
    snprintf(number, sizeof number, "%" PRIu64, v->seed.count);
    viewer_add(&w, "seed", number);
    if (v->trajectory.given)
        viewer_add(&w, "save", v->trajectory.text);
    free(run);
    return viewer_start(&w, "'--show' draws the run on a terminal", err);
}
