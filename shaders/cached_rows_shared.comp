// Single queries over cached keys and values on GPUs, and wherever there are no subgroup operations.
// Formula, layout and grid: lib/cached_rows.glsl.
//
// LANES invocations are STREAMS streams of WIDE; stream y takes groups y, y + STREAMS, ... with a maximum, denominator
// and outputs of its own. Lane x of a stream owns units x, x + WIDE, ..., so that a stream reads consecutive bytes: it
// multiplies them by its part of the queries, which lie in shared memory, and the parts of a score meet there as well.
// Lane x < HEADS adds up those of head x in order, keeps the head's maximum and denominator, and hands out the weights;
// every lane adds its units of the values. At the end the streams are added in order.
//
// Registers of a lane: HEADS DIM / WIDE outputs, its units of one group of keys or values, and little else;
// docs/gpu_kernels.md has what compilers make of it.
//
// Numerics: which stream takes a key depends on its position alone, and so does every sum.
// Loop iterations per invocation: keys / (4 STREAMS), and HEADS LANES / WIDE at the end.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "cached_rows.glsl"

layout(constant_id = 3) const uint WIDE = 8; // a multiple of 4, at least HEADS

const uint STREAMS = LANES / WIDE;
const uint BLOCKS = (UNITS + WIDE - 1) / WIDE; // units of a lane
const uint OUTPUT_STRIDE = BLOCKS * WIDE * UNIT;
const uint PARTS = HEADS * LANES;
const uint OUTPUTS = STREAMS * OUTPUT_STRIDE / 4; // WIDE divides it

shared float query[OUTPUT_STRIDE * HEADS]; // [dimension][h]
// Parts of scores, [h][lane]; at the end outputs of one head, [stream][dimension], four to a vector.
shared vec4 parts[PARTS > OUTPUTS ? PARTS : OUTPUTS];
shared vec4 weights[HEADS * STREAMS]; // of the stream's four keys
shared float keeps[HEADS * STREAMS];  // what becomes of the stream's outputs so far
shared vec2 ends[HEADS * STREAMS];    // (maximum, denominator)

void main()
{
    uint lane = gl_LocalInvocationID.x;
    uint x = lane % WIDE;
    uint y = lane / WIDE;
    uint row = push.first_row + gl_WorkGroupID.x;
    uint sequence = rows[row].x;
    uint position = rows[row].y;
    uint first = gl_WorkGroupID.z * HEADS; // of the heads that share
    uint head = push.first_head + gl_WorkGroupID.y * push.share;
    uint groups = position / 4 + 1;
    uint base = first_unit(gl_WorkGroupID.y, sequence);

    for (uint i = lane; i < OUTPUT_STRIDE * HEADS; i += LANES)
        query[i] = rotated_query(row, head + min(first + i % HEADS, push.share - 1), position, i / HEADS);
    float sum[HEADS][BLOCKS][UNIT];
    [[unroll]] for (uint h = 0; h < HEADS; h++)
        [[unroll]] for (uint b = 0; b < BLOCKS; b++)
            [[unroll]] for (uint e = 0; e < UNIT; e++)
                sum[h][b][e] = 0;
    float highest = LOWEST; // of head x
    float total = 0;

    [[dont_unroll]] for (uint start = 0; start < groups; start += STREAMS) {
        uint group = start + y;
        uint from = base + min(group, groups - 1) * UNITS;
        vec4 s[HEADS];
        [[unroll]] for (uint h = 0; h < HEADS; h++)
            s[h] = vec4(0);
        barrier(); // the queries are there; the last weights have been read
        [[unroll]] for (uint b = 0; b < BLOCKS; b++) {
            vec4 part[UNIT] = WIDEN(LOAD(k, from + min(b * WIDE + x, UNITS - 1)));
            [[unroll]] for (uint e = 0; e < UNIT; e++)
                [[unroll]] for (uint h = 0; h < HEADS; h++)
                    s[h] += part[e] * query[((b * WIDE + x) * UNIT + e) * HEADS + h];
        }
        [[unroll]] for (uint h = 0; h < HEADS; h++)
            parts[h * LANES + lane] = s[h];
        barrier(); // the parts are there

        if (x < HEADS) {
            bvec4 seen = group_seen(group, position);
            vec4 score = parts[x * LANES + y * WIDE];
            [[unroll]] for (uint other = 1; other < WIDE; other++)
                score += parts[x * LANES + y * WIDE + other];
            float before = highest;
            highest = max(before, largest(mix(vec4(LOWEST), score, seen)));
            float keep = rescale(before, highest);
            vec4 weight = mix(vec4(0), exp2(score - highest), seen);
            total = total * keep + sum4(weight);
            weights[x * STREAMS + y] = weight;
            keeps[x * STREAMS + y] = keep;
        }
        barrier(); // the weights are there
        [[unroll]] for (uint h = 0; h < HEADS; h++)
            [[unroll]] for (uint b = 0; b < BLOCKS; b++)
                [[unroll]] for (uint e = 0; e < UNIT; e++)
                    sum[h][b][e] *= keeps[h * STREAMS + y];
        [[unroll]] for (uint b = 0; b < BLOCKS; b++) {
            vec4 part[UNIT] = WIDEN(LOAD(v, from + min(b * WIDE + x, UNITS - 1)));
            [[unroll]] for (uint e = 0; e < UNIT; e++)
                [[unroll]] for (uint h = 0; h < HEADS; h++)
                    sum[h][b][e] += sum4(weights[h * STREAMS + y] * part[e]);
        }
    }

    if (x < HEADS)
        ends[x * STREAMS + y] = vec2(highest, total);
    [[unroll]] for (uint h = 0; h < HEADS; h++) {
        barrier(); // the ends are there; the parts, or the head before, have been read
        float top = LOWEST;
        [[unroll]] for (uint other = 0; other < STREAMS; other++)
            top = max(top, ends[h * STREAMS + other].x);
        float all = 0;
        [[unroll]] for (uint other = 0; other < STREAMS; other++)
            all += ends[h * STREAMS + other].y * rescale(ends[h * STREAMS + other].x, top);
        float keep = rescale(ends[h * STREAMS + y].x, top) / all;
        [[unroll]] for (uint b = 0; b < BLOCKS; b++)
            [[unroll]] for (uint e = 0; e < UNIT; e++) {
                uint d = y * OUTPUT_STRIDE + (b * WIDE + x) * UNIT + e;
                parts[d / 4][d % 4] = sum[h][b][e] * keep;
            }
        barrier();
        if (first + h < push.share) {
            uint column = row * push.ld + (head + first + h) * DIM;
            for (uint d = lane; d < DIM; d += LANES) {
                float value = 0;
                [[unroll]] for (uint other = 0; other < STREAMS; other++) {
                    uint at = other * OUTPUT_STRIDE + d;
                    value += parts[at / 4][at % 4];
                }
                o[column + d] = value;
            }
        }
    }
    clear_padding(row, head, first, lane);
}
