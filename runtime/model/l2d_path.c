/* The diffusion path of L2D: from a noisy embedding and a time to logits, beside the frozen base model whose
 * cached keys and values it attends to. Cetin, Zhao, Tang, arXiv 2501.15781. */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "model/llm_workspace.h"
#include "ops/flow.h"
#include "ops/matmul.h"
#include "ops/rms.h"

/* ---- times ------------------------------------------------------------------------------------------- */

void l2d_write_time(const llm_workspace *ws, uint32_t row, float time, int32_t class_id, uint32_t zero_row)
{
    const l2d_config *config = &ws->model->path.config;
    uint32_t half = config->features / 2, ld = weight_pad(config->features);
    float *features = (float *)view_mapped(ws->features) + (size_t)row * ld;
    memset(features, 0, ld * sizeof *features);
    for (uint32_t i = 0; i < half; i++) {
        double angle = time * pow(10000.0, -2.0 * i / config->features);
        features[i] = (float)cos(angle);
        features[half + i] = (float)sin(angle);
    }
    ((uint32_t *)view_mapped(ws->labels))[row] = class_id < 0 ? config->n_classes : (uint32_t)class_id;
    ((uint32_t *)view_mapped(ws->time_zero))[row] = zero_row;
}

/* emb(t) = MLP(features(t)) (+ the label's embedding). */
static void record_condition(const llm_workspace *ws, uint32_t n_rows)
{
    const llm *model = ws->model;
    const l2d *path = &model->path;
    uint32_t ld = weight_pad(path->config.cond_dim);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &path->time_in,
                              .x = ws->features,
                              .ldx = weight_pad(path->config.features),
                              .y = ws->time_inner,
                              .ldy = ld,
                              .n_rows = n_rows,
                              .bias = path->time_in_bias,
                              .activation = MATMUL_SILU});
    matmul_args out = {.w = &path->time_out,
                       .x = ws->time_inner,
                       .ldx = ld,
                       .y = ws->condition,
                       .ldy = ld,
                       .n_rows = n_rows,
                       .bias = path->time_out_bias};
    if (path->config.n_classes) {
        ops_embed(model->device, ws->commands, &path->labels, ws->labels, 1, 0, n_rows, ws->condition, ld);
        out.residual = ws->condition;
    }
    ops_matmul(model->device, ws->commands, &out);
}

/* Modulation of one block: L2D_CHUNKS parts a row. */
static gpu_view block_modulation(const llm_workspace *ws, uint32_t block)
{
    uint64_t held = size_round_up(llm_modulation_rows(&ws->capacity), ARENA_ROW_STEP);
    return gpu_view_rows(ws->modulation, block, 1,
                         held * L2D_CHUNKS * l2d_stride(ws->model->config.hidden_dim) * sizeof(float));
}

void l2d_record_modulation(const llm_workspace *ws, uint32_t n_rows, uint32_t n_zero)
{
    const llm *model = ws->model;
    const l2d *path = &model->path;
    uint32_t n_blocks = model->config.n_blocks, stride = l2d_stride(model->config.hidden_dim);
    uint32_t cond_stride = l2d_stride(path->config.cond_dim), ld_heads = (n_blocks + 1) * cond_stride;
    record_condition(ws, n_rows + n_zero);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &path->modulation_in,
                              .x = ws->condition,
                              .ldx = weight_pad(path->config.cond_dim),
                              .y = ws->heads,
                              .ldy = ld_heads,
                              .n_rows = n_rows + n_zero,
                              .bias = path->modulation_in_bias,
                              .activation = MATMUL_SILU});
    for (uint32_t i = 0; i < n_blocks; i++)
        ops_matmul(model->device, ws->commands,
                   &(matmul_args){.w = &path->blocks[i].modulation,
                                  .x = view_from(ws->heads, (uint64_t)i * cond_stride * sizeof(float)),
                                  .ldx = ld_heads,
                                  .y = block_modulation(ws, i),
                                  .ldy = L2D_CHUNKS * stride,
                                  .n_rows = n_rows,
                                  .bias = path->blocks[i].modulation_bias});
    /* w_d(t) = W (s(t) - s(0)), s the inside of its head. */
    ops_flow_difference(model->device, ws->commands,
                        view_from(ws->heads, (uint64_t)n_blocks * cond_stride * sizeof(float)), n_rows,
                        cond_stride, ld_heads, ws->time_zero, ws->gate_inner, cond_stride);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &path->gate_out,
                              .x = ws->gate_inner,
                              .ldx = cond_stride,
                              .y = ws->gate,
                              .ldy = stride,
                              .n_rows = n_rows});
}

