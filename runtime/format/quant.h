/* Block formats of GGUF files on the host: rows of floats to blocks and back.
 *
 * A block holds vkdlm_dtype_block elements of one row, little endian, at any alignment; rows are whole
 * blocks. Layouts (f16 d, m, dmin; q an element's whole number; j its index in the block of 32):
 *
 *   Q8_0    d, i8 q[32]                             d q
 *   Q4_0    d, u8 [16]: low nibble j, high j + 16   d (q - 8)
 *   Q4_1    d, m, nibbles                           d q + m
 *   Q5_0    d, u32 of fifth bits, nibbles           d (q - 16)
 *   Q5_1    d, m, u32 of fifth bits, nibbles        d q + m
 *   IQ4_NL  d, nibbles                              d T[q], T the 16 levels of quant_iq4_nl_levels
 *
 * and for blocks of 256 elements, e = 128 n + 32 k + l, groups of 32 (g = e / 32) or 16 (i = e / 16):
 *
 *   Q2_K  u8 s[16], u8 q[64], d, dmin                    d (s_i & 15) q - dmin (s_i >> 4)
 *   Q3_K  u8 high[32], u8 q[64], u8 s[12], d             d (s_i - 32) (q - 4), s of 6 bits
 *   Q4_K  d, dmin, u8 s[12], u8 q[128]                   d s_g q - dmin m_g, s and m of 6 bits
 *   Q5_K  d, dmin, u8 s[12], u8 high[32], u8 q[128]      the same
 *   Q6_K  u8 low[128], u8 high[64], i8 s[16], d          d s_i (q - 32)
 *
 * Products are exact in float, only the one sum rounds: every correct reader gets the same bits. */
#ifndef FORMAT_QUANT_H
#define FORMAT_QUANT_H

#include <stdbool.h>

#include <vkdlm/tensors.h>

/* True for F32, F16, BF16 and every block type: what the functions below take. */
bool quant_is_supported(vkdlm_dtype dtype);

/* Bytes of a row of n_elements, a multiple of the block's (far below 2^60). */
uint64_t quant_row_bytes(vkdlm_dtype dtype, uint64_t n_elements);

/* The values of n_elements / block blocks, out [n_elements]. Infinities and NaN that a hostile file holds
 * pass through. */
void quant_dequantize_row(vkdlm_dtype dtype, const void *blocks, uint64_t n_elements, float *out);

/* Blocks of the row in [n_elements], n_elements a multiple of the block's. F32, F16 and BF16 take every value
 * (nearest, ties to even; NaN stays one); for the block types quant_check_row must have passed.
 * Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 are rounded as the format's reference does it, byte for byte; the scales of
 * the K types and IQ4_NL are searched for the least squared error. */
void quant_quantize_row(vkdlm_dtype dtype, const float *in, uint64_t n_elements, void *blocks);

/* Refuses what the type cannot hold: NaN, infinities, and magnitudes whose scale would overflow its half
 * float. The sentence names the file, the tensor and the element; in [n_elements] begins at element `first`
 * of the tensor. Errors: UNSUPPORTED. */
vkdlm_status quant_check_row(vkdlm_dtype dtype, const float *in, uint64_t n_elements, const char *file,
                             const char *tensor, uint64_t first, vkdlm_error *err);

#endif
