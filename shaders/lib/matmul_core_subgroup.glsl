// One subgroup: lane l holds unit (block LANES + l) of ROWS rows. STEP values of k an iteration: the ROWS x STEP block
// of X is ROWS STEP / 4 vec4 loads, load t = row t % ROWS, k group t / ROWS, spread over the lanes; each value is then
// broadcast from its lane. 65,535 iterations would be the limit of one driver; K / STEP is far below.
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8; // the subgroup size, exactly
layout(constant_id = 1) const uint ROWS = 32;
layout(constant_id = 2) const uint STEP = 8;

#define HELD_ROWS ROWS
#define HELD_UNITS 1
#define WORKGROUP_ROWS ROWS
#define WORKGROUP_UNITS LANES

#ifdef WIDE
layout(binding = 0) readonly buffer Input { u64vec2 x[]; };
#else
layout(binding = 0) readonly buffer Input { vec4 x[]; };
#endif

vec4 load_x(uint i)
{
#ifdef WIDE
    u64vec2 w = x[i];
    return uintBitsToFloat(uvec4(unpackUint2x32(w.x), unpackUint2x32(w.y)));
#else
    return x[i];
#endif
}

vec4 acc[HELD_ROWS][HELD_UNITS];

uint held_row(uint r)
{
    return gl_WorkGroupID.y * ROWS + r;
}

uint held_unit(uint v)
{
    return gl_WorkGroupID.x * LANES + gl_SubgroupInvocationID;
}

bool held_valid(uint v)
{
    return held_unit(v) < matmul_columns() / 4;
}

void matmul_accumulate()
{
    const uint N_LOADS = ROWS * STEP / 4;
    const uint N_MINE = (N_LOADS + LANES - 1) / LANES;
    uint lane = gl_SubgroupInvocationID;
    uint unit = min(held_unit(0), matmul_columns() / 4 - 1);
    uint w = (unit >> 3) * matmul_depth() * 8 + (unit & 7);
    uint at[N_MINE];
    [[unroll]] for (uint j = 0; j < N_MINE; j++) {
        uint t = min(j * LANES + lane, N_LOADS - 1);
        at[j] = held_row(t % ROWS) * (matmul_ldx() >> 2) + t / ROWS;
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        acc[r][0] = vec4(0);
    for (uint k = matmul_depth(); k > 0; k -= STEP) {
        vec4 mine[N_MINE];
        [[unroll]] for (uint j = 0; j < N_MINE; j++) {
            mine[j] = load_x(at[j]);
            at[j] += STEP / 4;
        }
        [[unroll]] for (uint i = 0; i < STEP; i++) {
            vec4 b = weight_unit(w);
            w += 8;
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                uint t = (i / 4) * ROWS + r;
                float a = subgroupShuffle(mine[t / LANES][i & 3], t % LANES);
                acc[r][0] = fma(vec4(a), b, acc[r][0]);
            }
        }
    }
}
