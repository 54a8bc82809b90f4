/* What one call of model/causal.h does: main path, solve, and the draw of the tokens, in one submission. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "model/llm_workspace.h"
#include "ops/flow.h"
#include "ops/matmul.h"

/* ---- times -------------------------------------------------------------------------------------------- */

static vkdlm_status prepare(void *self, const float *times, uint32_t n_times, const int32_t *classes,
                            uint32_t n_classes, vkdlm_error *err)
{
    llm_workspace *ws = self;
    uint32_t n_rows = n_times * n_classes;
    for (uint32_t i = 0; i < n_times; i++)
        for (uint32_t j = 0; j < n_classes; j++)
            l2d_write_time(ws, i * n_classes + j, times[i], classes[j], n_rows + j);
    for (uint32_t j = 0; j < n_classes; j++)
        l2d_write_time(ws, n_rows + j, 0, classes[j], n_rows + j);
    vkdlm_status status = gpu_commands_begin(ws->commands, err);
    if (status)
        return status;
    l2d_record_modulation(ws, n_rows, n_classes);
    ws->prepared_classes = n_classes;
    return gpu_submit_wait(ws->commands, err);
}

/* ---- the output layer -----------------------------------------------------------------------------------
 */

/* How tokens are drawn from the output layer's distribution. */
typedef struct draw_options {
    uint64_t seed;
    uint32_t top_k;
    float top_p;
} draw_options;

/* Draws for n_rows rows of ws->hidden from `first` on, with the entries of `call`. */
static void record_output(const llm_workspace *ws, uint32_t first, uint32_t n_rows, uint32_t call,
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
                              .top_p = options.top_p});
}

static output_draw draw_of(const causal_row *row, uint32_t step, bool draw, float inv_temperature)
{
    return (output_draw){.sample = row->sample,
                         .step = step,
                         .position = row->counter,
                         .target = row->target,
                         .draw = draw,
                         .inv_temperature = inv_temperature};
}

static output_draw *draws_of_call(const llm_workspace *ws, uint32_t call)
{
    return view_mapped(llm_of_call(ws, ws->draws, call, sizeof(output_draw)));
}

static const output_result *results_of_call(const llm_workspace *ws, uint32_t call)
{
    return view_mapped(llm_of_call(ws, ws->results, call, sizeof(output_result)));
}

static causal_result result_of(const output_result *out, int32_t target)
{
    return (causal_result){.token = out->token,
                           .log_prob = out->log_prob,
                           .entropy = out->entropy,
                           .max_log_prob = out->max - out->log_sum_exp,
                           .target_log_prob = target < 0 ? NAN : out->target_logit - out->log_sum_exp,
                           .base_entropy = out->entropy};
}

/* ---- rows ------------------------------------------------------------------------------------------------
 */

static void write_query(const llm_workspace *ws, uint32_t at, const causal_row *row)
{
    uint32_t *queries = view_mapped(ws->path_queries);
    queries[2 * at] = row->sequence;
    queries[2 * at + 1] = row->position;
    ((uint32_t *)view_mapped(ws->path_source))[at] = row->held;
}

/* The modulation rows of one evaluation; what pads the last group of rows must be a valid index. */
static uint32_t *row_mod_of_call(const llm_workspace *ws, uint32_t call)
{
    return view_mapped(llm_of_call(ws, ws->row_mod, call, sizeof(uint32_t)));
}

static void pad_row_mod(uint32_t *row_mod, uint32_t n)
{
    for (uint32_t i = n; i < size_round_up(n, ARENA_ROW_STEP); i++)
        row_mod[i] = 0;
}

static l2d_rows path_rows(const llm_workspace *ws, uint32_t n, uint32_t call)
{
    return (l2d_rows){.n = n,
                      .queries = ws->path_queries,
                      .source = ws->path_source,
                      .row_mod = llm_of_call(ws, ws->row_mod, call, sizeof(uint32_t))};
}

