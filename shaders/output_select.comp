// Output layer with top-k and top-p: one workgroup a row of logits, which a linear layer has written.
//   x[m, v] = logit[m, v] inv_temperature[m]. top-k keeps the k largest x (all that equal the k-th); then top-p keeps
//   the most probable of these until their renormalised mass reaches p (all that equal the last one kept). The
//   statistics are those of what is kept, renormalised.
// Thresholds are found by radix selection over the bits of x in an order-preserving key, eight bits a pass: counts for
// top-k, masses for top-p. Masses are integers, exp(x - max) 2^30 in three parts of 11, 11 and 9 bits, so that sums
// are exact in any order (for at most 2^21 tokens) and a row's result depends on the row alone.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "params.h"
#include "output.glsl"

layout(local_size_x = 128) in;
layout(push_constant) uniform Push { output_select_params p; };
layout(binding = 0) readonly buffer Logits { vec4 logits[]; };
layout(binding = 1) readonly buffer Draws { output_draw draws[]; };
layout(binding = 2) writeonly buffer Results { output_result results[]; };

shared uint bucket[256][3];
shared uint found_digit;
shared float found_above;
shared Statistics parts[128];

uint me = gl_LocalInvocationIndex, row = gl_WorkGroupID.x;
output_draw draw;

// x of tokens 4i .. 4i+3.
vec4 load(uint i)
{
    return mask_excluded(logits[row * (p.ld >> 2) + i] * draw.inv_temperature, i, p.vocab_size, p.excluded);
}

// Ascending like the floats; 0 only for what is excluded.
uvec4 key_of(vec4 x)
{
    uvec4 bits = mix(floatBitsToUint(x), uvec4(0), equal(x, vec4(0.0))); // -0 equals 0
    uvec4 key = bits ^ mix(uvec4(0x80000000u), uvec4(0xFFFFFFFFu), greaterThanEqual(bits, uvec4(0x80000000u)));
    return mix(key, uvec4(0), lessThanEqual(x, vec4(LOWEST)));
}

// The x of a key; LOWEST for 1, which every token reaches.
float float_of(uint key)
{
    return key == 1 ? LOWEST : uintBitsToFloat(key ^ (key >= 0x80000000u ? 0x80000000u : 0xFFFFFFFFu));
}

float mass_of(uint b)
{
    return float(bucket[b][0]) + 2048.0 * float(bucket[b][1]) + 4194304.0 * float(bucket[b][2]);
}

// The largest key t >= least such that the tokens with keys >= t number `wanted` (BY_MASS false) or weigh `wanted`;
// `least` when all tokens from there do not reach it.
uint select(bool by_mass, float wanted, uint least, float most, uint n_units)
{
    uint prefix = 0;
    float above = 0.0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        barrier();
        for (uint b = me; b < 256; b += 128)
            [[unroll]] for (uint c = 0; c < 3; c++)
                bucket[b][c] = 0;
        barrier();
        for (uint i = me; i < n_units; i += 128) {
            vec4 x = load(i);
            uvec4 key = key_of(x);
            uvec4 mass = uvec4(weights_of(x, most) * 1073741824.0);
            [[unroll]] for (uint c = 0; c < 4; c++)
                // Shifting by 32 is undefined: the prefix is compared in two steps.
                if (key[c] >= least && key[c] != 0 && (key[c] >> shift) >> 8 == prefix) {
                    uint b = key[c] >> shift & 255;
                    if (by_mass) {
                        atomicAdd(bucket[b][0], mass[c] & 2047);
                        atomicAdd(bucket[b][1], mass[c] >> 11 & 2047);
                        atomicAdd(bucket[b][2], mass[c] >> 22);
                    } else
                        atomicAdd(bucket[b][0], 1);
                }
        }
        barrier();
        if (me == 0) {
            uint b = 256;
            float total = above, before = above;
            do {
                b--;
                before = total;
                total += mass_of(b);
            } while (b > 0 && total < wanted);
            found_digit = b;
            found_above = before;
        }
        barrier();
        prefix = prefix << 8 | found_digit;
        above = found_above;
    }
    return max(prefix, least);
}

Statistics reduce(Statistics s)
{
    barrier();
    parts[me] = s;
    for (uint step = 64; step > 0; step >>= 1) {
        barrier();
        if (me < step)
            parts[me] = merge(parts[me], parts[me + step]);
    }
    barrier();
    return parts[0];
}

float largest(uint n_units)
{
    Statistics s = NOTHING;
    for (uint i = me; i < n_units; i += 128) {
        vec4 x = load(i);
        s.max = max(s.max, max(max(x.x, x.y), max(x.z, x.w)));
    }
    return reduce(s).max;
}

// Mass of the tokens with keys >= least, on the scale of `select`.
float total_mass(uint least, float most, uint n_units)
{
    barrier();
    if (me < 3)
        bucket[0][me] = 0;
    barrier();
    uvec3 sum = uvec3(0);
    for (uint i = me; i < n_units; i += 128) {
        vec4 x = load(i);
        uvec4 key = key_of(x);
        uvec4 mass = mix(uvec4(0), uvec4(weights_of(x, most) * 1073741824.0), greaterThanEqual(key, uvec4(least)));
        [[unroll]] for (uint c = 0; c < 4; c++)
            sum += uvec3(mass[c] & 2047, mass[c] >> 11 & 2047, mass[c] >> 22);
    }
    [[unroll]] for (uint c = 0; c < 3; c++)
        atomicAdd(bucket[0][c], sum[c]);
    barrier();
    return mass_of(0);
}

Statistics kept(uint least, float most, uint n_units)
{
    Statistics s = NOTHING;
    s.max = most;
    for (uint i = me; i < n_units; i += 128) {
        vec4 x = load(i);
        x = mix(vec4(LOWEST), x, greaterThanEqual(key_of(x), uvec4(least)));
        vec4 e = weights_of(x, most), lean = e * (x - most), score = x;
        s.sum += (e.x + e.y) + (e.z + e.w);
        s.lean += (lean.x + lean.y) + (lean.z + lean.w);
        if (draw.draw != 0)
            score += token_noise(uvec2(p.seed_low, p.seed_high), draw, i);
        add_scores(s, x, score, i);
        uint target = uint(draw.target) - 4 * i;
        if (target < 4)
            s.target = x[target];
    }
    return reduce(s);
}

void main()
{
    draw = draws[row];
    uint n_units = (p.vocab_size + 3) / 4;
    float most = largest(n_units);
    uint least = 1;
    if (p.top_k > 0 && p.top_k < p.vocab_size)
        least = select(false, float(p.top_k), least, most, n_units);
    // At least one unit of mass: the most probable token stays whatever p.
    if (p.top_p < 1.0)
        least = select(true, max(p.top_p * total_mass(least, most, n_units), 1.0), least, most, n_units);
    Statistics s = kept(least, most, n_units);
    output_result r = finish(s, p.excluded);
    r.least = float_of(least);
    if (me == 0)
        results[row] = r;
}
