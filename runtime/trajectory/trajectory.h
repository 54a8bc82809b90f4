/* The layout of trajectory files, which the reader and the recorder share. */
#ifndef RUNTIME_TRAJECTORY_H
#define RUNTIME_TRAJECTORY_H

#include <jansson.h>

#include <vkdlm/tensors.h>
#include <vkdlm/trajectory.h>

#define TRAJECTORY_FORMAT  "denoising-trajectory"
#define TRAJECTORY_VERSION "1"

/* Names of the kinds in the metadata. */
extern const char *const trajectory_kinds[2];

/* What a dimension counts. */
enum trajectory_size {
    SIZE_STEPS,  /* S, of a flow E */
    SIZE_LENGTH, /* L, of a flow n */
    SIZE_CANDIDATES,
    SIZE_TOKENS, /* N of a flow */
    SIZE_PIECES,
    SIZE_BYTES,
    SIZE_PROMPT, /* M of a flow */
    TRAJECTORY_N_SIZES
};

/* What its values may be. */
enum trajectory_values {
    TRAJECTORY_ANY,
    TRAJECTORY_NATURAL,    /* I32 >= 0 */
    TRAJECTORY_CANDIDATES, /* I32 >= -1 */
    TRAJECTORY_ASCENDING,  /* I32 >= 0, none below the one before */
    TRAJECTORY_DISTINCT,   /* I32 >= 0, each above the one before */
};

typedef struct trajectory_dim {
    enum trajectory_size size;
    uint32_t more; /* 1: one more than the size */
} trajectory_dim;

typedef struct trajectory_tensor {
    const char *name;
    vkdlm_dtype dtype;
    enum trajectory_values values;
    uint32_t n_dims;
    trajectory_dim dims[3];
} trajectory_tensor;

/* What has the prompt's size may be absent; it is the last one of its kind. */
static inline bool trajectory_tensor_is_optional(const trajectory_tensor *tensor)
{
    return tensor->dims[0].size == SIZE_PROMPT;
}

/* Columns of a masked run, */
enum {
    MASKED_TOKENS,
    MASKED_TIME,
    MASKED_NFE,
    MASKED_TOPK_IDS,
    MASKED_TOPK_PROBS,
    MASKED_ENTROPY,
    MASKED_CONFIDENCE,
    MASKED_HOST_NS,
    MASKED_DEVICE_NS,
    MASKED_N_TENSORS
};

/* of a flow's run, */
enum {
    FLOW_TOKEN_INDEX,
    FLOW_T,
    FLOW_X,
    FLOW_XHAT_ID,
    FLOW_TOPK_IDS,
    FLOW_TOPK_PROBS,
    FLOW_ENTROPY,
    FLOW_WD_NORM,
    FLOW_DEVICE_NS,
    FLOW_TOKENS,
    FLOW_PROMPT_IDS,
    FLOW_N_TENSORS
};

/* and behind those of both, the pieces. */
enum {
    TRAJECTORY_PIECE_IDS = 11,
    TRAJECTORY_PIECE_BYTES,
    TRAJECTORY_PIECE_OFFSETS,
    TRAJECTORY_MAX_TENSORS,
    TRAJECTORY_N_PIECE_TENSORS = TRAJECTORY_MAX_TENSORS - TRAJECTORY_PIECE_IDS
};

/* By kind; the pieces' by their own number. */
extern const trajectory_tensor *const trajectory_tensors[2];
extern const uint32_t trajectory_n_tensors[2];
extern const trajectory_tensor trajectory_piece_tensors[TRAJECTORY_N_PIECE_TENSORS];

/* Reads what the metadata `resumptions` say; NULL is none. `info` tells the kind and the sizes of the run. A
 * list is to be freed by resumptions_free. Errors: MALFORMED (file, member, expected, found),
 * OUT_OF_HOST_MEMORY. */
vkdlm_status resumptions_read(const char *text, const char *path, const vkdlm_trajectory_info *info,
                              vkdlm_trajectory_resumption **out, uint32_t *n, vkdlm_error *err);
void resumptions_free(vkdlm_trajectory_resumption *list, uint32_t n);

/* The same as JSON, to be freed. NULL when there is no memory, or a sampler is no JSON object (*bad is true).
 */
char *resumptions_write(const vkdlm_trajectory_resumption *list, uint32_t n, bool *bad);

/* JSON with as few digits as give the same numbers when they are read again, to be freed; NULL without
 * memory.
 */
char *trajectory_json_text(const json_t *value);

#endif
