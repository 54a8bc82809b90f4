/* Byte-pair encoding of one word: the bytes' tokens, joined pair by pair in the order of the merges. */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "text/buffer.h"
#include "text/vocab.h"

/* The pair left, right becomes id; the smallest rank is merged first. */
typedef struct bpe_merge {
    int32_t left, right; /* left is -1 in a free slot */
    uint32_t rank;
    int32_t id;
} bpe_merge;

/* Filled by bpe_init, bpe_add_merge and bpe_set_bytes, then immutable. */
typedef struct bpe {
    bpe_merge *merges; /* hash table, a power of two, at most half full */
    size_t n_slots;
    uint64_t seed;
    int32_t byte_ids[256]; /* token of each byte, -1 when the vocabulary has none */
    size_t max_token_size; /* longest spelling in the vocabulary */
    int32_t unk_id;        /* stands for a byte without token; -1: such bytes vanish */
    bool fuse_unk;         /* one unk_id for a run of such bytes */
    bool ignore_merges;    /* a word that is a token as a whole becomes that token */
} bpe;

/* Makes an empty model with room for n_merges. Errors: OUT_OF_HOST_MEMORY. */
vkdlm_status bpe_init(bpe *model, size_t n_merges, vkdlm_error *err);

/* Declares merge number `rank` of two tokens given by their spelling; the joined token must exist too.
 * A pair declared again takes the later rank. Errors: MALFORMED (no such token). */
vkdlm_status bpe_add_merge(bpe *model, const vocab *v, uint32_t rank, const char *left, size_t left_size,
                           const char *right, size_t right_size, vkdlm_error *err);

/* Looks up the tokens of the 256 bytes; true when all exist. v holds the model's vocabulary alone. */
bool bpe_set_bytes(bpe *model, const vocab *v);

/* A zeroed struct is allowed. */
void bpe_deinit(bpe *model);

typedef struct bpe_symbol bpe_symbol;
typedef struct bpe_candidate bpe_candidate;

/* Memory that encoding reuses from word to word; one per thread. Zeroed is empty. */
typedef struct bpe_scratch {
    bpe_symbol *symbols;
    bpe_candidate *heap;
    size_t capacity; /* symbols allocated */
    text_bytes spelling;
} bpe_scratch;

void bpe_scratch_deinit(bpe_scratch *scratch);

/* Longest word that can be encoded, in bytes. */
#define BPE_MAX_WORD (INT32_MAX / 4)

/* Appends the tokens of the word's n bytes (1 to BPE_MAX_WORD) to ids, in time n log n; false when out of
 * memory. v is the vocabulary the model was made with. */
bool bpe_encode(const bpe *model, const vocab *v, bpe_scratch *scratch, const char *word, size_t n,
                text_ids *ids);

#endif
