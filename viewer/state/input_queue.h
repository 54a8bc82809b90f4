/* What people do in a window, in its order, dealt out to frames. A frame sees the mouse and the keys in one
 * state only: what would change the state a second time waits for the next one, however fast it came. Knows
 * no window. */
#ifndef VIEWER_INPUT_QUEUE_H
#define VIEWER_INPUT_QUEUE_H

#include <cfloat>
#include <cstddef>
#include <deque>
#include <functional>
#include <set>

namespace viewer
{

/* Codes, modifiers and what happens (GLFW_PRESS, ...) are GLFW's. */
struct input_event {
    enum class kind {
        move,   /* of the mouse to x, y */
        button, /* of the mouse */
        wheel,  /* by x, y */
        key,
        character,
        focus, /* the window has the keyboard, or has lost it */
    } what;
    double time; /* seconds */
    int code = 0, scancode = 0, happens = 0, mods = 0;
    unsigned character = 0;
    double x = 0, y = 0;
    bool focused = false;
};

/* Where the mouse is when it is not over the window. */
constexpr double no_place = static_cast<double>(-FLT_MAX);

class input_queue
{
  public:
    /* Events wait until a frame takes them. At most `most_events` do, and behind them what lets go of keys
     * and buttons: what is more is lost, and so is what lets go of it. */
    static constexpr size_t most_events = 1024;

    void move(double time, double x, double y);
    /* The mouse comes back to where it was, or leaves; it does not leave while it holds something. */
    void enter(double time);
    void leave(double time);
    void button(double time, int code, int happens);
    void wheel(double time, double x, double y);
    void key(double time, int code, int scancode, int happens, int mods);
    void character(double time, unsigned character);
    /* A window that loses the keyboard lets go of every key and button. */
    void focus(double time, bool focused);

    bool empty() const
    {
        return events_.empty();
    }
    /* When the next event came; only where there is one. */
    double next_time() const
    {
        return events_.front().time;
    }
    void begin_frame();
    /* Takes the next event of this frame. False: the queue is empty, or what comes next is another frame's:
     * - a move, unless it is the first thing;
     * - a button that changed already, and while one is held what buttons do behind a move;
     * - what the mouse does behind keys, and keys behind what the mouse did;
     * - a key for which `alone` tells that a field, or what the frame draws, depends on it, where characters
     * or the same key went before; and everything behind it;
     * - Ctrl, Alt or Super behind characters, which would be taken for those of a shortcut;
     * - that the keyboard came or went, which has a frame of its own. */
    bool next(const std::function<bool(const input_event &)> &alone, input_event &out);

  private:
    bool add(const input_event &e, bool must);
    bool fits(const input_event &e, bool alone) const;
    void note(const input_event &e);

    std::deque<input_event> events_;
    /* Behind the last event. */
    unsigned buttons_ = 0;
    std::set<int> keys_;
    double x_ = 0, y_ = 0;
    /* What the frame was given. */
    struct {
        bool move = false, wheel = false, key = false, text = false;
        unsigned buttons = 0;
        std::set<int> keys;
    } given_;
    bool full_ = false;
    unsigned held_ = 0; /* buttons before the next event */
};

} // namespace viewer

#endif
