/* Heat map of a masked run: steps from left to right, positions from top to bottom. */
#include <algorithm>
#include <cmath>

#include "panels/scene.h"

namespace viewer
{
namespace
{

constexpr uint32_t samples_a_cell = 3;

float level_at(const analysis &a, bool probability, uint32_t step, uint32_t position)
{
    vkdlm_trajectory_step r;
    if (!a.source().step(step, &r) || !r.entropy)
        return NAN;
    return probability ? r.confidence[position] : r.entropy[position] / a.most_entropy();
}

/* The mean of what was evaluated; a cell of many steps and positions looks at some of them, evenly spaced. */
float cell_level(const analysis &a, bool probability, double step0, double step1, double position0,
                 double position1)
{
    auto first_step = static_cast<uint32_t>(step0), first_position = static_cast<uint32_t>(position0);
    uint32_t steps = std::max(1U, static_cast<uint32_t>(step1) - first_step),
             positions = std::max(1U, static_cast<uint32_t>(position1) - first_position);
    uint32_t step_jump = (steps + samples_a_cell - 1) / samples_a_cell,
             position_jump = (positions + samples_a_cell - 1) / samples_a_cell;
    float sum = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < steps; i += step_jump)
        for (uint32_t j = 0; j < positions; j += position_jump) {
            float level = level_at(a, probability, first_step + i + 1, first_position + j);
            if (std::isfinite(level)) {
                sum += level;
                n++;
            }
        }
    return n ? sum / static_cast<float>(n) : NAN;
}

struct heat_view {
    double step0, steps, position0, positions; /* the part that is shown */
};

/* Of at least 3 by 2 pixels each. */
const raster &find_cells(const scene &s, sheet &sh, const heat_view &v, const area &plot)
{
    auto count = [](double cells, float pixels, float least) {
        return static_cast<uint32_t>(
            std::clamp(std::ceil(cells), 1.0, std::max(1.0, static_cast<double>(pixels / least))));
    };
    const uint32_t n_columns = count(v.steps, plot.width(), 3 * s.unit),
                   n_rows = count(v.positions, plot.height(), 2 * s.unit);
    heat_cells &c = sh.heat;
    raster &r = c.cells;
    const view_state &state = s.state;
    if (r.width == n_columns && r.height == n_rows && c.version == sh.facts.version() &&
        c.of_probability == state.heat_of_probability && c.steps == state.heat_steps &&
        c.positions == state.heat_positions)
        return r;
    c.version = sh.facts.version();
    c.of_probability = state.heat_of_probability;
    c.steps = state.heat_steps;
    c.positions = state.heat_positions;
    r.width = n_columns;
    r.height = n_rows;
    r.colours.clear();
    r.colours.reserve(size_t{n_columns} * n_rows);
    for (uint32_t row = 0; row < n_rows; row++)
        for (uint32_t i = 0; i < n_columns; i++) {
            float level =
                cell_level(sh.facts, c.of_probability, v.step0 + v.steps * i / n_columns,
                           v.step0 + v.steps * (i + 1) / n_columns, v.position0 + v.positions * row / n_rows,
                           v.position0 + v.positions * (row + 1) / n_rows);
            r.colours.push_back(viridis(level, 0));
        }
    return r;
}

/* Wheel: zoom where the mouse is. */
void zoom_at(zoom_range &r, float where, float factor)
{
    float size = std::clamp((r.to - r.from) * factor, 1 / 64.0F, 1.0F);
    float centre = r.from + (r.to - r.from) * where;
    float from = std::clamp(centre - size * where, 0.0F, 1 - size);
    r = {from, from + size};
}

void drag(zoom_range &r, float by)
{
    float size = r.to - r.from, from = std::clamp(r.from - by * size, 0.0F, 1 - size);
    r = {from, from + size};
}

/* The scale, at the right of the heading. */
void draw_heat_scale(const scene &s, const area &where, const analysis &a)
{
    const theme &t = s.colours();
    const float u = s.unit, width = 96 * u, y = (where.y0 + where.y1) / 2;
    const ImFont *font = s.fonts.small;
    std::string most =
        s.state.heat_of_probability ? "1" : format_text("%.1f nats", static_cast<double>(a.most_entropy()));
    float x = where.x1 - text_width(font, most);
    put_text(font, x, y - font->FontSize / 2, t.faint, most);
    x -= width + 6 * u;
    constexpr int n = 24;
    for (int i = 0; i < n; i++)
        fill({x + width * static_cast<float>(i) / n, y - 5 * u, x + width * static_cast<float>(i + 1) / n,
              y + 5 * u},
             viridis(static_cast<float>(i) / (n - 1), 0));
    put_text_right(font, x - 6 * u, y - font->FontSize / 2, t.faint, "0");
}

void take_mouse(scene &s, const area &plot, const heat_view &v)
{
    const ImGuiIO &io = ImGui::GetIO();
    bool pressed = press_area("heat", plot);
    bool hovered = ImGui::IsItemHovered(), active = ImGui::IsItemActive();
    if (hovered && io.MouseWheel != 0) {
        const float factor = std::pow(0.8F, io.MouseWheel);
        zoom_at(s.state.heat_steps, (io.MousePos.x - plot.x0) / plot.width(), factor);
        zoom_at(s.state.heat_positions, (io.MousePos.y - plot.y0) / plot.height(), factor);
    }
    if (active && ImGui::IsMouseDragging(ImGuiMouseButton_Left)) {
        drag(s.state.heat_steps, io.MouseDelta.x / plot.width());
        drag(s.state.heat_positions, io.MouseDelta.y / plot.height());
        return;
    }
    if (!hovered)
        return;
    double position =
        v.position0 + v.positions * static_cast<double>((io.MousePos.y - plot.y0) / plot.height());
    double step = v.step0 + v.steps * static_cast<double>((io.MousePos.x - plot.x0) / plot.width());
    s.state.pointed =
        std::clamp<int64_t>(static_cast<int64_t>(position), 0, int64_t{s.front().facts.length()} - 1);
    if (pressed && ImGui::GetMouseDragDelta().x == 0) {
        s.state.selected = s.state.pointed;
        s.state.show_selected = true;
        go_to(s.state, static_cast<int64_t>(std::max(step, 0.0)) + 1);
    }
}

} // namespace

