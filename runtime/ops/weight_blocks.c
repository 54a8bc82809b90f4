#include "ops/weight_blocks.h"

#include <assert.h>
#include <string.h>

enum {
    UNIT = 4, /* columns */
    N_UNITS = WEIGHT_BLOCKS_COLUMNS / UNIT,
    LARGEST_BLOCK = 256,
    GROUP = 32, /* values of k that share the words of a scale */
};

enum plane { LOW, HIGH, SCALES, SUPER };

/* What a block says, whatever its type. */
typedef struct block {
    uint8_t q[LARGEST_BLOCK];           /* whole numbers as the planes hold them */
    uint8_t scales[LARGEST_BLOCK / 16]; /* of blocks of 256: the two bytes of each group */
    uint16_t d, m;                      /* half floats */
} block;

/* ---- reading blocks ------------------------------------------------------------------------------- */

static uint16_t read_half(const unsigned char *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

static void read_q8_0(const unsigned char *from, block *b)
{
    b->d = read_half(from);
    memcpy(b->q, from + 2, 32);
}

/* Nibbles: element j in the low one of byte j, element j + 16 in the high one; fifth: their bits 4, or NULL.
 */
static void read_nibbles(const unsigned char *from, const unsigned char *fifth, block *b)
{
    for (int j = 0; j < 16; j++) {
        b->q[j] = from[j] & 15;
        b->q[j + 16] = from[j] >> 4;
    }
    for (int j = 0; fifth && j < 32; j++)
        b->q[j] |= (uint8_t)((fifth[j / 8] >> j % 8 & 1) << 4);
}

static void read_q4_0(const unsigned char *from, block *b)
{
    b->d = read_half(from);
    read_nibbles(from + 2, NULL, b);
}

static void read_q4_1(const unsigned char *from, block *b)
{
    b->d = read_half(from);
    b->m = read_half(from + 2);
    read_nibbles(from + 4, NULL, b);
}

static void read_q5_0(const unsigned char *from, block *b)
{
    b->d = read_half(from);
    read_nibbles(from + 6, from + 2, b);
}

static void read_q5_1(const unsigned char *from, block *b)
{
    b->d = read_half(from);
    b->m = read_half(from + 2);
    read_nibbles(from + 8, from + 4, b);
}

/* Two bits of element 128 n + 32 k + l: bits 2k .. of byte 32 n + l. */
static void read_pairs(const unsigned char *from, block *b)
{
    for (int e = 0; e < 256; e++)
        b->q[e] = from[e / 128 * 32 + e % 32] >> 2 * (e / 32 % 4) & 3;
}

static void read_q2_k(const unsigned char *from, block *b)
{
    memcpy(b->scales, from, 16);
    read_pairs(from + 16, b);
    b->d = read_half(from + 80);
    b->m = read_half(from + 82);
}

static void read_q3_k(const unsigned char *from, block *b)
{
    const unsigned char *high = from, *s = from + 96;
    read_pairs(from + 32, b);
    for (int e = 0; e < 256; e++)
        b->q[e] |= (uint8_t)((high[e % 32] >> e / 32 & 1) << 2);
    for (int i = 0; i < 16; i++) {
        int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
        b->scales[i] = (uint8_t)((low | (s[8 + i % 4] >> 2 * (i / 4) & 3) << 4) - 32);
    }
    b->d = read_half(from + 108);
}

/* Scale and minimum of the eight groups, 6 bits each. */
static void read_scales_of_six(const unsigned char *s, block *b)
{
    for (int g = 0; g < 4; g++) {
        b->scales[2 * g] = s[g] & 63;
        b->scales[2 * g + 1] = s[g + 4] & 63;
        b->scales[2 * g + 8] = (uint8_t)((s[g + 8] & 15) | s[g] >> 6 << 4);
        b->scales[2 * g + 9] = (uint8_t)(s[g + 8] >> 4 | s[g + 4] >> 6 << 4);
    }
}

/* Groups 2a and 2a + 1: the low and the high nibbles of bytes 32 a .. 32 a + 31; high: their bits 4, or NULL.
 */
static void read_four_bits(const unsigned char *from, const unsigned char *high, block *b)
{
    for (int e = 0; e < 256; e++)
        b->q[e] = from[e / 64 * 32 + e % 32] >> 4 * (e / 32 % 2) & 15;
    for (int e = 0; high && e < 256; e++)
        b->q[e] |= (uint8_t)((high[e % 32] >> e / 32 & 1) << 4);
}

static void read_q4_k(const unsigned char *from, block *b)
{
    b->d = read_half(from);
    b->m = read_half(from + 2);
    read_scales_of_six(from + 4, b);
    read_four_bits(from + 16, NULL, b);
}

static void read_q5_k(const unsigned char *from, block *b)
{
    b->d = read_half(from);
    b->m = read_half(from + 2);
    read_scales_of_six(from + 4, b);
    read_four_bits(from + 48, from + 16, b);
}

static void read_q6_k(const unsigned char *from, block *b)
{
    for (int e = 0; e < 256; e++) {
        int n = e / 128, k = e / 32 % 4, l = e % 32;
        int low = from[64 * n + 32 * (k & 1) + l] >> 4 * (k / 2) & 15;
        b->q[e] = (uint8_t)(low | (from[128 + 32 * n + l] >> 2 * k & 3) << 4);
    }
    memcpy(b->scales, from + 192, 16);
    b->d = read_half(from + 208);
}

/* ---- types ---------------------------------------------------------------------------------------- */

/* Of the specialisation constant; lib/weight_blocks.glsl takes it apart. */
enum flag {
    MINIMA = 1 << 12, /* values are scale q - minimum, or d q + m */
    BLOCK_256 = 1 << 13,
    HALVES = 1 << 14, /* the first and the second 16 of a group have scales of their own */
    SIGNED = 1 << 15, /* q is a signed byte */
    LEVELS = 1 << 16, /* q is the index of a level of IQ4_NL */
};

/* q = whole number - zero, of low + high bits */
typedef struct layout {
    vkdlm_dtype dtype;
    uint8_t low, high, zero;
    uint32_t flags;
    void (*read)(const unsigned char *from, block *b);
} layout;

static const layout layouts[] = {
    {VKDLM_DTYPE_Q8_0, 8, 0, 0, SIGNED, read_q8_0},
    {VKDLM_DTYPE_Q4_0, 4, 0, 8, 0, read_q4_0},
    {VKDLM_DTYPE_Q4_1, 4, 0, 0, MINIMA, read_q4_1},
    {VKDLM_DTYPE_Q5_0, 4, 1, 16, 0, read_q5_0},
    {VKDLM_DTYPE_Q5_1, 4, 1, 0, MINIMA, read_q5_1},
    {VKDLM_DTYPE_Q2_K, 2, 0, 0, MINIMA | BLOCK_256 | HALVES, read_q2_k},
    {VKDLM_DTYPE_Q3_K, 2, 1, 4, BLOCK_256 | HALVES, read_q3_k},
    {VKDLM_DTYPE_Q4_K, 4, 0, 0, MINIMA | BLOCK_256, read_q4_k},
    {VKDLM_DTYPE_Q5_K, 4, 1, 0, MINIMA | BLOCK_256, read_q5_k},
    {VKDLM_DTYPE_Q6_K, 4, 2, 32, BLOCK_256 | HALVES, read_q6_k},
    {VKDLM_DTYPE_IQ4_NL, 4, 0, 0, LEVELS, read_q4_0},
};

static const layout *find_layout(vkdlm_dtype dtype)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].dtype == dtype)
            return &layouts[i];
    return NULL;
}

