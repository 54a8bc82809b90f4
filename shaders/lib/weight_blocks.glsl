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

// With texels, for drivers of CPUs, which extract no byte in one instruction, numbers stay where they are: bits of other
// values may lie above them in their byte, and fields() takes column j times 2^8j (with SIGNED each times 2^24).
#if defined(TEXELS)
const bool IN_PLACE = true;
#else
const bool IN_PLACE = false;
#endif
const uint BITS = LOW_BITS + HIGH_BITS;
const uint FIELD = (1u << BITS) - 1u;
const bool MASK_LOW = !IN_PLACE || HIGH_BITS != 0u;

uvec4 of_nibbles(uvec2 s)
{
    uvec4 q = uvec4(s.x, s.x >> 4, s.y, s.y >> 4);
    return MASK_LOW ? q & 0x0F0F0F0Fu : q;
}

uvec4 of_pairs(uint w)
{
    return uvec4(w, w >> 2, w >> 4, w >> 6);
}

// The first or the second four of eight.
uvec4 of_bits(uint w, uint quad)
{
    uint four = w >> ((quad & 1u) * 4u);
    return uvec4(four, four >> 1, four >> 2, four >> 3);
}

// Of the words of both planes; of 2 low bits low.x alone.
uvec4 of_planes(uvec2 low, uint high, uint quad)
{
    uvec4 q;
    if (LOW_BITS == 4u)
        q = of_nibbles(low);
    else {
        q = of_pairs(low.x);
        if (MASK_LOW)
            q &= 0x03030303u;
    }
    if (HIGH_BITS == 2u)
        q |= (of_pairs(high) & 0x03030303u) << LOW_BITS;
    if (HIGH_BITS == 1u)
        q |= (of_bits(high, quad) & 0x01010101u) << LOW_BITS;
    return q;
}

uvec4 unit_bytes(Panel p, uint quad, uint unit)
{
    if (LOW_BITS == 8u)
        return two_slots(p.low + 2u * (quad * 8u + unit));
    uvec2 low = uvec2(0);
    uint high = 0u;
    if (LOW_BITS == 4u)
        low = slot(p.low + quad * 8u + unit);
    else
        low.x = word(2u * (p.low + (quad >> 1) * 8u + unit) + (quad & 1u));
    if (HIGH_BITS == 2u)
        high = word(2u * (p.high + (quad >> 1) * 8u + unit) + (quad & 1u));
    if (HIGH_BITS == 1u)
        high = word(2u * (p.high + (quad >> 2) * 8u + unit) + ((quad >> 1) & 1u));
    return of_planes(low, high, quad);
}

// Of units `unit`, which is even, and unit + 1.
void pair_bytes(Panel p, uint quad, uint unit, out uvec4 q[2])
{
    if (LOW_BITS == 4u && HIGH_BITS == 0u) {
        uvec4 low = two_slots(p.low + quad * 8u + unit);
        q[0] = of_nibbles(low.xy);
        q[1] = of_nibbles(low.zw);
    } else {
        q[0] = unit_bytes(p, quad, unit);
        q[1] = unit_bytes(p, quad, unit + 1u);
    }
}

// The same of k = 8 octet + 4 i .. 8 octet + 4 i + 3 in q[i]: whole texels are used.
void pair_octet(Panel p, uint octet, uint unit, out uvec4 q[2][2])
{
    if (LOW_BITS == 8u) {
        [[unroll]] for (uint i = 0u; i < 2u; i++)
            [[unroll]] for (uint v = 0u; v < 2u; v++)
                q[i][v] = two_slots(p.low + 2u * ((2u * octet + i) * 8u + unit + v));
        return;
    }
    uvec4 low[2], high = uvec4(0);
    if (LOW_BITS == 4u) {
        low[0] = two_slots(p.low + octet * 16u + unit);
        low[1] = two_slots(p.low + octet * 16u + 8u + unit);
    } else {
        low[0] = two_slots(p.low + octet * 8u + unit);
        low[1] = low[0].yxwz;
    }
    if (HIGH_BITS == 2u)
        high = two_slots(p.high + octet * 8u + unit);
    if (HIGH_BITS == 1u) {
        uvec4 two = two_slots(p.high + (octet >> 1) * 8u + unit);
        high = (octet & 1u) == 0u ? two.xxzz : two.yyww;
    }
    [[unroll]] for (uint i = 0u; i < 2u; i++) {
        q[i][0] = of_planes(low[i].xy, high[i], i);
        q[i][1] = of_planes(low[i].zw, high[2u + i], i);
    }
}

