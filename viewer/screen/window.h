/* The window. */
#ifndef VIEWER_WINDOW_H
#define VIEWER_WINDOW_H

#include "options.h"
#include "panels/scene.h"

namespace viewer
{

/* Shows the scene until the window is closed. False with a sentence in error. */
bool show_window(const options &o, scene &s, std::string &error);

} // namespace viewer

#endif
