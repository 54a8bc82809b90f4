/* vkdlm-view FILE [OTHER]: shows recorded runs, in a window or as pictures. `vkdlm view` starts it. */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "options.h"
#include "running.h"
#include "screen/export.h"
#include "screen/window.h"

namespace viewer
{
namespace
{

enum { exit_good = 0, exit_failed = 1, exit_usage = 2 };

/* A live run has so long to end what it is at. An evaluation takes less on most devices. */
constexpr double last_seconds = 1;

int complain(const std::string &sentence)
{
    fprintf(stderr, "vkdlm: %s\n", one_line(sentence).c_str());
    return exit_failed;
}

bool open_runs(const options &o, scene &s, std::string &error)
{
    if (!o.live.empty())
        return begin_live(o, s, error);
    for (const std::string &path : o.files) {
        std::unique_ptr<run> r = open_file(path, error);
        if (!r)
            return false;
        s.sheets.emplace_back(std::move(r));
        const analysis &facts = s.sheets.back().facts;
        note_glyphs(s, s.sheets.back(), 0);
        s.state.n_steps = std::max(s.state.n_steps, facts.n_steps());
        s.state.length = std::max(s.state.length, facts.length());
        s.state.n_runs = s.sheets.size();
    }
    if (s.sheets.size() == 2 && s.sheets[0].facts.is_flow() != s.sheets[1].facts.is_flow()) {
        error = "runs of masked diffusion and of a flow cannot be compared: '" + o.files[0] + "' and '" +
                o.files[1] + "'";
        return false;
    }
    return true;
}

bool set_state(const options &o, scene &s, std::string &error)
{
    s.state.shown = o.shown;
    s.state.guesses = o.guesses;
    s.state.dark = o.dark;
    s.state.speed = std::clamp(o.speed, 0.25, 64.0);
    if (s.live)
        return true;
    if (o.step > static_cast<int64_t>(s.state.n_steps)) {
        error = "'--step' is 0 to " + std::to_string(s.state.n_steps) + " of this file, not " +
                std::to_string(o.step);
        return false;
    }
    if (o.select >= static_cast<int64_t>(s.state.length)) {
        error = "'--select' is below " + std::to_string(s.state.length) + " for this file, not " +
                std::to_string(o.select);
        return false;
    }
    go_to(s.state, o.step >= 0 ? o.step : o.offscreen() ? s.state.n_steps : 0);
    s.state.selected = o.select;
    s.state.show_selected = true;
    s.model.device = o.device;
    return true;
}

/* In a window or as pictures; returns how the program ends. */
int show(const options &o, scene &s)
{
    std::string error, unsaved;
    bool good = o.offscreen() ? export_pictures(o, s, error) : show_window(o, s, error);
    if (!o.save.empty() && is_unsaved(s) && !save_recording(s, o.save, unsaved))
        return complain(unsaved);
    if (!good)
        return complain(error);
    return s.state.fatal ? exit_failed : exit_good;
}

int start(const std::vector<std::string> &words)
{
    options o;
    std::string error;
    if (!read_options(words, o, error)) {
        complain(error);
        return exit_usage;
    }
    if (o.help) {
        puts("vkdlm-view is started by 'vkdlm view'; 'vkdlm view --help' lists its options.");
        return exit_good;
    }
    scene s;
    bool opened = open_runs(o, s, error);
    if (opened && !set_state(o, s, error)) {
        complain(error);
        return exit_usage;
    }
    if (!opened) {
        s.sheets.clear();
        s.live = nullptr;
        tell_problem(s, o.live.empty() ? "This file cannot be shown" : "This run cannot be made", error,
                     true);
        if (!o.offscreen())
            show_window(o, s, error);
        return exit_failed;
    }
    if (s.live && o.offscreen() && !run_to_end(s, o.step, error))
        return complain(error);
    if (s.live && o.select >= 0 && o.select < static_cast<int64_t>(s.state.length))
        s.state.selected = o.select;
    const int code = show(o, s);
    if (s.live && !s.live->end(last_seconds)) {
        /* Nobody waits for kernels that nothing will run. All that is written is in its files. */
        fflush(nullptr);
        std::_Exit(code);
    }
    return code;
}

} // namespace
} // namespace viewer

int main(int argc, char **argv)
{
    try {
        return viewer::start({argv + 1, argv + argc});
    } catch (const std::bad_alloc &) {
        return viewer::complain("not enough memory to show the run");
    }
}
