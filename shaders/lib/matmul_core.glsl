// The multiply-add core of every matmul-shaped kernel but VARIANT_STREAM (matmul_stream.glsl):
//   acc[r][v] = four columns of X . W^T at row held_row(r), unit held_unit(v).
// Each output element is ONE chain acc = fma(x[m,k], w[n,k], acc) over k = 0, 1, .., K-1 whatever the variant, so a
// row's result depends neither on the number of rows nor on the variant (on one driver). With LORA the chain goes on:
// acc = fma(z[m,k], b[n,k], acc) over the depth of B.
//
// X is [rows, ldx] f32 with zero pad columns up to K, K a multiple of 32; W is in panels (weight.glsl). Z and B are
// like them, both f32.
// Row bounds are not checked: rows up to the next multiple of 64 exist in X and Y. Columns are whole panels of 32;
// an invocation that lies past them computes something and held_valid() is false.
//
// Defines: WEIGHT_*, TEXELS (weight.glsl), WEIGHT_BLOCKS (weight_blocks.glsl), and one of
//   VARIANT_SUBGROUP  no shared memory: the lanes of one subgroup (= workgroup) share the rows of X through
//                     subgroupShuffle; LANES x 4 (with TEXELS 8) columns, ROWS rows. With TEXELS for CPU drivers, for
//                     which it reaches 65 to 70 % of the multiply-add limit (38 % from storage buffers); without for
//                     few rows on GPUs.
//   VARIANT_PLAIN     no subgroup operations, no shared memory: PLAIN_ROWS x 8 columns an invocation.
//   VARIANT_SHARED    64 x 64 tile in shared memory, 128 invocations with 4 x 8 each. For GPUs.
// The including shader defines before it: uint matmul_depth() = K and matmul_ldx(), matmul_columns() = columns bound,
// and with LORA matmul_lora_depth() and matmul_ldz().
// Workgroup (i, j) = columns block i, rows block j. An invocation that holds two units holds an even one and the next.
#ifndef MATMUL_CORE_GLSL
#define MATMUL_CORE_GLSL

#extension GL_EXT_control_flow_attributes : require
#ifdef WEIGHT_BLOCKS
#define WEIGHT_BINDING 1
#include "weight_blocks.glsl"
#else
#include "weight.glsl"
#endif

// Vector i of a matrix of rows.
#ifdef TEXELS
layout(binding = 0) uniform textureBuffer x;
#define FETCH(rows, i) texelFetch(rows, int(i))
#else
layout(binding = 0) readonly buffer Input { vec4 x[]; };
#define FETCH(rows, i) rows[i]
#endif

#include "matmul_core_variant.glsl"

#define ROWS_OF(i) FETCH(x, i)
#if defined(WEIGHT_BLOCKS) && !defined(VARIANT_SHARED)
#include "matmul_core_blocks.glsl"
#else
#ifdef WEIGHT_BLOCKS
#define LOOP_OF_BLOCKS
#endif
#define LOOP                accumulate_weight
#define UNIT_OF(unit)       weight_unit(unit)
#define PAIR_OF(unit, a, b) weight_pair(unit, a, b)
#include "matmul_core_variant.glsl"
#undef LOOP_OF_BLOCKS
#endif
#undef LOOP
#undef ROWS_OF
#undef UNIT_OF
#undef PAIR_OF

#ifdef LORA
#ifdef TEXELS
layout(binding = 7) uniform textureBuffer lora_z;
layout(binding = 8) uniform textureBuffer lora_b;
#else
layout(binding = 7) readonly buffer LoraZ { vec4 lora_z[]; };
layout(binding = 8) readonly buffer LoraB { vec4 lora_b[]; };
#endif
#define LOOP          accumulate_lora
#define ROWS_OF(i)    FETCH(lora_z, i)
#define UNIT_OF(unit) FETCH(lora_b, unit)
#define PAIR_OF(unit, a, b)      \
    a = FETCH(lora_b, (unit));   \
    b = FETCH(lora_b, (unit) + 1)
#include "matmul_core_variant.glsl"
#endif

void matmul_accumulate()
{
    [[unroll]] for (uint r = 0; r < HELD_ROWS; r++)
        [[unroll]] for (uint v = 0; v < HELD_UNITS; v++)
            acc[r][v] = vec4(0);
    accumulate_weight(matmul_depth(), matmul_ldx() >> 2);
#ifdef LORA
    accumulate_lora(matmul_lora_depth(), matmul_ldz() >> 2);
#endif
}

#endif
