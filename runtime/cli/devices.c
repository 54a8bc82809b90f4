#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/device.h>

#include "commands.h"
#include "message.h"
#include "progress.h"
#include "report.h"
#include "signals.h"

enum { MAX_CHOICES = 1024 };

typedef struct devices_values {
    common_values common;
    option_value tune;
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

static json_t *list_variants(const vkdlm_kernel_choice *choice)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < choice->n_variants; i++) {
        const vkdlm_kernel_variant *v = &choice->variants[i];
        json_t *one = json_pack("{s:s,s:s,s:o}", "name", v->name, "state", vkdlm_variant_state_name(v->state),
                                "microseconds", report_real(v->microseconds > 0 ? v->microseconds : NAN));
        if (json_array_append_new(list, one)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *list_kernels(const vkdlm_kernel_choice *choices, uint32_t n)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < n; i++) {
        json_t *choice = json_pack("{s:s,s:s,s:s,s:b,s:o}", "group", choices[i].group, "problem",
                                   choices[i].problem, "variant", choices[i].variant, "measured",
                                   (int)choices[i].measured, "variants", list_variants(&choices[i]));
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

static vkdlm_status report_limits(uint32_t index, const vkdlm_device_info *info, vkdlm_error *err)
{
    const double mib = 1024.0 * 1024.0;
    return report_line(
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
}

static const char *how(const vkdlm_kernel_choice *choice)
{
    return choice->measured ? "measured" : "by its features";
}

/* ---- the kernels, briefly: what is alike for several types is one line ------------------------------ */

/* Bytes of a problem's first part, "F16" of "F16, 1 row". */
static int type_length(const vkdlm_kernel_choice *choice)
{
    return (int)strcspn(choice->problem, ",");
}

static bool same_type(const vkdlm_kernel_choice *a, const vkdlm_kernel_choice *b)
{
    return strcmp(a->group, b->group) == 0 && type_length(a) == type_length(b) &&
           strncmp(a->problem, b->problem, (size_t)type_length(a)) == 0;
}

/* Choices from the first on that have its group and type. */
static uint32_t count_type(const vkdlm_kernel_choice *choices, uint32_t n)
{
    uint32_t count = 1;
    while (count < n && same_type(choices, choices + count))
        count++;
    return count;
}

/* Whether two types take the same variants. */
static bool alike(const vkdlm_kernel_choice *a, const vkdlm_kernel_choice *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(a[i].group, b[i].group) != 0 || strcmp(a[i].variant, b[i].variant) != 0 ||
            a[i].measured != b[i].measured ||
            strcmp(a[i].problem + type_length(&a[i]), b[i].problem + type_length(&b[i])) != 0)
            return false;
    return true;
}

enum { LINE_BYTES = 2048 };

__attribute__((format(printf, 2, 3))) static void append(char line[LINE_BYTES], const char *format, ...)
{
    size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, LINE_BYTES - used, format, args);
    va_end(args);
}

/* The types from `choices` on that are like the first, and their variants. */
static uint32_t append_types(char line[LINE_BYTES], const vkdlm_kernel_choice *choices, uint32_t n)
{
    uint32_t step = count_type(choices, n), at = 0;
    append(line, "%s", choices[0].group);
    for (; at + step <= n && count_type(choices + at, n - at) == step && alike(choices, choices + at, step);
         at += step)
        append(line, "%s%.*s", at ? " " : ", ", type_length(&choices[at]), choices[at].problem);
    append(line, ":");
    for (uint32_t i = 0; i < step; i++) {
        const char *rest = choices[i].problem + type_length(&choices[i]);
        bool last_of_kind = i + 1 == step || choices[i].measured != choices[i + 1].measured;
        append(line, "%s%s %s", i ? "," : "", *rest ? rest + 1 : "", choices[i].variant);
        if (last_of_kind)
            append(line, " (%s)", how(&choices[i]));
    }
    return at;
}

static vkdlm_status report_brief(const vkdlm_kernel_choice *choices, uint32_t n, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < n && !status;) {
        char line[LINE_BYTES] = "";
        const char *title = i ? "       " : "kernels";
        i += append_types(line, choices + i, n - i);
        status = report_line(err, "   %s   %s", title, line);
    }
    return status;
}

/* ---- the kernels with their times --------------------------------------------------------------------- */

static vkdlm_status report_times(const vkdlm_kernel_choice *choices, uint32_t n, vkdlm_error *err)
{
    vkdlm_status status = report_line(err, "   %-16s %-25s %-14s %12s   %s", "kernel", "problem", "variant",
                                      "microseconds", "others");
    for (uint32_t i = 0; i < n && !status; i++) {
        const vkdlm_kernel_choice *c = &choices[i];
        char line[LINE_BYTES] = "", time[32] = "";
        for (uint32_t v = 0; v < c->n_variants; v++) {
            bool timed = c->variants[v].state == VKDLM_VARIANT_TIMED;
            if (strcmp(c->variants[v].name, c->variant) == 0) {
                if (timed)
                    snprintf(time, sizeof time, "%.1f", c->variants[v].microseconds);
                continue;
            }
            append(line, "%s%s ", *line ? ", " : "", c->variants[v].name);
            if (timed)
                append(line, "%.1f", c->variants[v].microseconds);
            else
                append(line, "%s", vkdlm_variant_state_name(c->variants[v].state));
        }
        status = report_line(err, "   %-16s %-25s %-14s %12s   %s%s(%s)", c->group, c->problem, c->variant,
                             time, line, *line ? " " : "", how(c));
    }
    return status;
}