/* ---- the network --------------------------------------------------------------------------------------- */

/* What the recording of one evaluation needs besides the workspace. */
typedef struct path_pass {
    const llm_workspace *ws;
    const l2d_rows *rows;
    gpu_view modulation; /* of the block */
    uint32_t stride;     /* floats from one chunk to the next */
} path_pass;

/* h = RMS(y) (norm + scale) + shift. */
static void record_rms(const path_pass *pass, gpu_view norm, uint32_t scale, uint32_t shift)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    ops_rms(model->device, ws->commands,
            &(rms_args){.x = ws->x,
                        .y = ws->h,
                        .weight = norm,
                        .n_rows = pass->rows->n,
                        .n_columns = model->config.hidden_dim,
                        .ld = model->ld,
                        .eps = (float)model->config.norm_eps,
                        .row_mod = pass->rows->row_mod,
                        .modulation = pass->modulation,
                        .mod_stride = L2D_CHUNKS * pass->stride,
                        .scale_shift = true,
                        .scale_offset = scale * pass->stride,
                        .shift_offset = shift * pass->stride});
}

/* A projection, its low-rank part first. */
static void record_linear(const path_pass *pass, const l2d_linear *linear, matmul_args *args)
{
    const llm_workspace *ws = pass->ws;
    gpu_device *device = ws->model->device;
    args->w = &linear->w;
    args->bias = linear->bias;
    args->n_rows = pass->rows->n;
    if (linear->a.n_panels) {
        uint32_t ldz = weight_pad(linear->b.depth);
        ops_matmul(device, ws->commands,
                   &(matmul_args){.w = &linear->a,
                                  .x = args->x,
                                  .ldx = args->ldx,
                                  .y = ws->lora_z,
                                  .ldy = ldz,
                                  .n_rows = args->n_rows});
        args->lora_b = &linear->b;
        args->lora_z = ws->lora_z;
        args->ldz = ldz;
    }
    ops_matmul(device, ws->commands, args);
}

/* y += gate * (w input). */
static void record_gated(const path_pass *pass, const l2d_linear *linear, gpu_view input, uint32_t ld_input,
                         uint32_t chunk)
{
    const llm_workspace *ws = pass->ws;
    matmul_args args = {.x = input,
                        .ldx = ld_input,
                        .y = ws->x,
                        .ldy = ws->model->ld,
                        .residual = ws->x,
                        .gate = view_from(pass->modulation, (uint64_t)chunk * pass->stride * sizeof(float)),
                        .ld_gate = L2D_CHUNKS * pass->stride,
                        .row_seq = pass->rows->row_mod};
    record_linear(pass, linear, &args);
}

/* SiLU(gate) up in ws->wide, by one product or, of different types, by two. */
static void record_gate_up(const path_pass *pass, const l2d_block *block, uint32_t ld_mlp)
{
    const llm_workspace *ws = pass->ws;
    bool paired = block->gate_up[1].w.n_columns == 0;
    matmul_args args = {.x = ws->h,
                        .ldx = ws->model->ld,
                        .y = ws->wide,
                        .ldy = ld_mlp,
                        .activation = paired ? MATMUL_SWIGLU : MATMUL_SILU};
    record_linear(pass, &block->gate_up[0], &args);
    if (paired)
        return;
    args.activation = MATMUL_TIMES;
    args.residual = ws->wide;
    record_linear(pass, &block->gate_up[1], &args);
}

