/* The main path of a causal language model: from token ids to the states before the final norm. */
#include <string.h>

#include "base/size.h"
#include "model/llm_workspace.h"
#include "ops/matmul.h"
#include "ops/rms.h"

/* What the recording of one call needs besides the workspace. */
typedef struct main_pass {
    llm_workspace *ws;
    uint32_t n_rows;
    bool prompt;
} main_pass;

static void record_rms(const main_pass *pass, gpu_view norm)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    ops_rms(model->device, ws->commands,
            &(rms_args){.x = ws->x,
                        .y = ws->h,
                        .weight = norm,
                        .n_rows = pass->n_rows,
                        .n_columns = model->config.hidden_dim,
                        .ld = model->ld,
                        .eps = (float)model->config.norm_eps});
}

/* x += w input. */
static void record_residual(const main_pass *pass, const weight *w, gpu_view input, uint32_t ld_input)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    ops_matmul(model->device, ws->commands,
               &(matmul_args){.w = w,
                              .x = input,
                              .ldx = ld_input,
                              .y = ws->x,
                              .ldy = model->ld,
                              .n_rows = pass->n_rows,
                              .residual = ws->x});
}

static void record_attention(const main_pass *pass, uint32_t layer, uint32_t ld_qkv)
{
    llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    qkv_columns columns = llm_qkv_columns(&model->config);
    uint32_t ld = weight_pad(llm_q_dim(&model->config));
    gpu_view queries = pass->prompt ? ws->attention_queries : (gpu_view){0};
    cached_attention_write(ws->commands, &ws->attention, &model->rotary, &ws->cache, layer, &ws->plan,
                           ws->wide, ld_qkv, columns, ws->attention_index, queries);
    if (pass->prompt)
        cached_attention_tiles(ws->commands, &ws->attention, &ws->cache, layer, &ws->plan,
                               ws->attention_index, ws->attention_queries, ws->mixed, ld);
    else
        cached_attention_rows(ws->commands, &ws->attention, &model->rotary, &ws->cache, layer, ws->wide,
                              ld_qkv, columns.q, ws->main_queries, pass->n_rows, ws->mixed, ld);
}

/* Queries, keys and values beside one another in ws->wide. */
static void record_qkv(const main_pass *pass, const llm_block *block, uint32_t ld_qkv)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    for (uint32_t i = 0; i < 3 && block->qkv[i].n_columns; i++) {
        uint64_t offset_bytes = block->qkv_column[i] * sizeof(float);
        gpu_view bias = block->qkv_bias;
        ops_matmul(model->device, ws->commands,
                   &(matmul_args){.w = &block->qkv[i],
                                  .x = ws->h,
                                  .ldx = model->ld,
                                  .y = view_from(ws->wide, offset_bytes),
                                  .ldy = ld_qkv,
                                  .n_rows = pass->n_rows,
                                  .bias = bias.buffer ? view_from(bias, offset_bytes) : bias});
    }
}

/* SiLU(gate) up in ws->wide, by one product or, of different types, by two. */
static void record_gate_up(const main_pass *pass, const llm_block *block, uint32_t ld_mlp)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    bool paired = block->gate_up[1].n_columns == 0;
    matmul_args args = {.w = &block->gate_up[0],
                        .x = ws->h,
                        .ldx = model->ld,
                        .y = ws->wide,
                        .ldy = ld_mlp,
                        .n_rows = pass->n_rows,
                        .activation = paired ? MATMUL_SWIGLU : MATMUL_SILU};
    ops_matmul(model->device, ws->commands, &args);
    if (paired)
        return;
    args.w = &block->gate_up[1];
    args.activation = MATMUL_TIMES;
    args.residual = ws->wide;
    ops_matmul(model->device, ws->commands, &args);
}

static void record_block(const main_pass *pass, uint32_t index)
{
    const llm_workspace *ws = pass->ws;
    const llm *model = ws->model;
    const llm_config *config = &model->config;
    const llm_block *block = &model->blocks[index];
    uint32_t ld_qkv = llm_qkv_columns(config).v + weight_pad(llm_kv_dim(config));
    uint32_t ld_mlp = weight_pad(config->mlp_dim);

    record_rms(pass, block->attn_norm);
    record_qkv(pass, block, ld_qkv);
    record_attention(pass, index, ld_qkv);
    record_residual(pass, &block->o, ws->mixed, weight_pad(llm_q_dim(config)));

    record_rms(pass, block->mlp_norm);
    record_gate_up(pass, block, ld_mlp);
    record_residual(pass, &block->down, ws->wide, ld_mlp);
}