bool weight_blocks_supported(vkdlm_dtype dtype)
{
    return find_layout(dtype) != NULL;
}

uint32_t weight_blocks_code(vkdlm_dtype dtype)
{
    const layout *l = find_layout(dtype);
    return l ? l->low | (uint32_t)l->high << 4 | (uint32_t)l->zero << 6 | l->flags : 0;
}

uint64_t weight_blocks_planes(vkdlm_dtype dtype, uint64_t depth, uint64_t bytes[WEIGHT_BLOCKS_N_PLANES])
{
    const layout *l = find_layout(dtype);
    assert(l && depth % weight_blocks_length(dtype) == 0);
    /* Half floats of a block and column. */
    uint64_t half_bytes = l->flags & MINIMA ? 4 : 2;
    uint64_t columns = WEIGHT_BLOCKS_COLUMNS;
    bytes[LOW] = columns * depth / 8 * l->low;
    bytes[HIGH] = columns * depth / 8 * l->high;
    bytes[SCALES] = columns * depth / GROUP * (l->flags & BLOCK_256 ? 2 : half_bytes);
    bytes[SUPER] = l->flags & BLOCK_256 ? columns * depth / LARGEST_BLOCK * half_bytes : 0;
    return bytes[LOW] + bytes[HIGH] + bytes[SCALES] + bytes[SUPER];
}

/* ---- packing -------------------------------------------------------------------------------------- */

