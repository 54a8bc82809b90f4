// Single queries over cached keys and values on CPU drivers: one subgroup a workgroup, no barrier.
// Formula, layout and grid: lib/cached_rows.glsl.
//
// A step takes LANES groups of keys. Scores: every lane owns one group and walks over the dimensions, whose query
// values are broadcast from the lanes that hold them. Values: every lane owns units of the output, the weights are
// broadcast from the lanes that own the groups. A load is 16 bytes, used for all HEADS queries.
//
// Numerics: a lane sums its groups' denominators, which are added in the order of the lanes at the end; outputs ascend
// over the keys. All of it depends on the positions alone.
// All indices into the arrays are constants after unrolling: the loops over turns rotate the arrays instead.
//
// Measured on lavapipe 22.3.6 (subgroup 8), processor time of one query over 1024 tokens, 32 heads of 64 for 8: 1.1 ms.
// Half of it is the fetch of texels (a call that loads 8 x 16 bytes and transposes them), 51 ns for 128 bytes in all.
// Fully unrolled it takes 10 % less, and twice as long to compile (0.6 s).
// On SwiftShader, which does not unroll, it takes one and a half times as long as cached_rows_shared.comp; on lavapipe
// with subgroups of 4 a seventh.
// Loop iterations per invocation: keys / (4 LANES) * (1 + 2 MOST_TURNS) at most.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "cached_rows.glsl"

// A lane's units are taken TURN at a time, in few turns: fully unrolled code takes twice as long to compile, but one
// driver stops after 65,535 iterations in all, and contexts have up to 131,072 keys.
const uint MOST_TURNS = LANES < 8 ? 3 : 5;
const uint NEEDED = (UNITS + LANES - 1) / LANES;
const uint TURN = (NEEDED + MOST_TURNS - 1) / MOST_TURNS;
const uint TURNS = (NEEDED + TURN - 1) / TURN;
const uint BLOCKS = TURN * TURNS; // units of a lane, those from UNITS on are zero

void main()
{
    uint lane = gl_SubgroupInvocationID;
    uint row = push.first_row + gl_WorkGroupID.x;
    uint sequence = rows[row].x;
    uint position = rows[row].y;
    uint first = gl_WorkGroupID.z * HEADS; // of the heads that share
    uint head = push.first_head + gl_WorkGroupID.y * push.share;
    uint groups = position / 4 + 1;
    uint base = first_unit(gl_WorkGroupID.y, sequence);

    float query[HEADS][BLOCKS][UNIT];
    float sum[HEADS][BLOCKS][UNIT];
    float highest[HEADS];
    float total[HEADS];
    [[unroll]] for (uint h = 0; h < HEADS; h++) {
        highest[h] = LOWEST;
        total[h] = 0;
        [[unroll]] for (uint b = 0; b < BLOCKS; b++)
            [[unroll]] for (uint e = 0; e < UNIT; e++) {
                uint d = (b * LANES + lane) * UNIT + e;
                query[h][b][e] = rotated_query(row, head + min(first + h, push.share - 1), position, d);
                sum[h][b][e] = 0;
            }
    }

    [[dont_unroll]] for (uint start = 0; start < groups; start += LANES) {
        uint group = start + lane;
        uint from = base + min(group, groups - 1) * UNITS;
        vec4 s[HEADS];
        [[unroll]] for (uint h = 0; h < HEADS; h++)
            s[h] = vec4(0);
        [[dont_unroll]] for (uint turn = 0; turn < TURNS; turn++) {
            [[unroll]] for (uint u = 0; u < TURN * LANES; u++) {
                vec4 part[UNIT] = WIDEN(LOAD(k, from + min(turn * TURN * LANES + u, UNITS - 1)));
                [[unroll]] for (uint e = 0; e < UNIT; e++)
                    [[unroll]] for (uint h = 0; h < HEADS; h++)
                        s[h] += part[e] * subgroupShuffle(query[h][u / LANES][e], u % LANES);
            }
            [[unroll]] for (uint h = 0; h < HEADS; h++)
                [[unroll]] for (uint e = 0; e < UNIT; e++) {
                    float out_of[TURN];
                    [[unroll]] for (uint t = 0; t < TURN; t++)
                        out_of[t] = query[h][t][e];
                    [[unroll]] for (uint b = 0; b < BLOCKS - TURN; b++)
                        query[h][b][e] = query[h][b + TURN][e];
                    [[unroll]] for (uint t = 0; t < TURN; t++)
                        query[h][BLOCKS - TURN + t][e] = out_of[t];
                }
        }

        bvec4 seen = group_seen(group, position);
        [[unroll]] for (uint h = 0; h < HEADS; h++) {
            float top = largest(mix(vec4(LOWEST), s[h], seen));
            float before = highest[h];
            [[unroll]] for (uint other = 0; other < LANES; other++)
                highest[h] = max(highest[h], subgroupShuffle(top, other));
            float keep = rescale(before, highest[h]);
            s[h] = mix(vec4(0), exp2(s[h] - highest[h]), seen);
            total[h] = total[h] * keep + sum4(s[h]);
            [[unroll]] for (uint b = 0; b < BLOCKS; b++)
                [[unroll]] for (uint e = 0; e < UNIT; e++)
                    sum[h][b][e] *= keep;
        }

        [[dont_unroll]] for (uint turn = 0; turn < TURNS; turn++) {
            float mine[HEADS][TURN][UNIT];
            [[unroll]] for (uint h = 0; h < HEADS; h++)
                [[unroll]] for (uint t = 0; t < TURN; t++)
                    [[unroll]] for (uint e = 0; e < UNIT; e++)
                        mine[h][t][e] = sum[h][t][e];
            [[unroll]] for (uint other = 0; other < LANES; other++) {
                from = base + min(start + other, groups - 1) * UNITS;
                vec4 weight[HEADS];
                [[unroll]] for (uint h = 0; h < HEADS; h++)
                    [[unroll]] for (uint j = 0; j < 4; j++)
                        weight[h][j] = subgroupShuffle(s[h][j], other);
                [[unroll]] for (uint t = 0; t < TURN; t++) {
                    vec4 part[UNIT] =
                        WIDEN(LOAD(v, from + min((turn * TURN + t) * LANES + lane, UNITS - 1)));
                    [[unroll]] for (uint e = 0; e < UNIT; e++)
                        [[unroll]] for (uint h = 0; h < HEADS; h++)
                            mine[h][t][e] += sum4(weight[h] * part[e]);
                }
            }
            [[unroll]] for (uint h = 0; h < HEADS; h++)
                [[unroll]] for (uint e = 0; e < UNIT; e++) {
                    [[unroll]] for (uint b = 0; b < BLOCKS - TURN; b++)
                        sum[h][b][e] = sum[h][b + TURN][e];
                    [[unroll]] for (uint t = 0; t < TURN; t++)
                        sum[h][BLOCKS - TURN + t][e] = mine[h][t][e];
                }
        }
    }

    [[unroll]] for (uint h = 0; h < HEADS; h++) {
        float all = 0;
        [[unroll]] for (uint other = 0; other < LANES; other++)
            all += subgroupShuffle(total[h], other);
        float share = 1 / all;
        if (first + h < push.share) {
            uint column = row * push.ld + (head + first + h) * DIM;
            [[unroll]] for (uint b = 0; b < BLOCKS; b++)
                [[unroll]] for (uint e = 0; e < UNIT; e++) {
                    uint d = (b * LANES + lane) * UNIT + e;
                    if (d < DIM)
                        o[column + d] = sum[h][b][e] * share;
                }
        }
    }
    clear_padding(row, head, first, lane);
}
