// Linear layer: Y[m, n] = epilogue(sum over k of X[m, k] W[n, k]), X [M, ldx], Y [M, ldy] f32, W in panels; with LORA the
// sum goes on over Z[m, k] B[n, k], Z [M, ldz], B in panels, all f32.
// Epilogues of v = acc (+ bias[n]):
//   ACTIVATION 0: v, 1: GELU (tanh form), 2: SiLU
//   ACTIVATION 3: Y[m, 4u + i] = SiLU(v[m, 8u + i]) v[m, 8u + 4 + i], i = 0..3: half as many columns
//   HAS_RESIDUAL: Y[m, n] = R[m, n] + v; with HAS_GATE R[m, n] + gate[g, n] v, g = sequence[m] or 0. R may be Y.
//   ACTIVATION 4: Y[m, n] = R[m, n] v
// Mapping, variants and the order of the sums: lib/matmul_core.glsl, lib/matmul_stream.glsl. A slice of whole panels may
// be bound as W (and B); then first_column says where it lies in Y, bias and gate.
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

uint matmul_lora_depth()
{
    return p.lora_depth;
}

uint matmul_ldz()
{
    return p.ldz;
}

#ifdef VARIANT_STREAM
#include "matmul_stream.glsl"
#else
#include "matmul_core.glsl"
#endif
#include "activation.glsl"

layout(constant_id = 3) const bool HAS_BIAS = true;
layout(constant_id = 4) const uint ACTIVATION = 0;
layout(constant_id = 5) const bool GATE_BY_ROW = false;
layout(constant_id = 6) const bool HAS_GATE = false;
layout(constant_id = 7) const bool HAS_RESIDUAL = false;

layout(binding = 2) writeonly buffer Output { vec4 y[]; };
layout(binding = 3) readonly buffer Bias { vec4 bias[]; };
layout(binding = 4) readonly buffer Residual { vec4 residual[]; };
layout(binding = 5) readonly buffer Gate { vec4 gate[]; };
layout(binding = 6) readonly buffer Sequence { uint sequence[]; };

vec4 biased(vec4 v, uint column)
{
    return HAS_BIAS ? v + bias[column] : v;
}

// column: of four, among those of W.
void store(uint row, uint column, vec4 v)
{
    uint at = row * (p.ldy >> 2) + column;
    v = biased(v, column);
    if (ACTIVATION == 1)
        v = gelu(v);
    if (ACTIVATION == 2)
        v = silu(v);
    if (HAS_GATE) {
        uint g = GATE_BY_ROW ? sequence[min(row, p.n_rows - 1)] * (p.ld_gate >> 2) : 0;
        v = fma(gate[g + column], v, residual[at]);
    } else if (HAS_RESIDUAL)
        v = ACTIVATION == 4 ? residual[at] * v : residual[at] + v;
    y[at] = v;
}

// Of an even column and the next.
void store_swiglu(uint row, uint column, vec4 even, vec4 odd)
{
    y[row * (p.ldy >> 2) + column / 2] = silu(biased(even, column)) * biased(odd, column + 1);
}

// Of what is held.
void finish()
{
    uint first = p.first_column >> 2;
    if (ACTIVATION != 3) {
        [[unroll]] for (uint v = 0; v < HELD_UNITS; v++)
            if (held_valid(v))
                [[unroll]] for (uint r = 0; r < HELD_ROWS; r++)
                    store(held_row(r), first + held_unit(v), acc[r][v]);
    } else if (held_valid(0)) {
        [[unroll]] for (uint r = 0; r < HELD_ROWS; r++) {
#if HELD_UNITS == 2
            store_swiglu(held_row(r), first + held_unit(0), acc[r][0], acc[r][1]);
#else
            // The next lane holds the odd one.
            vec4 odd = subgroupShuffleXor(acc[r][0], 1);
            if ((held_unit(0) & 1) == 0)
                store_swiglu(held_row(r), first + held_unit(0), acc[r][0], odd);
#endif
        }
    }
}

void main()
{
#ifdef VARIANT_STREAM
    stream_begin();
    if (stream_more())
        do {
            stream_accumulate();
            if (LAST)
                finish();
            stream_next();
        } while (stream_more());
#else
    matmul_accumulate();
    finish();
#endif
}
