/* A picture that a panel makes itself, colour by colour, and draws as one area. */
#ifndef VIEWER_RASTER_H
#define VIEWER_RASTER_H

#include <vector>

#include "panels/palette.h"

namespace viewer
{

/* Whoever draws the frame reads it after the panels are done: it stays where it is until then. */
struct raster {
    uint32_t width, height;
    std::vector<colour> colours; /* row after row, from the top */
};

} // namespace viewer

#endif
