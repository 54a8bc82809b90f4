#include "ref/ref_linear.h"

#include <stddef.h>

/* Nearly all that references do. Sanitizers, which would make it ten times as long, do not watch these two
 * lines; what they are called with comes from watched code. */
__attribute__((no_sanitize("address", "undefined"))) static void
add_scaled(double *restrict y, const double *restrict column, double factor, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] += column[i] * factor;
}

void ref_linear_apply(const ref_linear *layer, const double *x, double *y)
{
    for (uint32_t o = 0; o < layer->out; o++)
        y[o] = layer->bias ? layer->bias[o] : 0;
    for (uint32_t i = 0; i < layer->in; i++)
        add_scaled(y, layer->weight + (size_t)i * layer->out, x[i], layer->out);
}
