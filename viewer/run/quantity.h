/* Quantities that tokens are coloured by. */
#ifndef VIEWER_QUANTITY_H
#define VIEWER_QUANTITY_H

#include "run/analysis.h"

namespace viewer
{

enum class quantity { commit_step, commit_probability, entropy, candidate };
constexpr int n_quantities = 4;

/* Where a position lies on the scale of the quantity after a step, 0 .. 1; NaN when it is not known. For
 * `candidate`: 1 when the most probable token of the latest look is the one that the run ends with, else 0.
 */
float quantity_level(const analysis &a, quantity q, uint32_t step, uint32_t position);

/* The ends of the scale, as the legend writes them. */
struct quantity_scale {
    std::string low, high;
};
quantity_scale get_scale(const analysis &a, quantity q);

} // namespace viewer

#endif
