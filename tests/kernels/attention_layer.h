/* One attention layer on a made-up ragged batch: what the tests of the rotary and the attention kernel share.
 */
#ifndef ATTENTION_LAYER_H
#define ATTENTION_LAYER_H

#include "gpu_test.h"
#include "ops/attention.h"
#include "ops/rotary.h"

#define LAYER_BASE     10000.0
#define LAYER_MAX_ROWS 64u /* rows of no sequence behind the last one: at least 1, at most this many */

typedef struct layer {
    gpu_test *test;
    attention_shape shape;
    attention op;
    rotary_table table;
    uint32_t n_sequences, n_rows;             /* n_rows: of the sequences */
    uint32_t *start, *length;                 /* [n_sequences] */
    uint32_t row_capacity, ld, ld_out, width; /* width: columns of the output */
    float *qkv;                               /* [row_capacity, ld]; rows of no sequence are NaN */
    attention_plan plan;
    gpu_buffer qkv_buffer, index, workspace, output;
    uint32_t n_dispatches; /* of the last layer_run */
} layer;

/* Prepares a batch of sequences with these lengths for a variant (NULL: the device's first). Queries and keys
 * are uniform in [-spread, spread), values in [-1, 1). */
layer layer_create(gpu_test *test, const attention_shape *shape, const attention_variant *variant,
                   const uint32_t *lengths, uint32_t n_sequences, float spread, uint64_t seed);
void layer_destroy(layer *l);

/* Uploads qkv as it is now and runs the rotary kernel, and attention if asked. */
void layer_run(layer *l, bool attend);

/* A malloc'd copy of the output, [row_capacity, ld_out]. */
float *layer_output(const layer *l);

/* Runs the layer and compares every stored row with the reference: |difference| <= tolerance * the largest
 * value, with a tolerance that grows with the scores. rows: how many queries at the start and at the end of
 * each sequence are compared. Rows of no sequence must not have been touched. */
void layer_check(layer *l, uint32_t rows);

#endif