/* Copies the residual stream to its region of `to`; for forward's hidden states. */
static void copy_hidden(const main_pass *pass, const gpu_buffer *to, uint32_t region)
{
    const llm_workspace *ws = pass->ws;
    uint64_t bytes = (uint64_t)pass->n_rows * ws->model->ld * sizeof(float);
    if (to)
        gpu_copy(ws->commands, ws->x.buffer, ws->x.offset_bytes, to, region * bytes, bytes);
}

/* Fills what the main path reads; returns the rows. */
static uint32_t write_chunks(llm_workspace *ws, const causal_chunk *chunks, uint32_t n_chunks)
{
    int32_t *tokens = view_mapped(ws->tokens);
    uint32_t *queries = view_mapped(ws->main_queries);
    uint32_t n = 0;
    cached_attention_begin_plan(&ws->attention, &ws->cache, &ws->plan, view_mapped(ws->attention_index),
                                cached_attention_capacity(ws->capacity.chunk_rows, ws->capacity.sequences));
    for (uint32_t i = 0; i < n_chunks; i++) {
        const causal_chunk *chunk = &chunks[i];
        memcpy(tokens + n, chunk->tokens, chunk->length * sizeof *tokens);
        for (uint32_t j = 0; j < chunk->length; j++) {
            queries[2 * (n + j)] = chunk->sequence;
            queries[2 * (n + j) + 1] = chunk->first + j;
        }
        cached_attention_add(&ws->cache, &ws->plan, chunk->sequence, chunk->first, n, chunk->length);
        n += chunk->length;
    }
    attention_plan_end(&ws->plan);
    return n;
}

/* Copies the kept states into their held slots. */
static void record_keep(const llm_workspace *ws, const causal_chunk *chunks, uint32_t n_chunks)
{
    uint64_t row_bytes = (uint64_t)ws->model->ld * sizeof(float);
    for (uint32_t i = 0, row = 0; i < n_chunks; row += chunks[i++].length) {
        const causal_chunk *chunk = &chunks[i];
        uint32_t n = chunk->keep == KEEP_ALL ? chunk->length : chunk->keep == KEEP_LAST ? 1 : 0;
        uint32_t from = row + chunk->length - n;
        if (n)
            gpu_copy(ws->commands, ws->x.buffer, ws->x.offset_bytes + from * row_bytes, ws->held.buffer,
                     ws->held.offset_bytes + chunk->held * row_bytes, n * row_bytes);
    }
}

void llm_record_main(llm_workspace *ws, const causal_chunk *chunks, uint32_t n_chunks, bool prompt,
                     const gpu_buffer *hidden)
{
    const llm *model = ws->model;
    main_pass pass = {.ws = ws, .n_rows = write_chunks(ws, chunks, n_chunks), .prompt = prompt};
    ops_embed(model->device, ws->commands, &model->embedding, ws->tokens, 1, 0, pass.n_rows, ws->x,
              model->ld);
    copy_hidden(&pass, hidden, 0);
    for (uint32_t i = 0; i < model->config.n_blocks; i++) {
        record_block(&pass, i);
        copy_hidden(&pass, hidden, i + 1);
    }
    record_keep(ws, chunks, n_chunks);
}

void llm_record_norm(const llm_workspace *ws, gpu_view source, uint32_t first, uint32_t n_rows)
{
    const llm *model = ws->model;
    uint64_t row_bytes = (uint64_t)model->ld * sizeof(float);
    ops_rms(model->device, ws->commands,
            &(rms_args){.x = ws->held,
                        .y = view_from(ws->hidden, first * row_bytes),
                        .weight = model->norm,
                        .n_rows = n_rows,
                        .n_columns = model->config.hidden_dim,
                        .ld = model->ld,
                        .eps = (float)model->config.norm_eps,
                        .source = source});
}
