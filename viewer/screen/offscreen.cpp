#include "screen/offscreen.h"

#include <cstring>
#include <utility>

namespace viewer
{
namespace
{

constexpr const char *purpose = "making the picture";

} // namespace

image_target::~image_target()
{
    if (!gpu_.device)
        return;
    vkDeviceWaitIdle(gpu_.device);
    vkDestroyFramebuffer(gpu_.device, framebuffer_, nullptr);
    vkDestroyRenderPass(gpu_.device, pass_, nullptr);
    gpu_.drop(image_);
    gpu_.drop(buffer_);
}

bool image_target::make_pass_and_framebuffer(std::string &error)
{
    pass_ = make_pass(gpu_.device, format_, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
    VkResult result = VK_SUCCESS;
    if (pass_) {
        VkFramebufferCreateInfo framebuffer = {};
        framebuffer.sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO;
        framebuffer.renderPass = pass_;
        framebuffer.attachmentCount = 1;
        framebuffer.pAttachments = &image_.view;
        framebuffer.width = width_;
        framebuffer.height = height_;
        framebuffer.layers = 1;
        result = vkCreateFramebuffer(gpu_.device, &framebuffer, nullptr, &framebuffer_);
    }
    if (result != VK_SUCCESS || !framebuffer_)
        error = vulkan_error(purpose, result);
    return result == VK_SUCCESS && framebuffer_;
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
    return gpu_.make_image(format, width, height,
                           VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT, purpose,
                           image_, error) &&
           make_pass_and_framebuffer(error) &&
           gpu_.make_buffer(VkDeviceSize{width} * height * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT, purpose,
                            buffer_, error);
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
            vkCmdCopyImageToBuffer(commands, image_.image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                                   buffer_.buffer, 1, &copy);
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
    VkResult result = vkMapMemory(gpu_.device, buffer_.memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    if (result != VK_SUCCESS) {
        error = vulkan_error("reading the picture", result);
        return false;
    }
    out.width = width_;
    out.height = height_;
    out.pixels.resize(size_t{width_} * height_ * 4);
    memcpy(out.pixels.data(), mapped, out.pixels.size());
    vkUnmapMemory(gpu_.device, buffer_.memory);
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
