/* What a physical device offers, and the features to enable for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/internal.h"

/* Extensions that are used where present. Those promoted to a core version need not be enabled from it on. */
enum extension {
    EXT_DRIVER_PROPERTIES,
    EXT_8BIT_STORAGE,
    EXT_FLOAT16_INT8,
    EXT_MEMORY_MODEL,
    EXT_SUBGROUP_SIZE,
    EXT_INTEGER_DOT,
    EXT_MAINTENANCE4,
    EXT_SUBGROUP_FLOW,
    EXT_COOPERATIVE_MATRIX,
    EXT_MEMORY_BUDGET,
    EXT_PIPELINE_EXECUTABLE,
    EXT_PORTABILITY,
    EXT_COUNT
};

static const struct {
    const char *name;
    uint32_t core;
} extensions[EXT_COUNT] = {
    [EXT_DRIVER_PROPERTIES] = {"VK_KHR_driver_properties", VK_API_VERSION_1_2},
    [EXT_8BIT_STORAGE] = {"VK_KHR_8bit_storage", VK_API_VERSION_1_2},
    [EXT_FLOAT16_INT8] = {"VK_KHR_shader_float16_int8", VK_API_VERSION_1_2},
    [EXT_MEMORY_MODEL] = {"VK_KHR_vulkan_memory_model", VK_API_VERSION_1_2},
    [EXT_SUBGROUP_SIZE] = {"VK_EXT_subgroup_size_control", VK_API_VERSION_1_3},
    [EXT_INTEGER_DOT] = {"VK_KHR_shader_integer_dot_product", VK_API_VERSION_1_3},
    [EXT_MAINTENANCE4] = {"VK_KHR_maintenance4", VK_API_VERSION_1_3},
    [EXT_SUBGROUP_FLOW] = {"VK_KHR_shader_subgroup_uniform_control_flow", UINT32_MAX},
    [EXT_COOPERATIVE_MATRIX] = {"VK_KHR_cooperative_matrix", UINT32_MAX},
    [EXT_MEMORY_BUDGET] = {"VK_EXT_memory_budget", UINT32_MAX},
    [EXT_PIPELINE_EXECUTABLE] = {"VK_KHR_pipeline_executable_properties", UINT32_MAX},
    [EXT_PORTABILITY] = {"VK_KHR_portability_subset", UINT32_MAX},
};

/* present[i]: usable; listed[i]: as an extension of that name, which then has to be enabled. */
typedef struct extension_set {
    bool present[EXT_COUNT], listed[EXT_COUNT];
} extension_set;

static vkdlm_status find_extensions(const instance *in, VkPhysicalDevice physical, uint32_t version,
                                    extension_set *out, vkdlm_error *err)
{
    memset(out, 0, sizeof *out);
    uint32_t n = 0;
    VkResult result = in->EnumerateDeviceExtensionProperties(physical, NULL, &n, NULL);
    VkExtensionProperties *all = calloc(n ? n : 1, sizeof *all);
    if (!all)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the list of %u device extensions", n);
    if (result >= 0)
        result = in->EnumerateDeviceExtensionProperties(physical, NULL, &n, all);
    for (uint32_t i = 0; result >= 0 && i < n; i++)
        for (int e = 0; e < EXT_COUNT; e++)
            if (strcmp(all[i].extensionName, extensions[e].name) == 0)
                out->listed[e] = true;
    free(all);
    if (result < 0)
        return result_set(err, result, "cannot list the device's extensions");
    for (int e = 0; e < EXT_COUNT; e++)
        out->present[e] = out->listed[e] || version >= extensions[e].core;
    return VKDLM_OK;
}

/* Puts a struct at the front of a pNext chain. */
static void chain(void *head, void *link)
{
    VkBaseOutStructure *h = head, *l = link;
    l->pNext = h->pNext;
    h->pNext = l;
}

