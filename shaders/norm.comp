// LayerNorm without bias, then modulation, in one pass over a row:
//   y[r, c] = (x[s, c] - mean(x[s])) / sqrt(var(x[s]) + eps) * weight[c] * (1 + scale[m, c]) + shift[m, c]
// with s = source[r] (or r), m = row_seq[r] (or 0), mean and (biased) variance over n_columns.
//
// x, y: f32, rows of ld floats; columns n_columns .. ld-1 of y become 0. weight: ld floats.
// modulation: rows of mod_stride floats, the scale at scale_offset, the shift at shift_offset; multiples of 4.
// LANES invocations (a power of two) share a row, a workgroup has gl_WorkGroupSize.x / LANES rows. On CPU drivers
// one invocation per row is fastest: it needs no barrier, and what the rows share is loaded once for all of them.
// The order of every sum depends on n_columns and LANES alone, so a row's result does not depend on the batch it
// is in. The variance is the mean square of the differences from the mean, which does not cancel.
#version 450
#include "params.h"
#include "rows.glsl"

layout(constant_id = 2) const bool HAS_SOURCE = false;
layout(constant_id = 3) const bool HAS_SEQUENCE = false;

// TEXELS: what is read four floats at a time is bound as texels, which Mesa's CPU driver loads at once; it takes a
// storage buffer apart and checks each component's bounds.
#ifdef TEXELS
layout(binding = 0) uniform textureBuffer x;
layout(binding = 2) uniform textureBuffer weight;
layout(binding = 3) uniform textureBuffer modulation;
#define LOAD(from, i) texelFetch(from, int(i))
#else
layout(binding = 0) readonly buffer X { vec4 x[]; };
layout(binding = 2) readonly buffer Weight { vec4 weight[]; };
layout(binding = 3) readonly buffer Modulation { vec4 modulation[]; };
#define LOAD(from, i) from[i]
#endif
layout(binding = 1) writeonly buffer Y { vec4 y[]; };
layout(binding = 4) readonly buffer Source { uint source[]; };
layout(binding = 5) readonly buffer Sequence { uint row_seq[]; };

layout(push_constant) uniform Push { norm_params p; };

void main()
{
    uint lane = row_lane();
    uint wanted = row_wanted();
    // Every invocation must reach the barriers: those past the end repeat the last row and write nothing.
    uint row = min(wanted, p.n_rows - 1u);
    uint n4 = p.ld / 4u;
    uint whole = p.n_columns / 4u; // groups of four without a pad
    uint from = (HAS_SOURCE ? source[row] : row) * n4;
    uint to = row * n4;
    uint mod = (HAS_SEQUENCE ? row_seq[row] : 0u) * (p.mod_stride / 4u);
    uint scale = mod + p.scale_offset / 4u;
    uint shift = mod + p.shift_offset / 4u;
    bool has_tail = whole < n4 && lane == whole % LANES;

    vec4 sum = vec4(0);
    for (uint c = lane; c < whole; c += LANES)
        sum += LOAD(x, from + c);
    if (has_tail)
        sum += inside(LOAD(x, from + whole), whole, p.n_columns);
    float mean = row_sum(sum4(sum)) / float(p.n_columns);

    vec4 squares = vec4(0);
    for (uint c = lane; c < whole; c += LANES) {
        vec4 d = LOAD(x, from + c) - mean;
        squares += d * d;
    }
    if (has_tail) {
        vec4 d = inside(LOAD(x, from + whole) - mean, whole, p.n_columns);
        squares += d * d;
    }
    float variance = row_sum(sum4(squares)) / float(p.n_columns);
    float factor = 1.0 / sqrt(variance + p.eps);

    if (wanted >= p.n_rows)
        return;
    for (uint c = lane; c < whole; c += LANES) {
        vec4 v = (LOAD(x, from + c) - mean) * factor * LOAD(weight, c);
        y[to + c] = v * (1.0 + LOAD(modulation, scale + c)) + LOAD(modulation, shift + c);
    }
    if (has_tail) {
        vec4 v = (LOAD(x, from + whole) - mean) * factor * LOAD(weight, whole);
        v = v * (1.0 + LOAD(modulation, scale + whole)) + LOAD(modulation, shift + whole);
        y[to + whole] = inside(v, whole, p.n_columns);
    }
    for (uint c = whole + 1u + lane; c < n4; c += LANES)
        y[to + c] = vec4(0);
}
