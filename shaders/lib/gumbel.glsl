// Standard Gumbel noise from random words, in full single precision at both ends.
#ifndef GUMBEL_GLSL
#define GUMBEL_GLSL

// g = -log(E) with E = -log(1 - u) exponential, u = (r + 1/2) 2^-32.
//   u <= 1/2: E = 2 atanh(s), s = u / (2 - u) <= 1/3, by its series (GLSL's log is only absolutely accurate near 1,
//             which would lose the largest g); the first term left out is below 2e-8 E.
//   u >  1/2: E = -log(w), w = 1 - u = (~r + 1/2) 2^-32.
vec4 gumbel(uvec4 r)
{
    const float scale = 2.3283064365386963e-10; // 2^-32
    vec4 u = (vec4(r) + 0.5) * scale;
    vec4 s = u / (2.0 - u);
    vec4 q = s * s;
    vec4 series = fma(q, fma(q, fma(q, fma(q, fma(q, fma(q, vec4(1.0 / 13.0), vec4(1.0 / 11.0)), vec4(1.0 / 9.0)),
                                           vec4(1.0 / 7.0)), vec4(1.0 / 5.0)), vec4(1.0 / 3.0)), vec4(1.0));
    vec4 direct = -log((vec4(~r) + 0.5) * scale);
    vec4 e = mix(direct, 2.0 * s * series, lessThan(r, uvec4(0x80000000u)));
    return -log(e);
}

#endif
