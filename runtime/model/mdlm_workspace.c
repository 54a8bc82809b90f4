#include "model/mdlm_workspace.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "model/modulation.h"

/* Beyond this many rows the matrices are amortised; more would only take memory and caches. */
#define MAX_ROWS       16384u
#define MAX_WIDE_BYTES (64u << 20)
#define MAX_CANVASES   4096u

enum { MAX_PIECES = 24 };

static uint32_t list_pieces(const mdlm *model, const mdlm_capacity *c, arena_piece out[MAX_PIECES])
{
    const mdlm_config *config = &model->config;
    uint32_t n = 0;
    uint64_t padded_rows = size_round_up(c->rows, ARENA_ROW_STEP),
             padded_output = size_round_up(c->output_rows, ARENA_ROW_STEP);
    uint32_t slots = attention_capacity(c->rows, c->sequences);
#define PIECE(field, memory, bytes, sliced) \
    out[n++] = (arena_piece){offsetof(mdlm_workspace, field), memory, bytes, sliced}
    PIECE(x, GPU_MEMORY_DEVICE, arena_rows_bytes(c->rows, config->hidden_dim), false);
    PIECE(h, GPU_MEMORY_DEVICE, arena_rows_bytes(c->rows, config->hidden_dim), false);
    PIECE(wide, GPU_MEMORY_DEVICE, arena_rows_bytes(c->rows, 4 * (uint64_t)model->ld), false);
    PIECE(attention, GPU_MEMORY_DEVICE, attention_workspace_bytes(&model->attention.shape, slots), true);
    PIECE(hidden, GPU_MEMORY_DEVICE, arena_rows_bytes(c->output_rows, config->hidden_dim), false);
    PIECE(output_scratch, GPU_MEMORY_DEVICE,
          c->candidates ? output_list_scratch_bytes(&model->head, c->output_rows)
                        : output_scratch_bytes(&model->head, c->output_rows),
          true);
    if (config->time_conditioning) {
        PIECE(features, GPU_MEMORY_DEVICE, arena_rows_bytes(c->sequences, MDLM_TIMESTEP_FEATURES), false);
        PIECE(cond_inner, GPU_MEMORY_DEVICE, arena_rows_bytes(c->sequences, config->cond_dim), false);
        PIECE(cond, GPU_MEMORY_DEVICE, arena_rows_bytes(c->sequences, config->cond_dim), false);
        PIECE(modulation, GPU_MEMORY_DEVICE, arena_rows_bytes(c->sequences, modulation_width(config)), false);
        PIECE(sigma, GPU_MEMORY_UPLOAD, c->sequences * sizeof(float), false);
    }
    PIECE(tokens, GPU_MEMORY_UPLOAD, padded_rows * sizeof(int32_t), false);
    PIECE(row_seq, GPU_MEMORY_UPLOAD, padded_rows * sizeof(uint32_t), false);
    PIECE(attention_index, GPU_MEMORY_UPLOAD, attention_index_bytes(slots), false);
    PIECE(source, GPU_MEMORY_UPLOAD, padded_output * sizeof(uint32_t), false);
    PIECE(source_seq, GPU_MEMORY_UPLOAD, padded_output * sizeof(uint32_t), false);
    PIECE(draws, GPU_MEMORY_UPLOAD, padded_output * sizeof(output_draw), false);
    PIECE(results, GPU_MEMORY_READBACK, padded_output * sizeof(output_result), false);
    PIECE(candidates, GPU_MEMORY_READBACK, padded_output * c->candidates * sizeof(output_candidate), true);
#undef PIECE
    return n;
}

uint64_t mdlm_workspace_bytes(const mdlm *model, const mdlm_capacity *capacity)
{
    arena_piece pieces[MAX_PIECES];
    uint32_t n = list_pieces(model, capacity, pieces);
    return arena_total_bytes(pieces, n);
}

