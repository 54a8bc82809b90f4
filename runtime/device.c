#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "ops/tune.h"
#include "ops/variants.h"

const char *vkdlm_device_type_name(vkdlm_device_type type)
{
    static const char *const names[] = {
#define TYPE_NAME(suffix, text) text,
        VKDLM_DEVICE_TYPE_LIST(TYPE_NAME)
#undef TYPE_NAME
    };
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "unknown";
}

const char *vkdlm_variant_state_name(vkdlm_variant_state state)
{
    static const char *const names[] = {
#define STATE_NAME(suffix, name) name,
        VKDLM_VARIANT_STATE_LIST(STATE_NAME)
#undef STATE_NAME
    };
    return (size_t)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

static vkdlm_device_type public_type(enum gpu_type type)
{
    static const vkdlm_device_type types[] = {
        [GPU_TYPE_DISCRETE] = VKDLM_DEVICE_DISCRETE, [GPU_TYPE_INTEGRATED] = VKDLM_DEVICE_INTEGRATED,
        [GPU_TYPE_VIRTUAL] = VKDLM_DEVICE_VIRTUAL,   [GPU_TYPE_CPU] = VKDLM_DEVICE_CPU,
        [GPU_TYPE_OTHER] = VKDLM_DEVICE_OTHER,
    };
    return types[type];
}

/* Optional features by the name that `devices` shows. */
static const struct {
    const char *name;
    size_t offset;
} features[] = {
    {"subgroup-shuffle", offsetof(gpu_caps, subgroup_shuffle)},
    {"subgroup-arithmetic", offsetof(gpu_caps, subgroup_arithmetic)},
    {"subgroup-size-control", offsetof(gpu_caps, subgroup_size_control)},
    {"f16", offsetof(gpu_caps, f16_arithmetic)},
    {"storage-16bit", offsetof(gpu_caps, storage_16bit)},
    {"storage-8bit", offsetof(gpu_caps, storage_8bit)},
    {"int8", offsetof(gpu_caps, int8)},
    {"int16", offsetof(gpu_caps, int16)},
    {"int64", offsetof(gpu_caps, int64)},
    {"integer-dot-product", offsetof(gpu_caps, integer_dot_product)},
    {"cooperative-matrix", offsetof(gpu_caps, cooperative_matrix)},
    {"timestamps", offsetof(gpu_caps, timestamps)},
    {"memory-budget", offsetof(gpu_caps, memory_budget)},
    {"pipeline-statistics", offsetof(gpu_caps, pipeline_executable_properties)},
};

static void describe(const gpu_caps *caps, bool is_default, vkdlm_device_info *info)
{
    *info = (vkdlm_device_info){
        .type = public_type(caps->type),
        .memory_bytes = caps->device_memory_bytes,
        .max_storage_range_bytes = caps->max_storage_range_bytes,
        .max_allocation_bytes = caps->max_allocation_bytes,
        .max_shared_bytes = caps->max_shared_bytes,
        .max_invocations = caps->max_invocations,
        .subgroup_size = caps->subgroup_size,
        .min_subgroup_size = caps->min_subgroup_size,
        .max_subgroup_size = caps->max_subgroup_size,
        .is_default = is_default,
    };
    snprintf(info->name, sizeof info->name, "%s", caps->name);
    snprintf(info->driver, sizeof info->driver, "%s", caps->driver);
    snprintf(info->api_version, sizeof info->api_version, "%u.%u.%u", caps->api_version >> 22 & 0x7F,
             caps->api_version >> 12 & 0x3FF, caps->api_version & 0xFFF);
    size_t used = 0;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (!*(const bool *)((const char *)caps + features[i].offset))
            continue;
        size_t n = strlen(features[i].name);
        if (used + n + 2 > sizeof info->features)
            break;
        if (used)
            info->features[used++] = ' ';
        memcpy(info->features + used, features[i].name, n + 1);
        used += n;
    }
}

