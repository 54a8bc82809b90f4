// The loop over k of quantised weights, for each way to hold units (matmul_core_subgroup.glsl, matmul_core_plain.glsl):
// 32 values of k share scales, 8 (of one unit 4) are unpacked at a time. The shared variant unpacks while it stages.
// Drivers of CPUs run the body of a loop that is left at its top once more than its condition holds.
#if defined(VARIANT_SUBGROUP)

// Groups of 32 that share what is read once; on GPUs registers are worth more.
const uint GROUPS = BLOCK_256 && IN_PLACE ? 8 : 1;
// Levels take many registers to unpack.
const uint BLOCK_GRAIN = LEVELS ? 2 : GRAIN;

void accumulate_weight(uint depth, uint ld)
{
    const uint N_LOADS = ROWS * STEP / 4;
    const uint N_MINE = (N_LOADS + LANES - 1) / LANES;
    uint lane = gl_SubgroupInvocationID;
    uint unit = min(held_unit(0), matmul_columns() / 4 - UNITS);
    Panel panel = find_panel(unit >> 3, depth);
    unit &= 7;
    uint at[N_MINE];
    [[unroll]] for (uint j = 0; j < N_MINE; j++) {
        uint t = min(j * LANES + lane, N_LOADS - 1);
        at[j] = held_row(t % ROWS) * ld + t / ROWS;
    }
    uint group = 0;
    do {
        Super super[UNITS];
#if UNITS == 2
        pair_super(panel, group / 8, unit, super);
#else
        super[0] = unit_super(panel, group / 8, unit);
#endif
        uint last = group + GROUPS;
        do {
            Scales scales[UNITS];
#if UNITS == 2
            pair_scales(panel, group, unit, super, scales);
#else
            scales[0] = unit_scales(panel, group, unit, super[0]);
#endif
            uint k = 0;
            do {
                vec4 mine[N_MINE];
                [[unroll]] for (uint j = 0; j < N_MINE; j++) {
                    mine[j] = FETCH(x, at[j]);
                    at[j] += STEP / 4;
                }
                [[unroll]] for (uint i = 0; i < STEP; i += 8) {
                    uvec4 bytes[2][UNITS];
#if UNITS == 2
                    pair_octet(panel, group * 4 + (k + i) / 8, unit, bytes);
#endif
                    [[unroll]] for (uint h = 0; h < 8; h += BLOCK_GRAIN) {
#if UNITS == 1
                        if ((h & 3) == 0)
                            bytes[h / 4][0] = unit_bytes(panel, group * 8 + (k + i + h) / 4, unit);
#endif
                        vec4 b[BLOCK_GRAIN][UNITS];
                        [[unroll]] for (uint g = 0; g < BLOCK_GRAIN; g++)
                            [[unroll]] for (uint v = 0; v < UNITS; v++)
                                b[g][v] = block_values(bytes[(h + g) / 4][v][(h + g) & 3], scales[v], k + i >= 16);
                        [[unroll]] for (uint r = 0; r < ROWS; r++)
                            [[unroll]] for (uint g = 0; g < BLOCK_GRAIN; g++) {
                                uint t = (i + h + g) / 4 * ROWS + r;
                                float a = subgroupShuffle(mine[t / LANES][(h + g) & 3], t % LANES);
                                [[unroll]] for (uint v = 0; v < UNITS; v++)
                                    acc[r][v] = fma(vec4(a), b[g][v], acc[r][v]);
                            }
                    }
                }
                k += STEP;
            } while (k < 32);
            group++;
        } while (group < last);
    } while (group < depth / 32);
}

#else

void accumulate_weight(uint depth, uint ld)
{
    uint at = held_row(0) * ld;
    uint unit = gl_LocalInvocationID.x * 2;
    Panel panel = find_panel(gl_WorkGroupID.x, depth);
    for (uint group = 0; group < depth / 32; group++) {
        Super super[2];
        pair_super(panel, group / 8, unit, super);
        Scales scales[2];
        pair_scales(panel, group, unit, super, scales);
        for (uint quad = 0; quad < 8; quad++) {
            vec4 a[PLAIN_ROWS];
            [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++)
                a[r] = FETCH(x, at + r * ld);
            at++;
            uvec4 bytes[2];
            pair_bytes(panel, group * 8 + quad, unit, bytes);
            [[unroll]] for (uint i = 0; i < 4; i++)
                [[unroll]] for (uint v = 0; v < 2; v++) {
                    vec4 b = block_values(bytes[v][i], scales[v], quad >= 4);
                    [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++)
                        acc[r][v] = fma(vec4(a[r][i]), b, acc[r][v]);
                }
        }
    }
}

#endif
