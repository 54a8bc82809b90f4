/* Regular expressions of tokenizer files. They are written for Oniguruma's Ruby syntax over UTF-8; those
 * whose meaning is sure to be the same are translated to PCRE2, others refused. */
#ifndef TEXT_REGEX_H
#define TEXT_REGEX_H

#include <vkdlm/status.h>

#include "text/buffer.h"

/* Longest pattern that is accepted, in bytes. */
#define REGEX_MAX_PATTERN 8192

/* Appends to out the PCRE2 pattern (for UTF, UCP and MULTILINE, line feed as the newline) that matches what
 * the Ruby-syntax pattern of n bytes matches. Errors: UNSUPPORTED (a construct without sure translation),
 * MALFORMED, OUT_OF_HOST_MEMORY. */
vkdlm_status regex_translate(const char *pattern, size_t n, text_bytes *out, vkdlm_error *err);

/* A compiled pattern; immutable, usable from any thread. */
typedef struct regex regex;

/* State of matching; one per thread, usable with every pattern. */
typedef struct regex_match regex_match;

/* Compiles a Ruby-syntax pattern, or with `literal` a string that stands for itself. *out is NULL on
 * failure. Errors: those of regex_translate, MALFORMED when it does not compile. */
vkdlm_status regex_create(const char *pattern, size_t n, bool literal, regex **out, vkdlm_error *err);
void regex_destroy(regex *re);

/* NULL when out of memory. */
regex_match *regex_match_create(void);
void regex_match_destroy(regex_match *match);

/* Finds the first match at or behind `from` in the n bytes of well-formed UTF-8 at text; *found tells
 * whether there is one, *start and *end where. Work is bounded: UNSUPPORTED when the pattern backtracks
 * beyond all measure on this text, OUT_OF_HOST_MEMORY. */
vkdlm_status regex_find(const regex *re, regex_match *match, const char *text, size_t n, size_t from,
                        bool *found, size_t *start, size_t *end, vkdlm_error *err);

#endif
