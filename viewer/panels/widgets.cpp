#include "panels/widgets.h"

#include <algorithm>
#include <cmath>

namespace viewer
{
namespace
{

constexpr int n_style_colours = 17, n_style_values = 7;

ImVec4 as_vector(colour c)
{
    return ImGui::ColorConvertU32ToFloat4(c);
}

/* Lets a field's text grow. */
int resize(ImGuiInputTextCallbackData *data)
{
    if (data->EventFlag == ImGuiInputTextFlags_CallbackResize) {
        auto *text = static_cast<std::string *>(data->UserData);
        text->resize(static_cast<size_t>(data->BufTextLen));
        data->Buf = text->data();
    }
    return 0;
}

bool take_text(const char *id, const area &a, std::string &text, const char *hint, ImGuiInputTextFlags flags)
{
    ImGui::SetCursorScreenPos(ImVec2(a.x0, a.y0));
    ImGui::SetNextItemWidth(a.width());
    return ImGui::InputTextWithHint(id, hint, text.data(), text.capacity() + 1,
                                    flags | ImGuiInputTextFlags_CallbackResize, resize, &text);
}

} // namespace

field_style::field_style(const scene &s, float height)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const colour field = mix(t.panel, t.background, t.dark ? 0.7F : 0.8F);
    const struct {
        ImGuiCol which;
        colour value;
    } colours[n_style_colours] = {
        {ImGuiCol_Text, t.text},
        {ImGuiCol_TextDisabled, with_alpha(t.faint, 0.75F)},
        {ImGuiCol_TextSelectedBg, with_alpha(t.accent, 0.35F)},
        {ImGuiCol_FrameBg, field},
        {ImGuiCol_FrameBgHovered, mix(field, t.accent, 0.08F)},
        {ImGuiCol_FrameBgActive, field},
        {ImGuiCol_Border, t.border},
        {ImGuiCol_PopupBg, t.panel},
        {ImGuiCol_Header, with_alpha(t.accent, 0.22F)},
        {ImGuiCol_HeaderHovered, with_alpha(t.accent, 0.14F)},
        {ImGuiCol_HeaderActive, with_alpha(t.accent, 0.30F)},
        {ImGuiCol_ScrollbarBg, 0},
        {ImGuiCol_ScrollbarGrab, t.border},
        {ImGuiCol_ScrollbarGrabHovered, t.faint},
        {ImGuiCol_ScrollbarGrabActive, t.faint},
        {ImGuiCol_NavHighlight, t.accent},
        {ImGuiCol_ChildBg, 0},
    };
    for (const auto &c : colours)
        ImGui::PushStyleColor(c.which, as_vector(c.value));
    const float pad = std::max(std::floor((height - s.fonts.small->FontSize) / 2), 1.0F);
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(8 * u, pad));
    ImGui::PushStyleVar(ImGuiStyleVar_FrameRounding, 6 * u);
    ImGui::PushStyleVar(ImGuiStyleVar_FrameBorderSize, std::max(1.0F, std::floor(u)));
    ImGui::PushStyleVar(ImGuiStyleVar_PopupRounding, 6 * u);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(6 * u, 6 * u));
    ImGui::PushStyleVar(ImGuiStyleVar_ItemSpacing, ImVec2(8 * u, 6 * u));
    ImGui::PushStyleVar(ImGuiStyleVar_ScrollbarSize, 8 * u);
    ImGui::PushFont(s.fonts.small);
}

field_style::~field_style()
{
    ImGui::PopFont();
    ImGui::PopStyleVar(n_style_values);
    ImGui::PopStyleColor(n_style_colours);
}

bool text_field(const char *id, const area &a, std::string &text, const char *hint, bool *enter)
{
    bool changed = take_text(id, a, text, hint, enter ? ImGuiInputTextFlags_EnterReturnsTrue : 0);
    if (enter)
        *enter = changed;
    return changed;
}

bool number_field(const char *id, const area &a, std::string &text, const char *hint, bool whole)
{
    return take_text(id, a, text, hint,
                     (whole ? ImGuiInputTextFlags_CharsDecimal : ImGuiInputTextFlags_CharsScientific) |
                         ImGuiInputTextFlags_AutoSelectAll);
}

