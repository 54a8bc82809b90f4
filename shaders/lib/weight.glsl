// A weight matrix in panels: panel p holds columns n = 32p .. 32p+31 as [K][32], k-major, in the element type of the
// file. A unit is four consecutive columns of one k; a panel row has eight units, so
//   unit(p, k, q) = (p K + k) 8 + q,   q = 0..7.
// Defines: one of WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16; WIDE reads 64-bit integers (drivers that gather element by
// element load twice as much per element). 16-bit types need no storage feature: they are unpacked from 32 bits.
#ifndef WEIGHT_GLSL
#define WEIGHT_GLSL

#ifdef WIDE
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
#include "half.glsl"

// Whether unpackHalf2x16 is known to widen every value exactly on this device, subnormals included. Otherwise the
// values are decoded by integer arithmetic.
layout(constant_id = 9) const bool HALF_EXACT = false;


vec4 half4(uvec2 u)
{
    if (HALF_EXACT)
        return vec4(unpackHalf2x16(u.x), unpackHalf2x16(u.y));
    return vec4(float_from_f16(u.x & 0xFFFFu), float_from_f16(u.x >> 16), float_from_f16(u.y & 0xFFFFu),
                float_from_f16(u.y >> 16));
}

vec4 bfloat4(uvec2 u)
{
    return uintBitsToFloat(uvec4(u.x << 16, u.x & 0xFFFF0000u, u.y << 16, u.y & 0xFFFF0000u));
}

#if defined(WEIGHT_F32) && defined(WIDE)
layout(binding = 1) readonly buffer Weight { u64vec2 weight[]; };
#elif defined(WEIGHT_F32)
layout(binding = 1) readonly buffer Weight { vec4 weight[]; };
#elif defined(WIDE)
layout(binding = 1) readonly buffer Weight { uint64_t weight[]; };
#else
layout(binding = 1) readonly buffer Weight { uvec2 weight[]; };
#endif

vec4 weight_unit(uint unit)
{
#if defined(WEIGHT_F32) && defined(WIDE)
    u64vec2 w = weight[unit];
    return uintBitsToFloat(uvec4(unpackUint2x32(w.x), unpackUint2x32(w.y)));
#elif defined(WEIGHT_F32)
    return weight[unit];
#else
#ifdef WIDE
    uvec2 u = unpackUint2x32(weight[unit]);
#else
    uvec2 u = weight[unit];
#endif
#ifdef WEIGHT_F16
    return half4(u);
#else
    return bfloat4(u);
#endif
#endif
}

#endif
