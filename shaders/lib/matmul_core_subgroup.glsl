// One subgroup: lane l holds units (block LANES + l) UNITS + 0 .. UNITS-1 of ROWS rows. STEP values of k an iteration:
// the ROWS x STEP block of X is ROWS STEP / 4 vec4 loads, load t = row t % ROWS, k group t / ROWS, spread over the
// lanes; each value is then broadcast from its lane. On CPU drivers the accumulators live in memory: GRAIN values of k
// are taken for each load and store of one. 16 rows of 8 columns are 128 accumulators; with more, the unrolled code no
// longer fits the instruction cache. 65,535 iterations would be the limit of one driver; K / STEP is far below.
#ifndef LOOP

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8; // the subgroup size, exactly
layout(constant_id = 1) const uint ROWS = 16;
layout(constant_id = 2) const uint STEP = 8;

#ifdef TEXELS
#define UNITS 2
#else
#define UNITS 1
#endif

#define HELD_ROWS ROWS
#define HELD_UNITS UNITS
#define WORKGROUP_ROWS ROWS
#define WORKGROUP_UNITS (LANES * UNITS)

// Values of k whose products are added to a sum before the next sum's turn: drivers of CPUs load and store it each time.
#ifdef TEXELS
const uint GRAIN = 8;
#else
const uint GRAIN = 2;
#endif

vec4 acc[HELD_ROWS][HELD_UNITS];

uint held_row(uint r)
{
    return gl_WorkGroupID.y * ROWS + r;
}

uint held_unit(uint v)
{
    return (gl_WorkGroupID.x * LANES + gl_SubgroupInvocationID) * UNITS + v;
}

bool held_valid(uint v)
{
    return held_unit(v) < matmul_columns() / 4;
}

#else

void LOOP(uint depth, uint ld)
{
    const uint N_LOADS = ROWS * STEP / 4;
    const uint N_MINE = (N_LOADS + LANES - 1) / LANES;
    uint lane = gl_SubgroupInvocationID;
    uint unit = min(held_unit(0), matmul_columns() / 4 - UNITS);
    uint w = (unit >> 3) * depth * 8 + (unit & 7);
    uint at[N_MINE];
    [[unroll]] for (uint j = 0; j < N_MINE; j++) {
        uint t = min(j * LANES + lane, N_LOADS - 1);
        at[j] = held_row(t % ROWS) * ld + t / ROWS;
    }
    uint k = depth;
    do { // tested at its end: CPU drivers run the body once more where a loop is left at its top
        vec4 mine[N_MINE];
        [[unroll]] for (uint j = 0; j < N_MINE; j++) {
            mine[j] = ROWS_OF(at[j]);
            at[j] += STEP / 4;
        }
        [[unroll]] for (uint i = 0; i < STEP; i += GRAIN) {
            vec4 b[GRAIN][UNITS];
            [[unroll]] for (uint g = 0; g < GRAIN; g++) {
#if UNITS == 2
                PAIR_OF(w, b[g][0], b[g][1]);
#else
                b[g][0] = UNIT_OF(w);
#endif
                w += 8;
            }
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                [[unroll]] for (uint g = 0; g < GRAIN; g++) {
                    uint t = (i + g) / 4 * ROWS + r;
                    float a = subgroupShuffle(mine[t / LANES][(i + g) & 3], t % LANES);
                    [[unroll]] for (uint v = 0; v < UNITS; v++)
                        acc[r][v] = fma(vec4(a), b[g][v], acc[r][v]);
                }
            }
        }
        k -= STEP;
    } while (k > 0);
}

#endif
