// Output layer fused with sampling, first kernel: the logits of a tile are computed as in a linear layer, kept in
// shared memory, and reduced to one record of statistics for each row and panel of 32 tokens. Logits never reach memory.
//   x[m, v] = (sum over k of H[m, k] W[v, k] + bias[v]) inv_temperature[m]; the excluded token and the pad columns
//   have probability zero.
// Mapping, variants and the order of the sums: lib/matmul_core.glsl; a workgroup holds whole panels. A panel's record is
// computed by one invocation in ascending order of tokens whatever the variant: it depends on its row alone.
// A slice of whole panels may be bound as W; the records bound are those of the slice.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "params.h"

layout(push_constant) uniform Push { output_params p; };

uint matmul_depth()
{
    return p.depth;
}

uint matmul_ldx()
{
    return p.ldx;
}

uint matmul_columns()
{
    return p.n_columns;
}

#include "matmul_core.glsl"
#include "output.glsl"
#include "output_panel.glsl"

layout(constant_id = 3) const bool HAS_BIAS = true;

// Two vectors a record, [panel][row][2]: max, sum, lean, score; token, x, target, unused.
layout(binding = 2) writeonly buffer Partials { uvec4 partials[]; };
layout(binding = 3) readonly buffer Bias { vec4 bias[]; };
layout(binding = 4) readonly buffer Draws { output_draw draws[]; };

// x of [row][unit].
#ifdef VARIANT_SHARED
#define tile stage // 64 x 16, as much as the loop staged
#else
shared vec4 tile[WORKGROUP_ROWS * WORKGROUP_UNITS];
#endif

void fill_tile()
{
    [[unroll]] for (uint r = 0; r < HELD_ROWS; r++) {
        uint row = held_row(r);
        float inv_temperature = draws[min(row, p.n_rows - 1)].inv_temperature;
        [[unroll]] for (uint v = 0; v < HELD_UNITS; v++) {
            uint unit = (p.first_column >> 2) + held_unit(v);
            vec4 x = acc[r][v];
            if (HAS_BIAS)
                x += bias[held_valid(v) ? unit : 0];
            x *= inv_temperature;
            tile[(row % WORKGROUP_ROWS) * WORKGROUP_UNITS + held_unit(v) % WORKGROUP_UNITS] =
                mask_excluded(x, unit, p.vocab_size, p.excluded);
        }
    }
}

vec4 panel_x(uint i)
{
    return tile[i];
}

void main()
{
    const uint PANELS = WORKGROUP_UNITS / 8;
    matmul_accumulate();
#ifdef VARIANT_SHARED
    barrier(); // the last stage has been read
#endif
    fill_tile();
    barrier();
    uint n_invocations = gl_WorkGroupSize.x * gl_WorkGroupSize.y;
    uint i = gl_LocalInvocationIndex;
    // Loops are tested at their ends: CPU drivers run the body once more where a loop is left at its top.
    if (i < WORKGROUP_ROWS * PANELS) do {
        uint local = i % WORKGROUP_ROWS, row = gl_WorkGroupID.y * WORKGROUP_ROWS + local;
        uint panel = gl_WorkGroupID.x * PANELS + i / WORKGROUP_ROWS;
        if (row < p.n_rows && panel < p.n_columns / 32) {
            Statistics s = panel_statistics(local * WORKGROUP_UNITS + i / WORKGROUP_ROWS * 8,
                                            (p.first_column / 32 + panel) * 8, draws[row],
                                            uvec2(p.seed_low, p.seed_high));
            uint to = (panel * p.row_capacity + row) * 2;
            partials[to] = floatBitsToUint(vec4(s.max, s.sum, s.lean, s.score));
            partials[to + 1] = uvec4(s.token, floatBitsToUint(vec3(s.x, s.target, 0.0)));
        }
        i += n_invocations;
    } while (i < WORKGROUP_ROWS * PANELS);
}
