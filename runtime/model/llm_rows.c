#include "model/llm_rows.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "ops/output.h"

/* ---- the output layer ---------------------------------------------------------------------------- */

void rows_record_output(const llm_workspace *ws, uint32_t first, uint32_t n_rows, uint32_t call,
                        draw_options options)
{
    const llm *model = ws->model;
    ops_output(model->device, ws->commands,
               &(output_args){.w = &model->head,
                              .hidden = view_from(ws->hidden, (uint64_t)first * model->ld * sizeof(float)),
                              .ld = model->ld,
                              .n_rows = n_rows,
                              .vocab_size = model->config.vocab_size,
                              .excluded = -1,
                              .draws = llm_of_call(ws, ws->draws, call, sizeof(output_draw)),
                              .results = llm_of_call(ws, ws->results, call, sizeof(output_result)),
                              .scratch = ws->output_scratch,
                              .seed = options.seed,
                              .top_k = options.top_k,
                              .top_p = options.top_p,
                              .n_candidates = options.n_candidates,
                              .candidates =
                                  options.n_candidates ? llm_candidates_of_call(ws, call) : (gpu_view){0}});
}

output_draw rows_draw_of(const causal_row *row, uint32_t step, bool draw, float inv_temperature)
{
    return (output_draw){.sample = row->sample,
                         .step = step,
                         .position = row->counter,
                         .target = row->target,
                         .draw = draw,
                         .inv_temperature = inv_temperature};
}

output_draw *rows_draws_of_call(const llm_workspace *ws, uint32_t call)
{
    return view_mapped(llm_of_call(ws, ws->draws, call, sizeof(output_draw)));
}

const output_result *rows_results_of_call(const llm_workspace *ws, uint32_t call)
{
    return view_mapped(llm_of_call(ws, ws->results, call, sizeof(output_result)));
}

causal_result rows_result_of(const output_result *out, int32_t target)
{
    return (causal_result){.token = out->token,
                           .log_prob = out->log_prob,
                           .entropy = out->entropy,
                           .max_log_prob = out->max - out->log_sum_exp,
                           .target_log_prob = target < 0 ? NAN : out->target_logit - out->log_sum_exp,
                           .base_entropy = out->entropy};
}

/* ---- rows ---------------------------------------------------------------------------------------- */

void rows_write_query(const llm_workspace *ws, uint32_t at, const causal_row *row)
{
    uint32_t *queries = view_mapped(ws->path_queries);
    queries[2 * at] = row->sequence;
    queries[2 * at + 1] = row->position;
    ((uint32_t *)view_mapped(ws->path_source))[at] = row->held;
}

uint32_t *rows_row_mod_of_call(const llm_workspace *ws, uint32_t call)
{
    return view_mapped(llm_of_call(ws, ws->row_mod, call, sizeof(uint32_t)));
}

void rows_pad_row_mod(uint32_t *row_mod, uint32_t n)
{
    for (uint32_t i = n; i < size_round_up(n, ARENA_ROW_STEP); i++)
        row_mod[i] = 0;
}

l2d_rows rows_path(const llm_workspace *ws, uint32_t n, uint32_t call)
{
    return (l2d_rows){.n = n,
                      .queries = ws->path_queries,
                      .source = ws->path_source,
                      .row_mod = llm_of_call(ws, ws->row_mod, call, sizeof(uint32_t))};
}

void rows_write_flow_row(const llm_workspace *ws, uint32_t at, const float *x, float scale)
{
    uint32_t n = ws->model->path.config.flow_dim, ld = weight_pad(n);
    float *to = (float *)view_mapped(ws->x0) + (size_t)at * ld;
    for (uint32_t i = 0; i < n; i++)
        to[i] = scale * x[i];
    memset(to + n, 0, (ld - n) * sizeof *to);
}

uint64_t rows_flow_bytes(const llm_workspace *ws, uint32_t n_rows)
{
    return (uint64_t)n_rows * weight_pad(ws->model->path.config.flow_dim) * sizeof(float);
}
