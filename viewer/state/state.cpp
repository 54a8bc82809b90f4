#include "state/state.h"

#include <algorithm>
#include <cmath>

namespace viewer
{

const std::vector<key_binding> &key_bindings()
{
    static const std::vector<key_binding> bindings = {
        {"Space", action::play, "play and pause", false},
        {"Right", action::step_forward, "a step forward, back", false},
        {"Left", action::step_back, nullptr, false},
        {"Page Down", action::leap_forward, "ten steps forward, back", false},
        {"Page Up", action::leap_back, nullptr, false},
        {"Home", action::first, "first, last step", false},
        {"End", action::last, nullptr, false},
        {"+", action::faster, "faster, slower", false},
        {"-", action::slower, nullptr, false},
        {"Tab", action::select_next, "next, previous token", false},
        {"Shift Tab", action::select_previous, nullptr, false},
        {"Down", action::select_down, "token on the line below, above", false},
        {"Up", action::select_up, nullptr, false},
        {"Esc", action::select_none, "no token; closes what lies above", false},
        {"C", action::colour_next, "next colouring", false},
        {"1", action::colour_1, "colour by step, probability, entropy, guess", false},
        {"2", action::colour_2, nullptr, false},
        {"3", action::colour_3, nullptr, false},
        {"4", action::colour_4, nullptr, false},
        {"G", action::guesses, "best guesses in masked positions", false},
        {"H", action::heat, "heat map of entropy, of probability", false},
        {"]", action::zoom_in, "zoom the heat map in, out", false},
        {"[", action::zoom_out, nullptr, false},
        {",", action::zoom_left, "move it along the steps", false},
        {".", action::zoom_right, nullptr, false},
        {"K", action::zoom_up, "move it along the positions", false},
        {"J", action::zoom_down, nullptr, false},
        {"0", action::zoom_reset, "all of it", false},
        {"R", action::other_run, "panels of the other run", false},
        {"T", action::theme, "light, dark", false},
        {"Ctrl S", action::save, "save, or export a picture", false},
        {"F1", action::help, "this list", false},
        {"?", action::help, nullptr, false},
        {"Q", action::quit, "quit", false},
        {"O", action::open_model, "open the recording's model", true},
        {"Ctrl Enter", action::run_anew, "run from the start", true},
        {"S", action::run_next_seed, "run with the next seed", true},
        {"P", action::pause, "pause, resume", true},
        {"N", action::single_step, "one more step", true},
        {"X", action::cancel, "cancel", true},
        {"Enter", action::go_on, "go on from the step shown", true},
        {"M", action::mask_again, "mask the token again", true},
        {"Delete", action::mask_again, nullptr, true},
        {"Backspace", action::mask_again, nullptr, true},
        {"E", action::write, "write another text there", true},
        {"Alt 1", action::take_1, "take candidate 1 \u2026 8", true},
        {"Alt 2", action::take_2, nullptr, true},
        {"Alt 3", action::take_3, nullptr, true},
        {"Alt 4", action::take_4, nullptr, true},
        {"Alt 5", action::take_5, nullptr, true},
        {"Alt 6", action::take_6, nullptr, true},
        {"Alt 7", action::take_7, nullptr, true},
        {"Alt 8", action::take_8, nullptr, true},
        {"U", action::drop_edit, "drop the edit, all edits", true},
        {"Shift U", action::drop_edits, nullptr, true},
        {"I", action::edit_text, "to the prompt's text", true},
        {"F", action::next_given, "prompt or template", true},
        {"V", action::next_method, "next sampler or solver", true},
    };
    return bindings;
}

const char *key_of(action what)
{
    for (const key_binding &b : key_bindings())
        if (b.does == what)
            return b.key;
    return "";
}

void go_to(view_state &s, int64_t step)
{
    s.step = static_cast<uint32_t>(std::clamp<int64_t>(step, 0, s.n_steps));
    s.follow = s.step == s.n_steps;
    s.waited = 0;
}

void grow(view_state &s, uint32_t n_steps, uint32_t length)
{
    s.n_steps = n_steps;
    s.length = length;
    if (s.follow || s.step > n_steps)
        go_to(s, n_steps);
    if (s.selected >= static_cast<int64_t>(length))
        s.selected = -1;
    if (s.hovered >= static_cast<int64_t>(length))
        s.hovered = -1;
}

namespace
{

constexpr double slowest = 0.25, fastest = 64;

void select(view_state &s, int64_t position)
{
    if (s.length)
        s.selected = std::clamp<int64_t>(position, 0, static_cast<int64_t>(s.length) - 1);
    s.show_selected = s.by_keys = true;
}

/* Keeps the middle where it is as far as the ends allow. */
void zoom(zoom_range &r, float factor)
{
    float size = std::clamp((r.to - r.from) * factor, 1 / 64.0F, 1.0F);
    float from = std::clamp((r.from + r.to - size) / 2, 0.0F, 1 - size);
    r = {from, from + size};
}

void move(zoom_range &r, float by)
{
    float size = r.to - r.from, from = std::clamp(r.from + by * size, 0.0F, 1 - size);
    r = {from, from + size};
}

} // namespace

void apply(view_state &s, action what)
{
    const int64_t step = s.step;
    switch (what) {
    case action::play:
        if (!s.playing && s.step == s.n_steps)
            go_to(s, 0);
        s.playing = !s.playing && s.n_steps > 0;
        s.waited = 0;
        break;
    case action::step_forward:
        go_to(s, step + 1);
        break;
    case action::step_back:
        go_to(s, step - 1);
        break;
    case action::leap_forward:
        go_to(s, step + 10);
        break;
    case action::leap_back:
        go_to(s, step - 10);
        break;
    case action::first:
        go_to(s, 0);
        break;
    case action::last:
        go_to(s, s.n_steps);
        break;
    case action::faster:
        s.speed = std::min(s.speed * 2, fastest);
        break;
    case action::slower:
        s.speed = std::max(s.speed / 2, slowest);
        break;
    case action::select_next:
        select(s, s.selected + 1);
        break;
    case action::select_previous:
        select(s, s.selected < 0 ? static_cast<int64_t>(s.length) - 1 : s.selected - 1);
        break;
    case action::select_none:
        if (!s.problem.empty())
            s.problem.clear();
        else if (s.saving || s.writing)
            s.saving = s.writing = false;
        else if (s.help)
            s.help = false;
        else if (!s.complaint.empty())
            s.complaint.clear();
        else
            s.selected = -1;
        break;
    case action::colour_next:
        s.shown = static_cast<quantity>((static_cast<int>(s.shown) + 1) % n_quantities);
        break;
    case action::colour_1:
        s.shown = quantity::commit_step;
        break;
    case action::colour_2:
        s.shown = quantity::commit_probability;
        break;
    case action::colour_3:
        s.shown = quantity::entropy;
        break;
    case action::colour_4:
        s.shown = quantity::candidate;
        break;
    case action::guesses:
        s.guesses = !s.guesses;
        break;
    case action::other_run:
        s.active = (s.active + 1) % s.n_runs;
        break;
    case action::theme:
        s.dark = !s.dark;
        break;
    case action::heat:
        s.heat_of_probability = !s.heat_of_probability;
        break;
    case action::zoom_in:
        zoom(s.heat_positions, 0.5F);
        zoom(s.heat_steps, 0.5F);
        break;
    case action::zoom_out:
        zoom(s.heat_positions, 2);
        zoom(s.heat_steps, 2);
        break;
    case action::zoom_left:
        move(s.heat_steps, -0.25F);
        break;
    case action::zoom_right:
        move(s.heat_steps, 0.25F);
        break;
    case action::zoom_up:
        move(s.heat_positions, -0.25F);
        break;
    case action::zoom_down:
        move(s.heat_positions, 0.25F);
        break;
    case action::zoom_reset:
        s.heat_positions = s.heat_steps = {};
        break;
    case action::help:
        s.help = !s.help;
        break;
    case action::save:
        s.saving = true;
        s.help = false;
        break;
    case action::quit:
        s.quit = true;
        break;
    default:
        break;
    }
}

bool advance(view_state &s, double seconds)
{
    if (!s.playing)
        return false;
    s.waited += std::max(seconds, 0.0);
    double steps = std::floor(s.waited * s.speed);
    if (steps < 1)
        return false;
    s.waited -= steps / s.speed;
    double left = static_cast<double>(s.n_steps - s.step);
    const double rest = s.waited;
    go_to(s, s.step + static_cast<int64_t>(std::min(steps, left)));
    s.waited = rest;
    if (s.step == s.n_steps)
        s.playing = false;
    return true;
}

int64_t focus(const view_state &s)
{
    return s.hovered >= 0 && !(s.by_keys && s.selected >= 0) ? s.hovered : s.selected;
}

} // namespace viewer
