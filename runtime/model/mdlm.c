#include "model/mdlm.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "model/mdlm_workspace.h"
#include "model/modulation.h"
#include "ops/condition.h"
#include "ops/matmul.h"
#include "ops/norm.h"

/* ---- the network ---------------------------------------------------------------------------------- */

/* Where the modulation of an evaluation lies: one row per sequence, or the model's own row. */
typedef struct modulation_rows {
    gpu_view rows;
    uint32_t stride;  /* floats */
    gpu_view row_seq; /* buffer NULL: every row takes row 0 */
} modulation_rows;

static modulation_rows modulation_of(const mdlm_workspace *ws, gpu_view row_seq)
{
    const mdlm *model = ws->model;
    bool by_sequence = model->config.time_conditioning;
    return (modulation_rows){.rows = by_sequence ? ws->modulation : model->modulation,
                             .stride = modulation_width(&model->config),
                             .row_seq = by_sequence ? row_seq : (gpu_view){0}};
}

/* c = SiLU(W2 SiLU(W0 features(sigma) + b0) + b2); then every adaLN layer of the model at once. */
static void record_modulation(const mdlm_workspace *ws)
{
    const mdlm *model = ws->model;
    uint32_t n = ws->plan.n_sequences, ld_cond = weight_pad(model->config.cond_dim);
    ops_timestep(model->device, ws->commands, ws->sigma, n, ws->features);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &model->time_in,
                              .x = ws->features,
                              .ldx = MDLM_TIMESTEP_FEATURES,
                              .y = ws->cond_inner,
                              .ldy = ld_cond,
                              .n_rows = n,
                              .bias = model->time_in_bias,
                              .activation = MATMUL_SILU});
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &model->time_out,
                              .x = ws->cond_inner,
                              .ldx = ld_cond,
                              .y = ws->cond,
                              .ldy = ld_cond,
                              .n_rows = n,
                              .bias = model->time_out_bias,
                              .activation = MATMUL_SILU});
    for (uint32_t i = 0; i <= model->config.n_blocks && model->modulation_weights[i].n_columns; i++) {
        uint64_t offset_bytes =
            (uint64_t)i * MODULATION_BLOCK_CHUNKS * modulation_stride(&model->config) * sizeof(float);
        ops_matmul(model->device, ws->commands,
                   &(matmul_args){.w = &model->modulation_weights[i],
                                  .x = ws->cond,
                                  .ldx = ld_cond,
                                  .y = view_from(ws->modulation, offset_bytes),
                                  .ldy = modulation_width(&model->config),
                                  .n_rows = n,
                                  .bias = view_from(model->modulation_bias, offset_bytes)});
    }
}

/* y = LN(x) * weight * (1 + scale) + shift, with the chunks `shift` and `scale` of the modulation rows. */
static void record_norm(const mdlm_workspace *ws, gpu_view y, uint32_t n_rows, gpu_view weight_view,
                        uint32_t shift, uint32_t scale, gpu_view source, gpu_view row_seq)
{
    const mdlm *model = ws->model;
    modulation_rows m = modulation_of(ws, row_seq);
    ops_norm(model->device, ws->commands,
             &(norm_args){.x = ws->x,
                          .y = y,
                          .weight = weight_view,
                          .n_rows = n_rows,
                          .n_columns = model->config.hidden_dim,
                          .ld = model->ld,
                          .modulation = m.rows,
                          .mod_stride = m.stride,
                          .scale_offset = scale * modulation_stride(&model->config),
                          .shift_offset = shift * modulation_stride(&model->config),
                          .source = source,
                          .row_seq = m.row_seq});
}

/* x += gate * (w input + bias), with the chunk `gate` of the modulation rows. */
static void record_gated(const mdlm_workspace *ws, const weight *w, gpu_view input, uint32_t ld_input,
                         gpu_view bias, uint32_t gate)
{
    const mdlm *model = ws->model;
    modulation_rows m = modulation_of(ws, ws->row_seq);
    uint64_t offset = (uint64_t)gate * modulation_stride(&model->config) * sizeof(float);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = w,
                              .x = input,
                              .ldx = ld_input,
                              .y = ws->x,
                              .ldy = model->ld,
                              .n_rows = ws->plan.n_rows,
                              .bias = bias,
                              .gate = view_from(m.rows, offset),
                              .residual = ws->x,
                              .row_seq = m.row_seq,
                              .ld_gate = m.stride});
}

