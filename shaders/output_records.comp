// The records of output_sample.comp, bit for bit, from logits that a linear layer has written: for rows whose logits are
// wanted for more than a draw (output_list.comp). One invocation a row and panel; neighbours have neighbouring rows.
// Where there are more panels than workgroups, a workgroup takes several.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "params.h"

layout(local_size_x = 64) in;
layout(push_constant) uniform Push { output_records_params p; };
layout(binding = 0) readonly buffer Logits { vec4 logits[]; };
layout(binding = 1) readonly buffer Draws { output_draw draws[]; };
layout(binding = 2) writeonly buffer Partials { uvec4 partials[]; }; // as in output_sample.comp

#include "output_panel.glsl"

uint row = min(gl_GlobalInvocationID.x, p.n_rows - 1);
output_draw draw;

vec4 panel_x(uint i)
{
    return mask_excluded(logits[row * (p.ld >> 2) + i] * draw.inv_temperature, i, p.vocab_size, p.excluded);
}

void main()
{
    draw = draws[row];
    for (uint panel = gl_WorkGroupID.y; panel < p.ld / 32; panel += gl_NumWorkGroups.y) {
        Statistics s = panel_statistics(panel * 8, panel * 8, draw, uvec2(p.seed_low, p.seed_high));
        uint to = (panel * p.row_capacity + row) * 2;
        if (gl_GlobalInvocationID.x < p.n_rows) {
            partials[to] = floatBitsToUint(vec4(s.max, s.sum, s.lean, s.score));
            partials[to + 1] = uvec4(s.token, floatBitsToUint(vec3(s.x, s.target, 0.0)));
        }
    }
}