/* What a person should know in any case. */
static vkdlm_status report_faults(const vkdlm_kernel_choice *choices, uint32_t n, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t v = 0; v < choices[i].n_variants && !status; v++) {
            const vkdlm_kernel_variant *variant = &choices[i].variants[v];
            if (variant->state == VKDLM_VARIANT_WRONG || variant->state == VKDLM_VARIANT_FAILED)
                status = report_line(err, "   %s, %s: '%s' %s on this driver, not used", choices[i].group,
                                     choices[i].problem, variant->name,
                                     variant->state == VKDLM_VARIANT_WRONG ? "is wrong" : "fails");
        }
    return status;
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

static bool on_key(void *user, const char *group, const char *problem, uint32_t done, uint32_t total)
{
    char detail[96];
    snprintf(detail, sizeof detail, "%s, %s", group, problem);
    progress_update(user, (double)done / (double)total, detail);
    return !signals_pending();
}

/* Measures the device and fills its choices; returns how many there are through *n. */
static vkdlm_status measure(const devices_values *v, uint32_t index, vkdlm_kernel_choice *choices,
                            uint32_t *n, vkdlm_error *err)
{
    vkdlm_device *device;
    char select[16];
    progress bar;
    snprintf(select, sizeof select, "%" PRIu32, index);
    const vkdlm_device_options options = {.select = select};
    vkdlm_status status = vkdlm_device_open(&options, &device, err);
    if (status)
        return status;
    progress_init(&bar, v->common.quiet.given);
    progress_begin(&bar, "measuring");
    status = vkdlm_device_tune(device, on_key, &bar, err);
    progress_clear(&bar);
    *n = vkdlm_device_choices(device, choices, MAX_CHOICES);
    vkdlm_device_close(device);
    return status;
}

/* ---- the command --------------------------------------------------------------------------------------- */

static vkdlm_status show(const devices_values *v, uint32_t index, const vkdlm_device_info *info,
                         vkdlm_kernel_choice *choices, vkdlm_error *err)
{
    bool tune = v->tune.given && (v->common.device.given || info->is_default);
    uint32_t n = 0;
    vkdlm_status status = VKDLM_OK;
    if (tune)
        status = measure(v, index, choices, &n, err);
    else
        n = vkdlm_device_kernels(index, choices, MAX_CHOICES);
    if (status)
        return status;
    if (n > MAX_CHOICES)
        n = MAX_CHOICES;
    if (v->common.json.given)
        return report_json(index, info, choices, n, err);
    status = report_limits(index, info, err);
    if (!status)
        status = tune ? report_times(choices, n, err) : report_brief(choices, n, err);
    return status ? status : report_faults(choices, n, err);
}

static int run_devices(const command *cmd, void *values, const option_parse *parse)
{
    const devices_values *v = values;
    vkdlm_device_info *infos = NULL;
    vkdlm_error err = {0};
    uint32_t n = 0, n_shown = 0;
    (void)cmd;
    (void)parse;
    vkdlm_kernel_choice *choices = calloc(MAX_CHOICES, sizeof *choices);
    vkdlm_status status = choices ? vkdlm_devices_enumerate(&infos, &n, &err)
                                  : message_set(&err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory");
    if (v->tune.given)
        signals_catch();
    for (uint32_t i = 0; i < n && !status; i++) {
        if (!selected(&v->common.device, i, &infos[i]))
            continue;
        if (n_shown++ && !v->common.json.given)
            status = report_line(&err, "%s", "");
        if (!status)
            status = show(v, i, &infos[i], choices, &err);
    }
    if (!status && !n_shown)
        status =
            message_set(&err, VKDLM_INVALID_ARGUMENT, "no Vulkan device matches '%.200s'; there are %" PRIu32,
                        v->common.device.text ? v->common.device.text : "", n);
    vkdlm_devices_free(infos);
    free(choices);
    if (status)
        return message_error(&err);
    return signals_pending() ? signals_exit_status() : CLI_OK;
}

static const option_spec specs[] = {
    {"tune", 0, OPTION_FLAG, offsetof(devices_values, tune),
     .help = "measures every variant of every kernel on the default device, or on those of --device, and "
             "keeps the "
             "choices for later runs; minutes on a CPU driver, seconds on a GPU"},
};
static const option_group options_devices = {"Measuring", specs, sizeof specs / sizeof *specs, false};

static const option_group *const groups[] = {&options_devices, &options_common, NULL};

const command command_devices = {
    .name = "devices",
    .summary = "Lists every Vulkan device with its limits, its features and the kernels it will run.",
    .arguments = "",
    .groups = groups,
    .notes =
        "A kernel's variant is chosen by its features until it has been measured: when a model first needs "
        "it, "
        "as far as that takes no longer than a second, or by --tune. Results do not depend on the choice.\n"
        "--json: a line an object, one for each device; \"kernels\" has a choice for each kind of problem, "
        "with "
        "every variant's \"state\" (untried, right, timed, other bits, wrong, failed) and \"microseconds\".",
    .values_size = sizeof(devices_values),
    .run = run_devices,
};
