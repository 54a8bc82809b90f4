/* The parts of a tokenizer and how they are put together; the public functions are in vkdlm/tokenizer.h.
 *
 * Text goes through: added tokens that match raw text -> normalizer -> added tokens that match normalized
 * text -> pre-tokenizer -> BPE of every word -> template. A builder fills the members in that order's
 * reverse (vocabulary, merges, ..., added tokens) and calls tokenizer_finish. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <vkdlm/tokenizer.h>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/vocab.h"

/* Stands for the encoded text among the ids of a template. */
#define TEMPLATE_TEXT (-1)

struct vkdlm_tokenizer {
    vocab vocab; /* the model's vocabulary and the added tokens */
    uint32_t n_model_tokens;
    int64_t next_added_id; /* one more than the largest id of an added token; 0 without */
    bpe model;
    added_tokens added;
    normalizer normalizer;
    pretokenizer pretokenizer;
    text_ids template_ids;  /* what encoding gives: ids, and TEMPLATE_TEXT for the text */
    bool decode_byte_level; /* false: tokens are shown as they are spelled, with spaces between them */
};

/* A tokenizer of no token, whose template is the text alone; NULL when out of memory. */
vkdlm_tokenizer *tokenizer_create(void);

/* Adds a token that is cut out of the text. declared_id is checked against the id that the string has in
 * the vocabulary, or else gets: the number of the model's tokens or one more than the largest added id.
 * flags: added_flags. The normalizer must be complete. Errors: MALFORMED (another id, an empty or repeated
 * string), UNSUPPORTED, OUT_OF_HOST_MEMORY. */
vkdlm_status tokenizer_add_token(vkdlm_tokenizer *t, const char *string, size_t n, int64_t declared_id,
                                 uint32_t flags, vkdlm_error *err);

/* Declares merge number `rank`, n bytes written "left right". Errors: MALFORMED. */
vkdlm_status tokenizer_add_merge(vkdlm_tokenizer *t, uint32_t rank, const char *s, size_t n,
                                 vkdlm_error *err);

/* To be called once when all parts are there: checks what holds for all tokenizers. Errors: UNSUPPORTED
 * (not byte-level). */
vkdlm_status tokenizer_finish(vkdlm_tokenizer *t, vkdlm_error *err);

/* Largest file that is read. */
#define TOKENIZER_MAX_FILE (128u << 20)

/* Builds a tokenizer from the n bytes of a tokenizer.json, or of a vocab.json and its merges.txt.
 * Errors: MALFORMED, UNSUPPORTED, OUT_OF_HOST_MEMORY, without the file's name. *out is NULL on failure. */
vkdlm_status tokenizer_parse_json(const char *json, size_t n, vkdlm_tokenizer **out, vkdlm_error *err);
vkdlm_status tokenizer_parse_gpt2(const char *vocab_json, size_t vocab_size, const char *merges,
                                  size_t merges_size, vkdlm_tokenizer **out, vkdlm_error *err);

#endif
