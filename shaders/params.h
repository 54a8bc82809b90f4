/* Push constants and other structs that kernels and the code that dispatches them share: the one header that
 * compiles as C and as GLSL. Members are 32-bit scalars only (uint32_t, int32_t, float), so that both languages
 * lay them out alike; names are <kernel>_params.
 *   GLSL: #include "params.h"   layout(push_constant) uniform Push { embed_params p; };
 *   C:    #include "shaders/params.h"   struct embed_params push = {...}; */
#ifndef PARAMS_H
#define PARAMS_H

#ifdef VULKAN
#define uint32_t uint
#define int32_t int
#else
#include <stdint.h>
#endif

struct embed_params {
    uint32_t n_tokens;
    uint32_t n_columns;   /* D */
    uint32_t ld;          /* floats from one output row to the next */
    uint32_t first_row;   /* of the table's slice */
    uint32_t n_rows;      /* of the slice */
    uint32_t first_unit;  /* where the slice starts in the bound range, in elements */
};

/* Sizes in elements of f32; columns and depth are padded to multiples of 32. */
struct matmul_params {
    uint32_t n_columns;    /* bound: of this slice of W */
    uint32_t first_column; /* of the slice in Y, bias and gate */
    uint32_t depth;        /* K */
    uint32_t ldx;
    uint32_t ldy;
    uint32_t ld_gate; /* from one gate row to the next */
    uint32_t n_rows;
};

struct rotary_params {
    uint32_t ld;            /* floats from one row of the input to the next */
    uint32_t capacity;      /* slots from one head of the outputs to the next */
    uint32_t first_kv_head; /* where the bound ranges of the outputs begin */
    uint32_t n_kv_heads;    /* of the bound ranges */
    float scale;            /* of the queries */
};

struct attention_params {
    uint32_t ld;         /* floats from one output row to the next */
    uint32_t capacity;   /* slots from one head to the next */
    uint32_t first_head; /* query head at which the bound ranges of queries, keys and values begin */
    uint32_t n_heads;    /* query heads of the whole output */
};


#ifdef VULKAN
#undef uint32_t
#undef int32_t
#endif

#endif
