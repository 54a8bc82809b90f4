/* A frame: what it is drawn from, and the panels that draw it. Each panel is a file of its own. */
#ifndef VIEWER_SCENE_H
#define VIEWER_SCENE_H

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include <imgui.h>

#include "panels/layout.h"
#include "panels/palette.h"
#include "panels/raster.h"
#include "run/projection.h"
#include "state/form.h"
#include "state/state.h"

namespace viewer
{

struct area {
    float x0, y0, x1, y1;
    float width() const
    {
        return x1 - x0;
    }
    float height() const
    {
        return y1 - y0;
    }
    bool holds(ImVec2 p) const
    {
        return p.x >= x0 && p.x < x1 && p.y >= y0 && p.y < y1;
    }
};

constexpr int n_text_fonts = 4;

struct font_set {
    ImFont *ui, *small, *bold;
    ImFont *text[n_text_fonts]; /* of the canvas, largest first */
};

/* A part of the window, for tests. */
struct named_area {
    std::string name;
    area box;
};

/* Where a token was drawn, for tests and for the mouse. */
struct drawn_token {
    uint32_t position;
    area box;
    colour fill; /* 0: none */
};

/* A canvas laid out; kept while what it depends on stays the same. */
struct canvas_page {
    uint32_t step;
    uint64_t version; /* of the analysis */
    std::map<uint32_t, int32_t> edits;
    bool guesses;
    float width, height, unit;
    uint32_t length;
    int first_font; /* that was not too large yet */
    std::vector<character> characters;
    uint32_t n_prompt; /* positions before the run's own: 1 for the prompt of a flow */
    text_layout layout;
    const ImFont *font;
    float line_height;
};

/* The cells of a heat map, transparent where nothing was evaluated; kept while what they depend on stays the
 * same. */
struct heat_cells {
    raster cells;
    uint64_t version; /* of the analysis */
    bool of_probability;
    zoom_range steps, positions;
};

/* One run with its canvas. */
struct sheet {
    sheet(std::unique_ptr<run> source_run);
    /* Writes the details anew: a live run's change. */
    void describe();

    std::unique_ptr<run> source;
    analysis facts;
    std::string details; /* of the run, one line for people */
    /* The canvas as it was drawn last. */
    std::vector<drawn_token> drawn;
    std::vector<uint32_t> line_of; /* of each entry of drawn */
    canvas_page page = {};
    heat_cells heat = {};
    /* The solver's path that was drawn last. */
    int64_t path_of = -1; /* position */
    uint64_t path_version = 0;
    projection path;
    std::vector<float> path_times;
};

/* The code points that letters are needed for. */
struct glyph_set {
    std::set<uint32_t> codes;
    std::unordered_set<int32_t> tokens; /* whose texts were looked at */
    bool stale = false;                 /* some came that the fonts were not loaded for */
};

/* How fast a live run is. */
struct run_clock {
    double seconds = 0;  /* that it ran */
    double last = 0;     /* when that was noted, or less than 0: it does not run */
    uint32_t before = 0; /* tokens that were there when it began */
};

/* What the save overlay asks for. */
struct save_form {
    std::string name;
    int kind = 0;
    std::string problem;    /* a sentence */
    bool overwrite = false; /* the file exists, and Enter was pressed once */
    bool opened = false, asked = false, refocus = false;
    int field_kind = -1; /* that the field was drawn for */
};

/* A field of several lines, while it is edited. */
struct lines_state {
    size_t cursor = 0, from = 0, to = 0; /* bytes; the selection's ends */
    size_t anchor = 0;                   /* where the mouse was pressed */
    size_t first = 0;                    /* row at the top */
    bool dragging = false;
};

/* A sentence that goes away by itself. */
struct toast {
    std::string text;
    double until; /* seconds of the program's clock */
};

struct scene {
    std::vector<sheet> sheets; /* one, or two that are compared */
    live_run *live = nullptr;  /* the first sheet's run, where it is one */
    run_form form;
    live_settings settings; /* of the live run that was started last */
    live_source model;      /* of the live run, or that which a recording can be gone on with */
    run_clock clock;
    uint64_t live_version = 0, saved_version = 0;
    std::string recording; /* default name of the live run's recording; the file of a recorded run */
    glyph_set glyphs;
    save_form save;
    std::string written; /* text for the selected position */
    bool write_shown = false, write_had_focus = false;
    std::vector<toast> toasts;
    double now = 0; /* seconds of the program's clock */
    bool start_when_ready = false, in_window = false;
    lines_state text_lines;    /* of the prompt's field */
    bool focus_text = false;   /* the prompt's field takes the keyboard in the next frame */
    std::vector<action> asked; /* by buttons, to be done after the frame */
    bool clean = false;        /* nothing is drawn over the panels: a picture is taken */
    view_state state;
    std::vector<named_area> areas; /* of the last frame: what can be pressed, and what panels noted */
    font_set fonts = {};
    float unit = 1; /* pixels of a point: 1 on an ordinary display */

