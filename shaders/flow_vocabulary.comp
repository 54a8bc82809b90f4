// Embeddings of the diffusion vocabulary, normalised and put into the panels of a weight (ops/weight.h):
//   w[panel][first_row + r][j] = rescale * u[r, 32 panel + j] / max(||u[r]||, 1e-12),   0 from n_columns on,
// for the bound panels first_panel .. first_panel + n_panels - 1, of depth rows of 32 floats each.
//
// u: f32, rows of ld floats. Rows are shared between invocations as in lib/rows.glsl; every slice of panels makes the
// norm of the whole row anew.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "params.h"
#include "rows.glsl"

// TEXELS: what is read four floats at a time is bound as texels (norm.comp).
#ifdef TEXELS
#extension GL_EXT_samplerless_texture_functions : require
layout(binding = 0) uniform textureBuffer u;
#define LOAD(from, i) texelFetch(from, int(i))
#else
layout(binding = 0) readonly buffer Input { vec4 u[]; };
#define LOAD(from, i) from[i]
#endif
layout(binding = 1) writeonly buffer Weight { vec4 w[]; };

layout(push_constant) uniform Push { flow_vocabulary_params p; };

void main()
{
    uint lane = row_lane(), wanted = row_wanted();
    // Every invocation must reach the barriers: those past the end repeat the last row and write nothing.
    uint row = min(wanted, p.n_rows - 1u);
    uint n4 = p.ld / 4u, at = row * n4;
    vec4 squares = vec4(0);
    for (uint c = lane; c < n4; c += LANES) {
        vec4 v = inside(LOAD(u, at + c), c, p.n_columns);
        squares = fma(v, v, squares);
    }
    float scale = p.rescale / max(sqrt(row_sum(sum4(squares))), 1e-12);
    if (wanted >= p.n_rows)
        return;
    uint to = (p.first_row + row) * 8u;
    for (uint unit = lane; unit < p.n_panels * 8u; unit += LANES) {
        uint c = p.first_panel * 8u + unit;
        w[unit / 8u * p.depth * 8u + to + unit % 8u] = inside(LOAD(u, at + c), c, p.n_columns) * scale;
    }
}
