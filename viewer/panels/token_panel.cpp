/* What is known of one position: candidates now, their history, when the token was committed and what came
 * second. Without a position: what is known of the run. */
#include <algorithm>
#include <cmath>
#include <map>

#include "panels/widgets.h"
#include "running.h"

namespace viewer
{
namespace
{

constexpr size_t n_lines = 6;
constexpr float bar_height = 17; /* points */

std::string probability_text(float p)
{
    return p > 0 && p < 0.0005F ? "<0.001" : format_text("%.3f", static_cast<double>(p));
}

/* "from step 3 (2 edits), 9": where the run was gone on with. */
std::string describe_resumptions(const vkdlm_trajectory_info &info)
{
    std::string out;
    for (uint32_t i = 0; i < info.n_resumptions; i++) {
        const vkdlm_trajectory_resumption &r = info.resumptions[i];
        out += i ? ", " : info.kind == VKDLM_TRAJECTORY_FLOW ? "from token " : "from step ";
        out += std::to_string(r.step);
        if (r.n_edits)
            out += " (" + std::to_string(r.n_edits) + (r.n_edits == 1 ? " edit)" : " edits)");
    }
    return out;
}

struct fact {
    const char *name;
    std::string value;
};

/* Of the run, those first that tell most. */
std::vector<fact> list_facts(const sheet &sh)
{
    const vkdlm_trajectory_info &info = sh.source->info();
    const bool flow = sh.facts.is_flow();
    std::vector<fact> out = {
        {"kind", flow ? "diffusion path beside an autoregressive model" : "masked diffusion"},
        {"model", info.model},
        {"seed", info.seed},
        {flow ? "new tokens" : "length",
         flow ? std::to_string(info.n_tokens) : format_text("%u tokens", info.length)},
        {flow ? "evaluations" : "steps", std::to_string(flow ? info.n_evaluations : info.n_steps)},
        {"gone on", describe_resumptions(info)},
        {"prompt", info.prompt},
        {"device", info.device},
        {"candidates", std::to_string(info.n_candidates)},
        {"dimensions", flow ? std::to_string(info.dim) : ""},
    };
    out.erase(std::remove_if(out.begin(), out.end(), [](const fact &f) { return f.value.empty(); }),
              out.end());
    return out;
}

void draw_run(scene &s, const area &where)
{
    const sheet &sh = s.sheets[s.state.active];
    const theme &t = s.colours();
    const ImFont *font = s.fonts.small;
    const float u = s.unit;
    float y = where.y0;
    put_text(s.fonts.bold, where.x0, y, t.text, "The run");
    y += 28 * u;
    /* Closer where there is little room, and as many as there is room for. */
    const std::vector<fact> facts = list_facts(sh);
    const float row = where.y1 - y < static_cast<float>(facts.size()) * 21 * u ? 17 * u : 21 * u;
    for (const fact &f : facts) {
        if (y + font->FontSize > where.y1)
            return;
        put_text(font, where.x0, y, t.faint, f.name);
        put_text_within(font, where.x0 + 100 * u, y, where.width() - 100 * u, t.text, one_line(f.value));
        y += row;
    }
    y += 6 * u;
    const std::string hint = "Point at a token, or press Tab, for its candidates and how they changed.";
    const float hint_height =
        font->CalcTextSizeA(font->FontSize, FLT_MAX, where.width(), hint.data(), hint.data() + hint.size()).y;
    if (y + hint_height > where.y1)
        return;
    ImGui::GetWindowDrawList()->AddText(font, font->FontSize, ImVec2(where.x0, y), t.faint, hint.data(),
                                        hint.data() + hint.size(), where.width());
    y += hint_height + 12 * u;
    if (s.live || !*sh.source->info().model || s.sheets.size() > 1 || y + 28 * u > where.y1)
        return;
    const std::string label = "Open the model";
    if (text_button(s, "open model", {where.x0, y, where.x0 + button_width(s, label), y + 28 * u}, label,
                    look_of::plain))
        s.asked.push_back(action::open_model);
    tooltip(s, "Tokens can be edited then, and the run goes on from any step", key_of(action::open_model));
}

/* A line of facts about a position. */
std::string describe(const sheet &sh, uint32_t step, uint32_t position, bool brief)
{
    const analysis &a = sh.facts;
    int32_t committed = a.committed(position);
    float probability = a.commit_probability(position);
    std::string out;
    if (a.by_hand(position))
        return committed && !a.is_flow() ? "put there by hand behind step " + std::to_string(committed)
                                         : "put there by hand";
    if (committed == 0)
        return "given";
    if (committed < 0)
        return "not committed";
    out = a.is_flow() ? "token " + std::to_string(position + 1)
                      : (brief ? "step " : "committed in step ") + std::to_string(committed);
    if (!a.is_flow() && static_cast<int64_t>(step) < committed && !brief)
        out = "will be " + out;
    if (std::isfinite(probability))
        out += (brief ? ", probability " : " with probability ") + probability_text(probability);
    return out;
}

/* What people did to the position until the step; "" when they did nothing. */
std::string describe_edit(const sheet &sh, uint32_t step, uint32_t position)
{
    const analysis::hand *h = sh.facts.edited(step, position);
    if (!h)
        return "";
    const bool flow = sh.facts.is_flow();
    const std::string was = h->edit.from < 0
                                ? std::string(flow ? "" : "was masked")
                                : "was \u2018" + token_label(*sh.source, h->edit.from) + "\u2019";
    if (h->edit.to >= 0)
        return was.empty() ? "written behind the end of the text" : was;
    return (flow ? "drawn anew" : "masked again behind step " + std::to_string(h->step)) +
           (was.empty() ? "" : ", " + was);
}

/* What else it might have become: the most probable token beside the committed one, when it was committed. */
std::string runner_up(const sheet &sh, uint32_t position)
{
    const analysis &a = sh.facts;
    int32_t committed = a.committed(position);
    uint32_t n = committed > 0 ? a.looks_until(static_cast<uint32_t>(committed), position) : 0;
    if (!n || a.by_hand(position))
        return "";
    look l = a.get_look(position, n - 1);
    for (uint32_t i = 0; l.ids && i < a.n_candidates(); i++) {
        if (l.ids[i] < 0 || l.ids[i] == a.final_token(position))
            continue;
        return (i ? "second was \u2018" : "the likeliest was \u2018") + token_label(*sh.source, l.ids[i]) +
               "\u2019 with " + probability_text(l.probabilities[i]);
    }
    return "";
}

/* The candidates; of a live run each is a button that takes it. */
void draw_bars(scene &s, const sheet &sh, const area &where, const look &l, int32_t taken, uint32_t most)
{
    const theme &t = s.colours();
    const float u = s.unit, label = std::min(130 * u, where.width() * 0.36F), number = 52 * u;
    const ImFont *font = s.fonts.small;
    const uint32_t n = std::min(sh.facts.n_candidates(), most);
    const float height = bar_height * u;
    for (uint32_t i = 0; i < n && l.ids && l.ids[i] >= 0; i++) {
        float y = where.y0 + height * static_cast<float>(i), text_y = y + (height - font->FontSize) / 2;
        if (s.live && s.live->model().vocab_size) {
            const area row = {where.x0 - 6 * u, y, where.x1 + 6 * u, y + height};
            const auto take = static_cast<action>(static_cast<int>(action::take_1) + static_cast<int>(i));
            if (press_area(("take " + std::to_string(i)).c_str(), row) && i < n_takes)
                s.asked.push_back(take);
            if (ImGui::IsItemHovered())
                fill(row, with_alpha(t.accent, 0.14F), 4 * u);
            tooltip(s, "Put this token here", i < n_takes ? key_of(take) : "");
        }
        bool is_taken = l.ids[i] == taken;
        put_text_within(font, where.x0, text_y, label - 8 * u, is_taken ? t.changed : t.text,
                        token_label(*sh.source, l.ids[i]));
        area track = {where.x0 + label, y + 3 * u, where.x1 - number, y + height - 3 * u};
        fill(track, t.grid, 2 * u);
        float p = std::clamp(l.probabilities[i], 0.0F, 1.0F);
        if (track.width() * p >= 0.5F)
            fill({track.x0, track.y0, track.x0 + std::max(track.width() * p, 2 * u), track.y1},
                 is_taken ? t.changed : t.curve, 2 * u);
        put_text_right(font, where.x1, text_y, t.text, probability_text(p));
    }
}

/* The tokens that were most probable at some time, the most probable first. */
std::vector<int32_t> leaders(const sheet &sh, uint32_t position)
{
    std::map<int32_t, float> most;
    for (uint32_t k = 0; k < sh.facts.n_looks(position); k++) {
        look l = sh.facts.get_look(position, k);
        for (uint32_t i = 0; l.ids && i < sh.facts.n_candidates() && l.ids[i] >= 0; i++)
            if (float &m = most[l.ids[i]]; l.probabilities[i] > m)
                m = l.probabilities[i];
    }
    std::vector<int32_t> out;
    for (const auto &[id, m] : most)
        out.push_back(id);
    std::stable_sort(out.begin(), out.end(), [&](int32_t a, int32_t b) { return most[a] > most[b]; });
    if (out.size() > n_lines)
        out.resize(n_lines);
    return out;
}

void draw_history(const scene &s, const sheet &sh, const area &where, uint32_t position, uint32_t step)
{
    const theme &t = s.colours();
    const analysis &a = sh.facts;
    const float u = s.unit, names = std::min(120 * u, where.width() * 0.34F), ticks = 16 * u;
    const ImFont *font = s.fonts.small;
    area plot = {where.x0, where.y0 + 4 * u, where.x1 - names, where.y1 - ticks};
    const uint32_t n = a.n_looks(position);
    std::vector<float> x(n), y(n);
    for (uint32_t k = 0; k < n; k++) {
        look l = a.get_look(position, k);
        float at =
            a.is_flow() ? l.time : static_cast<float>(l.step) / static_cast<float>(std::max(a.span(), 1U));
        x[k] = plot.x0 + plot.width() * (std::isfinite(at) ? std::clamp(at, 0.0F, 1.0F) : 0);
    }
    for (int i = 0; i <= 2; i++) {
        float line = std::floor(plot.y0 + plot.height() * static_cast<float>(i) / 2) + 0.5F;
        ImGui::GetWindowDrawList()->AddLine(ImVec2(plot.x0, line), ImVec2(plot.x1, line), t.grid);
    }
    const std::vector<int32_t> ids = leaders(sh, position);
    float most = 0.05F;
    for (uint32_t k = 0; k < n; k++)
        if (float p = a.get_look(position, k).probabilities[0]; std::isfinite(p))
            most = std::clamp(p, most, 1.0F);
    float name_y = plot.y0 - 6 * u;
    size_t c = 0;
    for (int32_t id : ids) {
        for (uint32_t k = 0; k < n; k++) {
            look l = a.get_look(position, k);
            y[k] = NAN;
            for (uint32_t i = 0; i < a.n_candidates(); i++)
                if (l.ids[i] == id)
                    y[k] = l.probabilities[i];
        }
        draw_curve(plot, x, y, most, t.lines[c], 2 * u);
        if (name_y + font->FontSize <= where.y1) {
            fill({plot.x1 + 12 * u, name_y + font->FontSize / 2 - 1.5F * u, plot.x1 + 24 * u,
                  name_y + font->FontSize / 2 + 1.5F * u},
                 t.lines[c]);
            put_text_within(font, plot.x1 + 30 * u, name_y, names - 30 * u, t.text,
                            token_label(*sh.source, id));
        }
        name_y += 18 * u;
        c++;
    }
    if (!a.is_flow()) {
        float cursor =
            plot.x0 + plot.width() * static_cast<float>(step) / static_cast<float>(std::max(a.span(), 1U));
        draw_cursor(s, cursor, plot);
    }
    const std::string top = probability_text(most);
    fill({plot.x0, plot.y0, plot.x0 + text_width(font, top) + 4 * u, plot.y0 + font->FontSize},
         with_alpha(t.panel, 0.85F));
    put_text(font, plot.x0 + 2 * u, plot.y0, t.faint, top);
    put_text(font, plot.x0, plot.y1 + 2 * u, t.faint, a.is_flow() ? "t = 0" : "step 0");
    put_text_right(font, plot.x1, plot.y1 + 2 * u, t.faint, a.is_flow() ? "1" : std::to_string(a.span()));
}

/* What can be done to a position of a live run; returns where it ends. */
float draw_edits(scene &s, const area &where, uint32_t position, uint32_t step)
{
    const float u = s.unit, height = 26 * u, y = where.y0;
    int32_t token = 0;
    const bool edited = waiting_edit(*s.live, step, position, &token);
    const live_control c = controls(s);
    const bool flow = c.facts.is_flow();
    const struct {
        const char *id, *label, *tip;
        action does;
    } buttons[] = {
        {"mask again", flow ? "Draw again" : "Mask again",
         flow ? "The run draws this token anew, and those behind it" : "The run fills this position anew",
         action::mask_again},
        {"write", "Write\u2026", "Put another text here", action::write},
        {"drop edit", "Drop the edit", "The token stays as it was", action::drop_edit},
    };
    float x = where.x0;
    for (const auto &b : buttons) {
        if (b.does == action::drop_edit && !edited)
            continue;
        const area a = {x, y, x + button_width(s, b.label), y + height};
        if (a.x1 > where.x1)
            break;
        if (text_button(s, b.id, a, b.label, look_of::plain, can(c, b.does)))
            s.asked.push_back(b.does);
        tooltip(s, b.tip, key_of(b.does));
        x = a.x1 + 6 * u;
    }
    return y + height;
}

} // namespace

void draw_token_panel(scene &s, const area &where)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const sheet &sh = s.front();
    note_area("token", where);
    const int64_t at = focus(s.state);
    if (at < 0 || at >= static_cast<int64_t>(sh.facts.length())) {
        draw_run(s, where);
        return;
    }
    const auto position = static_cast<uint32_t>(at);
    const uint32_t step = s.step_of(sh), n = sh.facts.looks_until(step, position);
    const int32_t final_token = sh.facts.final_token(position);
    moment m = sh.facts.at(step, position);
    float y = where.y0;
    const bool flow = sh.facts.is_flow();
    auto label = [&](int32_t token, const char *none) {
        return token < 0 ? std::string(none) : token_label(*sh.source, token);
    };
    std::string title = label(m.token, flow ? "to come" : "masked");
    int32_t edit = 0;
    if (s.live && waiting_edit(*s.live, step, position, &edit))
        title += " \u2192 " + label(edit, flow ? "drawn anew" : "masked");
    std::string place = format_text("position %u", position);
    float room = where.width() - text_width(s.fonts.small, place) - 12 * u;
    put_text_within(s.fonts.bold, where.x0, y, room, t.text, title);
    put_text_right(s.fonts.small, where.x1, y + 1 * u, t.faint, place);
    y += 24 * u;
    const std::string by_hand = describe_edit(sh, step, position);
    const float sign = by_hand.empty() ? 0 : 14 * u;
    if (sign > 0)
        draw_edit_sign(s, where.x0 + 9 * u, y + 3 * u);
    std::string facts = describe(sh, step, position, false);
    if (text_width(s.fonts.small, facts) > where.width() - sign)
        facts = describe(sh, step, position, true);
    put_text_within(s.fonts.small, where.x0 + sign, y, where.width() - sign, t.text, facts);
    y += 19 * u;
    std::string second = !by_hand.empty()                     ? by_hand
                         : s.live && where.height() < 190 * u ? ""
                                                              : runner_up(sh, position);
    put_text_within(s.fonts.small, where.x0, y, where.width(), t.faint, second);
    y += (second.empty() && s.live ? 8 : 25) * u;
    if (s.live && s.live->model().vocab_size)
        y = draw_edits(s, {where.x0, y - 2 * u, where.x1, y}, position, step) + 8 * u;
    if (!sh.facts.n_looks(position) || !sh.facts.n_candidates()) {
        put_text_within(s.fonts.small, where.x0, y, where.width(), t.faint,
                        sh.facts.n_candidates() ? "Nothing was evaluated here."
                                                : "The file has no candidates.");
        return;
    }
    const uint32_t n_bars =
        std::min(where.y1 - y < 290 * u ? where.y1 - y < 230 * u ? 4U : 6U : 8U, sh.facts.n_candidates());
    const float bars = static_cast<float>(n_bars) * bar_height * u;
    if (n) {
        look l = sh.facts.get_look(position, n - 1);
        put_text(s.fonts.small, where.x0, y, t.faint,
                 sh.facts.is_flow()
                     ? format_text("refined, entropy %.2f nats", static_cast<double>(l.entropy))
                     : format_text("step %u, entropy %.2f nats", l.step, static_cast<double>(l.entropy)));
        draw_bars(s, sh, {where.x0, y + 20 * u, where.x1, y + 20 * u + bars}, l, final_token, n_bars);
    } else {
        put_text_within(s.fonts.small, where.x0, y, where.width(), t.faint, "Not evaluated until this step.");
    }
    y += 20 * u + bars + 8 * u;
    if (where.y1 - y > 50 * u)
        draw_history(s, sh, {where.x0, y, where.x1, where.y1}, position, step);
}

} // namespace viewer
