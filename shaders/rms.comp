// RMSNorm in one pass over a row, modulated or not:
//   z    = x[s], or with an addend x[s] + gate[m] * add[r]
//   y[r] = z / sqrt(mean(z^2) + eps) * weight, or with a modulation * (weight + scale[m]) + shift[m]
// with s = source[r] (or r), m = row_mod[r] (or 0), the mean over n_columns.
//
// x, y, add: f32, rows of ld floats; columns n_columns .. ld-1 of y become 0. weight: ld floats.
// modulation: rows of mod_stride floats, each part of ld floats at its offset; multiples of 4.
// Rows are shared between invocations as in lib/rows.glsl.
// Every sum is of explicit fma, so that no variant of the constants is contracted otherwise than another: where the
// gate is 0, the result has the bits of the one without an addend.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "params.h"
#include "rows.glsl"

layout(constant_id = 2) const bool HAS_SOURCE = false;
layout(constant_id = 3) const bool HAS_ROW_MOD = false;
layout(constant_id = 4) const bool HAS_SCALE_SHIFT = false;
layout(constant_id = 5) const bool HAS_ADD = false;

// TEXELS: what is read four floats at a time is bound as texels, which Mesa's CPU driver loads at once; it takes a
// storage buffer apart and checks each component's bounds.
#ifdef TEXELS
#extension GL_EXT_samplerless_texture_functions : require
layout(binding = 0) uniform textureBuffer x;
layout(binding = 2) uniform textureBuffer weight;
layout(binding = 3) uniform textureBuffer modulation;
layout(binding = 6) uniform textureBuffer add;
#define LOAD(from, i) texelFetch(from, int(i))
#else
layout(binding = 0) readonly buffer X { vec4 x[]; };
layout(binding = 2) readonly buffer Weight { vec4 weight[]; };
layout(binding = 3) readonly buffer Modulation { vec4 modulation[]; };
layout(binding = 6) readonly buffer Add { vec4 add[]; };
#define LOAD(from, i) from[i]
#endif
layout(binding = 1) writeonly buffer Y { vec4 y[]; };
layout(binding = 4) readonly buffer Source { uint source[]; };
layout(binding = 5) readonly buffer RowMod { uint row_mod[]; };

layout(push_constant) uniform Push { rms_params p; };

uint from, to, mod;

vec4 load(uint c)
{
    vec4 v = LOAD(x, from + c);
    if (!HAS_ADD)
        return v;
    vec4 gate = LOAD(modulation, mod + p.gate_offset / 4u + c);
    // fma(0, a, -0) is +0: the sign of a zero stays, too.
    return mix(fma(gate, LOAD(add, to + c), v), v, equal(gate, vec4(0)));
}

vec4 finish(vec4 z, float factor, uint c)
{
    precise vec4 normal = z * factor;
    if (!HAS_SCALE_SHIFT)
        return normal * LOAD(weight, c);
    vec4 scale = LOAD(modulation, mod + p.scale_offset / 4u + c);
    return fma(normal, LOAD(weight, c) + scale, LOAD(modulation, mod + p.shift_offset / 4u + c));
}

void main()
{
    uint lane = row_lane(), wanted = row_wanted();
    // Every invocation must reach the barriers: those past the end repeat the last row and write nothing.
    uint row = min(wanted, p.n_rows - 1u);
    uint n4 = p.ld / 4u;
    uint whole = p.n_columns / 4u; // groups of four without a pad
    bool has_tail = whole < n4 && lane == whole % LANES;
    from = (HAS_SOURCE ? source[row] : row) * n4;
    to = row * n4;
    mod = (HAS_ROW_MOD ? row_mod[row] : 0u) * (p.mod_stride / 4u);

    vec4 squares = vec4(0);
    for (uint c = lane; c < whole; c += LANES) {
        vec4 z = load(c);
        squares = fma(z, z, squares);
    }
    if (has_tail) {
        vec4 z = inside(load(whole), whole, p.n_columns);
        squares = fma(z, z, squares);
    }
    precise float mean = row_sum(sum4(squares)) / float(p.n_columns);
    float factor = 1.0 / sqrt(mean + p.eps);

    if (wanted >= p.n_rows)
        return;
    for (uint c = lane; c < whole; c += LANES)
        y[to + c] = finish(load(c), factor, c);
    if (has_tail)
        y[to + whole] = inside(finish(load(whole), factor, whole), whole, p.n_columns);
    for (uint c = whole + 1u + lane; c < n4; c += LANES)
        y[to + c] = vec4(0);
}
