// The variant that the defines ask for. First without LOOP: the mapping, and acc. Then once for each product that the
// chain runs through, its loop over k:
//   void LOOP(uint depth, uint ld): acc = fma(x[m,k], w[n,k], acc) for k = 0 .. depth-1, rows of ld vectors,
// with ROWS_OF(i), vector i of the rows, and UNIT_OF(u), unit u of the weights, or PAIR_OF(u, a, b), units u (even) and
// u + 1. With LOOP_OF_BLOCKS the weights are quantised (weight_blocks.glsl).
#if defined(VARIANT_SUBGROUP)
#include "matmul_core_subgroup.glsl"
#elif defined(VARIANT_SHARED)
#include "matmul_core_shared.glsl"
#else
#include "matmul_core_plain.glsl"
#endif