/* Whether every piece can be bound and every arena allocated on the device. */
static bool capacity_fits(const mdlm *model, const mdlm_capacity *capacity)
{
    uint32_t slots = attention_capacity(capacity->rows, capacity->sequences);
    if (slots == 0 || slots > attention_max_capacity(&model->attention))
        return false;
    arena_piece pieces[MAX_PIECES];
    uint32_t n = list_pieces(model, capacity, pieces);
    return arena_fits(gpu_device_caps(model->device), pieces, n);
}

uint32_t mdlm_workspace_max_sequences(const mdlm_workspace *ws, uint32_t length)
{
    const mdlm *model = ws->model;
    uint64_t wide_row_bytes = 4 * (uint64_t)model->ld * sizeof(float);
    uint64_t rows = u64_min(MAX_ROWS, MAX_WIDE_BYTES / wide_row_bytes);
    uint32_t n = (uint32_t)u64_min(rows / length, MAX_CANVASES);
    /* What the workspace holds already would be freed to make room. */
    uint64_t available =
        gpu_device_available_bytes(model->device) + mdlm_workspace_bytes(model, &ws->capacity);
    while (n > 1) {
        mdlm_capacity capacity = {n * length, n, n * length, 0};
        if (capacity_fits(model, &capacity) && mdlm_workspace_bytes(model, &capacity) <= available)
            break;
        n -= n > 8 ? n / 8 : 1;
    }
    return n < 1 ? 1 : n;
}

static void release(mdlm_workspace *ws)
{
    arena_destroy(&ws->arena);
    ws->capacity = (mdlm_capacity){0};
}

static uint32_t u32_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

vkdlm_status mdlm_workspace_reserve(mdlm_workspace *ws, const mdlm_capacity *capacity, vkdlm_error *err)
{
    if (capacity->rows <= ws->capacity.rows && capacity->sequences <= ws->capacity.sequences &&
        capacity->output_rows <= ws->capacity.output_rows && capacity->candidates <= ws->capacity.candidates)
        return VKDLM_OK;
    const mdlm *model = ws->model;
    mdlm_capacity wanted = {u32_max(capacity->rows, ws->capacity.rows),
                            u32_max(capacity->sequences, ws->capacity.sequences),
                            u32_max(capacity->output_rows, ws->capacity.output_rows),
                            u32_max(capacity->candidates, ws->capacity.candidates)};
    if (!capacity_fits(model, &wanted))
        return error_set(err, VKDLM_UNSUPPORTED,
                         "a batch of %u positions: expected activations that device '%s' can bind (%" PRIu64
                         " bytes), found %" PRIu64 " bytes",
                         wanted.rows, gpu_device_caps(model->device)->name,
                         gpu_device_caps(model->device)->max_storage_range_bytes,
                         arena_rows_bytes(wanted.rows, 4 * (uint64_t)model->ld));
    vkdlm_status status = plan_reserve(&ws->plan, wanted.sequences, err);
    if (status)
        return status;
    release(ws);
    arena_piece pieces[MAX_PIECES];
    uint32_t n = list_pieces(model, &wanted, pieces);
    status = arena_create(model->device, pieces, n, ws, &ws->arena, err);
    if (status)
        return status;
    ws->capacity = wanted;
    return VKDLM_OK;
}

vkdlm_status mdlm_workspace_create(const mdlm *model, mdlm_workspace **out, vkdlm_error *err)
{
    *out = NULL;
    mdlm_workspace *ws = calloc(1, sizeof *ws);
    if (!ws)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory creating a workspace");
    ws->model = model;
    vkdlm_status status = gpu_commands_create(model->device, &ws->commands, err);
    if (status) {
        free(ws);
        return status;
    }
    *out = ws;
    return VKDLM_OK;
}

void mdlm_workspace_destroy(mdlm_workspace *ws)
{
    if (!ws)
        return;
    release(ws);
    plan_deinit(&ws->plan);
    gpu_commands_destroy(ws->commands);
    free(ws);
}
