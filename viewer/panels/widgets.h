/* Buttons, fields and tooltips in the theme's colours. They belong to the window that ImGui is in. */
#ifndef VIEWER_WIDGETS_H
#define VIEWER_WIDGETS_H

#include "panels/scene.h"

namespace viewer
{

/* Colours and sizes of ImGui's own widgets, for a row of this height, while it lives. */
class field_style
{
  public:
    field_style(const scene &s, float height);
    ~field_style();
    field_style(const field_style &) = delete;
    field_style &operator=(const field_style &) = delete;
};

/* One line of text; true when it was changed, or, where `enter` is given, whether Enter ended it. */
bool text_field(const char *id, const area &a, std::string &text, const char *hint, bool *enter = nullptr);
/* A number as text: other characters are not taken. */
bool number_field(const char *id, const area &a, std::string &text, const char *hint, bool whole);
/* Lines of text, which wrap; as a row of field_style is high, and a letter's height more for each further
 * row. */
bool lines_field(const scene &s, const char *id, const area &a, std::string &text, lines_state &state);
/* Rows that a text takes in a field of this width. */
uint32_t count_rows(const scene &s, const std::string &text, float width);
/* One of several names; true when another was chosen. */
bool choice_field(const char *id, const area &a, const std::vector<std::string> &names, int &chosen);

enum class look_of { plain, main, chip };
/* A button with a label; true when it was pressed. */
bool text_button(const scene &s, const char *id, const area &a, const std::string &label, look_of how,
                 bool enabled = true);
float button_width(const scene &s, const std::string &label);

/* What stands on buttons that run and replay. */
enum class sign { play, pause, next, previous, first, last, stop };
void draw_sign(const scene &s, sign what, const area &a, colour c);

/* Tells about the last widget while the mouse is over it. `key` may be "". */
void tooltip(const scene &s, const std::string &text, const std::string &key = "");

} // namespace viewer

#endif
