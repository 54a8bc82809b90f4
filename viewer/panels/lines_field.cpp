/* A field of several lines that wraps: ImGui edits the text, unseen, and here it is drawn in rows. */
#include <algorithm>
#include <cmath>
#include <cstring>

#include "panels/widgets.h"
#include "run/text.h"

namespace viewer
{
namespace
{

/* Bytes of a row; a line feed behind it is no part. */
struct text_row {
    size_t begin, end;
};

std::vector<text_row> wrap(const ImFont *font, std::string_view text, float width)
{
    std::vector<text_row> out;
    const char *const begin = text.data(), *const end = begin + text.size();
    for (const char *line = begin;;) {
        const void *feed = line < end ? memchr(line, '\n', static_cast<size_t>(end - line)) : nullptr;
        const char *const line_end = feed ? static_cast<const char *>(feed) : end;
        const char *at = line;
        do {
            const char *next = at < line_end ? font->CalcWordWrapPositionA(1, at, line_end, width) : line_end;
            if (next == at && at < line_end)
                next++;
            /* Spaces hang past the end. */
            while (next < line_end && *next == ' ')
                next++;
            out.push_back({static_cast<size_t>(at - begin), static_cast<size_t>(next - begin)});
            at = next;
        } while (at < line_end);
        if (line_end == end)
            return out;
        line = line_end + 1;
    }
}

size_t row_of(const std::vector<text_row> &rows, size_t index)
{
    size_t row = 0;
    while (row + 1 < rows.size() && rows[row + 1].begin <= index)
        row++;
    return row;
}

float x_of(const ImFont *font, std::string_view text, const text_row &row, size_t index)
{
    const char *from = text.data() + row.begin, *to = text.data() + std::clamp(index, row.begin, row.end);
    return from == to ? 0 : font->CalcTextSizeA(font->FontSize, FLT_MAX, 0, from, to).x;
}

/* The place between two characters that is nearest to x. A row that goes on below ends before its last one.
 */
size_t index_at(const ImFont *font, std::string_view text, const std::vector<text_row> &rows, size_t row,
                float x)
{
    const text_row &r = rows[row];
    const bool goes_on = row + 1 < rows.size() && rows[row + 1].begin == r.end;
    float at = 0;
    for (size_t i = r.begin; i < r.end;) {
        size_t n = 1;
        bool cut = false;
        const uint32_t code = read_utf8(text.substr(i, r.end - i), &n, &cut);
        const float width = font->GetCharAdvance(static_cast<ImWchar>(code > 0xFFFF ? replacement : code));
        if (x < at + width / 2 || (goes_on && i + n >= r.end))
            return i;
        at += width;
        i += n;
    }
    return r.end;
}

/* What the callback needs. */
struct editing {
    std::string *text;
    lines_state *state;
    const ImFont *font;
    area inner;
};

void select(ImGuiInputTextCallbackData *data, size_t from, size_t to)
{
    data->CursorPos = data->SelectionEnd = static_cast<int>(to);
    data->SelectionStart = static_cast<int>(from);
}

/* The mouse, and keys that go from row to row: ImGui knows only lines. */
void move(ImGuiInputTextCallbackData *data, editing &e)
{
    const ImGuiIO &io = ImGui::GetIO();
    lines_state &state = *e.state;
    const std::string_view text(data->Buf, static_cast<size_t>(data->BufTextLen));
    const std::vector<text_row> rows = wrap(e.font, text, e.inner.width());
    const size_t size = text.size();
    auto pointed = [&] {
        const float row =
            std::floor((io.MousePos.y - e.inner.y0) / e.font->FontSize) + static_cast<float>(state.first);
        const auto last = static_cast<float>(rows.size() - 1);
        return index_at(e.font, text, rows, static_cast<size_t>(std::clamp(row, 0.0F, last)),
                        io.MousePos.x - e.inner.x0);
    };
    const area around = {e.inner.x0 - 8, e.inner.y0 - 8, e.inner.x1 + 8, e.inner.y1 + 8};
    if (io.MouseClicked[0] && around.holds(io.MousePos)) {
        state.anchor = io.KeyShift ? std::min(state.cursor, size) : pointed();
        state.dragging = true;
    }
    if (!io.MouseDown[0])
        state.dragging = false;
    if (state.dragging && !io.MouseDoubleClicked[0])
        select(data, std::min(state.anchor, size), pointed());
    const bool up = ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_UpArrow)),
               down = ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_DownArrow));
    if (up != down && !io.KeyCtrl && !io.KeyAlt) {
        const size_t cursor = std::min(state.cursor, size), row = row_of(rows, cursor);
        const bool inside = up ? row > 0 : row + 1 < rows.size();
        const size_t to = inside ? index_at(e.font, text, rows, up ? row - 1 : row + 1,
                                            x_of(e.font, text, rows[row], cursor))
                                 : cursor;
        select(data, io.KeyShift ? std::min(state.from == state.to ? cursor : state.from, size) : to, to);
    }
    state.cursor = static_cast<size_t>(data->CursorPos);
    state.from = static_cast<size_t>(data->SelectionStart);
    state.to = static_cast<size_t>(data->SelectionEnd);
}

