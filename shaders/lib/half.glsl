// 16-bit floats widened exactly by integer arithmetic: drivers may flush the subnormals of unpackHalf2x16.
#ifndef HALF_GLSL
#define HALF_GLSL

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

#endif
