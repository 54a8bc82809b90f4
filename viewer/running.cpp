#include "running.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include <jansson.h>

namespace viewer
{
namespace
{

constexpr uint32_t usual_candidates = 8; /* what is told of positions, where the options do not say */

/* Options of a run as recordings and the command line write them; a solver, or new tokens, are a causal
 * model's. */
bool read_options(const char *json, live_settings &out, bool &causal, std::string &error)
{
    json_error_t where;
    json_t *object = json_loads(*json ? json : "{}", 0, &where);
    if (!json_is_object(object)) {
        json_decref(object);
        error = "the options of the run are no JSON object";
        return false;
    }
    causal = json_object_get(object, "solver") || json_object_get(object, "max_tokens");
    json_decref(object);
    vkdlm_error err = {};
    vkdlm_status status =
        causal ? vkdlm_complete_options_read(*json ? json : "{}", &out.causal, out.temperature, &err)
               : vkdlm_generate_options_read(*json ? json : "{}", &out.masked, &err);
    if (status != VKDLM_OK)
        error = err.message;
    return status == VKDLM_OK;
}

uint32_t tokens_done(const analysis &facts)
{
    return facts.is_flow() ? facts.n_steps() : facts.n_masked(0) - facts.n_masked(facts.n_steps());
}

/* The first sheet is of this run from now on. */
void show_run(scene &s, std::unique_ptr<live_run> run)
{
    s.live = run.get();
    s.live_version = s.live->version();
    s.sheets.clear();
    s.sheets.emplace_back(std::move(run));
    const analysis &facts = s.sheets[0].facts;
    note_glyphs(s, s.sheets[0], 0);
    s.state.n_runs = 1;
    s.state.active = 0;
    s.state.n_steps = facts.n_steps();
    s.state.length = facts.length();
}

void tick(scene &s, live_phase before)
{
    run_clock &c = s.clock;
    const live_phase phase = s.live->phase();
    const bool going = phase == live_phase::running || phase == live_phase::pausing;
    if (!going) {
        c.last = -1;
        return;
    }
    if (c.last < 0 && before != live_phase::paused) {
        c.seconds = 0;
        c.before = tokens_done(s.sheets[0].facts);
    }
    c.seconds += c.last < 0 ? 0 : s.now - c.last;
    c.last = s.now;
}

/* Options that no command line told may have been taken for those of the other family of models. */
void fit_form(scene &s)
{
    const bool causal = s.live->model().family == VKDLM_FAMILY_CAUSAL;
    if (s.form.causal == causal)
        return;
    run_form form = write_form(s.settings, causal);
    form.kind = s.form.kind;
    form.text = s.form.text;
    form.seed = s.form.seed;
    form.length = s.form.length;
    s.form = std::move(form);
}

void expect_steps(scene &s)
{
    analysis &facts = s.sheets[0].facts;
    const live_phase phase = s.live->phase();
    const bool under_way =
        phase == live_phase::running || phase == live_phase::pausing || phase == live_phase::paused;
    facts.expect(under_way ? expected_steps(s.settings, s.form.causal, facts.n_masked(0)) : 0);
}

} // namespace

live_control controls(scene &s)
{
    return {*s.live, s.sheets[0].facts, s.state, s.form, s.settings};
}

bool begin_live(const options &o, scene &s, std::string &error)
{
    bool causal = false;
    if (!read_options(o.run.c_str(), s.settings, causal, error))
        return false;
    using given = live_settings::given;
    s.settings.kind = o.given == "masks" ? given::masks : o.given == "ids" ? given::ids : given::prompt;
    s.settings.text = o.text;
    s.settings.length = o.length;
    s.settings.masked.seed = s.settings.causal.seed = o.seed;
    s.form = write_form(s.settings, causal);
    if (!s.settings.masked.n_candidates && !s.settings.causal.n_candidates) {
        s.settings.masked.n_candidates = s.settings.causal.n_candidates = usual_candidates;
        s.settings.masked.evaluate_all = true;
    }
    note_text(s, o.text);
    s.model = {o.live, o.l2d, o.tokenizer, o.device};
    s.recording = o.save;
    s.start_when_ready = true;
    show_run(s, live_run::create(s.model, nullptr));
    return true;
}

void open_model(scene &s)
{
    if (s.live || s.sheets.empty())
        return;
    const vkdlm_trajectory_info info = s.sheets[0].source->info();
    std::string error;
    if (s.sheets.size() > 1)
        error = "two runs are shown; only one alone can be gone on with";
    else if (!*info.model)
        error = "the recording does not tell which model it is of";
    const bool causal = info.kind == VKDLM_TRAJECTORY_FLOW;
    live_settings settings;
    if (error.empty())
        read_settings(*s.sheets[0].source, settings, error);
    if (!error.empty()) {
        tell_problem(s, "This run cannot be gone on with", error, false);
        return;
    }
    copy_settings(settings, s.settings);
    s.form = write_form(s.settings, causal);
    s.model.model = info.model;
    s.model.l2d = info.l2d;
    s.model.tokenizer = "";
    const uint32_t step = s.state.step;
    std::unique_ptr<run> recorded = std::move(s.sheets[0].source);
    s.sheets.clear();
    show_run(s, live_run::create(s.model, std::move(recorded)));
    s.saved_version = s.live_version;
    go_to(s.state, step);
}

bool poll_live(scene &s)
{
    if (!s.live)
        return false;
    const live_phase before = s.live->phase();
    const bool changed = s.live->poll();
    sheet &sh = s.sheets[0];
    if (s.live->version() != s.live_version) {
        s.live_version = s.live->version();
        const uint32_t first = sh.facts.update();
        note_glyphs(s, sh, first);
        sh.describe();
        grow(s.state, sh.facts.n_steps(), sh.facts.length());
    }
    if (s.live->model().vocab_size)
        fit_form(s);
    if (s.start_when_ready && s.live->phase() == live_phase::ready) {
        s.start_when_ready = false;
        act(s, action::run_anew);
    }
    tick(s, before);
    expect_steps(s);
    const live_phase phase = s.live->phase();
    if (phase == live_phase::failed && before != live_phase::failed) {
        if (!s.live->model().vocab_size && s.in_window)
            tell_problem(s, "The model cannot be opened", s.live->problem(), !sh.facts.length());
        else
            s.state.complaint = s.live->problem();
    }
    return changed || phase == live_phase::loading;
}

bool run_to_end(scene &s, int64_t steps, std::string &error)
{
    for (;;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        s.now += 0.002;
        poll_live(s);
        const live_phase phase = s.live->phase();
        if (!s.state.complaint.empty()) {
            error = s.state.complaint;
            return false;
        }
        if (phase == live_phase::failed) {
            error = s.live->problem();
            return false;
        }
        if (steps >= 0 && s.state.n_steps >= steps && phase == live_phase::running)
            s.live->pause();
        if (phase == live_phase::paused || phase == live_phase::stopped || phase == live_phase::finished)
            break;
    }
    if (steps >= 0)
        go_to(s.state, steps);
    return true;
}

bool is_unsaved(const scene &s)
{
    return s.live && s.sheets[0].facts.n_steps() > 0 && s.live->version() != s.saved_version;
}

bool save_recording(scene &s, const std::string &path, std::string &error)
{
    if (!s.live->save(path, error))
        return false;
    s.saved_version = s.live->version();
    return true;
}

void act(scene &s, action what)
{
    if (what == action::none)
        return;
    if (what == action::select_down || what == action::select_up) {
        if (!s.sheets.empty())
            select_line(s, what == action::select_down ? 1 : -1);
        return;
    }
    if (what == action::select_none && !s.state.problem.empty() && s.state.fatal)
        s.state.quit = true;
    if (what == action::open_model) {
        open_model(s);
        return;
    }
    if (what == action::edit_text && s.live) {
        s.focus_text = true;
        return;
    }
    if (s.live) {
        live_control c = controls(s);
        if (control(c, what)) {
            if (s.state.writing)
                s.written.clear();
            return;
        }
    }
    apply(s.state, what);
}

bool act_asked(scene &s)
{
    std::vector<action> asked;
    asked.swap(s.asked);
    for (action what : asked)
        act(s, what);
    return !asked.empty();
}

void tell_problem(scene &s, const std::string &heading, const std::string &sentence, bool fatal)
{
    fprintf(stderr, "vkdlm: %s\n", one_line(sentence).c_str());
    note_text(s, sentence);
    s.state.heading = heading;
    s.state.problem = sentence;
    s.state.fatal = fatal;
}

void show_toast(scene &s, const std::string &text)
{
    note_text(s, text);
    s.toasts.push_back({text, s.now + 6});
}

double tokens_per_second(const scene &s)
{
    const run_clock &c = s.clock;
    const uint32_t done = tokens_done(s.sheets[0].facts);
    return c.seconds > 0.05 && done > c.before ? (done - c.before) / c.seconds : 0;
}

} // namespace viewer
