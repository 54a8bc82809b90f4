/* The solver's path to one token: its evaluations as a table, and its states projected on a plane. */
#include <algorithm>
#include <cmath>

#include "panels/scene.h"

namespace viewer
{
namespace
{

constexpr uint32_t most_states = 512; /* of a projection; a longer path is thinned out */

/* Where a table has no room. */
void draw_summary(const scene &s, const sheet &sh, const area &where, uint32_t first, uint32_t n)
{
    vkdlm_trajectory_evaluation from, to;
    if (where.height() < s.fonts.small->FontSize || !sh.source->evaluation(first, &from) ||
        !sh.source->evaluation(first + n - 1, &to))
        return;
    put_text_within(s.fonts.small, where.x0, where.y0, where.width(), s.colours().text,
                    format_text("%u evaluations, entropy %.2f \u2192 %.2f nats", n,
                                static_cast<double>(from.entropy), static_cast<double>(to.entropy)));
}

void draw_table(const scene &s, const sheet &sh, const area &where, uint32_t first, uint32_t n)
{
    const theme &t = s.colours();
    const float u = s.unit, row = 17 * u;
    const ImFont *font = s.fonts.small;
    const float t_x = where.x0, token_x = where.x0 + 44 * u, entropy_x = where.x1 - 50 * u,
                weight_x = where.x1;
    if (where.height() < 2 * row + font->FontSize - 2 * u) {
        draw_summary(s, sh, where, first, n);
        return;
    }
    put_text(font, t_x, where.y0, t.faint, "t");
    put_text(font, token_x, where.y0, t.faint, "points at");
    put_text_right(font, entropy_x, where.y0, t.faint, "nats");
    put_text_right(font, weight_x, where.y0, t.faint, "|w|");
    const auto room = static_cast<uint32_t>(std::floor((where.height() - 2 * u - font->FontSize) / row));
    const uint32_t shown = std::min(n, room);
    int32_t before = -1;
    for (uint32_t i = 0; i < shown; i++) {
        uint32_t k = shown > 1 ? static_cast<uint32_t>(uint64_t{i} * (n - 1) / (shown - 1)) : n - 1;
        vkdlm_trajectory_evaluation v;
        if (!sh.source->evaluation(first + k, &v))
            break;
        float y = where.y0 + row * static_cast<float>(i + 1) + 2 * u;
        colour ink = v.xhat_id == before ? t.faint : t.text;
        before = v.xhat_id;
        put_text(font, t_x, y, t.text, format_text("%.3f", static_cast<double>(v.time)));
        put_text_within(font, token_x, y, entropy_x - token_x - 44 * u, ink,
                        token_label(*sh.source, v.xhat_id));
        put_text_right(font, entropy_x, y, t.text, format_text("%.2f", static_cast<double>(v.entropy)));
        put_text_right(font, weight_x, y, t.text, format_text("%.2f", static_cast<double>(v.wd_norm)));
    }
}

void update_path(sheet &sh, uint32_t position, uint32_t first, uint32_t n)
{
    if (sh.path_of == position && sh.path_version == sh.facts.version())
        return;
    const uint32_t shown = std::min(n, most_states);
    std::vector<const float *> states;
    sh.path_times.clear();
    for (uint32_t i = 0; i < shown; i++) {
        vkdlm_trajectory_evaluation v;
        uint32_t k = shown > 1 ? static_cast<uint32_t>(uint64_t{i} * (n - 1) / (shown - 1)) : 0;
        if (!sh.source->evaluation(first + k, &v))
            break;
        states.push_back(v.x);
        sh.path_times.push_back(v.time);
    }
    sh.path = project(states, sh.source->info().dim);
    sh.path_of = position;
    sh.path_version = sh.facts.version();
}

void draw_path(const scene &s, const sheet &sh, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const ImFont *font = s.fonts.small;
    const projection &p = sh.path;
    const double share = 100 * static_cast<double>(p.share);
    for (const char *format : {"x in 2-D, %.0f %% of variance", "x in 2-D, %.0f %%", "x in 2-D"}) {
        char heading[64];
        snprintf(heading, sizeof heading, format, share);
        if (text_width(font, heading) > where.width())
            continue;
        put_text_right(font, where.x1, where.y0, t.faint, heading);
        break;
    }
    area plot = {where.x0, where.y0 + 20 * u, where.x1, where.y1};
    fill(plot, t.background, 4 * u);
    float x0 = FLT_MAX, x1 = -FLT_MAX, y0 = FLT_MAX, y1 = -FLT_MAX;
    for (size_t i = 0; i < p.x.size(); i++)
        if (std::isfinite(p.x[i])) {
            x0 = std::min(x0, p.x[i]);
            x1 = std::max(x1, p.x[i]);
            y0 = std::min(y0, p.y[i]);
            y1 = std::max(y1, p.y[i]);
        }
    if (x0 > x1)
        return;
    /* Each axis fills the plot above its legend; how much the second is stretched is told. */
    const float inset = 16 * u;
    const area room = {plot.x0 + inset, plot.y0 + inset, plot.x1 - inset, plot.y1 - inset - 14 * u};
    const float across = std::max((x1 - x0) / room.width(), 1e-9F),
                up = std::max((y1 - y0) / room.height(), across * 1e-3F);
    auto at = [&](size_t i) {
        return ImVec2((room.x0 + room.x1) / 2 + (p.x[i] - (x0 + x1) / 2) / across,
                      (room.y0 + room.y1) / 2 - (p.y[i] - (y0 + y1) / 2) / up);
    };
    if (float stretch = across / up; stretch > 1.05F && stretch < 999)
        put_text_right(font, plot.x1 - 6 * u, plot.y1 - font->FontSize - 4 * u, t.faint,
                       format_text("\u2191\u00D7%.*f", stretch < 10 ? 1 : 0, static_cast<double>(stretch)));
    ImDrawList *list = ImGui::GetWindowDrawList();
    size_t last = p.x.size();
    for (size_t i = 0; i < p.x.size(); i++) {
        if (!std::isfinite(p.x[i]))
            continue;
        if (last < p.x.size())
            list->AddLine(at(last), at(i), t.faint, 1.25F * u);
        last = i;
    }
    for (size_t i = 0; i < p.x.size(); i++)
        if (std::isfinite(p.x[i])) {
            bool end = i + 1 == p.x.size();
            list->AddCircleFilled(at(i), (end ? 6 : 4) * u,
                                  end ? t.changed : viridis(sh.path_times[i], t.faint), 20);
        }
    put_text(font, plot.x0 + 8 * u, plot.y1 - font->FontSize - 4 * u, t.faint, "t = 0");
    float x = plot.x0 + 8 * u + text_width(font, "t = 0") + 6 * u, y = plot.y1 - font->FontSize / 2 - 4 * u;
    for (int i = 0; i < 8; i++)
        fill({x + static_cast<float>(i) * 4 * u, y - 4 * u, x + static_cast<float>(i + 1) * 4 * u, y + 4 * u},
             viridis(static_cast<float>(i) / 7, 0));
    put_text(font, x + 37 * u, plot.y1 - font->FontSize - 4 * u, t.faint, "1");
}

} // namespace

void draw_flow_panel(scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit;
    sheet &sh = s.front();
    int64_t at = focus(s.state);
    if (at < 0)
        at = int64_t{s.step_of(sh)} - 1;
    put_text(s.fonts.bold, where.x0, where.y0, t.text, "Path of the solver");
    if (at < 0 || at >= int64_t{sh.facts.length()}) {
        put_text(s.fonts.small, where.x0, where.y0 + 28 * u, t.faint, "Before the first token.");
        return;
    }
    const auto position = static_cast<uint32_t>(at);
    const uint32_t first = sh.source->first_evaluation(position), n = sh.facts.n_looks(position);
    std::string label = format_text("token %u of %u  ", position + 1, sh.facts.length()) +
                        token_label(*sh.source, sh.facts.final_token(position));
    const float title = text_width(s.fonts.bold, "Path of the solver") + 16 * u;
    if (text_width(s.fonts.small, label) < where.width() - title)
        put_text_right(s.fonts.small, where.x1, where.y0 + u, t.faint, label);
    if (!n) {
        put_text(s.fonts.small, where.x0, where.y0 + 28 * u, t.faint, "This token was not refined.");
        return;
    }
    const float top = where.y0 + 26 * u, middle = std::round(where.x0 + where.width() * 0.55F);
    const bool narrow = where.width() < 360 * u || where.y1 - top < 90 * u;
    draw_table(s, sh, {where.x0, top, narrow ? where.x1 : middle - 10 * u, where.y1}, first, n);
    if (narrow)
        return;
    update_path(sh, position, first, n);
    draw_path(s, sh, {middle + 10 * u, top, where.x1, where.y1});
}

} // namespace viewer
