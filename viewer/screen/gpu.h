/* The device that both back ends draw on. */
#ifndef VIEWER_GPU_H
#define VIEWER_GPU_H

#include <functional>
#include <string>
#include <vector>

#include <vulkan/vulkan.h>

namespace viewer
{

/* What these hold is freed by gpu::drop. */
struct gpu_image {
    VkImage image = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    VkImageView view = VK_NULL_HANDLE; /* of all of it */
};
struct gpu_buffer {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
};

class gpu
{
  public:
    gpu() = default;
    ~gpu();
    gpu(const gpu &) = delete;
    gpu &operator=(const gpu &) = delete;

    /* Makes the instance. False with a sentence in error. */
    bool open_instance(const std::vector<const char *> &extensions, std::string &error);
    /* Opens the device of this index or with this part of a name, "": the fastest kind. `surface` may be
     * VK_NULL_HANDLE: then nothing is presented. */
    bool open_device(const std::string &wanted, VkSurfaceKHR surface, std::string &error);

    /* Runs commands and waits for them. */
    bool submit(const std::function<void(VkCommandBuffer)> &record, std::string &error);
    /* A plane of pixels, and bytes that the host sees. `purpose`, as "making a texture", begins the sentence
     * in error; what was made before it failed is in out too. */
    bool make_image(VkFormat format, uint32_t width, uint32_t height, VkImageUsageFlags usage,
                    const char *purpose, gpu_image &out, std::string &error) const;
    bool make_buffer(VkDeviceSize size_bytes, VkBufferUsageFlags usage, const char *purpose, gpu_buffer &out,
                     std::string &error) const;
    /* Nothing uses them any more. They are empty then. */
    void drop(gpu_image &image) const;
    void drop(gpu_buffer &buffer) const;

    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    VkQueue queue = VK_NULL_HANDLE;
    uint32_t family = 0;

  private:
    bool allocate(const VkMemoryRequirements &needs, VkMemoryPropertyFlags properties, VkDeviceMemory *memory,
                  std::string &error) const;

    VkCommandPool commands_ = VK_NULL_HANDLE;
};

/* A render pass that clears one image of this format and leaves it in `last`. */
VkRenderPass make_pass(VkDevice device, VkFormat format, VkImageLayout last);

/* A colour as the draw lists take them. */
VkClearValue clear_value(uint32_t colour);

std::string vulkan_error(const char *what, VkResult result);

} // namespace viewer

#endif
