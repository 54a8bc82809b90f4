// The most probable tokens of a row, from its logits, the records of its panels (output_records.comp) and its result:
//   list[m][k] = the k-th token in descending order of x[m, v] = logit[m, v] inv_temperature[m], the lowest id of equals
//   first, and its x; token -1 and x of -3e38 when fewer tokens count.
// Each round finds the best token behind the last one: a panel is looked into only when its maximum reaches the best
// found so far, so that a round reads the maxima and a few panels. A dispatch does the rounds first .. end - 1: one driver
// stops an invocation after 65,535 iterations. LANES invocations share a row as in
// output_merge.comp; the order is total, so a list depends on its row alone.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "params.h"
#include "output.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LANES = 1; // a power of two that divides the workgroup's size
layout(push_constant) uniform Push { output_list_params p; };
layout(binding = 0) readonly buffer Partials { uvec4 partials[]; };
layout(binding = 1) readonly buffer Logits { vec4 logits[]; };
layout(binding = 2) readonly buffer Draws { output_draw draws[]; };
layout(binding = 3) readonly buffer Results { output_result results[]; };
layout(binding = 4) buffer List { output_candidate list[]; };

struct Candidate {
    float x;
    uint token;
};

const Candidate NONE = Candidate(LOWEST, 0xFFFFFFFFu);

shared Candidate parts[gl_WorkGroupSize.x];

bool precedes(Candidate a, Candidate b)
{
    return a.x > b.x || (a.x == b.x && a.token < b.token);
}

void main()
{
    uint me = gl_LocalInvocationIndex, lane = me % LANES;
    uint wanted = (gl_WorkGroupID.x * gl_WorkGroupSize.x + me) / LANES;
    // Every invocation must reach the barriers: those past the last row repeat it and write nothing.
    uint row = min(wanted, p.n_rows - 1);
    float inv_temperature = draws[row].inv_temperature, least = results[row].least;
    Candidate last = Candidate(-LOWEST, 0);
    if (p.first > 0) {
        output_candidate before = list[row * p.n_candidates + p.first - 1];
        last = Candidate(before.x, uint(before.token));
    }
    for (uint k = p.first; k < p.end; k++) {
        Candidate best = NONE;
        for (uint panel = lane; panel < p.n_panels; panel += LANES) {
            float most = uintBitsToFloat(partials[(panel * p.row_capacity + row) * 2].x);
            if (most < best.x)
                continue;
            for (uint unit = panel * 8; unit < panel * 8 + 8; unit++) {
                vec4 x = mask_excluded(logits[row * (p.ld >> 2) + unit] * inv_temperature, unit, p.vocab_size, p.excluded);
                [[unroll]] for (uint c = 0; c < 4; c++) {
                    Candidate found = Candidate(x[c], 4 * unit + c);
                    if (precedes(last, found) && precedes(found, best))
                        best = found;
                }
            }
        }
        if (LANES > 1) {
            parts[me] = best;
            for (uint step = LANES / 2; step > 0; step >>= 1) {
                barrier();
                if (lane < step && precedes(parts[me + step], parts[me]))
                    parts[me] = parts[me + step];
            }
            barrier();
            best = parts[me - lane];
            barrier();
        }
        last = best;
        bool counts = best.x > LOWEST && best.x >= least;
        if (lane == 0 && wanted < p.n_rows) {
            output_candidate to;
            to.token = counts ? int(best.token) : -1;
            to.x = counts ? best.x : LOWEST;
            list[row * p.n_candidates + k] = to;
        }
    }
}
