/* The canvas: the text as text, each token on the colour of a quantity. */
#include <algorithm>
#include <cmath>

#include "panels/scene.h"
#include "state/control.h"

namespace viewer
{
namespace
{

constexpr std::string_view common_word = " the";

/* The edit of this run's position that waits at the step; false without one. */
bool find_edit(const scene &s, const sheet &sh, uint32_t step, uint32_t position, int32_t *token)
{
    return s.live == sh.source.get() && s.live && waiting_edit(*s.live, step, position, token);
}

/* Whether a flow's token goes when the run goes on: it lies behind an edited one. */
bool is_dropped(const scene &s, const sheet &sh, uint32_t step, uint32_t position)
{
    return sh.facts.is_flow() && s.live == sh.source.get() && s.live && s.live->edited_step() == step &&
           !s.live->edits().empty() && s.live->edits().begin()->first < position;
}

/* What a masked position keeps room for: its best guess, or the token that it ends with; while that is not
 * known, the latest guess. */
text_token placeholder(const scene &s, const sheet &sh, uint32_t step, uint32_t position)
{
    int32_t id = s.state.guesses && !sh.facts.is_flow() ? sh.facts.candidate(step, position) : -1;
    bool guess = id >= 0;
    if (!guess)
        id = sh.facts.final_token(position);
    if (id < 0)
        id = sh.facts.candidate(sh.facts.n_steps(), position);
    if (id < 0)
        return {common_word, true, true, -1};
    std::string_view bytes = sh.source->piece(id);
    return {bytes, bytes.data() != nullptr, !guess, id};
}

void read_text(const scene &s, const sheet &sh, canvas_page &out)
{
    std::vector<text_token> tokens;
    const vkdlm_trajectory_info &info = sh.source->info();
    out.n_prompt = 0;
    if (sh.facts.is_flow() && *info.prompt) {
        tokens.push_back({info.prompt, true, false, -1});
        out.n_prompt = 1;
    }
    for (uint32_t i = 0; i < sh.facts.length(); i++) {
        moment m = sh.facts.at(out.step, i);
        int32_t edited = 0;
        if (find_edit(s, sh, out.step, i, &edited))
            m.token = edited;
        if (m.token < 0) {
            tokens.push_back(placeholder(s, sh, out.step, i));
            continue;
        }
        std::string_view bytes = sh.source->piece(m.token);
        tokens.push_back({bytes, bytes.data() != nullptr, false, m.token});
    }
    out.characters = decode_text(tokens);
}

/* Takes the largest of the fonts by which the text fits; else the smallest. What became too long for a font
 * is not tried with it again: the text of a live run would jump. */
void fit(const scene &s, canvas_page &page, uint32_t n_positions)
{
    for (int i = page.first_font; i < n_text_fonts; i++) {
        const ImFont *font = s.fonts.text[i];
        auto measure = [font](uint32_t code) {
            return font->GetCharAdvance(static_cast<ImWchar>(code > 0xFFFF ? replacement : code));
        };
        page.font = font;
        page.first_font = s.live ? i : 0;
        page.line_height = std::round(font->FontSize * 1.5F);
        page.layout =
            lay_out(page.characters, n_positions, measure, page.width, std::round(font->FontSize * 0.3F));
        if (static_cast<float>(page.layout.n_lines) * page.line_height <= page.height)
            break;
    }
}

const canvas_page &lay_out_page(const scene &s, sheet &sh, uint32_t step, float width, float height)
{
    canvas_page &page = sh.page;
    static const std::map<uint32_t, int32_t> none;
    const bool edited = s.live == sh.source.get() && s.live && s.live->edited_step() == step;
    const std::map<uint32_t, int32_t> &edits = edited ? s.live->edits() : none;
    if (page.font && page.step == step && page.version == sh.facts.version() && page.edits == edits &&
        page.guesses == s.state.guesses && page.width == width && page.height == height &&
        page.unit == s.unit)
        return page;
    const bool same = page.width == width && page.height == height && page.unit == s.unit &&
                      page.length == sh.facts.length() && !sh.facts.is_flow();
    if (!same)
        page.first_font = 0;
    page.length = sh.facts.length();
    page.step = step;
    page.version = sh.facts.version();
    page.edits = edits;
    page.guesses = s.state.guesses;
    page.width = width;
    page.height = height;
    page.unit = s.unit;
    read_text(s, sh, page);
    fit(s, page, sh.facts.length() + page.n_prompt);
    return page;
}

colour token_fill(const scene &s, const sheet &sh, uint32_t step, uint32_t position, const moment &m)
{
    const theme &t = s.colours();
    float level = quantity_level(sh.facts, s.state.shown, step, position);
    if (m.token < 0) {
        if (s.state.shown == quantity::candidate && !std::isnan(level))
            return with_alpha(level > 0.5F ? t.same : t.other, 0.35F);
        float entropy = sh.facts.entropy(step, position) / sh.facts.most_entropy();
        return std::isnan(entropy) ? 0 : mix(t.mask_low, t.mask_high, std::clamp(entropy, 0.0F, 1.0F));
    }
    if (m.given)
        return t.given;
    if (s.state.shown == quantity::candidate)
        return std::isnan(level) ? t.unknown : level > 0.5F ? t.same : t.other;
    return viridis(level, t.unknown);
}

bool is_smallest(const scene &s, const canvas_page &f)
{
    return f.font == s.fonts.text[n_text_fonts - 1];
}

/* Room of a box on the screen, a little wider than its text where a space or the line's end is beside it. */
area room_of(const scene &s, const canvas_page &f, size_t index, const area &where)
{
    const std::vector<text_box> &boxes = f.layout.boxes;
    const text_box &box = boxes[index];
    auto beside = [&](size_t i) { return i < boxes.size() && boxes[i].line == box.line; };
    const bool free_left =
        box.ink_x0 > box.x0 || !beside(index - 1) || boxes[index - 1].ink_x1 < boxes[index - 1].x1;
    const bool free_right =
        box.ink_x1 < box.x1 || !beside(index + 1) || boxes[index + 1].ink_x0 > boxes[index + 1].x0;
    const float u = s.unit, wide = (is_smallest(s, f) ? 1 : 2) * u, half_gap = 0.5F * u;
    const float height = f.font->FontSize + 4 * u;
    const float y =
        where.y0 + static_cast<float>(box.line) * f.line_height + std::floor((f.line_height - height) / 2);
    area out = {where.x0 + box.ink_x0 + (free_left ? -wide : half_gap), y,
                where.x0 + box.ink_x1 + (free_right ? wide : -half_gap), y + height};
    out.x1 = std::max(out.x1, out.x0 + 2 * u);
    return out;
}

std::string box_text(const canvas_page &text, const text_box &box)
{
    std::string out;
    for (uint32_t i = box.first; i < box.first + box.n; i++)
        if (!text.characters[i].hidden)
            append_utf8(out, text.characters[i].code);
    return out;
}

/* A ring of dashes: of what waits to be done. */
void draw_dashes(const area &a, colour c, float dash, float thickness)
{
    ImDrawList *list = ImGui::GetWindowDrawList();
    const float width = a.width(), height = a.height(), round = 2 * (width + height);
    auto at = [&](float d) {
        if (d < width)
            return ImVec2(a.x0 + d, a.y0);
        if (d < width + height)
            return ImVec2(a.x1, a.y0 + d - width);
        if (d < 2 * width + height)
            return ImVec2(a.x1 - (d - width - height), a.y1);
        return ImVec2(a.x0, a.y1 - (d - 2 * width - height));
    };
    const float n = std::max(std::floor(round / (2 * dash)), 4.0F), each = round / n;
    const float corners[] = {width, width + height, 2 * width + height};
    for (float i = 0; i < n; i++) {
        float from = i * each;
        const float end = from + each * 0.55F;
        for (float corner : corners)
            if (from < corner && end > corner) {
                list->AddLine(at(from), at(corner), c, thickness);
                from = corner;
            }
        list->AddLine(at(from), at(std::min(end, round - 0.01F)), c, thickness);
    }
}

/* What is drawn on a token comes after the areas of all: a device changes less often from areas to letters
 * then, and no ring is cut by the token that follows. */
enum layer { areas, marks, n_layers };

void draw_on(layer l)
{
    ImGui::GetWindowDrawList()->ChannelsSetCurrent(l);
}

void draw_token(scene &s, sheet &sh, const canvas_page &f, size_t index, const area &where, const area &view,
                uint32_t position, uint32_t step)
{
    const theme &t = s.colours();
    const float u = s.unit;
    /* Thousands of small corners would cost more than they show. */
    const float rounding = is_smallest(s, f) ? 0 : 3 * u;
    const text_box &box = f.layout.boxes[index];
    area room = room_of(s, f, index, where);
    moment m = sh.facts.at(step, position);
    int32_t edit = 0;
    const bool edited = find_edit(s, sh, step, position, &edit);
    if (edited)
        m = {edit, false, false};
    const bool dropped = !edited && is_dropped(s, sh, step, position);
    bool only_feed = box.breaks && box.ink_x1 <= box.ink_x0;
    if (only_feed)
        room.x1 = room.x0 + text_width(f.font, "\u21B5") + 2 * u;
    colour c = edited ? with_alpha(t.changed, t.dark ? 0.28F : 0.16F) : token_fill(s, sh, step, position, m);
    if (dropped)
        c = with_alpha(c, 0.25F);
    sh.drawn.push_back({position, room, c});
    sh.line_of.push_back(box.line);
    if (room.y0 > view.y1 || room.y1 < view.y0)
        return;
    draw_on(areas);
    if (c)
        fill(room, c, rounding);
    else
        outline(room, t.mask_unknown, rounding, 1);
    draw_on(marks);
    float text_y = room.y0 + (room.height() - f.font->FontSize) / 2;
    colour ink = m.token < 0 || m.given || edited ? t.text : ink_on(c);
    if (dropped)
        ink = t.faint;
    put_text(f.font, where.x0 + box.x0, text_y, ink, box_text(f, box));
    if (only_feed && (m.token >= 0 || s.state.guesses))
        put_text(f.font, room.x0 + u, text_y, ink, "\u21B5");
    if (!edited && !dropped && sh.facts.edited(step, position))
        draw_edit_sign(s, room.x1, room.y0);
    if (edited)
        draw_dashes({room.x0 - u, room.y0 - u, room.x1 + u, room.y1 + u}, t.changed, 4 * u, 2 * u);
    if (m.changed && !dropped) {
        area ring = {room.x0 - u, room.y0 - u, room.x1 + u, room.y1 + u};
        outline(ring, t.changed, rounding + u, 2 * u);
    }
}

/* Rings around what the mouse points at and what is selected. */
void draw_marks(const scene &s, const sheet &sh)
{
    const theme &t = s.colours();
    const float u = s.unit;
    for (const drawn_token &d : sh.drawn) {
        bool selected = d.position == s.state.selected,
             hovered = d.position == s.state.hovered && !s.state.by_keys;
        if (!selected && !hovered)
            continue;
        area ring = {d.box.x0 - 2 * u, d.box.y0 - 2 * u, d.box.x1 + 2 * u, d.box.y1 + 2 * u};
        outline(ring, t.panel, 5 * u, 2 * u);
        outline({ring.x0 - u, ring.y0 - u, ring.x1 + u, ring.y1 + u}, t.text, 5 * u,
                selected ? 2.5F * u : 1.5F * u);
    }
}

/* Tokens that differ from the other run's at the same position get a line below. */
void draw_differences(const scene &s, const sheet &sh, const sheet &other, uint32_t step)
{
    const float u = s.unit;
    for (const drawn_token &d : sh.drawn) {
        int32_t mine = sh.facts.at(step, d.position).token;
        if (mine < 0)
            continue;
        int32_t theirs = d.position < other.facts.length() ? other.facts.final_token(d.position) : -1;
        if (mine != theirs || sh.source->piece(mine) != other.source->piece(theirs))
            fill({d.box.x0, d.box.y1 + u, d.box.x1, d.box.y1 + 3 * u}, s.colours().other);
    }
}

float overflow(const canvas_page &f, const area &where)
{
    return std::max(static_cast<float>(f.layout.n_lines) * f.line_height - where.height(), 0.0F);
}

/* By the wheel, and to the token that was selected by a key. */
void scroll(scene &s, const canvas_page &f, uint32_t n_prompt, const area &where)
{
    float &at = s.state.canvas_scroll;
    if (hovers(where))
        at -= ImGui::GetIO().MouseWheel * 3 * f.line_height;
    for (size_t i = 0; s.state.show_selected && i < f.layout.boxes.size(); i++) {
        const text_box &box = f.layout.boxes[i];
        if (int64_t{box.position} - n_prompt != s.state.selected)
            continue;
        float top = static_cast<float>(box.line) * f.line_height;
        at = std::min(std::max(at, top + 2 * f.line_height - where.height()),
                      std::max(top - f.line_height, 0.0F));
        break;
    }
    at = std::clamp(at, 0.0F, overflow(f, where));
}

void draw_scroll_bar(const scene &s, const canvas_page &f, const area &where)
{
    const float over = overflow(f, where), u = s.unit;
    if (over <= 0)
        return;
    const float whole = over + where.height(), x = where.x1 + 3 * u;
    const float from = where.y0 + where.height() * s.state.canvas_scroll / whole;
    fill({x, where.y0, x + 4 * u, where.y1}, s.colours().grid, 2 * u);
    fill({x, from, x + 4 * u, from + where.height() * where.height() / whole}, s.colours().faint, 2 * u);
}

/* The mouse: pointing, and clicking to select. */
void take_mouse(scene &s, sheet &sh, const area &where)
{
    std::string id = "canvas" + std::to_string(&sh - s.sheets.data());
    bool pressed = press_area(id.c_str(), where);
    if (!ImGui::IsItemHovered())
        return;
    ImVec2 mouse = ImGui::GetIO().MousePos;
    const ImVec2 moved = ImGui::GetIO().MouseDelta;
    if (moved.x != 0 || moved.y != 0 || pressed)
        s.state.active = static_cast<size_t>(&sh - s.sheets.data());
    for (const drawn_token &d : sh.drawn)
        if (d.box.holds(mouse))
            s.state.pointed = d.position;
    if (pressed)
        s.state.selected = s.state.pointed == s.state.selected ? -1 : s.state.pointed;
}

/* Before a live run has a text. */
void draw_empty(const scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit, x = (where.x0 + where.x1) / 2, y = (where.y0 + where.y1) / 2;
    std::string text = "Nothing was generated.";
    double done = -1;
    if (s.live && s.live->phase() == live_phase::loading) {
        done = std::clamp(s.live->progress(), 0.0, 1.0);
        text = "Loading the model";
    } else if (s.live) {
        text = std::string("Write what the text begins with above, then press Run (") +
               key_of(action::run_anew) + ").";
    }
    put_text(s.fonts.ui, x - text_width(s.fonts.ui, text) / 2, y - s.fonts.ui->FontSize - 8 * u, t.faint,
             text);
    if (done < 0)
        return;
    const area bar = {x - 120 * u, y + 4 * u, x + 120 * u, y + 10 * u};
    fill(bar, t.grid, 3 * u);
    fill({bar.x0, bar.y0, bar.x0 + std::max(bar.width() * static_cast<float>(done), 6 * u), bar.y1}, t.accent,
         3 * u);
}

} // namespace

void draw_canvas(scene &s, sheet &sh, const area &where)
{
    if (!sh.facts.length() && !*sh.source->info().prompt) {
        draw_empty(s, where);
        return;
    }
    const uint32_t step = s.step_of(sh);
    const float inset = 4 * s.unit;
    const canvas_page &f = lay_out_page(s, sh, step, where.width() - 2 * inset, where.height());
    scroll(s, f, f.n_prompt, where);
    const float y0 = std::floor(where.y0 - s.state.canvas_scroll);
    const area page = {where.x0 + inset, y0, where.x1 - inset, where.y1};
    sh.drawn.clear();
    sh.line_of.clear();
    ImGui::PushClipRect(ImVec2(where.x0 - inset, where.y0 - inset),
                        ImVec2(where.x1 + inset, where.y1 + inset), true);
    ImGui::GetWindowDrawList()->ChannelsSplit(n_layers);
    for (size_t i = 0; i < f.layout.boxes.size(); i++) {
        const text_box &box = f.layout.boxes[i];
        if (box.position < f.n_prompt) {
            area room = room_of(s, f, i, page);
            draw_on(areas);
            fill(room, s.colours().given, 3 * s.unit);
            draw_on(marks);
            put_text(f.font, page.x0 + box.x0, room.y0 + (room.height() - f.font->FontSize) / 2,
                     s.colours().text, box_text(f, box));
            continue;
        }
        if (sh.facts.is_flow() && box.position - f.n_prompt >= step)
            break;
        draw_token(s, sh, f, i, page, where, box.position - f.n_prompt, step);
    }
    ImGui::GetWindowDrawList()->ChannelsMerge();
    if (s.sheets.size() == 2)
        draw_differences(s, sh, s.sheets[&sh == s.sheets.data() ? 1 : 0], step);
    take_mouse(s, sh, where);
    draw_marks(s, sh);
    ImGui::PopClipRect();
    draw_scroll_bar(s, f, where);
}

void select_line(scene &s, int direction)
{
    const sheet &sh = s.front();
    auto middle = [&](size_t i) { return (sh.drawn[i].box.x0 + sh.drawn[i].box.x1) / 2; };
    size_t from = sh.drawn.size();
    for (size_t i = 0; i < sh.drawn.size() && from == sh.drawn.size(); i++)
        if (sh.drawn[i].position == s.state.selected)
            from = i;
    if (from == sh.drawn.size()) {
        apply(s.state, action::select_next);
        return;
    }
    int64_t line = int64_t{sh.line_of[from]} + direction;
    float nearest = FLT_MAX;
    for (size_t i = 0; i < sh.drawn.size(); i++) {
        float distance = std::fabs(middle(i) - middle(from));
        if (sh.line_of[i] == line && distance < nearest) {
            nearest = distance;
            s.state.selected = sh.drawn[i].position;
            s.state.show_selected = true;
        }
    }
}

} // namespace viewer
