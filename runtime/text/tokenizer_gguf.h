/* Tokenizers in the metadata of GGUF files.
 *
 * Such a file lists tokens with their types and merges. How text is normalized and cut into words, and
 * whether merges are ignored and a text begins with a token of its own, are implied by the name of the
 * pre-tokenizer: "gpt-2", "llama-bpe" or "qwen2". Text is treated as the Hugging Face tokenizer does that the
 * file was made from: with "qwen2" it is brought to NFC first. */
#ifndef TEXT_TOKENIZER_GGUF_H
#define TEXT_TOKENIZER_GGUF_H

#include "format/gguf.h"
#include "text/tokenizer.h"

/* Builds the tokenizer. Errors: MALFORMED, UNSUPPORTED (not byte-level BPE, another pre-tokenizer),
 * OUT_OF_HOST_MEMORY, each naming the file. *out is NULL on failure. */
vkdlm_status tokenizer_from_gguf(const gguf *file, vkdlm_tokenizer **out, vkdlm_error *err);

/* The same from the file at `path`. */
vkdlm_status tokenizer_open_gguf(const char *path, vkdlm_tokenizer **out, vkdlm_error *err);

#endif
