/* What one session needs beside the weights: activations, index buffers and a recording. */
#ifndef MODEL_MDLM_WORKSPACE_H
#define MODEL_MDLM_WORKSPACE_H

#include "model/arena.h"
#include "model/mdlm_weights.h"
#include "model/plan.h"
#include "ops/output.h"

/* How much an evaluation may hold at once. */
typedef struct mdlm_capacity {
    uint32_t rows; /* of the network, all sequences together */
    uint32_t sequences;
    uint32_t output_rows; /* of the output layer */
    uint32_t candidates;  /* of each of them */
} mdlm_capacity;

struct mdlm_workspace {
    const mdlm *model;
    gpu_commands *commands;
    mdlm_capacity capacity;
    plan plan;
    attention_plan attention_plan;
    eval_counters *counters; /* of the denoiser that is evaluating */

    arena arena;

    /* Activations, f32, rows of ld(columns) floats, row capacities rounded up to 64. */
    gpu_view x;         /* [rows, D] residual stream */
    gpu_view h;         /* [rows, D] normalised, or what attention gives */
    gpu_view wide;      /* [rows, 4D] qkv, then the inside of the MLP */
    gpu_view attention; /* queries, keys and values in attention's layout */
    gpu_view hidden;    /* [output_rows, D] normalised rows of the output layer */
    gpu_view output_scratch;
    /* Time conditioning only. */
    gpu_view features;   /* [sequences, 256] */
    gpu_view cond_inner; /* [sequences, C] */
    gpu_view cond;       /* [sequences, C] */
    gpu_view modulation; /* [sequences, modulation_width] */

    /* Written by the host before each evaluation. */
    gpu_view tokens;  /* i32 [rows] */
    gpu_view row_seq; /* u32 [rows, to a multiple of 64]: sequence of each row */
    gpu_view attention_index;
    gpu_view sigma;      /* f32 [sequences] */
    gpu_view source;     /* u32 [output_rows]: network row of each row of the output layer */
    gpu_view source_seq; /* u32 [output_rows]: its sequence */
    gpu_view draws;      /* output_draw [output_rows] */

    /* Read by the host. */
    gpu_view results;    /* output_result [output_rows] */
    gpu_view candidates; /* output_candidate [output_rows, candidates] */
};

/* Device bytes of a workspace of this capacity (all arenas). */
uint64_t mdlm_workspace_bytes(const mdlm *model, const mdlm_capacity *capacity);

/* Makes room; what the arenas held is lost when they have to grow. OUT_OF_DEVICE_MEMORY says how much is
 * needed; UNSUPPORTED when one canvas does not fit a storage-buffer binding of the device. */
vkdlm_status mdlm_workspace_reserve(mdlm_workspace *ws, const mdlm_capacity *capacity, vkdlm_error *err);

/* The most rows that an evaluation of whole canvases of `length` tokens should take on this device. */
uint32_t mdlm_workspace_max_sequences(const mdlm_workspace *ws, uint32_t length);

#endif