/* Rows of f32 of the flow's dimension, from dense rows of the caller. */
static void write_flow_row(const llm_workspace *ws, uint32_t at, const float *x, float scale)
{
    uint32_t n = ws->model->path.config.flow_dim, ld = weight_pad(n);
    float *to = (float *)view_mapped(ws->x0) + (size_t)at * ld;
    for (uint32_t i = 0; i < n; i++)
        to[i] = scale * x[i];
    memset(to + n, 0, (ld - n) * sizeof *to);
}

static uint64_t flow_bytes(const llm_workspace *ws, uint32_t n_rows)
{
    return (uint64_t)n_rows * weight_pad(ws->model->path.config.flow_dim) * sizeof(float);
}

/* ---- a solve on a grid ------------------------------------------------------------------------------------
 */

/* The rows of one call, those that are refined first. */
typedef struct solve {
    llm_workspace *ws;
    const causal_work *work;
    uint32_t n_refined, n_base;
    gpu_buffer trace; /* [advancing steps][n_refined, ld] */
    uint32_t n_traced;
} solve;

static bool is_refined(const causal_work *work, uint32_t row)
{
    return work->program && (!work->refine || work->refine[row]);
}

/* The calls of the last draws, behind those of the velocities. */
static uint32_t refined_call(const causal_work *work)
{
    return work->program ? work->program->n_steps : 0;
}
static uint32_t base_call(const causal_work *work)
{
    return refined_call(work) + 1;
}

static uint32_t modulation_row(const llm_workspace *ws, uint32_t time, uint32_t class_slot)
{
    return time * ws->prepared_classes + class_slot;
}

/* Draw, temperature and modulation of row r of the refined, in every call. */
static void write_refined(const solve *s, uint32_t r, const causal_row *row)
{
    const llm_workspace *ws = s->ws;
    const flow_program *program = s->work->program;
    for (uint32_t branch = 0; branch < program->n_branches; branch++) {
        uint32_t at = branch * s->n_refined + r;
        write_query(ws, at, row);
        for (uint32_t call = 0; call < program->n_steps; call++) {
            const flow_step *step = &program->steps[call];
            bool draw = step->inv_temperature > 0;
            draws_of_call(ws, call)[at] =
                draw_of(row, flow_draw_step(call, branch), draw, draw ? step->inv_temperature : 1.0f);
            ((float *)view_mapped(llm_of_call(ws, ws->temperatures, call, sizeof(float))))[at] =
                step->inv_temperature;
            if (step->kind == FLOW_NETWORK)
                row_mod_of_call(ws, call)[at] = modulation_row(ws, step->time, program->class_slot[branch]);
        }
    }
    row_mod_of_call(ws, program->n_steps)[r] = modulation_row(ws, program->final_time, program->final_class);
}

static void write_rows(solve *s)
{
    const llm_workspace *ws = s->ws;
    const causal_work *work = s->work;
    uint32_t refined = 0, base = 0, flow_dim = ws->model->path.config.flow_dim;
    for (uint32_t i = 0; i < work->n_rows; i++)
        s->n_refined += is_refined(work, i);
    s->n_base = work->n_rows - s->n_refined;
    for (uint32_t i = 0; i < work->n_rows; i++) {
        const causal_row *row = &work->rows[i];
        output_draw last = draw_of(row, 0, work->draw, work->inv_temperature);
        if (!is_refined(work, i)) {
            ((uint32_t *)view_mapped(ws->base_source))[base] = row->held;
            draws_of_call(ws, base_call(work))[base++] = last;
            continue;
        }
        draws_of_call(ws, refined_call(work))[refined] = last;
        write_flow_row(ws, refined, work->x0 + (size_t)i * flow_dim, 1);
        write_refined(s, refined++, row);
    }
    for (uint32_t call = 0; s->n_refined && call < work->program->n_steps; call++)
        pad_row_mod(row_mod_of_call(ws, call), s->n_refined * work->program->n_branches);
    if (s->n_refined)
        pad_row_mod(row_mod_of_call(ws, work->program->n_steps), s->n_refined);
}

