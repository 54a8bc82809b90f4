#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/device.h>

#include "commands.h"
#include "message.h"
#include "report.h"

enum { MAX_CHOICES = 256 };

typedef struct devices_values {
    common_values common;
} devices_values;

static bool contains(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; strlen(text) >= n; text++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* --device INDEX|NAME-PART */
static bool selected(const option_value *device, uint32_t index, const vkdlm_device_info *info)
{
    uint64_t wanted = 0;
    if (!device->given)
        return true;
    if (options_read_count(device->text, &wanted))
        return wanted == index;
    return contains(info->name, device->text);
}

static json_t *list_features(const char *features)
{
    json_t *list = json_array();
    while (list && *features) {
        size_t n = strcspn(features, " ");
        if (n && json_array_append_new(list, json_stringn(features, n))) {
            json_decref(list);
            return NULL;
        }
        features += n + strspn(features + n, " ");
    }
    return list;
}

static json_t *list_kernels(const vkdlm_kernel_choice *choices, uint32_t n)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < n; i++) {
        json_t *choice =
            json_pack("{s:s,s:s,s:s,s:b}", "group", choices[i].group, "problem", choices[i].problem,
                      "variant", choices[i].variant, "measured", (int)choices[i].measured);
        if (json_array_append_new(list, choice)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static vkdlm_status report_json(uint32_t index, const vkdlm_device_info *info,
                                const vkdlm_kernel_choice *choices, uint32_t n_choices, vkdlm_error *err)
{
    return report_object(json_pack("{s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",    //
                                   "index", report_count(index),                                           //
                                   "name", report_string(info->name),                                      //
                                   "driver", report_string(info->driver),                                  //
                                   "type", report_string(vkdlm_device_type_name(info->type)),              //
                                   "api_version", report_string(info->api_version),                        //
                                   "default", (int)info->is_default,                                       //
                                   "memory_bytes", report_count(info->memory_bytes),                       //
                                   "max_storage_range_bytes", report_count(info->max_storage_range_bytes), //
                                   "max_allocation_bytes", report_count(info->max_allocation_bytes),       //
                                   "max_shared_bytes", report_count(info->max_shared_bytes),               //
                                   "max_invocations", report_count(info->max_invocations),                 //
                                   "subgroup_size", report_count(info->subgroup_size),                     //
                                   "min_subgroup_size", report_count(info->min_subgroup_size),             //
                                   "max_subgroup_size", report_count(info->max_subgroup_size),             //
                                   "features", list_features(info->features),                              //
                                   "kernels", list_kernels(choices, n_choices)),
                         err);
}

static vkdlm_status report_table(uint32_t index, const vkdlm_device_info *info,
                                 const vkdlm_kernel_choice *choices, uint32_t n_choices, vkdlm_error *err)
{
    const double mib = 1024.0 * 1024.0;
    vkdlm_status status = report_line(
        err,
        "%" PRIu32 ": %s%s\n"
        "   type      %s\n"
        "   driver    %s, Vulkan %s\n"
        "   memory    %.0f MiB on the device, %.0f MiB an allocation, %.0f MiB bound at once\n"
        "   workgroup %" PRIu32 " invocations, %" PRIu32 " KiB shared, subgroups of %" PRIu32 " (%" PRIu32
        " to %" PRIu32 ")\n"
        "   features  %s",
        index, info->name, info->is_default ? " (default)" : "", vkdlm_device_type_name(info->type),
        info->driver, info->api_version, (double)info->memory_bytes / mib,
        (double)info->max_allocation_bytes / mib, (double)info->max_storage_range_bytes / mib,
        info->max_invocations, info->max_shared_bytes / 1024, info->subgroup_size, info->min_subgroup_size,
        info->max_subgroup_size, *info->features ? info->features : "none of the optional ones");
    for (uint32_t i = 0; i < n_choices && !status; i++)
        status = report_line(err, "   %s %-24s %s (%s)", i ? "         " : "kernels  ", choices[i].group,
                             choices[i].variant, choices[i].measured ? "measured" : "by its features");
    return status;
}

static int run_devices(const command *cmd, void *values, const option_parse *parse)
{
    const devices_values *v = values;
    vkdlm_device_info *infos = NULL;
    vkdlm_error err = {0};
    uint32_t n = 0, n_shown = 0;
    vkdlm_status status = vkdlm_devices_enumerate(&infos, &n, &err);
    (void)cmd;
    (void)parse;
    for (uint32_t i = 0; i < n && !status; i++) {
        vkdlm_kernel_choice choices[MAX_CHOICES];
        if (!selected(&v->common.device, i, &infos[i]))
            continue;
        uint32_t n_choices = vkdlm_device_kernels(i, choices, MAX_CHOICES);
        if (n_choices > MAX_CHOICES)
            n_choices = MAX_CHOICES;
        if (n_shown++ && !v->common.json.given)
            status = report_line(&err, "%s", "");
        if (!status)
            status = v->common.json.given ? report_json(i, &infos[i], choices, n_choices, &err)
                                          : report_table(i, &infos[i], choices, n_choices, &err);
    }
    if (!status && !n_shown)
        status =
            message_set(&err, VKDLM_INVALID_ARGUMENT, "no Vulkan device matches '%.200s'; there are %" PRIu32,
                        v->common.device.text ? v->common.device.text : "", n);
    vkdlm_devices_free(infos);
    return status ? message_error(&err) : CLI_OK;
}

static const option_group *const groups[] = {&options_common, NULL};

const command command_devices = {
    .name = "devices",
    .summary = "Lists every Vulkan device with its limits, its features and the kernels it will run.",
    .arguments = "",
    .groups = groups,
    .notes = "--json: a line an object, one for each device.",
    .values_size = sizeof(devices_values),
    .run = run_devices,
};
