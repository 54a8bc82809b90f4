/* Trajectories: recording how a run went, step by step, and reading such files.
 *
 * A file is in the safetensors format, so that it can be opened by any library for it. Its __metadata__ has
 * `format` "denoising-trajectory", `version` "1", `kind` "masked" or "flow", and `model`, `sampler` (JSON of
 * every option; first_sample is that of the recorded sample), `seed`, `device`, `prompt`, `tokenizer`,
 * `mask_id`, `l2d`, and where they are known `prompt_kind` (text, template, chat, ids or lines: what `prompt`
 * is) and `resumptions` (JSON: where the run was gone on with, by which edits and options). `sampler` and
 * `seed` are those that it began with. Tensors of a masked run with S evaluations, L positions and K
 * candidates: tokens I32 [S + 1, L] (row 0: the start), time F32 [S + 1], nfe I32 [S + 1] (cumulative),
 * topk_ids I32 [S, L, K], topk_probs F32 [S, L, K], entropy F32 [S, L], confidence F32 [S, L], host_ns,
 * device_ns I64 [S]; of a flow's run with N new tokens, E evaluations in all and a diffusion space of n
 * dimensions: token_index I32 [E], t F32 [E], x F32 [E, n], xhat_id I32 [E], topk_ids I32 [E, K], topk_probs
 * F32 [E, K], entropy F32 [E], wd_norm F32 [E], tokens I32 [N], device_ns I64 [E], and where it is known
 * prompt_ids I32 [M]; of both, the text of the ids that occur: piece_ids I32 [P] (ascending), piece_bytes U8
 * [..], piece_offsets I32 [P + 1]. A run that went on from another's place begins at the time of that place;
 * of a flow, tokens has those before it, which have no evaluations.
 *
 * Thread rules: an open trajectory is immutable and may be read from any thread; a recorder belongs to one.
 */
#ifndef VKDLM_TRAJECTORY_H
#define VKDLM_TRAJECTORY_H

#include <vkdlm/complete.h>
#include <vkdlm/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading -------------------------------------------------------------------------------------- */

typedef enum vkdlm_trajectory_kind {
    VKDLM_TRAJECTORY_MASKED,
    VKDLM_TRAJECTORY_FLOW,
} vkdlm_trajectory_kind;

typedef struct vkdlm_trajectory vkdlm_trajectory;

/* What the text of a prompt is. */
typedef enum vkdlm_prompt_kind {
    VKDLM_PROMPT_UNKNOWN,
    VKDLM_PROMPT_TEXT,
    VKDLM_PROMPT_TEMPLATE, /* a text with [MASK] in it */
    VKDLM_PROMPT_CHAT,     /* a user's message, which stood in the model's template */
    VKDLM_PROMPT_IDS,      /* numbers */
    VKDLM_PROMPT_LINES,    /* a line of JSON */
    VKDLM_PROMPT_COUNT
} vkdlm_prompt_kind;

/* "text", "template", "chat", "ids", "lines"; "" of another value. */
VKDLM_API const char *vkdlm_prompt_kind_name(vkdlm_prompt_kind kind);

/* A position that was changed by hand. Ids are -1 for a mask; of a flow `to` then says that the token was
 * drawn anew, and `from` that there was none yet. */
typedef struct vkdlm_trajectory_edit {
    uint32_t position;
    int32_t from, to;
} vkdlm_trajectory_edit;

/* A place where a run was stopped and gone on with. Step `step` (of a flow: the new tokens up to there) has
 * the edits; what follows was made with these options. */
typedef struct vkdlm_trajectory_resumption {
    uint32_t step;
    uint32_t n_edits;
    const vkdlm_trajectory_edit *edits; /* [n_edits], positions ascending */
    const char *sampler; /* JSON as that of the recording; it has first_step, first_time or first_token */
    uint64_t seed;
} vkdlm_trajectory_resumption;

