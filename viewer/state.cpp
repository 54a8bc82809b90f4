#include "state.h"

#include <algorithm>
#include <cmath>

namespace viewer
{

const std::vector<key_binding> &key_bindings()
{
    static const std::vector<key_binding> bindings = {
        {"Space", action::play, "play and pause"},
        {"Right", action::step_forward, "a step forward, back"},
        {"Left", action::step_back, nullptr},
        {"Page Down", action::leap_forward, "ten steps forward, back"},
        {"Page Up", action::leap_back, nullptr},
        {"Home", action::first, "first, last step"},
        {"End", action::last, nullptr},
        {"+", action::faster, "faster, slower"},
        {"-", action::slower, nullptr},
        {"Tab", action::select_next, "next, previous token"},
        {"Shift Tab", action::select_previous, nullptr},
        {"Down", action::select_down, "token on the line below, above"},
        {"Up", action::select_up, nullptr},
        {"Esc", action::select_none, "no token; closes this list"},
        {"C", action::colour_next, "next colouring"},
        {"1", action::colour_1, "colour by step, probability, entropy, guess"},
        {"2", action::colour_2, nullptr},
        {"3", action::colour_3, nullptr},
        {"4", action::colour_4, nullptr},
        {"G", action::guesses, "best guesses in masked positions"},
        {"H", action::heat, "heat map of entropy, of probability"},
        {"]", action::zoom_in, "zoom the heat map in, out"},
        {"[", action::zoom_out, nullptr},
        {",", action::zoom_left, "move it along the steps"},
        {".", action::zoom_right, nullptr},
        {"K", action::zoom_up, "move it along the positions"},
        {"J", action::zoom_down, nullptr},
        {"0", action::zoom_reset, "all of it"},
        {"R", action::other_run, "panels of the other run"},
        {"T", action::theme, "light, dark"},
        {"F1", action::help, "this list"},
        {"?", action::help, nullptr},
        {"Q", action::quit, "quit"},
    };
    return bindings;
}

namespace
{

constexpr double slowest = 0.25, fastest = 64;

void go(view_state &s, int64_t step)
{
    s.step = static_cast<uint32_t>(std::clamp<int64_t>(step, 0, s.n_steps));
    s.waited = 0;
}

void select(view_state &s, int64_t position)
{
    if (s.length)
        s.selected = std::clamp<int64_t>(position, 0, static_cast<int64_t>(s.length) - 1);
    s.show_selected = true;
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
    case action::none:
    case action::select_down:
    case action::select_up:
        break;
    case action::play:
        if (!s.playing && s.step == s.n_steps)
            s.step = 0;
        s.playing = !s.playing && s.n_steps > 0;
        s.waited = 0;
        break;
    case action::step_forward:
        go(s, step + 1);
        break;
    case action::step_back:
        go(s, step - 1);
        break;
    case action::leap_forward:
        go(s, step + 10);
        break;
    case action::leap_back:
        go(s, step - 10);
        break;
    case action::first:
        go(s, 0);
        break;
    case action::last:
        go(s, s.n_steps);
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
        if (s.help)
            s.help = false;
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
    case action::quit:
        s.quit = true;
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
    s.step += static_cast<uint32_t>(std::min(steps, left));
    if (s.step == s.n_steps)
        s.playing = false;
    return true;
}

int64_t focus(const view_state &s)
{
    return s.hovered >= 0 ? s.hovered : s.selected;
}

} // namespace viewer
