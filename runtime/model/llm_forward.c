/* Logits and hidden states of one sequence through the main path. */
#include "base/size.h"
#include "model/llm_rows.h"
#include "ops/matmul.h"

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
            arena_copy_rows(logits + (size_t)r * v, (const float *)out.mapped + (size_t)at * weight_pad(v), 1,
                            v, 0);
            for (uint32_t i = 0; hidden && i < n_states; i++)
                arena_copy_rows(hidden + ((size_t)i * n_rows + r) * d,
                                (const float *)states.mapped + ((size_t)i * n + at) * model->ld, 1, d, 0);
        }
    }
    gpu_buffer_destroy(&states);
    gpu_buffer_destroy(&out);
    return status;
}
