// 64 rows x 64 columns (two panels) a workgroup, 32 values of k a stage. Invocation (i, j), i = 0..7, j = 0..15, holds
// rows 4j .. 4j+3 and units 2i and 2i+1 of the 16. X is staged transposed, so that the rows of one k lie together; of W
// first the even units, then the odd ones, so that neighbours read neighbouring vectors.
#ifndef LOOP

layout(local_size_x = 128) in;

#define HELD_ROWS 4
#define HELD_UNITS 2
#define WORKGROUP_ROWS 64
#define WORKGROUP_UNITS 16

// Of X [k][row / 4], of W behind it [k][unit]. Free for other uses, behind a barrier, when the loop is over.
shared vec4 stage[32 * 16 + 32 * 16];
const uint STAGE_W = 32 * 16;

vec4 acc[HELD_ROWS][HELD_UNITS];

uint held_row(uint r)
{
    return gl_WorkGroupID.y * 64 + (gl_LocalInvocationIndex >> 3) * 4 + r;
}

uint held_unit(uint v)
{
    return gl_WorkGroupID.x * 16 + (gl_LocalInvocationIndex & 7) * 2 + v;
}

bool held_valid(uint v)
{
    return held_unit(v) < matmul_columns() / 4;
}

#else

void LOOP(uint depth, uint ld)
{
    uint me = gl_LocalInvocationIndex;
    // Staging: 512 vec4 of X and 512 units of W, four of each an invocation.
    uint x_at = (gl_WorkGroupID.y * 64 + (me >> 3)) * ld + (me & 7);
    uint last_panel = matmul_columns() / 32 - 1;
    uint panel0 = min(gl_WorkGroupID.x * 2, last_panel), panel1 = min(gl_WorkGroupID.x * 2 + 1, last_panel);
    uint my_panel = (me & 8) == 0 ? panel0 : panel1;
    uint w_to = (me & 1) * 8 + ((me & 15) >> 1);
#ifdef LOOP_OF_BLOCKS
    Panel panel = find_panel(my_panel, depth);
    uint group = 0;
    const uint W_STEP = 16; // values of k one behind the other
    w_to += (me >> 4) * 64;
#else
    uint w_at = my_panel * depth * 8 + (me >> 4) * 8 + (me & 7);
    const uint W_STEP = 128; // every eighth value of k
    w_to += (me >> 4) * 16;
#endif
    for (uint k = depth; k > 0; k -= 32) {
        vec4 next_x[4];
        vec4 next_w[4];
        [[unroll]] for (uint s = 0; s < 4; s++)
            next_x[s] = ROWS_OF(x_at + s * 16 * ld);
        x_at += 8;
#ifdef LOOP_OF_BLOCKS
        Scales scales = unit_scales(panel, group, me & 7, unit_super(panel, group / 8, me & 7));
        uvec4 bytes = unit_bytes(panel, group * 8 + (me >> 4), me & 7);
        [[unroll]] for (uint s = 0; s < 4; s++)
            next_w[s] = block_values(bytes[s], scales, me >= 64);
        group++;
#else
        [[unroll]] for (uint s = 0; s < 4; s++)
            next_w[s] = UNIT_OF(w_at + s * 64);
        w_at += 256;
#endif
        barrier(); // the previous stage has been read
        [[unroll]] for (uint s = 0; s < 4; s++) {
            uint row = (me >> 3) + s * 16;
            [[unroll]] for (uint c = 0; c < 4; c++)
                stage[((me & 7) * 4 + c) * 16 + (row >> 2)][row & 3] = next_x[s][c];
            stage[STAGE_W + w_to + s * W_STEP] = next_w[s];
        }
        barrier(); // this stage is complete
        for (uint i0 = 0; i0 < 32; i0 += 4)
            [[unroll]] for (uint j = 0; j < 4; j++) {
                uint i = i0 + j;
                vec4 a = stage[i * 16 + (me >> 3)];
                vec4 b0 = stage[STAGE_W + i * 16 + (me & 7)];
                vec4 b1 = stage[STAGE_W + i * 16 + 8 + (me & 7)];
                [[unroll]] for (uint r = 0; r < 4; r++) {
                    acc[r][0] = fma(vec4(a[r]), b0, acc[r][0]);
                    acc[r][1] = fma(vec4(a[r]), b1, acc[r][1]);
                }
            }
    }
}

#endif