bool choice_field(const char *id, const area &a, const std::vector<std::string> &names, int &chosen)
{
    const int before = chosen;
    ImGui::SetCursorScreenPos(ImVec2(a.x0, a.y0));
    ImGui::SetNextItemWidth(a.width());
    const auto n = static_cast<int>(names.size());
    const char *shown = chosen >= 0 && chosen < n ? names[static_cast<size_t>(chosen)].c_str() : "";
    bool open = ImGui::BeginCombo(id, shown, ImGuiComboFlags_NoArrowButton | ImGuiComboFlags_HeightLargest);
    if (open) {
        for (int i = 0; i < n; i++)
            if (ImGui::Selectable(names[static_cast<size_t>(i)].c_str(), i == chosen))
                chosen = i;
        ImGui::EndCombo();
    }
    /* The arrow: a triangle at the right. */
    const float size = ImGui::GetFontSize() * 0.28F, x = a.x1 - size * 3.2F,
                y = (a.y0 + a.y1) / 2 - size * 0.3F;
    ImGui::GetWindowDrawList()->AddTriangleFilled(ImVec2(x - size, y - size * 0.4F),
                                                  ImVec2(x + size, y - size * 0.4F), ImVec2(x, y + size),
                                                  ImGui::GetColorU32(ImGuiCol_TextDisabled));
    return chosen != before;
}

float button_width(const scene &s, const std::string &label)
{
    return text_width(s.fonts.small, label) + 20 * s.unit;
}

bool text_button(const scene &s, const char *id, const area &a, const std::string &label, look_of how,
                 bool enabled)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const bool pressed = press_area(id, a) && enabled, hot = ImGui::IsItemHovered() && enabled;
    colour ink = t.text;
    if (how == look_of::main && enabled) {
        fill(a, hot ? mix(t.accent, t.text, 0.12F) : t.accent, 6 * u);
        ink = ink_on(t.accent);
    } else {
        if (hot)
            fill(a, t.grid, 6 * u);
        outline(a, hot ? t.accent : t.border, 6 * u, std::max(1.0F, std::floor(u)));
        ink = enabled ? t.text : with_alpha(t.faint, 0.6F);
    }
    const ImFont *font = s.fonts.small;
    put_text(font, (a.x0 + a.x1 - text_width(font, label)) / 2, (a.y0 + a.y1 - font->FontSize) / 2, ink,
             label);
    return pressed;
}

void draw_sign(const scene &s, sign what, const area &a, colour c)
{
    ImDrawList *list = ImGui::GetWindowDrawList();
    const float x = std::round((a.x0 + a.x1) / 2), y = std::round((a.y0 + a.y1) / 2), r = 5.5F * s.unit;
    auto right = [&](float at) {
        list->AddTriangleFilled(ImVec2(at - r * 0.8F, y - r), ImVec2(at - r * 0.8F, y + r),
                                ImVec2(at + r * 0.9F, y), c);
    };
    auto left = [&](float at) {
        list->AddTriangleFilled(ImVec2(at + r * 0.8F, y - r), ImVec2(at - r * 0.9F, y),
                                ImVec2(at + r * 0.8F, y + r), c);
    };
    auto bar = [&](float at) { fill({at - 1.25F * s.unit, y - r, at + 1.25F * s.unit, y + r}, c); };
    switch (what) {
    case sign::play:
        right(x);
        break;
    case sign::pause:
        bar(x - 3 * s.unit);
        bar(x + 3 * s.unit);
        break;
    case sign::next:
        right(x - 2 * s.unit);
        bar(x + 5 * s.unit);
        break;
    case sign::previous:
        left(x + 2 * s.unit);
        bar(x - 5 * s.unit);
        break;
    case sign::first:
        left(x + 4 * s.unit);
        left(x - 2 * s.unit);
        bar(x - 8 * s.unit);
        break;
    case sign::last:
        right(x - 4 * s.unit);
        right(x + 2 * s.unit);
        bar(x + 8 * s.unit);
        break;
    case sign::stop:
        fill({x - 4.5F * s.unit, y - 4.5F * s.unit, x + 4.5F * s.unit, y + 4.5F * s.unit}, c, 1.5F * s.unit);
        break;
    }
}

void tooltip(const scene &s, const std::string &text, const std::string &key)
{
    if (!ImGui::IsItemHovered() || s.clean)
        return;
    const theme &t = s.colours();
    const float u = s.unit;
    ImGui::PushStyleColor(ImGuiCol_PopupBg, as_vector(t.dark ? t.grid : t.text));
    ImGui::PushStyleColor(ImGuiCol_Text, as_vector(t.dark ? t.text : t.panel));
    ImGui::PushStyleColor(ImGuiCol_Border, as_vector(t.border));
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(9 * u, 6 * u));
    ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 6 * u);
    ImGui::PushStyleVar(ImGuiStyleVar_PopupBorderSize, t.dark ? 1.0F : 0.0F);
    ImGui::PushFont(s.fonts.small);
    ImGui::BeginTooltip();
    ImGui::PushTextWrapPos(420 * u);
    ImGui::TextUnformatted((key.empty() ? text : text + "   [" + key + "]").c_str());
    ImGui::PopTextWrapPos();
    ImGui::EndTooltip();
    ImGui::PopFont();
    ImGui::PopStyleVar(3);
    ImGui::PopStyleColor(3);
}

} // namespace viewer
