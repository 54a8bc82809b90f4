/* What is given on the command line, turned into the canvases, or prompts, that generation starts from. */
#ifndef CLI_CANVAS_H
#define CLI_CANVAS_H

#include <vkdlm/chat.h>
#include <vkdlm/session.h>

/* What canvases have to fit. */
typedef struct canvas_rules {
    const vkdlm_tokenizer *tokenizer; /* NULL: only ids can be given */
    uint32_t vocab_size;              /* ids are below it */
    int32_t mask_id;
    uint32_t model_length; /* the longest canvas */
    uint32_t length;       /* of a canvas that begins with a prompt, 1 .. model_length */
    bool may_be_full;      /* a canvas without masks is accepted */
    /* Prompts of an autoregressive model, which are what is given and nothing else, length tokens at most. */
    bool causal;
    int32_t empty_id;                /* what stands for an empty prompt, -1: none is accepted */
    const vkdlm_chat_template *chat; /* texts are a user's message in this template; NULL: they are not */
    const char *system;              /* system message before it, or NULL */
} canvas_rules;

/* The rules of a model: a canvas as long as it may be, or a prompt that leaves room for a token. tokenizer
 * may be NULL. */
canvas_rules canvas_rules_of(const vkdlm_model_info *info, const vkdlm_tokenizer *tokenizer);

/* Canvases one behind the other. A zeroed struct is empty. */
typedef struct canvas_set {
    int32_t *tokens;
    size_t n_tokens, capacity_tokens;
    uint32_t *lengths; /* [n] */
    uint32_t n, capacity;
    vkdlm_canvas *canvases; /* [n], after canvas_set_finish */
} canvas_set;

void canvas_set_deinit(canvas_set *set);

/* Each of these adds one canvas; where ("the prompt", "line 3 of 'x.jsonl'") begins the sentence of a
 * failure. Errors: MALFORMED (not ids; too long; an id out of range; nothing to fill), OUT_OF_HOST_MEMORY.
 *
 * A prompt stands at the start, masks fill the rest up to rules->length. Text is tokenized as the tokenizer's
 * default says (its post-processor may add a first token); ids are whole numbers between spaces or commas,
 * among which the mask id marks a position to fill. */
vkdlm_status canvas_add_text(canvas_set *set, const canvas_rules *rules, const char *where, const char *text,
                             size_t size, vkdlm_error *err);
vkdlm_status canvas_add_ids(canvas_set *set, const canvas_rules *rules, const char *where, const int32_t *ids,
                            size_t n, vkdlm_error *err);

/* Adds one canvas with nothing given. */
vkdlm_status canvas_add_empty(canvas_set *set, const canvas_rules *rules, vkdlm_error *err);

/* The canvas is the template: text, tokenized piece by piece with nothing added, and for each [MASK] or
 * [MASK:N] one or N masks. At least one, and at most model_length tokens in all. */
vkdlm_status canvas_add_template(canvas_set *set, const canvas_rules *rules, const char *text, size_t size,
                                 vkdlm_error *err);

/* Adds one canvas a line: {"text":"..."} or {"ids":[...]}; empty lines are passed over. path names the file
 * in errors, which include: no line at all. */
vkdlm_status canvas_add_jsonl(canvas_set *set, const canvas_rules *rules, const char *path, const char *bytes,
                              size_t size, vkdlm_error *err);

/* Fills set->canvases; nothing is added afterwards. */
vkdlm_status canvas_set_finish(canvas_set *set, vkdlm_error *err);

/* Reads "1 2, 3": whole numbers below 2^31 between spaces or commas. The caller frees *ids (NULL when there
 * are none). */
vkdlm_status canvas_read_ids(const char *where, const char *text, size_t size, int32_t **ids, size_t *n,
                             vkdlm_error *err);

#endif
