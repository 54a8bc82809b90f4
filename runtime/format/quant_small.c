/* Blocks of 32 elements. */
#include "format/quant_blocks.h"

#define N_ELEMENTS 32

const int8_t quant_iq4_nl_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

void quant_read_q8_0(const uint8_t *block, float *out)
{
    float d = quant_read_half(block);
    for (int j = 0; j < N_ELEMENTS; j++)
        out[j] = d * (float)(int8_t)block[2 + j];
}

/* Element j of 16 bytes of nibbles. */
static inline int nibble(const uint8_t *qs, int j)
{
    return j < N_ELEMENTS / 2 ? qs[j] & 15 : qs[j - N_ELEMENTS / 2] >> 4;
}

/* Element j of four bytes of fifth bits and 16 of nibbles. */
static inline int nibble_and_bit(const uint8_t *bytes, int j)
{
    return nibble(bytes + 4, j) | (bytes[j / 8] >> j % 8 & 1) << 4;
}

void quant_read_q4_0(const uint8_t *block, float *out)
{
    float d = quant_read_half(block);
    for (int j = 0; j < N_ELEMENTS; j++)
        out[j] = d * (float)(nibble(block + 2, j) - 8);
}

void quant_read_q4_1(const uint8_t *block, float *out)
{
    float d = quant_read_half(block), m = quant_read_half(block + 2);
    for (int j = 0; j < N_ELEMENTS; j++)
        out[j] = d * (float)nibble(block + 4, j) + m;
}

void quant_read_q5_0(const uint8_t *block, float *out)
{
    float d = quant_read_half(block);
    for (int j = 0; j < N_ELEMENTS; j++)
        out[j] = d * (float)(nibble_and_bit(block + 2, j) - 16);
}

void quant_read_q5_1(const uint8_t *block, float *out)
{
    float d = quant_read_half(block), m = quant_read_half(block + 2);
    for (int j = 0; j < N_ELEMENTS; j++)
        out[j] = d * (float)nibble_and_bit(block + 4, j) + m;
}

void quant_read_iq4_nl(const uint8_t *block, float *out)
{
    float d = quant_read_half(block);
    for (int j = 0; j < N_ELEMENTS; j++)
        out[j] = d * (float)quant_iq4_nl_levels[nibble(block + 2, j)];
}
