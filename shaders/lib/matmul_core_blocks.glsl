// The loop over k of quantised weights, for each way to hold units (matmul_core_subgroup.glsl, matmul_core_plain.glsl):
// 32 values of k share scales, 4 are unpacked at a time. The shared variant unpacks while it
// stages.
#if defined(VARIANT_SUBGROUP)

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
    for (uint group = 0; group < depth / 32; group++) {
        Scales scales[UNITS];
#if UNITS == 2
        pair_scales(panel, group, unit, scales[0], scales[1]);
#else
        scales[0] = unit_scales(panel, group, unit);
#endif
        for (uint k = 0; k < 32; k += STEP) {
            vec4 mine[N_MINE];
            [[unroll]] for (uint j = 0; j < N_MINE; j++) {
                mine[j] = FETCH(x, at[j]);
                at[j] += STEP / 4;
            }
            [[unroll]] for (uint i = 0; i < STEP; i += 4) {
                uvec4 bytes[UNITS];
#if UNITS == 2
                pair_bytes(panel, group * 8 + (k + i) / 4, unit, bytes[0], bytes[1]);
#else
                bytes[0] = unit_bytes(panel, group * 8 + (k + i) / 4, unit);
#endif
                [[unroll]] for (uint h = 0; h < 4; h += 2) {
                    vec4 b[2][UNITS];
                    [[unroll]] for (uint g = 0; g < 2; g++)
                        [[unroll]] for (uint v = 0; v < UNITS; v++)
                            b[g][v] = block_values(bytes[v][h + g], scales[v], k + i >= 16);
                    [[unroll]] for (uint r = 0; r < ROWS; r++) {
                        uint t = (i / 4) * ROWS + r;
                        [[unroll]] for (uint g = 0; g < 2; g++) {
                            float a = subgroupShuffle(mine[t / LANES][h + g], t % LANES);
                            [[unroll]] for (uint v = 0; v < UNITS; v++)
                                acc[r][v] = fma(vec4(a), b[g][v], acc[r][v]);
                        }
                    }
                }
            }
        }
    }
}

#else

void accumulate_weight(uint depth, uint ld)
{
    uint at = held_row(0) * ld;
    uint unit = gl_LocalInvocationID.x * 2;
    Panel panel = find_panel(gl_WorkGroupID.x, depth);
    for (uint group = 0; group < depth / 32; group++) {
        Scales scales[2];
        pair_scales(panel, group, unit, scales[0], scales[1]);
        for (uint quad = 0; quad < 8; quad++) {
            vec4 a[PLAIN_ROWS];
            [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++)
                a[r] = FETCH(x, at + r * ld);
            at++;
            uvec4 bytes[2];
            pair_bytes(panel, group * 8 + quad, unit, bytes[0], bytes[1]);
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
