/* Mouse and keyboard of the window: what comes is given to panels and fields, frame by frame, and keys act.
 */
#ifndef VIEWER_INPUT_H
#define VIEWER_INPUT_H

#include "panels/scene.h"
#include "state/input_queue.h"

struct GLFWwindow;

namespace viewer
{

class user_input
{
  public:
    explicit user_input(scene &s) : scene_(s)
    {
    }
    user_input(const user_input &) = delete;
    user_input &operator=(const user_input &) = delete;

    /* Takes over all callbacks of the window, and its user pointer. ImGui's context is there, and is not told
     * of the window by anybody else. */
    void listen(GLFWwindow *window);

    /* What is left for frames to come. */
    bool waits() const
    {
        return !queue_.empty();
    }
    /* Takes the next of it: keys act, and ImGui is told the rest by begin_frame(). Once a frame. */
    void take();
    /* Begins ImGui's frame, with the mouse as it was taken. */
    void begin_frame();

    bool touched = true;  /* something came, or the window wants to be drawn */
    bool resized = false; /* the window has another size */
    bool exposed = false; /* the window lost what it showed */

  private:
    bool typing() const;
    bool lacks_field() const;
    bool stands_alone(const input_event &e) const;
    void give(const input_event &e);
    void give_key(const input_event &e);
    void act_on_key(int key, int mods);
    void act_in_field(int key, int mods);

    scene &scene_;
    GLFWwindow *window_ = nullptr;
    input_queue queue_;
    double mouse_x_ = no_place, mouse_y_ = no_place, wheel_x_ = 0, wheel_y_ = 0;
    bool buttons_[ImGuiMouseButton_COUNT] = {};
    double clock_ = 0;          /* ImGui's */
    int hold_ = 0, waited_ = 0; /* frames */
    bool leave_field_ = false, opening_ = false;
    bool skip_character_ = false; /* of the key that opened a field */
};

} // namespace viewer

#endif