/* Logits, and what the velocity points at, of one call: ws->target. */
static void record_target(const solve *s, uint32_t call)
{
    const llm_workspace *ws = s->ws;
    const flow_program *program = s->work->program;
    uint32_t n = s->n_refined * program->n_branches;
    const draw_options draws = {s->work->seed, 0, 1};
    l2d_rows rows = path_rows(ws, n, call);
    if (program->steps[call].kind == FLOW_BASE) {
        llm_record_norm(ws, rows.source, 0, n);
    } else {
        l2d_record_path(ws, &rows, NULL);
        l2d_record_norm(ws, &rows, 0);
    }
    /* Of means, only the statistics of the first distribution are wanted. */
    if (!program->average || call == 0)
        record_output(ws, 0, program->average ? s->n_refined : n, call, draws);
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
        uint64_t bytes = flow_bytes(ws, s->n_refined);
        gpu_copy(ws->commands, ws->state.buffer, ws->state.offset_bytes, &s->trace, s->n_traced++ * bytes,
                 bytes);
    }
}

static void record_solve(solve *s)
{
    const llm_workspace *ws = s->ws;
    const causal_work *work = s->work;
    const flow_program *program = work->program;
    uint64_t bytes = flow_bytes(ws, s->n_refined);
    gpu_copy(ws->commands, ws->x0.buffer, ws->x0.offset_bytes, ws->state.buffer, ws->state.offset_bytes,
             bytes);
    gpu_copy(ws->commands, ws->x0.buffer, ws->x0.offset_bytes, ws->stage.buffer, ws->stage.offset_bytes,
             bytes);
    for (uint32_t call = 0; call < program->n_steps; call++)
        record_step(s, call);
    l2d_rows last = path_rows(ws, s->n_refined, program->n_steps);
    l2d_record_path(ws, &last, NULL);
    l2d_record_norm(ws, &last, 0);
    record_output(ws, 0, s->n_refined, refined_call(work),
                  (draw_options){work->seed, work->top_k, work->top_p});
}

static vkdlm_status create_trace(solve *s, vkdlm_error *err)
{
    uint32_t n = 0;
    if (!s->work->trace || !s->n_refined)
        return VKDLM_OK;
    for (uint32_t i = 0; i < s->work->program->n_steps; i++)
        n += s->work->program->steps[i].advance;
    return gpu_buffer_create(s->ws->model->device, GPU_MEMORY_READBACK, n * flow_bytes(s->ws, s->n_refined),
                             "the states of a solve", &s->trace, err);
}

/* States of refined rows, to where the caller's rows lie. */
static void read_trace(const solve *s)
{
    uint32_t n = s->ws->model->path.config.flow_dim, ld = weight_pad(n);
    for (uint32_t t = 0; t < s->n_traced; t++)
        for (uint32_t i = 0, r = 0; i < s->work->n_rows; i++)
            if (is_refined(s->work, i))
                memcpy(s->work->trace + ((size_t)t * s->work->n_rows + i) * n,
                       (const float *)s->trace.mapped + ((size_t)t * s->n_refined + r++) * ld,
                       n * sizeof(float));
}

