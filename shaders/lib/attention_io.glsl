// Bindings, constants and the masked online softmax of the attention kernels; lib/attention.glsl has the layout.
//
//   o[row, h dh + d] = sum_j p_j v_j[d] / sum_j p_j,   p_j = 2^(s_j - max s),   s_j = q' . k_j
// over the key slots j of the row's range; q' carries log2(e)/sqrt(dh) (rotary.comp). All in fp32.
//
// tiles[t] = (first query slot, query slots, first key slot, end of the key slots), multiples of 4: the key range is
// the union of its rows' ranges. Grid: x = tiles, y = query heads of the bound slice. Keys and values have a head
// stride of their own, and are f32 or, with CACHE_F16, packed halves; they are bound as storage buffers or, with
// TEXELS, as texels.
#ifndef ATTENTION_IO_GLSL
#define ATTENTION_IO_GLSL

#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"
#include "params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint DIM = 64;

layout(set = 0, binding = 0) readonly buffer Queries { vec4 q[]; };
#ifdef CACHE_F16
#include "half.glsl"
#endif
#ifdef TEXELS
#extension GL_EXT_samplerless_texture_functions : require
#ifdef CACHE_F16
layout(set = 0, binding = 1) uniform utextureBuffer k;
layout(set = 0, binding = 2) uniform utextureBuffer v;

// A texel holds two dimensions.
uvec2 half_of(uvec4 texel, uint i)
{
    return (i & 1) == 0 ? texel.xy : texel.zw;
}
#define key_vector(i)   half4(half_of(texelFetch(k, int((i) >> 1)), i))
#define value_vector(i) half4(half_of(texelFetch(v, int((i) >> 1)), i))
#else
layout(set = 0, binding = 1) uniform textureBuffer k;
layout(set = 0, binding = 2) uniform textureBuffer v;
#define key_vector(i)   texelFetch(k, int(i))
#define value_vector(i) texelFetch(v, int(i))
#endif
#else
#ifdef CACHE_F16
layout(set = 0, binding = 1) readonly buffer Keys { uvec2 k[]; };
layout(set = 0, binding = 2) readonly buffer Values { uvec2 v[]; };
#define key_vector(i)   half4(k[i])
#define value_vector(i) half4(v[i])
#else
layout(set = 0, binding = 1) readonly buffer Keys { vec4 k[]; };
layout(set = 0, binding = 2) readonly buffer Values { vec4 v[]; };
#define key_vector(i)   k[i]
#define value_vector(i) v[i]
#endif
#endif
layout(set = 0, binding = 3) readonly buffer Slots { uvec4 slots[]; };
layout(set = 0, binding = 4) readonly buffer Tiles { uvec4 tiles[]; };
layout(set = 0, binding = 5) writeonly buffer Output { float o[]; };
layout(push_constant) uniform Push { attention_params push; };

// Finite stand-in for minus infinity: below every score, and differences with itself are 0, not NaN.
const float LOWEST = -1e30;

// Four queries of one invocation.
struct queries {
    uvec4 row;   // EMPTY: nothing is stored
    uvec4 first; // first key slot
    uvec4 count; // key slots; 0 for an empty query
};

queries queries_load(uint slot, bool present)
{
    queries x;
    [[unroll]] for (uint r = 0; r < 4; r++) {
        uvec4 s = slots[slot + r];
        bool real = present && s.x != EMPTY;
        x.row[r] = real ? s.x : EMPTY;
        x.first[r] = s.z;
        x.count[r] = real ? s.w - s.z : 0;
    }
    return x;
}

// Which of the four queries attend to this key slot.
bvec4 queries_see(queries x, uint key)
{
    return lessThan(uvec4(key) - x.first, x.count);
}

// The factor for sums made under the maximum `before`: exactly 1 where the maximum stays, whatever exp2(0) is.
vec4 rescale(vec4 before, vec4 after)
{
    return mix(exp2(before - after), vec4(1), equal(before, after));
}

// Weights of scores under a maximum; exactly 0 where the key is not seen.
vec4 weights(vec4 score, vec4 highest, bvec4 seen)
{
    return mix(vec4(0), exp2(score - highest), seen);
}

// The last head clears what lies between the last column and the stride.
void clear_padding(uint head, uint row, uint first, uint step)
{
    if (head + 1 == push.n_heads && row != EMPTY)
        for (uint c = push.n_heads * DIM + first; c < push.ld; c += step)
            o[row * push.ld + c] = 0;
}

#endif
