// Rotary embedding, fused with the write of queries, keys and values in the layout that attention reads.
//
//   q'[i]        = scale (q[i] cos a - q[i + dh/2] sin a)      a = position * base^(-2i/dh), i < dh/2
//   q'[i + dh/2] = scale (q[i + dh/2] cos a + q[i] sin a)
//   k' likewise without scale, v' = v.
// scale is log2(e)/sqrt(dh): attention then needs exp2 of plain dot products.
//
// x is [rows, ld]: queries of all heads, then keys, then values of the key/value heads, each head-major.
// q, k, v: lib/attention.glsl. Empty slots are written as zeros, so that attention may multiply them by zero.
// angles is [positions, dh/2] of (cos, sin), rounded from double on the host.
//
// One invocation: one pair (i, i + dh/2) of one head for the four slots of group gl_WorkGroupID.y, so reads of
// neighbouring invocations are consecutive and every write is 16 bytes. The bound ranges of q, k and v begin at
// key/value head push.first_kv_head and its query heads (tensors beyond the device's storage range go in slices).
// Memory-bound. On lavapipe 22.3.6, which loads and stores value by value, 3.4 ns of one core for each of the 3 D
// values of a row: 4 % of attention's time at 1024 tokens, 30 % at 128. 16-byte loads would save a sixth there, and
// cost a third on SwiftShader.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention.glsl"
#include "params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint DIM = 64;

layout(set = 0, binding = 0) readonly buffer Input { float x[]; };
layout(set = 0, binding = 1) readonly buffer Slots { uvec4 slots[]; };
layout(set = 0, binding = 2) readonly buffer Angles { vec2 angles[]; };
layout(set = 0, binding = 3) writeonly buffer Queries { vec4 q[]; };
layout(set = 0, binding = 4) writeonly buffer Keys { vec4 k[]; };
layout(set = 0, binding = 5) writeonly buffer Values { vec4 v[]; };
layout(push_constant) uniform Push { rotary_params push; };

const uint HALF = DIM / 2;

void main()
{
    uint pair = gl_GlobalInvocationID.x;
    uint head = pair / HALF;
    uint i = pair % HALF;
    uint slot = gl_WorkGroupID.y * 4;
    if (head >= push.bound_kv_heads * push.share)
        return;

    uint row[4];
    bool real[4];
    vec2 turn[4];
    [[unroll]] for (uint r = 0; r < 4; r++) {
        uvec4 s = slots[slot + r];
        real[r] = s.x != EMPTY;
        row[r] = real[r] ? s.x * push.ld : 0;
        turn[r] = real[r] ? angles[s.y * HALF + i] : vec2(0);
    }

    vec4 low, high;
    uint column = (push.first_kv_head * push.share + head) * DIM + i;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        vec2 a = real[r] ? vec2(x[row[r] + column], x[row[r] + column + HALF]) : vec2(0);
        vec2 t = turn[r] * push.scale;
        low[r] = a.x * t.x - a.y * t.y;
        high[r] = a.y * t.x + a.x * t.y;
    }
    uint to = slot_vector(head, push.capacity, slot, DIM) + i;
    q[to] = low;
    q[to + HALF] = high;
    if (head >= push.bound_kv_heads)
        return;

    column = (push.share * push.n_kv_heads + push.first_kv_head + head) * DIM + i;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        vec2 a = real[r] ? vec2(x[row[r] + column], x[row[r] + column + HALF]) : vec2(0);
        low[r] = a.x * turn[r].x - a.y * turn[r].y;
        high[r] = a.y * turn[r].x + a.x * turn[r].y;
    }
    k[to] = low;
    k[to + HALF] = high;

    column += push.n_kv_heads * DIM;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        low[r] = real[r] ? x[row[r] + column] : 0;
        high[r] = real[r] ? x[row[r] + column + HALF] : 0;
    }
    v[to] = low;
    v[to + HALF] = high;
}
