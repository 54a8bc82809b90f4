/* Byte-level BPE tokenizers: text to token ids and back.
 *
 * Thread rules: a tokenizer is immutable after open and may be used from any thread at once;
 * a decoder belongs to one thread at a time. */
#ifndef VKDLM_TOKENIZER_H
#define VKDLM_TOKENIZER_H

#include <vkdlm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkdlm_tokenizer vkdlm_tokenizer;
typedef struct vkdlm_decoder vkdlm_decoder;

/* How text is read; a combination of bits. */
enum vkdlm_tokenize_flags {
    VKDLM_TOKENIZE_DEFAULT = 0,         /* add what the post-processor adds, recognise special tokens */
    VKDLM_TOKENIZE_NO_SPECIAL = 1 << 0, /* add nothing */
    VKDLM_TOKENIZE_PLAIN = 1 << 1, /* read special tokens in the text as ordinary text, and add nothing */
};

/* A sequence of token ids. The library allocates `ids`; free it with vkdlm_ids_free. */
typedef struct vkdlm_ids {
    int32_t *ids;
    size_t count;
} vkdlm_ids;

/* A piece of text. The library allocates `bytes` (with a NUL after the last byte that size does
 * not count; NUL may also occur inside); free it with vkdlm_text_free. */
typedef struct vkdlm_text {
    char *bytes;
    size_t size;
} vkdlm_text;

/* Opens `path`: a tokenizer.json, a vocab.json (merges.txt beside it), a directory that holds either, or a
 * GGUF file. Errors: NOT_FOUND, IO, MALFORMED, UNSUPPORTED (a model other than byte-level BPE), each naming
 * the file. *out is NULL on failure. */
VKDLM_API vkdlm_status vkdlm_tokenizer_open(const char *path, vkdlm_tokenizer **out, vkdlm_error *err);

/* NULL is allowed. */
VKDLM_API void vkdlm_tokenizer_close(vkdlm_tokenizer *tokenizer);

/* One more than the largest token id, added tokens included. */
VKDLM_API uint32_t vkdlm_tokenizer_vocab_size(const vkdlm_tokenizer *tokenizer);

/* Id of the token whose content is exactly these bytes of text (an added token, or a vocabulary entry in its
 * byte-level spelling), -1 when there is none. */
VKDLM_API int32_t vkdlm_tokenizer_find(const vkdlm_tokenizer *tokenizer, const char *content);

/* True for an added token marked special (end of text, chat markers, ...). */
VKDLM_API bool vkdlm_tokenizer_is_special(const vkdlm_tokenizer *tokenizer, int32_t id);

/* The bytes that a token stands for, which may be a part of a character; none for an id that does not exist.
 * Those of a sequence, one after the other, are its text. */
VKDLM_API vkdlm_status vkdlm_tokenizer_piece(const vkdlm_tokenizer *tokenizer, int32_t id, vkdlm_text *out,
                                             vkdlm_error *err);

/* Encodes size bytes of text (NUL is a character like others). Text that is not UTF-8 is read with
 * each maximal ill-formed subpart replaced by U+FFFD. flags: vkdlm_tokenize_flags. *out is owned by
 * the caller on success and {NULL, 0} on failure. */
VKDLM_API vkdlm_status vkdlm_tokenize(const vkdlm_tokenizer *tokenizer, const char *text, size_t size,
                                      uint32_t flags, vkdlm_ids *out, vkdlm_error *err);

/* Decodes ids to valid UTF-8 (ill-formed bytes become U+FFFD; ids that do not exist are skipped).
 * skip_special leaves special tokens out. */
VKDLM_API vkdlm_status vkdlm_detokenize(const vkdlm_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                        bool skip_special, vkdlm_text *out, vkdlm_error *err);

VKDLM_API void vkdlm_ids_free(vkdlm_ids *ids);
VKDLM_API void vkdlm_text_free(vkdlm_text *text);

/* Streaming decode: pushing tokens one by one shows complete characters at once, holds an unfinished
 * valid prefix back, and gives U+FFFD for an ill-formed subpart as soon as it cannot be completed.
 * (Of an encoded surrogate, which nothing completes, the first two bytes wait for the third.)
 * The pieces, concatenated with the flush, equal vkdlm_detokenize of all ids.
 * The decoder keeps a pointer to the tokenizer, which must outlive it. */
VKDLM_API vkdlm_status vkdlm_decoder_create(const vkdlm_tokenizer *tokenizer, bool skip_special,
                                            vkdlm_decoder **out, vkdlm_error *err);
VKDLM_API void vkdlm_decoder_destroy(vkdlm_decoder *decoder);

/* *piece points into the decoder and stays valid until its next call; size excludes the NUL. */
VKDLM_API vkdlm_status vkdlm_decoder_push(vkdlm_decoder *decoder, int32_t id, const char **piece,
                                          size_t *size, vkdlm_error *err);
VKDLM_API vkdlm_status vkdlm_decoder_flush(vkdlm_decoder *decoder, const char **piece, size_t *size,
                                           vkdlm_error *err);

#ifdef __cplusplus
}
#endif

#endif