/* Pointers live as long as the trajectory; texts are UTF-8 without NUL, "" when the file has none. */
typedef struct vkdlm_trajectory_info {
    vkdlm_trajectory_kind kind;
    uint32_t n_candidates; /* K, 0: none were recorded */
    /* Masked runs. */
    uint32_t n_steps; /* S */
    uint32_t length;  /* L */
    int32_t mask_id;  /* -1 when the file does not tell */
    /* Flow runs. */
    uint32_t n_tokens;      /* N */
    uint32_t n_evaluations; /* E */
    uint32_t dim;           /* n */
    const int32_t *tokens;  /* [n_tokens] */
    uint32_t n_pieces;
    uint32_t n_prompt_ids;     /* of a flow, the tokens before the new ones; 0: the file does not tell */
    const int32_t *prompt_ids; /* [n_prompt_ids] */
    uint32_t n_resumptions;
    const vkdlm_trajectory_resumption *resumptions; /* [n_resumptions], steps ascending */
    vkdlm_prompt_kind prompt_kind;
    const char *model, *sampler, *seed, *device, *prompt, *tokenizer, *l2d;
} vkdlm_trajectory_info;

/* Opens a file through mmap and checks every tensor's type and shape, that ids are not negative (candidates:
 * -1 or more), that pieces are ascending and their offsets within the bytes, that evaluations follow one
 * another, and that resumptions and their edits lie in the run. Floats may be anything. Errors: NOT_FOUND,
 * IO, MALFORMED (file, tensor, expected, found), UNSUPPORTED (another version), OUT_OF_HOST_MEMORY. *out is
 * NULL on failure; NULL may be closed. The file must not shrink while it is open. */
VKDLM_API vkdlm_status vkdlm_trajectory_open(const char *path, vkdlm_trajectory **out, vkdlm_error *err);
VKDLM_API void vkdlm_trajectory_close(vkdlm_trajectory *trajectory);

VKDLM_API void vkdlm_trajectory_get_info(const vkdlm_trajectory *trajectory, vkdlm_trajectory_info *out);

/* The state of a masked run after a step, and what the step's evaluation found. */
typedef struct vkdlm_trajectory_step {
    const int32_t *tokens; /* [length] */
    float time;            /* t, 1 at the start */
    int32_t evaluations;   /* so far */
    /* Of the step; NULL (and 0) for step 0, the start. Of a position that was not evaluated: ids -1,
     * probabilities 0, entropy and confidence NaN. */
    const int32_t *previous; /* tokens before the step, [length] */
    const int32_t
        *topk_ids; /* [length, n_candidates], most probable first; -1: fewer tokens had a probability */
    const float *topk_probs; /* [length, n_candidates] */
    const float *entropy;    /* [length], nats */
    const float *confidence; /* [length]: probability of the token it took, or that stays masked would take */
    int64_t host_ns, device_ns;
} vkdlm_trajectory_step;

/* step: 0 (the start) .. n_steps. False, and *out zeroed, past the end and for a flow's run. */
VKDLM_API bool vkdlm_trajectory_get_step(const vkdlm_trajectory *trajectory, uint32_t step,
                                         vkdlm_trajectory_step *out);

/* One evaluation of a flow's run; fields as in vkdlm_flow_step. */
typedef struct vkdlm_trajectory_evaluation {
    uint32_t token_index; /* ascending */
    float time;
    const float *x; /* [dim] */
    int32_t xhat_id;
    const int32_t *topk_ids; /* [n_candidates] */
    const float *topk_probs; /* [n_candidates] */
    float entropy, wd_norm;
    int64_t device_ns;
} vkdlm_trajectory_evaluation;

/* False, and *out zeroed, past the end and for a masked run. */
VKDLM_API bool vkdlm_trajectory_get_evaluation(const vkdlm_trajectory *trajectory, uint32_t index,
                                               vkdlm_trajectory_evaluation *out);

/* First evaluation of new token `token` (0 .. n_tokens): those of the token are [first(token), first(token +
 * 1)), none when it was not refined. */
VKDLM_API uint32_t vkdlm_trajectory_first_evaluation(const vkdlm_trajectory *trajectory, uint32_t token);

/* The bytes of a token, which may be a part of a character and hold anything; NULL when the file does not
 * have them. */
VKDLM_API const char *vkdlm_trajectory_piece(const vkdlm_trajectory *trajectory, int32_t id, size_t *size);

/* ---- options as text --------------------------------------------------------------------------------- */

/* The options of a run as the metadata `sampler` of a recording has them: a JSON object with every default
 * resolved, but without canvases, prompts, seed, samples, batch and callbacks, and without members that the
 * sampler, the schedule or the solver does not take. A run with the options that are read from it does the
 * same. NULL when there is no memory; to be freed by free(). */
