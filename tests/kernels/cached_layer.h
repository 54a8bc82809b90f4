/* One layer of cached attention on made-up sequences: what its tests share. */
#ifndef CACHED_LAYER_H
#define CACHED_LAYER_H

#include "gpu_test.h"
#include "ops/cached_attention.h"

#define CACHED_BASE  10000.0
#define CACHED_LAYER 1u /* the one that is used; there is one before it */

/* New tokens of one sequence. */
typedef struct chunk {
    uint32_t sequence, first, length;
} chunk;

/* A query of a token. */
typedef struct place {
    uint32_t sequence, position;
} place;

typedef struct cached_layer {
    gpu_test *test;
    attention_shape shape;
    cached_attention op;
    kv_cache cache;
    rotary_table table;
    qkv_columns columns;
    uint32_t n_sequences;
    const uint32_t *length; /* [n_sequences] */
    uint32_t ld, ld_out, width;
    float **qkv;            /* [n_sequences][length, ld]: the tokens */
    float **output;         /* [n_sequences][length, ld_out]: NaN where nothing has been stored */
    float **keys, **values; /* [n_sequences][length][n_kv_heads][head_dim]: what the cache held when read */
    uint32_t n_dispatches;  /* of the last run */
} cached_layer;

/* Queries and keys are uniform in [-spread, spread), values in [-1, 1). length is kept by reference. */
cached_layer cached_layer_create(gpu_test *test, const attention_shape *shape, enum kv_type type,
                                 uint32_t context, const uint32_t *length, uint32_t n_sequences, float spread,
                                 uint64_t seed);
void cached_layer_destroy(cached_layer *l);

/* Zeroes the cache and forgets the outputs. */
void cached_layer_reset(cached_layer *l);

/* Writes these tokens to the cache, in one plan, and runs the tiles over them if asked: their outputs are
 * stored. */
void cached_layer_chunks(cached_layer *l, const chunk *chunks, uint32_t n, bool attend);
/* Every sequence whole, in one plan. */
void cached_layer_prefill(cached_layer *l, bool attend);
/* Runs the queries of these tokens as rows: their outputs are stored. */
void cached_layer_rows(cached_layer *l, const place *places, uint32_t n);

/* Reads keys and values back, checks them against the tokens, and that all other slots are zero. */
void cached_layer_check_cache(cached_layer *l);
/* Compares the stored output of a token with the reference over the keys and values that were read. */
void cached_layer_check_row(const cached_layer *l, uint32_t sequence, uint32_t position);
void cached_layer_check_rows(const cached_layer *l);

/* A copy of all outputs, and whether they have the same bits. */
float *cached_layer_outputs(const cached_layer *l);
void cached_layer_expect(const cached_layer *l, const float *outputs, const char *what);

#endif
