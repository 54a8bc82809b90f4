// A weight matrix in panels: panel p holds columns n = 32p .. 32p+31 as [K][32], k-major, in the element type of the
// file. A unit is four consecutive columns of one k; a panel row has eight units, so
//   unit(p, k, q) = (p K + k) 8 + q,   q = 0..7.
// Defines: one of WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16. TEXELS binds the weights as a texel buffer: a CPU driver gathers
// a storage buffer's components one by one, with a bounds check each, but fetches a texel of four at once.
// 16-bit types need no storage feature: they are unpacked from 32 bits.
#ifndef WEIGHT_GLSL
#define WEIGHT_GLSL

#include "half.glsl"

vec4 bfloat4(uvec2 u)
{
    return uintBitsToFloat(uvec4(u.x << 16, u.x & 0xFFFF0000u, u.y << 16, u.y & 0xFFFF0000u));
}

#if defined(TEXELS)
#extension GL_EXT_samplerless_texture_functions : require
#if defined(WEIGHT_F32)
layout(binding = 1) uniform textureBuffer weight;
#else
layout(binding = 1) uniform utextureBuffer weight;
#endif
#elif defined(WEIGHT_F32)
layout(binding = 1) readonly buffer Weight { vec4 weight[]; };
#else
layout(binding = 1) readonly buffer Weight { uvec2 weight[]; };
#endif

vec4 widen(uvec2 u)
{
#ifdef WEIGHT_F16
    return half4(u);
#else
    return bfloat4(u);
#endif
}

#if !defined(TEXELS)
vec4 weight_unit(uint unit)
{
#if defined(WEIGHT_F32)
    return weight[unit];
#else
    return widen(weight[unit]);
#endif
}
#endif

// Units `unit`, which is even, and unit + 1.
void weight_pair(uint unit, out vec4 first, out vec4 second)
{
#if !defined(TEXELS)
    first = weight_unit(unit);
    second = weight_unit(unit + 1);
#elif defined(WEIGHT_F32)
    first = texelFetch(weight, int(unit));
    second = texelFetch(weight, int(unit + 1));
#else
    uvec4 u = texelFetch(weight, int(unit >> 1));
    first = widen(u.xy);
    second = widen(u.zw);
#endif
}

#endif
