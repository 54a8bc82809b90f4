#include "screen/swapchain.h"

#include <algorithm>

namespace viewer
{
namespace
{

/* Colours are written as they are: not an sRGB format, if there is a choice. */
VkSurfaceFormatKHR choose_format(VkPhysicalDevice physical, VkSurfaceKHR surface)
{
    uint32_t n = 0;
    vkGetPhysicalDeviceSurfaceFormatsKHR(physical, surface, &n, nullptr);
    std::vector<VkSurfaceFormatKHR> formats(n);
    vkGetPhysicalDeviceSurfaceFormatsKHR(physical, surface, &n, formats.data());
    for (const VkSurfaceFormatKHR &f : formats)
        if (f.format == VK_FORMAT_B8G8R8A8_UNORM || f.format == VK_FORMAT_R8G8B8A8_UNORM)
            return f;
    return formats.empty() ? VkSurfaceFormatKHR{VK_FORMAT_B8G8R8A8_UNORM, VK_COLOR_SPACE_SRGB_NONLINEAR_KHR}
                           : formats[0];
}

} // namespace

swapchain::~swapchain()
{
    if (gpu_.device) {
        vkDeviceWaitIdle(gpu_.device);
        drop();
        vkDestroyRenderPass(gpu_.device, pass_, nullptr);
        vkDestroySemaphore(gpu_.device, acquired_, nullptr);
        vkDestroyFence(gpu_.device, fence_, nullptr);
        vkDestroyCommandPool(gpu_.device, commands_, nullptr);
        vkDestroySwapchainKHR(gpu_.device, swapchain_, nullptr);
    }
    if (surface_)
        vkDestroySurfaceKHR(gpu_.instance, surface_, nullptr);
}

void swapchain::drop()
{
    for (const swap_image &i : images_) {
        vkDestroyFramebuffer(gpu_.device, i.framebuffer, nullptr);
        vkDestroyImageView(gpu_.device, i.view, nullptr);
        vkDestroySemaphore(gpu_.device, i.drawn, nullptr);
    }
    images_.clear();
}

bool swapchain::make(uint32_t width, uint32_t height, std::string &error)
{
    vkDeviceWaitIdle(gpu_.device);
    drop();
    VkSurfaceCapabilitiesKHR can;
    VkResult result = vkGetPhysicalDeviceSurfaceCapabilitiesKHR(gpu_.physical, surface_, &can);
    if (result != VK_SUCCESS) {
        error = vulkan_error("asking for the window's size", result);
        return false;
    }
    extent_ = can.currentExtent;
    if (extent_.width == UINT32_MAX)
        extent_ = {std::clamp(width, can.minImageExtent.width, can.maxImageExtent.width),
                   std::clamp(height, can.minImageExtent.height, can.maxImageExtent.height)};
    if (!extent_.width || !extent_.height)
        return true; /* minimised: there is nothing to draw on */
    if (!pass_) {
        format_ = choose_format(gpu_.physical, surface_);
        pass_ = make_pass(gpu_.device, format_.format, VK_IMAGE_LAYOUT_PRESENT_SRC_KHR);
    }
    std::vector<VkImage> images;
    result = make_chain(can, images);
    for (size_t i = 0; i < images.size() && result == VK_SUCCESS; i++)
        result = add_image(images[i]);
    if (result == VK_SUCCESS && !acquired_)
        result = make_objects();
    if (result != VK_SUCCESS || !pass_) {
        error = vulkan_error("preparing the window", result);
        return false;
    }
    return true;
}

VkResult swapchain::make_chain(const VkSurfaceCapabilitiesKHR &can, std::vector<VkImage> &images)
{
    uint32_t n = std::max(can.minImageCount, 2U);
    if (can.maxImageCount)
        n = std::min(n, can.maxImageCount);
    VkSwapchainCreateInfoKHR info = {};
    info.sType = VK_STRUCTURE_TYPE_SWAPCHAIN_CREATE_INFO_KHR;
    info.surface = surface_;
    info.minImageCount = n;
    info.imageFormat = format_.format;
    info.imageColorSpace = format_.colorSpace;
    info.imageExtent = extent_;
    info.imageArrayLayers = 1;
    info.imageUsage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT;
    info.preTransform = can.currentTransform;
    info.compositeAlpha = (can.supportedCompositeAlpha & VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR)
                              ? VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR
                              : VK_COMPOSITE_ALPHA_INHERIT_BIT_KHR;
    info.presentMode = VK_PRESENT_MODE_FIFO_KHR;
    info.clipped = VK_TRUE;
    info.oldSwapchain = swapchain_;
    VkSwapchainKHR made = VK_NULL_HANDLE;
    VkResult result = vkCreateSwapchainKHR(gpu_.device, &info, nullptr, &made);
    vkDestroySwapchainKHR(gpu_.device, swapchain_, nullptr);
    swapchain_ = result == VK_SUCCESS ? made : VK_NULL_HANDLE;
    if (result != VK_SUCCESS)
        return result;
    vkGetSwapchainImagesKHR(gpu_.device, swapchain_, &n, nullptr);
    images.resize(n);
    return vkGetSwapchainImagesKHR(gpu_.device, swapchain_, &n, images.data());
}

VkResult swapchain::add_image(VkImage image)
{
    images_.push_back({});
    swap_image &made = images_.back();
    VkImageViewCreateInfo view = {};
    view.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO;
    view.image = image;
    view.viewType = VK_IMAGE_VIEW_TYPE_2D;
    view.format = format_.format;
    view.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    VkResult result = vkCreateImageView(gpu_.device, &view, nullptr, &made.view);
    VkFramebufferCreateInfo framebuffer = {};
    framebuffer.sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO;
    framebuffer.renderPass = pass_;
    framebuffer.attachmentCount = 1;
    framebuffer.pAttachments = &made.view;
    framebuffer.width = extent_.width;
    framebuffer.height = extent_.height;
    framebuffer.layers = 1;
    if (result == VK_SUCCESS)
        result = vkCreateFramebuffer(gpu_.device, &framebuffer, nullptr, &made.framebuffer);
    VkSemaphoreCreateInfo semaphore = {};
    semaphore.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
    return result == VK_SUCCESS ? vkCreateSemaphore(gpu_.device, &semaphore, nullptr, &made.drawn) : result;
}

VkResult swapchain::make_objects()
{
    VkSemaphoreCreateInfo semaphore = {};
    semaphore.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
    VkResult result = vkCreateSemaphore(gpu_.device, &semaphore, nullptr, &acquired_);
    VkFenceCreateInfo fence = {};
    fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
    if (result == VK_SUCCESS)
        result = vkCreateFence(gpu_.device, &fence, nullptr, &fence_);
    VkCommandPoolCreateInfo pool = {};
    pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    pool.queueFamilyIndex = gpu_.family;
    if (result == VK_SUCCESS)
        result = vkCreateCommandPool(gpu_.device, &pool, nullptr, &commands_);
    VkCommandBufferAllocateInfo allocate = {};
    allocate.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    allocate.commandPool = commands_;
    allocate.commandBufferCount = 1;
    return result == VK_SUCCESS ? vkAllocateCommandBuffers(gpu_.device, &allocate, &buffer_) : result;
}

bool swapchain::acquire(bool &stale, std::string &error)
{
    VkResult result =
        vkAcquireNextImageKHR(gpu_.device, swapchain_, UINT64_MAX, acquired_, VK_NULL_HANDLE, &index_);
    stale = result == VK_ERROR_OUT_OF_DATE_KHR;
    if (stale || result == VK_SUCCESS || result == VK_SUBOPTIMAL_KHR)
        return true;
    error = vulkan_error("drawing the window", result);
    return false;
}

bool swapchain::record(painter &by, VkClearValue background, std::string &error)
{
    VkCommandBufferBeginInfo begin = {};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    VkResult result = vkBeginCommandBuffer(buffer_, &begin);
    if (result == VK_SUCCESS) {
        if (!by.prepare(*ImGui::GetDrawData(), extent_, buffer_, error))
            return false;
        VkRenderPassBeginInfo pass = {};
        pass.sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO;
        pass.renderPass = pass_;
        pass.framebuffer = images_[index_].framebuffer;
        pass.renderArea.extent = extent_;
        pass.clearValueCount = 1;
        pass.pClearValues = &background;
        vkCmdBeginRenderPass(buffer_, &pass, VK_SUBPASS_CONTENTS_INLINE);
        by.draw(buffer_);
        vkCmdEndRenderPass(buffer_);
        result = vkEndCommandBuffer(buffer_);
    }
    if (result != VK_SUCCESS)
        error = vulkan_error("drawing the window", result);
    return result == VK_SUCCESS;
}

bool swapchain::draw(painter &by, VkClearValue background, bool &stale, std::string &error)
{
    vkResetFences(gpu_.device, 1, &fence_);
    if (!record(by, background, error))
        return false;
    VkPipelineStageFlags stage = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    VkSubmitInfo submit = {};
    submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    submit.waitSemaphoreCount = 1;
    submit.pWaitSemaphores = &acquired_;
    submit.pWaitDstStageMask = &stage;
    submit.commandBufferCount = 1;
    submit.pCommandBuffers = &buffer_;
    submit.signalSemaphoreCount = 1;
    submit.pSignalSemaphores = &images_[index_].drawn;
    VkResult result = vkQueueSubmit(gpu_.queue, 1, &submit, fence_);
    if (result == VK_SUCCESS) {
        VkPresentInfoKHR info = {};
        info.sType = VK_STRUCTURE_TYPE_PRESENT_INFO_KHR;
        info.waitSemaphoreCount = 1;
        info.pWaitSemaphores = &images_[index_].drawn;
        info.swapchainCount = 1;
        info.pSwapchains = &swapchain_;
        info.pImageIndices = &index_;
        result = vkQueuePresentKHR(gpu_.queue, &info);
        vkWaitForFences(gpu_.device, 1, &fence_, VK_TRUE, UINT64_MAX);
        if (result == VK_ERROR_OUT_OF_DATE_KHR || result == VK_SUBOPTIMAL_KHR) {
            stale = true;
            result = VK_SUCCESS;
        }
    }
    if (result != VK_SUCCESS)
        error = vulkan_error("drawing the window", result);
    return result == VK_SUCCESS;
}

} // namespace viewer
