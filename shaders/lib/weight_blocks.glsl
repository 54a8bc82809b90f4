// A weight matrix of quantised blocks in panels of planes: runtime/ops/weight_blocks.h has the layout. One kernel reads
// every type: its layout is in specialisation constant 10, and what a type does not use is gone before the first
// dispatch. Values are those of the file's blocks bit for bit: products are exact in f32 (11 bits of d, at most 8 of a
// scale and 6 of q), only the one sum rounds, whether it is contracted or not.
// Defines: WEIGHT_BINDING; TEXELS as in weight.glsl. A slot is 8 bytes.
#ifndef WEIGHT_BLOCKS_GLSL
#define WEIGHT_BLOCKS_GLSL

#extension GL_EXT_control_flow_attributes : require
#include "half.glsl"

layout(constant_id = 10) const uint BLOCK = 4;
const uint LOW_BITS = BLOCK & 15u;
const uint HIGH_BITS = (BLOCK >> 4) & 3u;
const uint ZERO = (BLOCK >> 6) & 63u;
const bool MINIMA = (BLOCK & (1u << 12)) != 0u;
const bool BLOCK_256 = (BLOCK & (1u << 13)) != 0u;
const bool HALVES = (BLOCK & (1u << 14)) != 0u;
const bool SIGNED = (BLOCK & (1u << 15)) != 0u;
const bool LEVELS = (BLOCK & (1u << 16)) != 0u;

#if defined(TEXELS)
#extension GL_EXT_samplerless_texture_functions : require
layout(binding = WEIGHT_BINDING) uniform utextureBuffer weight;

uint word(uint i)
{
    return texelFetch(weight, int(i >> 2))[i & 3u];
}

uvec2 slot(uint i)
{
    uvec4 two = texelFetch(weight, int(i >> 1));
    return (i & 1u) == 0u ? two.xy : two.zw;
}

// Slots i, which is even, and i + 1.
uvec4 two_slots(uint i)
{
    return texelFetch(weight, int(i >> 1));
}
#else
layout(binding = WEIGHT_BINDING) readonly buffer WeightWords { uint weight_words[]; };
layout(binding = WEIGHT_BINDING) readonly buffer WeightSlots { uvec2 weight_slots[]; };
layout(binding = WEIGHT_BINDING) readonly buffer WeightPairs { uvec4 weight_pairs[]; };

uint word(uint i)
{
    return weight_words[i];
}

uvec2 slot(uint i)
{
    return weight_slots[i];
}

uvec4 two_slots(uint i)
{
    return weight_pairs[i >> 1];
}
#endif

// Where the planes of one panel begin, in slots.
struct Panel {
    uint low, high, scales, super;
};

Panel find_panel(uint panel, uint depth)
{
    uint n_groups = depth / 32u;
    uint scale_slots = MINIMA && !BLOCK_256 ? 16u : 8u, super_slots = MINIMA ? 16u : 8u;
    uint slots = n_groups * (LOW_BITS * 16u + HIGH_BITS * 16u + scale_slots);
    if (BLOCK_256)
        slots += n_groups / 8u * super_slots;
    Panel p;
    p.low = panel * slots;
    p.high = p.low + n_groups * LOW_BITS * 16u;
    p.scales = p.high + n_groups * HIGH_BITS * 16u;
    p.super = p.scales + n_groups * scale_slots;
    return p;
}

// ---- whole numbers: component i holds those of k = 4 quad + i, byte j is column j of the unit

uvec4 of_nibbles(uvec2 s)
{
    return uvec4(s.x, s.x >> 4, s.y, s.y >> 4) & 0x0F0F0F0Fu;
}

uvec4 of_pairs(uint w)
{
    return uvec4(w, w >> 2, w >> 4, w >> 6) & 0x03030303u;
}

// The first or the second four of eight.
uvec4 of_bits(uint w, uint quad)
{
    uint four = w >> ((quad & 1u) * 4u);
    return uvec4(four, four >> 1, four >> 2, four >> 3) & 0x01010101u;
}

uvec4 unit_bytes(Panel p, uint quad, uint unit)
{
    uint at = quad * 8u + unit;
    if (LOW_BITS == 8u)
        return two_slots(p.low + 2u * at);
    uvec4 q = LOW_BITS == 4u ? of_nibbles(slot(p.low + at)) : of_pairs(word(2u * p.low + at));
    if (HIGH_BITS == 2u)
        q |= of_pairs(word(2u * p.high + at)) << LOW_BITS;
    if (HIGH_BITS == 1u)
        q |= of_bits(word(2u * p.high + (quad >> 1) * 8u + unit), quad) << LOW_BITS;
    return q;
}