static void write_words(unsigned char *to, const uint32_t *words, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < 4; j++)
            to[4 * i + j] = (unsigned char)(words[i] >> 8 * j);
}

/* `bits` bits of the values from bit `shift` on, of one unit: a run of 8 / bits values to a word, two words
 * (of whole bytes four) together, those of all units side by side. to: of the unit at the first k. */
static void write_bits(unsigned char *to, const block blocks[UNIT], uint32_t n, uint32_t bits, uint32_t shift)
{
    uint32_t run = 8 / bits, together = bits < 8 ? 2 : 4, mask = (1u << bits) - 1;
    for (uint32_t k = 0; k < n; k += run * together, to += N_UNITS * together * sizeof(uint32_t)) {
        uint32_t words[4] = {0};
        for (uint32_t i = 0; i < run * together; i++)
            for (uint32_t j = 0; j < UNIT; j++)
                words[i / run] |= (blocks[j].q[k + i] >> shift & mask) << (8 * j + i % run * bits);
        write_words(to, words, together);
    }
}

/* The half floats d, and m if there are, of one unit. */
static void write_halves(unsigned char *to, const block b[UNIT], bool minima)
{
    const uint32_t words[4] = {b[0].d | (uint32_t)b[1].d << 16, b[2].d | (uint32_t)b[3].d << 16,
                               b[0].m | (uint32_t)b[1].m << 16, b[2].m | (uint32_t)b[3].m << 16};
    write_words(to, words, minima ? 4 : 2);
}

/* The bytes of the scales of a block of 256. */
static void write_scales(unsigned char *to, const block b[UNIT])
{
    for (uint32_t i = 0; i < LARGEST_BLOCK / GROUP; i++, to += N_UNITS * 2 * sizeof(uint32_t))
        for (uint32_t half = 0; half < 2; half++)
            for (uint32_t j = 0; j < UNIT; j++)
                to[half * 4 + j] = b[j].scales[2 * i + half];
}

/* One block of each column of a unit. to: of the unit, at the block's k. */
static void write_unit(const layout *l, const block blocks[UNIT], uint32_t n,
                       unsigned char *const to[WEIGHT_BLOCKS_N_PLANES])
{
    bool minima = l->flags & MINIMA;
    if (to[LOW])
        write_bits(to[LOW], blocks, n, l->low, 0);
    if (to[HIGH] && l->high)
        write_bits(to[HIGH], blocks, n, l->high, l->low);
    if (to[SCALES] && l->flags & BLOCK_256)
        write_scales(to[SCALES], blocks);
    else if (to[SCALES])
        write_halves(to[SCALES], blocks, minima);
    if (to[SUPER] && l->flags & BLOCK_256)
        write_halves(to[SUPER], blocks, minima);
}

void weight_blocks_pack(vkdlm_dtype dtype, const unsigned char *const columns[WEIGHT_BLOCKS_COLUMNS],
                        uint32_t first, uint32_t n, unsigned char *const planes[WEIGHT_BLOCKS_N_PLANES])
{
    const layout *l = find_layout(dtype);
    uint32_t block_bytes, length = vkdlm_dtype_block(dtype, &block_bytes);
    assert(l && first % length == 0 && n % length == 0);
    uint64_t step[WEIGHT_BLOCKS_N_PLANES];
    weight_blocks_planes(dtype, length, step);
    /* Bytes of a unit that lie together: what a plane's rows are divided into. */
    const uint32_t halves = l->flags & MINIMA ? 16 : 8;
    const uint32_t unit_bytes[WEIGHT_BLOCKS_N_PLANES] = {l->low < 8 ? 8 : 16, 8,
                                                         l->flags & BLOCK_256 ? 8 : halves, halves};
    for (uint32_t k = 0; k < n; k += length)
        for (uint32_t unit = 0; unit < N_UNITS; unit++) {
            block blocks[UNIT];
            unsigned char *to[WEIGHT_BLOCKS_N_PLANES];
            memset(blocks, 0, sizeof blocks);
            for (uint32_t j = 0; j < UNIT; j++)
                if (columns[unit * UNIT + j])
                    l->read(columns[unit * UNIT + j] + (size_t)((first + k) / length) * block_bytes,
                            &blocks[j]);
            for (uint32_t i = 0; i < WEIGHT_BLOCKS_N_PLANES; i++)
                to[i] = planes[i] ? planes[i] + k / length * step[i] + unit * unit_bytes[i] : NULL;
            write_unit(l, blocks, length, to);
        }
}
