/* What people do in a window, dealt out to frames. */
#include <string>
#include <vector>

#include "check.h"
#include "state/input_queue.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

using namespace viewer;

namespace
{

using kind = input_event::kind;

/* In a field Enter, Backspace and what Ctrl is held for stand alone. */
bool alone(const input_event &e)
{
    return e.happens != GLFW_RELEASE &&
           (e.code == GLFW_KEY_ENTER || e.code == GLFW_KEY_BACKSPACE || (e.mods & GLFW_MOD_CONTROL));
}

std::string describe(const input_event &e)
{
    static const char *const happens[] = {"-", "+", "*"};
    switch (e.what) {
    case kind::move:
        return e.x == no_place ? "away" : "to " + std::to_string(static_cast<int>(e.x));
    case kind::button:
        return std::string(happens[e.happens]) + "button" + std::to_string(e.code);
    case kind::wheel:
        return "wheel " + std::to_string(static_cast<int>(e.y));
    case kind::key:
        return std::string(happens[e.happens]) + (e.code == GLFW_KEY_ENTER          ? "Enter"
                                                  : e.code == GLFW_KEY_BACKSPACE    ? "Backspace"
                                                  : e.code == GLFW_KEY_LEFT_CONTROL ? "Ctrl"
                                                  : e.code == GLFW_KEY_LEFT_SHIFT
                                                      ? "Shift"
                                                      : std::string(1, static_cast<char>(e.code)));
    case kind::character:
        return std::string("'") + static_cast<char>(e.character) + "'";
    case kind::focus:
        return e.focused ? "focus" : "no focus";
    }
    return "?";
}

/* One frame after the other, as "event, event | event". */
std::string frames(input_queue &q)
{
    std::string out;
    while (!q.empty()) {
        q.begin_frame();
        out += out.empty() ? "" : " | ";
        int n = 0;
        for (input_event e; q.next(alone, e); n++)
            out += (n ? ", " : "") + describe(e);
        assert_true(n > 0);
    }
    return out;
}

void is_dealt(input_queue &q, const char *expected)
{
    assert_string_equal(frames(q).c_str(), expected);
    assert_true(q.empty());
}

void press(input_queue &q, int key, int mods = 0)
{
    q.key(0, key, 0, GLFW_PRESS, mods);
}

void release(input_queue &q, int key, int mods = 0)
{
    q.key(0, key, 0, GLFW_RELEASE, mods);
}

void type(input_queue &q, const char *text)
{
    for (; *text; text++) {
        press(q, *text);
        q.character(0, static_cast<unsigned>(*text));
        release(q, *text);
    }
}

void a_click_is_two_frames(void **)
{
    input_queue q;
    q.move(0, 5, 5);
    q.button(0, 0, GLFW_PRESS);
    q.button(0, 0, GLFW_RELEASE);
    is_dealt(q, "to 5, +button0 | -button0");
    q.button(0, 0, GLFW_PRESS);
    q.button(0, 1, GLFW_PRESS);
    q.button(0, 1, GLFW_RELEASE);
    q.button(0, 0, GLFW_RELEASE);
    is_dealt(q, "+button0, +button1 | -button1, -button0");
}

void a_double_click_is_four_frames(void **)
{
    input_queue q;
    q.move(1, 5, 5);
    for (int i = 0; i < 2; i++) {
        q.button(1 + 0.1 * i, 0, GLFW_PRESS);
        q.button(1.05 + 0.1 * i, 0, GLFW_RELEASE);
    }
    /* When it was goes with it. */
    std::vector<double> times;
    for (int n = 0; n < 4; n++) {
        assert_true(q.next_time() == (n == 0 ? 1 : n == 1 ? 1.05 : n == 2 ? 1.1 : 1.05 + 0.1));
        q.begin_frame();
        for (input_event e; q.next(alone, e);)
            if (e.what == kind::button && e.happens == GLFW_PRESS)
                times.push_back(e.time);
        assert_int_equal(q.empty(), n == 3);
    }
    assert_int_equal(times.size(), 2);
    assert_true(times[0] == 1 && times[1] == 1.1);
}

void a_drag_begins_moves_and_ends(void **)
{
    input_queue q;
    q.move(0, 5, 5);
    q.button(0, 0, GLFW_PRESS);
    q.move(0, 10, 5);
    q.move(0, 20, 5);
    q.button(0, 0, GLFW_RELEASE);
    q.move(0, 30, 5);
    is_dealt(q, "to 5, +button0 | to 20 | -button0 | to 30");
    /* Another button behind a move that holds one. */
    q.button(0, 0, GLFW_PRESS);
    q.move(0, 40, 5);
    q.button(0, 1, GLFW_PRESS);
    q.button(0, 1, GLFW_RELEASE);
    q.button(0, 0, GLFW_RELEASE);
    is_dealt(q, "+button0 | to 40 | +button1 | -button1, -button0");
}

void moves_and_turns_add_up(void **)
{
    input_queue q;
    for (int i = 0; i < 5000; i++)
        q.move(0, i, 0);
    q.wheel(0, 0, 1);
    q.wheel(0, 0, 2);
    q.wheel(0, 0, -1);
    q.move(0, 7, 0);
    q.wheel(0, 0, 1);
    q.button(0, 0, GLFW_PRESS);
    q.wheel(0, 0, 1);
    is_dealt(q, "to 4999, wheel 2 | to 7, wheel 1 | +button0 | wheel 1");
}

void keys_and_characters_keep_their_order(void **)
{
    input_queue q;
    type(q, "HALLO");
    is_dealt(q, "+H, 'H', -H, +A, 'A', -A, +L, 'L', -L, +L, 'L', -L, +O, 'O', -O");
    type(q, "A");
    press(q, GLFW_KEY_BACKSPACE);
    release(q, GLFW_KEY_BACKSPACE);
    type(q, "B");
    press(q, GLFW_KEY_ENTER);
    q.key(0, GLFW_KEY_ENTER, 0, GLFW_REPEAT, 0);
    release(q, GLFW_KEY_ENTER);
    type(q, "C");
    is_dealt(q, "+A, 'A', -A | +Backspace | -Backspace, +B, 'B', -B | +Enter | *Enter | -Enter, +C, 'C', -C");
    for (int i = 0; i < 2; i++) {
        press(q, GLFW_KEY_ENTER);
        release(q, GLFW_KEY_ENTER);
    }
    is_dealt(q, "+Enter | -Enter | +Enter | -Enter");
    /* Characters are no part of a shortcut behind them. */
    type(q, "A");
    press(q, GLFW_KEY_LEFT_CONTROL);
    press(q, 'A', GLFW_MOD_CONTROL);
    release(q, 'A', GLFW_MOD_CONTROL);
    release(q, GLFW_KEY_LEFT_CONTROL, GLFW_MOD_CONTROL);
    press(q, GLFW_KEY_LEFT_SHIFT);
    type(q, "B");
    is_dealt(q, "+A, 'A', -A | +Ctrl, +A | -A, -Ctrl, +Shift, +B, 'B', -B");
    release(q, GLFW_KEY_LEFT_SHIFT);
    is_dealt(q, "-Shift");
}

void keys_and_the_mouse_keep_their_order(void **)
{
    input_queue q;
    q.move(0, 3, 3);
    type(q, "M");
    q.move(0, 4, 4);
    q.button(0, 0, GLFW_PRESS);
    q.button(0, 0, GLFW_RELEASE);
    type(q, "A");
    q.button(0, 0, GLFW_PRESS);
    q.wheel(0, 0, 1);
    type(q, "B");
    q.wheel(0, 0, 1);
    is_dealt(q, "to 3 | +M, 'M', -M | to 4, +button0 | -button0 | +A, 'A', -A | +button0 | wheel 1 | "
                "+B, 'B', -B | wheel 1");
}

void a_window_without_the_keyboard_lets_go(void **)
{
    input_queue q;
    press(q, 'A');
    q.button(0, 0, GLFW_PRESS);
    q.button(0, 2, GLFW_PRESS);
    q.focus(0, false);
    /* GLFW's own come behind, and change nothing. */
    release(q, 'A');
    q.button(0, 0, GLFW_RELEASE);
    q.button(0, 2, GLFW_RELEASE);
    q.focus(0, true);
    type(q, "B");
    is_dealt(q, "+A | +button0, +button2 | -button0, -button2 | -A | no focus | focus | +B, 'B', -B");
    /* What was given before is let go of too. */
    q.button(0, 1, GLFW_PRESS);
    is_dealt(q, "+button1");
    q.focus(0, false);
    is_dealt(q, "-button1 | no focus");
}

void the_mouse_comes_and_goes(void **)
{
    input_queue q;
    q.enter(0);
    q.move(0, 8, 8);
    is_dealt(q, "to 8");
    q.leave(0);
    is_dealt(q, "away");
    q.enter(0);
    is_dealt(q, "to 8");
    q.button(0, 0, GLFW_PRESS);
    q.leave(0);
    q.move(0, 900, 8);
    q.button(0, 0, GLFW_RELEASE);
    q.leave(0);
    is_dealt(q, "+button0 | to 900 | -button0 | away");
}

void what_is_too_much_is_let_go_of(void **)
{
    constexpr int n = static_cast<int>(input_queue::most_events);
    input_queue q;
    q.button(0, 0, GLFW_PRESS);
    press(q, 'A');
    for (int i = 0; i < n - 3; i++)
        q.key(0, 'A', 0, GLFW_REPEAT, 0);
    press(q, 'B');
    /* The queue is full: C and the second button are lost, and so are their ends; A, B and the first are not
     * held for ever. */
    type(q, "C");
    q.button(0, 1, GLFW_PRESS);
    q.button(0, 1, GLFW_RELEASE);
    q.move(0, 1, 1);
    q.wheel(0, 0, 1);
    for (int i = 0; i < 3 * n; i++)
        type(q, "CD");
    release(q, 'A');
    release(q, 'B');
    q.button(0, 0, GLFW_RELEASE);
    const std::string dealt = frames(q), begin = "+button0 | +A, *A, *A", end = "*A, +B, -A, -B | -button0";
    assert_string_equal(dealt.substr(0, begin.size()).c_str(), begin.c_str());
    assert_string_equal(dealt.substr(dealt.size() - end.size()).c_str(), end.c_str());
    assert_true(dealt.find('C') == std::string::npos && dealt.find("button1") == std::string::npos);
    type(q, "C");
    is_dealt(q, "+C, 'C', -C");
}

void what_does_not_happen_changes_nothing(void **)
{
    input_queue q;
    release(q, 'A');
    q.button(0, 0, GLFW_RELEASE);
    q.button(0, 99, GLFW_PRESS);
    q.button(0, -1, GLFW_PRESS);
    press(q, GLFW_KEY_UNKNOWN);
    assert_true(q.empty());
    q.button(0, 0, GLFW_PRESS);
    q.button(0, 0, GLFW_PRESS);
    q.button(0, 0, GLFW_RELEASE);
    is_dealt(q, "+button0 | -button0");
    q.begin_frame();
    input_event e;
    assert_false(q.next(alone, e));
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_click_is_two_frames),
        cmocka_unit_test(a_double_click_is_four_frames),
        cmocka_unit_test(a_drag_begins_moves_and_ends),
        cmocka_unit_test(moves_and_turns_add_up),
        cmocka_unit_test(keys_and_characters_keep_their_order),
        cmocka_unit_test(keys_and_the_mouse_keep_their_order),
        cmocka_unit_test(a_window_without_the_keyboard_lets_go),
        cmocka_unit_test(the_mouse_comes_and_goes),
        cmocka_unit_test(what_is_too_much_is_let_go_of),
        cmocka_unit_test(what_does_not_happen_changes_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
