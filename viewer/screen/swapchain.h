/* The images of a window. */
#ifndef VIEWER_SWAPCHAIN_H
#define VIEWER_SWAPCHAIN_H

#include "screen/painter.h"

namespace viewer
{

class swapchain
{
  public:
    explicit swapchain(gpu &g) : gpu_(g)
    {
    }
    ~swapchain();
    swapchain(const swapchain &) = delete;
    swapchain &operator=(const swapchain &) = delete;

    /* Takes the surface over. */
    void attach(VkSurfaceKHR surface)
    {
        surface_ = surface;
    }
    /* Makes images for a window of this size in pixels; none for one of size 0. False with a sentence in
     * error. */
    bool make(uint32_t width, uint32_t height, std::string &error);
    /* The next image: draw() is for it. `stale` is set when images have to be made anew. */
    bool acquire(bool &stale, std::string &error);
    /* Draws what ImGui::Render left on the acquired image and shows it, by a painter that was opened for a
     * pass of the same format. */
    bool draw(painter &by, VkClearValue background, bool &stale, std::string &error);

    bool is_empty() const
    {
        return images_.empty();
    }
    VkSurfaceKHR surface() const
    {
        return surface_;
    }
    VkRenderPass pass() const
    {
        return pass_;
    }
    VkFormat format() const
    {
        return format_.format;
    }
    VkExtent2D extent() const
    {
        return extent_;
    }

  private:
    struct swap_image {
        VkImageView view;
        VkFramebuffer framebuffer;
        VkSemaphore drawn;
    };

    void drop();
    VkResult make_chain(const VkSurfaceCapabilitiesKHR &can, std::vector<VkImage> &images);
    VkResult add_image(VkImage image);
    VkResult make_objects();
    bool record(painter &by, VkClearValue background, std::string &error);

    gpu &gpu_;
    VkSurfaceKHR surface_ = VK_NULL_HANDLE;
    VkSwapchainKHR swapchain_ = VK_NULL_HANDLE;
    VkSurfaceFormatKHR format_ = {};
    VkExtent2D extent_ = {};
    VkRenderPass pass_ = VK_NULL_HANDLE;
    VkSemaphore acquired_ = VK_NULL_HANDLE;
    VkFence fence_ = VK_NULL_HANDLE;
    VkCommandPool commands_ = VK_NULL_HANDLE;
    VkCommandBuffer buffer_ = VK_NULL_HANDLE;
    std::vector<swap_image> images_;
    uint32_t index_ = 0;
};

} // namespace viewer

#endif
