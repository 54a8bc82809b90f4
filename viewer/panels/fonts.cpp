/* Fonts: DejaVu from the system, others for what it does not cover. */
#include <array>
#include <cmath>
#include <fstream>
#include <set>

#include <imgui_freetype.h>

#include "panels/scene.h"

namespace viewer
{
namespace
{

/* The first file that exists of each is taken. */
const std::vector<std::string> plain_files = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/freefont/FreeSans.ttf",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
};
const std::vector<std::string> bold_files = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf",
    "/usr/share/fonts/TTF/DejaVuSans-Bold.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans-Bold.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Bold.ttf",
    "/usr/share/fonts/truetype/freefont/FreeSansBold.ttf",
};
const std::vector<std::string> ideograph_files = {
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
};

std::string find_font(const std::vector<std::string> &files)
{
    for (const std::string &file : files)
        if (std::ifstream(file).good())
            return file;
    return "";
}

/* ASCII and Latin, and what labels need. */
std::set<uint32_t> own_codes()
{
    std::set<uint32_t> codes = {0x2013, 0x2014, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2026, 0x2190,
                                0x2192, 0x2193, 0x2191, 0x21B5, 0x2423, 0x00D7, 0x2260, 0x25B8, replacement};
    for (uint32_t code = 0x20; code < 0x180; code++)
        codes.insert(code);
    return codes;
}

void note_token(scene &s, const sheet &sh, int32_t id)
{
    if (id >= 0 && s.glyphs.tokens.insert(id).second)
        note_text(s, sh.source->piece(id));
}

std::vector<ImWchar> make_ranges(const std::set<uint32_t> &codes)
{
    std::vector<ImWchar> ranges;
    for (uint32_t code : codes) {
        if (code == 0 || code > 0xFFFF)
            continue;
        auto wide = static_cast<ImWchar>(code);
        if (!ranges.empty() && ranges.back() + 1U == code)
            ranges.back() = wide;
        else
            ranges.insert(ranges.end(), {wide, wide});
    }
    ranges.push_back(0);
    return ranges;
}

/* Pieces may hold parts of characters: the text that they make is decoded as a whole too. */
void note_whole(scene &s, const sheet &sh)
{
    std::string whole;
    for (uint32_t i = 0; i < sh.facts.length(); i++) {
        int32_t id = sh.facts.final_token(i);
        std::string_view piece = id < 0 ? std::string_view() : sh.source->piece(id);
        whole.append(piece.data() ? piece : std::string_view());
    }
    note_text(s, whole);
}

} // namespace

void note_text(scene &s, std::string_view text)
{
    for (size_t at = 0, n = 1; at < text.size(); at += n) {
        bool cut = false;
        s.glyphs.stale |= s.glyphs.codes.insert(read_utf8(text.substr(at), &n, &cut)).second;
    }
}

void note_glyphs(scene &s, const sheet &sh, uint32_t step)
{
    const vkdlm_trajectory_info &info = sh.source->info();
    note_text(s, sh.source->name());
    for (const char *text : {info.model, info.device, info.prompt, info.tokenizer})
        note_text(s, text);
    note_whole(s, sh);
    vkdlm_trajectory_step v;
    for (; !sh.facts.is_flow() && sh.source->step(step, &v); step++) {
        for (uint32_t i = 0; i < sh.facts.length(); i++)
            if (v.tokens[i] != info.mask_id)
                note_token(s, sh, v.tokens[i]);
        const size_t n = v.topk_ids ? size_t{sh.facts.length()} * sh.facts.n_candidates() : 0;
        for (size_t i = 0; i < n; i++)
            note_token(s, sh, v.topk_ids[i]);
    }
    for (; sh.facts.is_flow() && step < sh.facts.length(); step++)
        for (uint32_t k = 0; k < sh.facts.n_looks(step); k++) {
            look l = sh.facts.get_look(step, k);
            for (uint32_t i = 0; l.ids && i < sh.facts.n_candidates(); i++)
                note_token(s, sh, l.ids[i]);
        }
}

bool load_fonts(scene &s, std::string &error)
{
    ImFontAtlas *atlas = ImGui::GetIO().Fonts;
    atlas->Clear();
    atlas->FontBuilderIO = ImGuiFreeType::GetBuilderForFreeType();
    atlas->FontBuilderFlags = ImGuiFreeTypeBuilderFlags_LightHinting;
    atlas->TexDesiredWidth = 2048;
    const std::string plain = find_font(plain_files), bold = find_font(bold_files),
                      ideographs = find_font(ideograph_files);
    if (plain.empty()) {
        error =
            "no font was found: expected DejaVu Sans (Debian package fonts-dejavu-core) or another of the "
            "usual ones";
        return false;
    }
    const std::set<uint32_t> own = own_codes();
    s.glyphs.codes.insert(own.begin(), own.end());
    s.glyphs.stale = false;
    const std::set<uint32_t> &codes = s.glyphs.codes;
    bool needs_ideographs = false;
    for (uint32_t code : codes)
        needs_ideographs |= code >= 0x2E80 && code < 0x10000 && code != replacement;
    const std::vector<ImWchar> ranges = make_ranges(codes);
    auto add = [&](const std::string &file, float size) {
        ImFontConfig config;
        config.PixelSnapH = true;
        float pixels = std::round(size * s.unit);
        ImFont *font = atlas->AddFontFromFileTTF(file.c_str(), pixels, &config, ranges.data());
        if (font && needs_ideographs && !ideographs.empty()) {
            config.MergeMode = true;
            atlas->AddFontFromFileTTF(ideographs.c_str(), pixels, &config, ranges.data());
        }
        return font;
    };
    static const float text_sizes[n_text_fonts] = {27, 21, 17, 13};
    s.fonts.ui = add(plain, 16);
    s.fonts.small = add(plain, 14);
    s.fonts.bold = add(bold.empty() ? plain : bold, 16);
    for (int i = 0; i < n_text_fonts; i++)
        s.fonts.text[i] = add(plain, text_sizes[i]);
    bool good = s.fonts.ui && s.fonts.small && s.fonts.bold;
    for (ImFont *font : s.fonts.text)
        good = good && font;
    if (!good || !atlas->Build()) {
        error = "the font '" + plain + "' could not be read";
        return false;
    }
    return true;
}

} // namespace viewer