static void read_results(const solve *s, causal_result *results)
{
    const llm_workspace *ws = s->ws;
    const causal_work *work = s->work;
    const output_result *refined = results_of_call(ws, refined_call(work)),
                        *base = results_of_call(ws, base_call(work)), *first = results_of_call(ws, 0);
    uint32_t n_refined = 0, n_base = 0;
    for (uint32_t i = 0; i < work->n_rows; i++) {
        int32_t target = work->rows[i].target;
        if (is_refined(work, i)) {
            results[i] = result_of(&refined[n_refined], target);
            results[i].base_entropy = first[n_refined++].entropy;
        } else {
            results[i] = result_of(&base[n_base++], target);
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

static vkdlm_status run(causal *c, const causal_work *work, causal_result *results, vkdlm_error *err)
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
            record_output(ws, first, s.n_base, base_call(work),
                          (draw_options){work->seed, work->top_k, work->top_p});
        }
        status = gpu_submit_wait(ws->commands, err);
    }
    if (!status) {
        if (work->n_rows)
            read_results(&s, results);
        read_trace(&s);
        c->counters.submissions++;
        for (uint32_t i = 0; i < work->n_chunks; i++)
            c->counters.main_rows += work->chunks[i].length;
        if (s.n_refined)
            c->counters.path_rows += (uint64_t)s.n_refined * network_evaluations(work->program);
    }
    gpu_buffer_destroy(&s.trace);
    return status;
}

/* ---- single evaluations
 * ------------------------------------------------------------------------------------ */

/* What a request wants read back besides the draws; created for it. */
typedef struct evaluation {
    gpu_buffer hidden, logits;
} evaluation;

static void write_points(llm_workspace *ws, const flow_request *request)
{
    const l2d_config *config = &ws->model->path.config;
    uint32_t n = request->n_points;
    double variance = l2d_vocabulary_variance(config), sigma = config->noise_scale;
    uint32_t *row_mod = row_mod_of_call(ws, 0);
    float *temperatures = view_mapped(ws->temperatures);
    for (uint32_t i = 0; i < n; i++) {
        const flow_point *point = &request->points[i];
        double t = point->t, scale = 1 / sqrt((1 - t) * (1 - t) * sigma * sigma + t * t * variance);
        write_query(ws, i, &point->row);
        l2d_write_time(ws, i, point->t, point->class_id, n + i);
        l2d_write_time(ws, n + i, 0, point->class_id, n + i);
        write_flow_row(ws, i, request->x + (size_t)i * config->flow_dim, (float)scale);
        row_mod[i] = i;
        bool argmax = !point->draw;
        draws_of_call(ws, 0)[i] = draw_of(&point->row, point->step, !argmax,
                                          point->inv_temperature > 0 ? point->inv_temperature : 1);
        temperatures[i] = point->inv_temperature;
    }
    pad_row_mod(row_mod, n);
}

static bool all_at_start(const flow_request *request)
{
    for (uint32_t i = 0; i < request->n_points; i++)
        if (request->points[i].t != 0 || request->hidden)
            return false;
    return true;
}

static void record_evaluation(llm_workspace *ws, const flow_request *request, const evaluation *e)
{
    const llm *model = ws->model;
    uint32_t n = request->n_points;
    l2d_rows rows = path_rows(ws, n, 0);
    if (all_at_start(request)) {
        llm_record_norm(ws, rows.source, 0, n);
    } else {
        l2d_record_modulation(ws, n, n);
        gpu_copy(ws->commands, ws->x0.buffer, ws->x0.offset_bytes, ws->encoder_input.buffer,
                 ws->encoder_input.offset_bytes, flow_bytes(ws, n));
        l2d_record_path(ws, &rows, request->hidden ? &e->hidden : NULL);
        l2d_record_norm(ws, &rows, 0);
    }
    if (request->results || !request->average)
        record_output(ws, 0, n, 0, (draw_options){request->seed, request->top_k, request->top_p});
    if (request->logits)
        ops_matmul(model->device, ws->commands,
                   &(matmul_args){.w = &model->head,
                                  .x = ws->hidden,
                                  .ldx = model->ld,
                                  .y = gpu_view_all(&e->logits),
                                  .ldy = weight_pad(model->config.vocab_size),
                                  .n_rows = n});
    if (!request->x_hat)
        return;
    if (request->average)
        l2d_record_average(ws, ws->temperatures, n);
    else
        l2d_record_vocabulary_rows(ws, llm_of_call(ws, ws->results, 0, sizeof(output_result)), n);
    gpu_copy(ws->commands, ws->target.buffer, ws->target.offset_bytes, ws->readback.buffer,
             ws->readback.offset_bytes, flow_bytes(ws, n));
}

