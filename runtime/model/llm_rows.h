/* The rows of one call: what the host writes for them, the draws of the output layer, and what comes back. */
#ifndef MODEL_LLM_ROWS_H
#define MODEL_LLM_ROWS_H

#include "model/llm_workspace.h"

/* How tokens are drawn from the output layer's distribution. */
typedef struct draw_options {
    uint64_t seed;
    uint32_t top_k;
    float top_p;
    uint32_t n_candidates; /* into ws->candidates */
} draw_options;

/* Draws for n_rows rows of ws->hidden from `first` on, with the entries of `call`. */
void rows_record_output(const llm_workspace *ws, uint32_t first, uint32_t n_rows, uint32_t call,
                        draw_options options);
/* What is asked of the output layer for a row; step: flow_draw_step of causal.h, or 0. */
output_draw rows_draw_of(const causal_row *row, uint32_t step, bool draw, float inv_temperature);
/* Host addresses of one call's draws, written before, and results, read after the submission. */
output_draw *rows_draws_of_call(const llm_workspace *ws, uint32_t call);
const output_result *rows_results_of_call(const llm_workspace *ws, uint32_t call);
/* target: of the row, or -1. */
causal_result rows_result_of(const output_result *out, int32_t target);
/* Sequence, position and held slot of path row `at`. */
void rows_write_query(const llm_workspace *ws, uint32_t at, const causal_row *row);
/* The modulation rows of one evaluation; what pads the last group of rows must be a valid index. */
uint32_t *rows_row_mod_of_call(const llm_workspace *ws, uint32_t call);
void rows_pad_row_mod(uint32_t *row_mod, uint32_t n);
/* The first n path rows with the modulation of one call. */
l2d_rows rows_path(const llm_workspace *ws, uint32_t n, uint32_t call);
/* Row `at` of ws->x0: scale * x[flow's dimension], and the pad. */
void rows_write_flow_row(const llm_workspace *ws, uint32_t at, const float *x, float scale);
/* The row of modulation of a prepared time and class. */
static inline uint32_t rows_modulation(const llm_workspace *ws, uint32_t time, uint32_t class_slot)
{
    return time * ws->prepared_classes + class_slot;
}
/* True for a row of work that the program refines. */
static inline bool rows_is_refined(const causal_work *work, uint32_t row)
{
    return work->program && (!work->refine || work->refine[row]);
}
/* Bytes of n rows of the flow's dimension. */
uint64_t rows_flow_bytes(const llm_workspace *ws, uint32_t n_rows);

#endif
