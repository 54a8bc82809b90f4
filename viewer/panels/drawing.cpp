/* What the panels share. */
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "panels/curve.h"
#include "panels/scene.h"

namespace viewer
{

float text_width(const ImFont *font, const std::string &text)
{
    return font->CalcTextSizeA(font->FontSize, FLT_MAX, 0, text.data(), text.data() + text.size()).x;
}

void put_text(const ImFont *font, float x, float y, colour c, const std::string &text)
{
    ImGui::GetWindowDrawList()->AddText(font, font->FontSize, ImVec2(std::floor(x), std::floor(y)), c,
                                        text.data(), text.data() + text.size());
}

float put_text_within(const ImFont *font, float x, float y, float width, colour c, const std::string &text)
{
    float whole = text_width(font, text);
    if (whole <= width) {
        put_text(font, x, y, c, text);
        return whole;
    }
    const std::string dots = "\u2026";
    float room = width - text_width(font, dots);
    std::string cut;
    for (size_t at = 0, n = 1; at < text.size(); at += n) {
        bool broken = false;
        read_utf8(std::string_view(text).substr(at), &n, &broken);
        std::string longer = cut + text.substr(at, n);
        if (text_width(font, longer) > room)
            break;
        cut = longer;
    }
    while (!cut.empty() && cut.back() == ' ')
        cut.pop_back();
    cut += dots;
    put_text(font, x, y, c, cut);
    return text_width(font, cut);
}

void put_text_right(const ImFont *font, float x1, float y, colour c, const std::string &text)
{
    put_text(font, x1 - text_width(font, text), y, c, text);
}

std::string format_text(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

void fill(const area &a, colour c, float rounding)
{
    ImGui::GetWindowDrawList()->AddRectFilled(ImVec2(a.x0, a.y0), ImVec2(a.x1, a.y1), c, rounding);
}

void outline(const area &a, colour c, float rounding, float thickness)
{
    ImGui::GetWindowDrawList()->AddRect(ImVec2(a.x0, a.y0), ImVec2(a.x1, a.y1), c, rounding, 0, thickness);
}

void draw_cursor(const scene &s, float x, const area &plot)
{
    const float width = std::max(1.0F, std::round(1.5F * s.unit)), x0 = std::round(x - width / 2);
    fill({x0, plot.y0, x0 + width, plot.y1}, s.colours().changed);
}

void draw_card(const scene &s, const area &a)
{
    fill(a, s.colours().panel, 8 * s.unit);
    outline(a, s.colours().border, 8 * s.unit, 1);
}

void draw_edit_sign(const scene &s, float x1, float y0)
{
    const theme &t = s.colours();
    const float u = s.unit, size = 8 * u, edge = std::max(std::floor(u), 1.0F);
    ImDrawList *list = ImGui::GetWindowDrawList();
    list->AddTriangleFilled(ImVec2(x1 - size - 2.4F * edge, y0 - edge), ImVec2(x1 + edge, y0 - edge),
                            ImVec2(x1 + edge, y0 + size + 2.4F * edge), t.panel);
    list->AddTriangleFilled(ImVec2(x1 - size, y0), ImVec2(x1, y0), ImVec2(x1, y0 + size), t.changed);
}

void note_area(const std::string &name, const area &a)
{
    static_cast<std::vector<named_area> *>(ImGui::GetIO().UserData)->push_back({name, a});
}

bool press_area(const char *id, const area &a)
{
    if (a.width() < 1 || a.height() < 1)
        return false;
    note_area(id, a);
    ImGui::SetCursorScreenPos(ImVec2(a.x0, a.y0));
    return ImGui::InvisibleButton(id, ImVec2(a.width(), a.height()));
}

bool hovers(const area &a)
{
    return ImGui::IsWindowHovered(ImGuiHoveredFlags_AllowWhenBlockedByActiveItem) &&
           a.holds(ImGui::GetIO().MousePos);
}

void draw_raster(const raster &r, const area &a)
{
    /* Whoever draws it only reads it; ImGui's names of textures are not const. */
    ImGui::GetWindowDrawList()->AddImage(const_cast<raster *>(&r), ImVec2(a.x0, a.y0), ImVec2(a.x1, a.y1));
}

namespace
{

constexpr float curve_tolerance = 0.1F; /* pixels that a simplified curve may be off */

/* Draws a part without gaps, as one line; but one that turns back on itself gets spikes there, so that it is
 * cut. */
void draw_part(const std::vector<curve_point> &part, colour c, float thickness)
{
    ImDrawList *list = ImGui::GetWindowDrawList();
    if (part.size() == 1)
        list->AddCircleFilled(ImVec2(part[0].x, part[0].y), thickness * 1.25F, c, 12);
    std::vector<ImVec2> points;
    for (curve_point p : thin_curve(part, curve_tolerance))
        points.emplace_back(p.x + 0.5F, p.y + 0.5F);
    for (size_t from = 0, i = 1; i < points.size(); i++) {
        if (i + 1 < points.size()) {
            const ImVec2 at = points[i], before = points[i - 1], after = points[i + 1];
            if ((at.x - before.x) * (after.x - at.x) + (at.y - before.y) * (after.y - at.y) > 0)
                continue;
        }
        list->AddPolyline(&points[from], static_cast<int>(i - from + 1), c, 0, thickness);
        from = i;
    }
}

} // namespace

void draw_curve(const area &a, const std::vector<float> &x, const std::vector<float> &y, float most, colour c,
                float thickness)
{
    std::vector<curve_point> part;
    for (size_t i = 0; i < y.size(); i++) {
        if (!std::isfinite(y[i])) {
            draw_part(part, c, thickness);
            part.clear();
            continue;
        }
        const float up = most > 0 ? std::clamp(y[i] / most, 0.0F, 1.0F) : 0;
        part.push_back({x[i], a.y1 - up * a.height()});
    }
    draw_part(part, c, thickness);
}

} // namespace viewer
