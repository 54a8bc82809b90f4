/* Kernels with their specialisation constants, made into pipelines when they are first asked for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/internal.h"

const char *gpu_kernel_name(enum gpu_kernel kernel)
{
    return (uint32_t)kernel < GPU_KERNEL_COUNT ? gpu_kernel_codes[kernel].name : "unknown kernel";
}

bool gpu_kernel_built(enum gpu_kernel kernel)
{
    return (uint32_t)kernel < GPU_KERNEL_COUNT && gpu_kernel_codes[kernel].n_words > 0;
}

/* SPIR-V capabilities that need something of the device: what, by the offset of the caps member. */
static const struct {
    uint32_t capability;
    size_t member;
    const char *name;
} needs[] = {
    {9, offsetof(gpu_caps, f16_arithmetic), "16-bit float arithmetic"},
    {11, offsetof(gpu_caps, int64), "64-bit integers"},
    {22, offsetof(gpu_caps, int16), "16-bit integers"},
    {39, offsetof(gpu_caps, int8), "8-bit integers"},
    {46, offsetof(gpu_caps, texel_buffers), "large texel buffers"},
    {61, offsetof(gpu_caps, subgroup_basic), "subgroup operations"},
    {62, offsetof(gpu_caps, subgroup_basic), "subgroup votes"},
    {63, offsetof(gpu_caps, subgroup_arithmetic), "subgroup arithmetic"},
    {64, offsetof(gpu_caps, subgroup_basic), "subgroup ballots"},
    {65, offsetof(gpu_caps, subgroup_shuffle), "subgroup shuffles"},
    {66, offsetof(gpu_caps, subgroup_shuffle), "relative subgroup shuffles"},
    {4433, offsetof(gpu_caps, storage_16bit), "16-bit storage"},
    {4448, offsetof(gpu_caps, storage_8bit), "8-bit storage"},
    {6016, offsetof(gpu_caps, integer_dot_product), "integer dot products"},
    {6017, offsetof(gpu_caps, integer_dot_product), "integer dot products"},
    {6018, offsetof(gpu_caps, integer_dot_product), "integer dot products"},
    {6019, offsetof(gpu_caps, integer_dot_product), "integer dot products"},
    {6022, offsetof(gpu_caps, cooperative_matrix), "cooperative matrices"},
};

/* What a kernel asks for must be within what the device (as restricted) has. */
static vkdlm_status check_limits(const gpu_device *d, const gpu_pipeline *p, vkdlm_error *err)
{
    const char *name = gpu_kernel_name(p->kernel);
    const gpu_caps *caps = &d->caps;
    const uint32_t *size = p->info.local_size;
    for (uint32_t i = 0; i < p->info.n_capabilities; i++)
        for (size_t j = 0; j < sizeof needs / sizeof *needs; j++)
            if (needs[j].capability == p->info.capabilities[i] &&
                !*((const bool *)((const char *)caps + needs[j].member)))
                return error_set(err, VKDLM_UNSUPPORTED, "kernel '%s' needs %s, which device '%s' lacks",
                                 name, needs[j].name, caps->name);
    if ((uint64_t)size[0] * size[1] * size[2] > caps->max_invocations || size[0] > caps->max_workgroup_size_x)
        return error_set(
            err, VKDLM_UNSUPPORTED,
            "kernel '%s' has workgroups of %u x %u x %u, device '%s' allows %u invocations (%u in x)", name,
            size[0], size[1], size[2], caps->name, caps->max_invocations, caps->max_workgroup_size_x);
    if (p->info.push_bytes > caps->max_push_bytes)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "kernel '%s' has %u bytes of push constants, device '%s' allows %u", name,
                         p->info.push_bytes, caps->name, caps->max_push_bytes);
    if (p->n_bindings > caps->max_storage_buffers)
        return error_set(err, VKDLM_UNSUPPORTED, "kernel '%s' binds %u buffers, device '%s' allows %u", name,
                         p->n_bindings, caps->name, caps->max_storage_buffers);
    if (p->spec.subgroup_size &&
        (!caps->subgroup_size_control || p->spec.subgroup_size < caps->min_subgroup_size ||
         p->spec.subgroup_size > caps->max_subgroup_size))
        return error_set(err, VKDLM_UNSUPPORTED,
                         "kernel '%s' asks for subgroups of %u, device '%s' %s (%u to %u)", name,
                         p->spec.subgroup_size, caps->name,
                         caps->subgroup_size_control ? "allows others" : "has no choice",
                         caps->min_subgroup_size, caps->max_subgroup_size);
    return VKDLM_OK;
}

static VkResult create_layouts(gpu_device *d, gpu_pipeline *p)
{
    VkDescriptorSetLayoutBinding bindings[SPIRV_MAX_BINDINGS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->info.n_bindings; i++)
        if (p->info.bindings[i].used)
            bindings[n++] = (VkDescriptorSetLayoutBinding){
                .binding = i,
                .descriptorType = binding_type(&p->info.bindings[i]),
                .descriptorCount = 1,
                .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
            };
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = n,
        .pBindings = bindings,
    };
    VkResult result = d->vk.vkCreateDescriptorSetLayout(d->handle, &set, NULL, &p->set_layout);
    if (result != VK_SUCCESS)
        return result;
    VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, p->info.push_bytes};
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &p->set_layout,
        .pushConstantRangeCount = p->info.push_bytes ? 1 : 0,
        .pPushConstantRanges = &push,
    };
    return d->vk.vkCreatePipelineLayout(d->handle, &layout, NULL, &p->layout);
}