static void query_properties(const instance *in, VkPhysicalDevice physical, const extension_set *ext,
                             gpu_caps *caps)
{
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    VkPhysicalDeviceMaintenance3Properties maintenance3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType =
                                                       VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties size_control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceMaintenance4Properties maintenance4 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    chain(&p, &maintenance3);
    chain(&p, &subgroup);
    if (ext->present[EXT_DRIVER_PROPERTIES])
        chain(&p, &driver);
    if (ext->present[EXT_SUBGROUP_SIZE])
        chain(&p, &size_control);
    if (ext->present[EXT_MAINTENANCE4])
        chain(&p, &maintenance4);
    in->GetPhysicalDeviceProperties2(physical, &p);

    const VkPhysicalDeviceLimits *limits = &p.properties.limits;
    snprintf(caps->name, sizeof caps->name, "%s", p.properties.deviceName);
    if (driver.driverName[0])
        snprintf(caps->driver, sizeof caps->driver, "%.120s %.120s", driver.driverName, driver.driverInfo);
    else
        snprintf(caps->driver, sizeof caps->driver, "version 0x%x", p.properties.driverVersion);
    caps->api_version = p.properties.apiVersion;
    caps->driver_version = p.properties.driverVersion;
    caps->vendor_id = p.properties.vendorID;
    caps->device_id = p.properties.deviceID;
    memcpy(caps->pipeline_cache_uuid, p.properties.pipelineCacheUUID, sizeof caps->pipeline_cache_uuid);
    switch (p.properties.deviceType) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        caps->type = GPU_TYPE_DISCRETE;
        break;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        caps->type = GPU_TYPE_INTEGRATED;
        break;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        caps->type = GPU_TYPE_VIRTUAL;
        break;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        caps->type = GPU_TYPE_CPU;
        break;
    default:
        caps->type = GPU_TYPE_OTHER;
    }
    caps->max_storage_range_bytes = limits->maxStorageBufferRange;
    caps->max_allocation_bytes = maintenance3.maxMemoryAllocationSize;
    if (ext->present[EXT_MAINTENANCE4] && maintenance4.maxBufferSize > 0 &&
        maintenance4.maxBufferSize < caps->max_allocation_bytes)
        caps->max_allocation_bytes = maintenance4.maxBufferSize;
    caps->storage_alignment_bytes = limits->minStorageBufferOffsetAlignment;
    caps->max_shared_bytes = limits->maxComputeSharedMemorySize;
    caps->max_invocations = limits->maxComputeWorkGroupInvocations;
    caps->max_workgroup_size_x = limits->maxComputeWorkGroupSize[0];
    memcpy(caps->max_workgroups, limits->maxComputeWorkGroupCount, sizeof caps->max_workgroups);
    caps->max_push_bytes = limits->maxPushConstantsSize;
    caps->max_storage_buffers = limits->maxPerStageDescriptorStorageBuffers;
    caps->texel_buffers = limits->maxTexelBufferElements >= limits->maxStorageBufferRange / 16 &&
                          limits->minTexelBufferOffsetAlignment <= limits->minStorageBufferOffsetAlignment;
    caps->timestamp_ns = (double)limits->timestampPeriod;

    caps->subgroup_size = subgroup.subgroupSize;
    caps->min_subgroup_size = caps->max_subgroup_size = subgroup.subgroupSize;
    bool compute = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
    caps->subgroup_basic = compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BASIC_BIT);
    caps->subgroup_shuffle = compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT);
    caps->subgroup_arithmetic =
        compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT);
    if (ext->present[EXT_SUBGROUP_SIZE] && size_control.minSubgroupSize > 0) {
        caps->min_subgroup_size = size_control.minSubgroupSize;
        caps->max_subgroup_size = size_control.maxSubgroupSize;
        caps->subgroup_size_control = size_control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    }
}

