/* What keys and buttons do to a live run, the run bar's fields, and names of files. */
#include "check.h"
#include "fake_live.h"
#include "state/control.h"
#include "state/save_name.h"

using namespace viewer;

namespace
{

struct bench {
    fake_live run;
    analysis facts{run};
    view_state state;
    run_form form;
    live_settings settings;
    live_control control{run, facts, state, form, settings};

    bench()
    {
        grow(state, facts.n_steps(), facts.length());
    }
    bool press(action what)
    {
        return viewer::control(control, what);
    }
    bool asked(const char *what)
    {
        const bool same = run.asked_ == what;
        run.asked_.clear();
        return same;
    }
};

void a_run_is_started_and_stopped(void **)
{
    bench b;
    b.form.seed = "41";
    b.form.text = "In the";
    go_to(b.state, 0);
    assert_false(b.state.follow);
    assert_true(b.press(action::run_anew) && b.asked("start ") && b.state.follow);
    assert_int_equal(b.settings.masked.seed, 41);
    assert_string_equal(b.run.settings_.text.c_str(), "In the");
    assert_true(b.press(action::pause) && b.asked("pause "));
    assert_true(b.press(action::pause) && b.asked("resume "));
    assert_true(b.press(action::single_step) && b.asked("step "));
    assert_true(b.press(action::cancel) && b.asked("cancel "));
    assert_true(b.press(action::run_next_seed) && b.asked("start "));
    assert_int_equal(b.run.settings_.masked.seed, 42);
    assert_false(b.press(action::theme));
    /* A bad field starts nothing and says why. */
    b.form.steps = "many";
    assert_true(b.press(action::run_anew) && b.asked(""));
    assert_string_equal(b.state.complaint.c_str(), "steps takes a whole number above 0, not 'many'");
    apply(b.state, action::select_none);
    assert_true(b.state.complaint.empty());
}

void tokens_are_edited(void **)
{
    bench b;
    int32_t token = 0;
    go_to(b.state, 1);
    assert_true(b.press(action::mask_again));
    assert_false(b.state.complaint.empty());
    assert_true(b.run.edits().empty());
    b.state.selected = 2;
    assert_true(b.press(action::mask_again));
    assert_true(waiting_edit(b.run, 1, 2, &token) && token == live_run::masked_again);
    assert_false(waiting_edit(b.run, 2, 2, &token) || waiting_edit(b.run, 1, 1, &token));
    /* The second candidate of position 1 in step 1. */
    b.state.selected = 1;
    assert_true(b.press(action::take_2) && waiting_edit(b.run, 1, 1, &token) && token == 2);
    assert_true(b.press(action::take_1) && waiting_edit(b.run, 1, 1, &token) && token == 3);
    assert_true(b.press(action::take_8) && !b.state.complaint.empty());
    assert_true(b.press(action::drop_edit));
    assert_false(waiting_edit(b.run, 1, 1, &token));
    assert_int_equal(b.run.edits().size(), 1);
    assert_true(b.press(action::write) && b.state.writing);
    write_text(b.control, 1, "bc");
    assert_true(waiting_edit(b.run, 1, 1, &token) && token == 2);
    assert_true(waiting_edit(b.run, 1, 2, &token) && token == 3);
    assert_true(b.state.complaint.empty());
    write_text(b.control, 2, "abc");
    assert_string_equal(b.state.complaint.c_str(),
                        "the text has 3 tokens, and only 1 positions were left for it");
    write_text(b.control, 1, "?");
    assert_true(b.state.complaint.find("tokenizer") != std::string::npos);
    assert_true(b.press(action::drop_edits) && b.run.edits().empty());
}

void a_run_goes_on_from_the_step_shown(void **)
{
    bench b;
    go_to(b.state, 1);
    assert_true(b.press(action::go_on) && b.asked("go on from 1 "));
    assert_string_equal(b.state.complaint.c_str(), "there is nothing to go on with");
    b.state.selected = 0;
    assert_true(b.press(action::mask_again));
    assert_false(b.state.follow);
    /* The edits belong to their step, wherever one looks meanwhile. */
    go_to(b.state, 2);
    assert_true(b.press(action::go_on) && b.asked("go on from 1 ") && b.state.follow);
    assert_true(b.state.complaint.empty());
}

void what_cannot_be_done_is_known(void **)
{
    bench b;
    assert_true(can(b.control, action::run_anew) && !can(b.control, action::pause));
    assert_false(can(b.control, action::mask_again));
    b.state.selected = 1;
    assert_true(can(b.control, action::mask_again) && can(b.control, action::take_1));
    assert_false(can(b.control, action::drop_edit) || can(b.control, action::drop_edits));
    b.press(action::mask_again);
    assert_true(can(b.control, action::drop_edit) && can(b.control, action::drop_edits));
    b.run.phase_ = live_phase::running;
    assert_true(can(b.control, action::cancel) && !can(b.control, action::go_on));
    assert_string_equal(phase_text(b.run, b.facts).c_str(), "running, step 2");
    b.run.phase_ = live_phase::loading;
    b.run.model_ = {};
    assert_false(can(b.control, action::run_anew) || can(b.control, action::go_on));
    assert_string_equal(phase_text(b.run, b.facts).c_str(), "loading the model, 50 %");
}

void fields_become_options(void **)
{
    live_settings s;
    std::string error;
    run_form f;
    f.seed = "18446744073709551615";
    f.steps = "10";
    f.temperature = "0.7";
    f.top_k = "5";
    f.method = VKDLM_SAMPLER_ANALYTIC;
    s.masked.end_time = 0.25;
    assert_true(read_form(f, s, error));
    assert_true(s.masked.seed == UINT64_MAX && s.masked.steps == 10 && s.masked.top_k == 5);
    assert_true(s.masked.temperature == 0.7 && s.masked.sampler == VKDLM_SAMPLER_ANALYTIC);
    assert_true(s.masked.end_time == 0.25);
    run_form again = write_form(s, false);
    assert_string_equal(again.seed.c_str(), f.seed.c_str());
    assert_string_equal(again.temperature.c_str(), "0.7");
    assert_true(again.method == f.method && again.length.empty() && again.top_p.empty());
    take_next_seed(again);
    assert_string_equal(again.seed.c_str(), "0");
    const struct {
        std::string run_form::*field;
        const char *text;
    } bad[] = {{&run_form::seed, ""},
               {&run_form::seed, "-1"},
               {&run_form::seed, "18446744073709551616"},
               {&run_form::steps, "0"},
               {&run_form::steps, "1.5"},
               {&run_form::length, "4294967296"},
               {&run_form::top_k, "x"},
               {&run_form::top_p, "nan"},
               {&run_form::top_p, "-0.5"},
               {&run_form::temperature, "0"},
               {&run_form::temperature, "1e999"}};
    for (const auto &b : bad) {
        run_form broken = f;
        broken.*b.field = b.text;
        error.clear();
        s.masked.steps = 77;
        assert_false(read_form(broken, s, error));
        assert_false(error.empty());
        assert_int_equal(s.masked.steps, 77);
    }
}

void a_causal_model_has_solvers(void **)
{
    live_settings s, other;
    std::string error;
    run_form f;
    f.causal = true;
    f.temperature = "0";
    f.length = "12";
    f.method = static_cast<int>(method_names(true).size()) - 1;
    snprintf(s.temperature, sizeof s.temperature, "0.5");
    s.causal.flow.temperature = s.temperature;
    assert_true(read_form(f, s, error));
    assert_true(s.causal.greedy && s.causal.temperature == 0 && s.causal.flow.off && s.length == 12);
    assert_ptr_equal(s.causal.flow.temperature, s.temperature);
    copy_settings(s, other);
    assert_ptr_equal(other.causal.flow.temperature, other.temperature);
    assert_string_equal(write_form(other, true).temperature.c_str(), "0");
    f.method = VKDLM_SOLVER_RK4;
    assert_true(read_form(f, s, error) && !s.causal.flow.off && s.causal.flow.solver == VKDLM_SOLVER_RK4);
    assert_string_equal(method_names(true)[VKDLM_SOLVER_RK4].c_str(), "rk4");
    assert_int_equal(expected_steps(s, true, 0), 12);
    take_next_given(f);
    assert_true(f.kind == live_settings::given::ids);
    take_next_given(f);
    assert_true(f.kind == live_settings::given::prompt);
    f.causal = false;
    take_next_given(f);
    assert_true(f.kind == live_settings::given::masks);
    take_next_method(f);
    assert_true(f.method >= 0 && f.method < VKDLM_SAMPLER_COUNT);
}

void steps_to_come_are_expected(void **)
{
    live_settings s;
    assert_int_equal(expected_steps(s, false, 1000), 65);
    assert_int_equal(expected_steps(s, false, 10), 10);
    s.masked.sampler = VKDLM_SAMPLER_DDPM;
    assert_int_equal(expected_steps(s, false, 10), 65);
    s.masked.sampler = VKDLM_SAMPLER_FIRST_HITTING;
    assert_int_equal(expected_steps(s, false, 10), 10);
    s.masked.steps = UINT32_MAX;
    s.masked.sampler = VKDLM_SAMPLER_DDPM;
    assert_int_equal(expected_steps(s, false, 10), UINT32_MAX);
}

/* What a recording says that people did, at the steps at which it was there. */
void edits_are_told(void **)
{
    fake_live run;
    const vkdlm_trajectory_edit first[] = {{1, 7, -1}, {2, -1, 3}}, second[] = {{1, 5, 2}};
    const vkdlm_trajectory_resumption resumptions[] = {{1, 2, first, "{}", 0}, {2, 1, second, "{}", 0}};
    analysis before(run);
    assert_false(before.has_edits() || before.by_hand(1) || before.edited(2, 1));
    run.info_.resumptions = resumptions;
    run.info_.n_resumptions = 1;
    analysis a(run);
    assert_true(a.has_edits() && !a.edited(0, 1) && !a.edited(2, 0));
    assert_true(a.edited(1, 1)->edit.from == 7 && a.edited(2, 1)->edit.to == -1 && a.edited(2, 1)->step == 1);
    /* Position 2 has its token of step 1 by hand, position 1 that of step 2 by the model. */
    assert_true(a.by_hand(2) && !a.by_hand(1) && std::isnan(a.commit_probability(2)));
    assert_false(std::isnan(a.commit_probability(1)));
    run.info_.n_resumptions = 2;
    analysis b(run);
    assert_true(b.edited(2, 1)->edit.from == 5 && b.edited(1, 1)->edit.from == 7 && b.by_hand(1));
}

void steps_come_and_go(void **)
{
    fake_live run;
    run.info_.n_steps = 1;
    analysis a(run);
    assert_int_equal(a.n_steps(), 1);
    assert_int_equal(a.n_looks(1), 1);
    assert_int_equal(a.final_token(1), -1);
    a.expect(9);
    assert_int_equal(a.span(), 9);
    const uint64_t version = a.version();
    run.info_.n_steps = 2;
    assert_int_equal(a.update(), 2);
    assert_true(a.version() != version && a.n_looks(1) == 2 && a.final_token(1) == 2);
    assert_int_equal(a.curves()[0].values.size(), 3);
    run.info_.n_steps = 1;
    assert_int_equal(a.update(), 0);
    assert_true(a.n_steps() == 1 && a.n_looks(1) == 1 && a.final_token(1) == -1);
    assert_int_equal(a.curves()[0].values.size(), 2);
    assert_false(a.by_hand(1) || a.by_hand(2));
}

void files_have_names(void **)
{
    assert_string_equal(default_name("run.safetensors", save_kind::png, 7).c_str(), "run-step7.png");
    assert_string_equal(default_name("my model", save_kind::recording, 7).c_str(), "my-model.safetensors");
    assert_string_equal(default_name("a/b.gif", save_kind::gif, 7).c_str(), "a-b.gif");
    assert_string_equal(default_name("", save_kind::frames, 7).c_str(), "run-frames");
    assert_string_equal(name_of_kind("x/y.png", save_kind::gif).c_str(), "x/y.gif");
    assert_string_equal(name_of_kind("y", save_kind::recording).c_str(), "y.safetensors");
    setenv("HOME", "/home/me", 1);
    assert_string_equal(full_path("~/a.png").c_str(), "/home/me/a.png");
    assert_string_equal(full_path("~a").c_str(), "~a");
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_started_and_stopped),
        cmocka_unit_test(tokens_are_edited),
        cmocka_unit_test(a_run_goes_on_from_the_step_shown),
        cmocka_unit_test(what_cannot_be_done_is_known),
        cmocka_unit_test(fields_become_options),
        cmocka_unit_test(a_causal_model_has_solvers),
        cmocka_unit_test(steps_to_come_are_expected),
        cmocka_unit_test(edits_are_told),
        cmocka_unit_test(steps_come_and_go),
        cmocka_unit_test(files_have_names),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
