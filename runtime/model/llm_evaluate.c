/* Single evaluations of the diffusion path, for solvers whose steps depend on what they find. */
#include <math.h>

#include "base/size.h"
#include "model/llm_rows.h"
#include "ops/matmul.h"

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
    uint32_t *row_mod = rows_row_mod_of_call(ws, 0);
    float *temperatures = view_mapped(ws->temperatures);
    for (uint32_t i = 0; i < n; i++) {
        const flow_point *point = &request->points[i];
        double t = point->t, scale = 1 / sqrt((1 - t) * (1 - t) * sigma * sigma + t * t * variance);
        rows_write_query(ws, i, &point->row);
        l2d_write_time(ws, i, point->t, point->class_id, n + i);
        l2d_write_time(ws, n + i, 0, point->class_id, n + i);
        rows_write_flow_row(ws, i, request->x + (size_t)i * config->flow_dim, (float)scale);
        row_mod[i] = i;
        bool argmax = !point->draw;
        rows_draws_of_call(ws, 0)[i] = rows_draw_of(&point->row, point->step, !argmax,
                                                    point->inv_temperature > 0 ? point->inv_temperature : 1);
        temperatures[i] = point->inv_temperature;
    }
    rows_pad_row_mod(row_mod, n);
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
    l2d_rows rows = rows_path(ws, n, 0);
    if (all_at_start(request)) {
        llm_record_norm(ws, rows.source, 0, n);
    } else {
        l2d_record_modulation(ws, n, n);
        if (request->found)
            llm_record_gates(ws, n);
        gpu_copy(ws->commands, ws->x0.buffer, ws->x0.offset_bytes, ws->encoder_input.buffer,
                 ws->encoder_input.offset_bytes, rows_flow_bytes(ws, n));
        l2d_record_path(ws, &rows, request->hidden ? &e->hidden : NULL);
        l2d_record_norm(ws, &rows, 0);
    }
    if (request->results || request->found || !request->average)
        rows_record_output(
            ws, 0, n, 0,
            (draw_options){request->seed, request->top_k, request->top_p, request->n_candidates});
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
             ws->readback.offset_bytes, rows_flow_bytes(ws, n));
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

vkdlm_status llm_evaluate(causal *c, const flow_request *request, vkdlm_error *err)
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
        if (request->device_ns)
            gpu_mark(ws->commands);
        record_evaluation(ws, request, &e);
        if (request->device_ns)
            gpu_mark(ws->commands);
        status = gpu_submit_wait(ws->commands, err);
    }
    if (!status) {
        uint32_t n = request->n_points;
        for (uint32_t i = 0; request->results && i < n; i++)
            request->results[i] =
                rows_result_of(&rows_results_of_call(ws, 0)[i], request->points[i].row.target);
        if (request->found)
            llm_read_found(ws, request, all_at_start(request));
        if (request->device_ns)
            *request->device_ns = gpu_mark_ns(ws->commands, 0);
        if (request->x_hat)
            read_x_hat(ws, request);
        if (request->logits)
            arena_copy_rows(request->logits, e.logits.mapped, n, config->vocab_size,
                            weight_pad(config->vocab_size));
        if (request->hidden)
            arena_copy_rows(request->hidden, e.hidden.mapped, n * (config->n_blocks + 1), config->hidden_dim,
                            model->ld);
        c->counters.submissions++;
        c->counters.path_rows += all_at_start(request) ? 0 : n;
    }
    gpu_buffer_destroy(&e.hidden);
    gpu_buffer_destroy(&e.logits);
    return status;
}
