/* The timeline: replay controls, and quantities of the run over its steps. */
#include <algorithm>
#include <cmath>

#include "panels/widgets.h"

namespace viewer
{
namespace
{

float draw_controls(scene &s, float x, float y)
{
    const theme &t = s.colours();
    const float u = s.unit, size = 28 * u;
    struct {
        const char *id;
        sign what;
        action does;
        const char *tip;
    } buttons[] = {
        {"first", sign::first, action::first, "First step"},
        {"previous", sign::previous, action::step_back, "A step back"},
        {"play", s.state.playing ? sign::pause : sign::play, action::play, "Replay"},
        {"next", sign::next, action::step_forward, "A step forward"},
        {"last", sign::last, action::last, "Last step, and those that come"},
    };
    for (const auto &b : buttons) {
        area a = {x, y, x + size, y + size};
        bool main = b.does == action::play;
        if (press_area(b.id, a))
            apply(s.state, b.does);
        bool hot = ImGui::IsItemHovered();
        tooltip(s, b.tip, key_of(b.does));
        if (main)
            fill(a, t.accent, 6 * u);
        else if (hot)
            fill(a, t.grid, 6 * u);
        draw_sign(s, b.what, a, main ? ink_on(t.accent) : t.text);
        x += size + 4 * u;
    }
    return x;
}

std::string format_value(float value, const char *unit)
{
    if (!std::isfinite(value))
        return "\u2013";
    float size = std::fabs(value);
    int digits = size >= 100 || value == std::floor(value) ? 0 : size >= 10 ? 1 : 2;
    return format_text("%.*f%s", digits, static_cast<double>(value), unit);
}

float x_of(const area &plot, double step, uint32_t n_steps)
{
    return n_steps ? plot.x0 + plot.width() * static_cast<float>(step / n_steps) : plot.x0;
}

void draw_row(scene &s, const series &row, const area &a, float label_width, const std::vector<float> &x)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const ImFont *font = s.fonts.small;
    const float y = a.y0 + (a.height() - font->FontSize) / 2;
    const uint32_t step = s.step_of(s.front());
    put_text(font, a.x0, y, t.faint, row.name);
    put_text_right(font, a.x0 + label_width - 12 * u, y, t.text,
                   format_value(step < row.values.size() ? row.values[step] : NAN, row.unit));
    area plot = {a.x0 + label_width, a.y0 + 3 * u, a.x1, a.y1 - 3 * u};
    ImGui::GetWindowDrawList()->AddLine(ImVec2(plot.x0, std::floor(a.y1) - 0.5F),
                                        ImVec2(plot.x1, std::floor(a.y1) - 0.5F), t.grid);
    draw_curve(plot, x, row.values, row.most, t.curve, 1.5F * u);
    float value = step < row.values.size() ? row.values[step] : NAN;
    if (std::isfinite(value) && row.most > 0)
        ImGui::GetWindowDrawList()->AddCircleFilled(
            ImVec2(x[step], plot.y1 - std::min(value / row.most, 1.0F) * plot.height()), 3.5F * u, t.changed,
            16);
}

/* Numbers below the curves, so many that they do not touch. */
void draw_ticks(const scene &s, const area &plot, float y, uint32_t n_steps)
{
    static const uint32_t sizes[] = {1, 2, 5};
    const ImFont *font = s.fonts.small;
    float need = text_width(font, std::to_string(n_steps)) * 2.5F;
    uint64_t every = 1;
    for (uint32_t i = 0;
         plot.width() * static_cast<float>(every) / static_cast<float>(std::max(n_steps, 1U)) < need &&
         i < 30;
         i++) {
        uint64_t power = 1;
        for (uint32_t k = 0; k < (i + 1) / 3; k++)
            power *= 10;
        every = sizes[(i + 1) % 3] * power;
    }
    for (uint64_t step = 0; step <= n_steps; step += every) {
        std::string label = std::to_string(step);
        float x = x_of(plot, static_cast<double>(step), n_steps);
        put_text(font,
                 std::min(x - text_width(font, label) / 2, plot.x1 - text_width(font, label) + 2 * s.unit), y,
                 s.colours().faint, label);
    }
}

} // namespace

void draw_timeline(scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit, label_width = 210 * u, controls = 36 * u, ticks = 18 * u;
    const analysis &facts = s.front().facts;
    const uint32_t n = facts.span(), step = s.step_of(s.front());
    float x = draw_controls(s, where.x0, where.y0);
    float y = where.y0 + 14 * u - s.fonts.small->FontSize / 2;
    const area save = {x + 6 * u, where.y0, x + 6 * u + button_width(s, "Save\u2026"), where.y0 + 28 * u};
    if (text_button(s, "open save", save, "Save\u2026", look_of::plain))
        s.asked.push_back(action::save);
    tooltip(s, "Save the run, or pictures of it", key_of(action::save));
    x = save.x1 + 4 * u;
    put_text(s.fonts.small, x + 8 * u, y, t.faint,
             format_text("%g %s a second", s.state.speed, facts.is_flow() ? "tokens" : "steps"));
    const std::string hint = "Space plays \u00B7 \u2190 \u2192 step \u00B7 F1 lists all keys";
    if (where.x1 - x > text_width(s.fonts.small, hint) + 160 * u)
        put_text_right(s.fonts.small, where.x1, y, t.faint, hint);

    area rows = {where.x0, where.y0 + controls, where.x1, where.y1 - ticks};
    area plot = {rows.x0 + label_width, rows.y0, rows.x1 - 8 * u, rows.y1};
    std::vector<float> at(size_t{facts.n_steps()} + 1);
    for (uint32_t i = 0; i < at.size(); i++)
        at[i] = x_of(plot, i, n);
    note_area("plot", plot);
    const std::vector<series> &curves = facts.curves();
    /* Where labels would touch, the last curves are left out. */
    const size_t n_rows =
        std::clamp<size_t>(static_cast<size_t>(std::max(rows.height(), 0.0F) / (16 * u)), 1, curves.size());
    float height = rows.height() / static_cast<float>(n_rows);
    fill({x_of(plot, 0, n), rows.y0, x_of(plot, step, n), rows.y1}, with_alpha(t.accent, 0.06F));
    for (size_t i = 0; i < n_rows; i++) {
        float y0 = rows.y0 + height * static_cast<float>(i);
        draw_row(s, curves[i], {rows.x0, y0, plot.x1, y0 + height}, label_width, at);
    }
    draw_ticks(s, plot, rows.y1 + 3 * u, n);
    draw_cursor(s, x_of(plot, step, n), rows);

    press_area("scrub", {plot.x0 - 8 * u, rows.y0, where.x1, where.y1});
    if (ImGui::IsItemActive() && n) {
        double u01 = static_cast<double>((ImGui::GetIO().MousePos.x - plot.x0) / plot.width());
        go_to(s.state, std::lround(std::clamp(u01, 0.0, 1.0) * n));
        s.state.playing = false;
    }
}

} // namespace viewer
