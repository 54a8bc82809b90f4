/* Added tokens: strings that are cut out of the text, each becoming one token, before it is cut into words.
 *
 * At every place the longest string wins and matches do not overlap. A match that is refused (special where
 * special tokens are ordinary text, no word of its own) still covers its text. */
#ifndef TEXT_ADDED_TOKENS_H
#define TEXT_ADDED_TOKENS_H

#include "text/normalize.h"

enum added_flags {
    ADDED_SINGLE_WORD = 1 << 0, /* only where no letter, digit or the like touches it */
    ADDED_LSTRIP = 1 << 1,      /* takes the white space before it */
    ADDED_RSTRIP = 1 << 2,      /* takes the white space behind it */
    ADDED_NORMALIZED = 1 << 3,  /* looked for in the normalized text, by its normal form */
    ADDED_SPECIAL = 1 << 4,
};

typedef struct added_token {
    char *string; /* what is looked for, owned */
    size_t size;
    int32_t id;
    uint32_t flags;
    uint32_t order; /* the earlier of two tokens with the same normal form wins, special ones first */
} added_token;

/* One set of strings, sorted by their bytes. */
typedef struct added_set {
    added_token *tokens;
    size_t count, capacity;
    uint32_t first[257]; /* tokens[first[b]] is the first that starts with byte b */
} added_set;

/* Longest string of an added token, in bytes: bounds the time spent at each place of the text. */
#define ADDED_MAX_SIZE 1024

/* A zeroed struct holds no token. Immutable once sorted. */
typedef struct added_tokens {
    added_set raw, normalized;
} added_tokens;

/* Adds a token of n > 0 bytes at string (UTF-8, copied). Errors: UNSUPPORTED (too long), OUT_OF_HOST_MEMORY.
 */
vkdlm_status added_tokens_add(added_tokens *added, const char *string, size_t n, int32_t id, uint32_t flags,
                              const normalizer *z, vkdlm_error *err);

/* To be called once behind the last added_tokens_add. */
void added_tokens_sort(added_tokens *added);

void added_tokens_deinit(added_tokens *added);

/* Takes a part of the text: a token when id is not negative, else n > 0 bytes of text. */
typedef vkdlm_status (*added_part)(void *user, int32_t id, const char *text, size_t n, vkdlm_error *err);

/* Gives the parts of the n bytes of well-formed UTF-8 at text to `part` in order. plain refuses special
 * tokens. A status other than OK from `part` ends the walk and is returned. */
vkdlm_status added_set_split(const added_set *set, const char *text, size_t n, bool plain, added_part part,
                             void *user, vkdlm_error *err);

#endif
