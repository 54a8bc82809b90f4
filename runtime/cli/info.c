#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/model.h>

#include "commands.h"
#include "engine.h"
#include "info_path.h"
#include "locate.h"
#include "message.h"
#include "report.h"

typedef struct info_values {
    common_values common;
    option_value model, l2d;
} info_values;

static const option_spec model_specs[] = {
    ENGINE_MODEL_OPTION(offsetof(info_values, model)),
    ENGINE_L2D_OPTION(offsetof(info_values, l2d)),
};
static const option_group model_group = {"Model", model_specs, 2, false};
static const option_group *const groups[] = {&model_group, &options_common, NULL};

/* A hyperparameter as JSON: what its text says when that is JSON, else the text. */
static json_t *parameter_json(const char *value)
{
    json_error_t why;
    json_t *parsed = json_loads(value, JSON_DECODE_ANY, &why);
    return parsed ? parsed : json_string(value);
}

static json_t *list_configuration(const vkdlm_checkpoint *checkpoint)
{
    json_t *object = json_object();
    vkdlm_parameter parameter;
    for (size_t i = 0; object && vkdlm_checkpoint_parameter(checkpoint, i, &parameter); i++) {
        if (json_object_set_new(object, parameter.name, parameter_json(parameter.value))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static vkdlm_status report_json(const vkdlm_checkpoint *checkpoint, const vkdlm_checkpoint_info *info,
                                const info_path *path, vkdlm_error *err)
{
    return report_object(json_pack("{s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",                    //
                                   "path", report_string(info->path),                                  //
                                   "architecture", report_string(info->architecture),                  //
                                   "runnable", (int)info->runnable,                                    //
                                   "why_not", report_string(info->why_not),                            //
                                   "parameters", report_count(info->n_parameters),                     //
                                   "configuration", list_configuration(checkpoint),                    //
                                   "tokenizer", report_string(info->tokenizer),                        //
                                   "file_bytes", report_count(info->file_bytes),                       //
                                   "device_bytes", report_count(info->device_bytes),                   //
                                   "tensors", info_list_tensors(vkdlm_checkpoint_tensors(checkpoint)), //
                                   "l2d", info_path_json(path)),
                         err);
}

static vkdlm_status report_table(const vkdlm_checkpoint *checkpoint, const vkdlm_checkpoint_info *info,
                                 const info_path *path, vkdlm_error *err)
{
    const vkdlm_tensors *tensors = vkdlm_checkpoint_tensors(checkpoint);
    char sizes[160], verdict[1100] = "yes";
    vkdlm_parameter parameter;
    if (!info->runnable)
        snprintf(verdict, sizeof verdict, "no: %s", info->why_not);
    vkdlm_status status = info_report_field("path", info->path, err);
    if (!status)
        status = info_report_field("architecture", info->architecture, err);
    if (!status)
        status = info_report_field("can be run", verdict, err);
    snprintf(sizes, sizeof sizes, "%" PRIu64 " in %zu tensors, %.1f MB", info->n_parameters,
             vkdlm_tensors_count(tensors), (double)info->file_bytes / 1e6);
    if (!status)
        status = info_report_field("parameters", sizes, err);
    snprintf(sizes, sizeof sizes, "%.1f MB for weights and a batch of one", (double)info->device_bytes / 1e6);
    if (!status && info->runnable)
        status = info_report_field("on the device", sizes, err);
    if (!status)
        status = info_report_field("tokenizer", info->tokenizer ? info->tokenizer : "none", err);
    for (size_t i = 0; !status && vkdlm_checkpoint_parameter(checkpoint, i, &parameter); i++)
        status = info_report_field(parameter.name, parameter.value, err);
    if (!status)
        status = info_path_report(path, err);
    if (!status)
        status = info_report_tensors(tensors, err);
    if (!status && path->tensors)
        status = info_report_tensors(path->tensors, err);
    return status;
}

static int run_info(const command *cmd, void *values, const option_parse *parse)
{
    const info_values *v = values;
    vkdlm_checkpoint *checkpoint = NULL;
    vkdlm_checkpoint_info info = {0};
    vkdlm_error err = {0};
    info_path diffusion_path = {0};
    char *path = NULL, *l2d = NULL;
    vkdlm_status status = locate_model(v->model.text, &path, &err);
    if (!status && v->l2d.given)
        status = locate_model(v->l2d.text, &l2d, &err);
    if (!status)
        status = engine_describe(path, l2d, &checkpoint, &err);
    if (!status) {
        vkdlm_checkpoint_get_info(checkpoint, &info);
        if (info.runnable)
            status =
                options_check_model(cmd, values, parse, engine_kind(&info), path, info.architecture, &err);
    }
    if (!status)
        status = info_path_open(&diffusion_path, checkpoint, &err);
    if (!status)
        status = v->common.json.given ? report_json(checkpoint, &info, &diffusion_path, &err)
                                      : report_table(checkpoint, &info, &diffusion_path, &err);
    info_path_close(&diffusion_path);
    vkdlm_checkpoint_close(checkpoint);
    free(path);
    free(l2d);
    return status ? message_error(&err) : CLI_OK;
}

const command command_info = {
    .name = "info",
    .summary = "Describes a model file, also one that cannot be run: architecture, sizes, tensors, "
               "tokenizer, memory.",
    .arguments = "",
    .groups = groups,
    .notes =
        "--json: one object with \"architecture\", \"runnable\", \"why_not\", \"parameters\" (how many), "
        "\"configuration\", \"tokenizer\", \"file_bytes\", \"device_bytes\" and \"tensors\" (name, dtype, "
        "shape, "
        "bytes), and \"l2d\", null or the same of the diffusion path.",
    .values_size = sizeof(info_values),
    .run = run_info,
};
