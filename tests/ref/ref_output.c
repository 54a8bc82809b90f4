#include "ref/ref_output.h"

#include <math.h>

#include "base/rng.h"

double ref_gumbel(uint64_t seed, uint32_t v, uint32_t position, uint32_t step, uint32_t sample)
{
    rng_block block = rng_philox(seed, v / 4, position, rng_counter2(RNG_TOKEN, step), sample);
    return -log(-log1p(-(block.word[v % 4] + 0.5) * 0x1p-32));
}

/* order[0 .. n-1]: indices by descending x (insertion sort; n is small). */
static void sort_descending(const double *x, uint32_t n, uint32_t *order)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && x[order[at - 1]] < x[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

ref_distribution ref_output(const double *x, uint32_t n, int32_t excluded, uint32_t top_k, double top_p,
                            bool *keep, uint32_t *order)
{
    for (uint32_t v = 0; v < n; v++)
        keep[v] = (int32_t)v != excluded;
    if (top_k > 0 || top_p < 1) {
        sort_descending(x, n, order);
        double least = -INFINITY, total = 0, mass = 0;
        uint32_t count = 0;
        for (uint32_t i = 0; i < n && top_k > 0; i++)
            if (keep[order[i]] && ++count == top_k)
                least = x[order[i]];
        for (uint32_t v = 0; v < n; v++) {
            keep[v] = keep[v] && x[v] >= least;
            total += keep[v] ? exp(x[v] - x[order[0]]) : 0;
        }
        least = -INFINITY;
        for (uint32_t i = 0; i < n && top_p < 1; i++)
            if (keep[order[i]]) {
                mass += exp(x[order[i]] - x[order[0]]);
                least = x[order[i]];
                if (mass >= top_p * total)
                    break;
            }
        for (uint32_t v = 0; v < n; v++)
            keep[v] = keep[v] && x[v] >= least;
    }
    ref_distribution d = {.max = -INFINITY};
    for (uint32_t v = 0; v < n; v++)
        if (keep[v] && x[v] > d.max)
            d.max = x[v];
    double sum = 0, lean = 0;
    for (uint32_t v = 0; v < n; v++)
        if (keep[v]) {
            sum += exp(x[v] - d.max);
            lean += exp(x[v] - d.max) * (x[v] - d.max);
        }
    d.log_sum_exp = d.max + log(sum);
    d.entropy = log(sum) - lean / sum;
    return d;
}
