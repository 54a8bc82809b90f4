/* What the evaluations of the diffusion path found, read back once a submission. */
#include <math.h>
#include <string.h>

#include "model/llm_rows.h"

bool llm_can_mark(uint32_t n_calls)
{
    return n_calls < GPU_MAX_MARKS;
}

void llm_record_gates(const llm_workspace *ws, uint32_t n_rows)
{
    if (ws->capacity.record)
        gpu_copy(ws->commands, ws->gate.buffer, ws->gate.offset_bytes, ws->gates.buffer,
                 ws->gates.offset_bytes,
                 (uint64_t)n_rows * l2d_stride(ws->model->config.hidden_dim) * sizeof(float));
}

void llm_record_states(const llm_workspace *ws, uint32_t call, uint32_t n_rows)
{
    uint64_t bytes = rows_flow_bytes(ws, n_rows);
    gpu_copy(ws->commands, ws->stage.buffer, ws->stage.offset_bytes, ws->states.buffer,
             ws->states.offset_bytes + call * bytes, bytes);
}

/* Of a row of modulation. */
static float gate_norm(const llm_workspace *ws, uint32_t row)
{
    uint32_t n = ws->model->config.hidden_dim;
    const float *gate = (const float *)view_mapped(ws->gates) + (size_t)row * l2d_stride(n);
    double squares = 0;
    for (uint32_t i = 0; i < n; i++)
        squares += (double)gate[i] * (double)gate[i];
    return (float)sqrt(squares);
}

static void copy_candidates(const llm_workspace *ws, uint32_t call, uint32_t row, uint32_t n, candidate *to)
{
    if (n == 0)
        return;
    const output_candidate *from =
        (const output_candidate *)view_mapped(llm_candidates_of_call(ws, call)) + (size_t)row * n;
    for (uint32_t i = 0; i < n; i++)
        to[i] = (candidate){from[i].token, from[i].x - rows_results_of_call(ws, call)[row].log_sum_exp};
}

/* w_d of a call, which all rows share. */
static float call_norm(const llm_workspace *ws, const flow_program *program, uint32_t call)
{
    if (call == program->n_steps)
        return gate_norm(ws, rows_modulation(ws, program->final_time, program->final_class));
    const flow_step *step = &program->steps[call];
    return step->kind == FLOW_NETWORK ? gate_norm(ws, rows_modulation(ws, step->time, program->class_slot[0]))
                                      : 0;
}

static void read_times(const llm_workspace *ws, const flow_record *record, uint32_t n_calls)
{
    for (uint32_t call = 0; call < n_calls; call++)
        record->device_ns[call] =
            llm_can_mark(n_calls) ? gpu_mark_ns(ws->commands, call) : gpu_mark_ns(ws->commands, 0) / n_calls;
}

void llm_read_record(const llm_workspace *ws, const causal_work *work, uint32_t n_refined)
{
    const flow_program *program = work->program;
    const flow_record *record = work->record;
    uint32_t dim = ws->model->path.config.flow_dim, ld = weight_pad(dim), n_calls = program->n_steps + 1;
    const float *states = view_mapped(ws->states);
    for (uint32_t call = 0; call < n_calls; call++) {
        if (call < program->n_steps && program->steps[call].kind == FLOW_ZERO)
            continue;
        const output_result *results = rows_results_of_call(ws, call);
        float norm = call_norm(ws, program, call);
        for (uint32_t i = 0, r = 0; i < work->n_rows; i++) {
            if (!rows_is_refined(work, i))
                continue;
            size_t at = (size_t)call * work->n_rows + i;
            memcpy(record->x + at * dim, states + ((size_t)call * n_refined + r) * ld, dim * sizeof *states);
            record->found[at] = (flow_found){results[r].token, results[r].entropy, norm};
            copy_candidates(ws, call, r, record->n_candidates,
                            record->candidates + at * record->n_candidates);
            r++;
        }
    }
    read_times(ws, record, n_calls);
}

void llm_read_found(const llm_workspace *ws, const flow_request *request, bool at_start)
{
    const output_result *results = rows_results_of_call(ws, 0);
    for (uint32_t i = 0; i < request->n_points; i++) {
        float norm = at_start ? 0 : gate_norm(ws, i);
        request->found[i] = (flow_found){results[i].token, results[i].entropy, norm};
        copy_candidates(ws, 0, i, request->n_candidates,
                        request->candidates + (size_t)i * request->n_candidates);
    }
}
