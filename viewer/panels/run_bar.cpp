/* The bar of a live run: what is given, its options, and what it is doing. */
#include <algorithm>
#include <cmath>

#include "panels/widgets.h"
#include "running.h"

namespace viewer
{
namespace
{

constexpr float row_height = 28, row_gap = 7, pad = 10, field_gap = 12, label_gap = 6; /* points */
constexpr uint32_t most_lines = 3;

/* What stands in the bar's second row, and the next ones where it is too narrow. */
enum class part { given, seed, method, steps, length, temperature, top_k, top_p };

struct field {
    part what;
    const char *label; /* "": none */
    float width;       /* points, without the label */
};

const std::vector<field> &fields_of(bool causal)
{
    static const std::vector<field> masked = {
        {part::given, "", 96},      {part::seed, "seed", 104},    {part::method, "", 124},
        {part::steps, "steps", 58}, {part::length, "length", 58}, {part::temperature, "temperature", 48},
        {part::top_k, "top-k", 48}, {part::top_p, "top-p", 48},
    };
    static const std::vector<field> flow = {
        {part::given, "", 96},      {part::seed, "seed", 104},        {part::method, "", 138},
        {part::steps, "steps", 58}, {part::length, "new tokens", 58}, {part::temperature, "temperature", 48},
        {part::top_k, "top-k", 48}, {part::top_p, "top-p", 48},
    };
    return causal ? flow : masked;
}

/* Where a field of a row is, from the bar's left end. */
struct place {
    uint32_t row;
    float x, field_x, end;
};

std::vector<place> place_fields(const scene &s, float width, uint32_t *n_rows)
{
    const float u = s.unit;
    std::vector<place> out;
    float x = 0;
    uint32_t row = 0;
    for (const field &f : fields_of(s.form.causal)) {
        const float label = *f.label ? text_width(s.fonts.small, f.label) + label_gap * u : 0;
        if (x > 0 && x + label + f.width * u > width) {
            x = 0;
            row++;
        }
        out.push_back({row, x, x + label, x + label + f.width * u});
        x = out.back().end + field_gap * u;
    }
    *n_rows = row + 1;
    return out;
}

const std::string &complaint_of(const scene &s)
{
    return s.state.complaint;
}

float complaint_height(const scene &s, float width)
{
    const std::string &text = complaint_of(s);
    if (text.empty())
        return 0;
    const ImFont *font = s.fonts.small;
    return font->CalcTextSizeA(font->FontSize, FLT_MAX, width - 24 * s.unit, text.data(),
                               text.data() + text.size())
               .y +
           6 * s.unit;
}

/* What waits to be done, and the button that does it: at the right of the last row, or in one of its own. */
std::string edits_text(const scene &s)
{
    const size_t n = s.live->edits().size();
    if (!n)
        return "";
    std::string out = std::to_string(n) + (n == 1 ? " edit" : " edits");
    if (s.live->edited_step() != s.state.step)
        out += " at step " + std::to_string(s.live->edited_step());
    return out;
}

bool shows_go_on(const scene &s)
{
    const live_phase phase = s.live->phase();
    if (!s.live->edits().empty())
        return true;
    const bool rests = phase == live_phase::paused || phase == live_phase::stopped ||
                       phase == live_phase::finished || phase == live_phase::ready;
    return rests && s.sheets[0].facts.n_steps() > 0 && s.state.step < s.state.n_steps;
}

std::string go_on_label(const scene &s)
{
    const uint32_t step = s.live->edits().empty() ? s.state.step : s.live->edited_step();
    return format_text("Go on from %s %u", s.sheets[0].facts.is_flow() ? "token" : "step", step);
}

float go_on_width(const scene &s)
{
    if (!shows_go_on(s))
        return 0;
    const std::string edits = edits_text(s);
    return button_width(s, go_on_label(s)) +
           (edits.empty() ? 0 : text_width(s.fonts.small, edits) + 12 * s.unit);
}

/* Whether the button has a row of its own. */
bool go_on_wraps(const scene &s, const std::vector<place> &places, float width)
{
    const float need = go_on_width(s);
    return need > 0 && places.back().end + 16 * s.unit + need > width;
}

/* Run, pause, step, cancel. */
void draw_buttons(scene &s, float x, float y)
{
    const theme &t = s.colours();
    const float u = s.unit, size = row_height * u;
    const live_control c = controls(s);
    const bool paused = s.live->phase() == live_phase::paused;
    const area run = {x, y, x + 68 * u, y + size};
    const bool ready = can(c, action::run_anew);
    if (press_area("run", run) && ready)
        s.asked.push_back(action::run_anew);
    const bool hot = ImGui::IsItemHovered() && ready;
    tooltip(s, "Run from the start", key_of(action::run_anew));
    fill(run, !ready ? t.grid : hot ? mix(t.accent, t.text, 0.12F) : t.accent, 6 * u);
    const colour ink = ready ? ink_on(t.accent) : t.faint;
    draw_sign(s, sign::play, {run.x0 + 8 * u, run.y0, run.x0 + 26 * u, run.y1}, ink);
    put_text(s.fonts.small, run.x0 + 30 * u, y + (size - s.fonts.small->FontSize) / 2, ink, "Run");
    x = run.x1 + 6 * u;
    const struct {
        const char *id;
        sign what;
        action does;
        const char *tip;
    } buttons[] = {
        {"pause run", paused ? sign::play : sign::pause, action::pause, paused ? "Resume" : "Pause"},
        {"one step", sign::next, action::single_step, "One more step, then pause"},
        {"cancel run", sign::stop, action::cancel, "Cancel"},
    };
    for (const auto &b : buttons) {
        const area a = {x, y, x + size, y + size};
        const bool enabled = can(c, b.does);
        if (press_area(b.id, a) && enabled)
            s.asked.push_back(b.does);
        if (ImGui::IsItemHovered() && enabled)
            fill(a, t.grid, 6 * u);
        tooltip(s, b.tip, key_of(b.does));
        outline(a, t.border, 6 * u, std::max(1.0F, std::floor(u)));
        draw_sign(s, b.what, a, enabled ? t.text : with_alpha(t.faint, 0.45F));
        x += size + 4 * u;
    }
}

std::string rate_text(const scene &s)
{
    const double rate = tokens_per_second(s);
    return rate > 0 ? format_text(rate < 10 ? "%.1f tokens/s" : "%.0f tokens/s", rate) : "";
}

/* A narrow bar tells the phase only. */
bool shows_rate(const scene &s, float width)
{
    return width > 1000 * s.unit;
}

float phase_width(const scene &s, float width)
{
    float out = text_width(s.fonts.small, "loading the model, 100 %") + 20 * s.unit;
    if (shows_rate(s, width))
        out += text_width(s.fonts.small, "1000 tokens/s") + 14 * s.unit;
    return out;
}

/* A dot in the phase's colour, the phase, and the speed. */
void draw_phase(const scene &s, const area &where, bool rate)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const ImFont *font = s.fonts.small;
    const live_phase phase = s.live->phase();
    colour dot = t.faint;
    if (phase == live_phase::running || phase == live_phase::pausing || phase == live_phase::loading)
        dot = t.accent;
    if (phase == live_phase::paused)
        dot = t.other;
    if (phase == live_phase::finished)
        dot = t.lines[2];
    if (phase == live_phase::failed)
        dot = t.changed;
    const float y = (where.y0 + where.y1) / 2, text_y = y - font->FontSize / 2;
    float end = where.x1;
    if (const std::string speed = rate ? rate_text(s) : ""; !speed.empty()) {
        put_text_right(font, end, text_y, t.faint, speed);
        end -= text_width(font, speed) + 14 * u;
    }
    const std::string text = phase_text(*s.live, s.sheets[0].facts);
    const float x = std::max(end - text_width(font, text), where.x0 + 16 * u);
    ImGui::GetWindowDrawList()->AddCircleFilled(ImVec2(x - 10 * u, y), 4 * u, dot, 16);
    put_text_within(font, x, text_y, end - x + 1, t.text, text);
}

/* Where the text's field lies in the bar's inside: between the buttons and the phase. */
area text_area(const scene &s, const area &in)
{
    const float u = s.unit, buttons = (68 + 6 + 3 * (row_height + 4) + 8) * u;
    area out = {in.x0 + buttons, in.y0, in.x1 - phase_width(s, in.width()) - 16 * u, in.y0 + row_height * u};
    const uint32_t rows = count_rows(s, s.form.text, out.width());
    out.y1 += static_cast<float>(std::min(rows, most_lines) - 1) * s.fonts.small->FontSize;
    return out;
}

void draw_field(scene &s, const field &f, const area &a)
{
    const float u = s.unit;
    run_form &form = s.form;
    switch (f.what) {
    case part::given: {
        static const std::vector<std::string> masked = {"Prompt", "Template", "Ids"},
                                              causal = {"Prompt", "Ids"};
        using given = live_settings::given;
        int chosen = form.causal ? (form.kind == given::ids ? 1 : 0) : static_cast<int>(form.kind);
        choice_field("##given", a, form.causal ? causal : masked, chosen);
        form.kind = form.causal && chosen == 1 ? given::ids : static_cast<given>(chosen);
        tooltip(s,
                form.causal
                    ? "What the text is: a prompt that is continued, or ids of tokens"
                    : "What the text is: a prompt that the canvas begins with, a template with [MASK] "
                      "where tokens are wanted, or ids of tokens",
                key_of(action::next_given));
        break;
    }
    case part::seed: {
        const area next = {a.x1 - 28 * u, a.y0, a.x1, a.y1};
        number_field("##seed", {a.x0, a.y0, next.x0 - 4 * u, a.y1}, form.seed, "0", true);
        tooltip(s, "The same seed gives the same text");
        if (text_button(s, "next seed", next, "+1", look_of::plain, can(controls(s), action::run_next_seed)))
            s.asked.push_back(action::run_next_seed);
        tooltip(s, "Run with the next seed", key_of(action::run_next_seed));
        break;
    }
    case part::method:
        choice_field("##method", a, method_names(form.causal), form.method);
        tooltip(s, form.causal ? "Solver of the diffusion path" : "Sampler of the reverse process",
                key_of(action::next_method));
        break;
    case part::steps:
        number_field("##steps", a, form.steps, form.causal ? "auto" : "64", true);
        tooltip(s, form.causal ? "Points of the solver's time grid" : "Steps of the reverse process");
        break;
    case part::length:
        number_field("##length", a, form.length, form.causal ? "128" : "auto", true);
        tooltip(s, form.causal ? "New tokens at most" : "Positions of the canvas");
        break;
    case part::temperature:
        number_field("##temperature", a, form.temperature, "1", false);
        tooltip(s, form.causal ? "Of the drawn token's distribution; 0: the most probable token"
                               : "Of the token distribution, above 0");
        break;
    case part::top_k:
        number_field("##top-k", a, form.top_k, "off", true);
        tooltip(s, "Only the k most probable tokens; empty: all");
        break;
    case part::top_p:
        number_field("##top-p", a, form.top_p, "off", false);
        tooltip(s, "Only the most probable tokens that have this probability together; empty: all");
        break;
    }
}

void draw_complaint(scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const ImFont *font = s.fonts.small;
    const std::string &text = complaint_of(s);
    const float y = where.y0 + 3 * u;
    ImGui::GetWindowDrawList()->AddCircleFilled(ImVec2(where.x0 + 8 * u, y + font->FontSize / 2), 8 * u,
                                                t.changed, 24);
    put_text(s.fonts.bold, where.x0 + 8 * u - text_width(s.fonts.bold, "!") / 2,
             y + font->FontSize / 2 - s.fonts.bold->FontSize / 2, ink_on(t.changed), "!");
    ImGui::GetWindowDrawList()->AddText(font, font->FontSize,
                                        ImVec2(std::floor(where.x0 + 24 * u), std::floor(y)), t.text,
                                        text.data(), text.data() + text.size(), where.width() - 24 * u);
}

void draw_go_on(scene &s, const area &where)
{
    const std::string label = go_on_label(s), edits = edits_text(s);
    const area button = {where.x1 - button_width(s, label), where.y0, where.x1, where.y1};
    const bool enabled = can(controls(s), action::go_on);
    if (text_button(s, "go on", button, label, look_of::main, enabled))
        s.asked.push_back(action::go_on);
    tooltip(s, "Later steps are dropped, and the run goes on from there with the edits made",
            key_of(action::go_on));
    if (!edits.empty())
        put_text_right(s.fonts.small, button.x0 - 12 * s.unit,
                       (where.y0 + where.y1 - s.fonts.small->FontSize) / 2, s.colours().faint, edits);
}

} // namespace

