/* Frames without a display: drawn into an image and read back. */
#ifndef VIEWER_OFFSCREEN_H
#define VIEWER_OFFSCREEN_H

#include "panels/scene.h"
#include "screen/painter.h"

namespace viewer
{

/* 4 bytes a pixel, red first, rows from top to bottom. */
struct picture {
    uint32_t width, height;
    std::vector<uint8_t> pixels;
};

/* An image that ImGui's data is drawn on, on a device that something else may draw on too. */
class image_target
{
  public:
    explicit image_target(gpu &g) : gpu_(g)
    {
    }
    ~image_target();
    image_target(const image_target &) = delete;
    image_target &operator=(const image_target &) = delete;

    /* Of 8 bits each of red, green, blue and alpha, or with blue first. False with a sentence in error. */
    bool open(VkFormat format, uint32_t width, uint32_t height, std::string &error);
    /* Draws what ImGui::Render left, by a painter that was opened for a pass of the same format. */
    bool draw(painter &by, VkClearValue background, picture &out, std::string &error);
    VkRenderPass pass() const
    {
        return pass_;
    }

  private:
    bool make_pass_and_framebuffer(std::string &error);

    gpu &gpu_;
    VkFormat format_ = VK_FORMAT_UNDEFINED;
    uint32_t width_ = 0, height_ = 0;
    gpu_image image_;
    gpu_buffer buffer_;
    VkRenderPass pass_ = VK_NULL_HANDLE;
    VkFramebuffer framebuffer_ = VK_NULL_HANDLE;
};

class offscreen
{
  public:
    /* Needs a current ImGui context whose fonts are loaded. False with a sentence in error. */
    bool open(const std::string &device, uint32_t width, uint32_t height, std::string &error);
    /* Draws a frame of the scene. */
    bool draw(scene &s, picture &out, std::string &error);

  private:
    gpu gpu_;
    painter painter_{gpu_};
    image_target target_{gpu_};
    uint32_t width_ = 0, height_ = 0;
};

} // namespace viewer

#endif
