/* What the ODE of a flow needs between two evaluations of its network: from the drawn tokens to the state at
 * which the next evaluation takes place (shaders/flow_stage.comp, flow_softmax.comp, flow_vocabulary.comp).
 *
 * The diffusion vocabulary: V_y = k u / max(||u||, 1e-12), u = W_v E_y + b, of n components.
 * The velocity: v = factor (x_hat - stage), summed over the branches with their weights. */
#ifndef OPS_FLOW_H
#define OPS_FLOW_H

#include "gpu/gpu.h"
#include "ops/weight.h"

#define FLOW_MAX_SLOPES   4u
#define FLOW_MAX_BRANCHES 2u

/* One call of the velocity and the step to the next state, for n_rows independent states of n_columns floats.
 * Rows are f32 of ld floats, pads zero and kept so. */
typedef struct flow_stage_args {
    uint32_t n_rows, n_columns, ld;
    uint32_t n_branches; /* 1 or 2; row r of branch b is row b n_rows + r */
    gpu_view target;     /* [n_branches n_rows]: u where normalise is set, x_hat itself otherwise */
    bool normalise;      /* x_hat = rescale * u / max(||u||, 1e-12) */
    float rescale;
    float branch_weight[FLOW_MAX_BRANCHES];
    float factor;                /* 1 / (1 - t), 1 / (1 - t)^2, or 0 where the velocity is zero */
    gpu_view state;              /* [n_rows]: at the last grid point; read, and written when `advance` */
    gpu_view stage;              /* [n_rows]: where the velocity is taken; read, then the next one */
    gpu_view slopes;             /* FLOW_MAX_SLOPES of [n_rows, rounded up to 64]: velocities of this step */
    uint32_t slope;              /* the slope that this call gives */
    float step[FLOW_MAX_SLOPES]; /* next stage = state + sum over i <= slope of step[i] slopes[i] */
    bool advance;                /* the next stage is also the state at the next grid point */
    float input_scale;           /* of the next evaluation's input */
    gpu_view input;              /* [n_branches n_rows]: input_scale * next stage, once for each branch */
} flow_stage_args;

/* Records it. A failure is remembered by the commands, as by the others. */
void ops_flow_stage(gpu_device *device, gpu_commands *commands, const flow_stage_args *args);

/* Records y[r] = x[r] - x[base[r]] for rows of n_columns floats, a multiple of 4: x in rows of ldx, y of ldy
 * floats, both multiples of 4; base: u32 [n_rows]. */
void ops_flow_difference(gpu_device *device, gpu_commands *commands, gpu_view x, uint32_t n_rows,
                         uint32_t n_columns, uint32_t ldx, gpu_view base, gpu_view y, uint32_t ldy);

/* Records p = softmax(inv_temperature[r] logits[r]) in place, over n_columns; the pad of ld becomes 0.
 * inv_temperature: f32 [n_rows]; 0 stands for the limit of low temperature: 1 for the largest logit (the
 * lowest id of equals), 0 elsewhere. */
void ops_flow_softmax(gpu_device *device, gpu_commands *commands, gpu_view logits, uint32_t n_rows,
                      uint32_t n_columns, uint32_t ld, gpu_view inv_temperature);

/* The whole diffusion vocabulary as the weight of a linear layer that maps probabilities [V] to x_hat [n]:
 * an f32 weight of n_columns = n, depth = V. The buffer stays zeroed by _describe; the caller creates it and
 * fills it with zeros before the first record. */
weight flow_vocabulary_describe(uint32_t vocab_size, uint32_t n_columns);
/* Records tokens first .. first + n_rows - 1 from u [n_rows, ld]. */
void ops_flow_vocabulary(gpu_device *device, gpu_commands *commands, const weight *vocabulary, uint32_t first,
                         gpu_view u, uint32_t n_rows, uint32_t ld, float rescale);

#endif
