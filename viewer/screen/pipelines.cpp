#include "screen/pipelines.h"

#include <cstddef>

#include <imgui.h>
#include <viewer_shaders.h>

namespace viewer
{
namespace
{

const struct {
    const uint32_t *words;
    size_t size_bytes;
    bool blends;
} ways[n_ways] = {
    {flat_frag, sizeof flat_frag, false},
    {flat_frag, sizeof flat_frag, true},
    {letters_frag, sizeof letters_frag, true},
    {image_frag, sizeof image_frag, true},
};

VkResult make_sampler(VkDevice device, VkFilter filter, VkSampler *out)
{
    VkSamplerCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO;
    info.magFilter = info.minFilter = filter;
    info.addressModeU = info.addressModeV = info.addressModeW = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE;
    return vkCreateSampler(device, &info, nullptr, out);
}

} // namespace

pipelines::~pipelines()
{
    if (!gpu_.device)
        return;
    for (VkPipeline p : made_)
        vkDestroyPipeline(gpu_.device, p, nullptr);
    vkDestroyPipelineLayout(gpu_.device, layout_, nullptr);
    vkDestroyDescriptorSetLayout(gpu_.device, set_layout_, nullptr);
    vkDestroySampler(gpu_.device, linear_, nullptr);
    vkDestroySampler(gpu_.device, nearest_, nullptr);
}

bool pipelines::make_layouts()
{
    VkDescriptorSetLayoutBinding binding = {};
    binding.descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
    binding.descriptorCount = 1;
    binding.stageFlags = VK_SHADER_STAGE_FRAGMENT_BIT;
    VkDescriptorSetLayoutCreateInfo set = {};
    set.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
    set.bindingCount = 1;
    set.pBindings = &binding;
    if (make_sampler(gpu_.device, VK_FILTER_LINEAR, &linear_) != VK_SUCCESS ||
        make_sampler(gpu_.device, VK_FILTER_NEAREST, &nearest_) != VK_SUCCESS ||
        vkCreateDescriptorSetLayout(gpu_.device, &set, nullptr, &set_layout_) != VK_SUCCESS)
        return false;
    VkPushConstantRange scale = {VK_SHADER_STAGE_VERTEX_BIT, 0, 2 * sizeof(float)};
    VkPipelineLayoutCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    info.setLayoutCount = 1;
    info.pSetLayouts = &set_layout_;
    info.pushConstantRangeCount = 1;
    info.pPushConstantRanges = &scale;
    return vkCreatePipelineLayout(gpu_.device, &info, nullptr, &layout_) == VK_SUCCESS;
}

VkShaderModule pipelines::load(const uint32_t *words, size_t size_bytes) const
{
    VkShaderModuleCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    info.codeSize = size_bytes;
    info.pCode = words;
    VkShaderModule module = VK_NULL_HANDLE;
    return vkCreateShaderModule(gpu_.device, &info, nullptr, &module) == VK_SUCCESS ? module : VK_NULL_HANDLE;
}

VkResult pipelines::make(VkRenderPass pass, VkShaderModule corners, VkShaderModule pixels, bool blends,
                         VkPipeline *out) const
{
    VkPipelineShaderStageCreateInfo stages[2] = {};
    stages[0].sType = stages[1].sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    stages[0].pName = stages[1].pName = "main";
    stages[0].stage = VK_SHADER_STAGE_VERTEX_BIT;
    stages[0].module = corners;
    stages[1].stage = VK_SHADER_STAGE_FRAGMENT_BIT;
    stages[1].module = pixels;
    const VkVertexInputBindingDescription vertex = {0, sizeof(ImDrawVert), VK_VERTEX_INPUT_RATE_VERTEX};
    const VkVertexInputAttributeDescription attributes[] = {
        {0, 0, VK_FORMAT_R32G32_SFLOAT, offsetof(ImDrawVert, pos)},
        {1, 0, VK_FORMAT_R32G32_SFLOAT, offsetof(ImDrawVert, uv)},
        {2, 0, VK_FORMAT_R8G8B8A8_UNORM, offsetof(ImDrawVert, col)},
    };
    VkPipelineVertexInputStateCreateInfo input = {};
    input.sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO;
    input.vertexBindingDescriptionCount = 1;
    input.pVertexBindingDescriptions = &vertex;
    input.vertexAttributeDescriptionCount = 3;
    input.pVertexAttributeDescriptions = attributes;
    VkPipelineInputAssemblyStateCreateInfo triangles = {};
    triangles.sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO;
    triangles.topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST;
    VkPipelineViewportStateCreateInfo viewport = {};
    viewport.sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO;
    viewport.viewportCount = viewport.scissorCount = 1;
    VkPipelineRasterizationStateCreateInfo raster = {};
    raster.sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO;
    raster.lineWidth = 1;
    VkPipelineMultisampleStateCreateInfo samples = {};
    samples.sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO;
    samples.rasterizationSamples = VK_SAMPLE_COUNT_1_BIT;
    VkPipelineColorBlendAttachmentState target = {};
    target.blendEnable = blends;
    target.srcColorBlendFactor = VK_BLEND_FACTOR_SRC_ALPHA;
    target.dstColorBlendFactor = target.dstAlphaBlendFactor = VK_BLEND_FACTOR_ONE_MINUS_SRC_ALPHA;
    target.srcAlphaBlendFactor = VK_BLEND_FACTOR_ONE;
    target.colorWriteMask = VK_COLOR_COMPONENT_R_BIT | VK_COLOR_COMPONENT_G_BIT | VK_COLOR_COMPONENT_B_BIT |
                            VK_COLOR_COMPONENT_A_BIT;
    VkPipelineColorBlendStateCreateInfo blend = {};
    blend.sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO;
    blend.attachmentCount = 1;
    blend.pAttachments = &target;
    const VkDynamicState changing[] = {VK_DYNAMIC_STATE_VIEWPORT, VK_DYNAMIC_STATE_SCISSOR};
    VkPipelineDynamicStateCreateInfo dynamic = {};
    dynamic.sType = VK_STRUCTURE_TYPE_PIPELINE_DYNAMIC_STATE_CREATE_INFO;
    dynamic.dynamicStateCount = 2;
    dynamic.pDynamicStates = changing;
    VkGraphicsPipelineCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO;
    info.stageCount = 2;
    info.pStages = stages;
    info.pVertexInputState = &input;
    info.pInputAssemblyState = &triangles;
    info.pViewportState = &viewport;
    info.pRasterizationState = &raster;
    info.pMultisampleState = &samples;
    info.pColorBlendState = &blend;
    info.pDynamicState = &dynamic;
    info.layout = layout_;
    info.renderPass = pass;
    return vkCreateGraphicsPipelines(gpu_.device, VK_NULL_HANDLE, 1, &info, nullptr, out);
}

bool pipelines::open(VkRenderPass pass, std::string &error)
{
    bool good = make_layouts();
    VkShaderModule corners = load(panels_vert, sizeof panels_vert);
    for (int i = 0; i < n_ways && good; i++) {
        VkShaderModule pixels = load(ways[i].words, ways[i].size_bytes);
        good = corners && pixels && make(pass, corners, pixels, ways[i].blends, &made_[i]) == VK_SUCCESS;
        vkDestroyShaderModule(gpu_.device, pixels, nullptr);
    }
    vkDestroyShaderModule(gpu_.device, corners, nullptr);
    if (!good)
        error = "the drawing pipelines could not be made";
    return good;
}

} // namespace viewer
