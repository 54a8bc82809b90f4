/* Reading blocks of 256 elements: e = 128 n + 32 k + l. */
#include <stddef.h>

#include "format/quant_blocks.h"

void quant_read_q2_k(const uint8_t *block, float *out)
{
    const uint8_t *scales = block, *qs = block + 16;
    float d = quant_read_half(block + 80), dmin = quant_read_half(block + 82);
    for (int e = 0; e < QUANT_K_ELEMENTS; e++) {
        int n = e / 128, k = e / 32 % 4, l = e % 32, s = scales[e / 16];
        int q = qs[32 * n + l] >> 2 * k & 3;
        out[e] = d * (float)(s & 15) * (float)q - dmin * (float)(s >> 4);
    }
}

void quant_read_q3_k(const uint8_t *block, float *out)
{
    const uint8_t *high = block, *qs = block + 32, *s = block + 96;
    float d = quant_read_half(block + 108);
    for (int e = 0; e < QUANT_K_ELEMENTS; e++) {
        int n = e / 128, k = e / 32 % 4, l = e % 32, i = e / 16;
        int scale = (i < 8 ? s[i] & 15 : s[i - 8] >> 4) | (s[8 + i % 4] >> 2 * (i / 4) & 3) << 4;
        int q = (qs[32 * n + l] >> 2 * k & 3) | (high[l] >> (4 * n + k) & 1) << 2;
        out[e] = d * (float)(scale - 32) * (float)(q - 4);
    }
}

/* Scale and minimum of group g, 0 .. 7, from the twelve bytes of Q4_K and Q5_K. */
static void read_pair(const uint8_t *s, int g, int *scale, int *minimum)
{
    if (g < 4) {
        *scale = s[g] & 63;
        *minimum = s[g + 4] & 63;
    } else {
        *scale = (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
        *minimum = s[g + 4] >> 4 | s[g] >> 6 << 4;
    }
}

/* high is NULL for Q4_K. */
static void read_q45_k(const uint8_t *block, const uint8_t *high, const uint8_t *qs, float *out)
{
    float d = quant_read_half(block), dmin = quant_read_half(block + 2);
    for (int g = 0; g < 8; g++) {
        int scale, minimum;
        read_pair(block + 4, g, &scale, &minimum);
        float step = d * (float)scale, low = dmin * (float)minimum;
        for (int l = 0; l < 32; l++) {
            int q = qs[g / 2 * 32 + l] >> 4 * (g % 2) & 15;
            if (high)
                q |= (high[l] >> g & 1) << 4;
            out[32 * g + l] = step * (float)q - low;
        }
    }
}

void quant_read_q4_k(const uint8_t *block, float *out)
{
    read_q45_k(block, NULL, block + 16, out);
}

void quant_read_q5_k(const uint8_t *block, float *out)
{
    read_q45_k(block, block + 16, block + 48, out);
}

void quant_read_q6_k(const uint8_t *block, float *out)
{
    const uint8_t *low = block, *high = block + 128, *scales = block + 192;
    float d = quant_read_half(block + 208);
    for (int e = 0; e < QUANT_K_ELEMENTS; e++) {
        int n = e / 128, k = e / 32 % 4, l = e % 32;
        int q = (low[64 * n + 32 * (k & 1) + l] >> 4 * (k / 2) & 15) | (high[32 * n + l] >> 2 * k & 3) << 4;
        out[e] = d * (float)(int8_t)scales[e / 16] * (float)(q - 32);
    }
}
