/* The legend below the canvas: what colours and rings mean. */
#include <cmath>

#include "panels/scene.h"

namespace viewer
{
namespace
{

constexpr float row_height = 22; /* points */

/* How much is written: of the second, bars are short. */
enum class words { all, all_closer, few };

enum class shape { scale, swatch, ring, line, corner };

/* An entry: a sign with its meaning. */
struct entry {
    shape what;
    colour ink;                  /* but for a scale */
    std::string before;          /* a scale: what stands at its lower end */
    std::string label;           /* behind it */
    std::vector<colour> colours; /* of a scale */
};

std::vector<colour> viridis_stops()
{
    std::vector<colour> out;
    for (int i = 0; i <= 8; i++)
        out.push_back(viridis(static_cast<float>(i) / 8, 0));
    return out;
}

/* Long, or in few words where there is no room for them. */
std::vector<entry> make_entries(const scene &s, words how)
{
    const theme &t = s.colours();
    const sheet &sh = s.sheets[s.state.active];
    const bool flow = sh.facts.is_flow();
    std::vector<entry> out;
    auto pick = [how](const char *all, const char *few) {
        return std::string(how == words::few ? few : all);
    };
    if (s.state.shown == quantity::candidate) {
        out.push_back({shape::swatch,
                       t.same,
                       "",
                       flow ? "base agrees" : pick("best guess is the final token", "final token"),
                       {}});
        out.push_back(
            {shape::swatch, t.other, "", flow ? "base differs" : pick("is another", "another"), {}});
    } else {
        quantity_scale scale = get_scale(sh.facts, s.state.shown);
        out.push_back({shape::scale, 0, scale.low, scale.high, viridis_stops()});
        if (!flow)
            out.push_back(
                {shape::scale, 0, pick("masked  sure", "sure"), "unsure", {t.mask_low, t.mask_high}});
    }
    out.push_back({shape::ring, t.changed, "", flow ? "newest" : pick("committed in this step", "new"), {}});
    bool edited = false;
    for (const sheet &x : s.sheets)
        edited |= x.facts.has_edits();
    if (edited)
        out.push_back({shape::corner, t.changed, "", pick("edited by hand", "edited"), {}});
    if (s.sheets.size() == 2)
        out.push_back({shape::line, t.other, "", pick("runs differ", "differ"), {}});
    return out;
}

float sign_width(const scene &s, const entry &e, words how)
{
    return (e.what == shape::scale    ? how == words::all ? 110 : 48
            : e.what == shape::corner ? 9
                                      : 16) *
           s.unit;
}

float entry_width(const scene &s, const entry &e, words how)
{
    const float before = e.before.empty() ? 0 : text_width(s.fonts.small, e.before) + 6 * s.unit;
    return before + sign_width(s, e, how) + 6 * s.unit + text_width(s.fonts.small, e.label);
}

/* Where the entries are: in one row with all words, else in few, in as many rows as these take. */
struct legend_layout {
    words how;
    std::vector<entry> entries;
    std::vector<uint32_t> row;
    std::vector<float> x;
    uint32_t n_rows;
};

legend_layout place_entries(const scene &s, float width)
{
    legend_layout out = {};
    for (words how : {words::all, words::all_closer, words::few}) {
        const float gap = (how == words::all ? 18 : 14) * s.unit;
        out = {how, make_entries(s, how), {}, {}, 1};
        float x = 0;
        for (const entry &e : out.entries) {
            const float w = entry_width(s, e, how);
            if (x > 0 && x + w > width) {
                out.n_rows++;
                x = 0;
            }
            out.row.push_back(out.n_rows - 1);
            out.x.push_back(x);
            x += w + gap;
        }
        if (out.n_rows == 1)
            break;
    }
    return out;
}

void draw_scale(const area &bar, const std::vector<colour> &colours)
{
    const auto n = static_cast<float>(colours.size() - 1);
    for (size_t i = 0; i + 1 < colours.size(); i++) {
        float from = std::round(bar.x0 + bar.width() * static_cast<float>(i) / n),
              to = std::round(bar.x0 + bar.width() * static_cast<float>(i + 1) / n);
        ImGui::GetWindowDrawList()->AddRectFilledMultiColor(
            ImVec2(from, bar.y0), ImVec2(to, bar.y1), colours[i], colours[i + 1], colours[i + 1], colours[i]);
    }
}

void draw_entry(const scene &s, float x, float y, const entry &e, words how)
{
    const float u = s.unit, text_y = y - s.fonts.small->FontSize / 2, width = sign_width(s, e, how);
    const colour faint = s.colours().faint;
    if (!e.before.empty()) {
        put_text(s.fonts.small, x, text_y, faint, e.before);
        x += text_width(s.fonts.small, e.before) + 6 * u;
    }
    switch (e.what) {
    case shape::scale:
        draw_scale({x, y - 6 * u, x + width, y + 6 * u}, e.colours);
        break;
    case shape::swatch:
        fill({x, y - 7 * u, x + width, y + 7 * u}, e.ink, 3 * u);
        break;
    case shape::ring:
        outline({x, y - 7 * u, x + width, y + 7 * u}, e.ink, 4 * u, 2 * u);
        break;
    case shape::line:
        fill({x, y + 4 * u, x + width, y + 6 * u}, e.ink);
        break;
    case shape::corner:
        draw_edit_sign(s, x + width, y - 4 * u);
        break;
    }
    put_text(s.fonts.small, x + width + 6 * u, text_y, faint, e.label);
}

} // namespace

float legend_height(const scene &s, float width)
{
    return static_cast<float>(place_entries(s, width).n_rows) * row_height * s.unit;
}

void draw_legend(scene &s, const area &where)
{
    const legend_layout l = place_entries(s, where.width());
    const float row = row_height * s.unit;
    for (size_t i = 0; i < l.entries.size(); i++)
        draw_entry(s, where.x0 + l.x[i], where.y0 + row * (static_cast<float>(l.row[i]) + 0.5F), l.entries[i],
                   l.how);
}

} // namespace viewer
