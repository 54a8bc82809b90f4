#include "window.h"

#include <algorithm>
#include <cmath>

#define GLFW_INCLUDE_VULKAN
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>
#include <backends/imgui_impl_vulkan.h>

#include "gpu.h"
#include "keys.h"
#include "report.h"

namespace viewer
{
namespace
{

constexpr double frame_seconds = 1.0 / 60; /* at most as many frames; some displays do not wait */
constexpr double idle_seconds = 10;        /* without a change nothing is drawn */
constexpr int frames_to_settle = 3;        /* what the mouse points at is known a frame later */

struct swap_image {
    VkImageView view;
    VkFramebuffer framebuffer;
    VkSemaphore drawn;
};

class window
{
  public:
    explicit window(scene &s) : scene_(s)
    {
    }
    ~window();
    window(const window &) = delete;
    window &operator=(const window &) = delete;
    bool open(const options &o, std::string &error);
    bool show(std::string &error);

  private:
    bool make_swapchain(std::string &error);
    void drop_swapchain();
    bool draw(std::string &error);
    bool present(uint32_t index, std::string &error);
    bool rescale(float scale, std::string &error);
    void key(int key, int mods);
    void write_title();

    scene &scene_;
    gpu gpu_;
    reporter report_;
    GLFWwindow *window_ = nullptr;
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
    double fixed_scale_ = 0;
    int64_t titled_ = -1; /* step that the title tells */
    bool glfw_ = false, context_ = false, backend_ = false, stale_ = false, touched_ = true;
};

std::string glfw_error(const char *what)
{
    const char *reason = nullptr;
    glfwGetError(&reason);
    return std::string(what) + (reason ? std::string(": ") + reason : "");
}

window::~window()
{
    if (gpu_.device) {
        vkDeviceWaitIdle(gpu_.device);
        gpu_.detach();
        drop_swapchain();
        vkDestroyRenderPass(gpu_.device, pass_, nullptr);
        vkDestroySemaphore(gpu_.device, acquired_, nullptr);
        vkDestroyFence(gpu_.device, fence_, nullptr);
        vkDestroyCommandPool(gpu_.device, commands_, nullptr);
        vkDestroySwapchainKHR(gpu_.device, swapchain_, nullptr);
    }
    if (surface_)
        vkDestroySurfaceKHR(gpu_.instance, surface_, nullptr);
    if (backend_)
        ImGui_ImplGlfw_Shutdown();
    if (context_)
        ImGui::DestroyContext();
    if (window_)
        glfwDestroyWindow(window_);
    if (glfw_)
        glfwTerminate();
}

float content_scale(GLFWwindow *w)
{
    float x = 1, y = 1;
    glfwGetWindowContentScale(w, &x, &y);
    return std::clamp(std::max(x, y), 0.5F, 8.0F);
}

void window::key(int key, int mods)
{
    action what = find_action(key, mods, glfwGetKeyName(key, 0));
    if (what == action::select_down || what == action::select_up)
        select_line(scene_, what == action::select_down ? 1 : -1);
    else if (!scene_.state.problem.empty() && what == action::select_none)
        scene_.state.quit = true;
    else
        apply(scene_.state, what);
    touched_ = true;
}

bool window::open(const options &o, std::string &error)
{
    glfw_ = glfwInit();
    if (!glfw_) {
        error = glfw_error("no window can be opened; '--png FILE' draws a picture without one");
        return false;
    }
    if (!glfwVulkanSupported()) {
        error = "no Vulkan driver was found to draw the window with";
        return false;
    }
    glfwWindowHint(GLFW_CLIENT_API, GLFW_NO_API);
    glfwWindowHint(GLFW_SCALE_TO_MONITOR, GLFW_TRUE);
    std::string title = scene_.sheets.empty() ? "vkdlm" : scene_.sheets[0].source->name() + " \u2013 vkdlm";
    window_ = glfwCreateWindow(static_cast<int>(o.width), static_cast<int>(o.height), title.c_str(), nullptr,
                               nullptr);
    if (!window_) {
        error = glfw_error("the window could not be opened");
        return false;
    }
    glfwSetWindowSizeLimits(window_, 640, 480, GLFW_DONT_CARE, GLFW_DONT_CARE);
    glfwSetWindowUserPointer(window_, this);
    glfwSetKeyCallback(window_, [](GLFWwindow *w, int code, int, int event, int mods) {
        if (event != GLFW_RELEASE)
            static_cast<window *>(glfwGetWindowUserPointer(w))->key(code, mods);
    });
    glfwSetFramebufferSizeCallback(window_, [](GLFWwindow *w, int, int) {
        auto *self = static_cast<window *>(glfwGetWindowUserPointer(w));
        self->stale_ = self->touched_ = true;
    });
    auto touch = [](GLFWwindow *w) { static_cast<window *>(glfwGetWindowUserPointer(w))->touched_ = true; };
    glfwSetWindowRefreshCallback(window_, touch);
    glfwSetCursorPosCallback(window_, [](GLFWwindow *w, double, double) {
        static_cast<window *>(glfwGetWindowUserPointer(w))->touched_ = true;
    });
    glfwSetScrollCallback(window_, [](GLFWwindow *w, double, double) {
        static_cast<window *>(glfwGetWindowUserPointer(w))->touched_ = true;
    });
    glfwSetMouseButtonCallback(window_, [](GLFWwindow *w, int, int, int) {
        static_cast<window *>(glfwGetWindowUserPointer(w))->touched_ = true;
    });
    ImGui::CreateContext();
    context_ = true;
    ImGui::GetIO().IniFilename = nullptr;
    fixed_scale_ = o.scale;
    report_.open(o.report);
    scene_.unit = fixed_scale_ > 0 ? static_cast<float>(fixed_scale_) : content_scale(window_);
    if (!load_fonts(scene_, error))
        return false;
    backend_ = ImGui_ImplGlfw_InitForVulkan(window_, true);
    uint32_t n = 0;
    const char **names = glfwGetRequiredInstanceExtensions(&n);
    if (!gpu_.open_instance({names, names + n}, error))
        return false;
    VkResult result = glfwCreateWindowSurface(gpu_.instance, window_, nullptr, &surface_);
    if (result != VK_SUCCESS) {
        error = vulkan_error("opening the window", result);
        return false;
    }
    return gpu_.open_device(o.device, surface_, error) && make_swapchain(error) &&
           gpu_.attach(pass_, std::max<uint32_t>(2, static_cast<uint32_t>(images_.size())), error);
}

void window::drop_swapchain()
{
    for (const swap_image &i : images_) {
        vkDestroyFramebuffer(gpu_.device, i.framebuffer, nullptr);
        vkDestroyImageView(gpu_.device, i.view, nullptr);
        vkDestroySemaphore(gpu_.device, i.drawn, nullptr);
    }
    images_.clear();
}

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

bool window::make_swapchain(std::string &error)
{
    vkDeviceWaitIdle(gpu_.device);
    drop_swapchain();
    VkSurfaceCapabilitiesKHR can;
    VkResult result = vkGetPhysicalDeviceSurfaceCapabilitiesKHR(gpu_.physical, surface_, &can);
    if (result != VK_SUCCESS) {
        error = vulkan_error("asking for the window's size", result);
        return false;
    }
    int width = 0, height = 0;
    glfwGetFramebufferSize(window_, &width, &height);
    extent_ = can.currentExtent;
    if (extent_.width == UINT32_MAX)
        extent_ = {
            std::clamp(static_cast<uint32_t>(width), can.minImageExtent.width, can.maxImageExtent.width),
            std::clamp(static_cast<uint32_t>(height), can.minImageExtent.height, can.maxImageExtent.height)};
    stale_ = false;
    if (!extent_.width || !extent_.height)
        return true; /* minimised: there is nothing to draw on */
    if (!pass_) {
        format_ = choose_format(gpu_.physical, surface_);
        pass_ = make_pass(gpu_.device, format_.format, VK_IMAGE_LAYOUT_PRESENT_SRC_KHR);
    }
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
    result = vkCreateSwapchainKHR(gpu_.device, &info, nullptr, &made);
    vkDestroySwapchainKHR(gpu_.device, swapchain_, nullptr);
    swapchain_ = result == VK_SUCCESS ? made : VK_NULL_HANDLE;
    std::vector<VkImage> images;
    if (result == VK_SUCCESS) {
        vkGetSwapchainImagesKHR(gpu_.device, swapchain_, &n, nullptr);
        images.resize(n);
        result = vkGetSwapchainImagesKHR(gpu_.device, swapchain_, &n, images.data());
    }
    for (size_t i = 0; i < images.size() && result == VK_SUCCESS; i++) {
        images_.push_back({});
        swap_image &made_image = images_.back();
        VkImageViewCreateInfo view = {};
        view.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO;
        view.image = images[i];
        view.viewType = VK_IMAGE_VIEW_TYPE_2D;
        view.format = format_.format;
        view.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
        result = vkCreateImageView(gpu_.device, &view, nullptr, &made_image.view);
        VkFramebufferCreateInfo framebuffer = {};
        framebuffer.sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO;
        framebuffer.renderPass = pass_;
        framebuffer.attachmentCount = 1;
        framebuffer.pAttachments = &made_image.view;
        framebuffer.width = extent_.width;
        framebuffer.height = extent_.height;
        framebuffer.layers = 1;
        if (result == VK_SUCCESS)
            result = vkCreateFramebuffer(gpu_.device, &framebuffer, nullptr, &made_image.framebuffer);
        VkSemaphoreCreateInfo semaphore = {};
        semaphore.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
        if (result == VK_SUCCESS)
            result = vkCreateSemaphore(gpu_.device, &semaphore, nullptr, &made_image.drawn);
    }
    if (result == VK_SUCCESS && !acquired_) {
        VkSemaphoreCreateInfo semaphore = {};
        semaphore.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
        result = vkCreateSemaphore(gpu_.device, &semaphore, nullptr, &acquired_);
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
        if (result == VK_SUCCESS)
            result = vkAllocateCommandBuffers(gpu_.device, &allocate, &buffer_);
    }
    if (result != VK_SUCCESS || !pass_) {
        error = vulkan_error("preparing the window", result);
        return false;
    }
    return true;
}

bool window::present(uint32_t index, std::string &error)
{
    vkResetFences(gpu_.device, 1, &fence_);
    VkCommandBufferBeginInfo begin = {};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    VkResult result = vkBeginCommandBuffer(buffer_, &begin);
    VkClearValue clear = clear_value(scene_.colours().background);
    VkRenderPassBeginInfo pass = {};
    pass.sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO;
    pass.renderPass = pass_;
    pass.framebuffer = images_[index].framebuffer;
    pass.renderArea.extent = extent_;
    pass.clearValueCount = 1;
    pass.pClearValues = &clear;
    vkCmdBeginRenderPass(buffer_, &pass, VK_SUBPASS_CONTENTS_INLINE);
    ImGui_ImplVulkan_RenderDrawData(ImGui::GetDrawData(), buffer_);
    vkCmdEndRenderPass(buffer_);
    if (result == VK_SUCCESS)
        result = vkEndCommandBuffer(buffer_);
    VkPipelineStageFlags stage = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    VkSubmitInfo submit = {};
    submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    submit.waitSemaphoreCount = 1;
    submit.pWaitSemaphores = &acquired_;
    submit.pWaitDstStageMask = &stage;
    submit.commandBufferCount = 1;
    submit.pCommandBuffers = &buffer_;
    submit.signalSemaphoreCount = 1;
    submit.pSignalSemaphores = &images_[index].drawn;
    if (result == VK_SUCCESS)
        result = vkQueueSubmit(gpu_.queue, 1, &submit, fence_);
    if (result == VK_SUCCESS) {
        VkPresentInfoKHR info = {};
        info.sType = VK_STRUCTURE_TYPE_PRESENT_INFO_KHR;
        info.waitSemaphoreCount = 1;
        info.pWaitSemaphores = &images_[index].drawn;
        info.swapchainCount = 1;
        info.pSwapchains = &swapchain_;
        info.pImageIndices = &index;
        result = vkQueuePresentKHR(gpu_.queue, &info);
        vkWaitForFences(gpu_.device, 1, &fence_, VK_TRUE, UINT64_MAX);
        if (result == VK_ERROR_OUT_OF_DATE_KHR || result == VK_SUBOPTIMAL_KHR) {
            stale_ = true;
            result = VK_SUCCESS;
        }
    }
    if (result != VK_SUCCESS)
        error = vulkan_error("drawing the window", result);
    return result == VK_SUCCESS;
}

bool window::rescale(float scale, std::string &error)
{
    vkDeviceWaitIdle(gpu_.device);
    gpu_.detach();
    scene_.unit = scale;
    return load_fonts(scene_, error) &&
           gpu_.attach(pass_, std::max<uint32_t>(2, static_cast<uint32_t>(images_.size())), error);
}

bool window::draw(std::string &error)
{
    if (stale_ && !make_swapchain(error))
        return false;
    if (images_.empty())
        return true;
    float scale = fixed_scale_ > 0 ? static_cast<float>(fixed_scale_) : content_scale(window_);
    if (std::fabs(scale - scene_.unit) > 0.01F && !rescale(scale, error))
        return false;
    uint32_t index = 0;
    VkResult result =
        vkAcquireNextImageKHR(gpu_.device, swapchain_, UINT64_MAX, acquired_, VK_NULL_HANDLE, &index);
    if (result == VK_ERROR_OUT_OF_DATE_KHR) {
        stale_ = true;
        return true;
    }
    if (result != VK_SUCCESS && result != VK_SUBOPTIMAL_KHR) {
        error = vulkan_error("drawing the window", result);
        return false;
    }
    report_.begin_frame();
    ImGui_ImplVulkan_NewFrame();
    ImGui_ImplGlfw_NewFrame();
    ImGui::NewFrame();
    draw_frame(scene_);
    ImGui::Render();
    if (!present(index, error))
        return false;
    report_.end_frame();
    return report_.write(scene_, false, error);
}

/* Who reads the titles of windows learns the step too. */
void window::write_title()
{
    const view_state &state = scene_.state;
    if (scene_.sheets.empty() || static_cast<int64_t>(state.step) == titled_)
        return;
    titled_ = state.step;
    std::string title = format_text("%s \u2013 step %u of %u \u2013 vkdlm",
                                    scene_.sheets[0].source->name().c_str(), state.step, state.n_steps);
    glfwSetWindowTitle(window_, title.c_str());
}

bool window::show(std::string &error)
{
    double last = glfwGetTime();
    int settle = frames_to_settle;
    while (!glfwWindowShouldClose(window_) && !scene_.state.quit) {
        touched_ = false;
        double begun = glfwGetTime();
        if (!draw(error))
            return false;
        write_title();
        settle--;
        do {
            /* Not before the next frame is due, unless there is nothing to wait for. */
            double due = begun + frame_seconds - glfwGetTime(), wait = due;
            if (settle <= 0)
                wait = scene_.state.playing ? 1 / scene_.state.speed - scene_.state.waited : idle_seconds;
            glfwWaitEventsTimeout(std::max({wait, due, 0.001}));
            double now = glfwGetTime();
            if (advance(scene_.state, now - last) || touched_ || stale_ || ImGui::IsAnyMouseDown())
                settle = frames_to_settle;
            last = now;
        } while ((settle <= 0 || glfwGetTime() - begun < frame_seconds) && !glfwWindowShouldClose(window_) &&
                 !scene_.state.quit);
    }
    return report_.write(scene_, true, error);
}

} // namespace

bool show_window(const options &o, scene &s, std::string &error)
{
    window w(s);
    return w.open(o, error) && w.show(error);
}

} // namespace viewer
