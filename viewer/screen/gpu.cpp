#include "screen/gpu.h"

#include <cctype>
#include <cstdio>

namespace viewer
{

std::string vulkan_error(const char *what, VkResult result)
{
    char text[160];
    snprintf(text, sizeof text, "%s failed: Vulkan says %d", what, static_cast<int>(result));
    return text;
}

VkClearValue clear_value(uint32_t colour)
{
    VkClearValue out = {};
    for (int i = 0; i < 4; i++)
        out.color.float32[i] = static_cast<float>(colour >> 8 * i & 0xFF) / 255;
    return out;
}

gpu::~gpu()
{
    if (device) {
        vkDeviceWaitIdle(device);
        vkDestroyCommandPool(device, commands_, nullptr);
        vkDestroyDevice(device, nullptr);
    }
    if (instance)
        vkDestroyInstance(instance, nullptr);
}

bool gpu::open_instance(const std::vector<const char *> &extensions, std::string &error)
{
    VkApplicationInfo app = {};
    app.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    app.pApplicationName = "vkdlm-view";
    app.apiVersion = VK_API_VERSION_1_1;
    VkInstanceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &app;
    info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();
    VkResult result = vkCreateInstance(&info, nullptr, &instance);
    if (result != VK_SUCCESS)
        error = "no Vulkan driver was found to draw with";
    return result == VK_SUCCESS;
}

namespace
{

constexpr uint32_t no_family = UINT32_MAX;

/* A queue family that draws, and presents where there is a surface. */
uint32_t find_family(VkPhysicalDevice physical, VkSurfaceKHR surface)
{
    uint32_t n = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, nullptr);
    std::vector<VkQueueFamilyProperties> families(n);
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families.data());
    for (uint32_t i = 0; i < n; i++) {
        VkBool32 presents = VK_TRUE;
        if (surface)
            vkGetPhysicalDeviceSurfaceSupportKHR(physical, i, surface, &presents);
        if ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) && presents)
            return i;
    }
    return no_family;
}

/* By index, or by a part of the name in any case. */
bool is_wanted(const std::string &wanted, uint32_t index, const char *name)
{
    if (wanted.find_first_not_of("0123456789") == std::string::npos)
        return wanted == std::to_string(index);
    auto lower = [](std::string text) {
        for (char &c : text)
            c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        return text;
    };
    return lower(name).find(lower(wanted)) != std::string::npos;
}

int rank(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 4;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 3;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 1;
    default:
        return 0;
    }
}

} // namespace

bool gpu::open_device(const std::string &wanted, VkSurfaceKHR surface, std::string &error)
{
    uint32_t n = 0;
    vkEnumeratePhysicalDevices(instance, &n, nullptr);
    std::vector<VkPhysicalDevice> devices(n);
    vkEnumeratePhysicalDevices(instance, &n, devices.data());
    int best = -1;
    for (uint32_t i = 0; i < n; i++) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(devices[i], &properties);
        uint32_t found = find_family(devices[i], surface);
        bool fits = wanted.empty() ? rank(properties.deviceType) > best
                                   : is_wanted(wanted, i, properties.deviceName) && !physical;
        if (found == no_family || !fits)
            continue;
        best = rank(properties.deviceType);
        physical = devices[i];
        family = found;
    }
    if (!physical) {
        error = wanted.empty() ? "no Vulkan device can draw" : "no Vulkan device '" + wanted + "' can draw";
        return false;
    }
    const float priority = 1;
    VkDeviceQueueCreateInfo queue_info = {};
    queue_info.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue_info.queueFamilyIndex = family;
    queue_info.queueCount = 1;
    queue_info.pQueuePriorities = &priority;
    const char *swapchain = VK_KHR_SWAPCHAIN_EXTENSION_NAME;
    VkDeviceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue_info;
    info.enabledExtensionCount = surface ? 1 : 0;
    info.ppEnabledExtensionNames = &swapchain;
    VkResult result = vkCreateDevice(physical, &info, nullptr, &device);
    if (result != VK_SUCCESS) {
        device = VK_NULL_HANDLE;
        error = vulkan_error("opening the device", result);
        return false;
    }
    vkGetDeviceQueue(device, family, 0, &queue);
    VkCommandPoolCreateInfo commands = {};
    commands.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    commands.queueFamilyIndex = family;
    result = vkCreateCommandPool(device, &commands, nullptr, &commands_);
    if (result != VK_SUCCESS)
        error = vulkan_error("preparing the device", result);
    return result == VK_SUCCESS;
}

bool gpu::submit(const std::function<void(VkCommandBuffer)> &record, std::string &error)
{
    VkCommandBufferAllocateInfo allocate = {};
    allocate.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    allocate.commandPool = commands_;
    allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    allocate.commandBufferCount = 1;
    VkCommandBuffer buffer = VK_NULL_HANDLE;
    VkResult result = vkAllocateCommandBuffers(device, &allocate, &buffer);
    if (result == VK_SUCCESS) {
        VkCommandBufferBeginInfo begin = {};
        begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
        begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
        result = vkBeginCommandBuffer(buffer, &begin);
    }
    if (result == VK_SUCCESS) {
        record(buffer);
        result = vkEndCommandBuffer(buffer);
    }
    if (result == VK_SUCCESS) {
        VkSubmitInfo submit = {};
        submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
        submit.commandBufferCount = 1;
        submit.pCommandBuffers = &buffer;
        result = vkQueueSubmit(queue, 1, &submit, VK_NULL_HANDLE);
    }
    if (result == VK_SUCCESS)
        result = vkQueueWaitIdle(queue);
    if (buffer)
        vkFreeCommandBuffers(device, commands_, 1, &buffer);
    if (result != VK_SUCCESS)
        error = vulkan_error("drawing", result);
    return result == VK_SUCCESS;
}

