/* What `info` shows of tensors, and of a diffusion path. */
#include "info_path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "report.h"

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

json_t *info_list_tensors(const vkdlm_tensors *tensors)
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

vkdlm_status info_report_tensors(const vkdlm_tensors *tensors, vkdlm_error *err)
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

static vkdlm_status report_wide(int width, const char *name, const char *value, vkdlm_error *err)
{
    char text[1200], label[128];
    snprintf(text, sizeof text, "%s", value);
    snprintf(label, sizeof label, "%s", name);
    message_sanitize(text);
    message_sanitize(label);
    return report_line(err, "%-*s %s", width, label, text);
}

vkdlm_status info_report_field(const char *name, const char *value, vkdlm_error *err)
{
    return report_wide(22, name, value, err);
}

/* ---- the diffusion path -------------------------------------------------------------------------------- */

vkdlm_status info_path_open(info_path *p, const vkdlm_checkpoint *checkpoint, vkdlm_error *err)
{
    *p = (info_path){.place = vkdlm_checkpoint_l2d_path(checkpoint),
                     .tensors = vkdlm_checkpoint_l2d_tensors(checkpoint)};
    if (!p->place)
        return VKDLM_OK;
    char *text = vkdlm_checkpoint_l2d_config(checkpoint);
    p->config = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return p->config ? VKDLM_OK
                     : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a configuration");
}

void info_path_close(info_path *p)
{
    json_decref(p->config);
    *p = (info_path){0};
}

static uint64_t count_elements(const vkdlm_tensors *tensors, uint64_t *n_bytes)
{
    const vkdlm_tensor *tensor = NULL;
    uint64_t n = 0;
    *n_bytes = 0;
    for (size_t i = 0; (tensor = vkdlm_tensors_at(tensors, i)); i++) {
        n += tensor->n_elements;
        *n_bytes += tensor->n_bytes;
    }
    return n;
}

json_t *info_path_json(const info_path *p)
{
    uint64_t n_bytes = 0;
    if (!p->config)
        return json_null();
    uint64_t n = count_elements(p->tensors, &n_bytes);
    return json_pack("{s:s,s:o,s:O,s:o,s:o}", "path", p->place, "parameters", report_count(n),
                     "configuration", p->config, "file_bytes", report_count(n_bytes), "tensors",
                     info_list_tensors(p->tensors));
}

/* "n = 64, 3 classes, LoRA of rank 16 (alpha 32); midpoint on 8 points" */
static void summarise(const info_path *p, char *text, size_t size)
{
    const json_t *c = p->config;
    json_int_t n_classes = json_integer_value(json_object_get(c, "guidance_modulation_num_classes"));
    json_int_t rank = json_is_true(json_object_get(c, "separate_flow_params_with_lora"))
                          ? json_integer_value(json_object_get(c, "flow_lora_rank"))
                          : 0;
    double alpha = json_number_value(json_object_get(c, "flow_lora_alpha"));
    const char *method = json_string_value(json_object_get(json_object_get(c, "ode_kwargs"), "method"));
    json_int_t steps = json_integer_value(json_object_get(c, "default_ode_steps"));
    char weights[80] = "full weights", classes[40] = "no classes";
    if (rank > 0) /* an alpha that is absent or -1 stands for twice the rank */
        snprintf(weights, sizeof weights, "LoRA of rank %" JSON_INTEGER_FORMAT " (alpha %g)", rank,
                 alpha > 0 ? alpha : 2 * (double)rank);
    if (n_classes > 0)
        snprintf(classes, sizeof classes, "%" JSON_INTEGER_FORMAT " classes", n_classes);
    snprintf(text, size, "n = %" JSON_INTEGER_FORMAT ", %s, %s; %.40s on %" JSON_INTEGER_FORMAT " points",
             json_integer_value(json_object_get(c, "flow_representation_dim")), classes, weights,
             method ? method : "midpoint", steps > 0 ? steps : 8);
}

/* Scalars of an object, those of an object inside with its name before theirs. */
static vkdlm_status report_scalars(const char *prefix, json_t *object, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", key);
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
        if (!text)
            return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a line");
        if (json_is_object(value) && !*prefix)
            status = report_scalars(key, value, err);
        else if (!json_is_object(value))
            status = report_wide(39, name, json_is_string(value) ? json_string_value(value) : text, err);
        free(text);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

vkdlm_status info_path_report(const info_path *p, vkdlm_error *err)
{
    char text[256];
    uint64_t n_bytes = 0;
    if (!p->config)
        return VKDLM_OK;
    uint64_t n = count_elements(p->tensors, &n_bytes);
    vkdlm_status status = report_line(err, "%s", "");
    if (!status)
        status = info_report_field("diffusion path", p->place, err);
    summarise(p, text, sizeof text);
    if (!status)
        status = info_report_field("refinement", text, err);
    snprintf(text, sizeof text, "%" PRIu64 " in %zu tensors, %.1f MB", n, vkdlm_tensors_count(p->tensors),
             (double)n_bytes / 1e6);
    if (!status)
        status = info_report_field("parameters", text, err);
    return status ? status : report_scalars("", p->config, err);
}
