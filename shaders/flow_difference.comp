// Differences of rows: y[r, c] = x[r, c] - x[base[r], c], r < n_rows, c < n_columns.
// x: f32, rows of ldx floats; y: rows of ldy floats; n_columns and both strides are multiples of 4. base: u32 [n_rows].
// One invocation per four columns. Exactly 0 where base[r] == r or the rows are equal.
#version 450
#include "params.h"

layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { vec4 x[]; };
layout(binding = 1) readonly buffer Base { uint base[]; };
layout(binding = 2) writeonly buffer Y { vec4 y[]; };
layout(push_constant) uniform Push { flow_difference_params p; };

void main()
{
    uint index = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64u + gl_LocalInvocationID.x;
    uint n4 = p.n_columns / 4u;
    uint row = index / n4, c = index % n4;
    if (row >= p.n_rows)
        return;
    y[row * (p.ldy / 4u) + c] = x[row * (p.ldx / 4u) + c] - x[base[row] * (p.ldx / 4u) + c];
}
