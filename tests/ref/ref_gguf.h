/* The scalar reference of causal language models on the dequantised weights of a GGUF file. */
#ifndef REF_GGUF_H
#define REF_GGUF_H

#include "ref/ref_llm.h"

/* Loads a file of the architecture llama or qwen2; NULL, with a line on standard error, on failure. Release
 * with ref_llm_close. */
ref_llm *ref_gguf_open(const char *path);

#endif
