#include "panels/layout.h"

#include <algorithm>

namespace viewer
{
namespace
{

bool is_ideograph(uint32_t code)
{
    return (code >= 0x2E80 && code < 0xA4D0) || (code >= 0xAC00 && code < 0xD7B0) ||
           (code >= 0xF900 && code < 0xFB00) || (code >= 0xFF00 && code < 0xFFF0);
}

/* Whether a line may end between these two. */
bool may_break(uint32_t before, uint32_t after)
{
    if (after == ' ')
        return false;
    return before == ' ' || before == '-' || is_ideograph(before) || is_ideograph(after);
}

/* Something that takes room: a character, or a position without one. */
struct item {
    uint32_t code; /* 0: no character */
    uint32_t position, index;
    float width;
};

std::vector<item> make_items(const std::vector<character> &characters, uint32_t n_positions,
                             const measure_fn &measure, float empty)
{
    std::vector<item> items;
    uint32_t next = 0; /* the first position that has had nothing */
    for (uint32_t i = 0; i <= characters.size(); i++) {
        uint32_t position = i < characters.size() ? characters[i].position : n_positions;
        for (; next < position; next++)
            items.push_back({0, next, i, empty});
        if (i == characters.size())
            break;
        next = std::max(next, position + 1);
        uint32_t code = characters[i].code;
        items.push_back({code, position, i, code == '\n' ? 0 : measure(code)});
    }
    return items;
}

/* Adds the boxes of items[first, end) as one line. */
void add_line(text_layout &out, const std::vector<item> &items, size_t first, size_t end)
{
    float x = 0;
    for (size_t i = first; i < end;) {
        text_box box = {items[i].position, out.n_lines, x, x, 0, 0, items[i].index, 0, false};
        bool ink = false;
        for (; i < end && items[i].position == box.position; i++) {
            if (items[i].code == '\n')
                box.breaks = true;
            if (items[i].code == 0 || items[i].code == '\n') {
                x += items[i].width;
                continue;
            }
            if (items[i].code != ' ') {
                box.ink_x0 = ink ? box.ink_x0 : x;
                box.ink_x1 = x + items[i].width;
                ink = true;
            }
            x += items[i].width;
            box.n++;
        }
        box.x1 = x;
        if (!ink) {
            box.ink_x0 = box.x0;
            box.ink_x1 = box.x1;
        }
        /* A space that a line ends with is no part of a token that goes on below. */
        bool goes_on = i == end && end < items.size() && items[end].position == box.position;
        if (ink || box.breaks || !goes_on)
            out.boxes.push_back(box);
    }
    out.n_lines++;
}

} // namespace

text_layout lay_out(const std::vector<character> &characters, uint32_t n_positions, const measure_fn &measure,
                    float width, float empty)
{
    text_layout out = {};
    std::vector<item> items = make_items(characters, n_positions, measure, empty);
    size_t first = 0, last_break = 0;
    float x = 0, x_at_break = 0;
    for (size_t i = 0; i < items.size(); i++) {
        if (i > first && may_break(items[i - 1].code, items[i].code)) {
            last_break = i;
            x_at_break = x;
        }
        /* Spaces hang past the end of a line. */
        bool full = items[i].code != ' ' && items[i].code != '\n' && x + items[i].width > width && i > first;
        if (full) {
            size_t end = last_break > first ? last_break : i;
            x = last_break > first ? x - x_at_break : 0;
            add_line(out, items, first, end);
            first = last_break = end;
        }
        x += items[i].width;
        if (items[i].code == '\n') {
            add_line(out, items, first, i + 1);
            first = last_break = i + 1;
            x = 0;
        }
    }
    if (first < items.size())
        add_line(out, items, first, items.size());
    return out;
}

} // namespace viewer
