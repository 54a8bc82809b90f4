// Softmax of rows of logits, in place, one workgroup a row:
//   p[r, c] = exp(x[r, c]) / sum over c of exp(x[r, c]),   x[r, c] = (l[r, c] - max l[r]) * inv_temperature[r]
// for c < n_columns, 0 from there to ld - 1. inv_temperature 0 stands for the limit of low temperature: 1 at the
// largest logit (the lowest id of equals), 0 elsewhere. An infinite one counts as the largest number.
//
// l: f32, rows of ld floats. Invocation i takes the groups of four columns i, i + SIZE, ..; a tree adds the
// invocations: an order that n_columns and SIZE fix, so that a row's result does not depend on the batch it is in.
// Numerics: exponents are at most 0 and the sum is at least 1. What is below exp(-87), about 2^-126, is 0.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint SIZE = 128; // a power of two

// TEXELS: what is read four floats at a time is bound as texels (norm.comp). No invocation reads what it wrote.
#ifdef TEXELS
#extension GL_EXT_samplerless_texture_functions : require
layout(binding = 0) uniform textureBuffer logits;
#define LOAD(from, i) texelFetch(from, int(i))
#else
layout(binding = 0) readonly buffer Logits { vec4 logits[]; };
#define LOAD(from, i) from[i]
#endif
layout(binding = 1) writeonly buffer Probabilities { vec4 probabilities[]; };
layout(binding = 2) readonly buffer Temperatures { float inv_temperature[]; };

layout(push_constant) uniform Push { flow_softmax_params p; };

const float LOWEST = -3.0e38;
const uint NOWHERE = 0xFFFFFFFFu;

shared float values[SIZE];
shared uint ids[SIZE];

uint me = gl_LocalInvocationID.x, row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;

uvec4 columns(uint c4)
{
    return 4u * c4 + uvec4(0, 1, 2, 3);
}

vec4 load(uint c4)
{
    vec4 v = LOAD(logits, row * (p.ld / 4u) + c4);
    return mix(vec4(LOWEST), v, lessThan(columns(c4), uvec4(p.n_columns)));
}

// The larger of two values; of equals the lower id.
void take(float value, uint id, inout float best, inout uint best_id)
{
    if (value > best || (value == best && id < best_id)) {
        best = value;
        best_id = id;
    }
}

// The largest logit and the lowest id that has it, in every invocation.
void find_largest(uint n_used, out float best, out uint best_id)
{
    vec4 most = vec4(LOWEST);
    uvec4 id = uvec4(NOWHERE);
    for (uint c = me; c < n_used; c += SIZE) {
        vec4 v = load(c);
        bvec4 better = greaterThan(v, most);
        most = mix(most, v, better);
        id = mix(id, columns(c), better);
    }
    best = most.x;
    best_id = id.x;
    take(most.y, id.y, best, best_id);
    take(most.z, id.z, best, best_id);
    take(most.w, id.w, best, best_id);
    values[me] = best;
    ids[me] = best_id;
    for (uint step = SIZE / 2u; step > 0u; step /= 2u) {
        barrier();
        if (me < step) {
            take(values[me + step], ids[me + step], best, best_id);
            values[me] = best;
            ids[me] = best_id;
        }
    }
    barrier();
    best = values[0];
    best_id = ids[0];
    barrier();
}

float sum(float value)
{
    values[me] = value;
    for (uint step = SIZE / 2u; step > 0u; step /= 2u) {
        barrier();
        if (me < step)
            values[me] += values[me + step];
    }
    barrier();
    return values[0];
}

// exp of four columns, 0 in the pad: at a high temperature no finite logit would be low enough for it.
vec4 weights(uint c4, float largest, float inverse)
{
    vec4 x = (load(c4) - largest) * inverse;
    x = mix(vec4(LOWEST), x, lessThan(columns(c4), uvec4(p.n_columns)));
    return mix(vec4(0), exp(max(x, vec4(-87.0))), greaterThanEqual(x, vec4(-87.0)));
}

void main()
{
    // The whole workgroup: a row is one.
    if (row >= p.n_rows)
        return;
    uint n4 = p.ld / 4u, n_used = (p.n_columns + 3u) / 4u, at = row * n4, best_id;
    float inverse = min(inv_temperature[row], 3.0e38), largest;
    find_largest(n_used, largest, best_id);
    if (inverse == 0.0) {
        for (uint c = me; c < n4; c += SIZE)
            probabilities[at + c] = mix(vec4(0), vec4(1), equal(columns(c), uvec4(best_id)));
        return;
    }
    vec4 total = vec4(0);
    for (uint c = me; c < n_used; c += SIZE)
        total += weights(c, largest, inverse);
    float factor = 1.0 / sum((total.x + total.y) + (total.z + total.w));
    for (uint c = me; c < n4; c += SIZE)
        probabilities[at + c] = weights(c, largest, inverse) * factor;
}
