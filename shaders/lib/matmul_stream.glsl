// The core of VARIANT_STREAM, for CPU drivers and many rows: a subgroup (= workgroup) unpacks STEP values of k of its
// LANES x 8 columns of W once and then takes one row of X after another. On such a driver whatever goes round a loop is
// blended under a mask, and a fetch costs as much as 30 multiply-adds; here only the row number goes round, W is read
// and unpacked once for all rows of a workgroup, and one straight run of STEP x 8 multiply-adds is all that is left of a row.
// 128 x 8 vectors of 8 floats fill two thirds of a first-level cache. Workgroup (i, j) = columns block i, equal part j of
// the rows.
//
// Sums of more than STEP values of k go through PARTIAL from one dispatch to the next, [columns block][row][LANES][2]:
// values of k from first_k on, `continued` or from zero; LAST: the sum is complete and goes through the epilogue. Each
// element is still one chain of multiply-adds over ascending k (lib/matmul_core.glsl).
//
// Loop: stream_begin(); while (stream_more()) { stream_accumulate(); acc[0] is row held_row(0); stream_next(); }, with the
// condition tested at the end of the body: CPU drivers run the body once more where a loop is left at its top.
#ifndef MATMUL_STREAM_GLSL
#define MATMUL_STREAM_GLSL

#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#ifdef WEIGHT_BLOCKS
#define WEIGHT_BINDING 1
#include "weight_blocks.glsl"
#else
#include "weight.glsl"
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8; // the subgroup size, exactly
layout(constant_id = 2) const uint STEP = 128; // a multiple of 32 within a block of 256
layout(constant_id = 11) const bool LAST = true;

layout(binding = 0) uniform textureBuffer x;
layout(binding = 7) uniform textureBuffer partial_in;
layout(binding = 8) writeonly buffer Partial { vec4 partial_out[]; };

#define HELD_ROWS 1
#define HELD_UNITS 2

vec4 acc[HELD_ROWS][HELD_UNITS];
vec4 tile[STEP][HELD_UNITS];
uint stream_row, stream_left, stream_x, stream_partial;

uint held_row(uint r)
{
    return stream_row;
}

uint held_unit(uint v)
{
    return (gl_WorkGroupID.x * LANES + gl_SubgroupInvocationID) * HELD_UNITS + v;
}

bool held_valid(uint v)
{
    return held_unit(v) < p.n_columns / 4;
}

void read_tile()
{
    uint unit = min(held_unit(0), p.n_columns / 4 - HELD_UNITS);
#ifdef WEIGHT_BLOCKS
    Panel panel = find_panel(unit >> 3, p.depth);
    unit &= 7;
    Super super[2];
    pair_super(panel, p.first_k / 256, unit, super);
    Scales scales[STEP / 32][2];
    [[unroll]] for (uint g = 0; g < STEP / 32; g++)
        pair_scales(panel, p.first_k / 32 + g, unit, super, scales[g]);
    [[unroll]] for (uint k = 0; k < STEP; k += 8) {
        uvec4 bytes[2][2];
        pair_octet(panel, (p.first_k + k) / 8, unit, bytes);
        [[unroll]] for (uint j = 0; j < 8; j++)
            [[unroll]] for (uint v = 0; v < 2; v++)
                tile[k + j][v] = block_values(bytes[j / 4][v][j & 3], scales[k / 32][v], (k & 16u) != 0u);
    }
#else
    uint w = ((unit >> 3) * p.depth + p.first_k) * 8 + (unit & 7);
    [[unroll]] for (uint k = 0; k < STEP; k++)
        weight_pair(w + k * 8, tile[k][0], tile[k][1]);
#endif
}

void stream_begin()
{
    read_tile();
    uint rows = (p.n_rows + gl_NumWorkGroups.y - 1) / gl_NumWorkGroups.y;
    stream_row = gl_WorkGroupID.y * rows;
    stream_left = min(rows, p.n_rows - min(stream_row, p.n_rows));
    stream_x = stream_row * (p.ldx >> 2) + (p.first_k >> 2);
    stream_partial = ((gl_WorkGroupID.x * p.n_rows + stream_row) * LANES + gl_SubgroupInvocationID) * HELD_UNITS;
}

bool stream_more()
{
    return stream_left > 0;
}

void stream_next()
{
    stream_left--;
    stream_row++;
    stream_x += p.ldx >> 2;
    stream_partial += LANES * HELD_UNITS;
}

void stream_accumulate()
{
    const uint N_LOADS = STEP / 4;
    const uint N_MINE = (N_LOADS + LANES - 1) / LANES;
    vec4 mine[N_MINE];
    [[unroll]] for (uint j = 0; j < N_MINE; j++)
        mine[j] = texelFetch(x, int(stream_x + min(j * LANES + gl_SubgroupInvocationID, N_LOADS - 1)));
    [[unroll]] for (uint v = 0; v < HELD_UNITS; v++) {
        vec4 before = texelFetch(partial_in, int(stream_partial + v));
        acc[0][v] = p.continued != 0 ? before : vec4(0);
    }
    [[unroll]] for (uint k = 0; k < STEP; k++) {
        float a = subgroupShuffle(mine[k / 4 / LANES][k & 3], (k / 4) % LANES);
        [[unroll]] for (uint v = 0; v < HELD_UNITS; v++)
            acc[0][v] = fma(vec4(a), tile[k][v], acc[0][v]);
    }
    if (!LAST)
        [[unroll]] for (uint v = 0; v < HELD_UNITS; v++)
            partial_out[stream_partial + v] = acc[0][v];
}

#endif
