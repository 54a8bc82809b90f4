#include "state/input_queue.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

namespace viewer
{
namespace
{

using kind = input_event::kind;

unsigned bit(int button)
{
    return button >= 0 && button <= GLFW_MOUSE_BUTTON_LAST ? 1U << button : 0;
}

/* Keys that turn others into shortcuts. */
bool makes_shortcuts(int key)
{
    return key == GLFW_KEY_LEFT_CONTROL || key == GLFW_KEY_RIGHT_CONTROL || key == GLFW_KEY_LEFT_ALT ||
           key == GLFW_KEY_RIGHT_ALT || key == GLFW_KEY_LEFT_SUPER || key == GLFW_KEY_RIGHT_SUPER;
}

} // namespace

/* ---- what comes --------------------------------------------------------------------------------------- */

bool input_queue::add(const input_event &e, bool must)
{
    if (!must && events_.size() >= most_events)
        return false;
    events_.push_back(e);
    return true;
}

void input_queue::move(double time, double x, double y)
{
    input_event e = {kind::move, time};
    e.x = x;
    e.y = y;
    if (!events_.empty() && events_.back().what == kind::move)
        events_.back() = e;
    else
        add(e, false);
    if (x != no_place) {
        x_ = x;
        y_ = y;
    }
}

void input_queue::enter(double time)
{
    move(time, x_, y_);
}

void input_queue::leave(double time)
{
    if (!buttons_)
        move(time, no_place, no_place);
}

void input_queue::button(double time, int code, int happens)
{
    input_event e = {kind::button, time};
    e.code = code;
    e.happens = happens;
    const bool press = happens == GLFW_PRESS;
    if (!bit(code) || press == ((buttons_ & bit(code)) != 0) || !add(e, !press))
        return;
    buttons_ ^= bit(code);
}

void input_queue::wheel(double time, double x, double y)
{
    if (!events_.empty() && events_.back().what == kind::wheel) {
        events_.back().x += x;
        events_.back().y += y;
        return;
    }
    input_event e = {kind::wheel, time};
    e.x = x;
    e.y = y;
    add(e, false);
}

void input_queue::key(double time, int code, int scancode, int happens, int mods)
{
    input_event e = {kind::key, time};
    e.code = code;
    e.scancode = scancode;
    e.happens = happens;
    e.mods = mods;
    const bool release = happens == GLFW_RELEASE;
    if (code == GLFW_KEY_UNKNOWN || (release && !keys_.count(code)) || !add(e, release))
        return;
    if (release)
        keys_.erase(code);
    else
        keys_.insert(code);
}

void input_queue::character(double time, unsigned character)
{
    input_event e = {kind::character, time};
    e.character = character;
    add(e, false);
}

void input_queue::focus(double time, bool focused)
{
    if (!focused) {
        for (int i = 0; i <= GLFW_MOUSE_BUTTON_LAST; i++)
            button(time, i, GLFW_RELEASE);
        while (!keys_.empty())
            key(time, *keys_.begin(), 0, GLFW_RELEASE, 0);
    }
    input_event e = {kind::focus, time};
    e.focused = focused;
    add(e, false);
}

/* ---- what frames take --------------------------------------------------------------------------------- */

void input_queue::begin_frame()
{
    given_ = {};
    full_ = false;
}

bool input_queue::fits(const input_event &e, bool alone) const
{
    const bool mouse = given_.move || given_.wheel || given_.buttons, typed = given_.key || given_.text;
    switch (e.what) {
    case kind::move:
        return !mouse && !typed;
    case kind::button:
        return !typed && !given_.wheel && !(given_.buttons & bit(e.code)) && !(given_.move && held_);
    case kind::wheel:
        return !typed && !given_.wheel && !given_.buttons;
    case kind::key:
        return !mouse && !(given_.text && (alone || makes_shortcuts(e.code))) &&
               !(alone && given_.keys.count(e.code));
    case kind::character:
        return !mouse;
    case kind::focus:
        return !mouse && !typed;
    }
    return false;
}

void input_queue::note(const input_event &e)
{
    given_.move |= e.what == kind::move;
    given_.wheel |= e.what == kind::wheel;
    given_.key |= e.what == kind::key;
    given_.text |= e.what == kind::character;
    if (e.what == kind::button) {
        given_.buttons |= bit(e.code);
        held_ ^= bit(e.code);
    }
    if (e.what == kind::key)
        given_.keys.insert(e.code);
    full_ |= e.what == kind::focus;
}

bool input_queue::next(const std::function<bool(const input_event &)> &alone, input_event &out)
{
    if (full_ || events_.empty())
        return false;
    const bool by_itself = events_.front().what == kind::key && alone(events_.front());
    full_ = !fits(events_.front(), by_itself);
    if (full_)
        return false;
    out = events_.front();
    events_.pop_front();
    note(out);
    full_ |= by_itself;
    return true;
}

} // namespace viewer
