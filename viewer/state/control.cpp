#include "state/control.h"

#include <algorithm>

namespace viewer
{
namespace
{

bool has_model(const live_run &run)
{
    return run.model().vocab_size > 0;
}

bool is_going(const live_run &run)
{
    const live_phase phase = run.phase();
    return phase == live_phase::running || phase == live_phase::pausing;
}

/* Settings as the form has them now. */
bool take_form(live_control &c)
{
    c.state.complaint.clear();
    return read_form(c.form, c.settings, c.state.complaint);
}

void start(live_control &c)
{
    if (!take_form(c))
        return;
    c.state.follow = true;
    c.state.playing = false;
    c.run.start(c.settings);
}

void go_on(live_control &c)
{
    if (!take_form(c))
        return;
    const uint32_t step = c.run.edits().empty() ? c.state.step : c.run.edited_step();
    if (!c.run.go_on(step, c.settings)) {
        c.state.complaint = c.run.problem();
        return;
    }
    c.state.follow = true;
    c.state.playing = false;
}

/* The latest look at the position that was over at the step that is shown; false without one. */
bool latest_look(const live_control &c, uint32_t position, look *out)
{
    uint32_t n = c.facts.looks_until(std::min(c.state.step, c.facts.n_steps()), position);
    if (n)
        *out = c.facts.get_look(position, n - 1);
    return n > 0;
}

void take_candidate(live_control &c, uint32_t position, uint32_t index)
{
    look l = {};
    if (!latest_look(c, position, &l) || index >= c.facts.n_candidates() || !l.ids || l.ids[index] < 0)
        c.state.complaint = "position " + std::to_string(position) + " has no candidate " +
                            std::to_string(index + 1) + " at step " + std::to_string(c.state.step);
    else
        edit_token(c, position, l.ids[index]);
}

bool is_of_position(action what)
{
    return what == action::mask_again || what == action::write || what == action::drop_edit ||
           (what >= action::take_1 && what <= action::take_8);
}

} // namespace

bool waiting_edit(const live_run &run, uint32_t step, uint32_t position, int32_t *token)
{
    const auto &edits = run.edits();
    if (edits.empty() || run.edited_step() != step)
        return false;
    auto found = edits.find(position);
    if (found == edits.end())
        return false;
    *token = found->second;
    return true;
}

void edit_token(live_control &c, uint32_t position, int32_t token)
{
    c.state.complaint.clear();
    c.state.playing = false;
    c.state.follow = false;
    c.run.edit(c.state.step, position, token);
}

void write_text(live_control &c, uint32_t position, const std::string &text)
{
    std::vector<int32_t> ids;
    if (text.empty())
        return;
    if (!c.run.tokenize(text, ids)) {
        c.state.complaint = "the text cannot be written: the model has no tokenizer that takes it";
        return;
    }
    const uint32_t room = c.facts.length() - std::min(position, c.facts.length());
    const auto n = static_cast<uint32_t>(std::min<size_t>(ids.size(), room));
    for (uint32_t i = 0; i < n; i++)
        edit_token(c, position + i, ids[i]);
    if (n < ids.size())
        c.state.complaint = "the text has " + std::to_string(ids.size()) + " tokens, and only " +
                            std::to_string(n) + " positions were left for it";
}

bool can(const live_control &c, action what)
{
    const live_phase phase = c.run.phase();
    const bool open = has_model(c.run);
    const int64_t at = focus(c.state);
    const bool at_position = at >= 0 && at < static_cast<int64_t>(c.facts.length());
    switch (what) {
    case action::run_anew:
    case action::run_next_seed:
        return open;
    case action::pause:
        return phase == live_phase::running || phase == live_phase::paused;
    case action::single_step:
        return phase == live_phase::paused || phase == live_phase::running;
    case action::cancel:
        return is_going(c.run) || phase == live_phase::paused;
    case action::go_on:
        return open && !is_going(c.run) && (c.facts.length() > 0);
    case action::mask_again:
    case action::write:
        return open && at_position;
    case action::drop_edits:
        return !c.run.edits().empty();
    case action::drop_edit: {
        int32_t token = 0;
        return at_position && waiting_edit(c.run, c.state.step, static_cast<uint32_t>(at), &token);
    }
    default:
        break;
    }
    if (what >= action::take_1 && what <= action::take_8)
        return open && at_position;
    return what == action::next_method || what == action::next_given || what == action::edit_text;
}

bool control(live_control &c, action what)
{
    const int64_t at = focus(c.state);
    if (is_of_position(what) && !can(c, what)) {
        if (at < 0)
            c.state.complaint = "no token is selected: click on one, or press Tab";
        return true;
    }
    const auto position = static_cast<uint32_t>(std::max<int64_t>(at, 0));
    switch (what) {
    case action::run_next_seed:
        take_next_seed(c.form);
        start(c);
        return true;
    case action::run_anew:
        start(c);
        return true;
    case action::pause:
        if (c.run.phase() == live_phase::paused)
            c.run.resume();
        else
            c.run.pause();
        return true;
    case action::single_step:
        c.state.follow = true;
        c.run.single_step();
        return true;
    case action::cancel:
        c.run.cancel();
        return true;
    case action::go_on:
        go_on(c);
        return true;
    case action::mask_again:
        edit_token(c, position, live_run::masked_again);
        return true;
    case action::write:
        c.state.selected = at;
        c.state.writing = true;
        c.state.show_selected = true;
        return true;
    case action::drop_edit:
        c.run.drop_edit(position);
        return true;
    case action::drop_edits:
        c.run.drop_edits();
        return true;
    case action::next_method:
        take_next_method(c.form);
        return true;
    case action::next_given:
        take_next_given(c.form);
        return true;
    default:
        break;
    }
    if (what < action::take_1 || what > action::take_8)
        return false;
    take_candidate(c, position, static_cast<uint32_t>(what) - static_cast<uint32_t>(action::take_1));
    return true;
}

std::string phase_text(const live_run &run, const analysis &facts)
{
    const std::string unit = facts.is_flow() ? "token " : "step ",
                      at = unit + std::to_string(facts.n_steps());
    switch (run.phase()) {
    case live_phase::loading:
        return "loading the model, " + std::to_string(static_cast<int>(run.progress() * 100)) + " %";
    case live_phase::ready:
        return "ready";
    case live_phase::running:
        return "running, " + at;
    case live_phase::pausing:
        return "pausing";
    case live_phase::paused:
        return "paused at " + at;
    case live_phase::finished:
        return "finished";
    case live_phase::stopped:
        return "cancelled at " + at;
    case live_phase::failed:
        return "failed";
    }
    return "";
}

} // namespace viewer
