// Read bandwidth of a device: every workgroup sums one contiguous piece of STEPS x 4 x invocations vec4. Neighbouring
// invocations read neighbouring addresses (what GPUs want) or, with OWN_PIECE, each reads a piece of its own from
// beginning to end (what CPU drivers want).
// TEXELS: the input is bound as texels, which Mesa's CPU driver loads four floats at once.
#version 450
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint STEPS = 256;
layout(constant_id = 2) const bool OWN_PIECE = false;

#ifdef TEXELS
#extension GL_EXT_samplerless_texture_functions : require
layout(binding = 0) uniform textureBuffer x;
#define LOAD(i) texelFetch(x, int(i))
#else
layout(binding = 0) readonly buffer Input { vec4 x[]; };
#define LOAD(i) x[i]
#endif
layout(binding = 1) writeonly buffer Output { float y[]; };

void main()
{
    uint next = OWN_PIECE ? 1 : gl_WorkGroupSize.x;
    uint at = gl_WorkGroupID.x * STEPS * 4 * gl_WorkGroupSize.x + gl_LocalInvocationID.x * (OWN_PIECE ? 4 * STEPS : 1);
    vec4 a = vec4(0), b = vec4(0), c = vec4(0), d = vec4(0);
    for (uint i = 0; i < STEPS; i++) {
        a += LOAD(at);
        b += LOAD(at + next);
        c += LOAD(at + 2 * next);
        d += LOAD(at + 3 * next);
        at += 4 * next;
    }
    vec4 s = (a + b) + (c + d);
    if (s.x + s.y + s.z + s.w == 1234.5)
        y[0] = s.x;
}
