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
// and write it back. The new ones are consecutive and taken in a loop, for a lone token is the common case. Without
// QUERIES keys and values alone are written.
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

vec2 rotated(vec2 a, vec2 turn)
{
    return vec2(a.x * turn.x - a.y * turn.y, a.y * turn.x + a.x * turn.y);
}

vec4 put(vec4 group, uint r, float x)
{
    return mix(group, vec4(x), equal(uvec4(r), uvec4(0, 1, 2, 3)));
}

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

    bvec4 real;
    [[unroll]] for (uint r = 0; r < 4; r++)
        real[r] = slots[slot + r].x != EMPTY;
    uint first = real.x ? 0 : real.y ? 1 : real.z ? 2 : 3;
    uint last = real.w ? 3 : real.z ? 2 : real.y ? 1 : 0;

#ifdef QUERIES
    vec4 low = vec4(0);
    vec4 high = vec4(0);
    uint r = first;
    [[dont_unroll]] do {
        uvec4 s = slots[slot + r];
        uint column = s.x * push.ld + push.q_column + head * DIM + i;
        vec2 a = rotated(vec2(x[column], x[column + HALF]), angles[s.y * HALF + i] * push.scale);
        low = put(low, r, a.x);
        high = put(high, r, a.y);
        r++;
    } while (r <= last);
    uint query = slot_vector(head, push.capacity, slot, DIM) + i;
    q[query] = low;
    q[query + HALF] = high;
    if (head >= push.bound_kv_heads)
        return;
#endif

    vec4 key[2] = {vec4(0), vec4(0)};
    vec4 value[2] = {vec4(0), vec4(0)};
    uint t = first;
    [[dont_unroll]] do {
        uvec4 s = slots[slot + t];
        uint column = s.x * push.ld + head * DIM + i;
        uint k_column = column + push.k_column;
        uint v_column = column + push.v_column;
        vec2 a = rotated(vec2(x[k_column], x[k_column + HALF]), angles[s.y * HALF + i]);
        [[unroll]] for (uint h = 0; h < 2; h++) {
            key[h] = put(key[h], t, a[h]);
            value[h] = put(value[h], t, x[v_column + h * HALF]);
        }
        t++;
    } while (t <= last);

    uint to = slot_vector(head, push.key_capacity, slots[slot].y + slots[slot].z, DIM) + i;
    GROUP old[4] = {GROUP(0), GROUP(0), GROUP(0), GROUP(0)};
    if (!all(real)) {
        old[0] = k[to];
        old[1] = k[to + HALF];
        old[2] = v[to];
        old[3] = v[to + HALF];
    }
    k[to] = merge(old[0], key[0], real);
    k[to + HALF] = merge(old[1], key[1], real);
    v[to] = merge(old[2], value[0], real);
    v[to + HALF] = merge(old[3], value[1], real);
}