static void record_block(const mdlm_workspace *ws, uint32_t index)
{
    const mdlm *model = ws->model;
    const mdlm_block *block = &model->blocks[index];
    uint32_t n = ws->plan.n_rows, ld = model->ld;
    uint32_t ld_qkv = weight_pad(3 * model->config.hidden_dim),
             ld_mlp = weight_pad(4 * model->config.hidden_dim);
    uint32_t chunk = index * MODULATION_BLOCK_CHUNKS;
    const gpu_view none = {0};

    record_norm(ws, ws->h, n, block->norm1, chunk + CHUNK_SHIFT_A, chunk + CHUNK_SCALE_A, none, ws->row_seq);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){
                   .w = &block->attn_qkv, .x = ws->h, .ldx = ld, .y = ws->wide, .ldy = ld_qkv, .n_rows = n});
    rotary_record(ws->commands, &model->attention, &model->rotary, &ws->attention_plan, ws->wide, ld_qkv,
                  ws->attention_index, ws->attention);
    attention_record(ws->commands, &model->attention, &ws->attention_plan, ws->attention_index, ws->attention,
                     ws->h, ld);
    record_gated(ws, &block->attn_out, ws->h, ld, none, chunk + CHUNK_GATE_A);

    record_norm(ws, ws->h, n, block->norm2, chunk + CHUNK_SHIFT_M, chunk + CHUNK_SCALE_M, none, ws->row_seq);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &block->mlp_up,
                              .x = ws->h,
                              .ldx = ld,
                              .y = ws->wide,
                              .ldy = ld_mlp,
                              .n_rows = n,
                              .bias = block->mlp_up_bias,
                              .activation = MATMUL_GELU});
    record_gated(ws, &block->mlp_down, ws->wide, ld_mlp, block->mlp_down_bias, chunk + CHUNK_GATE_M);
}

/* Copies the residual stream to `to`, one region per call; for forward's hidden states. */
static void copy_hidden(const mdlm_workspace *ws, const gpu_buffer *to, uint32_t region)
{
    uint64_t bytes = (uint64_t)ws->plan.n_rows * ws->model->ld * sizeof(float);
    if (to)
        gpu_copy(ws->commands, ws->x.buffer, ws->x.offset_bytes, to, region * bytes, bytes);
}

/* Everything up to the last block. hidden: where every block's input and the last one's output go, or NULL.
 */
static void record_network(const mdlm_workspace *ws, const gpu_buffer *hidden)
{
    const mdlm *model = ws->model;
    if (model->config.time_conditioning)
        record_modulation(ws);
    ops_embed(model->device, ws->commands, &model->embedding, ws->tokens, 1, 0, ws->plan.n_rows, ws->x,
              model->ld);
    copy_hidden(ws, hidden, 0);
    for (uint32_t i = 0; i < model->config.n_blocks; i++) {
        record_block(ws, i);
        copy_hidden(ws, hidden, i + 1);
    }
}

/* The output layer's norm for the rows listed in ws->source: into ws->hidden, without gaps. */
static void record_final_norm(const mdlm_workspace *ws, uint32_t n_rows)
{
    uint32_t chunk = ws->model->config.n_blocks * MODULATION_BLOCK_CHUNKS;
    record_norm(ws, ws->hidden, n_rows, ws->model->final_norm, chunk, chunk + 1, ws->source, ws->source_seq);
}

/* ---- inputs --------------------------------------------------------------------------------------- */

/* Fills what the network reads, from the plan. */
static void write_inputs(mdlm_workspace *ws, const eval_sequence *sequences)
{
    const plan *p = &ws->plan;
    int32_t *tokens = view_mapped(ws->tokens);
    uint32_t *row_seq = view_mapped(ws->row_seq);
    attention_begin_plan(&ws->model->attention, &ws->attention_plan, view_mapped(ws->attention_index),
                         attention_capacity(ws->capacity.rows, ws->capacity.sequences));
    for (uint32_t i = 0; i < p->n_sequences; i++) {
        const plan_sequence *s = &p->sequences[i];
        memcpy(tokens + s->row_start, sequences[s->source].tokens, s->length * sizeof *tokens);
        for (uint32_t r = 0; r < s->length; r++)
            row_seq[s->row_start + r] = i;
        attention_plan_add(&ws->attention_plan, s->row_start, s->length);
    }
    attention_plan_end(&ws->attention_plan);
    /* Kernels read whole groups of rows: what pads the last one must be a valid index. */
    for (uint32_t r = p->n_rows; r < size_round_up(p->n_rows, 64); r++)
        row_seq[r] = 0;
    if (ws->model->config.time_conditioning) {
        float *sigma = view_mapped(ws->sigma);
        for (uint32_t i = 0; i < p->n_sequences; i++)
            sigma[i] = sequences[p->sequences[i].source].sigma;
    }
}

/* Row r of the output layer comes from `row` of the network, of sequence `seq` of the plan. */
static void write_source(const mdlm_workspace *ws, uint32_t r, uint32_t row, uint32_t seq)
{
    ((uint32_t *)view_mapped(ws->source))[r] = row;
    ((uint32_t *)view_mapped(ws->source_seq))[r] = seq;
}

