/* Push constants and other structs that kernels and the code that dispatches them share: the one header that
 * compiles as C and as GLSL. Members are 32-bit scalars only (uint32_t, int32_t, float), so that both
 * languages lay them out alike; names are <kernel>_params. GLSL: #include "params.h"   layout(push_constant)
 * uniform Push { embed_params p; }; C:    #include "shaders/params.h"   struct embed_params push = {...}; */
#ifndef PARAMS_H
#define PARAMS_H

#ifdef VULKAN
#define uint32_t uint
#define int32_t  int
#define sample   sample_ /* a keyword there */
#else
#include <stdint.h>
#endif

struct embed_params {
    uint32_t n_tokens;
    uint32_t token_stride; /* words from one token id to the next */
    uint32_t n_columns;    /* D */
    uint32_t ld;           /* floats from one output row to the next */
    uint32_t first_row;    /* of the table's slice */
    uint32_t n_rows;       /* of the slice */
    uint32_t first_unit;   /* where the slice starts in the bound range, in elements; 0 with panels */
    uint32_t token_base;   /* added to every id */
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
    uint32_t lora_depth, ldz;
    uint32_t first_k, continued; /* of VARIANT_STREAM alone */
};

struct rotary_params {
    uint32_t ld;             /* floats from one row of the input to the next */
    uint32_t capacity;       /* slots from one head of the outputs to the next */
    uint32_t n_kv_heads;     /* of the input */
    uint32_t share;          /* query heads per key/value head */
    uint32_t first_kv_head;  /* where the bound ranges of the outputs begin */
    uint32_t bound_kv_heads; /* of the bound ranges */
    float scale;             /* of the queries */
};

struct attention_params {
    uint32_t ld;           /* floats from one output row to the next */
    uint32_t capacity;     /* slots from one head of the queries to the next */
    uint32_t key_capacity; /* of the keys and values */
    uint32_t first_head;   /* query head at which the bound ranges of queries, keys and values begin */
    uint32_t n_heads;      /* query heads of the whole output */
    uint32_t share;        /* query heads per key/value head */
};

struct cached_write_params {
    uint32_t ld;                           /* floats from one row of the input to the next */
    uint32_t q_column, k_column, v_column; /* of the bound ranges' first heads */
    uint32_t capacity;                     /* slots from one head of the queries to the next */
    uint32_t key_capacity;                 /* of the keys and values */
    uint32_t bound_kv_heads;               /* of the bound ranges */
    uint32_t share;                        /* query heads per key/value head */
    float scale;                           /* of the queries */
};

struct cached_rows_params {
    uint32_t ldq, q_column;  /* of the queries */
    uint32_t ld;             /* floats from one output row to the next */
    uint32_t first_row;      /* of the dispatch */
    uint32_t key_capacity;   /* slots from one head to the next */
    uint32_t context;        /* slots from one sequence to the next */
    uint32_t first_head;     /* query head at which the bound ranges of keys and values begin */
    uint32_t n_heads, share; /* query heads of the output, and per key/value head */
    float scale;             /* of the queries */
};

struct norm_params {
    uint32_t n_rows;
    uint32_t n_columns; /* D */
    uint32_t ld;
    uint32_t mod_stride, scale_offset, shift_offset; /* floats */
    float eps;
};

struct rms_params {
    uint32_t n_rows;
    uint32_t n_columns;
    uint32_t ld;
    uint32_t mod_stride, scale_offset, shift_offset, gate_offset; /* floats */
    float eps;
};

struct flow_stage_params {
    uint32_t n_rows;
    uint32_t n_columns;
    uint32_t ld;
    uint32_t slope;
    uint32_t slope_stride; /* floats */
    uint32_t advance;      /* 0 or 1 */
    float rescale;
    float branch_weight0, branch_weight1;
    float factor;
    float step0, step1, step2, step3;
    float input_scale;
};

struct flow_difference_params {
    uint32_t n_rows, n_columns, ldx, ldy;
};

struct flow_softmax_params {
    uint32_t n_rows;
    uint32_t n_columns;
    uint32_t ld;
};

struct flow_vocabulary_params {
    uint32_t n_rows;
    uint32_t n_columns;
    uint32_t ld;
    uint32_t first_row;             /* within a panel, of row 0 */
    uint32_t depth;                 /* rows of a panel */
    uint32_t first_panel, n_panels; /* bound */
    float rescale;
};

struct timestep_params {
    uint32_t n_sequences;
};

/* One row of the output layer: what is asked. */
struct output_draw {
    uint32_t sample;   /* counter[3] of the noise */
    uint32_t step;     /* lower 28 bits of counter[2] */
    uint32_t position; /* counter[1] */
    int32_t target;    /* token whose logit is wanted, or negative */
    uint32_t draw;     /* not 0: a draw; 0: the most probable token */
    float inv_temperature;
};

/* And what is answered, of the distribution p = softmax(x), x = logit * inv_temperature, over the tokens that
 * count. */
struct output_result {
    int32_t token;      /* drawn or most probable, the lowest id of equals */
    float target_logit; /* x of the target, -3e38 when it is excluded, cut away, or not asked for */
    float max;          /* of x */
    float log_sum_exp;
    float entropy;  /* nats */
    float log_prob; /* of token */
    float least;    /* x of the least probable token that counts; -3e38 without top-k and top-p */
};

/* One of the most probable tokens of a row, whose log-probability is x - log_sum_exp of the result; token -1
 * and x -3e38 when there are fewer. */
struct output_candidate {
    int32_t token;
    float x;
};

struct output_params {
    uint32_t n_columns;    /* bound: of this slice of W */
    uint32_t first_column; /* of the slice: its first token */
    uint32_t depth;        /* K */
    uint32_t ldx;
    uint32_t n_rows;
    uint32_t row_capacity; /* rows from one panel of the partial records to the next */
    uint32_t vocab_size;
    int32_t excluded; /* token of probability zero, or negative */
    uint32_t seed_low, seed_high;
};

struct output_merge_params {
    uint32_t n_rows;
    uint32_t n_panels;
    uint32_t row_capacity;
    int32_t excluded;
};

struct output_records_params {
    uint32_t n_rows;
    uint32_t ld;           /* floats from one row of logits to the next */
    uint32_t row_capacity; /* rows from one panel of the records to the next */
    uint32_t vocab_size;
    int32_t excluded;
    uint32_t seed_low, seed_high;
};

struct output_list_params {
    uint32_t n_rows;
    uint32_t n_panels;
    uint32_t row_capacity;
    uint32_t ld;
    uint32_t vocab_size;
    int32_t excluded;
    uint32_t n_candidates; /* of a row */
    uint32_t first, end;   /* those that this dispatch finds */
};

struct output_select_params {
    uint32_t ld; /* floats from one row of logits to the next */
    uint32_t vocab_size;
    int32_t excluded;
    uint32_t seed_low, seed_high;
    uint32_t top_k; /* 0: off */
    float top_p;    /* 1: off */
};

#ifdef VULKAN
#undef uint32_t
#undef int32_t
#undef sample
#endif

#endif
