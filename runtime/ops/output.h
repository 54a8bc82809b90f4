/* The output layer fused with sampling: from hidden rows to tokens and statistics, without logits in memory
 * (shaders/output_sample.comp, output_merge.comp), or with top-k and top-p through a scratch of logits for a
 * bounded number of rows at a time (output_select.comp), as with lists of candidates (output_records.comp,
 * output_list.comp). */
#ifndef OPS_OUTPUT_H
#define OPS_OUTPUT_H

#include "gpu/gpu.h"
#include "ops/matmul.h"
#include "ops/weight.h"
#include "shaders/params.h"

typedef struct output_draw output_draw;     /* what is asked of a row */
typedef struct output_result output_result; /* and what is answered */
typedef struct output_candidate output_candidate;

/* p = softmax(x), x[m, v] = (sum_k hidden[m, k] w[v, k] + bias[v]) inv_temperature[m], without the excluded
 * token. A draw is argmax(x + Gumbel noise), the noise of token v being word v % 4 of philox(seed, v / 4,
 * position, RNG_TOKEN << 28 | step, sample). A row's result depends on nothing but its hidden row, its draw
 * and the options. */
typedef struct output_args {
    const weight *w; /* [vocab_size, D] */
    gpu_view bias;   /* f32 [padded vocab_size]; buffer NULL: none */
    gpu_view hidden; /* f32, rows of ld floats, up to the next multiple of 64; pad columns zero */
    uint32_t ld;     /* the padded D */
    uint32_t n_rows;
    uint32_t vocab_size; /* 2 .. 2^21 */
    int32_t excluded;    /* id of the token of probability zero (the mask token); negative: none */
    gpu_view draws;      /* output_draw [n_rows] */
    gpu_view results;    /* output_result [n_rows] */
    gpu_view scratch;    /* output_(list_)scratch_bytes(w, n_rows); may be larger than a storage range */
    uint64_t seed;
    uint32_t top_k; /* keeps the k largest x and all that equal the k-th; 0: off */
    float top_p; /* then the most probable whose renormalised mass reaches p, and their equals; >= 1: off */
    /* The most probable tokens of each row, most probable first, the lowest id of equals first; 0: none. They
     * change nothing of the results, to the bit. */
    uint32_t n_candidates;
    gpu_view candidates; /* output_candidate [n_rows, n_candidates] */
} output_args;

/* Bytes of scratch for up to n_rows rows; bounded, as rows are done in chunks. */
uint64_t output_scratch_bytes(const weight *w, uint32_t n_rows);
/* The same when candidates are asked for. */
uint64_t output_list_scratch_bytes(const weight *w, uint32_t n_rows);

/* Records it. A failure is remembered by the commands. */
void ops_output(gpu_device *device, gpu_commands *commands, const output_args *args);

/* The same with a shape of the caller's choice (matmul.h), which must be usable. */
bool output_shape_usable(const gpu_caps *caps, const matmul_shape *shape);
void ops_output_shape(gpu_device *device, gpu_commands *commands, const output_args *args,
                      const matmul_shape *shape);

#endif
