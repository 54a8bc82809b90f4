/* One call of causal.run: main path, a solve on a grid, and the draw of the tokens, in one submission. */
#include <string.h>

#include "base/size.h"
#include "model/llm_rows.h"
#include "ops/flow.h"

/* ---- a solve on a grid --------------------------------------------------------------------------------- */

/* The rows of one call, those that are refined first. */
typedef struct solve {
    llm_workspace *ws;
    const causal_work *work;
    uint32_t n_refined, n_base;
    gpu_buffer trace; /* [advancing steps][n_refined, ld] */
    uint32_t n_traced;
} solve;

/* The calls of the last draws, behind those of the velocities. */
static uint32_t refined_call(const causal_work *work)
{
    return work->program ? work->program->n_steps : 0;
}
static uint32_t base_call(const causal_work *work)
{
    return refined_call(work) + 1;
}

/* Draw, temperature and modulation of row r of the refined, in every call. */
static void write_refined(const solve *s, uint32_t r, const causal_row *row)
{
    const llm_workspace *ws = s->ws;
    const flow_program *program = s->work->program;
    for (uint32_t branch = 0; branch < program->n_branches; branch++) {
        uint32_t at = branch * s->n_refined + r;
        rows_write_query(ws, at, row);
        for (uint32_t call = 0; call < program->n_steps; call++) {
            const flow_step *step = &program->steps[call];
            bool draw = step->inv_temperature > 0;
            rows_draws_of_call(ws, call)[at] =
                rows_draw_of(row, flow_draw_step(call, branch), draw, draw ? step->inv_temperature : 1.0f);
            ((float *)view_mapped(llm_of_call(ws, ws->temperatures, call, sizeof(float))))[at] =
                step->inv_temperature;
            if (step->kind == FLOW_NETWORK)
                rows_row_mod_of_call(ws, call)[at] =
                    rows_modulation(ws, step->time, program->class_slot[branch]);
        }
    }
    rows_row_mod_of_call(ws, program->n_steps)[r] =
        rows_modulation(ws, program->final_time, program->final_class);
}

static void write_rows(solve *s)
{
    const llm_workspace *ws = s->ws;
    const causal_work *work = s->work;
    uint32_t refined = 0, base = 0, flow_dim = ws->model->path.config.flow_dim;
    for (uint32_t i = 0; i < work->n_rows; i++)
        s->n_refined += rows_is_refined(work, i);
    s->n_base = work->n_rows - s->n_refined;
    for (uint32_t i = 0; i < work->n_rows; i++) {
        const causal_row *row = &work->rows[i];
        output_draw last = rows_draw_of(row, 0, work->draw, work->inv_temperature);
        if (!rows_is_refined(work, i)) {
            ((uint32_t *)view_mapped(ws->base_source))[base] = row->held;
            rows_draws_of_call(ws, base_call(work))[base++] = last;
            continue;
        }
        rows_draws_of_call(ws, refined_call(work))[refined] = last;
        rows_write_flow_row(ws, refined, work->x0 + (size_t)i * flow_dim, 1);
        write_refined(s, refined++, row);
    }
    for (uint32_t call = 0; s->n_refined && call < work->program->n_steps; call++)
        rows_pad_row_mod(rows_row_mod_of_call(ws, call), s->n_refined * work->program->n_branches);
    if (s->n_refined)
        rows_pad_row_mod(rows_row_mod_of_call(ws, work->program->n_steps), s->n_refined);
}

/* Logits, and what the velocity points at, of one call: ws->target. */
static void record_target(const solve *s, uint32_t call)
{
    const llm_workspace *ws = s->ws;
    const flow_program *program = s->work->program;
    uint32_t n = s->n_refined * program->n_branches;
    const flow_record *record = s->work->record;
    const draw_options draws = {s->work->seed, 0, 1, record ? record->n_candidates : 0};
    l2d_rows rows = rows_path(ws, n, call);
    if (program->steps[call].kind == FLOW_BASE) {
        llm_record_norm(ws, rows.source, 0, n);
    } else {
        l2d_record_path(ws, &rows, NULL);
        l2d_record_norm(ws, &rows, 0);
    }
    /* Of means, only the statistics of the first distribution are wanted, unless somebody looks on. */
    if (!program->average || call == 0 || record)
        rows_record_output(ws, 0, program->average ? s->n_refined : n, call, draws);
    if (program->average)
        l2d_record_average(ws, llm_of_call(ws, ws->temperatures, call, sizeof(float)), n);
    else
        l2d_record_vocabulary_rows(ws, llm_of_call(ws, ws->results, call, sizeof(output_result)), n);
}

static void record_step(solve *s, uint32_t call)
{
    const llm_workspace *ws = s->ws;
    const l2d_config *config = &ws->model->path.config;
    const flow_program *program = s->work->program;
    const flow_step *step = &program->steps[call];
    if (s->work->record)
        llm_record_states(ws, call, s->n_refined);
    if (step->kind != FLOW_ZERO)
        record_target(s, call);
    flow_stage_args args = {.n_rows = s->n_refined,
                            .n_columns = config->flow_dim,
                            .ld = weight_pad(config->flow_dim),
                            .n_branches = program->n_branches,
                            .target = ws->target,
                            .normalise = !program->average,
                            .rescale = (float)l2d_vocabulary_norm(config),
                            .factor = step->kind == FLOW_ZERO ? 0 : step->factor,
                            .state = ws->state,
                            .stage = ws->stage,
                            .slopes = ws->slopes,
                            .slope = step->slope,
                            .advance = step->advance,
                            .input_scale = step->input_scale,
                            .input = ws->encoder_input};
    memcpy(args.branch_weight, program->branch_weight, sizeof args.branch_weight);
    memcpy(args.step, step->step, sizeof args.step);
    ops_flow_stage(ws->model->device, ws->commands, &args);
    if (step->advance && s->trace.handle) {
        uint64_t bytes = rows_flow_bytes(ws, s->n_refined);
        gpu_copy(ws->commands, ws->state.buffer, ws->state.offset_bytes, &s->trace, s->n_traced++ * bytes,
                 bytes);
    }
}