int on_event(ImGuiInputTextCallbackData *data)
{
    auto *e = static_cast<editing *>(data->UserData);
    if (data->EventFlag == ImGuiInputTextFlags_CallbackResize) {
        e->text->resize(static_cast<size_t>(data->BufTextLen));
        data->Buf = e->text->data();
    } else {
        move(data, *e);
    }
    return 0;
}

void draw_rows(const scene &s, const editing &e, bool active)
{
    const theme &t = s.colours();
    const ImFont *font = e.font;
    const std::string &text = *e.text;
    const std::vector<text_row> rows = wrap(font, text, e.inner.width());
    lines_state &state = *e.state;
    const auto room = static_cast<size_t>(std::max(std::round(e.inner.height() / font->FontSize), 1.0F));
    const size_t at = row_of(rows, std::min(state.cursor, text.size()));
    if (!active)
        state.first = 0;
    state.first = std::min(state.first, rows.size() - std::min(room, rows.size()));
    if (active)
        state.first = std::clamp(state.first, at + 1 - std::min(room, at + 1), at);
    ImDrawList *list = ImGui::GetWindowDrawList();
    ImGui::PushClipRect(ImVec2(e.inner.x0 - 2 * s.unit, e.inner.y0),
                        ImVec2(e.inner.x1 + 2 * s.unit, e.inner.y1 + 4 * s.unit), true);
    for (size_t i = state.first; i < rows.size() && i < state.first + room; i++) {
        const text_row &row = rows[i];
        const float y = e.inner.y0 + static_cast<float>(i - state.first) * font->FontSize;
        const size_t from = std::max(std::min(state.from, state.to), row.begin),
                     to = std::min(std::max(state.from, state.to), row.end);
        if (active && from < to)
            fill({e.inner.x0 + x_of(font, text, row, from), y, e.inner.x0 + x_of(font, text, row, to),
                  y + font->FontSize},
                 with_alpha(t.accent, 0.35F));
        put_text(font, e.inner.x0, y, t.text, text.substr(row.begin, row.end - row.begin));
        if (active && i == at && std::fmod(ImGui::GetTime(), 1.2) < 0.8) {
            const float x = std::min(e.inner.x0 + x_of(font, text, row, state.cursor), e.inner.x1);
            list->AddLine(ImVec2(x, y + 1), ImVec2(x, y + font->FontSize - 1), t.text,
                          std::max(1.0F, std::floor(s.unit)));
        }
    }
    ImGui::PopClipRect();
}

} // namespace

uint32_t count_rows(const scene &s, const std::string &text, float width)
{
    return static_cast<uint32_t>(wrap(s.fonts.small, text, width - 16 * s.unit).size());
}

bool lines_field(const scene &s, const char *id, const area &a, std::string &text, lines_state &state)
{
    const theme &t = s.colours();
    const ImFont *font = s.fonts.small;
    const float u = s.unit, pad = std::max(std::floor((28 * u - font->FontSize) / 2), 1.0F);
    editing e = {&text, &state, font, {a.x0 + 8 * u, a.y0 + pad, a.x1 - 8 * u, a.y1 - pad}};
    fill(a, mix(t.panel, t.background, t.dark ? 0.7F : 0.8F), 6 * u);
    outline(a, t.border, 6 * u, std::max(1.0F, std::floor(u)));
    const ImGuiCol unseen[] = {
        ImGuiCol_Text,           ImGuiCol_TextSelectedBg,       ImGuiCol_FrameBg,
        ImGuiCol_FrameBgHovered, ImGuiCol_FrameBgActive,        ImGuiCol_Border,
        ImGuiCol_ScrollbarGrab,  ImGuiCol_ScrollbarGrabHovered, ImGuiCol_ScrollbarGrabActive};
    for (ImGuiCol c : unseen)
        ImGui::PushStyleColor(c, ImVec4(0, 0, 0, 0));
    ImGui::SetCursorScreenPos(ImVec2(a.x0, a.y0));
    const bool changed = ImGui::InputTextMultiline(
        id, text.data(), text.capacity() + 1, ImVec2(a.width(), a.height()),
        ImGuiInputTextFlags_CallbackResize | ImGuiInputTextFlags_CallbackAlways, on_event, &e);
    ImGui::PopStyleColor(static_cast<int>(std::size(unseen)));
    draw_rows(s, e, ImGui::IsItemActive());
    return changed;
}

} // namespace viewer
