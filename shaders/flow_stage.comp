// One velocity of a flow and the step to the next state, a row at a time:
//   x_hat_b = target[b n_rows + r], or normalised rescale * u / max(||u||, 1e-12) with u = target[b n_rows + r]
//   v       = sum over the branches b of branch_weight[b] * factor * (x_hat_b - stage[r])
//   next    = state[r] + sum over i < slope of step[i] * slopes[i][r] + step[slope] * v
// slopes[slope][r] and stage[r] become v and next, with `advance` state[r] next, too; input[b n_rows + r] becomes
// input_scale * next for every branch.
//
// Everything is f32 in rows of ld floats, whose columns from n_columns on become 0; slopes[i] begins slope_stride
// floats behind slopes[i - 1]. Rows are shared between invocations as in lib/rows.glsl.
// factor 0 is a velocity of 0 whatever is in target, which then nobody may have written.
// Numerics: each of the products and sums above is rounded once; the norm's squares are four chains a lane.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "params.h"
#include "rows.glsl"

layout(constant_id = 2) const uint N_BRANCHES = 1;
layout(constant_id = 3) const bool NORMALISE = false;

layout(binding = 0) readonly buffer Target { vec4 target[]; };
layout(binding = 1) buffer State { vec4 state[]; };
layout(binding = 2) buffer Stage { vec4 stage[]; };
layout(binding = 3) buffer Slopes { vec4 slopes[]; };
layout(binding = 4) writeonly buffer Input { vec4 network_input[]; };

layout(push_constant) uniform Push { flow_stage_params p; };

vec4 load_target(uint at, uint c)
{
    return inside(target[at + c], c, p.n_columns);
}

// What a row of target is multiplied by to give x_hat.
float target_scale(uint at, uint lane, uint n4)
{
    if (!NORMALISE)
        return 1.0;
    vec4 squares = vec4(0);
    for (uint c = lane; c < n4; c += LANES) {
        vec4 u = load_target(at, c);
        squares = fma(u, u, squares);
    }
    return p.rescale / max(sqrt(row_sum(sum4(squares))), 1e-12);
}

void main()
{
    uint lane = row_lane(), wanted = row_wanted();
    // Every invocation must reach the barriers: those past the end repeat the last row and write nothing.
    uint row = min(wanted, p.n_rows - 1u);
    uint n4 = p.ld / 4u, at = row * n4, second = at + p.n_rows * n4, stride = p.slope_stride / 4u;
    float scale0 = target_scale(at, lane, n4);
    float scale1 = N_BRANCHES == 2u ? target_scale(second, lane, n4) : 0.0;
    if (wanted >= p.n_rows)
        return;

    vec4 steps = vec4(p.step0, p.step1, p.step2, p.step3); // an array would live in memory on some GPUs
    for (uint c = lane; c < n4; c += LANES) {
        precise vec4 v = vec4(0);
        if (p.factor != 0.0) {
            vec4 here = stage[at + c];
            v = p.branch_weight0 * (load_target(at, c) * scale0 - here);
            if (N_BRANCHES == 2u)
                v += p.branch_weight1 * (load_target(second, c) * scale1 - here);
            v = inside(p.factor * v, c, p.n_columns);
        }
        precise vec4 sum = state[at + c];
        for (uint i = 0u; i < p.slope; i++)
            sum += steps[i] * slopes[i * stride + at + c];
        sum = inside(sum + steps[p.slope] * v, c, p.n_columns);
        slopes[p.slope * stride + at + c] = v;
        stage[at + c] = sum;
        if (p.advance != 0u)
            state[at + c] = sum;
        network_input[at + c] = p.input_scale * sum;
        if (N_BRANCHES == 2u)
            network_input[second + c] = p.input_scale * sum;
    }
}
