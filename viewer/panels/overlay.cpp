/* What lies over the panels: the list of keys, a problem, and what was done. */
#include <algorithm>
#include <cmath>

#include "panels/overlay.h"

namespace viewer
{

area begin_overlay(const scene &s, const char *name, float width, float height)
{
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    const float x = std::round((size.x - width) / 2), y = std::round(std::max((size.y - height) / 2, 0.0F));
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

namespace
{

/* A row of the help: the keys of one group of bindings. */
struct help_row {
    std::string keys;
    const char *help;
    bool of_runs;
};

std::vector<help_row> help_rows()
{
    std::vector<help_row> out;
    const std::vector<key_binding> &all = key_bindings();
    for (size_t i = 0; i < all.size();) {
        const size_t first = i;
        for (i++; i < all.size() && !all[i].help; i++)
            continue;
        std::string keys = all[first].key;
        if (i - first > 4)
            keys += std::string(" \u2026 ") + all[i - 1].key;
        for (size_t k = first + 1; k < i && i - first <= 4; k++)
            keys += std::string("   ") + all[k].key;
        out.push_back({keys, all[first].help, all[first].of_runs});
    }
    return out;
}

} // namespace

void draw_help(scene &s)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    const std::vector<help_row> rows = help_rows();
    size_t n[2] = {};
    for (const help_row &r : rows)
        n[r.of_runs]++;
    const auto most = static_cast<float>(std::max(n[0], n[1]));
    const float row = std::min(25 * u, (size.y - 120 * u) / most), width = std::min(980 * u, size.x - 16 * u);
    const area in = begin_overlay(s, "keys", width, row * most + 104 * u);
    const bool small = width < 900 * u;
    const ImFont *font = small || row < 21 * u ? s.fonts.small : s.fonts.ui;
    put_text(s.fonts.bold, in.x0, in.y0, t.text, "Keys");
    put_text_right(s.fonts.small, in.x1, in.y0 + u, t.faint, "Esc closes");
    const float column = (in.width() - 24 * u) / 2, names = (small ? 130 : 165) * u;
    const char *const titles[2] = {"View", "Live runs"};
    for (int side = 0; side < 2; side++) {
        const float x = in.x0 + static_cast<float>(side) * (column + 24 * u);
        float y = in.y0 + 30 * u;
        put_text(s.fonts.small, x, y, t.faint, titles[side]);
        y += 24 * u;
        for (const help_row &r : rows) {
            if (r.of_runs != (side == 1))
                continue;
            put_text_within(font, x, y, names - 8 * u, t.accent, r.keys);
            put_text_within(font, x + names, y, column - names, t.text, r.help);
            y += row;
        }
    }
    ImGui::End();
}

void draw_problem(scene &s)
{
    const theme &t = s.colours();
    const float u = s.unit, width = std::min(640 * u, ImGui::GetIO().DisplaySize.x - 40 * u);
    const std::string &text = s.state.problem;
    const ImFont *font = s.fonts.ui;
    const float lines =
        font->CalcTextSizeA(font->FontSize, FLT_MAX, width - 48 * u, text.data(), text.data() + text.size())
            .y;
    const area in = begin_overlay(s, "problem", width, std::max(lines + 112 * u, 150 * u));
    put_text(s.fonts.bold, in.x0, in.y0, t.text, s.state.heading);
    ImGui::GetWindowDrawList()->AddText(font, font->FontSize, ImVec2(in.x0, in.y0 + 34 * u), t.text,
                                        text.data(), text.data() + text.size(), in.width());
    put_text_right(s.fonts.small, in.x1, in.y1 - s.fonts.small->FontSize, t.faint,
                   s.state.fatal ? "Esc ends the program" : "Esc closes");
    ImGui::End();
}

void draw_toasts(scene &s)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    s.toasts.erase(
        std::remove_if(s.toasts.begin(), s.toasts.end(), [&](const toast &x) { return x.until <= s.now; }),
        s.toasts.end());
    if (s.toasts.empty())
        return;
    ImGui::SetNextWindowPos(ImVec2(0, 0));
    ImGui::SetNextWindowSize(size);
    ImGui::SetNextWindowBgAlpha(0);
    ImGui::Begin("toasts", nullptr,
                 ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoInputs |
                     ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoNav |
                     ImGuiWindowFlags_NoFocusOnAppearing | ImGuiWindowFlags_NoBackground);
    float y = size.y - 56 * u;
    const colour back = t.dark ? rgb(0xE6EAF0) : rgb(0x1B2027), ink = t.dark ? rgb(0x1B2027) : rgb(0xFFFFFF);
    for (const toast &x : s.toasts) {
        const ImFont *font = s.fonts.ui;
        const float width = std::min(text_width(font, x.text) + 32 * u, size.x - 40 * u);
        const area a = {std::round((size.x - width) / 2), y, std::round((size.x + width) / 2), y + 38 * u};
        fill(a, back, 19 * u);
        put_text_within(font, a.x0 + 16 * u, y + (38 * u - font->FontSize) / 2, width - 32 * u, ink, x.text);
        y -= 46 * u;
    }
    ImGui::End();
}

} // namespace viewer
