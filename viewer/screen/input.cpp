#include "screen/input.h"

#include <algorithm>

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>

#include "running.h"
#include "state/keys.h"

namespace viewer
{
namespace
{

constexpr int frames_to_field = 4; /* at most, until a field that opens has the keyboard */
constexpr int frames_to_move = 2;  /* until the keyboard is known to have gone to another field */
constexpr double least_seconds = 1e-4;

user_input &input_of(GLFWwindow *w)
{
    return *static_cast<user_input *>(glfwGetWindowUserPointer(w));
}

bool is_named(int key)
{
    return (key >= GLFW_KEY_ESCAPE && key < GLFW_KEY_KP_0) || key == GLFW_KEY_KP_ENTER;
}

bool opens_field(action what)
{
    return what == action::edit_text || what == action::write || what == action::save;
}

action action_of(const input_event &e)
{
    return find_action(e.code, e.mods, glfwGetKeyName(e.code, 0));
}

} // namespace

void user_input::listen(GLFWwindow *w)
{
    window_ = w;
    glfwSetWindowUserPointer(w, this);
    glfwSetFramebufferSizeCallback(w, [](GLFWwindow *of, int, int) { input_of(of).resized = true; });
    glfwSetWindowRefreshCallback(w,
                                 [](GLFWwindow *of) { input_of(of).touched = input_of(of).exposed = true; });
    glfwSetCursorPosCallback(
        w, [](GLFWwindow *of, double x, double y) { input_of(of).queue_.move(glfwGetTime(), x, y); });
    glfwSetCursorEnterCallback(w, [](GLFWwindow *of, int entered) {
        input_queue &queue = input_of(of).queue_;
        if (entered)
            queue.enter(glfwGetTime());
        else
            queue.leave(glfwGetTime());
    });
    glfwSetMouseButtonCallback(w, [](GLFWwindow *of, int button, int happens, int) {
        input_of(of).queue_.button(glfwGetTime(), button, happens);
    });
    glfwSetScrollCallback(
        w, [](GLFWwindow *of, double x, double y) { input_of(of).queue_.wheel(glfwGetTime(), x, y); });
    glfwSetKeyCallback(w, [](GLFWwindow *of, int key, int scancode, int happens, int mods) {
        input_of(of).queue_.key(glfwGetTime(), key, scancode, happens, mods);
    });
    glfwSetCharCallback(w, [](GLFWwindow *of, unsigned character) {
        input_of(of).queue_.character(glfwGetTime(), character);
    });
    glfwSetWindowFocusCallback(
        w, [](GLFWwindow *of, int focused) { input_of(of).queue_.focus(glfwGetTime(), focused != 0); });
}

/* Of a field that was drawn in the last frame: what ImGui wants lags a frame behind. */
bool user_input::typing() const
{
    return ImGui::GetIO().WantTextInput && ImGui::IsAnyItemActive();
}

/* Whether what comes is for a field that has not opened yet. */
bool user_input::lacks_field() const
{
    return (scene_.state.saving || scene_.state.writing || opening_) && !typing();
}

/* Whether what is typed behind it depends on what it does: to a text field, or by opening one. */
bool user_input::stands_alone(const input_event &e) const
{
    if (e.happens == GLFW_RELEASE)
        return false;
    if (typing())
        return (e.mods & (GLFW_MOD_CONTROL | GLFW_MOD_ALT)) || is_named(e.code);
    return scene_.state.saving || opens_field(action_of(e));
}

/* Keys while a text field has them. */
void user_input::act_in_field(int key, int mods)
{
    const bool over_all = scene_.state.writing || scene_.state.saving;
    const action what = find_action(key, mods, glfwGetKeyName(key, 0));
    if (key == GLFW_KEY_ESCAPE) {
        if (over_all)
            apply(scene_.state, action::select_none);
        leave_field_ = true;
    } else if (what == action::run_anew && !over_all) {
        /* After the frame, in which the field takes what was typed. */
        scene_.asked.push_back(what);
        leave_field_ = true;
    } else if (key == GLFW_KEY_F1 || (what == action::save && !scene_.state.writing)) {
        scene_.asked.push_back(what);
    }
    const bool moves = what == action::save || key == GLFW_KEY_TAB ||
                       (scene_.state.saving && (key == GLFW_KEY_UP || key == GLFW_KEY_DOWN));
    hold_ = moves ? frames_to_move : 0;
}

void user_input::act_on_key(int key, int mods)
{
    const action what = find_action(key, mods, glfwGetKeyName(key, 0));
    const bool covered = scene_.state.saving || !scene_.state.problem.empty();
    opening_ = opens_field(what);
    skip_character_ = scene_.state.saving || opening_;
    /* What the mouse points at is known since the last frame. */
    scene_.state.hovered = scene_.state.pointed;
    if (!covered || what == action::select_none || what == action::quit)
        act(scene_, what);
}

void user_input::give_key(const input_event &e)
{
    if (e.happens != GLFW_RELEASE) {
        skip_character_ = false;
        if (typing())
            act_in_field(e.code, e.mods);
        else
            act_on_key(e.code, e.mods);
    }
    ImGui_ImplGlfw_KeyCallback(window_, e.code, e.scancode, e.happens, e.mods);
}

void user_input::give(const input_event &e)
{
    using kind = input_event::kind;
    switch (e.what) {
    case kind::move:
        mouse_x_ = e.x;
        mouse_y_ = e.y;
        break;
    case kind::button:
        if (e.code < ImGuiMouseButton_COUNT)
            buttons_[e.code] = e.happens == GLFW_PRESS;
        break;
    case kind::wheel:
        wheel_x_ += e.x;
        wheel_y_ += e.y;
        break;
    case kind::key:
        give_key(e);
        break;
    case kind::character:
        if (!skip_character_)
            ImGui_ImplGlfw_CharCallback(window_, e.character);
        skip_character_ = false;
        break;
    case kind::focus:
        ImGui_ImplGlfw_WindowFocusCallback(window_, e.focused);
        break;
    }
}

void user_input::take()
{
    waited_ = lacks_field() ? waited_ + 1 : 0;
    if (hold_ > 0 || (waited_ > 0 && waited_ <= frames_to_field)) {
        hold_ = std::max(hold_ - 1, 0);
        return;
    }
    opening_ = false;
    queue_.begin_frame();
    const auto alone = [this](const input_event &e) { return stands_alone(e); };
    for (input_event e; queue_.next(alone, e);)
        give(e);
}

void user_input::begin_frame()
{
    ImGui_ImplGlfw_NewFrame();
    ImGuiIO &io = ImGui::GetIO();
    /* Slow frames neither part clicks that came together, nor make a key long that was touched: while
     * something waits, it is as late as that was. */
    const double now = glfwGetTime(), clock = waits() ? std::min(now, queue_.next_time()) : now;
    io.DeltaTime = static_cast<float>(std::max(clock - clock_, least_seconds));
    clock_ = std::max(clock, clock_ + least_seconds);
    const auto x = static_cast<float>(mouse_x_), y = static_cast<float>(mouse_y_);
#if IMGUI_VERSION_NUM >= 18700
    io.AddMousePosEvent(x, y);
    for (int i = 0; i < ImGuiMouseButton_COUNT; i++)
        io.AddMouseButtonEvent(i, buttons_[i]);
    if (wheel_x_ != 0 || wheel_y_ != 0)
        io.AddMouseWheelEvent(static_cast<float>(wheel_x_), static_cast<float>(wheel_y_));
#else
    io.MousePos = ImVec2(x, y);
    std::copy(buttons_, buttons_ + ImGuiMouseButton_COUNT, io.MouseDown);
    io.MouseWheelH += static_cast<float>(wheel_x_);
    io.MouseWheel += static_cast<float>(wheel_y_);
#endif
    wheel_x_ = wheel_y_ = 0;
    ImGui::NewFrame();
    if (leave_field_)
        ImGui::SetWindowFocus(nullptr);
    leave_field_ = false;
}

} // namespace viewer
