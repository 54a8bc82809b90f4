/* The tokens of a tokenizer: their strings by id and their ids by string. */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include <vkdlm/status.h>

#include "text/buffer.h"

/* Ids lie below this bound; a table indexed by id stays small however large a file says an id is. */
#define VOCAB_MAX_IDS (1u << 22)

enum vocab_flags {
    VOCAB_MODEL = 1 << 0,   /* an entry of the BPE model's vocabulary */
    VOCAB_ADDED = 1 << 1,   /* an added token, cut out of the text before anything else reads it */
    VOCAB_SPECIAL = 1 << 2, /* an added token that decoding may leave out */
};

typedef struct vocab_token {
    uint32_t offset, size; /* of the string */
    int32_t id;
    uint32_t flags;
} vocab_token;

/* A zeroed struct is an empty vocabulary. Immutable once filled. */
typedef struct vocab {
    text_bytes strings;
    vocab_token *tokens; /* in the order in which they were added */
    uint32_t n_tokens, token_capacity;
    uint32_t *by_id; /* index + 1 of the token of an id, 0 for none */
    uint32_t n_ids;  /* one more than the largest id */
    uint32_t id_capacity;
    uint32_t *slots; /* hash table of index + 1, 0 for free; n_slots is 0 or a power of two */
    uint32_t n_slots;
    uint64_t seed;
} vocab;

/* Adds a token of `size` bytes at string (UTF-8, copied). An added token may take the id of an entry of
 * the model's vocabulary, which then stands for the added token. Errors: MALFORMED when the id is out of
 * range or taken, or the string is; OUT_OF_HOST_MEMORY. */
vkdlm_status vocab_add(vocab *v, const char *string, size_t size, int64_t id, uint32_t flags,
                       vkdlm_error *err);

/* The token with this string, and the one that an id stands for; NULL when there is none. */
vocab_token *vocab_find(const vocab *v, const char *string, size_t size);
const vocab_token *vocab_get(const vocab *v, int32_t id);

/* The bytes of a token's string (not NUL-terminated). */
static inline const char *vocab_string(const vocab *v, const vocab_token *token)
{
    return v->strings.data + token->offset;
}

void vocab_deinit(vocab *v);

#endif