// ---- scales of 32 values of k, and what those of 256 share

// The half floats of a block of 256.
struct Super {
    vec4 d, m;
};

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

// What fields() multiplies the columns by.
const vec4 PLACES = !IN_PLACE || LEVELS ? vec4(1.0) : SIGNED ? vec4(16777216.0) : vec4(1.0, 256.0, 65536.0, 16777216.0);

Super unpack_super(uvec4 halves)
{
    return Super(half4(halves.xy) * (1.0 / PLACES), MINIMA ? half4(halves.zw) : vec4(0));
}

// Of unit `unit`; block: of 256 values of k. Of other types nothing is read.
Super unit_super(Panel p, uint block, uint unit)
{
    uint at = block * 8u + unit;
    if (!BLOCK_256)
        return Super(vec4(0), vec4(0));
    return unpack_super(MINIMA ? two_slots(p.super + 2u * at) : uvec4(slot(p.super + at), 0u, 0u));
}

// Of units `unit`, which is even, and unit + 1.
void pair_super(Panel p, uint block, uint unit, out Super super[2])
{
    uint at = block * 8u + unit;
    if (!BLOCK_256)
        super[0] = super[1] = Super(vec4(0), vec4(0));
    else if (MINIMA) {
        super[0] = unpack_super(two_slots(p.super + 2u * at));
        super[1] = unpack_super(two_slots(p.super + 2u * at + 2u));
    } else {
        uvec4 halves = two_slots(p.super + at);
        super[0] = unpack_super(halves);
        super[1] = unpack_super(halves.zwxy);
    }
}

Scales unpack_scales(uvec4 words, Super super)
{
    Scales s;
    if (!BLOCK_256)
        super = unpack_super(words);
    vec4 d = super.d, m = super.m;
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

// super: of the block of 256 that the group of 32 lies in.
Scales unit_scales(Panel p, uint group, uint unit, Super super)
{
    uint at = group * 8u + unit;
    return unpack_scales(MINIMA && !BLOCK_256 ? two_slots(p.scales + 2u * at) : uvec4(slot(p.scales + at), 0u, 0u),
                         super);
}

// Of units `unit`, which is even, and unit + 1.
void pair_scales(Panel p, uint group, uint unit, Super super[2], out Scales scales[2])
{
    uint at = group * 8u + unit;
    uvec4 first, second;
    if (MINIMA && !BLOCK_256) {
        first = two_slots(p.scales + 2u * at);
        second = two_slots(p.scales + 2u * at + 2u);
    } else {
        first = two_slots(p.scales + at);
        second = first.zwxy;
    }
    scales[0] = unpack_scales(first, super[0]);
    scales[1] = unpack_scales(second, super[1]);
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

// Four columns of one k, times PLACES.
vec4 fields(uint w)
{
    if (LEVELS)
        return vec4(levels(ivec4(uvec4(w, w >> 8, w >> 16, w >> 24) & 15u)));
    if (SIGNED && IN_PLACE)
        return vec4(ivec4(w << 24, (w << 16) & 0xFF000000u, (w << 8) & 0xFF000000u, w & 0xFF000000u));
    if (SIGNED)
        return of_signed_bytes(w);
    if (IN_PLACE)
        return vec4(ivec4(w & FIELD, w & (FIELD << 8), w & (FIELD << 16), w & (FIELD << 24)));
    return of_bytes(w);
}

// Four columns of one k: bytes as of unit_bytes; second: whether k is among the second 16 of its group.
vec4 block_values(uint bytes, Scales s, bool second)
{
    vec4 scale = HALVES && second ? s.scale[1] : s.scale[0];
    vec4 q = fields(bytes);
    if (ZERO != 0u)
        q -= float(ZERO) * PLACES;
    if (MINIMA)
        return q * scale - (HALVES && second ? s.minimum[1] : s.minimum[0]);
    return q * scale;
}

#endif