/* V_y = k u / max(||u||, 1e-12) in double; of means, what the device gave. */
static void read_x_hat(const llm_workspace *ws, const flow_request *request)
{
    const l2d_config *config = &ws->model->path.config;
    uint32_t n = config->flow_dim, ld = weight_pad(n);
    const float *from = view_mapped(ws->readback);
    for (uint32_t i = 0; i < request->n_points; i++, from += ld) {
        double squares = 0;
        for (uint32_t j = 0; j < n; j++)
            squares += (double)from[j] * from[j];
        double scale = request->average ? 1 : l2d_vocabulary_norm(config) / fmax(sqrt(squares), 1e-12);
        for (uint32_t j = 0; j < n; j++)
            request->x_hat[(size_t)i * n + j] = scale * from[j];
    }
}

static void copy_rows(float *to, const float *from, uint32_t n, uint32_t columns, uint32_t ld)
{
    for (uint32_t r = 0; r < n; r++)
        memcpy(to + (size_t)r * columns, from + (size_t)r * ld, columns * sizeof *to);
}

static vkdlm_status create_readback(const llm *model, const flow_request *request, evaluation *e,
                                    vkdlm_error *err)
{
    uint64_t n = request->n_points, states = model->config.n_blocks + 1;
    vkdlm_status status = VKDLM_OK;
    if (request->hidden)
        status = gpu_buffer_create(model->device, GPU_MEMORY_READBACK, states * n * model->ld * sizeof(float),
                                   "hidden states", &e->hidden, err);
    if (!status && request->logits)
        status = gpu_buffer_create(model->device, GPU_MEMORY_READBACK,
                                   arena_rows_bytes(n, model->config.vocab_size), "logits", &e->logits, err);
    return status;
}

static vkdlm_status evaluate(causal *c, const flow_request *request, vkdlm_error *err)
{
    llm_workspace *ws = c->self;
    const llm *model = ws->model;
    const llm_config *config = &model->config;
    evaluation e = {0};
    ws->prepared_classes = 0;
    write_points(ws, request);
    vkdlm_status status = create_readback(model, request, &e, err);
    if (!status)
        status = gpu_commands_begin(ws->commands, err);
    if (!status) {
        record_evaluation(ws, request, &e);
        status = gpu_submit_wait(ws->commands, err);
    }
    if (!status) {
        uint32_t n = request->n_points;
        for (uint32_t i = 0; request->results && i < n; i++)
            request->results[i] = result_of(&results_of_call(ws, 0)[i], request->points[i].row.target);
        if (request->x_hat)
            read_x_hat(ws, request);
        if (request->logits)
            copy_rows(request->logits, e.logits.mapped, n, config->vocab_size,
                      weight_pad(config->vocab_size));
        if (request->hidden)
            copy_rows(request->hidden, e.hidden.mapped, n * (config->n_blocks + 1), config->hidden_dim,
                      model->ld);
        c->counters.submissions++;
        c->counters.path_rows += all_at_start(request) ? 0 : n;
    }
    gpu_buffer_destroy(&e.hidden);
    gpu_buffer_destroy(&e.logits);
    return status;
}

/* ---- the interface
 * ------------------------------------------------------------------------------------------ */

static vkdlm_status reserve(void *self, const causal_capacity *capacity, vkdlm_error *err)
{
    return llm_workspace_reserve(self, capacity, err);
}

static uint32_t max_sequences(void *self, const causal_capacity *one)
{
    return llm_workspace_max_sequences(self, one);
}

/* Rows at which the weights that a row reads are amortised. */
#define AUTO_ROWS_CPU 16u
#define AUTO_ROWS_GPU 128u

