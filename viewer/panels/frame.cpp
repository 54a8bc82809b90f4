/* How the panels share the window. */
#include <algorithm>
#include <cmath>

#include "panels/widgets.h"

namespace viewer
{
namespace
{

area inside(const area &a, float by)
{
    return {a.x0 + by, a.y0 + by, a.x1 - by, a.y1 - by};
}

/* What is drawn on it is cut at its inside; the caller ends that by PopClipRect. */
void begin_card(const scene &s, const area &card)
{
    draw_card(s, card);
    const area in = inside(card, 6 * s.unit);
    ImGui::PushClipRect(ImVec2(in.x0, in.y0), ImVec2(in.x1, in.y1), true);
}

void draw_header(scene &s, const area &where)
{
    const theme &t = s.colours();
    const sheet &sh = s.front();
    const uint32_t step = s.step_of(sh), n = sh.facts.n_steps();
    const float u = s.unit, y = where.y0 + (where.height() - s.fonts.ui->FontSize) / 2;
    std::string right;
    if (!sh.facts.length() && s.live)
        right = "";
    else if (sh.facts.is_flow())
        right = format_text("token %u of %u   %lld evaluations", step, n,
                            static_cast<long long>(sh.facts.evaluations(step)));
    else
        right = format_text("step %u of %u   t = %.3f   %lld evaluations   %u masked", step, n,
                            sh.facts.time(step), static_cast<long long>(sh.facts.evaluations(step)),
                            sh.facts.n_masked(step));
    float room = where.x1 - text_width(s.fonts.ui, right) - 24 * u;
    put_text_right(s.fonts.ui, where.x1, y, t.text, right);
    std::string names = sh.source->name();
    if (s.sheets.size() == 2)
        names = s.sheets[0].source->name() + "  \u2022  " + s.sheets[1].source->name();
    float used = put_text_within(s.fonts.bold, where.x0, y, room - where.x0, t.text, names);
    float x = where.x0 + used + 14 * u;
    if (s.sheets.size() == 1 && room - x > 60 * u)
        put_text_within(s.fonts.ui, x, y, room - x, t.faint, sh.details);
}

/* Chips that choose the quantity; the number is the key. */
void draw_choices(scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const ImFont *font = s.fonts.small;
    static const char *const names[n_quantities] = {"Step", "Probability", "Entropy", "Best guess"};
    static const char *const flow_names[n_quantities] = {"Number", "Probability", "Base's entropy",
                                                         "Base's choice"};
    const char *const *const shown = s.front().facts.is_flow() ? flow_names : names;
    const float heading = text_width(font, "Colour") + 10 * u;
    float all = -6 * u;
    for (int i = 0; i < n_quantities; i++)
        all += text_width(font, format_text("%d  %s", i + 1, shown[i])) + 24 * u;
    /* A narrow window has the names of the chosen one alone. */
    const bool narrow = all > where.width();
    float x = where.x0;
    const float y = where.y0 + (where.height() - font->FontSize) / 2;
    if (heading + all <= where.width()) {
        put_text(font, x, y, t.faint, "Colour");
        x += heading;
    }
    for (int i = 0; i < n_quantities; i++) {
        const bool named = !narrow || static_cast<int>(s.state.shown) == i;
        const std::string label = named ? format_text("%d  %s", i + 1, shown[i]) : std::to_string(i + 1);
        area chip = {x, where.y0, x + text_width(font, label) + 18 * u, where.y1};
        bool chosen = static_cast<int>(s.state.shown) == i;
        if (press_area(names[i], chip))
            s.state.shown = static_cast<quantity>(i);
        bool hot = ImGui::IsItemHovered();
        tooltip(s, std::string("What tokens are coloured by: ") + shown[i], std::to_string(i + 1));
        if (chosen)
            fill(chip, t.accent, 6 * u);
        else
            outline(chip, hot ? t.accent : t.border, 6 * u, 1);
        put_text(font, chip.x0 + 9 * u, y, chosen ? ink_on(t.accent) : t.text, label);
        x = chip.x1 + 6 * u;
    }
}

void draw_left(scene &s, const area &card)
{
    const float u = s.unit, pad = 14 * u;
    begin_card(s, card);
    area in = inside(card, pad);
    draw_choices(s, {in.x0, in.y0, in.x1, in.y0 + 26 * u});
    const float legend = legend_height(s, in.width());
    area page = {in.x0, in.y0 + 38 * u, in.x1, in.y1 + 4 * u - legend - 12 * u};
    if (s.sheets.size() == 1) {
        draw_canvas(s, s.sheets[0], page);
    } else {
        const float middle = std::floor((page.x0 + page.x1) / 2), heading = 24 * u;
        fill({middle - 0.5F, page.y0, middle + 0.5F, page.y1}, s.colours().border);
        const area halves[] = {{page.x0, page.y0, middle - 12 * u, page.y1},
                               {middle + 12 * u, page.y0, page.x1, page.y1}};
        for (size_t i = 0; i < 2; i++) {
            const sheet &sh = s.sheets[i];
            const area &half = halves[i];
            put_text_within(s.fonts.small, half.x0 + 4 * u, half.y0, half.width() - 8 * u,
                            i == s.state.active ? s.colours().text : s.colours().faint,
                            sh.source->name() + "  \u00B7  " + sh.details);
            draw_canvas(s, s.sheets[i], {half.x0, half.y0 + heading, half.x1, half.y1});
        }
    }
    s.state.show_selected = false;
    draw_legend(s, {in.x0, in.y1 + 4 * u - legend, in.x1, in.y1 + 4 * u});
    ImGui::PopClipRect();
}

void draw_whole_run(scene &s, const area &where)
{
    if (s.front().facts.is_flow())
        draw_flow_panel(s, where);
    else
        draw_heat_map(s, where);
}

/* Where there is no room for both: a token that is selected, or pointed at in the text, has the panel. */
void draw_one_of_both(scene &s, const area &card)
{
    const area in = inside(card, 14 * s.unit);
    const bool in_text = s.state.hovered >= 0 && !s.state.by_keys && !card.holds(ImGui::GetIO().MousePos);
    if (s.state.selected >= 0 || in_text)
        draw_token_panel(s, in);
    else
        draw_whole_run(s, in);
}

void draw_panels(scene &s, ImVec2 size)
{
    const float u = s.unit, gap = 10 * u, header = 34 * u;
    draw_header(s, {gap + 4 * u, 4 * u, size.x - gap - 4 * u, header});
    float top = header + 2 * u;
    if (s.live) {
        const area bar = {gap, top, size.x - gap, top + run_bar_height(s, size.x - 2 * gap)};
        draw_card(s, bar);
        draw_run_bar(s, bar);
        top = bar.y1 + gap;
    }
    /* A small window keeps the text, and lets the curves come closer. */
    const float timeline = std::round(std::clamp((size.y - top) * 0.32F, 118 * u, 176 * u));
    const float split = std::round(size.x - std::clamp(size.x * 0.34F, 300 * u, 620 * u));
    area left = {gap, top, split - gap / 2, size.y - timeline - gap * 1.5F};
    area bottom = {gap, size.y - timeline - gap / 2, size.x - gap, size.y - gap};
    area right = {split + gap / 2, left.y0, size.x - gap, left.y1};
    draw_left(s, left);
    begin_card(s, bottom);
    draw_timeline(s, inside(bottom, 12 * u));
    ImGui::PopClipRect();
    if (right.height() < (s.live ? 300 : 250) * u) {
        begin_card(s, right);
        draw_one_of_both(s, right);
        ImGui::PopClipRect();
        return;
    }
    const float share = s.front().facts.is_flow() ? 0.54F : s.live ? 0.64F : 0.58F;
    float middle = std::round(right.y0 + right.height() * share);
    area top_right = {right.x0, right.y0, right.x1, middle - gap / 2};
    area low_right = {right.x0, middle + gap / 2, right.x1, right.y1};
    begin_card(s, top_right);
    draw_token_panel(s, inside(top_right, 14 * u));
    ImGui::PopClipRect();
    begin_card(s, low_right);
    draw_whole_run(s, inside(low_right, 14 * u));
    ImGui::PopClipRect();
}

} // namespace

void draw_frame(scene &s)
{
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    s.state.hovered = s.state.pointed;
    s.state.pointed = -1;
    const ImVec2 moved = ImGui::GetIO().MouseDelta;
    if (moved.x != 0 || moved.y != 0 || ImGui::GetIO().MouseClicked[0])
        s.state.by_keys = false;
    /* Tab goes from field to field only where one has the keyboard. */
    const bool typing = ImGui::GetIO().WantTextInput || s.focus_text;
    s.areas.clear();
    ImGui::GetIO().UserData = &s.areas;
    ImGui::SetNextWindowPos(ImVec2(0, 0));
    ImGui::SetNextWindowSize(size);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(0, 0));
    ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 0);
    ImGui::Begin("vkdlm", nullptr,
                 ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoBackground | ImGuiWindowFlags_NoMove |
                     ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoBringToFrontOnFocus |
                     (typing ? 0 : ImGuiWindowFlags_NoNav) | ImGuiWindowFlags_NoScrollWithMouse);
    if (!s.sheets.empty())
        draw_panels(s, size);
    ImGui::End();
    ImGui::PopStyleVar(3);
    if (s.clean)
        return;
    if (s.state.writing && s.live)
        draw_write_field(s, s.sheets[0]);
    draw_toasts(s);
    if (s.state.help)
        draw_help(s);
    if (s.state.saving)
        draw_save(s);
    if (!s.state.problem.empty())
        draw_problem(s);
}

} // namespace viewer