/* Fills e with what is both offered and used, and caps with the same facts. */
static void query_features(const instance *in, VkPhysicalDevice physical, const extension_set *ext,
                           gpu_caps *caps, caps_enable *e)
{
    memset(e, 0, sizeof *e);
    e->features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    e->storage_16bit.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
    e->storage_8bit.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES;
    e->float16_int8.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
    e->subgroup_size.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
    e->subgroup_flow.sType =
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SUBGROUP_UNIFORM_CONTROL_FLOW_FEATURES_KHR;
    e->integer_dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
    e->memory_model.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
    e->cooperative_matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    const struct {
        enum extension needs;
        void *link;
    } links[] = {
        {EXT_8BIT_STORAGE, &e->storage_8bit},
        {EXT_FLOAT16_INT8, &e->float16_int8},
        {EXT_SUBGROUP_SIZE, &e->subgroup_size},
        {EXT_SUBGROUP_FLOW, &e->subgroup_flow},
        {EXT_INTEGER_DOT, &e->integer_dot},
        {EXT_MEMORY_MODEL, &e->memory_model},
        {EXT_COOPERATIVE_MATRIX, &e->cooperative_matrix},
    };
    chain(&e->features, &e->storage_16bit);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (ext->present[links[i].needs])
            chain(&e->features, links[i].link);
    in->GetPhysicalDeviceFeatures2(physical, &e->features);

    /* What is not used is not enabled: some features cost speed, robust buffer access for one. */
    VkPhysicalDeviceFeatures offered = e->features.features;
    memset(&e->features.features, 0, sizeof e->features.features);
    e->features.features.shaderInt16 = offered.shaderInt16;
    e->features.features.shaderInt64 = offered.shaderInt64;
    e->storage_16bit.uniformAndStorageBuffer16BitAccess = VK_FALSE;
    e->storage_16bit.storagePushConstant16 = VK_FALSE;
    e->storage_16bit.storageInputOutput16 = VK_FALSE;
    e->storage_8bit.uniformAndStorageBuffer8BitAccess = VK_FALSE;
    e->storage_8bit.storagePushConstant8 = VK_FALSE;
    e->subgroup_size.computeFullSubgroups = VK_FALSE;
    e->cooperative_matrix.cooperativeMatrixRobustBufferAccess = VK_FALSE;
    e->memory_model.vulkanMemoryModelAvailabilityVisibilityChains = VK_FALSE;
    if (!e->memory_model.vulkanMemoryModel)
        e->cooperative_matrix.cooperativeMatrix = VK_FALSE;

    caps->int16 = offered.shaderInt16;
    caps->int64 = offered.shaderInt64;
    caps->storage_16bit = e->storage_16bit.storageBuffer16BitAccess;
    caps->storage_8bit = e->storage_8bit.storageBuffer8BitAccess;
    caps->f16_arithmetic = e->float16_int8.shaderFloat16;
    caps->int8 = e->float16_int8.shaderInt8;
    caps->subgroup_size_control = caps->subgroup_size_control && e->subgroup_size.subgroupSizeControl;
    if (!e->subgroup_size.subgroupSizeControl)
        caps->min_subgroup_size = caps->max_subgroup_size = caps->subgroup_size;
    caps->subgroup_uniform_control_flow = e->subgroup_flow.shaderSubgroupUniformControlFlow;
    caps->integer_dot_product = e->integer_dot.shaderIntegerDotProduct;
    caps->cooperative_matrix = e->cooperative_matrix.cooperativeMatrix;
    caps->memory_budget = ext->present[EXT_MEMORY_BUDGET];
    caps->pipeline_executable_properties = ext->present[EXT_PIPELINE_EXECUTABLE];
}

vkdlm_status caps_query(const instance *in, VkPhysicalDevice physical, gpu_caps *caps, caps_enable *enable,
                        vkdlm_error *err)
{
    memset(caps, 0, sizeof *caps);
    VkPhysicalDeviceProperties properties;
    in->GetPhysicalDeviceProperties(physical, &properties);
    extension_set ext;
    uint32_t version = properties.apiVersion < in->api_version ? properties.apiVersion : in->api_version;
    vkdlm_status status = find_extensions(in, physical, version, &ext, err);
    if (status)
        return status;
    caps_enable scratch;
    caps_enable *e = enable ? enable : &scratch;
    query_properties(in, physical, &ext, caps);
    query_features(in, physical, &ext, caps, e);
    for (int i = 0; i < EXT_COUNT; i++)
        if (ext.listed[i] && i != EXT_PIPELINE_EXECUTABLE && i != EXT_DRIVER_PROPERTIES)
            e->extensions[e->n_extensions++] = extensions[i].name;

    uint32_t timestamp_bits;
    instance_queue_family(in, physical, &timestamp_bits);
    caps->timestamps = timestamp_bits > 0 && caps->timestamp_ns > 0;

    VkPhysicalDeviceMemoryProperties memory;
    in->GetPhysicalDeviceMemoryProperties(physical, &memory);
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            memory.memoryHeaps[i].size > caps->device_memory_bytes)
            caps->device_memory_bytes = memory.memoryHeaps[i].size;
    return VKDLM_OK;
}

void caps_restrict(gpu_caps *caps, const gpu_options *options)
{
    if (options->limit_storage_range_bytes &&
        options->limit_storage_range_bytes < caps->max_storage_range_bytes)
        caps->max_storage_range_bytes = options->limit_storage_range_bytes;
    if (options->limit_memory_bytes && options->limit_memory_bytes < caps->device_memory_bytes)
        caps->device_memory_bytes = options->limit_memory_bytes;
    if (options->forbid_subgroups) {
        caps->subgroup_basic = caps->subgroup_shuffle = caps->subgroup_arithmetic = false;
        caps->subgroup_size = caps->min_subgroup_size = caps->max_subgroup_size = 1;
        caps->subgroup_size_control = caps->subgroup_uniform_control_flow = caps->cooperative_matrix = false;
    }
}