/* ---- evaluations for the samplers ------------------------------------------------------------------ */

static mdlm_capacity request_capacity(const eval_request *request)
{
    mdlm_capacity c = {.sequences = request->n_sequences,
                       .output_rows = request->n_rows,
                       .candidates = request->n_candidates};
    for (uint32_t i = 0; i < request->n_sequences; i++)
        c.rows += request->sequences[i].length;
    return c;
}

/* What the host reads after an evaluation. */
static void read_results(const mdlm_workspace *ws, const eval_request *request, eval_result *results)
{
    const output_result *out = view_mapped(ws->results);
    for (uint32_t i = 0; i < request->n_rows; i++) {
        bool score = request->rows[i].mode == EVAL_SCORE;
        results[i] =
            (eval_result){.token = score ? request->rows[i].target : out[i].token,
                          .log_prob = score ? out[i].target_logit - out[i].log_sum_exp : out[i].log_prob,
                          .entropy = out[i].entropy};
    }
    const output_candidate *candidates = view_mapped(ws->candidates);
    for (size_t i = 0; i < (size_t)request->n_rows * request->n_candidates; i++)
        request->candidates[i] =
            (candidate){candidates[i].token, candidates[i].x - out[i / request->n_candidates].log_sum_exp};
    if (request->device_ns)
        *request->device_ns = gpu_mark_ns(ws->commands, 0);
}

static vkdlm_status evaluate(denoiser *d, const eval_request *request, eval_result *results, vkdlm_error *err)
{
    mdlm_workspace *ws = d->self;
    const mdlm *model = ws->model;
    mdlm_capacity needed = request_capacity(request);
    vkdlm_status status = mdlm_workspace_reserve(ws, &needed, err);
    if (status)
        return status;
    plan_build(&ws->plan, request->sequences, request->n_sequences, model->config.time_conditioning, true);
    write_inputs(ws, request->sequences);

    float inv_temperature = 1.0f / request->temperature;
    output_draw *draws = view_mapped(ws->draws);
    for (uint32_t i = 0; i < request->n_rows; i++) {
        const eval_row *row = &request->rows[i];
        write_source(ws, i, plan_row(&ws->plan, row->sequence, row->position), ws->plan.of[row->sequence]);
        bool score = row->mode == EVAL_SCORE;
        draws[i] = (output_draw){.sample = row->sample,
                                 .step = row->step,
                                 .position = row->position,
                                 .target = score ? row->target : -1,
                                 .draw = row->mode == EVAL_DRAW,
                                 .inv_temperature = score ? 1.0f : inv_temperature};
    }

    status = gpu_commands_begin(ws->commands, err);
    if (status)
        return status;
    if (request->device_ns)
        gpu_mark(ws->commands);
    record_network(ws, NULL);
    record_final_norm(ws, request->n_rows);
    ops_output(model->device, ws->commands,
               &(output_args){.w = &model->head,
                              .bias = model->head_bias,
                              .hidden = ws->hidden,
                              .ld = model->ld,
                              .n_rows = request->n_rows,
                              .vocab_size = model->config.vocab_size,
                              .excluded = (int32_t)model->config.vocab_size - 1,
                              .draws = ws->draws,
                              .results = ws->results,
                              .scratch = ws->output_scratch,
                              .seed = request->seed,
                              .top_k = request->top_k,
                              .top_p = request->top_p,
                              .n_candidates = request->n_candidates,
                              .candidates = ws->candidates});
    if (request->device_ns)
        gpu_mark(ws->commands);
    status = gpu_submit_wait(ws->commands, err);
    if (status)
        return status;

    read_results(ws, request, results);
    d->counters.submissions++;
    d->counters.network_rows += ws->plan.n_rows;
    d->counters.output_rows += request->n_rows;
    return VKDLM_OK;
}

static uint32_t max_sequences(void *self, uint32_t length)
{
    return mdlm_workspace_max_sequences(self, length);
}

static vkdlm_status reserve(void *self, uint32_t n_sequences, uint32_t length, uint32_t n_candidates,
                            vkdlm_error *err)
{
    mdlm_capacity capacity = {n_sequences * length, n_sequences, n_sequences * length, n_candidates};
    return mdlm_workspace_reserve(self, &capacity, err);
}

/* Floating-point operations of one evaluation that keep a device busy: a fraction of a second for the threads
 * of a CPU, enough waves for the largest GPU. */
#define AUTO_FLOPS_CPU 1e10
#define AUTO_FLOPS_GPU 1e12
#define AUTO_ROWS_MOST 16384

