// The multiply-add core of every matmul-shaped kernel:
//   acc[r][v] = four columns of X . W^T at row held_row(r), unit held_unit(v).
// Each output element is ONE chain acc = fma(x[m,k], w[n,k], acc) over k = 0, 1, .., K-1 whatever the variant, so a
// row's result depends neither on the number of rows nor on the variant (on one driver).
//
// X is [rows, ldx] f32 with zero pad columns up to K, K a multiple of 32; W is in panels (weight.glsl).
// Row bounds are not checked: rows up to the next multiple of 64 exist in X and Y. Columns are whole panels of 32;
// an invocation that lies past them computes something and held_valid() is false.
//
// Defines: WEIGHT_*, TEXELS (weight.glsl) and one of
//   VARIANT_SUBGROUP  no shared memory: the lanes of one subgroup (= workgroup) share the rows of X through
//                     subgroupShuffle; LANES x 4 (with TEXELS 8) columns, ROWS rows. With TEXELS for CPU drivers, for
//                     which it reaches 65 to 70 % of the multiply-add limit (38 % from storage buffers); without for
//                     few rows on GPUs.
//   VARIANT_PLAIN     no subgroup operations, no shared memory: PLAIN_ROWS x 8 columns an invocation.
//   VARIANT_SHARED    64 x 64 tile in shared memory, 128 invocations with 4 x 8 each. For GPUs.
// The including shader defines before it: uint matmul_depth() = K and matmul_ldx(), matmul_columns() = columns bound.
// Workgroup (i, j) = columns block i, rows block j.
#ifndef MATMUL_CORE_GLSL
#define MATMUL_CORE_GLSL

#extension GL_EXT_control_flow_attributes : require
#include "weight.glsl"

#if defined(VARIANT_SUBGROUP)
#include "matmul_core_subgroup.glsl"
#elif defined(VARIANT_SHARED)
#include "matmul_core_shared.glsl"
#else
#include "matmul_core_plain.glsl"
#endif

#endif
