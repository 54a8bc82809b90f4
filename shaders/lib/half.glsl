// 16-bit floats, widened exactly and rounded to nearest even by integer arithmetic: drivers may flush the subnormals
// of unpackHalf2x16, and round as they like in packHalf2x16.
#ifndef HALF_GLSL
#define HALF_GLSL

// Whether unpackHalf2x16 is known to widen every value exactly on this device, subnormals included. Otherwise the
// values are decoded by integer arithmetic.
layout(constant_id = 9) const bool HALF_EXACT = false;

// bfloat16 is the upper half of a float.
float float_from_bf16(uint bits)
{
    return uintBitsToFloat(bits << 16);
}

// IEEE binary16 in the low 16 bits. A subnormal is mantissa * 2^-24, a normal float.
float float_from_f16(uint bits)
{
    uint sign = (bits & 0x8000u) << 16;
    uint exponent = (bits >> 10) & 31u;
    uint mantissa = bits & 1023u;
    uint normal = ((exponent == 31u ? 255u : exponent + 112u) << 23) | (mantissa << 13);
    uint magnitude = exponent == 0u ? floatBitsToUint(float(mantissa) * 5.9604644775390625e-8) : normal;
    return uintBitsToFloat(sign | magnitude);
}

// Four halves, the first in the low bits of u.x.
vec4 half4(uvec2 u)
{
    if (HALF_EXACT)
        return vec4(unpackHalf2x16(u.x), unpackHalf2x16(u.y));
    return vec4(float_from_f16(u.x & 0xFFFFu), float_from_f16(u.x >> 16), float_from_f16(u.y & 0xFFFFu),
                float_from_f16(u.y >> 16));
}

// The nearest half, ties to even; what is beyond the largest one becomes the largest one, a NaN stays one.
uint f16_from_float(float x)
{
    uint bits = floatBitsToUint(x);
    uint magnitude = bits & 0x7FFFFFFFu;
    uint rounded;
    if (magnitude > 0x7F800000u)
        rounded = 0x7E00u;
    else if (magnitude < 0x38800000u) // below 2^-14: a multiple of 2^-24
        rounded = uint(roundEven(uintBitsToFloat(magnitude) * 16777216.0));
    else {
        magnitude = min(magnitude, 0x477FE000u);
        rounded = ((magnitude + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13) - (112u << 10);
    }
    return rounded | ((bits >> 16) & 0x8000u);
}

#endif
