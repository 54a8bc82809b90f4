/* Where the characters of a text are drawn: words wrap at the width, line feeds end lines. */
#ifndef VIEWER_LAYOUT_H
#define VIEWER_LAYOUT_H

#include <functional>
#include <vector>

#include "run/text.h"

namespace viewer
{

/* Width of a character. */
using measure_fn = std::function<float(uint32_t code)>;

/* Characters of one token side by side on one line. A token that a line ends within has several. */
struct text_box {
    uint32_t position;
    uint32_t line;
    float x0, x1;         /* its room */
    float ink_x0, ink_x1; /* without spaces at its ends; the room when it is nothing else */
    uint32_t first, n;    /* into the characters, spaces that a line ends with left out */
    bool breaks;          /* a line feed of the token ends the line here */
};

struct text_layout {
    std::vector<text_box> boxes; /* in the order of the text */
    uint32_t n_lines;
};

/* Lays characters out in lines of `width`. Lines end at spaces, hyphens, and on both sides of ideographs; a
 * word that is wider than a line is cut. Positions (0 .. n_positions - 1) without a character get a box of
 * width `empty` where they stand, so that every position has one. */
text_layout lay_out(const std::vector<character> &characters, uint32_t n_positions, const measure_fn &measure,
                    float width, float empty);

} // namespace viewer

#endif
