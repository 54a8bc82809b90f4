#include "screen/window.h"

#include <algorithm>
#include <cmath>

#define GLFW_INCLUDE_VULKAN
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>

#include "running.h"
#include "screen/input.h"
#include "screen/picture.h"
#include "screen/report.h"
#include "screen/save.h"
#include "screen/swapchain.h"

namespace viewer
{
namespace
{

constexpr double frame_seconds = 1.0 / 60; /* at most as many frames; some displays do not wait */
constexpr double idle_seconds = 10;        /* without a change nothing is drawn */
constexpr double live_seconds = 1.0 / 60;  /* so often a live run is asked for news */
constexpr double toast_seconds = 0.25;     /* and so often whatever else goes on by itself */
constexpr double font_seconds = 0.3;       /* at least, between two times that letters are added */
constexpr int frames_to_settle = 3;        /* what the mouse points at is known a frame later */

class window
{
  public:
    window(const options &o, scene &s) : options_(o), scene_(s), swapchain_(new swapchain(gpu_)), input_(s)
    {
    }
    ~window();
    window(const window &) = delete;
    window &operator=(const window &) = delete;
    bool open(std::string &error);
    bool show(std::string &error);

  private:
    bool make_swapchain(std::string &error);
    bool draw(std::string &error);
    bool load_letters(float scale, std::string &error);
    bool present(std::string &error);
    bool draw_picture(picture &p, std::string &error);
    void save();
    bool take_news();
    double patience() const;
    void write_title();
    bool is_over() const;

