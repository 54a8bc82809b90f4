/* States of many dimensions on a plane. */
#ifndef VIEWER_PROJECTION_H
#define VIEWER_PROJECTION_H

#include <cstdint>
#include <vector>

namespace viewer
{

struct projection {
    std::vector<float> x, y; /* NaN for a state that is not finite */
    float share;             /* of the variance that the plane holds, 0 .. 1 */
};

/* Principal components of `states` (each [dim]): the plane in which they vary most. The sign of each axis is
 * such that the last state is not on its negative side. */
projection project(const std::vector<const float *> &states, uint32_t dim);

} // namespace viewer

#endif
