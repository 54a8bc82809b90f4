/* Keys, what they do, the replay's clock, and the program's words. */
#include <set>

#include "check.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include "options.h"
#include "state/keys.h"

using namespace viewer;

static view_state make()
{
    view_state s;
    s.n_steps = 20;
    s.length = 5;
    return s;
}

static void keys_find_their_actions(void **)
{
    assert_true(find_action(GLFW_KEY_SPACE, 0, nullptr) == action::play);
    assert_true(find_action(GLFW_KEY_RIGHT, 0, nullptr) == action::step_forward);
    assert_true(find_action(GLFW_KEY_TAB, 0, nullptr) == action::select_next);
    assert_true(find_action(GLFW_KEY_TAB, GLFW_MOD_SHIFT, nullptr) == action::select_previous);
    assert_true(find_action(GLFW_KEY_SLASH, GLFW_MOD_SHIFT, "/") == action::help);
    assert_true(find_action(GLFW_KEY_EQUAL, GLFW_MOD_SHIFT, "=") == action::faster);
    /* By what the keyboard prints: Q lies elsewhere on a French one. */
    assert_true(find_action(GLFW_KEY_A, 0, "q") == action::quit);
    assert_true(find_action(GLFW_KEY_Q, GLFW_MOD_CONTROL, "q") == action::quit);
    assert_true(find_action(GLFW_KEY_C, GLFW_MOD_CONTROL, "c") == action::none);
    assert_true(find_action(GLFW_KEY_S, GLFW_MOD_CONTROL, "s") == action::save);
    assert_true(find_action(GLFW_KEY_S, 0, "s") == action::run_next_seed);
    assert_true(find_action(GLFW_KEY_U, 0, "u") == action::drop_edit);
    assert_true(find_action(GLFW_KEY_U, GLFW_MOD_SHIFT, "u") == action::drop_edits);
    assert_true(find_action(GLFW_KEY_G, GLFW_MOD_SHIFT, "g") == action::guesses);
    assert_true(find_action(GLFW_KEY_ENTER, 0, nullptr) == action::go_on);
    assert_true(find_action(GLFW_KEY_ENTER, GLFW_MOD_CONTROL, nullptr) == action::run_anew);
    assert_true(find_action(GLFW_KEY_DELETE, 0, nullptr) == action::mask_again);
    /* The digits' row prints other signs on a French keyboard. */
    assert_true(find_action(GLFW_KEY_3, GLFW_MOD_ALT, "\"") == action::take_3);
    assert_true(find_action(GLFW_KEY_9, GLFW_MOD_ALT, "9") == action::none);
    assert_string_equal(key_of(action::go_on), "Enter");
    assert_string_equal(key_of(action::none), "");
    assert_true(find_action(GLFW_KEY_F12, 0, nullptr) == action::none);
    std::set<std::string> seen;
    for (const key_binding &b : key_bindings())
        assert_true(seen.insert(b.key).second);
    assert_true(key_bindings()[0].help != nullptr);
}

static void steps_stay_within_the_run(void **)
{
    view_state s = make();
    apply(s, action::step_back);
    assert_int_equal(s.step, 0);
    apply(s, action::leap_forward);
    apply(s, action::step_forward);
    assert_int_equal(s.step, 11);
    apply(s, action::leap_forward);
    assert_int_equal(s.step, 20);
    apply(s, action::leap_back);
    assert_int_equal(s.step, 10);
    apply(s, action::last);
    assert_int_equal(s.step, 20);
    apply(s, action::play); /* from the end: again from the start */
    assert_true(s.playing && s.step == 0);
}

static void the_replay_keeps_time(void **)
{
    view_state s = make();
    assert_false(advance(s, 10));
    apply(s, action::play);
    assert_false(advance(s, 0.1));
    assert_true(advance(s, 0.05));
    assert_int_equal(s.step, 1);
    assert_true(advance(s, 1));
    assert_int_equal(s.step, 9);
    assert_true(advance(s, 100));
    assert_int_equal(s.step, 20);
    assert_false(s.playing);
    s = make();
    s.n_steps = 0;
    apply(s, action::play);
    assert_false(s.playing);
}

static void selection_stays_within_the_canvas(void **)
{
    view_state s = make();
    assert_int_equal(focus(s), -1);
    apply(s, action::select_previous);
    assert_int_equal(s.selected, 4);
    apply(s, action::select_next);
    assert_int_equal(s.selected, 4);
    s.hovered = 2;
    s.by_keys = false;
    assert_int_equal(focus(s), 2);
    s.hovered = -1;
    s.help = true;
    apply(s, action::select_none);
    assert_true(!s.help && s.selected == 4);
    apply(s, action::select_none);
    assert_int_equal(s.selected, -1);
    s.length = 0;
    apply(s, action::select_next);
    assert_int_equal(s.selected, -1);
}

