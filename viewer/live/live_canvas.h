/* What a run begins from. */
#ifndef VIEWER_LIVE_CANVAS_H
#define VIEWER_LIVE_CANVAS_H

#include "live/live_steps.h"

namespace viewer
{

/* The canvas of a masked run, or the prompt of a causal one, as the command line makes it. False with a
 * sentence in error. */
bool make_start(const live_settings &settings, const live_model &model, std::vector<int32_t> &tokens,
                std::string &error);

} // namespace viewer

#endif
