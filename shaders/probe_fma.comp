// Multiply-add limit of a device: twelve independent chains of fused multiply-adds an invocation, nothing but
// registers. 12 chains x 16 x STEPS fmas an invocation; the result is stored only where it is a number that it cannot
// be, so that nothing is optimised away and nothing is written.
// HALF: the same in half precision.
#version 450
#extension GL_EXT_control_flow_attributes : require
#ifdef HALF
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define VEC f16vec4
#else
#define VEC vec4
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint STEPS = 1000;

layout(binding = 0) readonly buffer Input { float seed[]; };
layout(binding = 1) writeonly buffer Output { float y[]; };

void main()
{
    VEC m = VEC(seed[0]), c = VEC(seed[1]);
    VEC a0 = VEC(vec4(gl_LocalInvocationIndex % 8u) + vec4(0, 1, 2, 3)), a1 = a0 + VEC(4.0), a2 = a0 + VEC(8.0);
    for (uint i = 0; i < STEPS; i++) {
        [[unroll]] for (uint u = 0; u < 16; u++) {
            a0 = fma(a0, m, c);
            a1 = fma(a1, m, c);
            a2 = fma(a2, m, c);
        }
    }
    vec4 s = vec4(a0 + a1 + a2);
    if (s.x + s.y + s.z + s.w == 1234.5)
        y[0] = s.x;
}
