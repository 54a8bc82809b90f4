// Flash attention for GPUs: a workgroup owns 4 ROWS query slots of one head and walks over tiles of 4 WIDE keys.
// Formula, layout and grid: lib/attention_io.glsl. No subgroup operation; any subgroup size.
//
// LANES = WIDE ROWS invocations (x, y), x = 0..WIDE-1, y = 0..ROWS-1. Invocation (x, y) computes
//   scores   of queries 4y..4y+3 with keys 4x..4x+3 of the tile,
//   outputs  of queries 4y..4y+3 in dimensions x, x + WIDE, x + 2 WIDE, ...: kept in registers
// both as 4 x 4 blocks of vec4 products: 16 multiply-adds for two 16-byte loads.
//
// Shared memory: queries (DIM x ROWS vec4); one region for a slice of SLICE dimensions of the keys and, when the
// scores are complete, for the weights; partial maxima. Row strides are odd in vec4 units, so that neighbouring
// x read different banks. Values come straight from the buffer: every y reads the same 16 WIDE consecutive bytes.
//
// A tile of slots holds one sequence here, so the tiles of keys start at the sequence's first key and a row's
// bits depend on its own sequence only. Keys ascend; the denominator is summed per x and then over x in order.
// Loop iterations per invocation: keys / (4 WIDE) * (dh / 2 + dh / ROWS + WIDE).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_io.glsl"

layout(constant_id = 2) const uint SLICE = 64; // dimensions of the keys in shared memory at a time; even
layout(constant_id = 3) const uint WIDE = 8;

const uint ROWS = LANES / WIDE;
const uint KEYS = 4 * WIDE;
const uint KEY_STRIDE = SLICE + 1;   // SLICE is even
const uint WEIGHT_STRIDE = ROWS + 1; // ROWS is even
const uint KEY_VECTORS = WIDE * KEY_STRIDE;
const uint WEIGHT_VECTORS = KEYS * WEIGHT_STRIDE;
const uint BLOCK = KEY_VECTORS > WEIGHT_VECTORS ? KEY_VECTORS : WEIGHT_VECTORS;
const uint OUTPUTS = (DIM + WIDE - 1) / WIDE;

shared vec4 query[DIM * ROWS]; // [d][y]: queries 4y..4y+3
shared vec4 block[BLOCK];      // keys [x][d]: keys 4x..4x+3; weights [key][y]: queries 4y..4y+3
shared vec4 partial[LANES];    // [x][y]

void main()
{
    uint lane = gl_LocalInvocationID.x;
    uint x = lane % WIDE;
    uint y = lane / WIDE;
    uvec4 tile = tiles[gl_WorkGroupID.x];
    uint head = gl_WorkGroupID.y;
    uint groups = tile.y / 4;
    queries mine = queries_load(tile.x + (y < groups ? 4 * y : 0), y < groups);

    uint from = slot_vector(head, push.capacity, tile.x, DIM);
    for (uint i = lane; i < DIM * ROWS; i += LANES) {
        uint row = i / DIM;
        query[i % DIM * ROWS + row] = row < groups ? q[from + i] : vec4(0);
    }

    vec4 sum[OUTPUTS];
    [[unroll]] for (uint i = 0; i < OUTPUTS; i++)
        sum[i] = vec4(0);
    vec4 highest = vec4(LOWEST);
    vec4 total = vec4(0);
    from = slot_vector(head / push.share, push.key_capacity, tile.z, DIM);
    for (uint key = tile.z; key < tile.w; key += KEYS, from += WIDE * DIM) {
        uint present = min(WIDE, (tile.w - key) / 4); // groups of keys in this tile
        vec4 s[4];
        [[unroll]] for (uint j = 0; j < 4; j++)
            s[j] = vec4(0);
        for (uint first = 0; first < DIM; first += SLICE) {
            uint dims = min(SLICE, DIM - first);
            barrier(); // the queries are there; the block's last readers are done
            for (uint i = lane; i < WIDE * SLICE; i += LANES) {
                uint group = i / SLICE;
                uint d = i % SLICE;
                if (group < present && d < dims)
                    block[group * KEY_STRIDE + d] = key_vector(from + group * DIM + first + d);
            }
            barrier();
            // Groups that are not present give scores of old values: they are seen by no query.
            for (uint d = 0; d < dims; d += 2) {
                [[unroll]] for (uint e = d; e < d + 2; e++) {
                    vec4 four = query[(first + e) * ROWS + y];
                    vec4 part = block[x * KEY_STRIDE + e];
                    [[unroll]] for (uint j = 0; j < 4; j++)
                        s[j] += four * part[j];
                }
            }
        }

        bvec4 seen[4];
        vec4 top = vec4(LOWEST);
        [[unroll]] for (uint j = 0; j < 4; j++) {
            seen[j] = queries_see(mine, key + 4 * x + j);
            top = max(top, mix(vec4(LOWEST), s[j], seen[j]));
        }
        partial[x * ROWS + y] = top;
        barrier(); // the maxima are there; the keys have been read
        vec4 before = highest;
        [[unroll]] for (uint i = 0; i < WIDE; i++)
            highest = max(highest, partial[i * ROWS + y]);
        vec4 keep = rescale(before, highest);
        [[unroll]] for (uint j = 0; j < 4; j++) {
            s[j] = weights(s[j], highest, seen[j]);
            block[(4 * x + j) * WEIGHT_STRIDE + y] = s[j];
        }
        total = total * keep + ((s[0] + s[1]) + (s[2] + s[3]));
        [[unroll]] for (uint i = 0; i < OUTPUTS; i++)
            sum[i] *= keep;
        barrier(); // the weights are there
        for (uint group = 0; group < present; group++) {
            vec4 w[4];
            [[unroll]] for (uint j = 0; j < 4; j++)
                w[j] = block[(4 * group + j) * WEIGHT_STRIDE + y];
            [[unroll]] for (uint i = 0; i < OUTPUTS; i++) {
                vec4 part = value_vector(from + group * DIM + min(x + WIDE * i, DIM - 1));
                [[unroll]] for (uint j = 0; j < 4; j++)
                    sum[i] += w[j] * part[j];
            }
        }
    }

    barrier(); // the last maxima have been read
    partial[x * ROWS + y] = total;
    barrier();
    total = vec4(0);
    [[unroll]] for (uint i = 0; i < WIDE; i++)
        total += partial[i * ROWS + y];
    vec4 share = 1 / total;
    head += push.first_head;
    [[unroll]] for (uint i = 0; i < OUTPUTS; i++) {
        uint d = x + WIDE * i;
        [[unroll]] for (uint r = 0; r < 4; r++)
            if (d < DIM && mine.row[r] != EMPTY)
                o[mine.row[r] * push.ld + head * DIM + d] = sum[i][r] * share[r];
    }
    [[unroll]] for (uint r = 0; r < 4; r++)
        clear_padding(head, mine.row[r], x, WIDE);
}
