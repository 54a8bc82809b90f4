#include "model/llm_workspace.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/size.h"
#include "ops/flow.h"

#define MAX_SEQUENCES 1024u
/* Rows whose logits are held at once for means under the distribution. */
#define AVERAGE_ROWS ARENA_ROW_STEP

enum { MAX_PIECES = 48 };

static uint32_t u32_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

uint32_t llm_path_rows(const causal_capacity *c)
{
    return c->rows * u32_max(c->branches, 1);
}

uint32_t llm_modulation_rows(const causal_capacity *c)
{
    return u32_max(c->times, llm_path_rows(c));
}

uint32_t llm_activation_rows(const causal_capacity *c)
{
    return (uint32_t)size_round_up(u32_max(c->chunk_rows, llm_path_rows(c)), ARENA_ROW_STEP);
}

/* A list of pieces that grows. */
typedef struct piece_list {
    arena_piece pieces[MAX_PIECES];
    uint32_t n;
} piece_list;

static void add(piece_list *list, size_t offset, enum gpu_memory memory, uint64_t bytes, bool sliced)
{
    list->pieces[list->n++] = (arena_piece){offset, memory, bytes, sliced};
}

#define AT(field) offsetof(llm_workspace, field)

static void list_main(const llm *model, const causal_capacity *c, piece_list *list)
{
    const llm_config *config = &model->config;
    attention_shape shape = llm_attention_shape(config);
    uint32_t path_rows = llm_path_rows(c), rows = llm_activation_rows(c);
    uint32_t slots = cached_attention_capacity(c->chunk_rows, c->sequences);
    uint32_t qkv = llm_qkv_columns(config).v + weight_pad(llm_kv_dim(config));
    uint64_t held_rows = size_round_up(path_rows, ARENA_ROW_STEP), held_calls = held_rows * (c->calls + 2);
    const enum gpu_memory device = GPU_MEMORY_DEVICE, upload = GPU_MEMORY_UPLOAD;
    add(list, AT(x), device, arena_rows_bytes(rows, config->hidden_dim), false);
    add(list, AT(h), device, arena_rows_bytes(rows, config->hidden_dim), false);
    add(list, AT(mixed), device, arena_rows_bytes(rows, llm_q_dim(config)), false);
    uint32_t wide = u32_max(u32_max(qkv, config->mlp_dim), model->has_path ? model->path.config.flow_dim : 0);
    add(list, AT(wide), device, arena_rows_bytes(rows, wide), false);
    add(list, AT(attention_queries), device, cached_attention_workspace_bytes(&shape, slots), true);
    add(list, AT(held), device, arena_rows_bytes(c->held, config->hidden_dim), false);
    add(list, AT(hidden), device, arena_rows_bytes(2 * held_rows, config->hidden_dim), false);
    add(list, AT(output_scratch), device,
        c->candidates ? output_list_scratch_bytes(&model->head, path_rows)
                      : output_scratch_bytes(&model->head, path_rows),
        true);
    add(list, AT(tokens), upload, rows * sizeof(int32_t), false);
    add(list, AT(attention_index), upload, attention_index_bytes(slots), false);
    add(list, AT(main_queries), upload, 2 * c->chunk_rows * sizeof(uint32_t), false);
    add(list, AT(base_source), upload, path_rows * sizeof(uint32_t), false);
    add(list, AT(draws), upload, held_calls * sizeof(output_draw), false);
    add(list, AT(results), GPU_MEMORY_READBACK, held_calls * sizeof(output_result), false);
}