void draw_heat_map(scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const analysis &a = s.front().facts;
    const ImFont *font = s.fonts.small;
    put_text(s.fonts.bold, where.x0, where.y0, t.text,
             s.state.heat_of_probability ? "Probability" : "Entropy");
    draw_heat_scale(s, {where.x0, where.y0, where.x1, where.y0 + s.fonts.bold->FontSize}, a);
    area plot = {where.x0 + 36 * u, where.y0 + 26 * u, where.x1, where.y1 - 18 * u};
    if (plot.height() < 20 * u || !a.span() || !a.length())
        return;
    heat_view v = {static_cast<double>(s.state.heat_steps.from) * a.span(),
                   static_cast<double>(s.state.heat_steps.to - s.state.heat_steps.from) * a.span(),
                   static_cast<double>(s.state.heat_positions.from) * a.length(),
                   static_cast<double>(s.state.heat_positions.to - s.state.heat_positions.from) * a.length()};
    fill(plot, t.background);
    ImGui::PushClipRect(ImVec2(plot.x0, plot.y0), ImVec2(plot.x1, plot.y1), true);
    draw_raster(find_cells(s, s.front(), v, plot), plot);
    float cursor = plot.x0 + plot.width() * static_cast<float>((s.step_of(s.front()) - v.step0) / v.steps);
    draw_cursor(s, cursor, plot);
    ImGui::PopClipRect();
    if (int64_t at = focus(s.state); at >= 0) {
        double y0 = (static_cast<double>(at) - v.position0) / v.positions,
               y1 = (static_cast<double>(at) + 1 - v.position0) / v.positions;
        if (y0 >= 0 && y1 <= 1) {
            float top = plot.y0 + plot.height() * static_cast<float>(y0),
                  low = plot.y0 + plot.height() * static_cast<float>(y1);
            outline({plot.x0 - u, top - u, plot.x1 + u, std::max(low, top + u) + u}, t.text, 0, 1.5F * u);
        }
    }
    put_text_right(font, plot.x0 - 6 * u, plot.y0 - 2 * u, t.faint, std::to_string(std::lround(v.position0)));
    put_text_right(font, plot.x0 - 6 * u, plot.y1 - font->FontSize + 2 * u, t.faint,
                   std::to_string(std::lround(v.position0 + v.positions) - 1));
    put_text(font, plot.x0, plot.y1 + 2 * u, t.faint, std::to_string(std::lround(v.step0)));
    const std::string axes = "steps \u2192  positions \u2193";
    put_text(font, (plot.x0 + plot.x1 - text_width(font, axes)) / 2, plot.y1 + 2 * u, t.faint, axes);
    put_text_right(font, plot.x1, plot.y1 + 2 * u, t.faint, std::to_string(std::lround(v.step0 + v.steps)));
    take_mouse(s, plot, v);
}

} // namespace viewer