/* The time before call `call` of those who look on: of the first and behind the last, if there are too many.
 */
static void mark_call(const solve *s, uint32_t call)
{
    uint32_t n_calls = s->work->program->n_steps + 1;
    if (s->work->record && (call == 0 || call == n_calls || llm_can_mark(n_calls)))
        gpu_mark(s->ws->commands);
}

static void record_solve(solve *s)
{
    const llm_workspace *ws = s->ws;
    const causal_work *work = s->work;
    const flow_program *program = work->program;
    uint64_t bytes = rows_flow_bytes(ws, s->n_refined);
    gpu_copy(ws->commands, ws->x0.buffer, ws->x0.offset_bytes, ws->state.buffer, ws->state.offset_bytes,
             bytes);
    gpu_copy(ws->commands, ws->x0.buffer, ws->x0.offset_bytes, ws->stage.buffer, ws->stage.offset_bytes,
             bytes);
    mark_call(s, 0);
    for (uint32_t call = 0; call < program->n_steps; call++) {
        record_step(s, call);
        mark_call(s, call + 1);
    }
    if (work->record)
        llm_record_states(ws, program->n_steps, s->n_refined);
    l2d_rows last = rows_path(ws, s->n_refined, program->n_steps);
    l2d_record_path(ws, &last, NULL);
    l2d_record_norm(ws, &last, 0);
    rows_record_output(
        ws, 0, s->n_refined, refined_call(work),
        (draw_options){work->seed, work->top_k, work->top_p, work->record ? work->record->n_candidates : 0});
    mark_call(s, program->n_steps + 1);
}

static vkdlm_status create_trace(solve *s, vkdlm_error *err)
{
    uint32_t n = 0;
    if (!s->work->trace || !s->n_refined)
        return VKDLM_OK;
    for (uint32_t i = 0; i < s->work->program->n_steps; i++)
        n += s->work->program->steps[i].advance;
    return gpu_buffer_create(s->ws->model->device, GPU_MEMORY_READBACK,
                             n * rows_flow_bytes(s->ws, s->n_refined), "the states of a solve", &s->trace,
                             err);
}

/* States of refined rows, to where the caller's rows lie. */
static void read_trace(const solve *s)
{
    uint32_t n = s->ws->model->path.config.flow_dim, ld = weight_pad(n);
    for (uint32_t t = 0; t < s->n_traced; t++)
        for (uint32_t i = 0, r = 0; i < s->work->n_rows; i++)
            if (rows_is_refined(s->work, i))
                memcpy(s->work->trace + ((size_t)t * s->work->n_rows + i) * n,
                       (const float *)s->trace.mapped + ((size_t)t * s->n_refined + r++) * ld,
                       n * sizeof(float));
}

static void read_results(const solve *s, causal_result *results)
{
    const llm_workspace *ws = s->ws;
    const causal_work *work = s->work;
    const output_result *refined = rows_results_of_call(ws, refined_call(work)),
                        *base = rows_results_of_call(ws, base_call(work)),
                        *first = rows_results_of_call(ws, 0);
    uint32_t n_refined = 0, n_base = 0;
    for (uint32_t i = 0; i < work->n_rows; i++) {
        int32_t target = work->rows[i].target;
        if (rows_is_refined(work, i)) {
            results[i] = rows_result_of(&refined[n_refined], target);
            results[i].base_entropy = first[n_refined++].entropy;
        } else {
            results[i] = rows_result_of(&base[n_base++], target);
        }
    }
}

static uint32_t network_evaluations(const flow_program *program)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < program->n_steps; i++)
        n += program->steps[i].kind == FLOW_NETWORK;
    return n * program->n_branches + 1;
}

vkdlm_status llm_run(causal *c, const causal_work *work, causal_result *results, vkdlm_error *err)
{
    llm_workspace *ws = c->self;
    solve s = {.ws = ws, .work = work};
    write_rows(&s);
    vkdlm_status status = create_trace(&s, err);
    if (!status)
        status = gpu_commands_begin(ws->commands, err);
    if (!status) {
        if (work->n_chunks)
            llm_record_main(ws, work->chunks, work->n_chunks, work->prompt, NULL);
        if (s.n_refined)
            record_solve(&s);
        if (s.n_base) {
            uint32_t first = (uint32_t)size_round_up(s.n_refined, ARENA_ROW_STEP);
            llm_record_norm(ws, ws->base_source, first, s.n_base);
            rows_record_output(ws, first, s.n_base, base_call(work),
                               (draw_options){work->seed, work->top_k, work->top_p, 0});
        }
        status = gpu_submit_wait(ws->commands, err);
    }
    if (!status) {
        if (work->n_rows)
            read_results(&s, results);
        read_trace(&s);
        if (work->record && s.n_refined)
            llm_read_record(ws, work, s.n_refined);
        c->counters.submissions++;
        for (uint32_t i = 0; i < work->n_chunks; i++)
            c->counters.main_rows += work->chunks[i].length;
        if (s.n_refined)
            c->counters.path_rows += (uint64_t)s.n_refined * network_evaluations(work->program);
    }
    gpu_buffer_destroy(&s.trace);
    return status;
}
