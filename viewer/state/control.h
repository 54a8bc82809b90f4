/* What actions do to a live run. Knows no window. */
#ifndef VIEWER_CONTROL_H
#define VIEWER_CONTROL_H

#include "run/analysis.h"
#include "state/form.h"
#include "state/state.h"

namespace viewer
{

/* A live run with what it is asked for. */
struct live_control {
    live_run &run;
    const analysis &facts;
    view_state &state;
    run_form &form;
    live_settings &settings; /* the options that the form does not show; those of the last start */
};

/* Does what an action asks of the run; false when it is none of a live run's. What does not work is told in
 * state.complaint. Edits are of the position that the panels tell about, at the step that is shown. */
bool control(live_control &c, action what);

/* Whether the action would do something now. */
bool can(const live_control &c, action what);

/* Sets the token of a position, at the step that is shown. */
void edit_token(live_control &c, uint32_t position, int32_t token);
/* Sets as many positions from this one on as the text has tokens. */
void write_text(live_control &c, uint32_t position, const std::string &text);

/* The token that waits to be set there and then; false: none does. */
bool waiting_edit(const live_run &run, uint32_t step, uint32_t position, int32_t *token);

/* "running", "paused at step 3", ...: one line for people. */
std::string phase_text(const live_run &run, const analysis &facts);

} // namespace viewer

#endif
