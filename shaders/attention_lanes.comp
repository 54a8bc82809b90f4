// Flash attention for CPU drivers: every invocation owns four queries, invocations share the keys.
// Formula, layout and grid: lib/attention_io.glsl. Workgroup: LANES invocations, 4 LANES query slots of one head.
//
// The invocation keeps its queries and outputs (2 dh vec4) in variables; a step handles the four keys of one group:
// scores, running maximum, weights, outputs. Nothing crosses invocations but the keys and values themselves:
//   SUBGROUP  each lane loads one vec4 of the group and a shuffle from a constant lane hands it to all; the workgroup
//             is exactly one subgroup of LANES invocations;
//   else      every invocation loads every vec4 (uniform addresses; no subgroup operation, any LANES).
// All indices into the arrays are constants after unrolling: the loops that fill and drain them rotate the arrays,
// because one copy of the load per element makes compilation four times as long.
//
// Numerics: keys in ascending order in groups of four; groups that a query does not see change nothing (rescale 1,
// weights 0), so a row's bits depend on its own sequence only.
//
// Measured on lavapipe 22.3.6 (2 cores, subgroup 8, 1024 tokens, 12 heads of 64) against a register-only
// multiply-add probe in the same minutes, by wall time with the rotary kernel: 45 % (22 to 34 of 51 to 77 GFLOPS) with
// TEXELS, which loads a vector at once; 32 % with storage buffers, which are gathered value by value there.
// What is left goes to the 2 dh vec4, which no register file holds, and a tenth to the softmax; fma() gains nothing.
// Eight queries per invocation gain a tenth and double the compilation (1 s at dh = 64, 2 s at 128).
// On SwiftShader (subgroup 4) shuffles cost more than loads: 10 % with, 16 % without (wall time, 512 tokens).
// Loop iterations per invocation: keys / 4 + dh / 2.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "attention_io.glsl"

// Elements per turn of the rotating loops; divides DIM, which is even.
const uint TURN = DIM % 8 == 0 ? 8 : 2;

#ifdef SUBGROUP
const uint LOADS = (DIM + LANES - 1) / LANES; // vec4 per lane for the keys (or values) of one group
#else
const uint LOADS = DIM;
#endif

void main()
{
#ifdef SUBGROUP
    uint lane = gl_SubgroupInvocationID;
#else
    uint lane = gl_LocalInvocationID.x;
#endif
    uvec4 tile = tiles[gl_WorkGroupID.x];
    uint head = gl_WorkGroupID.y;
    bool present = lane * 4 < tile.y;
    uint slot = tile.x + (present ? lane * 4 : 0);
    queries mine = queries_load(slot, present);

    vec4 query[DIM];
    vec4 sum[DIM];
    [[unroll]] for (uint d = 0; d < DIM; d++) {
        query[d] = vec4(0);
        sum[d] = vec4(0);
    }
    uint from = slot_vector(head, push.capacity, slot, DIM);
    [[dont_unroll]] for (uint first = 0; first < DIM; first += TURN) {
        [[unroll]] for (uint d = 0; d < DIM - TURN; d++)
            query[d] = query[d + TURN];
        [[unroll]] for (uint d = 0; d < TURN; d++)
            query[DIM - TURN + d] = q[from + first + d];
    }

    vec4 highest = vec4(LOWEST);
    vec4 total = vec4(0);
    from = slot_vector(head / push.share, push.key_capacity, tile.z, DIM);
    [[dont_unroll]] for (uint key = tile.z; key < tile.w; key += 4, from += DIM) {
        vec4 s[4]; // s[j]: key j of the group for the four queries
        [[unroll]] for (uint j = 0; j < 4; j++)
            s[j] = vec4(0);
        [[unroll]] for (uint load = 0; load < LOADS; load++) {
#ifdef SUBGROUP
            vec4 part = key_vector(from + min(load * LANES + lane, DIM - 1));
            [[unroll]] for (uint other = 0; other < LANES; other++) {
                uint d = load * LANES + other;
                if (d < DIM)
                    [[unroll]] for (uint j = 0; j < 4; j++)
                        s[j] += query[d] * subgroupShuffle(part[j], other);
            }
#else
            vec4 part = key_vector(from + load);
            [[unroll]] for (uint j = 0; j < 4; j++)
                s[j] += query[load] * part[j];
#endif
        }

        bvec4 seen[4];
        vec4 before = highest;
        [[unroll]] for (uint j = 0; j < 4; j++) {
            seen[j] = queries_see(mine, key + j);
            highest = max(highest, mix(vec4(LOWEST), s[j], seen[j]));
        }
        vec4 keep = rescale(before, highest);
        [[unroll]] for (uint j = 0; j < 4; j++)
            s[j] = weights(s[j], highest, seen[j]);
        total = total * keep + ((s[0] + s[1]) + (s[2] + s[3]));

        [[unroll]] for (uint load = 0; load < LOADS; load++) {
#ifdef SUBGROUP
            vec4 part = value_vector(from + min(load * LANES + lane, DIM - 1));
            [[unroll]] for (uint other = 0; other < LANES; other++) {
                uint d = load * LANES + other;
                if (d < DIM) {
                    vec4 add = s[0] * subgroupShuffle(part[0], other);
                    [[unroll]] for (uint j = 1; j < 4; j++)
                        add += s[j] * subgroupShuffle(part[j], other);
                    sum[d] = sum[d] * keep + add;
                }
            }
#else
            vec4 part = value_vector(from + load);
            vec4 add = s[0] * part[0];
            [[unroll]] for (uint j = 1; j < 4; j++)
                add += s[j] * part[j];
            sum[load] = sum[load] * keep + add;
#endif
        }
    }

    vec4 share = 1 / total;
    head += push.first_head;
    [[dont_unroll]] for (uint first = 0; first < DIM; first += TURN) {
        [[unroll]] for (uint r = 0; r < 4; r++)
            if (mine.row[r] != EMPTY)
                [[unroll]] for (uint d = 0; d < TURN; d++)
                    o[mine.row[r] * push.ld + head * DIM + first + d] = sum[d][r] * share[r];
        [[unroll]] for (uint d = 0; d < DIM - TURN; d++)
            sum[d] = sum[d + TURN];
    }
    [[unroll]] for (uint r = 0; r < 4; r++)
        clear_padding(head, mine.row[r], 0, 1);
}
