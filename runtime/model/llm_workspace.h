/* What one session needs beside the weights of a causal model: the cache, activations, index buffers and a
 * recording. */
#ifndef MODEL_LLM_WORKSPACE_H
#define MODEL_LLM_WORKSPACE_H

#include "model/arena.h"
#include "model/llm.h"
#include "model/llm_weights.h"
#include "ops/output.h"

/* The rows that go through the diffusion path together. */
typedef struct l2d_rows {
    uint32_t n;
    gpu_view queries; /* u32 pairs: sequence, position */
    gpu_view source;  /* u32: held slot */
    gpu_view row_mod; /* u32, held up to a multiple of 64: row of modulation */
} l2d_rows;

struct llm_workspace {
    const llm *model;
    gpu_commands *commands;
    causal_capacity capacity;
    kv_cache cache;
    cached_attention attention;
    attention_plan plan;
    arena arena;
    uint32_t prepared_classes; /* modulation row of time i and class j: i prepared_classes + j */

    /* Activations, f32, rows of pad(columns) floats, row capacities rounded up to 64. */
    gpu_view x;     /* [rows, D] residual stream of the path that is running */
    gpu_view h;     /* [rows, D] normalised, or embeddings of drawn tokens */
    gpu_view mixed; /* [rows, Q] what attention gives */
    gpu_view wide;  /* [rows, max(Q + 2 KV, F, n)] */
    gpu_view attention_queries;
    gpu_view held;   /* [held, D] states of the main path before the final norm */
    gpu_view hidden; /* [twice the path rows, to a multiple of 64, D] after it */
    gpu_view output_scratch;
    gpu_view lora_z; /* [rows, 2 pad(r)] */
    /* Diffusion path only. */
    gpu_view features;             /* [modulation rows + zero rows, f], written by the host */
    gpu_view time_inner;           /* [.., c] */
    gpu_view condition;            /* [.., c] */
    gpu_view heads;                /* [.., (n_blocks + 1) stride(c)] inside of the modulation heads */
    gpu_view gate_inner;           /* [modulation rows, stride(c)] */
    gpu_view modulation;           /* for each block [modulation rows, L2D_CHUNKS stride(D)] */
    gpu_view gate;                 /* [modulation rows, stride(D)]: w_d(t) */
    gpu_view encoder_input;        /* [rows, n] */
    gpu_view encoder_inner;        /* [rows, e] */
    gpu_view target;               /* [rows, n] W_v E + b, or the mean of V */
    gpu_view state, stage, slopes; /* [rows, n], [rows, n], FLOW_MAX_SLOPES [rows, n] */
    gpu_view logits;               /* [64, V] for means under the distribution */
    gpu_buffer vocabulary_buffer;
    weight vocabulary; /* the whole diffusion vocabulary; made when a mean is first asked for */

    /* Written by the host before each call. */
    gpu_view tokens;          /* i32 [rows of the activations] */
    gpu_view attention_index; /* of the plan */
    gpu_view main_queries;    /* u32 pairs (sequence, position) [chunk rows] */
    gpu_view path_queries;    /* [path rows]; row r of branch b is row b n + r */
    gpu_view path_source;     /* u32 [path rows]: held slots */
    gpu_view base_source;     /* u32 [rows]: of the rows that are not refined */
    gpu_view row_mod;         /* u32 [calls + 1][path rows, to a multiple of 64] */
    gpu_view labels;          /* u32 [modulation rows + zero rows] */
    gpu_view time_zero;       /* u32 [modulation rows + zero rows]: row of t = 0 with the same class */
    gpu_view x0;              /* [rows, n] */
    gpu_view draws;           /* output_draw [calls + 2][path rows, to a multiple of 64] */
    gpu_view temperatures;    /* f32 [calls][path rows, to a multiple of 64]: inverse, of means */

    gpu_view results;  /* output_result [calls + 2][path rows, to a multiple of 64], read by the host */
    gpu_view readback; /* f32 [path rows, n]: estimates that the host asked for */
    /* With capacity.record; read by the host. */
    gpu_view states;     /* f32 [calls + 1][rows of the call, n]: where the velocities were taken */
    gpu_view gates;      /* [modulation rows, stride(D)]: w_d(t) */
    gpu_view candidates; /* output_candidate [calls + 1][path rows, to a multiple of 64][candidates] */
};

/* Rows of the diffusion path in one evaluation, and of modulation without those of t = 0. */
uint32_t llm_path_rows(const causal_capacity *c);
uint32_t llm_modulation_rows(const causal_capacity *c);

