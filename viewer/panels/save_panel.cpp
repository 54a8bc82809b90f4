/* The overlay that asks what to save, and where. */
#include <unistd.h>

#include "panels/overlay.h"
#include "panels/widgets.h"
#include "screen/save.h"

namespace viewer
{
namespace
{

struct kind_text {
    save_kind kind;
    const char *label, *tip;
};

std::vector<kind_text> kinds_of(const scene &s)
{
    std::vector<kind_text> out;
    if (s.live)
        out.push_back({save_kind::recording, "Recording", "The run, to be opened again"});
    out.push_back({save_kind::png, "Picture", "This view as a PNG file"});
    out.push_back({save_kind::gif, "Animation", "All steps as a GIF file, at the speed of the replay"});
    out.push_back({save_kind::frames, "Frames", "A folder with a PNG file a step"});
    return out;
}

std::string suggested_name(const scene &s, save_kind kind)
{
    if (kind == save_kind::recording && !s.recording.empty())
        return s.recording;
    return default_name(s.sheets[s.state.active].source->name(), kind, s.state.step);
}

void choose_kind(scene &s, save_kind kind)
{
    /* A name of the user's own stays, but for its ending. */
    const auto before = static_cast<save_kind>(s.save.kind);
    if (s.save.name.empty() || s.save.name == suggested_name(s, before))
        s.save.name = suggested_name(s, kind);
    else
        s.save.name = name_of_kind(s.save.name, kind);
    s.save.kind = static_cast<int>(kind);
    s.save.overwrite = false;
    s.save.problem.clear();
}

void open_form(scene &s)
{
    s.save.opened = true;
    s.save.name.clear();
    choose_kind(s, s.live && s.live->version() != s.saved_version ? save_kind::recording : save_kind::png);
}

void ask(scene &s)
{
    const std::string path = full_path(s.save.name);
    s.save.problem.clear();
    if (path.empty()) {
        s.save.problem = "A name is missing.";
        return;
    }
    if (s.sheets.empty() || !s.sheets[0].facts.length()) {
        s.save.problem = "There is nothing to save yet.";
        return;
    }
    if (access(path.c_str(), F_OK) == 0 && !s.save.overwrite) {
        s.save.overwrite = s.save.refocus = true;
        return;
    }
    s.save.asked = true;
    s.state.saving = false;
}

} // namespace

void draw_save(scene &s)
{
    const theme &t = s.colours();
    const float u = s.unit;
    const area in =
        begin_overlay(s, "save", std::min(560 * u, ImGui::GetIO().DisplaySize.x - 24 * u), 206 * u);
    const bool appeared = !s.save.opened;
    if (appeared) {
        ImGui::SetWindowFocus();
        open_form(s);
    }
    put_text(s.fonts.bold, in.x0, in.y0, t.text, "Save");
    put_text_right(s.fonts.small, in.x1, in.y0 + u, t.faint,
                   "\u2191 \u2193 choose \u00B7 Enter writes \u00B7 Esc closes");
    const std::vector<kind_text> kinds = kinds_of(s);
    size_t chosen = 0;
    for (size_t i = 0; i < kinds.size(); i++)
        if (static_cast<int>(kinds[i].kind) == s.save.kind)
            chosen = i;
    float x = in.x0;
    const float y = in.y0 + 36 * u;
    for (size_t i = 0; i < kinds.size(); i++) {
        const area a = {x, y, x + button_width(s, kinds[i].label), y + 28 * u};
        if (text_button(s, kinds[i].label, a, kinds[i].label, i == chosen ? look_of::main : look_of::plain))
            choose_kind(s, kinds[i].kind);
        tooltip(s, kinds[i].tip);
        x = a.x1 + 6 * u;
    }
    if (ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_DownArrow)))
        choose_kind(s, kinds[(chosen + 1) % kinds.size()].kind);
    if (ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_UpArrow)))
        choose_kind(s, kinds[(chosen + kinds.size() - 1) % kinds.size()].kind);

    const area name = {in.x0, y + 40 * u, in.x1, y + 72 * u};
    const std::string before = s.save.name;
    bool enter = false;
    {
        const field_style style(s, name.height());
        /* The name may be another one from the arrows: the field is made anew then. */
        ImGui::PushID(s.save.kind);
        if (appeared || s.save.field_kind != s.save.kind || s.save.refocus)
            ImGui::SetKeyboardFocusHere();
        s.save.refocus = false;
        s.save.field_kind = s.save.kind;
        text_field("##name", name, s.save.name, "name of the file", &enter);
        ImGui::PopID();
    }
    note_text(s, s.save.name);
    if (s.save.name != before) {
        s.save.overwrite = false;
        s.save.problem.clear();
    }
    const area save = {in.x1 - button_width(s, "Write"), in.y1 - 28 * u, in.x1, in.y1};
    if (text_button(s, "write", save, "Write", look_of::main) || enter)
        ask(s);
    const area cancel = {save.x0 - button_width(s, "Cancel") - 8 * u, save.y0, save.x0 - 8 * u, save.y1};
    if (text_button(s, "cancel", cancel, "Cancel", look_of::plain))
        s.state.saving = false;
    std::string told = s.save.problem;
    if (s.save.overwrite)
        told = "That name exists: Enter again overwrites it.";
    put_text_within(s.fonts.small, in.x0, (save.y0 + save.y1 - s.fonts.small->FontSize) / 2,
                    cancel.x0 - in.x0 - 12 * u, t.changed, told);
    ImGui::End();
    if (!s.state.saving)
        s.save.opened = false;
}

} // namespace viewer