VKDLM_API char *vkdlm_generate_options_write(const vkdlm_generate_options *options);
/* flow: of the model, for its defaults. max_tokens 0 is left to the prompt, x_0 is not a part. */
VKDLM_API char *vkdlm_complete_options_write(const vkdlm_complete_options *options,
                                             const vkdlm_flow_info *flow);

/* Reads such a text back into options that begin zeroed. Members that are missing keep their default; others
 * than those written are passed over. Values are checked only for their type and range of the field, as the
 * run checks the rest. *out is zeroed on failure. Errors: MALFORMED names the member, what was expected and
 * found; OUT_OF_HOST_MEMORY. */
VKDLM_API vkdlm_status vkdlm_generate_options_read(const char *json, vkdlm_generate_options *out,
                                                   vkdlm_error *err);
/* out->flow.temperature points to `temperature`, an array of the caller's that receives the schedule's name
 * and must live as long as the options. */
#define VKDLM_TEMPERATURE_BYTES 64
VKDLM_API vkdlm_status vkdlm_complete_options_read(const char *json, vkdlm_complete_options *out,
                                                   char temperature[VKDLM_TEMPERATURE_BYTES],
                                                   vkdlm_error *err);

/* ---- recording ------------------------------------------------------------------------------------ */

/* Writes one sample of a run as it goes, by the callbacks below. Memory does not grow with the steps: they
 * wait in a file without a name beside the target until the recording is finished, and only then the target
 * appears, whole. */
typedef struct vkdlm_recorder vkdlm_recorder;

/* Zeroed but for info and one of masked and flow is a valid default. Everything is copied. */
typedef struct vkdlm_recorder_options {
    const vkdlm_generate_options
        *masked; /* the run: what the file says of it, and how many candidates it keeps */
    const vkdlm_complete_options *flow;
    uint64_t sample; /* which sample of the run is recorded; steps of others are passed over */
    const vkdlm_model_info
        *info;         /* of the model that runs: its mask token, and defaults of its diffusion path */
    const char *model; /* of the metadata, UTF-8; NULL: "" */
    const char *device;
    const char *prompt;
    vkdlm_prompt_kind prompt_kind;
    const vkdlm_trajectory_resumption *resumptions; /* [n_resumptions], steps ascending */
    uint32_t n_resumptions;
    const char *tokenizer_path;
    const char *l2d;                  /* where the diffusion path is, unless it belongs to the model */
    const vkdlm_tokenizer *tokenizer; /* gives the pieces and must outlive the recorder; NULL: no pieces */
} vkdlm_recorder_options;

/* Errors: INVALID_ARGUMENT, NOT_FOUND (no such directory), IO, OUT_OF_HOST_MEMORY. */
VKDLM_API vkdlm_status vkdlm_recorder_create(const char *path, const vkdlm_recorder_options *options,
                                             vkdlm_recorder **out, vkdlm_error *err);

/* Ready-made callbacks: pass them as on_step, or as on_flow_step and on_token, with the recorder as the user
 * pointer, or call them from callbacks of your own. They give false after a failure (a full disk), of which
 * finish tells. */
VKDLM_API bool vkdlm_recorder_on_step(void *recorder, const vkdlm_step *step);
VKDLM_API bool vkdlm_recorder_on_flow_step(void *recorder, const vkdlm_flow_step *step);
VKDLM_API bool vkdlm_recorder_on_token(void *recorder, const vkdlm_token_step *step);
/* Not needed, but for samples that no step was run for, whose canvas it records. */
VKDLM_API bool vkdlm_recorder_on_sample(void *recorder, const vkdlm_sample *sample);

/* Writes the file with what has been recorded so far (a cancelled run: the steps that were finished) and
 * destroys the recorder whatever the outcome. Errors: IO (that of a callback included); INVALID_ARGUMENT when
 * nothing was recorded; OUT_OF_HOST_MEMORY. On failure there is no file, or the one that was there before. */
VKDLM_API vkdlm_status vkdlm_recorder_finish(vkdlm_recorder *recorder, vkdlm_error *err);
/* Gives up: writes nothing. NULL is allowed. */
VKDLM_API void vkdlm_recorder_abort(vkdlm_recorder *recorder);

#ifdef __cplusplus
}
#endif

#endif