// Of units `unit`, which is even, and unit + 1.
void pair_bytes(Panel p, uint quad, uint unit, out uvec4 first, out uvec4 second)
{
    uint at = quad * 8u + unit;
    if (LOW_BITS == 8u) {
        first = two_slots(p.low + 2u * at);
        second = two_slots(p.low + 2u * at + 2u);
        return;
    }
    if (LOW_BITS == 4u) {
        uvec4 low = two_slots(p.low + at);
        first = of_nibbles(low.xy);
        second = of_nibbles(low.zw);
    } else {
        uvec2 low = slot(p.low + at / 2u);
        first = of_pairs(low.x);
        second = of_pairs(low.y);
    }
    if (HIGH_BITS == 2u) {
        uvec2 high = slot(p.high + at / 2u);
        first |= of_pairs(high.x) << LOW_BITS;
        second |= of_pairs(high.y) << LOW_BITS;
    }
    if (HIGH_BITS == 1u) {
        uvec2 high = slot(p.high + ((quad >> 1) * 8u + unit) / 2u);
        first |= of_bits(high.x, quad) << LOW_BITS;
        second |= of_bits(high.y, quad) << LOW_BITS;
    }
}

// ---- scales of 32 values of k

// value = (q - ZERO) scale - minimum; [1]: of the second 16 values, with HALVES.
struct Scales {
    vec4 scale[2];
    vec4 minimum[2];
};

vec4 of_bytes(uint w)
{
    return vec4(ivec4(w & 255u, (w >> 8) & 255u, (w >> 16) & 255u, w >> 24));
}

vec4 of_signed_bytes(uint w)
{
    return vec4(ivec4(w << 24, w << 16, w << 8, w) >> 24);
}

Scales unpack_scales(uvec4 words, uvec4 super)
{
    Scales s;
    vec4 d = half4(BLOCK_256 ? super.xy : words.xy);
    vec4 m = MINIMA ? half4(BLOCK_256 ? super.zw : words.zw) : vec4(0);
    s.scale[0] = s.scale[1] = d;
    s.minimum[0] = s.minimum[1] = -m;
    if (BLOCK_256 && HALVES && MINIMA) {
        [[unroll]] for (uint i = 0u; i < 2u; i++) {
            s.scale[i] = d * of_bytes(words[i] & 0x0F0F0F0Fu);
            s.minimum[i] = m * of_bytes((words[i] >> 4) & 0x0F0F0F0Fu);
        }
    } else if (BLOCK_256 && HALVES) {
        s.scale[0] = d * of_signed_bytes(words.x);
        s.scale[1] = d * of_signed_bytes(words.y);
    } else if (BLOCK_256) {
        s.scale[0] = d * of_bytes(words.x);
        s.minimum[0] = m * of_bytes(words.y);
    }
    return s;
}

Scales unit_scales(Panel p, uint group, uint unit)
{
    uint at = group * 8u + unit, super = group / 8u * 8u + unit;
    uvec4 words = MINIMA && !BLOCK_256 ? two_slots(p.scales + 2u * at) : uvec4(slot(p.scales + at), 0u, 0u);
    uvec4 halves = uvec4(0);
    if (BLOCK_256)
        halves = MINIMA ? two_slots(p.super + 2u * super) : uvec4(slot(p.super + super), 0u, 0u);
    return unpack_scales(words, halves);
}

// Of units `unit`, which is even, and unit + 1.
void pair_scales(Panel p, uint group, uint unit, out Scales first, out Scales second)
{
    uint at = group * 8u + unit, super = group / 8u * 8u + unit;
    if (MINIMA && !BLOCK_256) {
        first = unpack_scales(two_slots(p.scales + 2u * at), uvec4(0));
        second = unpack_scales(two_slots(p.scales + 2u * at + 2u), uvec4(0));
        return;
    }
    uvec4 words = two_slots(p.scales + at);
    uvec4 first_halves = uvec4(0), second_halves = uvec4(0);
    if (BLOCK_256 && MINIMA) {
        first_halves = two_slots(p.super + 2u * super);
        second_halves = two_slots(p.super + 2u * super + 2u);
    } else if (BLOCK_256) {
        uvec4 halves = two_slots(p.super + super);
        first_halves = halves;
        second_halves = halves.zwxy;
    }
    first = unpack_scales(words, first_halves);
    second = unpack_scales(words.zwxy, second_halves);
}

// ---- values

// Level q of IQ4_NL.
ivec4 levels(ivec4 q)
{
    ivec4 below8 = mix(ivec4(0xBFAD9881), ivec4(0xF6EADDCF), greaterThan(q, ivec4(3)));
    ivec4 from8 = mix(ivec4(0x26190D01), ivec4(0x71594535), greaterThan(q, ivec4(11)));
    ivec4 four = mix(below8, from8, greaterThan(q, ivec4(7)));
    return (four << (24 - 8 * (q & 3))) >> 24;
}

// Four columns of one k: bytes as of unit_bytes; second: whether k is among the second 16 of its group.
vec4 block_values(uint bytes, Scales s, bool second)
{
    vec4 scale = HALVES && second ? s.scale[1] : s.scale[0];
    vec4 q;
    if (SIGNED)
        q = of_signed_bytes(bytes);
    else if (LEVELS)
        q = vec4(levels(ivec4(bytes & 255u, (bytes >> 8) & 255u, (bytes >> 16) & 255u, bytes >> 24)));
    else
        q = of_bytes(bytes);
    if (ZERO != 0u)
        q -= float(ZERO);
    if (MINIMA)
        return q * scale - (HALVES && second ? s.minimum[1] : s.minimum[0]);
    return q * scale;
}

#endif