static uint32_t auto_rows(const mdlm *model)
{
    const mdlm_config *config = &model->config;
    bool cpu = gpu_device_caps(model->device)->type == GPU_TYPE_CPU;
    double row_flops = 24.0 * config->n_blocks * config->hidden_dim * config->hidden_dim;
    double rows = (cpu ? AUTO_FLOPS_CPU : AUTO_FLOPS_GPU) / row_flops;
    return rows < 1 ? 1 : rows > AUTO_ROWS_MOST ? AUTO_ROWS_MOST : (uint32_t)rows;
}

denoiser mdlm_denoiser(mdlm_workspace *ws)
{
    const mdlm_config *config = &ws->model->config;
    return (denoiser){.self = ws,
                      .vocab_size = config->vocab_size,
                      .mask_id = (int32_t)config->vocab_size - 1,
                      .max_length = config->length,
                      .time_conditioning = config->time_conditioning,
                      .max_sequences = max_sequences,
                      .auto_rows = auto_rows(ws->model),
                      .reserve = reserve,
                      .evaluate = evaluate};
}

/* ---- single evaluations ---------------------------------------------------------------------------- */

/* Host memory for the logits of one pass of the output layer. */
#define LOGITS_BYTES (32u << 20)

/* The blocks, and the hidden states of the wanted rows. */
static vkdlm_status forward_network(mdlm_workspace *ws, const uint32_t *rows, uint32_t n_rows, float *hidden,
                                    vkdlm_error *err)
{
    const mdlm *model = ws->model;
    uint32_t d = model->config.hidden_dim, n_states = model->config.n_blocks + 1;
    uint64_t state_floats = (uint64_t)ws->plan.n_rows * model->ld;
    gpu_buffer states = {0};
    vkdlm_status status = VKDLM_OK;
    if (hidden)
        status = gpu_buffer_create(model->device, GPU_MEMORY_READBACK,
                                   n_states * state_floats * sizeof(float), "hidden states", &states, err);
    if (!status)
        status = gpu_commands_begin(ws->commands, err);
    if (!status) {
        record_network(ws, hidden ? &states : NULL);
        status = gpu_submit_wait(ws->commands, err);
    }
    for (uint32_t i = 0; hidden && !status && i < n_states; i++) {
        const float *state = (const float *)states.mapped + i * state_floats;
        for (uint32_t r = 0; r < n_rows; r++)
            memcpy(hidden + ((size_t)i * n_rows + r) * d, state + (size_t)rows[r] * model->ld,
                   d * sizeof *hidden);
    }
    gpu_buffer_destroy(&states);
    return status;
}

/* The output layer of the wanted rows, as many at a time as fit LOGITS_BYTES. */
static vkdlm_status forward_logits(mdlm_workspace *ws, const uint32_t *rows, uint32_t n_rows, float *logits,
                                   vkdlm_error *err)
{
    const mdlm *model = ws->model;
    uint32_t vocab = model->config.vocab_size, ld = weight_pad(vocab);
    uint32_t step = (uint32_t)(LOGITS_BYTES / (ld * sizeof(float))) / 64 * 64;
    if (step == 0)
        step = 64;
    gpu_buffer buffer = {0};
    uint64_t bytes = size_round_up(u32_min(step, n_rows), 64) * ld * sizeof(float);
    vkdlm_status status =
        gpu_buffer_create(model->device, GPU_MEMORY_READBACK, bytes, "logits", &buffer, err);
    for (uint32_t first = 0; first < n_rows && !status; first += step) {
        uint32_t n = u32_min(step, n_rows - first);
        for (uint32_t i = 0; i < n; i++)
            write_source(ws, i, rows[first + i], 0);
        status = gpu_commands_begin(ws->commands, err);
        if (status)
            break;
        record_final_norm(ws, n);
        ops_matmul(model->device, ws->commands,
                   &(matmul_args){.w = &model->head,
                                  .x = ws->hidden,
                                  .ldx = model->ld,
                                  .y = gpu_view_all(&buffer),
                                  .ldy = ld,
                                  .n_rows = n,
                                  .bias = model->head_bias});
        status = gpu_submit_wait(ws->commands, err);
        if (!status)
            arena_copy_rows(logits + (size_t)first * vocab, buffer.mapped, n, vocab, ld);
    }
    gpu_buffer_destroy(&buffer);
    return status;
}

vkdlm_status mdlm_forward(mdlm_workspace *ws, const eval_sequence *sequence, const uint32_t *rows,
                          uint32_t n_rows, float *logits, float *hidden, vkdlm_error *err)
{
    mdlm_capacity needed = {sequence->length, 1, sequence->length, 0};
    vkdlm_status status = mdlm_workspace_reserve(ws, &needed, err);
    if (status)
        return status;
    plan_build(&ws->plan, sequence, 1, true, false);
    write_inputs(ws, sequence);
    status = forward_network(ws, rows, n_rows, hidden, err);
    return status ? status : forward_logits(ws, rows, n_rows, logits, err);
}