static void list_path(const llm *model, const causal_capacity *c, piece_list *list)
{
    const llm_config *config = &model->config;
    const l2d_config *path = &model->path.config;
    uint32_t rows = llm_path_rows(c), n_mod = llm_modulation_rows(c);
    /* Two rows of t = 0 for prepared classes, one for each of single evaluations. */
    uint32_t conditions = n_mod + u32_max(2, rows);
    uint64_t held = size_round_up(rows, ARENA_ROW_STEP), mod_held = size_round_up(n_mod, ARENA_ROW_STEP);
    uint64_t stride = l2d_stride(config->hidden_dim), cond_stride = l2d_stride(path->cond_dim);
    uint64_t flow_bytes = arena_rows_bytes(rows, path->flow_dim);
    const enum gpu_memory device = GPU_MEMORY_DEVICE, upload = GPU_MEMORY_UPLOAD;
    add(list, AT(lora_z), device, arena_rows_bytes(rows, 2 * weight_pad(path->lora_rank)), false);
    add(list, AT(time_inner), device, arena_rows_bytes(conditions, path->cond_dim), false);
    add(list, AT(condition), device, arena_rows_bytes(conditions, path->cond_dim), false);
    add(list, AT(heads), device, arena_rows_bytes(conditions, (config->n_blocks + 1) * cond_stride), false);
    add(list, AT(gate_inner), device, arena_rows_bytes(n_mod, cond_stride), false);
    add(list, AT(modulation), device,
        config->n_blocks * mod_held * L2D_CHUNKS * stride * (uint64_t)sizeof(float), true);
    add(list, AT(gate), device, arena_rows_bytes(n_mod, stride), false);
    add(list, AT(encoder_input), device, flow_bytes, false);
    add(list, AT(encoder_inner), device, arena_rows_bytes(rows, path->encoder_dim), false);
    add(list, AT(target), device, flow_bytes, false);
    add(list, AT(state), device, flow_bytes, false);
    add(list, AT(stage), device, flow_bytes, false);
    add(list, AT(slopes), device, FLOW_MAX_SLOPES * flow_bytes, false);
    if (c->average)
        add(list, AT(logits), device, arena_rows_bytes(AVERAGE_ROWS, config->vocab_size), false);
    add(list, AT(features), upload, arena_rows_bytes(conditions, path->features), false);
    add(list, AT(labels), upload, conditions * sizeof(uint32_t), false);
    add(list, AT(time_zero), upload, conditions * sizeof(uint32_t), false);
    add(list, AT(path_queries), upload, 2 * rows * sizeof(uint32_t), false);
    add(list, AT(path_source), upload, rows * sizeof(uint32_t), false);
    add(list, AT(row_mod), upload, (c->calls + 1) * held * sizeof(uint32_t), false);
    add(list, AT(x0), upload, flow_bytes, false);
    add(list, AT(temperatures), upload, (c->calls + 1) * held * sizeof(float), false);
    add(list, AT(readback), GPU_MEMORY_READBACK, flow_bytes, false);
    if (!c->record)
        return;
    uint64_t calls = (uint64_t)c->calls + 1;
    add(list, AT(states), GPU_MEMORY_READBACK, calls * rows * weight_pad(path->flow_dim) * sizeof(float),
        true);
    add(list, AT(gates), GPU_MEMORY_READBACK, arena_rows_bytes(n_mod, stride), true);
    add(list, AT(candidates), GPU_MEMORY_READBACK, calls * held * c->candidates * sizeof(output_candidate),
        true);
}

static void list_pieces(const llm *model, const causal_capacity *c, piece_list *list)
{
    list->n = 0;
    list_main(model, c, list);
    if (c->branches)
        list_path(model, c, list);
}

static enum kv_type cache_type(const causal_capacity *c)
{
    return c->cache_f16 ? KV_F16 : KV_F32;
}

static uint64_t vocabulary_bytes(const llm *model, const causal_capacity *c)
{
    return c->average ? flow_vocabulary_describe(model->config.vocab_size, model->path.config.flow_dim).bytes
                      : 0;
}

uint64_t llm_workspace_bytes(const llm *model, const causal_capacity *c)
{
    attention_shape shape = llm_attention_shape(&model->config);
    piece_list list;
    list_pieces(model, c, &list);
    uint64_t cache = kv_cache_bytes(&shape, cache_type(c), model->config.n_blocks, c->sequences, c->context);
    return cache == UINT64_MAX ? cache
                               : cache + arena_total_bytes(list.pieces, list.n) + vocabulary_bytes(model, c);
}

static bool capacity_fits(const llm *model, const causal_capacity *c)
{
    const gpu_caps *caps = gpu_device_caps(model->device);
    attention_shape shape = llm_attention_shape(&model->config);
    if (cached_attention_capacity(c->chunk_rows, c->sequences) == 0 ||
        c->sequences > kv_cache_max_sequences(caps, &shape, cache_type(c), c->context))
        return false;
    piece_list list;
    list_pieces(model, c, &list);
    return arena_fits(caps, list.pieces, list.n);
}

