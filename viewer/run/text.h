/* Tokens as characters. */
#ifndef VIEWER_TEXT_H
#define VIEWER_TEXT_H

#include <string>
#include <vector>

#include "run/run.h"

namespace viewer
{

constexpr uint32_t replacement = 0xFFFD;

/* A character and the token that it begins in. */
struct character {
    uint32_t code;
    uint32_t position;
    bool hidden; /* takes its room and is not drawn */
};

/* One token of a text. */
struct text_token {
    std::string_view bytes;
    bool known;  /* false: there is no text of it; it is shown as [id] */
    bool hidden; /* masked: its room is that of these bytes */
    int32_t id;
};

/* The characters of a text. A character may be spread over tokens: it belongs to the one with its first byte;
 * bytes that are no UTF-8 give U+FFFD; control characters other than line feed are dropped; CR LF is LF. A
 * token that no character begins in gets none. */
std::vector<character> decode_text(const std::vector<text_token> &tokens);

/* A token as a label on one line: spaces at its ends and line feeds get signs, what is no UTF-8 is shown as
 * <0xAB>, an id without text as [id]. */
std::string token_label(const run &r, int32_t id);

/* The same text with spaces for control characters. */
std::string one_line(std::string text);

/* Appends a code point as UTF-8. */
void append_utf8(std::string &out, uint32_t code);

/* Reads one character; n_bytes tells how many bytes it took (at least 1). replacement for a byte that is no
 * UTF-8; `cut` is set when the bytes end within a character. */
uint32_t read_utf8(std::string_view bytes, size_t *n_bytes, bool *cut);

} // namespace viewer

#endif
