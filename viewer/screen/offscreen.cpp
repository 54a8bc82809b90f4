#include "screen/offscreen.h"

#include <cstring>
#include <utility>

namespace viewer
{
image_target::~image_target()
{
    if (!gpu_.device)
        return;
    vkDeviceWaitIdle(gpu_.device);
    vkDestroyFramebuffer(gpu_.device, framebuffer_, nullptr);
    vkDestroyRenderPass(gpu_.device, pass_, nullptr);
    vkDestroyImageView(gpu_.device, view_, nullptr);
    vkDestroyImage(gpu_.device, image_, nullptr);
    vkDestroyBuffer(gpu_.device, buffer_, nullptr);
    vkFreeMemory(gpu_.device, image_memory_, nullptr);
    vkFreeMemory(gpu_.device, buffer_memory_, nullptr);
}

bool image_target::make_image(std::string &error)
{
    VkImageCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO;
    info.imageType = VK_IMAGE_TYPE_2D;
    info.format = format_;
    info.extent = {width_, height_, 1};
    info.mipLevels = 1;
    info.arrayLayers = 1;
    info.samples = VK_SAMPLE_COUNT_1_BIT;
    info.tiling = VK_IMAGE_TILING_OPTIMAL;
    info.usage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT;
    VkResult result = vkCreateImage(gpu_.device, &info, nullptr, &image_);
    if (result != VK_SUCCESS) {
        error = vulkan_error("making the picture", result);
        return false;
    }
    VkMemoryRequirements needs;
    vkGetImageMemoryRequirements(gpu_.device, image_, &needs);
    if (!gpu_.allocate(needs, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, &image_memory_, error))
        return false;
    vkBindImageMemory(gpu_.device, image_, image_memory_, 0);
    VkImageViewCreateInfo view = {};
    view.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO;
    view.image = image_;
    view.viewType = VK_IMAGE_VIEW_TYPE_2D;
    view.format = format_;
    view.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    result = vkCreateImageView(gpu_.device, &view, nullptr, &view_);
    pass_ = make_pass(gpu_.device, format_, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
    if (result == VK_SUCCESS && pass_) {
        VkFramebufferCreateInfo framebuffer = {};
        framebuffer.sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO;
        framebuffer.renderPass = pass_;
        framebuffer.attachmentCount = 1;
        framebuffer.pAttachments = &view_;
        framebuffer.width = width_;
        framebuffer.height = height_;
        framebuffer.layers = 1;
        result = vkCreateFramebuffer(gpu_.device, &framebuffer, nullptr, &framebuffer_);
    }
    if (result != VK_SUCCESS || !framebuffer_)
        error = vulkan_error("making the picture", result);
    return result == VK_SUCCESS && framebuffer_;
}

bool image_target::make_buffer(std::string &error)
{
    VkBufferCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = VkDeviceSize{width_} * height_ * 4;
    info.usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    VkResult result = vkCreateBuffer(gpu_.device, &info, nullptr, &buffer_);
    if (result != VK_SUCCESS) {
        error = vulkan_error("making the picture", result);
        return false;
    }
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(gpu_.device, buffer_, &needs);
    if (!gpu_.allocate(needs, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                       &buffer_memory_, error))
        return false;
    vkBindBufferMemory(gpu_.device, buffer_, buffer_memory_, 0);
    return true;
}

bool image_target::open(VkFormat format, uint32_t width, uint32_t height, std::string &error)
{
    format_ = format;
    width_ = width;
    height_ = height;
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(gpu_.physical, &properties);
    uint32_t most = properties.limits.maxFramebufferWidth < properties.limits.maxFramebufferHeight
                        ? properties.limits.maxFramebufferWidth
                        : properties.limits.maxFramebufferHeight;
    if (width > most || height > most) {
        error = "the device draws pictures of at most " + std::to_string(most) + " pixels a side";
        return false;
    }
    return make_image(error) && make_buffer(error);
}

bool image_target::draw(painter &by, VkClearValue background, picture &out, std::string &error)
{
    bool prepared = false;
    bool good = gpu_.submit(
        [&](VkCommandBuffer commands) {
            prepared = by.prepare(*ImGui::GetDrawData(), {width_, height_}, commands, error);
            if (!prepared)
                return;
            VkRenderPassBeginInfo begin = {};
            begin.sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO;
            begin.renderPass = pass_;
            begin.framebuffer = framebuffer_;
            begin.renderArea.extent = {width_, height_};
            begin.clearValueCount = 1;
            begin.pClearValues = &background;
            vkCmdBeginRenderPass(commands, &begin, VK_SUBPASS_CONTENTS_INLINE);
            by.draw(commands);
            vkCmdEndRenderPass(commands);
            VkBufferImageCopy copy = {};
            copy.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
            copy.imageExtent = {width_, height_, 1};
            vkCmdCopyImageToBuffer(commands, image_, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, buffer_, 1, &copy);
            VkMemoryBarrier barrier = {};
            barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
            barrier.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
            barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
            vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                                 &barrier, 0, nullptr, 0, nullptr);
        },
        error);
    if (!prepared || !good)
        return false;
    void *mapped = nullptr;
    VkResult result = vkMapMemory(gpu_.device, buffer_memory_, 0, VK_WHOLE_SIZE, 0, &mapped);
    if (result != VK_SUCCESS) {
        error = vulkan_error("reading the picture", result);
        return false;
    }
    out.width = width_;
    out.height = height_;
    out.pixels.resize(size_t{width_} * height_ * 4);
    memcpy(out.pixels.data(), mapped, out.pixels.size());
    vkUnmapMemory(gpu_.device, buffer_memory_);
    if (format_ == VK_FORMAT_B8G8R8A8_UNORM || format_ == VK_FORMAT_B8G8R8A8_SRGB)
        for (size_t i = 0; i < out.pixels.size(); i += 4)
            std::swap(out.pixels[i], out.pixels[i + 2]);
    return true;
}

bool offscreen::open(const std::string &device, uint32_t width, uint32_t height, std::string &error)
{
    width_ = width;
    height_ = height;
    return gpu_.open_instance({}, error) && gpu_.open_device(device, VK_NULL_HANDLE, error) &&
           target_.open(VK_FORMAT_R8G8B8A8_UNORM, width, height, error) &&
           painter_.open(target_.pass(), error);
}

bool offscreen::draw(scene &s, picture &out, std::string &error)
{
    ImGuiIO &io = ImGui::GetIO();
    io.DisplaySize = ImVec2(static_cast<float>(width_), static_cast<float>(height_));
    io.DeltaTime = 1.0F / 60;
    ImGui::NewFrame();
    draw_frame(s);
    ImGui::Render();
    return target_.draw(painter_, clear_value(s.colours().background), out, error);
}

} // namespace viewer