    const options &options_;
    scene &scene_;
    gpu gpu_;
    painter painter_{gpu_};
    std::unique_ptr<swapchain> swapchain_;
    std::vector<export_job> jobs_;
    user_input input_;
    reporter report_;
    GLFWwindow *window_ = nullptr;
    double fixed_scale_ = 0, letters_at_ = 0;
    std::string title_;
    bool glfw_ = false, context_ = false, backend_ = false, stale_ = false;
    bool shown_ = false; /* the window shows what the painter drew last */
};

std::string glfw_error(const char *what)
{
    const char *reason = nullptr;
    glfwGetError(&reason);
    return std::string(what) + (reason ? std::string(": ") + reason : "");
}

window::~window()
{
    swapchain_.reset();
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

bool window::open(std::string &error)
{
    const options &o = options_;
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
    glfwWindowHint(GLFW_VISIBLE, GLFW_FALSE);
    std::string title = scene_.sheets.empty() ? "vkdlm" : scene_.sheets[0].source->name() + " \u2013 vkdlm";
    window_ = glfwCreateWindow(static_cast<int>(o.width), static_cast<int>(o.height), title.c_str(), nullptr,
                               nullptr);
    if (!window_) {
        error = glfw_error("the window could not be opened");
        return false;
    }
    glfwSetWindowSizeLimits(window_, 640, 480, GLFW_DONT_CARE, GLFW_DONT_CARE);
    ImGui::CreateContext();
    context_ = true;
    ImGui::GetIO().IniFilename = nullptr;
    fixed_scale_ = o.scale;
    report_.open(o.report);
    scene_.unit = fixed_scale_ > 0 ? static_cast<float>(fixed_scale_) : content_scale(window_);
    if (!load_fonts(scene_, error))
        return false;
    backend_ = ImGui_ImplGlfw_InitForVulkan(window_, false);
    input_.listen(window_);
    uint32_t n = 0;
    const char **names = glfwGetRequiredInstanceExtensions(&n);
    if (!gpu_.open_instance({names, names + n}, error))
        return false;
    VkSurfaceKHR surface = VK_NULL_HANDLE;
    VkResult result = glfwCreateWindowSurface(gpu_.instance, window_, nullptr, &surface);
    if (result != VK_SUCCESS) {
        error = vulkan_error("opening the window", result);
        return false;
    }
    swapchain_->attach(surface);
    /* The device of a live run may be one that cannot draw. */
    if (!gpu_.open_device(scene_.live ? "" : o.device, surface, error) || !make_swapchain(error) ||
        !painter_.open(swapchain_->pass(), error))
        return false;
    /* Drivers compile when something is drawn for the first time: that is over before the window is seen. */
    picture first;
    if (!swapchain_->is_empty() && !draw_picture(first, error))
        return false;
    glfwShowWindow(window_);
    return true;
}

bool window::make_swapchain(std::string &error)
{
    int width = 0, height = 0;
    glfwGetFramebufferSize(window_, &width, &height);
    stale_ = input_.resized = shown_ = false;
    return swapchain_->make(static_cast<uint32_t>(width), static_cast<uint32_t>(height), error);
}

/* Loads the fonts anew, for another scale or more letters. */
bool window::load_letters(float scale, std::string &error)
{
    vkDeviceWaitIdle(gpu_.device);
    painter_.forget_letters();
    scene_.unit = scale;
    letters_at_ = glfwGetTime();
    for (sheet &sh : scene_.sheets)
        sh.page.font = nullptr;
    return load_fonts(scene_, error);
}

bool window::draw(std::string &error)
{
    if ((stale_ || input_.resized) && !make_swapchain(error))
        return false;
    if (swapchain_->is_empty())
        return true;
    const float scale = fixed_scale_ > 0 ? static_cast<float>(fixed_scale_) : content_scale(window_);
    const bool letters = scene_.glyphs.stale && glfwGetTime() - letters_at_ >= font_seconds;
    if ((std::fabs(scale - scene_.unit) > 0.01F || letters) && !load_letters(scale, error))
        return false;
    report_.begin_frame();
    input_.take();
    input_.begin_frame();
    draw_frame(scene_);
    ImGui::Render();
    const bool is_new = !shown_ || input_.exposed || painter_.is_new(*ImGui::GetDrawData());
    return (!is_new || present(error)) && report_.write(scene_, false, error);
}

/* Shows the frame that ImGui::Render left. */
bool window::present(std::string &error)
{
    report_.begin_present();
    shown_ = false;
    if (!swapchain_->acquire(stale_, error))
        return false;
    if (stale_)
        return true;
    report_.begin_drawing();
    if (!swapchain_->draw(painter_, clear_value(scene_.colours().background), stale_, error))
        return false;
    report_.end_frame(painter_.last());
    shown_ = true;
    input_.exposed = false;
    return true;
}

/* The panels as they are, without what lies over them. */
bool window::draw_picture(picture &p, std::string &error)
{
    const VkExtent2D size = swapchain_->extent();
    image_target target(gpu_);
    vkDeviceWaitIdle(gpu_.device);
    if (!target.open(swapchain_->format(), size.width, size.height, error))
        return false;
    input_.begin_frame();
    scene_.clean = true;
    draw_frame(scene_);
    scene_.clean = false;
    ImGui::Render();
    shown_ = false; /* the painter has this picture now */
    return target.draw(painter_, clear_value(scene_.colours().background), p, error);
}

/* What the save overlay was told. */
void window::save()
{
    scene_.save.asked = scene_.save.opened = false;
    const std::string path = full_path(scene_.save.name);
    const auto kind = static_cast<save_kind>(scene_.save.kind);
    std::string error;
    picture p;
    bool good = false;
    switch (kind) {
    case save_kind::recording:
        good = save_recording(scene_, path, error);
        break;
    case save_kind::png:
        good = draw_picture(p, error) && write_png(path, p, error);
        break;
    case save_kind::gif:
    case save_kind::frames:
        good = start_export(scene_, options_, kind, path, jobs_, error);
        break;
    }
    if (!good)
        tell_problem(scene_, "This could not be saved", error, false);
    else if (kind == save_kind::recording || kind == save_kind::png)
        show_toast(scene_, path + " is written");
    else
        show_toast(scene_, "drawing " + path);
}

/* Who reads the titles of windows learns the step too. */
void window::write_title()
{
    const view_state &state = scene_.state;
    if (scene_.sheets.empty())
        return;
    std::string title = format_text("%s \u2013 step %u of %u \u2013 vkdlm",
                                    scene_.sheets[0].source->name().c_str(), state.step, state.n_steps);
    if (scene_.live)
        title += " \u2013 " + phase_text(*scene_.live, scene_.sheets[0].facts);
    if (title == title_)
        return;
    title_ = title;
    glfwSetWindowTitle(window_, title.c_str());
}

/* What happened by itself; true when the frame changes by it. */
bool window::take_news()
{
    scene_.now = glfwGetTime();
    bool changed = poll_live(scene_);
    const size_t n_jobs = jobs_.size(), n_toasts = scene_.toasts.size();
    poll_exports(scene_, jobs_, false);
    changed |= jobs_.size() != n_jobs || scene_.toasts.size() != n_toasts;
    for (const toast &t : scene_.toasts)
        changed |= t.until <= scene_.now;
    return changed || (scene_.glyphs.stale && scene_.now - letters_at_ >= font_seconds);
}

/* How long it may be until something happens by itself. */
double window::patience() const
{
    if (scene_.live) {
        const live_phase phase = scene_.live->phase();
        if (phase == live_phase::loading || phase == live_phase::running || phase == live_phase::pausing)
            return live_seconds;
    }
    if (!jobs_.empty() || !scene_.toasts.empty() || scene_.glyphs.stale || ImGui::GetIO().WantTextInput)
        return toast_seconds;
    return scene_.live ? 1 : idle_seconds;
}

bool window::is_over() const
{
    return glfwWindowShouldClose(window_) || scene_.state.quit;
}

bool window::show(std::string &error)
{
    double last = glfwGetTime();
    int settle = frames_to_settle;
    while (!is_over()) {
        input_.touched = false;
        double begun = glfwGetTime();
        take_news();
        if (!draw(error))
            return false;
        settle--;
        if (act_asked(scene_))
            settle = frames_to_settle;
        if (scene_.save.asked) {
            save();
            settle = frames_to_settle;
        }
        write_title();
        /* What this frame did not take is the next one's, at once. */
        const bool behind = input_.waits() && !swapchain_->is_empty();
        do {
            /* Not before the next frame is due, unless there is nothing to wait for. */
            double due = begun + frame_seconds - glfwGetTime(), wait = due;
            if (settle <= 0)
                wait = std::min(scene_.state.playing ? 1 / scene_.state.speed - scene_.state.waited
                                                     : idle_seconds,
                                patience());
            if (behind)
                glfwPollEvents();
            else
                glfwWaitEventsTimeout(std::max({wait, due, 0.001}));
            double now = glfwGetTime();
            const bool blinks = ImGui::GetIO().WantTextInput && now - begun > toast_seconds;
            if (advance(scene_.state, now - last) || input_.touched || input_.waits() || stale_ ||
                input_.resized || take_news() || blinks || ImGui::IsAnyMouseDown())
                settle = frames_to_settle;
            last = now;
        } while (!behind && (settle <= 0 || glfwGetTime() - begun < frame_seconds) && !is_over());
    }
    glfwHideWindow(window_);
    poll_exports(scene_, jobs_, true);
    return true;
}

} // namespace

bool show_window(const options &o, scene &s, std::string &error)
{
    s.in_window = true;
    window w(o, s);
    return w.open(error) && w.show(error);
}

} // namespace viewer
