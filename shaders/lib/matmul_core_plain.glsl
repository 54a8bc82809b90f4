// Workgroup of 4 x 4: invocation (i, j) holds columns 8i .. 8i+7 of one panel and PLAIN_ROWS rows.
#ifndef LOOP

layout(local_size_x = 4, local_size_y = 4) in;

#define HELD_ROWS PLAIN_ROWS
#define HELD_UNITS 2
#define WORKGROUP_ROWS (4 * PLAIN_ROWS)
#define WORKGROUP_UNITS 8

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

#else

void LOOP(uint depth, uint ld)
{
    uint at = held_row(0) * ld;
    uint w = gl_WorkGroupID.x * depth * 8 + gl_LocalInvocationID.x * 2;
    for (uint k = depth; k > 0; k -= 4) {
        vec4 a[PLAIN_ROWS];
        [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++)
            a[r] = ROWS_OF(at + r * ld);
        at++;
        [[unroll]] for (uint i = 0; i < 4; i++) {
            vec4 b0, b1;
            PAIR_OF(w, b0, b1);
            w += 8;
            [[unroll]] for (uint r = 0; r < PLAIN_ROWS; r++) {
                acc[r][0] = fma(vec4(a[r][i]), b0, acc[r][0]);
                acc[r][1] = fma(vec4(a[r][i]), b1, acc[r][1]);
            }
        }
    }
}

#endif
