/* Reading the values of a tokenizer.json; internal to its two source files. */
#ifndef TEXT_TOKENIZER_JSON_H
#define TEXT_TOKENIZER_JSON_H

#include <jansson.h>

#include "text/tokenizer.h"

/* Member of an object, NULL when it is absent or null or `object` is no object. */
const json_t *tokenizer_json_get(const json_t *object, const char *key);

/* MALFORMED: "COMPONENT: KEY is not EXPECTED". */
vkdlm_status tokenizer_json_expected(const char *component, const char *key, const char *expected,
                                     vkdlm_error *err);

/* Reads a boolean; absent gives otherwise, or is an error when `otherwise` is negative. */
vkdlm_status tokenizer_json_flag(const json_t *object, const char *component, const char *key, int otherwise,
                                 bool *out, vkdlm_error *err);

/* Each reads one component of the file's root into t. The post-processor needs all tokens to be there.
 * Errors: MALFORMED, UNSUPPORTED, OUT_OF_HOST_MEMORY. */
vkdlm_status tokenizer_json_normalizer(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err);
vkdlm_status tokenizer_json_pretokenizer(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err);
vkdlm_status tokenizer_json_post_processor(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err);
vkdlm_status tokenizer_json_decoder(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err);

#endif
