// Timestep features of sigma: for i < 128, f_i = 10000^(-i/128), a = sigma f_i,
//   features[s, i] = cos(a), features[s, 128 + i] = sin(a).
// sigma: f32 [n_sequences]; features: f32 [n_sequences, 256]. One invocation per (s, i).
//
// Numerics: Vulkan's sin and cos are good to 2^-11 only. Here the argument is reduced by multiples of pi/2, held in
// three parts of which k * PI2_HIGH is exact up to k = 65535, and the series of sin and cos for |r| <= pi/4 are cut
// where the next term is below 2e-9. What remains is the rounding of a itself: 2^-23 |a|.
#version 450
#include "params.h"

layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer Sigma { float sigma[]; };
layout(binding = 1) writeonly buffer Features { float features[]; };
layout(push_constant) uniform Push { timestep_params p; };

const float PI2_HIGH = 1.5703125; // 8 bits
const float PI2_MIDDLE = 4.837512969970703125e-4; // 11 bits
const float PI2_LOW = 7.54978995489188216e-8;
const float TWO_OVER_PI = 0.636619772;

// 10000^(-i/128) = 10^(-i/32) = ROOTS[i % 32] * DECADES[i / 32].
const vec4 DECADES = vec4(1.0, 0.1, 0.01, 0.001);
const float ROOTS[32] = float[](
    1.0, 0.930572033, 0.865964353, 0.805842161,
    0.749894202, 0.697830558, 0.649381638, 0.604296386,
    0.562341332, 0.523299098, 0.486967534, 0.453158379,
    0.421696514, 0.392418981, 0.365174115, 0.339820832,
    0.316227764, 0.294272721, 0.273841977, 0.254829675,
    0.237137377, 0.220673412, 0.2053525, 0.191095293,
    0.177827939, 0.165481716, 0.153992653, 0.143301263,
    0.133352146, 0.124093778, 0.115478195, 0.107460782
);

float sin_series(float r)
{
    float s = r * r;
    return r + r * s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0))));
}

float cos_series(float r)
{
    float s = r * r;
    return 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0 + s * (-1.0 / 3628800.0)))));
}

void main()
{
    uint index = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64u + gl_LocalInvocationID.x;
    uint sequence = index / 128u;
    uint i = index % 128u;
    if (sequence >= p.n_sequences)
        return;
    precise float a = sigma[sequence] * (ROOTS[i % 32u] * DECADES[i / 32u]);
    precise float k = round(a * TWO_OVER_PI);
    precise float r = ((a - k * PI2_HIGH) - k * PI2_MIDDLE) - k * PI2_LOW;
    float s = sin_series(r);
    float c = cos_series(r);
    uint quarter = uint(int(k)) & 3u;
    features[sequence * 256u + i] = quarter == 0u ? c : quarter == 1u ? -s : quarter == 2u ? -c : s;
    features[sequence * 256u + 128u + i] = quarter == 0u ? s : quarter == 1u ? c : quarter == 2u ? -s : -c;
}