static void record_block(path_pass *pass, uint32_t index)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    const llm_block *base = &model->blocks[index];
    const l2d_block *block = &model->path.blocks[index];
    uint32_t ld_q = weight_pad(llm_q_dim(&model->config)), ld_mlp = weight_pad(model->config.mlp_dim);
    pass->modulation = block_modulation(ws, index);

    record_rms(pass, base->attn_norm, L2D_SCALE_A, L2D_SHIFT_A);
    matmul_args queries = {.x = ws->h, .ldx = model->ld, .y = ws->wide, .ldy = ld_q};
    record_linear(pass, &block->q, &queries);
    cached_attention_rows(ws->commands, &ws->attention, &model->rotary, &ws->cache, index, ws->wide, ld_q, 0,
                          pass->rows->queries, pass->rows->n, ws->mixed, ld_q);
    record_gated(pass, &block->o, ws->mixed, ld_q, L2D_GATE_A);

    record_rms(pass, base->mlp_norm, L2D_SCALE_M, L2D_SHIFT_M);
    record_gate_up(pass, block, ld_mlp);
    record_gated(pass, &block->down, ws->wide, ld_mlp, L2D_GATE_M);
}

/* Diffusion embedding -> width of the base model: y = W1 SiLU(W0 x + b0) + b1. */
static void record_encoder(const path_pass *pass)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    const l2d *path = &model->path;
    uint32_t ld_inner = weight_pad(path->config.encoder_dim);
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &path->encode_in,
                              .x = ws->encoder_input,
                              .ldx = weight_pad(path->config.flow_dim),
                              .y = ws->encoder_inner,
                              .ldy = ld_inner,
                              .n_rows = pass->rows->n,
                              .bias = path->encode_in_bias,
                              .activation = MATMUL_SILU});
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &path->encode_out,
                              .x = ws->encoder_inner,
                              .ldx = ld_inner,
                              .y = ws->x,
                              .ldy = model->ld,
                              .n_rows = pass->rows->n,
                              .bias = path->encode_out_bias});
}

static void copy_hidden(const path_pass *pass, const gpu_buffer *to, uint32_t region)
{
    const llm_workspace *ws = pass->ws;
    uint64_t bytes = (uint64_t)pass->rows->n * ws->model->ld * sizeof(float);
    if (to)
        gpu_copy(ws->commands, ws->x.buffer, ws->x.offset_bytes, to, region * bytes, bytes);
}

void l2d_record_path(const llm_workspace *ws, const l2d_rows *rows, const gpu_buffer *hidden)
{
    path_pass pass = {.ws = ws, .rows = rows, .stride = l2d_stride(ws->model->config.hidden_dim)};
    record_encoder(&pass);
    copy_hidden(&pass, hidden, 0);
    for (uint32_t i = 0; i < ws->model->config.n_blocks; i++) {
        record_block(&pass, i);
        copy_hidden(&pass, hidden, i + 1);
    }
}

void l2d_record_norm(const llm_workspace *ws, const l2d_rows *rows, uint32_t first)
{
    const llm *model = ws->model;
    ops_rms(model->device, ws->commands,
            &(rms_args){.x = ws->held,
                        .y = view_from(ws->hidden, (uint64_t)first * model->ld * sizeof(float)),
                        .weight = model->norm,
                        .n_rows = rows->n,
                        .n_columns = model->config.hidden_dim,
                        .ld = model->ld,
                        .eps = (float)model->config.norm_eps,
                        .source = rows->source,
                        .row_mod = rows->row_mod,
                        .modulation = ws->gate,
                        .mod_stride = l2d_stride(model->config.hidden_dim),
                        .add = ws->x});
}

/* ---- the diffusion vocabulary -------------------------------------------------------------------------- */

