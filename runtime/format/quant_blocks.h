/* What the files of quant share: one block of each type. */
#ifndef FORMAT_QUANT_BLOCKS_H
#define FORMAT_QUANT_BLOCKS_H

#include <stdint.h>

#include "base/half.h"

#define QUANT_K_ELEMENTS 256 /* of a block of the K types */

/* Levels of IQ4_NL, ascending. */
extern const int8_t quant_iq4_nl_levels[16];

/* The values of one block. */
void quant_read_q8_0(const uint8_t *block, float *out);
void quant_read_q4_0(const uint8_t *block, float *out);
void quant_read_q4_1(const uint8_t *block, float *out);
void quant_read_q5_0(const uint8_t *block, float *out);
void quant_read_q5_1(const uint8_t *block, float *out);
void quant_read_iq4_nl(const uint8_t *block, float *out);
void quant_read_q2_k(const uint8_t *block, float *out);
void quant_read_q3_k(const uint8_t *block, float *out);
void quant_read_q4_k(const uint8_t *block, float *out);
void quant_read_q5_k(const uint8_t *block, float *out);
void quant_read_q6_k(const uint8_t *block, float *out);

/* One block of values x, finite; see quant_check_row. */
void quant_write_q8_0(const float *x, uint8_t *block);
void quant_write_q4_0(const float *x, uint8_t *block);
void quant_write_q4_1(const float *x, uint8_t *block);
void quant_write_q5_0(const float *x, uint8_t *block);
void quant_write_q5_1(const float *x, uint8_t *block);
void quant_write_iq4_nl(const float *x, uint8_t *block);
void quant_write_q2_k(const float *x, uint8_t *block);
void quant_write_q3_k(const float *x, uint8_t *block);
void quant_write_q4_k(const float *x, uint8_t *block);
void quant_write_q5_k(const float *x, uint8_t *block);
void quant_write_q6_k(const float *x, uint8_t *block);

static inline float quant_read_half(const uint8_t *bytes)
{
    return f32_from_f16((uint16_t)(bytes[0] | bytes[1] << 8));
}

static inline void quant_write_half(uint8_t *bytes, uint16_t half)
{
    bytes[0] = (uint8_t)half;
    bytes[1] = (uint8_t)(half >> 8);
}

#endif