static void keys_go_before_a_mouse_that_rests(void **)
{
    view_state s = make();
    s.hovered = 3;
    assert_int_equal(focus(s), 3);
    apply(s, action::select_next);
    assert_int_equal(focus(s), 0);
    s.by_keys = false;
    assert_int_equal(focus(s), 3);
}

static void a_run_that_grows_is_followed(void **)
{
    view_state s;
    grow(s, 3, 5);
    assert_true(s.step == 3 && s.follow);
    grow(s, 6, 5);
    assert_int_equal(s.step, 6);
    apply(s, action::step_back);
    grow(s, 9, 5);
    assert_int_equal(s.step, 5);
    apply(s, action::last);
    s.selected = s.hovered = 4;
    grow(s, 10, 4);
    assert_true(s.step == 10 && s.selected == -1 && s.hovered == -1);
    /* Steps are dropped. */
    apply(s, action::step_back);
    grow(s, 2, 4);
    assert_true(s.step == 2 && s.follow);
}

static void esc_closes_one_thing_after_another(void **)
{
    view_state s = make();
    apply(s, action::help);
    apply(s, action::save);
    assert_true(s.saving && !s.help);
    s.selected = 1;
    s.problem = s.complaint = "no";
    apply(s, action::select_none);
    assert_true(s.problem.empty() && s.saving);
    apply(s, action::select_none);
    assert_true(!s.saving && !s.complaint.empty());
    apply(s, action::select_none);
    assert_true(s.complaint.empty() && s.selected == 1);
    apply(s, action::select_none);
    assert_int_equal(s.selected, -1);
}

static void zoom_stays_within_the_map(void **)
{
    view_state s = make();
    for (int i = 0; i < 20; i++)
        apply(s, action::zoom_in);
    assert_true(s.heat_steps.to - s.heat_steps.from >= 1 / 64.0F - 1e-6F);
    for (int i = 0; i < 2000; i++)
        apply(s, action::zoom_down);
    assert_true(s.heat_positions.to <= 1.00001F && s.heat_positions.from < s.heat_positions.to);
    apply(s, action::zoom_reset);
    assert_true(s.heat_positions.from == 0 && s.heat_positions.to == 1);
    apply(s, action::other_run);
    assert_int_equal(s.active, 0);
    s.n_runs = 2;
    apply(s, action::other_run);
    assert_int_equal(s.active, 1);
    apply(s, action::zoom_out);
    assert_true(s.heat_steps.from == 0 && s.heat_steps.to == 1);
}

static void words_are_read(void **)
{
    options o;
    std::string error;
    assert_true(read_options(
        {"--png=a.png", "--size", "640x480", "--colour", "entropy", "--theme", "dark", "run"}, o, error));
    assert_true(o.png == "a.png" && o.width == 640 && o.height == 480 && o.dark &&
                o.shown == quantity::entropy);
    assert_true(o.offscreen() && o.files.size() == 1);
    const std::vector<std::string> bad[] = {
        {},
        {"a", "b", "c"},
        {"--size", "10x10", "a"},
        {"--size", "640", "a"},
        {"--size", "99999x800", "a"},
        {"--colour", "loud", "a"},
        {"--step", "-1", "a"},
        {"--step"},
        {"--scale", "nan", "a"},
        {"--nothing", "1", "a"},
    };
    for (const std::vector<std::string> &words : bad) {
        options other;
        error.clear();
        assert_false(read_options(words, other, error));
        assert_false(error.empty());
    }
    options live;
    error.clear();
    assert_true(read_options({"--live", "m", "--text", "", "--given", "masks", "--seed",
                              "18446744073709551615", "--length", "12", "--run", "{}", "--save", "x"},
                             live, error));
    assert_true(live.live == "m" && live.given == "masks" && live.seed == UINT64_MAX && live.length == 12);
    const std::vector<std::string> wrong[] = {{"--live", "m", "file"},
                                              {"--live", "m", "--given", "words"},
                                              {"--live", "m", "--seed", "-1"},
                                              {"--live"}};
    for (const std::vector<std::string> &words : wrong) {
        options other;
        error.clear();
        assert_false(read_options(words, other, error));
        assert_false(error.empty());
    }
    options dashes;
    assert_true(read_options({"--", "--png"}, dashes, error));
    assert_string_equal(dashes.files[0].c_str(), "--png");
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(keys_find_their_actions),
        cmocka_unit_test(steps_stay_within_the_run),
        cmocka_unit_test(the_replay_keeps_time),
        cmocka_unit_test(selection_stays_within_the_canvas),
        cmocka_unit_test(keys_go_before_a_mouse_that_rests),
        cmocka_unit_test(a_run_that_grows_is_followed),
        cmocka_unit_test(esc_closes_one_thing_after_another),
        cmocka_unit_test(zoom_stays_within_the_map),
        cmocka_unit_test(words_are_read),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
