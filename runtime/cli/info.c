#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/model.h>

#include "commands.h"
#include "engine.h"
#include "message.h"
#include "report.h"

typedef struct info_values {
    common_values common;
    option_value model;
} info_values;

static const option_spec model_specs[] = {ENGINE_MODEL_OPTION(offsetof(info_values, model))};
static const option_group model_group = {"Model", model_specs, 1, false};
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

static json_t *list_shape(const vkdlm_tensor *tensor)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; shape && i < tensor->n_dims; i++) {
        if (json_array_append_new(shape, report_count(tensor->shape[i]))) {
            json_decref(shape);
            return NULL;
        }
    }
    return shape;
}

static json_t *list_tensors(const vkdlm_tensors *tensors)
{
    json_t *list = json_array();
    const vkdlm_tensor *tensor = NULL;
    for (size_t i = 0; list && (tensor = vkdlm_tensors_at(tensors, i)); i++) {
        json_t *entry =
            json_pack("{s:s,s:s,s:o,s:o}", "name", tensor->name, "dtype", vkdlm_dtype_name(tensor->dtype),
                      "shape", list_shape(tensor), "bytes", report_count(tensor->n_bytes));
        if (json_array_append_new(list, entry)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static vkdlm_status report_json(const vkdlm_checkpoint *checkpoint, const vkdlm_checkpoint_info *info,
                                vkdlm_error *err)
{
    return report_object(json_pack("{s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",       //
                                   "path", report_string(info->path),                 //
                                   "architecture", report_string(info->architecture), //
                                   "runnable", (int)info->runnable,                   //
                                   "why_not", report_string(info->why_not),           //
                                   "parameters", report_count(info->n_parameters),    //
                                   "configuration", list_configuration(checkpoint),   //
                                   "tokenizer", report_string(info->tokenizer),       //
                                   "file_bytes", report_count(info->file_bytes),      //
                                   "device_bytes", report_count(info->device_bytes),  //
                                   "tensors", list_tensors(vkdlm_checkpoint_tensors(checkpoint))),
                         err);
}

static vkdlm_status report_tensors(const vkdlm_tensors *tensors, vkdlm_error *err)
{
    vkdlm_status status = report_line(err, "\n%-48s %-8s %12s  shape", "tensor", "type", "bytes");
    const vkdlm_tensor *tensor = NULL;
    for (size_t i = 0; !status && (tensor = vkdlm_tensors_at(tensors, i)); i++) {
        char shape[VKDLM_MAX_DIMS * 24] = "";
        char name[256];
        size_t used = 0;
        for (uint32_t k = 0; k < tensor->n_dims; k++) {
            int n =
                snprintf(shape + used, sizeof shape - used, "%s%" PRIu64, k ? " x " : "", tensor->shape[k]);
            used += n > 0 ? (size_t)n : 0;
        }
        snprintf(name, sizeof name, "%s", tensor->name);
        message_sanitize(name);
        status = report_line(err, "%-48s %-8s %12" PRIu64 "  %s", name, vkdlm_dtype_name(tensor->dtype),
                             tensor->n_bytes, tensor->n_dims ? shape : "scalar");
    }
    return status;
}

/* One line "name value", safe for a terminal whatever the file says. */
static vkdlm_status report_field(const char *name, const char *value, vkdlm_error *err)
{
    char text[1200], label[64];
    snprintf(text, sizeof text, "%s", value);
    snprintf(label, sizeof label, "%s", name);
    message_sanitize(text);
    message_sanitize(label);
    return report_line(err, "%-22s %s", label, text);
}

static vkdlm_status report_table(const vkdlm_checkpoint *checkpoint, const vkdlm_checkpoint_info *info,
                                 vkdlm_error *err)
{
    const vkdlm_tensors *tensors = vkdlm_checkpoint_tensors(checkpoint);
    char sizes[160], verdict[1100] = "yes";
    vkdlm_parameter parameter;
    if (!info->runnable)
        snprintf(verdict, sizeof verdict, "no: %s", info->why_not);
    vkdlm_status status = report_field("path", info->path, err);
    if (!status)
        status = report_field("architecture", info->architecture, err);
    if (!status)
        status = report_field("can be run", verdict, err);
    snprintf(sizes, sizeof sizes, "%" PRIu64 " in %zu tensors, %.1f MB", info->n_parameters,
             vkdlm_tensors_count(tensors), (double)info->file_bytes / 1e6);
    if (!status)
        status = report_field("parameters", sizes, err);
    snprintf(sizes, sizeof sizes, "%.1f MB for weights and a batch of one", (double)info->device_bytes / 1e6);
    if (!status && info->runnable)
        status = report_field("on the device", sizes, err);
    if (!status)
        status = report_field("tokenizer", info->tokenizer ? info->tokenizer : "none", err);
    for (size_t i = 0; !status && vkdlm_checkpoint_parameter(checkpoint, i, &parameter); i++)
        status = report_field(parameter.name, parameter.value, err);
    return status ? status : report_tensors(tensors, err);
}

static int run_info(const command *cmd, void *values, const option_parse *parse)
{
    const info_values *v = values;
    vkdlm_checkpoint *checkpoint = NULL;
    vkdlm_checkpoint_info info;
    vkdlm_error err = {0};
    char *path = NULL;
    vkdlm_status status = engine_locate(v->model.text, &path, &err);
    (void)cmd;
    (void)parse;
    if (!status)
        status = vkdlm_checkpoint_open(path, &checkpoint, &err);
    if (!status) {
        vkdlm_checkpoint_get_info(checkpoint, &info);
        status = v->common.json.given ? report_json(checkpoint, &info, &err)
                                      : report_table(checkpoint, &info, &err);
    }
    vkdlm_checkpoint_close(checkpoint);
    free(path);
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
        "bytes).",
    .values_size = sizeof(info_values),
    .run = run_info,
};
