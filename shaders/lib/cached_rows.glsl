// Bindings, constants and the parts in common of the kernels for single queries over cached keys and values.
//
//   o[r, h dh + d] = sum_j p_j v_j[d] / sum_j p_j,   p_j = 2^(s_j - max s),   s_j = q' . k_j,   j = 0 .. position
// of row r = (sequence, position); q' is row r's query rotated to `position` and scaled by log2(e)/sqrt(dh). fp32.
// Keys and values of a token: slot sequence * context + position of the cache (lib/attention.glsl has the layout),
// f32 or halves (CACHE_F16), bound as storage buffers or, with TEXELS, as texels.
//
// A unit is what 16 bytes hold of one group of four tokens: UNIT = 1 dimension of f32, 2 of halves. A lane that owns
// units owns their dimensions u UNIT + e of queries and outputs.
//
// Grid: x = rows, y = key/value heads of the bound slice, z = blocks of HEADS of the query heads that share one: keys
// and values are read once for all of a block.
#ifndef CACHED_ROWS_GLSL
#define CACHED_ROWS_GLSL

#extension GL_GOOGLE_include_directive : require
#include "half.glsl"
#include "params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint DIM = 64;
layout(constant_id = 2) const uint HEADS = 1;

layout(set = 0, binding = 0) readonly buffer Queries { float q[]; };
layout(set = 0, binding = 1) readonly buffer Rows { uvec2 rows[]; };
layout(set = 0, binding = 2) readonly buffer Angles { vec2 angles[]; };
layout(set = 0, binding = 5) writeonly buffer Output { float o[]; };
layout(push_constant) uniform Push { cached_rows_params push; };

#ifdef CACHE_F16
#define UNIT 2
#else
#define UNIT 1
#endif

#ifdef TEXELS
#extension GL_EXT_samplerless_texture_functions : require
#ifdef CACHE_F16
layout(set = 0, binding = 3) uniform utextureBuffer k;
layout(set = 0, binding = 4) uniform utextureBuffer v;
#else
layout(set = 0, binding = 3) uniform textureBuffer k;
layout(set = 0, binding = 4) uniform textureBuffer v;
#endif
#define LOAD(from, i) texelFetch(from, int(i))
#else
#ifdef CACHE_F16
layout(set = 0, binding = 3) readonly buffer Keys { uvec4 k[]; };
layout(set = 0, binding = 4) readonly buffer Values { uvec4 v[]; };
#else
layout(set = 0, binding = 3) readonly buffer Keys { vec4 k[]; };
layout(set = 0, binding = 4) readonly buffer Values { vec4 v[]; };
#endif
#define LOAD(from, i) from[i]
#endif

#ifdef CACHE_F16
#define WIDEN(u) { half4((u).xy), half4((u).zw) }
#else
#define WIDEN(u) { u }
#endif

const uint HALF = DIM / 2;
const uint UNITS = DIM / UNIT; // of a group

// Finite stand-in for minus infinity: below every score, and differences with itself are 0, not NaN.
const float LOWEST = -1e30;

// First unit of a sequence's keys (and values) for a key/value head of the bound slice.
uint first_unit(uint kv_head, uint sequence)
{
    return (kv_head * (push.key_capacity / 4) + sequence * (push.context / 4)) * UNITS;
}

// Dimension d of head h's query, rotated and scaled; 0 from DIM on.
float rotated_query(uint row, uint head, uint position, uint d)
{
    uint at = min(d, DIM - 1);
    uint column = row * push.ldq + push.q_column + head * DIM;
    vec2 turn = angles[position * HALF + at % HALF] * push.scale;
    float mine = q[column + at];
    float other = q[column + (at < HALF ? at + HALF : at - HALF)];
    float turned = at < HALF ? mine * turn.x - other * turn.y : mine * turn.x + other * turn.y;
    return d < DIM ? turned : 0;
}

// Which keys of a group the query attends to.
bvec4 group_seen(uint group, uint position)
{
    return lessThanEqual(uvec4(group * 4) + uvec4(0, 1, 2, 3), uvec4(position));
}

float largest(vec4 x)
{
    return max(max(x.x, x.y), max(x.z, x.w));
}

float sum4(vec4 x)
{
    return (x.x + x.y) + (x.z + x.w);
}

// The factor for sums made under the maximum `before`: exactly 1 where the maximum stays, whatever exp2(0) is.
float rescale(float before, float after)
{
    return before == after ? 1 : exp2(before - after);
}

// Clears what lies between the last column and the stride, where this workgroup's heads first .. first + HEADS - 1 of
// those that share include the last one. Call it outside of loops: a loop inside them keeps one driver from unrolling
// them, and arrays that are then indexed by a variable leave its registers.
void clear_padding(uint row, uint head, uint first, uint lane)
{
    if (head + push.share == push.n_heads && first + HEADS >= push.share)
        for (uint c = push.n_heads * DIM + lane; c < push.ld; c += LANES)
            o[row * push.ld + c] = 0;
}

#endif
