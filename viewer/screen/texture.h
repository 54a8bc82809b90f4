/* An image on the device that fragments read. */
#ifndef VIEWER_TEXTURE_H
#define VIEWER_TEXTURE_H

#include "screen/gpu.h"

namespace viewer
{

class texture
{
  public:
    explicit texture(gpu &g) : gpu_(g)
    {
    }
    ~texture();
    texture(const texture &) = delete;
    texture &operator=(const texture &) = delete;

    /* False with a sentence in error. */
    bool open(VkFormat format, uint32_t width, uint32_t height, std::string &error);
    /* Records that it takes its pixels, row after row, from there. Nothing reads it meanwhile. */
    void record_upload(VkCommandBuffer commands, VkBuffer from, VkDeviceSize offset_bytes) const;

    VkImageView view() const
    {
        return image_.view;
    }
    bool has_size(uint32_t width, uint32_t height) const
    {
        return width_ == width && height_ == height;
    }

  private:
    gpu &gpu_;
    uint32_t width_ = 0, height_ = 0;
    gpu_image image_;
};

} // namespace viewer

#endif
