/* A live run in a scene. */
#ifndef VIEWER_RUNNING_H
#define VIEWER_RUNNING_H

#include "options.h"
#include "panels/scene.h"
#include "state/control.h"

namespace viewer
{

/* The live run of the scene with its controls; only where there is one. */
live_control controls(scene &s);

/* Opens the model that the options name and takes over what they ask for. False with a sentence in error. */
bool begin_live(const options &o, scene &s, std::string &error);

/* Opens the model of a recorded run, which from then on can be edited and gone on with. What does not work is
 * told in the state. */
void open_model(scene &s);

/* Takes over what a live run has done; true when the frame changes by it. */
bool poll_live(scene &s);

/* Waits until a live run is over, or has `steps` steps where that is not negative, and shows it. False with a
 * sentence in error when it fails. */
bool run_to_end(scene &s, int64_t steps, std::string &error);

/* Whether the run has steps that were not saved. */
bool is_unsaved(const scene &s);
/* Writes the recording. False with a sentence in error. */
bool save_recording(scene &s, const std::string &path, std::string &error);

/* Does what a key or a button asks for. */
void act(scene &s, action what);
/* All that buttons asked for in the last frame; true when there was anything. */
bool act_asked(scene &s);

/* Shows a sentence over everything, and writes it to standard error. */
void tell_problem(scene &s, const std::string &heading, const std::string &sentence, bool fatal);
void show_toast(scene &s, const std::string &text);

/* Tokens a second of a live run, 0 when it is not known. */
double tokens_per_second(const scene &s);

} // namespace viewer

#endif
