#include "screen/report.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "live/live.h"

namespace viewer
{
namespace
{

constexpr double slow_ms = 100;

double clock_ms(clockid_t clock)
{
    timespec t = {};
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

/* A JSON string of valid UTF-8, whatever the bytes are. */
std::string quoted(std::string_view bytes)
{
    std::string out = "\"";
    for (size_t at = 0, n = 1; at < bytes.size(); at += n) {
        bool cut = false;
        const uint32_t code = read_utf8(bytes.substr(at), &n, &cut);
        if (code == '"' || code == '\\')
            out += '\\';
        if (code < 0x20)
            out += format_text("\\u%04x", code);
        else
            append_utf8(out, code);
    }
    return out + '"';
}

std::string box_json(const area &a)
{
    return format_text("[%g,%g,%g,%g]", static_cast<double>(a.x0), static_cast<double>(a.y0),
                       static_cast<double>(a.x1), static_cast<double>(a.y1));
}

std::string colour_json(colour c)
{
    return format_text("[%u,%u,%u,%u]", c & 0xFF, c >> 8 & 0xFF, c >> 16 & 0xFF, c >> 24);
}

const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* What is written there: of a masked position its best guess, when guesses are shown. */
std::string text_of(const scene &s, const sheet &sh, uint32_t step, uint32_t position, int32_t token)
{
    if (token < 0 && s.state.guesses && !sh.facts.is_flow())
        token = sh.facts.candidate(step, position);
    if (token < 0)
        return "";
    const std::string_view bytes = sh.source->piece(token);
    return bytes.data() ? std::string(bytes) : '[' + std::to_string(token) + ']';
}

/* The tokens of all runs. */
void append_runs(std::string &out, const scene &s)
{
    out += "\"runs\":[";
    for (const sheet &sh : s.sheets) {
        out += &sh == s.sheets.data() ? "[" : ",[";
        const uint32_t step = s.step_of(sh);
        for (const drawn_token &d : sh.drawn) {
            if (d.position >= sh.facts.length())
                continue;
            const moment m = sh.facts.at(step, d.position);
            out += out.back() == '[' ? "\n" : ",\n";
            out += format_text("{\"position\":%u,\"token\":%d,\"changed\":%s,", d.position, m.token,
                               truth(m.changed));
            out += "\"text\":" + quoted(text_of(s, sh, step, d.position, m.token));
            out += ",\"box\":" + box_json(d.box) + ",\"fill\":" + colour_json(d.fill) + '}';
        }
        out += ']';
    }
    out += ']';
}

std::string range_json(const zoom_range &r)
{
    return format_text("[%g,%g]", static_cast<double>(r.from), static_cast<double>(r.to));
}

/* What the user has chosen, and what the panels do with it. */
void append_state(std::string &out, const scene &s)
{
    static const char *const quantities[n_quantities] = {"step", "probability", "entropy", "guess"};
    const view_state &state = s.state;
    out += format_text("\"step\":%u,\"n_steps\":%u,\"playing\":%s,\"speed\":%g,\"selected\":%lld,"
                       "\"hovered\":%lld,\"active\":%zu,",
                       state.step, state.n_steps, truth(state.playing), state.speed,
                       static_cast<long long>(state.selected), static_cast<long long>(state.hovered),
                       state.active);
    out += format_text("\"colour\":\"%s\",\"theme\":\"%s\",\"guesses\":%s,\"help\":%s,",
                       quantities[static_cast<int>(state.shown)], state.dark ? "dark" : "light",
                       truth(state.guesses), truth(state.help));
    out += format_text("\"heat\":{\"probability\":%s,\"steps\":", truth(state.heat_of_probability));
    out += range_json(state.heat_steps) + ",\"positions\":" + range_json(state.heat_positions) + "},";
    out += format_text("\"typing\":%s,", truth(ImGui::GetIO().WantTextInput));
    out += "\"problem\":" + quoted(state.problem) + ",\n";
}

void append_live(std::string &out, const scene &s, const live_run &live)
{
    static const char *const phases[] = {"loading", "ready",    "running", "pausing",
                                         "paused",  "finished", "stopped", "failed"};
    out += format_text("\"phase\":\"%s\",\"edits\":[", phases[static_cast<int>(live.phase())]);
    for (const auto &[position, token] : live.edits())
        out += format_text("%s[%u,%d]", out.back() == '[' ? "" : ",", position, token);
    out += "],\"live_problem\":" + quoted(live.problem()) + ",\"prompt\":" + quoted(s.form.text) + ",\n";
}

void append_places(std::string &out, const scene &s)
{
    const theme &t = s.colours();
    const struct {
        const char *name;
        colour value;
    } colours[] = {{"background", t.background}, {"panel", t.panel}, {"text", t.text}, {"accent", t.accent},
                   {"changed", t.changed},       {"other", t.other}, {"same", t.same}};
    out += "\"colours\":{";
    for (const auto &c : colours)
        out += (out.back() == '{' ? "" : ",") + quoted(c.name) + ':' + colour_json(c.value);
    out += "},\n\"areas\":{";
    for (const named_area &a : s.areas)
        out += (out.back() == '{' ? "" : ",") + quoted(a.name) + ':' + box_json(a.box);
    out += "},\n";
}

bool write_text(const std::string &path, const std::string &text, std::string &error)
{
    FILE *file = fopen(path.c_str(), "w");
    if (!file) {
        error = "cannot create '" + path + "': " + strerror(errno);
        return false;
    }
    bool good = fwrite(text.data(), 1, text.size(), file) == text.size();
    if (fclose(file) != 0 || !good) {
        error = "cannot write '" + path + "': " + strerror(errno);
        return false;
    }
    return true;
}

} // namespace

bool write_layout(const std::string &path, const scene &s, std::string &error)
{
    std::string text = format_text("{\"step\":%u,", s.state.step);
    append_runs(text, s);
    return write_text(path, text + "}\n", error);
}

reporter::moment_ms reporter::now()
{
    return {clock_ms(CLOCK_MONOTONIC), clock_ms(CLOCK_PROCESS_CPUTIME_ID)};
}

void reporter::begin_frame()
{
    if (!path_.empty())
        begun_ = now();
}

void reporter::begin_present()
{
    if (!path_.empty())
        presented_ = now();
}

void reporter::begin_drawing()
{
    if (!path_.empty())
        drawing_ = now();
}

void reporter::end_frame(const effort &drawn)
{
    if (path_.empty())
        return;
    const moment_ms end = now(), panels = {presented_.real - begun_.real, presented_.cpu - begun_.cpu};
    last_ = {panels.real + end.real - drawing_.real, panels.cpu + end.cpu - drawing_.cpu};
    if (last_.real > worst_.real)
        worst_frame_ = n_frames_;
    worst_ = {std::max(worst_.real, last_.real), std::max(worst_.cpu, last_.cpu)};
    sum_ = {sum_.real + last_.real, sum_.cpu + last_.cpu};
    sum_of_panels_ = {sum_of_panels_.real + panels.real, sum_of_panels_.cpu + panels.cpu};
    most_.n_triangles = std::max(most_.n_triangles, drawn.n_triangles);
    most_.n_draws = std::max(most_.n_draws, drawn.n_draws);
    for (int i = 0; i < n_piece_kinds; i++)
        most_.pixels[i] = std::max(most_.pixels[i], drawn.pixels[i]);
    n_slow_ += last_.cpu > slow_ms;
    n_frames_++;
}

bool reporter::write(const scene &s, bool always, std::string &error)
{
    if (path_.empty())
        return true;
    std::string text = "{";
    append_state(text, s);
    if (!s.sheets.empty())
        if (const auto *live = dynamic_cast<const live_run *>(s.sheets[0].source.get()))
            append_live(text, s, *live);
    append_places(text, s);
    append_runs(text, s);
    if (text == written_ && !always)
        return true;
    written_ = text;
    const double n = static_cast<double>(std::max<uint64_t>(n_frames_, 1));
    text +=
        format_text(",\n\"frames\":{\"count\":%llu,\"last_ms\":%.3f,\"mean_ms\":%.3f,\"worst_ms\":%.3f,"
                    "\"mean_cpu_ms\":%.3f,\"mean_panels_cpu_ms\":%.3f,\"worst_cpu_ms\":%.3f,\"slow\":%llu,"
                    "\"worst\":%llu,",
                    static_cast<unsigned long long>(n_frames_), last_.real, sum_.real / n, worst_.real,
                    sum_.cpu / n, sum_of_panels_.cpu / n, worst_.cpu,
                    static_cast<unsigned long long>(n_slow_), static_cast<unsigned long long>(worst_frame_));
    auto pixels = [&](piece_kind kind) { return static_cast<double>(most_.pixels[static_cast<int>(kind)]); };
    text += format_text("\"most_triangles\":%u,\"most_draws\":%u,"
                        "\"most_pixels\":{\"solid\":%.0f,\"blended\":%.0f,\"textured\":%.0f}}}\n",
                        most_.n_triangles, most_.n_draws, pixels(piece_kind::solid),
                        pixels(piece_kind::blended), pixels(piece_kind::textured));
    const std::string unfinished = path_ + ".new";
    if (!write_text(unfinished, text, error))
        return false;
    if (rename(unfinished.c_str(), path_.c_str()) != 0) {
        error = "cannot replace '" + path_ + "': " + strerror(errno);
        return false;
    }
    return true;
}

} // namespace viewer
