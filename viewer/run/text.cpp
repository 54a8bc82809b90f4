#include "run/text.h"

#include <cstdio>

namespace viewer
{

uint32_t read_utf8(std::string_view bytes, size_t *n_bytes, bool *cut)
{
    auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])); };
    const uint32_t first = byte(0);
    *n_bytes = 1;
    *cut = false;
    if (first < 0x80)
        return first;
    if (first < 0xC2 || first > 0xF4)
        return replacement;
    const size_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    static const uint32_t least[] = {0x80, 0x800, 0x10000};
    uint32_t code = first & (0x7FU >> size);
    for (size_t i = 1; i < size; i++) {
        if (i == bytes.size()) {
            *cut = true;
            return replacement;
        }
        if ((byte(i) & 0xC0) != 0x80)
            return replacement;
        code = code << 6 | (byte(i) & 0x3F);
    }
    if (code < least[size - 2] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return replacement;
    *n_bytes = size;
    return code;
}

void append_utf8(std::string &out, uint32_t code)
{
    auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

std::vector<character> decode_text(const std::vector<text_token> &tokens)
{
    std::string bytes;
    std::vector<uint32_t> owner;
    for (size_t i = 0; i < tokens.size(); i++) {
        std::string id;
        std::string_view text = tokens[i].bytes;
        if (!tokens[i].known) {
            id = "[" + std::to_string(tokens[i].id) + "]";
            text = id;
        }
        bytes.append(text);
        owner.insert(owner.end(), text.size(), static_cast<uint32_t>(i));
    }
    std::vector<character> out;
    for (size_t at = 0; at < bytes.size();) {
        size_t n = 1;
        bool cut = false;
        uint32_t code = read_utf8(std::string_view(bytes).substr(at), &n, &cut);
        bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
        if (!control || code == '\n' || code == '\t')
            out.push_back({code == '\t' ? ' ' : code, owner[at], tokens[owner[at]].hidden});
        at += n;
    }
    return out;
}

std::string one_line(std::string text)
{
    for (char &c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
            c = ' ';
    return text;
}

std::string token_label(const run &r, int32_t id)
{
    std::string_view bytes = r.piece(id);
    if (!bytes.data())
        return "[" + std::to_string(id) + "]";
    std::string out;
    for (size_t at = 0; at < bytes.size();) {
        size_t n = 1;
        bool cut = false;
        uint32_t code = read_utf8(bytes.substr(at), &n, &cut);
        bool at_end = at == 0 || at + n == bytes.size();
        char hex[8];
        if (code == '\n') {
            out += "\u21B5";
        } else if (code == ' ' && at_end) {
            out += "\u2423";
        } else if (code < 0x20 || (code >= 0x7F && code < 0xA0) || (code == replacement && n == 1)) {
            snprintf(hex, sizeof hex, "<0x%02X>",
                     static_cast<unsigned>(static_cast<unsigned char>(bytes[at])));
            out += hex;
        } else {
            append_utf8(out, code);
        }
        at += n;
    }
    return out;
}

} // namespace viewer