bool gpu::allocate(const VkMemoryRequirements &needs, VkMemoryPropertyFlags properties,
                   VkDeviceMemory *memory, std::string &error) const
{
    VkPhysicalDeviceMemoryProperties types;
    vkGetPhysicalDeviceMemoryProperties(physical, &types);
    VkMemoryAllocateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
    info.allocationSize = needs.size;
    VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    for (uint32_t i = 0; i < types.memoryTypeCount; i++)
        if ((needs.memoryTypeBits >> i & 1) &&
            (types.memoryTypes[i].propertyFlags & properties) == properties) {
            info.memoryTypeIndex = i;
            result = vkAllocateMemory(device, &info, nullptr, memory);
            break;
        }
    if (result != VK_SUCCESS)
        error = vulkan_error("allocating memory to draw with", result);
    return result == VK_SUCCESS;
}

bool gpu::make_image(VkFormat format, uint32_t width, uint32_t height, VkImageUsageFlags usage,
                     const char *purpose, gpu_image &out, std::string &error) const
{
    VkImageCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO;
    info.imageType = VK_IMAGE_TYPE_2D;
    info.format = format;
    info.extent = {width, height, 1};
    info.mipLevels = 1;
    info.arrayLayers = 1;
    info.samples = VK_SAMPLE_COUNT_1_BIT;
    info.tiling = VK_IMAGE_TILING_OPTIMAL;
    info.usage = usage;
    VkResult result = vkCreateImage(device, &info, nullptr, &out.image);
    if (result != VK_SUCCESS) {
        error = vulkan_error(purpose, result);
        return false;
    }
    VkMemoryRequirements needs;
    vkGetImageMemoryRequirements(device, out.image, &needs);
    if (!allocate(needs, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, &out.memory, error))
        return false;
    vkBindImageMemory(device, out.image, out.memory, 0);
    VkImageViewCreateInfo view = {};
    view.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO;
    view.image = out.image;
    view.viewType = VK_IMAGE_VIEW_TYPE_2D;
    view.format = format;
    view.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    result = vkCreateImageView(device, &view, nullptr, &out.view);
    if (result != VK_SUCCESS)
        error = vulkan_error(purpose, result);
    return result == VK_SUCCESS;
}

bool gpu::make_buffer(VkDeviceSize size_bytes, VkBufferUsageFlags usage, const char *purpose, gpu_buffer &out,
                      std::string &error) const
{
    VkBufferCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = size_bytes;
    info.usage = usage;
    VkResult result = vkCreateBuffer(device, &info, nullptr, &out.buffer);
    if (result != VK_SUCCESS) {
        error = vulkan_error(purpose, result);
        return false;
    }
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(device, out.buffer, &needs);
    if (!allocate(needs, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                  &out.memory, error))
        return false;
    vkBindBufferMemory(device, out.buffer, out.memory, 0);
    return true;
}

void gpu::drop(gpu_image &image) const
{
    vkDestroyImageView(device, image.view, nullptr);
    vkDestroyImage(device, image.image, nullptr);
    vkFreeMemory(device, image.memory, nullptr);
    image = {};
}

void gpu::drop(gpu_buffer &buffer) const
{
    vkDestroyBuffer(device, buffer.buffer, nullptr);
    vkFreeMemory(device, buffer.memory, nullptr);
    buffer = {};
}

VkRenderPass make_pass(VkDevice device, VkFormat format, VkImageLayout last)
{
    VkAttachmentDescription attachment = {};
    attachment.format = format;
    attachment.samples = VK_SAMPLE_COUNT_1_BIT;
    attachment.loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR;
    attachment.storeOp = VK_ATTACHMENT_STORE_OP_STORE;
    attachment.stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE;
    attachment.stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE;
    attachment.finalLayout = last;
    VkAttachmentReference reference = {0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
    VkSubpassDescription subpass = {};
    subpass.pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS;
    subpass.colorAttachmentCount = 1;
    subpass.pColorAttachments = &reference;
    VkSubpassDependency dependencies[2] = {};
    dependencies[0].srcSubpass = VK_SUBPASS_EXTERNAL;
    dependencies[0].srcStageMask =
        VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    dependencies[0].srcAccessMask = VK_ACCESS_TRANSFER_READ_BIT;
    dependencies[0].dstStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    dependencies[0].dstAccessMask =
        VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT | VK_ACCESS_COLOR_ATTACHMENT_READ_BIT;
    dependencies[1].srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    dependencies[1].srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT;
    dependencies[1].dstSubpass = VK_SUBPASS_EXTERNAL;
    dependencies[1].dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT;
    dependencies[1].dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT;
    VkRenderPassCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO;
    info.attachmentCount = 1;
    info.pAttachments = &attachment;
    info.subpassCount = 1;
    info.pSubpasses = &subpass;
    info.dependencyCount = 2;
    info.pDependencies = dependencies;
    VkRenderPass pass = VK_NULL_HANDLE;
    return vkCreateRenderPass(device, &info, nullptr, &pass) == VK_SUCCESS ? pass : VK_NULL_HANDLE;
}

} // namespace viewer
