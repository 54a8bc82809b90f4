// Output layer fused with sampling, second kernel: the records of all panels of a row (output_sample.comp) make its
// result. LANES invocations share a row: invocation i merges panels i, i + LANES, .. in order, then a tree merges the
// invocations: an order that LANES and n_panels fix, so that a result depends on its row alone. LANES is 1 on CPU
// drivers, where barriers are dear, and grows with the panels elsewhere.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "params.h"
#include "output.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LANES = 1; // a power of two that divides the workgroup's size
layout(push_constant) uniform Push { output_merge_params p; };
layout(binding = 0) readonly buffer Partials { uvec4 partials[]; };
layout(binding = 1) writeonly buffer Results { output_result results[]; };

shared Statistics parts[gl_WorkGroupSize.x];

void main()
{
    uint me = gl_LocalInvocationIndex, lane = me % LANES;
    uint wanted = (gl_WorkGroupID.x * gl_WorkGroupSize.x + me) / LANES;
    // Every invocation must reach the barriers: those past the last row repeat it and write nothing.
    uint row = min(wanted, p.n_rows - 1);
    Statistics s = NOTHING;
    for (uint panel = lane; panel < p.n_panels; panel += LANES) {
        uint at = (panel * p.row_capacity + row) * 2;
        vec4 a = uintBitsToFloat(partials[at]);
        uvec4 b = partials[at + 1];
        s = merge(s, Statistics(a.x, a.y, a.z, a.w, b.x, uintBitsToFloat(b.y), uintBitsToFloat(b.z)));
    }
    if (LANES > 1) {
        parts[me] = s;
        for (uint step = LANES / 2; step > 0; step >>= 1) {
            barrier();
            if (lane < step)
                parts[me] = merge(parts[me], parts[me + step]);
        }
        s = parts[me];
    }
    if (lane == 0 && wanted < p.n_rows)
        results[row] = finish(s, p.excluded);
}
