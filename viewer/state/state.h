/* What the user has chosen: everything that a frame depends on beside the runs. Knows nothing of windows. */
#ifndef VIEWER_STATE_H
#define VIEWER_STATE_H

#include <string>
#include <vector>

#include "run/quantity.h"

namespace viewer
{

enum class action {
    none,
    play,
    step_forward,
    step_back,
    leap_forward,
    leap_back,
    first,
    last,
    faster,
    slower,
    select_next,
    select_previous,
    select_down,
    select_up,
    select_none,
    colour_next,
    colour_1,
    colour_2,
    colour_3,
    colour_4,
    guesses,
    other_run,
    theme,
    heat,
    zoom_in,
    zoom_out,
    zoom_left,
    zoom_right,
    zoom_up,
    zoom_down,
    zoom_reset,
    save,
    /* Of a live run: control.h. */
    open_model,
    run_anew,
    run_next_seed,
    pause,
    single_step,
    cancel,
    go_on,
    mask_again,
    write,
    take_1,
    take_2,
    take_3,
    take_4,
    take_5,
    take_6,
    take_7,
    take_8,
    drop_edit,
    drop_edits,
    edit_text,
    next_method,
    next_given,
    help,
    quit,
};
constexpr int n_takes = 8;

/* Keys are written as on the keyboard: one printable character, or the names of keys.cpp, behind "Shift ",
 * "Ctrl " or "Alt ". */
struct key_binding {
    const char *key;
    action does;
    const char *help; /* of a group's first binding; NULL: the same as above */
    bool of_runs;     /* of live runs, which the help has a column for */
};

/* All bindings, in the order of the help. */
const std::vector<key_binding> &key_bindings();
/* The first key of an action; "" without one. */
const char *key_of(action what);

/* Part of a heat map that is shown, as fractions of the whole. */
struct zoom_range {
    float from = 0, to = 1;
    bool operator==(const zoom_range &other) const
    {
        return from == other.from && to == other.to;
    }
};

struct view_state {
    uint32_t n_steps = 0, length = 0;
    size_t n_runs = 1, active = 0; /* the run that the panels tell about */

    uint32_t step = 0;
    bool follow = true; /* the step goes on with a live run: it was the last one when the user chose it */
    bool playing = false;
    double speed = 8;  /* steps a second */
    double waited = 0; /* seconds since the last step of the replay */
    quantity shown = quantity::commit_step;
    bool guesses = false; /* masked positions show their most probable token */
    bool heat_of_probability = false;
    zoom_range heat_positions, heat_steps;
    int64_t selected = -1, hovered = -1; /* positions */
    bool by_keys = false; /* the selected token was chosen by keys, and the mouse rests since */
    int64_t pointed = -1; /* what the mouse is over in this frame: hovered in the next */
    bool dark = false, help = false, quit = false;
    bool saving = false;  /* the overlay that asks for a file's name */
    bool writing = false; /* the field for the text of a position */
    std::string problem;  /* a sentence that is shown over everything, under this heading */
    std::string heading;
    bool fatal = false;         /* nothing can be done once it is read */
    std::string complaint;      /* a sentence about what was asked of a live run */
    std::string notice;         /* a sentence that goes away by itself */
    float canvas_scroll = 0;    /* pixels */
    bool show_selected = false; /* the canvas scrolls to the selected token */
};

/* Does what a key asks for. Positions above and below are found by the caller (select_up, select_down: the
 * canvas' lines), and so those do nothing here, nor do the actions of live runs. */
void apply(view_state &state, action what);

/* Chooses a step, which stays within the run. */
void go_to(view_state &state, int64_t step);
/* A live run has this many steps and positions now. */
void grow(view_state &state, uint32_t n_steps, uint32_t length);

/* Lets `seconds` pass; true when the frame changes by it. Stops at the last step. */
bool advance(view_state &state, double seconds);

/* The position the panels tell about: the one under the mouse, else the selected one, else -1. What was
 * selected by keys goes before what the mouse happens to rest on. */
int64_t focus(const view_state &state);

} // namespace viewer

#endif
