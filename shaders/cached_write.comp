// Rotary embedding of new tokens, fused with the write of their keys and values into the cache and of their queries
// into the layout that the tile kernels read.
//
//   q'[i]        = scale (q[i] cos a - q[i + dh/2] sin a)      a = position * frequency, i < dh/2
//   q'[i + dh/2] = scale (q[i + dh/2] cos a + q[i] sin a)
//   k' likewise without scale, v' = v.
// scale is log2(e)/sqrt(dh). x is [rows, ld] with queries, keys and values each head-major at columns of their own.
// Layouts: lib/attention.glsl; queries by slots of the plan, keys and values by slots of the cache, f32 or halves
// (CACHE_F16: rounded to nearest even, finite). slots[s] = (row or EMPTY, position, first key slot of the sequence, end
// of the key slots); a group of the plan is a group of the cache: its key slot is z + y of its first slot.
//
// Grid: x = pairs (i, i + dh/2) of the bound heads, y = groups of four slots. One invocation owns a pair of one query
// head and of one key/value head for all four slots, so it may read what the cache holds of the group's other tokens
// and write it back. QUERIES: without it keys and values alone are written, and slots has no other use for z's end.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention.glsl"
#include "half.glsl"
#include "params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint DIM = 64;

#ifdef CACHE_F16
#define GROUP uvec2
#else
#define GROUP vec4
#endif

layout(set = 0, binding = 0) readonly buffer Input { float x[]; };
layout(set = 0, binding = 1) readonly buffer Slots { uvec4 slots[]; };
layout(set = 0, binding = 2) readonly buffer Angles { vec2 angles[]; };
layout(set = 0, binding = 3) buffer Keys { GROUP k[]; };
layout(set = 0, binding = 4) buffer Values { GROUP v[]; };
#ifdef QUERIES
layout(set = 0, binding = 5) writeonly buffer Queries { vec4 q[]; };
#endif
layout(push_constant) uniform Push { cached_write_params push; };

const uint HALF = DIM / 2;

// `fresh` where the token is new, what was there where it is not.
#ifdef CACHE_F16
uvec2 merge(uvec2 old, vec4 fresh, bvec4 is_new)
{
    uvec4 before = uvec4(old.x & 0xFFFFu, old.x >> 16, old.y & 0xFFFFu, old.y >> 16);
    uvec4 after;
    [[unroll]] for (uint r = 0; r < 4; r++)
        after[r] = is_new[r] ? f16_from_float(fresh[r]) : before[r];
    return after.xz | (after.yw << 16);
}
#else
vec4 merge(vec4 old, vec4 fresh, bvec4 is_new)
{
    return mix(old, fresh, is_new);
}
#endif

void main()
{
    uint pair = gl_GlobalInvocationID.x;
    uint head = pair / HALF;
    uint i = pair % HALF;
    uint slot = gl_WorkGroupID.y * 4;
#ifdef QUERIES
    if (head >= push.bound_kv_heads * push.share)
        return;
#else
    if (head >= push.bound_kv_heads)
        return;
#endif

    uint row[4];
    bvec4 real;
    vec2 turn[4];
    uint key_slot = slots[slot].y + slots[slot].z;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        uvec4 s = slots[slot + r];
        real[r] = s.x != EMPTY;
        row[r] = real[r] ? s.x * push.ld : 0;
        turn[r] = real[r] ? angles[s.y * HALF + i] : vec2(0);
    }

    vec4 low, high;
    uint column;
#ifdef QUERIES
    column = push.q_column + head * DIM + i;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        vec2 a = real[r] ? vec2(x[row[r] + column], x[row[r] + column + HALF]) : vec2(0);
        vec2 t = turn[r] * push.scale;
        low[r] = a.x * t.x - a.y * t.y;
        high[r] = a.y * t.x + a.x * t.y;
    }
    uint query = slot_vector(head, push.capacity, slot, DIM) + i;
    q[query] = low;
    q[query + HALF] = high;
    if (head >= push.bound_kv_heads)
        return;
#endif

    uint to = slot_vector(head, push.key_capacity, key_slot, DIM) + i;
    GROUP old_key[2] = {GROUP(0), GROUP(0)};
    GROUP old_value[2] = {GROUP(0), GROUP(0)};
    if (!all(real)) {
        old_key[0] = k[to];
        old_key[1] = k[to + HALF];
        old_value[0] = v[to];
        old_value[1] = v[to + HALF];
    }

    column = push.k_column + head * DIM + i;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        vec2 a = real[r] ? vec2(x[row[r] + column], x[row[r] + column + HALF]) : vec2(0);
        low[r] = a.x * turn[r].x - a.y * turn[r].y;
        high[r] = a.y * turn[r].x + a.x * turn[r].y;
    }
    k[to] = merge(old_key[0], low, real);
    k[to + HALF] = merge(old_key[1], high, real);

    column = push.v_column + head * DIM + i;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        low[r] = real[r] ? x[row[r] + column] : 0;
        high[r] = real[r] ? x[row[r] + column + HALF] : 0;
    }
    v[to] = merge(old_value[0], low, real);
    v[to + HALF] = merge(old_value[1], high, real);
}
