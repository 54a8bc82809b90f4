/* The device that both back ends draw on. */
#ifndef VIEWER_GPU_H
#define VIEWER_GPU_H

#include <functional>
#include <string>
#include <vector>

#include <vulkan/vulkan.h>

namespace viewer
{

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
    /* Memory with these properties, to be freed by the caller. */
    bool allocate(const VkMemoryRequirements &needs, VkMemoryPropertyFlags properties, VkDeviceMemory *memory,
                  std::string &error) const;

    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    VkQueue queue = VK_NULL_HANDLE;
    uint32_t family = 0;

  private:
    VkCommandPool commands_ = VK_NULL_HANDLE;
};

/* A render pass that clears one image of this format and leaves it in `last`. */
VkRenderPass make_pass(VkDevice device, VkFormat format, VkImageLayout last);

/* A colour as the draw lists take them. */
VkClearValue clear_value(uint32_t colour);

std::string vulkan_error(const char *what, VkResult result);

} // namespace viewer

#endif