static VkResult create_handle(gpu_device *d, gpu_pipeline *p)
{
    const struct gpu_kernel_code *code = &gpu_kernel_codes[p->kernel];
    VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = code->n_words * sizeof *code->words,
        .pCode = code->words,
    };
    VkShaderModule module;
    VkResult result = d->vk.vkCreateShaderModule(d->handle, &module_info, NULL, &module);
    if (result != VK_SUCCESS)
        return result;
    gpu_spec constants = p->spec;
    if (d->spoiled.active && d->spoiled.kernel == p->kernel)
        constants.value[d->spoiled.constant] = d->spoiled.value;
    VkSpecializationMapEntry entries[GPU_MAX_SPEC];
    for (uint32_t i = 0; i < p->spec.n; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    VkSpecializationInfo spec = {constants.n, entries, constants.n * sizeof *constants.value,
                                 constants.value};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = p->spec.subgroup_size,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = d->options.compile_only ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0,
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = p->spec.subgroup_size ? &subgroup : NULL,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &spec,
            },
        .layout = p->layout,
    };
    result = d->vk.vkCreateComputePipelines(d->handle, d->cache, 1, &info, NULL, &p->handle);
    d->vk.vkDestroyShaderModule(d->handle, module, NULL);
    return result;
}

static vkdlm_status blame_kernel(const gpu_pipeline *p, VkResult result, vkdlm_error *err)
{
    char what[200];
    snprintf(what, sizeof what, "cannot create the pipeline of kernel '%s'", gpu_kernel_name(p->kernel));
    return result_set(err, result, what);
}

vkdlm_status pipeline_compile(gpu_device *d, gpu_pipeline *p, vkdlm_error *err)
{
    VkResult result = create_handle(d, p);
    return result == VK_SUCCESS ? VKDLM_OK : blame_kernel(p, result, err);
}

static void pipeline_destroy(gpu_device *d, gpu_pipeline *p)
{
    d->vk.vkDestroyPipeline(d->handle, p->handle, NULL);
    d->vk.vkDestroyPipelineLayout(d->handle, p->layout, NULL);
    d->vk.vkDestroyDescriptorSetLayout(d->handle, p->set_layout, NULL);
    free(p);
}

/* Everything but the driver's pipeline. */
static vkdlm_status pipeline_create(gpu_device *d, enum gpu_kernel kernel, const gpu_spec *spec,
                                    gpu_pipeline **out, vkdlm_error *err)
{
    const struct gpu_kernel_code *code = &gpu_kernel_codes[kernel];
    if (code->n_words == 0)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "kernel '%s' is not part of this build (the shader compiler was too old)",
                         code->name);
    gpu_pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the pipeline of kernel '%s'",
                         code->name);
    p->kernel = kernel;
    p->spec = *spec;
    vkdlm_status status =
        spirv_reflect(code->name, code->words, code->n_words, spec->value, spec->n, &p->info, err);
    for (uint32_t i = 0; i < SPIRV_MAX_BINDINGS; i++)
        p->n_bindings += p->info.bindings[i].used;
    if (!status)
        status = check_limits(d, p, err);
    if (status)
        goto fail;
    VkResult result = create_layouts(d, p);
    if (result != VK_SUCCESS) {
        status = blame_kernel(p, result, err);
        goto fail;
    }
    *out = p;
    return VKDLM_OK;
fail:
    pipeline_destroy(d, p);
    return status;
}

vkdlm_status gpu_pipeline_get(gpu_device *d, enum gpu_kernel kernel, const gpu_spec *spec,
                              const gpu_pipeline **out, vkdlm_error *err)
{
    *out = NULL;
    if ((uint32_t)kernel >= GPU_KERNEL_COUNT || (spec && spec->n > GPU_MAX_SPEC))
        return error_set(err, VKDLM_INTERNAL, "kernel %d with %u constants is outside of the tables",
                         (int)kernel, spec ? spec->n : 0);
    /* Values past n must not tell two equal keys apart. */
    gpu_spec key = {0};
    if (spec) {
        key.n = spec->n;
        key.subgroup_size = spec->subgroup_size;
        memcpy(key.value, spec->value, spec->n * sizeof *spec->value);
    }
    vkdlm_status status = VKDLM_OK;
    pthread_mutex_lock(&d->lock);
    gpu_pipeline *p = d->pipelines[kernel];
    while (p && memcmp(&p->spec, &key, sizeof key) != 0)
        p = p->next;
    if (!p) {
        status = pipeline_create(d, kernel, &key, &p, err);
        if (!status) {
            p->next = d->pipelines[kernel];
            d->pipelines[kernel] = p;
            p->number = d->n_pipelines++;
            compiler_add(d, p);
        }
    }
    pthread_mutex_unlock(&d->lock);
    *out = status ? NULL : p;
    return status;
}

void gpu_device_spoil(gpu_device *d, enum gpu_kernel kernel, uint32_t constant, uint32_t value)
{
    pthread_mutex_lock(&d->lock);
    d->spoiled.kernel = kernel;
    d->spoiled.constant = constant % GPU_MAX_SPEC;
    d->spoiled.value = value;
    d->spoiled.active = true;
    pthread_mutex_unlock(&d->lock);
}

void gpu_pipeline_local_size(const gpu_pipeline *p, uint32_t size[3])
{
    memcpy(size, p->info.local_size, sizeof p->info.local_size);
}

void pipeline_destroy_all(gpu_device *d)
{
    for (size_t i = 0; i < sizeof d->pipelines / sizeof *d->pipelines; i++)
        while (d->pipelines[i]) {
            gpu_pipeline *p = d->pipelines[i];
            d->pipelines[i] = p->next;
            pipeline_destroy(d, p);
        }
}
