/* Windows that lie over the panels. */
#ifndef VIEWER_OVERLAY_H
#define VIEWER_OVERLAY_H

#include "panels/scene.h"

namespace viewer
{

/* A card of this size in the middle of a window over everything, and its inside; the caller ends the window.
 */
area begin_overlay(const scene &s, const char *name, float width, float height);

} // namespace viewer

#endif
