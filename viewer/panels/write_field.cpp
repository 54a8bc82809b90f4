/* The field for the text that replaces a position's. */
#include <algorithm>

#include "panels/widgets.h"
#include "running.h"

namespace viewer
{
namespace
{

/* Where the position was drawn; the middle of the window when it was not. */
area box_of(const sheet &sh, int64_t position)
{
    for (const drawn_token &d : sh.drawn)
        if (d.position == position)
            return d.box;
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    return {size.x / 2, size.y / 2, size.x / 2, size.y / 2};
}

/* Whether what is there, or would be, begins with a space: so then does what is written. */
bool begins_with_space(const scene &s, const sheet &sh, uint32_t position)
{
    int32_t id = sh.facts.at(s.step_of(sh), position).token;
    if (id < 0)
        id = sh.facts.candidate(s.step_of(sh), position);
    if (id < 0)
        return position > 0;
    const std::string_view piece = sh.source->piece(id);
    return !piece.empty() && piece[0] == ' ';
}

/* The tokens that the text has: what is told below the field. */
std::string describe_tokens(const scene &s, const std::string &text)
{
    std::vector<int32_t> ids;
    if (text.empty() || !s.live->tokenize(text, ids))
        return "Enter writes, Esc closes";
    std::string out = std::to_string(ids.size()) + (ids.size() == 1 ? " token:" : " tokens:");
    for (size_t i = 0; i < ids.size() && i < 6; i++)
        out += (i ? " \u00B7 " : " ") + token_label(*s.live, ids[i]);
    return out + (ids.size() > 6 ? " \u2026" : "");
}

} // namespace

void draw_write_field(scene &s, const sheet &sh)
{
    const theme &t = s.colours();
    const float u = s.unit, width = 340 * u, height = 74 * u;
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    const int64_t selected = s.state.selected;
    if (selected < 0 || selected >= static_cast<int64_t>(sh.facts.length())) {
        s.state.writing = false;
        return;
    }
    const auto position = static_cast<uint32_t>(selected);
    const area box = box_of(sh, selected);
    const float below = box.y1 + 8 * u,
                x = std::clamp(box.x0 - 8 * u, 8 * u, std::max(size.x - width - 8 * u, 8 * u)),
                y = below + height > size.y ? box.y0 - height - 8 * u : below;
    ImGui::SetNextWindowPos(ImVec2(x, y));
    ImGui::SetNextWindowSize(ImVec2(width, height));
    ImGui::SetNextWindowBgAlpha(0);
    const field_style style(s, 30 * u);
    const bool appeared = !s.write_shown;
    s.write_shown = true;
    ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0);
    ImGui::Begin("write", nullptr,
                 ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings);
    ImGui::PopStyleVar();
    const area card = {x + u, y + u, x + width - u, y + height - u};
    draw_card(s, card);
    outline(card, t.accent, 8 * u, 1.5F * u);
    const bool space = begins_with_space(s, sh, position);
    if (appeared) {
        ImGui::SetWindowFocus();
        ImGui::SetKeyboardFocusHere();
        s.written.clear();
    }
    bool enter = false;
    text_field("##write", {card.x0 + 10 * u, card.y0 + 10 * u, card.x1 - 10 * u, card.y0 + 40 * u}, s.written,
               space ? "text, a space is put before it" : "text", &enter);
    note_text(s, s.written);
    const bool lost = !appeared && !ImGui::IsItemActive() && !enter && s.write_had_focus;
    s.write_had_focus = ImGui::IsItemActive();
    const std::string text = (space && !s.written.empty() && s.written[0] != ' ' ? " " : "") + s.written;
    put_text_within(s.fonts.small, card.x0 + 12 * u, card.y0 + 46 * u, card.width() - 24 * u, t.faint,
                    describe_tokens(s, text));
    ImGui::End();
    if (enter) {
        live_control c = controls(s);
        write_text(c, position, text);
    }
    if (enter || lost)
        s.state.writing = false;
    if (!s.state.writing)
        s.write_shown = s.write_had_focus = false;
}

} // namespace viewer