/* u = W_v E + b of n_rows embeddings in ws->h. */
static void record_embeddings(const llm_workspace *ws, gpu_view u, uint32_t n_rows)
{
    const llm *model = ws->model;
    const l2d *path = &model->path;
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = &path->vocabulary,
                              .x = ws->h,
                              .ldx = model->ld,
                              .y = u,
                              .ldy = weight_pad(path->config.flow_dim),
                              .n_rows = n_rows,
                              .bias = path->vocabulary_bias});
}

void l2d_record_vocabulary_rows(const llm_workspace *ws, gpu_view results, uint32_t n_rows)
{
    const llm *model = ws->model;
    const uint32_t stride = sizeof(output_result) / sizeof(uint32_t);
    ops_embed(model->device, ws->commands, &model->embedding, results, stride, 0, n_rows, ws->h, model->ld);
    record_embeddings(ws, ws->target, n_rows);
}

void l2d_record_average(const llm_workspace *ws, gpu_view inv_temperatures, uint32_t n_rows)
{
    const llm *model = ws->model;
    uint32_t ld_vocab = weight_pad(model->config.vocab_size), ld = weight_pad(model->path.config.flow_dim);
    for (uint32_t first = 0; first < n_rows; first += ARENA_ROW_STEP) {
        uint32_t n = u32_min(ARENA_ROW_STEP, n_rows - first);
        ops_matmul(model->device, ws->commands,
                   &(matmul_args){.w = &model->head,
                                  .x = view_from(ws->hidden, (uint64_t)first * model->ld * sizeof(float)),
                                  .ldx = model->ld,
                                  .y = ws->logits,
                                  .ldy = ld_vocab,
                                  .n_rows = n});
        ops_flow_softmax(model->device, ws->commands, ws->logits, n, model->config.vocab_size, ld_vocab,
                         view_from(inv_temperatures, first * sizeof(float)));
        ops_matmul(model->device, ws->commands,
                   &(matmul_args){.w = &ws->vocabulary,
                                  .x = ws->logits,
                                  .ldx = ld_vocab,
                                  .y = view_from(ws->target, (uint64_t)first * ld * sizeof(float)),
                                  .ldy = ld,
                                  .n_rows = n});
    }
}

/* Pieces of the vocabulary in one submission: short enough for watchdogs. */
#define PIECES_AT_ONCE 16u

vkdlm_status l2d_make_vocabulary(llm_workspace *ws, vkdlm_error *err)
{
    const llm *model = ws->model;
    uint32_t vocab = model->config.vocab_size, ld = weight_pad(model->path.config.flow_dim);
    if (ws->vocabulary.buffer.handle)
        return VKDLM_OK;
    weight described = flow_vocabulary_describe(vocab, model->path.config.flow_dim);
    vkdlm_status status = gpu_buffer_create(model->device, GPU_MEMORY_DEVICE, described.bytes,
                                            "the diffusion vocabulary", &described.buffer, err);
    if (status)
        return status;
    ws->vocabulary = described;
    uint32_t step = llm_activation_rows(&ws->capacity), recorded = 0;
    int32_t *ids = view_mapped(ws->tokens);
    for (uint32_t i = 0; i < step; i++)
        ids[i] = (int32_t)i;
    status = gpu_commands_begin(ws->commands, err);
    if (!status)
        gpu_fill(ws->commands, &ws->vocabulary.buffer, 0, described.bytes, 0);
    for (uint32_t first = 0; first < vocab && !status; first += step) {
        uint32_t n = u32_min(step, vocab - first);
        ops_embed(model->device, ws->commands, &model->embedding, ws->tokens, 1, first, n, ws->h, model->ld);
        record_embeddings(ws, ws->wide, n);
        ops_flow_vocabulary(model->device, ws->commands, &ws->vocabulary, first, ws->wide, n, ld,
                            (float)l2d_vocabulary_norm(&model->path.config));
        if (++recorded % PIECES_AT_ONCE && first + n < vocab)
            continue;
        status = gpu_submit_wait(ws->commands, err);
        if (!status && first + n < vocab)
            status = gpu_commands_begin(ws->commands, err);
    }
    return status;
}
