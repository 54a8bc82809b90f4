// Linear layer: Y[m, n] = epilogue(sum over k of X[m, k] W[n, k]), X [M, ldx], Y [M, ldy] f32, W in panels.
// Epilogues:
//   default       v = acc (+ bias[n]); ACTIVATION 0: v, 1: GELU (tanh form), 2: SiLU
//   RESIDUAL      Y[m, n] = R[m, n] + gate[g, n] (acc (+ bias[n])), g = sequence[m] or 0; R may be Y.
// Mapping, variants and the order of the sums: lib/matmul_core.glsl. A slice of whole panels may be bound as W; then
// first_column says where it lies in Y, bias and gate.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "params.h"

layout(push_constant) uniform Push { matmul_params p; };

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
#include "activation.glsl"

layout(constant_id = 3) const bool HAS_BIAS = true;
layout(constant_id = 4) const uint ACTIVATION = 0;
layout(constant_id = 5) const bool GATE_BY_ROW = false;

layout(binding = 2) writeonly buffer Output { vec4 y[]; };
layout(binding = 3) readonly buffer Bias { vec4 bias[]; };
#ifdef RESIDUAL
layout(binding = 4) readonly buffer Residual { vec4 residual[]; };
layout(binding = 5) readonly buffer Gate { vec4 gate[]; };
layout(binding = 6) readonly buffer Sequence { uint sequence[]; };
#endif

void store(uint row, uint unit, vec4 v)
{
    uint column = (p.first_column >> 2) + unit;
    uint at = row * (p.ldy >> 2) + column;
    if (HAS_BIAS)
        v += bias[column];
#ifdef RESIDUAL
    uint g = GATE_BY_ROW ? sequence[min(row, p.n_rows - 1)] * (p.ld_gate >> 2) : 0;
    v = fma(gate[g + column], v, residual[at]);
#else
    if (ACTIVATION == 1)
        v = gelu(v);
    if (ACTIVATION == 2)
        v = silu(v);
#endif
    y[at] = v;
}

void main()
{
    matmul_accumulate();
    [[unroll]] for (uint v = 0; v < HELD_UNITS; v++)
        if (held_valid(v))
            [[unroll]] for (uint r = 0; r < HELD_ROWS; r++)
                store(held_row(r), held_unit(v), acc[r][v]);
}
