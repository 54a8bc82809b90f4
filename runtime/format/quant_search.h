/* Search of scales for blocks of 256 elements: the squared error is what counts, every element alike.
 *
 * Both searches begin with several steps for each group of elements, improve each by turns (round the
 * elements, then fit the step to what they were rounded to), and end with the whole numbers that stand for
 * the steps: neighbours of the nearest ones are tried with the scale of the block as it is stored, in f16. */
#ifndef FORMAT_QUANT_SEARCH_H
#define FORMAT_QUANT_SEARCH_H

#include <stdint.h>

#include "format/quant_blocks.h"

#define QUANT_MAX_GROUPS 16

/* What a type's layout allows. */
typedef struct quant_shape {
    int n_groups;   /* of 256 / n_groups elements, 16 or 32 */
    int most_level; /* levels are 0 .. most_level, or -most_level - 1 .. most_level */
    int most_scale; /* scales alike */
} quant_shape;

/* x ~ d scale[g] level - dmin low[g], everything >= 0. d and dmin are f16. */
typedef struct quant_lines {
    uint16_t d, dmin;
    uint8_t scale[QUANT_MAX_GROUPS], low[QUANT_MAX_GROUPS];
    int8_t level[QUANT_K_ELEMENTS];
} quant_lines;

/* x ~ d scale[g] level, signed. */
typedef struct quant_steps {
    uint16_t d;
    int16_t scale[QUANT_MAX_GROUPS];
    int8_t level[QUANT_K_ELEMENTS];
} quant_steps;

/* x [256] finite and below 2^16. */
void quant_search_lines(const quant_shape *shape, const float *x, quant_lines *out);
void quant_search_steps(const quant_shape *shape, const float *x, quant_steps *out);

#endif