vkdlm_status vkdlm_devices_enumerate(vkdlm_device_info **infos, uint32_t *count, vkdlm_error *err)
{
    *infos = NULL;
    *count = 0;
    gpu_caps *caps = NULL;
    uint32_t n = 0, best = 0;
    vkdlm_status status = gpu_enumerate(&caps, &n, err);
    if (status)
        return status;
    status = gpu_choose(caps, n, NULL, &best, err);
    if (status)
        goto fail;
    vkdlm_device_info *out = calloc(n, sizeof *out);
    if (!out) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory listing %u devices", n);
        goto fail;
    }
    for (uint32_t i = 0; i < n; i++)
        describe(&caps[i], i == best, &out[i]);
    *infos = out;
    *count = n;
fail:
    free(caps);
    return status;
}

void vkdlm_devices_free(vkdlm_device_info *infos)
{
    free(infos);
}

/* $XDG_CACHE_HOME/vkdlm, else ~/.cache/vkdlm; NULL when neither is known. The caller frees it. */
static char *default_cache_dir(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME");
    if (xdg && xdg[0] == '/')
        return file_join(xdg, "vkdlm");
    const char *home = getenv("HOME");
    return home && home[0] == '/' ? file_join(home, ".cache/vkdlm") : NULL;
}

static char *choices_path(const gpu_caps *caps, const char *dir)
{
    return gpu_cache_path(caps, dir, "kernels", ".json");
}

/* Seconds for measuring what a model needs when it first runs. */
#define TUNE_SECONDS 1.0

static vkdlm_status attach_choices(gpu_device *gpu, const char *dir, vkdlm_error *err)
{
    char *path = dir ? choices_path(gpu_device_caps(gpu), dir) : NULL;
    const tune_options options = {.path = path, .budget = TUNE_SECONDS};
    vkdlm_status status = tune_attach(gpu, &options, err);
    free(path);
    return status;
}

uint32_t vkdlm_device_kernels(uint32_t index, vkdlm_kernel_choice *choices, uint32_t capacity)
{
    gpu_caps *caps = NULL;
    uint32_t n = 0, total = 0;
    if (gpu_enumerate(&caps, &n, NULL))
        return 0;
    if (index < n) {
        char *dir = default_cache_dir(), *path = dir ? choices_path(&caps[index], dir) : NULL;
        total = variants_of_file(&caps[index], path, choices, capacity);
        free(path);
        free(dir);
    }
    free(caps);
    return total;
}

vkdlm_status vkdlm_device_open(const vkdlm_device_options *options, vkdlm_device **out, vkdlm_error *err)
{
    *out = NULL;
    vkdlm_device_options defaults = {0};
    if (!options)
        options = &defaults;
    vkdlm_device *device = calloc(1, sizeof *device);
    if (!device)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening a device");
    char *owned = options->cache_dir ? NULL : default_cache_dir();
    const char *cache = options->cache_dir ? options->cache_dir : owned;
    gpu_options gpu = {
        .select = options->select,
        .cache_dir = cache && *cache ? cache : NULL,
        .validation = options->validation,
        .message = options->on_message,
        .message_user = options->user,
        .limit_memory_bytes = options->memory_limit_bytes,
    };
    vkdlm_status status = gpu_device_open(&gpu, &device->gpu, err);
    if (!status)
        status = attach_choices(device->gpu, gpu.cache_dir, err);
    free(owned);
    if (status) {
        vkdlm_device_close(device);
        return status;
    }
    *out = device;
    return VKDLM_OK;
}

void vkdlm_device_close(vkdlm_device *device)
{
    if (!device)
        return;
    gpu_device_close(device->gpu);
    free(device);
}

void vkdlm_device_get_info(const vkdlm_device *device, vkdlm_device_info *info)
{
    describe(gpu_device_caps(device->gpu), false, info);
}

uint32_t vkdlm_device_choices(const vkdlm_device *device, vkdlm_kernel_choice *choices, uint32_t capacity)
{
    return variants_of_device(device->gpu, choices, capacity);
}

vkdlm_status vkdlm_device_tune(vkdlm_device *device, vkdlm_tune_fn progress, void *user, vkdlm_error *err)
{
    return tune_all(device->gpu, progress, user, err);
}

uint64_t vkdlm_device_peak_bytes(const vkdlm_device *device)
{
    return gpu_device_peak_bytes(device->gpu);
}
