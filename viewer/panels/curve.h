/* Curves of many points, as lines of few. */
#ifndef VIEWER_CURVE_H
#define VIEWER_CURVE_H

#include <vector>

namespace viewer
{

/* In pixels. */
struct curve_point {
    float x, y;
};

/* The points that are needed: the curve through them passes the others by at most `tolerance`, up or down. Of
 * those that share a column of pixels, no more than the first, the lowest, the highest and the last are; so a
 * curve has at most four points a column, however long the run is. Points come from left to right; several
 * may have the same x. */
std::vector<curve_point> thin_curve(const std::vector<curve_point> &points, float tolerance);

} // namespace viewer

#endif