causal llm_causal(llm_workspace *ws)
{
    const llm *model = ws->model;
    const l2d_config *path = llm_get_path_config(model);
    bool cpu = gpu_device_caps(model->device)->type == GPU_TYPE_CPU;
    return (causal){.self = ws,
                    .vocab_size = model->config.vocab_size,
                    .context = model->config.context,
                    .flow_dim = path ? path->flow_dim : 0,
                    .n_classes = path ? path->n_classes : 0,
                    .noise_scale = path ? path->noise_scale : 0,
                    .data_variance = path ? l2d_vocabulary_variance(path) : 0,
                    .max_sequences = max_sequences,
                    .auto_rows = cpu ? AUTO_ROWS_CPU : AUTO_ROWS_GPU,
                    .reserve = reserve,
                    .prepare = prepare,
                    .run = run,
                    .evaluate = evaluate};
}

/* Tokens of one pass of forward, and host memory for its logits. */
#define FORWARD_ROWS 128u

/* One piece of forward: positions first .. first + n - 1 through the main path. */
static vkdlm_status forward_piece(llm_workspace *ws, const int32_t *tokens, uint32_t first, uint32_t n,
                                  const gpu_buffer *hidden, const gpu_buffer *logits, vkdlm_error *err)
{
    const llm *model = ws->model;
    const causal_chunk chunk = {
        .first = first, .tokens = tokens + first, .length = n, .keep = KEEP_ALL, .held = 0};
    uint32_t *source = view_mapped(ws->base_source);
    for (uint32_t i = 0; i < n; i++)
        source[i] = i;
    vkdlm_status status = gpu_commands_begin(ws->commands, err);
    if (status)
        return status;
    llm_record_main(ws, &chunk, 1, true, hidden);
    llm_record_norm(ws, ws->base_source, 0, n);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &model->head,
                              .x = ws->hidden,
                              .ldx = model->ld,
                              .y = gpu_view_all(logits),
                              .ldy = weight_pad(model->config.vocab_size),
                              .n_rows = n});
    return gpu_submit_wait(ws->commands, err);
}

vkdlm_status llm_forward(llm_workspace *ws, const int32_t *tokens, uint32_t length, const uint32_t *rows,
                         uint32_t n_rows, float *logits, float *hidden, vkdlm_error *err)
{
    const llm *model = ws->model;
    uint32_t v = model->config.vocab_size, d = model->config.hidden_dim,
             n_states = model->config.n_blocks + 1;
    causal_capacity capacity = {.sequences = 1,
                                .context = length,
                                .chunk_rows = FORWARD_ROWS,
                                .held = FORWARD_ROWS,
                                .rows = FORWARD_ROWS};
    gpu_buffer states = {0}, out = {0};
    vkdlm_status status = llm_workspace_reserve(ws, &capacity, err);
    if (!status)
        status = gpu_buffer_create(model->device, GPU_MEMORY_READBACK, arena_rows_bytes(FORWARD_ROWS, v),
                                   "logits", &out, err);
    if (!status && hidden)
        status = gpu_buffer_create(model->device, GPU_MEMORY_READBACK,
                                   (uint64_t)n_states * FORWARD_ROWS * model->ld * sizeof(float),
                                   "hidden states", &states, err);
    for (uint32_t first = 0, r = 0; first < length && !status; first += FORWARD_ROWS) {
        uint32_t n = u32_min(FORWARD_ROWS, length - first);
        status = forward_piece(ws, tokens, first, n, hidden ? &states : NULL, &out, err);
        for (; !status && r < n_rows && rows[r] < first + n; r++) {
            uint32_t at = rows[r] - first;
            copy_rows(logits + (size_t)r * v, (const float *)out.mapped + (size_t)at * weight_pad(v), 1, v,
                      0);
            for (uint32_t i = 0; hidden && i < n_states; i++)
                copy_rows(hidden + ((size_t)i * n_rows + r) * d,
                          (const float *)states.mapped + ((size_t)i * n + at) * model->ld, 1, d, 0);
        }
    }
    gpu_buffer_destroy(&states);
    gpu_buffer_destroy(&out);
    return status;
}
