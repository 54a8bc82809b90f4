#include "panels/curve.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace viewer
{
namespace
{

/* What shows of points in the same column of pixels. */
std::vector<curve_point> thin_columns(const std::vector<curve_point> &points)
{
    std::vector<curve_point> out;
    for (size_t i = 0, end = 0; i < points.size(); i = end) {
        size_t low = i, high = i;
        for (end = i; end < points.size() && std::floor(points[end].x) == std::floor(points[i].x); end++) {
            low = points[end].y < points[low].y ? end : low;
            high = points[end].y > points[high].y ? end : high;
        }
        end = std::max(end, i + 1);
        const size_t kept[] = {i, std::min(low, high), std::max(low, high), end - 1};
        for (size_t k = 0; k < 4; k++)
            if (k == 0 || kept[k] != kept[k - 1])
                out.push_back(points[kept[k]]);
    }
    return out;
}

/* Slopes of the lines from a point that pass what was left out behind it. */
struct slopes {
    float low = -FLT_MAX, high = FLT_MAX;

    bool reach(curve_point from, curve_point to) const
    {
        const float dx = to.x - from.x;
        return dx > 0 && (to.y - from.y) / dx >= low && (to.y - from.y) / dx <= high;
    }
    void narrow(curve_point from, curve_point to, float tolerance)
    {
        const float dx = to.x - from.x;
        low = dx > 0 ? std::max(low, (to.y - tolerance - from.y) / dx) : FLT_MAX;
        high = dx > 0 ? std::min(high, (to.y + tolerance - from.y) / dx) : -FLT_MAX;
    }
};

} // namespace

std::vector<curve_point> thin_curve(const std::vector<curve_point> &points, float tolerance)
{
    const std::vector<curve_point> all = thin_columns(points);
    if (all.size() < 3)
        return all;
    std::vector<curve_point> out = {all[0]};
    slopes passing;
    passing.narrow(out.back(), all[1], tolerance);
    for (size_t i = 2; i < all.size(); i++) {
        if (!passing.reach(out.back(), all[i])) {
            out.push_back(all[i - 1]);
            passing = {};
        }
        passing.narrow(out.back(), all[i], tolerance);
    }
    out.push_back(all.back());
    return out;
}

} // namespace viewer
