/* What lies over the panels: the list of keys, and a problem. */
#include <algorithm>

#include "scene.h"

namespace viewer
{
namespace
{

/* A window over everything; the caller ends it. */
area begin_overlay(scene &s, const char *name, float width, float height)
{
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    const float x = (size.x - width) / 2, y = (size.y - height) / 2;
    ImGui::SetNextWindowPos(ImVec2(0, 0));
    ImGui::SetNextWindowSize(size);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(0, 0));
    ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0);
    ImGui::SetNextWindowBgAlpha(0);
    ImGui::Begin(name, nullptr,
                 ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                     ImGuiWindowFlags_NoNav);
    ImGui::PopStyleVar(2);
    fill({0, 0, size.x, size.y}, with_alpha(rgb(0x0B0D10), 0.45F));
    area card = {x, y, x + width, y + height};
    draw_card(s, card);
    return {card.x0 + 24 * s.unit, card.y0 + 20 * s.unit, card.x1 - 24 * s.unit, card.y1 - 20 * s.unit};
}

} // namespace

void draw_help(scene &s)
{
    const theme &t = s.colours();
    const float u = s.unit, row = 25 * u;
    size_t n = 0;
    for (const key_binding &b : key_bindings())
        n += b.help != nullptr;
    area in = begin_overlay(s, "keys", 580 * u, row * static_cast<float>(n) + 84 * u);
    put_text(s.fonts.bold, in.x0, in.y0, t.text, "Keys");
    put_text_right(s.fonts.small, in.x1, in.y0 + u, t.faint, "Esc closes");
    float y = in.y0 + 36 * u;
    const std::vector<key_binding> &all = key_bindings();
    for (size_t i = 0; i < all.size();) {
        std::string keys = all[i].key;
        const char *help = all[i].help;
        for (i++; i < all.size() && !all[i].help; i++)
            keys += std::string("   ") + all[i].key;
        put_text(s.fonts.ui, in.x0, y, t.accent, keys);
        put_text(s.fonts.ui, in.x0 + 190 * u, y, t.text, help);
        y += row;
    }
    ImGui::End();
}

void draw_problem(scene &s)
{
    const theme &t = s.colours();
    const float u = s.unit;
    area in = begin_overlay(s, "problem", std::min(640 * u, ImGui::GetIO().DisplaySize.x - 40 * u), 190 * u);
    put_text(s.fonts.bold, in.x0, in.y0, t.text, "This file cannot be shown");
    const std::string &text = s.state.problem;
    ImGui::GetWindowDrawList()->AddText(s.fonts.ui, s.fonts.ui->FontSize, ImVec2(in.x0, in.y0 + 34 * u),
                                        t.text, text.data(), text.data() + text.size(), in.width());
    put_text_right(s.fonts.small, in.x1, in.y1 - s.fonts.small->FontSize, t.faint, "Esc closes");
    ImGui::End();
}

} // namespace viewer
