// Workgroup of 4 x 4: invocation (i, j) holds columns 8i .. 8i+7 of one panel and PLAIN_ROWS rows.
layout(local_size_x = 4, local_size_y = 4) in;

#define HELD_ROWS PLAIN_ROWS
#define HELD_UNITS 2
#define WORKGROUP_ROWS (4 * PLAIN_ROWS)
#define WORKGROUP_UNITS 8

layout(binding = 0) readonly buffer Input { vec4 x[]; };

vec4 acc[HELD_ROWS][HELD_UNITS];

uint held_row(uint r)
{
    return gl_GlobalInvocationID.y * PLAIN_ROWS + r;
}

uint held_unit(uint v)
{
    return gl_WorkGroupID.x * 8 + gl_LocalInvocationID.x * 2 + v;
}

bool held_valid(uint v)
{
    return true;
}

void matmul_accumulate()
{
    uint ldx = matmul_ldx() >> 2;
    uint at = held_row(0) * ldx;
    uint w = gl_WorkGroupID.x * matmul_depth() * 8 + gl_LocalInvocationID.x * 2;
    [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++)
        [[unroll]] for (uint v = 0; v < 2; v++)
            acc[r][v] = vec4(0);
    for (uint k = matmul_depth(); k > 0; k -= 4) {
        vec4 a[PLAIN_ROWS];
        [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++)
            a[r] = x[at + r * ldx];
        at++;
        [[unroll]] for (uint i = 0; i < 4; i++) {
            vec4 b0, b1;
            weight_pair(w, b0, b1);
            w += 8;
            [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++) {
                acc[r][0] = fma(vec4(a[r][i]), b0, acc[r][0]);
                acc[r][1] = fma(vec4(a[r][i]), b1, acc[r][1]);
            }
        }
    }
}
