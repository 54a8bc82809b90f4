/* What a driver's compiler says of a pipeline. */
#include <stdio.h>
#include <string.h>

#include "gpu/internal.h"

static gpu_pipeline *find_number(gpu_device *d, uint32_t number)
{
    gpu_pipeline *found = NULL;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < GPU_KERNEL_COUNT && !found; i++)
        for (gpu_pipeline *p = d->pipelines[i]; p && !found; p = p->next)
            found = p->number == number ? p : NULL;
    pthread_mutex_unlock(&d->lock);
    return found;
}

static double statistic_value(const VkPipelineExecutableStatisticKHR *s)
{
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        return (double)s->value.u64;
    default:
        return s->value.f64;
    }
}

vkdlm_status gpu_compiled_get(gpu_device *d, uint32_t number, gpu_compiled *out, vkdlm_error *err)
{
    memset(out, 0, sizeof *out);
    gpu_pipeline *p = find_number(d, number);
    if (!p || !d->options.compile_only)
        return error_set(err, VKDLM_INTERNAL, "statistics of pipeline %u of %u were asked for%s", number,
                         gpu_device_pipelines(d), d->options.compile_only ? "" : " on a device that runs");
    vkdlm_status status = compiler_wait(d, p, err);
    if (status)
        return status;
    out->kernel = p->kernel;
    out->spec = p->spec;

    VkPipelineInfoKHR pipeline = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = p->handle};
    /* A compute pipeline is one executable. */
    VkPipelineExecutablePropertiesKHR properties = {.sType =
                                                        VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    uint32_t n = 1;
    VkResult result = d->vk.vkGetPipelineExecutablePropertiesKHR(d->handle, &pipeline, &n, &properties);
    VkPipelineExecutableStatisticKHR statistics[GPU_MAX_STATISTICS] = {
        [0] = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR}};
    for (uint32_t i = 1; i < GPU_MAX_STATISTICS; i++)
        statistics[i] = statistics[0];
    VkPipelineExecutableInfoKHR executable = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                              .pipeline = p->handle};
    uint32_t n_statistics = GPU_MAX_STATISTICS;
    if (result >= 0 && n > 0)
        result =
            d->vk.vkGetPipelineExecutableStatisticsKHR(d->handle, &executable, &n_statistics, statistics);
    if (result < 0 || n == 0)
        return result_set(err, n == 0 ? VK_ERROR_UNKNOWN : result,
                          "cannot read the statistics of a compiled pipeline");
    out->subgroup_size = properties.subgroupSize;
    out->n_statistics = n_statistics;
    for (uint32_t i = 0; i < n_statistics; i++) {
        snprintf(out->statistics[i].name, sizeof out->statistics[i].name, "%s", statistics[i].name);
        out->statistics[i].value = statistic_value(&statistics[i]);
    }
    return VKDLM_OK;
}
