// Output layer fused with sampling, second kernel: the records of all panels of a row (output_sample.comp) make its
// result. One workgroup a row; invocation i merges panels i, i + 64, .. in order, then a tree merges the invocations:
// a fixed order, so that a result depends on its row alone.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "params.h"
#include "output.glsl"

layout(local_size_x = 64) in;
layout(push_constant) uniform Push { output_merge_params p; };
layout(binding = 0) readonly buffer Partials { uvec4 partials[]; };
layout(binding = 1) writeonly buffer Results { output_result results[]; };

shared Statistics parts[64];

void main()
{
    uint me = gl_LocalInvocationIndex, row = gl_WorkGroupID.x;
    Statistics s = NOTHING;
    for (uint panel = me; panel < p.n_panels; panel += 64) {
        uint at = (panel * p.row_capacity + row) * 2;
        vec4 a = uintBitsToFloat(partials[at]);
        uvec4 b = partials[at + 1];
        s = merge(s, Statistics(a.x, a.y, a.z, a.w, b.x, uintBitsToFloat(b.y), uintBitsToFloat(b.z)));
    }
    parts[me] = s;
    for (uint step = 32; step > 0; step >>= 1) {
        barrier();
        if (me < step)
            parts[me] = merge(parts[me], parts[me + step]);
    }
    if (me == 0)
        results[row] = finish(parts[0], p.excluded);
}
