/* Writing blocks of 256 elements: the search's whole numbers in each type's layout. */
#include <string.h>

#include "format/quant_search.h"

void quant_write_q2_k(const float *x, uint8_t *block)
{
    quant_lines lines;
    quant_search_lines(&(quant_shape){.n_groups = 16, .most_level = 3, .most_scale = 15}, x, &lines);
    memset(block, 0, 80);
    for (int i = 0; i < 16; i++)
        block[i] = (uint8_t)(lines.scale[i] | lines.low[i] << 4);
    for (int e = 0; e < QUANT_K_ELEMENTS; e++)
        block[16 + e / 128 * 32 + e % 32] |= (uint8_t)(lines.level[e] << 2 * (e / 32 % 4));
    quant_write_half(block + 80, lines.d);
    quant_write_half(block + 82, lines.dmin);
}

void quant_write_q3_k(const float *x, uint8_t *block)
{
    quant_steps steps;
    quant_search_steps(&(quant_shape){.n_groups = 16, .most_level = 3, .most_scale = 31}, x, &steps);
    memset(block, 0, 108);
    uint8_t *qs = block + 32, *s = block + 96;
    for (int e = 0; e < QUANT_K_ELEMENTS; e++) {
        int n = e / 128, k = e / 32 % 4, l = e % 32, q = steps.level[e] + 4;
        qs[32 * n + l] |= (uint8_t)((q & 3) << 2 * k);
        block[l] |= (uint8_t)(q >> 2 << (4 * n + k));
    }
    for (int i = 0; i < 16; i++) {
        int scale = steps.scale[i] + 32;
        s[i % 8] |= (uint8_t)((scale & 15) << (i < 8 ? 0 : 4));
        s[8 + i % 4] |= (uint8_t)(scale >> 4 << 2 * (i / 4));
    }
    quant_write_half(block + 108, steps.d);
}

/* The twelve bytes of scales and low ends of Q4_K and Q5_K, and d, dmin before them. */
static void write_pairs(const quant_lines *lines, uint8_t *block)
{
    uint8_t *s = block + 4;
    quant_write_half(block, lines->d);
    quant_write_half(block + 2, lines->dmin);
    for (int g = 0; g < 4; g++) {
        s[g] = (uint8_t)(lines->scale[g] | lines->scale[g + 4] >> 4 << 6);
        s[g + 4] = (uint8_t)(lines->low[g] | lines->low[g + 4] >> 4 << 6);
        s[g + 8] = (uint8_t)((lines->scale[g + 4] & 15) | (lines->low[g + 4] & 15) << 4);
    }
}

/* The low four bits of every level. */
static void write_nibbles(const quant_lines *lines, uint8_t *qs)
{
    for (int i = 0; i < QUANT_K_ELEMENTS / 2; i++) {
        const int8_t *level = lines->level + i / 32 * 64 + i % 32;
        qs[i] = (uint8_t)((level[0] & 15) | (level[32] & 15) << 4);
    }
}

void quant_write_q4_k(const float *x, uint8_t *block)
{
    quant_lines lines;
    quant_search_lines(&(quant_shape){.n_groups = 8, .most_level = 15, .most_scale = 63}, x, &lines);
    write_pairs(&lines, block);
    write_nibbles(&lines, block + 16);
}

void quant_write_q5_k(const float *x, uint8_t *block)
{
    quant_lines lines;
    quant_search_lines(&(quant_shape){.n_groups = 8, .most_level = 31, .most_scale = 63}, x, &lines);
    write_pairs(&lines, block);
    write_nibbles(&lines, block + 48);
    memset(block + 16, 0, 32);
    for (int e = 0; e < QUANT_K_ELEMENTS; e++)
        block[16 + e % 32] |= (uint8_t)(lines.level[e] >> 4 << e / 32);
}

void quant_write_q6_k(const float *x, uint8_t *block)
{
    quant_steps steps;
    quant_search_steps(&(quant_shape){.n_groups = 16, .most_level = 31, .most_scale = 127}, x, &steps);
    memset(block, 0, 192);
    for (int e = 0; e < QUANT_K_ELEMENTS; e++) {
        int n = e / 128, k = e / 32 % 4, l = e % 32, q = steps.level[e] + 32;
        block[64 * n + 32 * (k & 1) + l] |= (uint8_t)((q & 15) << 4 * (k / 2));
        block[128 + 32 * n + l] |= (uint8_t)(q >> 4 << 2 * k);
    }
    for (int i = 0; i < 16; i++)
        block[192 + i] = (uint8_t)steps.scale[i];
    quant_write_half(block + 208, steps.d);
}