/* Rows of the activations: a multiple of 64. */
uint32_t llm_activation_rows(const causal_capacity *c);

/* Entry `call` of the arrays that have one for each call: rows of so many bytes. */
static inline gpu_view llm_of_call(const llm_workspace *ws, gpu_view view, uint32_t call, uint64_t row_bytes)
{
    uint64_t held = size_round_up(llm_path_rows(&ws->capacity), ARENA_ROW_STEP);
    return gpu_view_rows(view, call * held, held, row_bytes);
}

/* Lists of candidates of one call; a call that asks for fewer than there is room for packs them. */
static inline gpu_view llm_candidates_of_call(const llm_workspace *ws, uint32_t call)
{
    return llm_of_call(ws, ws->candidates, call, ws->capacity.candidates * sizeof(output_candidate));
}

/* Bytes of arenas and cache. */
uint64_t llm_workspace_bytes(const llm *model, const causal_capacity *capacity);

/* Makes room as causal.reserve promises. */
vkdlm_status llm_workspace_reserve(llm_workspace *ws, const causal_capacity *capacity, vkdlm_error *err);
uint32_t llm_workspace_max_sequences(const llm_workspace *ws, const causal_capacity *one);

/* ---- llm_main.c ------------------------------------------------------------------------------ */

/* Writes the inputs of the chunks and records them through the main path. hidden: where the embedding and
 * what each block leaves go, one region of as many rows as the chunks have tokens each, or NULL. */
void llm_record_main(llm_workspace *ws, const causal_chunk *chunks, uint32_t n_chunks, bool prompt,
                     const gpu_buffer *hidden);
/* The final norm of held states: hidden row `first + r` from slot source[r]; first is a multiple
 * of 64. */
void llm_record_norm(const llm_workspace *ws, gpu_view source, uint32_t first, uint32_t n_rows);

/* ---- llm_solve.c, llm_evaluate.c: causal.run and causal.evaluate ------------------------------------- */

vkdlm_status llm_run(causal *c, const causal_work *work, causal_result *results, vkdlm_error *err);
vkdlm_status llm_evaluate(causal *c, const flow_request *request, vkdlm_error *err);

/* ---- llm_record.c: what evaluations found, for those who look on --------------------------------------- */

/* Records a copy of the w_d(t) of n_rows rows of modulation; nothing without capacity.record. */
void llm_record_gates(const llm_workspace *ws, uint32_t n_rows);
/* Records a copy of the states of a call's n_rows rows. */
void llm_record_states(const llm_workspace *ws, uint32_t call, uint32_t n_rows);
/* After the submission: fills work->record; the first interval between marks is that of call 0. */
void llm_read_record(const llm_workspace *ws, const causal_work *work, uint32_t n_refined);
/* After the submission: fills found and candidates of the request. */
void llm_read_found(const llm_workspace *ws, const flow_request *request, bool at_start);
/* Whether the device can mark the time between that many calls of one submission. */
bool llm_can_mark(uint32_t n_calls);

/* ---- l2d_path.c ------------------------------------------------------------------------------ */

/* What the host writes before l2d_record_modulation: the time and class (-1: null) of a row, and the row that
 * has t = 0 and the same class. */
void l2d_write_time(const llm_workspace *ws, uint32_t row, float time, int32_t class_id, uint32_t zero_row);
/* Records the modulation of rows 0 .. n_rows - 1; rows n_rows .. n_rows + n_zero - 1 are those of t = 0. */
void l2d_record_modulation(const llm_workspace *ws, uint32_t n_rows, uint32_t n_zero);
/* Records the encoder and the blocks: ws->x holds y afterwards. hidden as for the main path. */
void l2d_record_path(const llm_workspace *ws, const l2d_rows *rows, const gpu_buffer *hidden);
/* The final norm of held state + w_d(t) y: hidden row `first + r`. */
void l2d_record_norm(const llm_workspace *ws, const l2d_rows *rows, uint32_t first);
/* Records u = W_v E + b for the tokens of results (stride of output_result): ws->target. */
void l2d_record_vocabulary_rows(const llm_workspace *ws, gpu_view results, uint32_t n_rows);
/* Records the mean of V under softmax(inverse temperature logits) of ws->hidden: ws->target. */
void l2d_record_average(const llm_workspace *ws, gpu_view inv_temperatures, uint32_t n_rows);
/* Computes the whole diffusion vocabulary; nothing when it is there. */
vkdlm_status l2d_make_vocabulary(llm_workspace *ws, vkdlm_error *err);

#endif