uint32_t llm_workspace_max_sequences(const llm_workspace *ws, const causal_capacity *one)
{
    const llm *model = ws->model;
    uint64_t available = gpu_device_available_bytes(model->device) +
                         (ws->capacity.sequences ? llm_workspace_bytes(model, &ws->capacity) : 0);
    uint32_t n = MAX_SEQUENCES;
    while (n > 1) {
        causal_capacity c = *one;
        c.sequences = n;
        c.held = n * u32_max(one->held, 1);
        c.rows = n * u32_max(one->rows, 1);
        c.chunk_rows = u32_max(one->chunk_rows, n);
        if (capacity_fits(model, &c) && llm_workspace_bytes(model, &c) <= available)
            break;
        n -= n > 8 ? n / 8 : 1;
    }
    return n;
}

static void release(llm_workspace *ws)
{
    kv_cache_destroy(&ws->cache);
    arena_destroy(&ws->arena);
    weight_destroy(&ws->vocabulary);
    ws->capacity = (causal_capacity){0};
    ws->prepared_classes = 0;
}

static bool covers(const causal_capacity *held, const causal_capacity *c)
{
    return held->sequences >= c->sequences && held->context >= c->context &&
           held->chunk_rows >= c->chunk_rows && held->held >= c->held && held->rows >= c->rows &&
           held->branches >= c->branches && held->calls >= c->calls && held->times >= c->times &&
           held->average >= c->average && held->cache_f16 == c->cache_f16 && held->record >= c->record &&
           held->candidates >= c->candidates;
}

vkdlm_status llm_workspace_reserve(llm_workspace *ws, const causal_capacity *capacity, vkdlm_error *err)
{
    const llm *model = ws->model;
    causal_capacity wanted = *capacity;
    wanted.chunk_rows = u32_max(wanted.chunk_rows, 1);
    wanted.held = u32_max(wanted.held, 1);
    wanted.rows = u32_max(wanted.rows, 1);
    if (covers(&ws->capacity, &wanted))
        return VKDLM_OK;
    release(ws);
    if (!capacity_fits(model, &wanted))
        return error_set(
            err, VKDLM_UNSUPPORTED,
            "%u sequences of %u tokens: expected a cache and activations that device '%s' can bind "
            "(%" PRIu64 " bytes at once)",
            wanted.sequences, wanted.context, gpu_device_caps(model->device)->name,
            gpu_device_caps(model->device)->max_storage_range_bytes);
    uint64_t needed = llm_workspace_bytes(model, &wanted);
    uint64_t available = gpu_device_available_bytes(model->device);
    if (needed > available)
        return error_set(err, VKDLM_OUT_OF_DEVICE_MEMORY,
                         "%u sequences of %u tokens: expected %.1f MiB of free memory on device '%s' for the "
                         "cache and the activations, found %.1f MiB",
                         wanted.sequences, wanted.context, (double)needed / 0x1p20,
                         gpu_device_caps(model->device)->name, (double)available / 0x1p20);
    attention_shape shape = llm_attention_shape(&model->config);
    vkdlm_status status =
        cached_attention_init(&ws->attention, model->device, &shape, cache_type(&wanted), err);
    if (!status)
        status = kv_cache_create(model->device, &shape, cache_type(&wanted), model->config.n_blocks,
                                 wanted.sequences, wanted.context, &ws->cache, err);
    piece_list list;
    list_pieces(model, &wanted, &list);
    if (!status)
        status = arena_create(model->device, list.pieces, list.n, ws, &ws->arena, err);
    if (!status) {
        ws->capacity = wanted;
        if (wanted.average)
            status = l2d_make_vocabulary(ws, err);
    }
    if (status)
        release(ws);
    return status;
}

vkdlm_status llm_workspace_create(const llm *model, llm_workspace **out, vkdlm_error *err)
{
    *out = NULL;
    llm_workspace *ws = calloc(1, sizeof *ws);
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

void llm_workspace_destroy(llm_workspace *ws)
{
    if (!ws)
        return;
    release(ws);
    gpu_commands_destroy(ws->commands);
    free(ws);
}