float run_bar_height(const scene &s, float width)
{
    const float u = s.unit, inner = width - 2 * pad * u;
    uint32_t n_rows = 0;
    const std::vector<place> places = place_fields(s, inner, &n_rows);
    n_rows += go_on_wraps(s, places, inner);
    return 2 * pad * u + text_area(s, {0, 0, inner, 0}).height() +
           static_cast<float>(n_rows) * (row_height + row_gap) * u + complaint_height(s, inner);
}

void draw_run_bar(scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit, height = row_height * u;
    const area in = {where.x0 + pad * u, where.y0 + pad * u, where.x1 - pad * u, where.y1 - pad * u};
    const field_style style(s, height);
    draw_buttons(s, in.x0, in.y0);
    const area text = text_area(s, in);
    if (s.focus_text)
        ImGui::SetKeyboardFocusHere();
    s.focus_text = false;
    if (lines_field(s, "##text", text, s.form.text, s.text_lines))
        note_text(s, s.form.text);
    if (s.form.text.empty() && !ImGui::IsItemActive())
        put_text_within(s.fonts.small, text.x0 + 9 * u, in.y0 + (height - s.fonts.small->FontSize) / 2,
                        text.width() - 16 * u, with_alpha(t.faint, 0.75F),
                        s.form.kind == live_settings::given::masks
                            ? "A template, such as: In the [MASK] was the [MASK]"
                        : s.form.kind == live_settings::given::ids ? "Ids of tokens, such as: 318 262 1266"
                        : s.form.causal                            ? "A prompt to continue"
                                        : "A prompt that the text begins with, or nothing");
    draw_phase(s, {text.x1 + 16 * u, in.y0, in.x1, in.y0 + height}, shows_rate(s, in.width()));

    uint32_t n_rows = 0;
    const std::vector<place> places = place_fields(s, in.width(), &n_rows);
    const std::vector<field> &fields = fields_of(s.form.causal);
    const float top = text.y1 + row_gap * u;
    for (size_t i = 0; i < fields.size(); i++) {
        const float y = top + static_cast<float>(places[i].row) * (height + row_gap * u);
        put_text(s.fonts.small, in.x0 + places[i].x, y + (height - s.fonts.small->FontSize) / 2, t.faint,
                 fields[i].label);
        draw_field(s, fields[i], {in.x0 + places[i].field_x, y, in.x0 + places[i].end, y + height});
    }
    if (go_on_width(s) > 0) {
        const uint32_t row = n_rows - 1 + go_on_wraps(s, places, in.width());
        const float y = top + static_cast<float>(row) * (height + row_gap * u);
        draw_go_on(s, {in.x0, y, in.x1, y + height});
    }
    if (!complaint_of(s).empty())
        draw_complaint(s, {in.x0, in.y1 - complaint_height(s, in.width()), in.x1, in.y1});
    /* How much of the model is there. */
    if (s.live->phase() == live_phase::loading) {
        const float done = static_cast<float>(std::clamp(s.live->progress(), 0.0, 1.0));
        fill({where.x0 + 8 * u, where.y1 - 3 * u, where.x0 + 8 * u + (where.width() - 16 * u) * done,
              where.y1 - u},
             t.accent, u);
    }
}

} // namespace viewer
