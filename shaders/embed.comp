// Embedding gather: x[r, c] = table[token[r], c] for c < n_columns, 0 for n_columns <= c < ld.
//
// table: [n_rows, n_columns] row-major, f32 or 16-bit floats packed two to a word (a row may start in the middle
// of a word); bound as a slice that begins with row first_row, first_unit elements into the range. Rows whose token
// lies outside the slice are left alone: there is one dispatch per slice.
// PANELS: the table is the weight of a linear layer (lib/weight.glsl), element (token, c) at
// ((token / 32) pad(n_columns) + c) 32 + token % 32; a slice is whole panels.
// TABLE_BLOCKS: the same of a quantised weight (lib/weight_blocks.glsl); n_columns is a multiple of 32.
// x: f32 [n_tokens, ld]. tokens: one id every token_stride words.
// One workgroup per row; each invocation copies every 64th group of four columns.
#version 450
#include "half.glsl"
#include "params.h"

layout(local_size_x = 64) in;

#if defined(TABLE_BLOCKS)
#define WEIGHT_BINDING 0
#include "weight_blocks.glsl"
#elif defined(TABLE_F32)
layout(binding = 0) readonly buffer Table { float table[]; };
float element(uint i) { return table[i]; }
#else
layout(binding = 0) readonly buffer Table { uint table[]; };
uint bits16(uint i) { return (table[i >> 1] >> ((i & 1u) * 16u)) & 0xFFFFu; }
#if defined(TABLE_F16)
float element(uint i) { return float_from_f16(bits16(i)); }
#elif defined(TABLE_BF16)
float element(uint i) { return float_from_bf16(bits16(i)); }
#endif
#endif
layout(binding = 1) readonly buffer Tokens { uint tokens[]; };
layout(binding = 2) writeonly buffer X { vec4 x[]; };

layout(push_constant) uniform Push { embed_params p; };

void main()
{
    uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (row >= p.n_tokens)
        return;
    uint entry = tokens[row * p.token_stride] + p.token_base - p.first_row;
    if (entry >= p.n_rows)
        return;
#ifdef TABLE_BLOCKS
    Panel panel = find_panel(entry / 32u, p.n_columns);
    uint unit = entry % 32u / 4u, column = entry % 4u;
    for (uint c = gl_LocalInvocationID.x * 4u; c < p.ld; c += 256u) {
        vec4 v = vec4(0);
        if (c < p.n_columns) {
            Scales scales = unit_scales(panel, c / 32u, unit, unit_super(panel, c / 256u, unit));
            uvec4 bytes = unit_bytes(panel, c / 4u, unit);
            for (uint i = 0u; i < 4u; i++)
                v[i] = block_values(bytes[i], scales, (c & 16u) != 0u)[column];
        }
        x[(row * p.ld + c) / 4u] = v;
    }
#else
#ifdef PANELS
    uint base = entry / 32u * ((p.n_columns + 31u) / 32u * 32u) * 32u + entry % 32u;
    const uint NEXT = 32u;
#else
    uint base = p.first_unit + entry * p.n_columns;
    const uint NEXT = 1u;
#endif
    for (uint c = gl_LocalInvocationID.x * 4u; c < p.ld; c += 256u) {
        vec4 v = vec4(0);
        for (uint i = 0u; i < 4u; i++)
            if (c + i < p.n_columns)
                v[i] = element(base + (c + i) * NEXT);
        x[(row * p.ld + c) / 4u] = v;
    }
#endif
}
