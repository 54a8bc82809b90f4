/* Fonts: DejaVu from the system, others for what it does not cover. */
#include <array>
#include <cmath>
#include <fstream>
#include <set>

#include <imgui_freetype.h>

#include "scene.h"

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

/* The code points of the runs' texts, of labels, and of ASCII and Latin. */
void collect_codes(const scene &s, std::set<uint32_t> &codes)
{
    for (uint32_t code = 0x20; code < 0x180; code++)
        codes.insert(code);
    for (uint32_t code : {0x2013U, 0x2018U, 0x2019U, 0x201CU, 0x201DU, 0x2022U, 0x2026U, 0x2190U, 0x2192U,
                          0x2193U, 0x2191U, 0x21B5U, 0x2423U, 0x00D7U, 0x2260U, replacement})
        codes.insert(code);
    auto add_text = [&](std::string_view text) {
        for (size_t at = 0, n = 1; at < text.size(); at += n) {
            bool cut = false;
            codes.insert(read_utf8(text.substr(at), &n, &cut));
        }
    };
    for (const sheet &sh : s.sheets) {
        const vkdlm_trajectory_info &info = sh.source->info();
        add_text(sh.source->name());
        for (const char *text : {info.model, info.device, info.prompt, info.tokenizer})
            add_text(text);
        /* Pieces may hold parts of characters: the text that they make is decoded as a whole too. */
        std::string whole;
        for (uint32_t i = 0; i < sh.facts.length(); i++) {
            int32_t id = sh.facts.final_token(i);
            std::string_view piece = id < 0 ? std::string_view() : sh.source->piece(id);
            whole.append(piece.data() ? piece : std::string_view());
        }
        add_text(whole);
        for (uint32_t i = 0; i < sh.facts.length(); i++)
            for (uint32_t k = 0; k < sh.facts.n_looks(i); k++) {
                look l = sh.facts.get_look(i, k);
                for (uint32_t j = 0; l.ids && j < sh.facts.n_candidates(); j++)
                    if (l.ids[j] >= 0)
                        add_text(sh.source->piece(l.ids[j]));
            }
    }
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

} // namespace

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
    std::set<uint32_t> codes;
    collect_codes(s, codes);
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