    const theme &colours() const
    {
        return get_theme(state.dark);
    }
    sheet &front()
    {
        return sheets[state.active];
    }
    /* The step of a sheet: runs that are shorter stay at their end. */
    uint32_t step_of(const sheet &s) const
    {
        return std::min(state.step, s.facts.n_steps());
    }
};

/* Loads fonts for the runs' text into the atlas of the current context. False with a sentence in error when
 * there is no font at all. */
bool load_fonts(scene &s, std::string &error);

/* Notes what letters the steps of a sheet need, from `step` on, and what people may have typed. */
void note_glyphs(scene &s, const sheet &sh, uint32_t step);
void note_text(scene &s, std::string_view text);

/* Draws everything between ImGui::NewFrame and ImGui::Render, and lets the mouse act on the state. */
void draw_frame(scene &s);
/* Selects the token on the line below (+1) or above (-1), nearest to the selected one. */
void select_line(scene &s, int direction);

/* The panels. `where` is the inside of their card. */
void draw_canvas(scene &s, sheet &sh, const area &where);
/* The legend takes as many rows as it needs; its height for that width. */
float legend_height(const scene &s, float width);
void draw_legend(scene &s, const area &where);
void draw_timeline(scene &s, const area &where);
void draw_token_panel(scene &s, const area &where);
void draw_heat_map(scene &s, const area &where);
void draw_flow_panel(scene &s, const area &where);
/* The bar of a live run; its height for a window of this width. */
float run_bar_height(const scene &s, float width);
void draw_run_bar(scene &s, const area &where);
void draw_write_field(scene &s, const sheet &sh);
void draw_save(scene &s);
void draw_toasts(scene &s);
void draw_help(scene &s);
void draw_problem(scene &s);

/* ---- drawing.cpp: what they share ------------------------------------------------------------------ */

float text_width(const ImFont *font, const std::string &text);
void put_text(const ImFont *font, float x, float y, colour c, const std::string &text);
/* The same, cut with an ellipsis where it would be wider than `width`. Returns its width. */
float put_text_within(const ImFont *font, float x, float y, float width, colour c, const std::string &text);
void put_text_right(const ImFont *font, float x1, float y, colour c, const std::string &text);
__attribute__((format(printf, 1, 2))) std::string format_text(const char *format, ...);

void fill(const area &a, colour c, float rounding = 0);
void outline(const area &a, colour c, float rounding, float thickness);
/* Each of its colours is a rectangle. It stays where it is until the frame is drawn. */
void draw_raster(const raster &r, const area &a);
/* The line at the step that is shown. */
void draw_cursor(const scene &s, float x, const area &plot);
void draw_card(const scene &s, const area &a);
/* The sign of what people edited, in the corner at the top right that is given: 8 points in size. */
void draw_edit_sign(const scene &s, float x1, float y0);
/* Tells `--report` where something is; press_area() does by itself. */
void note_area(const std::string &name, const area &a);
/* A button that takes the mouse; true when it was pressed. */
bool press_area(const char *id, const area &a);
bool hovers(const area &a);

/* A line through points; breaks where a value is NaN. y of 0 .. most is the area from bottom to top. */
void draw_curve(const area &a, const std::vector<float> &x, const std::vector<float> &y, float most, colour c,
                float thickness);

} // namespace viewer

#endif
