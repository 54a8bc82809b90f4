/* Panels of quantised weights (weight.h): blocks of a file, repacked so that loads are wide and aligned.
 *
 * A panel is up to four planes, one behind the other, each in order of k and, within that, of the eight units
 * of four columns. Of one unit (byte j of a word is column j):
 *
 *   low    8 bits a value: for 4 values of k four words, one each; 4 bits: for 4 two words, even k in the low
 *          and odd k in the high nibble of a byte; 2 bits: for 8 two words, bits 2i .. 2i+1 of a byte for
 *          k = i and k = 4 + i
 *   high   what is above the low bits: 2 bits: as in low; 1 bit: for 16 values of k two words, bit i of a
 *          byte for k = i and k = 8 + i
 *   scales for 32 values of k: two words; blocks of 32: the half floats d (and two more, m); blocks of 256:
 *          the bytes of scale and minimum, or of the scales of the first and the second 16
 *   super  of blocks of 256 alone, for 256 values of k: the half floats d (and dmin)
 *
 * Panels are multiples of 64 bytes, 1.04 times the bytes of the file at most. shaders/lib/weight_blocks.glsl
 * reads them. */
#ifndef OPS_WEIGHT_BLOCKS_H
#define OPS_WEIGHT_BLOCKS_H

#include <stdbool.h>

#include <vkdlm/tensors.h>

enum { WEIGHT_BLOCKS_COLUMNS = 32, WEIGHT_BLOCKS_N_PLANES = 4 };

/* Whether a weight of this type lies in such panels. */
bool weight_blocks_supported(vkdlm_dtype dtype);

/* Elements of a block. */
static inline uint32_t weight_blocks_length(vkdlm_dtype dtype)
{
    uint32_t bytes;
    return vkdlm_dtype_block(dtype, &bytes);
}

/* The specialisation constant 10 of the kernels that read the type, 0 for any other. */
uint32_t weight_blocks_code(vkdlm_dtype dtype);

/* Bytes of every plane for `depth` values of k, a multiple of the block's elements; unused planes are 0.
 * Returns their sum: with K values, the bytes of a panel. */
uint64_t weight_blocks_planes(vkdlm_dtype dtype, uint64_t depth, uint64_t bytes[WEIGHT_BLOCKS_N_PLANES]);

/* Packs values first .. first+n-1 of k (multiples of the block's elements) of 32 columns. columns[j]: the
 * blocks of column j from k = 0 on, NULL for a column of zeros. planes[i]: where the bytes of plane i for
 * k = first go; NULL: plane i is not written. */
void weight_blocks_pack(vkdlm_dtype dtype, const unsigned char *const columns[WEIGHT_BLOCKS_COLUMNS],
                        uint32_t first, uint32_t n, unsigned char *const planes[WEIGHT_BLOCKS_N_PLANES]);

#endif
