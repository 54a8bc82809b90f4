/* The legend below the canvas: what colours and rings mean. */
#include <cmath>

#include "panels/scene.h"

namespace viewer
{
namespace
{

/* A bar of a scale between two labels; returns where it ends. */
float draw_scale(const scene &s, float x, float y, const std::string &low, const std::string &high,
                 const std::vector<colour> &colours)
{
    const float u = s.unit, height = 12 * u, width = 110 * u;
    const ImFont *font = s.fonts.small;
    const theme &t = s.colours();
    float text_y = y - font->FontSize / 2;
    put_text(font, x, text_y, t.faint, low);
    x += text_width(font, low) + 6 * u;
    ImDrawList *list = ImGui::GetWindowDrawList();
    const auto n = static_cast<float>(colours.size() - 1);
    for (size_t i = 0; i + 1 < colours.size(); i++) {
        float from = std::round(x + width * static_cast<float>(i) / n),
              to = std::round(x + width * static_cast<float>(i + 1) / n);
        list->AddRectFilledMultiColor(ImVec2(from, y - height / 2), ImVec2(to, y + height / 2), colours[i],
                                      colours[i + 1], colours[i + 1], colours[i]);
    }
    x += width + 6 * u;
    put_text(font, x, text_y, t.faint, high);
    return x + text_width(font, high) + 20 * u;
}

/* A swatch and its meaning; returns where it ends. */
float draw_swatch(const scene &s, float x, float y, colour c, bool ring, const std::string &label)
{
    const float u = s.unit;
    area a = {x, y - 7 * u, x + 16 * u, y + 7 * u};
    if (ring)
        outline(a, c, 4 * u, 2 * u);
    else
        fill(a, c, 3 * u);
    put_text(s.fonts.small, a.x1 + 6 * u, y - s.fonts.small->FontSize / 2, s.colours().faint, label);
    return a.x1 + 6 * u + text_width(s.fonts.small, label) + 18 * u;
}

std::vector<colour> viridis_stops()
{
    std::vector<colour> out;
    for (int i = 0; i <= 8; i++)
        out.push_back(viridis(static_cast<float>(i) / 8, 0));
    return out;
}

} // namespace

void draw_legend(scene &s, const area &where)
{
    const theme &t = s.colours();
    const analysis &facts = s.front().facts;
    float x = where.x0, y = (where.y0 + where.y1) / 2;
    if (s.state.shown == quantity::candidate) {
        x = draw_swatch(s, x, y, t.same, false,
                        facts.is_flow() ? "base agrees" : "best guess is the final token");
        x = draw_swatch(s, x, y, t.other, false, facts.is_flow() ? "base differs" : "is another");
    } else {
        quantity_scale scale = get_scale(facts, s.state.shown);
        x = draw_scale(s, x, y, scale.low, scale.high, viridis_stops());
    }
    if (!facts.is_flow() && s.state.shown != quantity::candidate) {
        put_text(s.fonts.small, x, y - s.fonts.small->FontSize / 2, t.faint, "masked");
        x += text_width(s.fonts.small, "masked ") + 4 * s.unit;
        x = draw_scale(s, x, y, "sure", "unsure", {t.mask_low, t.mask_high});
    }
    x = draw_swatch(s, x, y, t.changed, true, facts.is_flow() ? "newest" : "committed in this step");
    if (s.sheets.size() == 2) {
        fill({x, y + 4 * s.unit, x + 16 * s.unit, y + 6 * s.unit}, t.other);
        put_text(s.fonts.small, x + 22 * s.unit, y - s.fonts.small->FontSize / 2, t.faint, "runs differ");
    }
}

} // namespace viewer
