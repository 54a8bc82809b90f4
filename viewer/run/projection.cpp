#include "run/projection.h"

#include <algorithm>
#include <cmath>

namespace viewer
{
namespace
{

constexpr int n_iterations = 60;
constexpr float largest = 1e15F; /* so that products stay finite; NaN is not below it */

struct rows {
    std::vector<std::vector<double>> values; /* finite states less their mean */
    std::vector<size_t> index;
    double variance = 0;
};

rows centre(const std::vector<const float *> &states, uint32_t dim)
{
    rows out;
    std::vector<double> mean(dim, 0);
    for (size_t i = 0; i < states.size(); i++) {
        if (!std::all_of(states[i], states[i] + dim, [](float v) { return std::fabs(v) < largest; }))
            continue;
        out.index.push_back(i);
        out.values.emplace_back(states[i], states[i] + dim);
        for (uint32_t d = 0; d < dim; d++)
            mean[d] += static_cast<double>(states[i][d]);
    }
    for (std::vector<double> &row : out.values)
        for (uint32_t d = 0; d < dim; d++) {
            row[d] -= mean[d] / static_cast<double>(out.values.size());
            out.variance += row[d] * row[d];
        }
    return out;
}

double dot(const std::vector<double> &a, const std::vector<double> &b)
{
    double sum = 0;
    for (size_t i = 0; i < a.size(); i++)
        sum += a[i] * b[i];
    return sum;
}

/* Coordinates along the direction of most variance, which is then taken out of the rows. */
std::vector<double> take_axis(rows &r, uint32_t dim)
{
    std::vector<double> axis(dim, 0), at(r.values.size(), 0);
    double most = 0;
    for (const std::vector<double> &row : r.values)
        if (double size = dot(row, row); size > most) {
            most = size;
            axis = row;
        }
    for (int k = 0; k < n_iterations; k++) {
        double length = std::sqrt(dot(axis, axis));
        if (!(length > 0) || !std::isfinite(length))
            return at;
        for (double &v : axis)
            v /= length;
        for (size_t i = 0; i < at.size(); i++)
            at[i] = dot(r.values[i], axis);
        if (k + 1 == n_iterations)
            break;
        std::fill(axis.begin(), axis.end(), 0.0);
        for (size_t i = 0; i < at.size(); i++)
            for (uint32_t d = 0; d < dim; d++)
                axis[d] += at[i] * r.values[i][d];
    }
    double sign = !at.empty() && at.back() < 0 ? -1 : 1;
    for (size_t i = 0; i < at.size(); i++) {
        for (uint32_t d = 0; d < dim; d++)
            r.values[i][d] -= at[i] * axis[d];
        at[i] *= sign;
    }
    return at;
}

} // namespace

projection project(const std::vector<const float *> &states, uint32_t dim)
{
    projection out = {std::vector<float>(states.size(), NAN), std::vector<float>(states.size(), NAN), 0};
    rows r = centre(states, dim);
    const double variance = r.variance;
    const std::vector<double> x = take_axis(r, dim), y = take_axis(r, dim);
    double held = 0;
    for (size_t i = 0; i < r.index.size(); i++) {
        out.x[r.index[i]] = static_cast<float>(x[i]);
        out.y[r.index[i]] = static_cast<float>(y[i]);
        held += x[i] * x[i] + y[i] * y[i];
    }
    out.share = variance > 0 ? static_cast<float>(held / variance) : 0;
    return out;
}

} // namespace viewer
