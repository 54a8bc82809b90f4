/* The tensors of a trajectory. */
#include "trajectory.h"

const char *const trajectory_kinds[2] = {
    [VKDLM_TRAJECTORY_MASKED] = "masked",
    [VKDLM_TRAJECTORY_FLOW] = "flow",
};

#define I32 VKDLM_DTYPE_I32
#define F32 VKDLM_DTYPE_F32
#define I64 VKDLM_DTYPE_I64

static const trajectory_tensor masked[MASKED_N_TENSORS] = {
    [MASKED_TOKENS] = {"tokens", I32, TRAJECTORY_NATURAL, 2, {{SIZE_STEPS, 1}, {SIZE_LENGTH, 0}}},
    [MASKED_TIME] = {"time", F32, TRAJECTORY_ANY, 1, {{SIZE_STEPS, 1}}},
    [MASKED_NFE] = {"nfe", I32, TRAJECTORY_ASCENDING, 1, {{SIZE_STEPS, 1}}},
    [MASKED_TOPK_IDS] = {"topk_ids",
                         I32,
                         TRAJECTORY_CANDIDATES,
                         3,
                         {{SIZE_STEPS, 0}, {SIZE_LENGTH, 0}, {SIZE_CANDIDATES, 0}}},
    [MASKED_TOPK_PROBS] =
        {"topk_probs", F32, TRAJECTORY_ANY, 3, {{SIZE_STEPS, 0}, {SIZE_LENGTH, 0}, {SIZE_CANDIDATES, 0}}},
    [MASKED_ENTROPY] = {"entropy", F32, TRAJECTORY_ANY, 2, {{SIZE_STEPS, 0}, {SIZE_LENGTH, 0}}},
    [MASKED_CONFIDENCE] = {"confidence", F32, TRAJECTORY_ANY, 2, {{SIZE_STEPS, 0}, {SIZE_LENGTH, 0}}},
    [MASKED_HOST_NS] = {"host_ns", I64, TRAJECTORY_ANY, 1, {{SIZE_STEPS, 0}}},
    [MASKED_DEVICE_NS] = {"device_ns", I64, TRAJECTORY_ANY, 1, {{SIZE_STEPS, 0}}},
};

static const trajectory_tensor flow[FLOW_N_TENSORS] = {
    [FLOW_TOKEN_INDEX] = {"token_index", I32, TRAJECTORY_ASCENDING, 1, {{SIZE_STEPS, 0}}},
    [FLOW_T] = {"t", F32, TRAJECTORY_ANY, 1, {{SIZE_STEPS, 0}}},
    [FLOW_X] = {"x", F32, TRAJECTORY_ANY, 2, {{SIZE_STEPS, 0}, {SIZE_LENGTH, 0}}},
    [FLOW_XHAT_ID] = {"xhat_id", I32, TRAJECTORY_NATURAL, 1, {{SIZE_STEPS, 0}}},
    [FLOW_TOPK_IDS] = {"topk_ids", I32, TRAJECTORY_CANDIDATES, 2, {{SIZE_STEPS, 0}, {SIZE_CANDIDATES, 0}}},
    [FLOW_TOPK_PROBS] = {"topk_probs", F32, TRAJECTORY_ANY, 2, {{SIZE_STEPS, 0}, {SIZE_CANDIDATES, 0}}},
    [FLOW_ENTROPY] = {"entropy", F32, TRAJECTORY_ANY, 1, {{SIZE_STEPS, 0}}},
    [FLOW_WD_NORM] = {"wd_norm", F32, TRAJECTORY_ANY, 1, {{SIZE_STEPS, 0}}},
    [FLOW_DEVICE_NS] = {"device_ns", I64, TRAJECTORY_ANY, 1, {{SIZE_STEPS, 0}}},
    [FLOW_TOKENS] = {"tokens", I32, TRAJECTORY_NATURAL, 1, {{SIZE_TOKENS, 0}}},
    [FLOW_PROMPT_IDS] = {"prompt_ids", I32, TRAJECTORY_NATURAL, 1, {{SIZE_PROMPT, 0}}},
};

const trajectory_tensor *const trajectory_tensors[2] = {
    [VKDLM_TRAJECTORY_MASKED] = masked,
    [VKDLM_TRAJECTORY_FLOW] = flow,
};
const uint32_t trajectory_n_tensors[2] = {
    [VKDLM_TRAJECTORY_MASKED] = MASKED_N_TENSORS,
    [VKDLM_TRAJECTORY_FLOW] = FLOW_N_TENSORS,
};

const trajectory_tensor trajectory_piece_tensors[TRAJECTORY_N_PIECE_TENSORS] = {
    {"piece_ids", I32, TRAJECTORY_DISTINCT, 1, {{SIZE_PIECES, 0}}},
    {"piece_bytes", VKDLM_DTYPE_U8, TRAJECTORY_ANY, 1, {{SIZE_BYTES, 0}}},
    {"piece_offsets", I32, TRAJECTORY_ASCENDING, 1, {{SIZE_PIECES, 1}}},
};

const char *vkdlm_prompt_kind_name(vkdlm_prompt_kind kind)
{
    static const char *const names[VKDLM_PROMPT_COUNT] = {
        [VKDLM_PROMPT_UNKNOWN] = "",  [VKDLM_PROMPT_TEXT] = "text", [VKDLM_PROMPT_TEMPLATE] = "template",
        [VKDLM_PROMPT_CHAT] = "chat", [VKDLM_PROMPT_IDS] = "ids",   [VKDLM_PROMPT_LINES] = "lines"};
    return (unsigned)kind < VKDLM_PROMPT_COUNT ? names[kind] : "";
}
