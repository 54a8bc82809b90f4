// Kernels in which LANES invocations (a power of two) share a row of a matrix and a workgroup has
// gl_WorkGroupSize.x / LANES rows. Lane l takes the groups of four columns l, l + LANES, .., so that the order of a
// sum over the row depends on its length and on LANES alone.
#ifndef ROWS_GLSL
#define ROWS_GLSL

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LANES = 1;

shared float partial[gl_WorkGroupSize.x];

uint row_lane()
{
    return gl_LocalInvocationID.x % LANES;
}

// The row of this invocation, which may lie past the last one.
uint row_wanted()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    return group * (gl_WorkGroupSize.x / LANES) + gl_LocalInvocationID.x / LANES;
}

// Sum over the invocations of a row, the same in each of them. Every invocation of the workgroup must come here.
float row_sum(float value)
{
    if (LANES == 1u)
        return value;
    uint i = gl_LocalInvocationID.x, lane = row_lane();
    barrier();
    partial[i] = value;
    for (uint step = LANES / 2u; step > 0u; step /= 2u) {
        barrier();
        if (lane < step)
            partial[i] += partial[i + step];
    }
    barrier();
    return partial[i - lane];
}

float sum4(vec4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

// The columns 4 c4 .. 4 c4 + 3 of v that are within a row of n_columns, 0 in the pad, whatever is there.
vec4 inside(vec4 v, uint c4, uint n_columns)
{
    return mix(vec4(0), v, lessThan(uvec4(4u * c4) + uvec4(0, 1, 2, 3), uvec4(n_columns)));
}

#endif
