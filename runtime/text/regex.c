#include "text/regex.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

/* Bounds on one search: backtracking steps (and as many more per byte of text, since a pattern like
 * \s*[\r\n]+ walks back over a run once), and memory of the interpreter. */
#define MATCH_STEPS          1000000u
#define MATCH_STEPS_PER_BYTE 16u
#define MATCH_HEAP_KIB       65536u

struct regex {
    pcre2_code *code;
};

struct regex_match {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

/* Status of a pattern that does not compile: beyond what PCRE2 can do, or wrong. */
static vkdlm_status refusal(int code)
{
    switch (code) {
    case PCRE2_ERROR_UNKNOWN_UNICODE_PROPERTY:
    case PCRE2_ERROR_QUANTIFIER_TOO_BIG:
    case PCRE2_ERROR_PATTERN_TOO_LARGE:
    case PCRE2_ERROR_PARENTHESES_NEST_TOO_DEEP:
    case PCRE2_ERROR_LOOKBEHIND_NOT_FIXED_LENGTH:
    case PCRE2_ERROR_LOOKBEHIND_TOO_LONG:
        return VKDLM_UNSUPPORTED;
    case PCRE2_ERROR_HEAP_FAILED:
        return VKDLM_OUT_OF_HOST_MEMORY;
    default:
        return VKDLM_MALFORMED;
    }
}

vkdlm_status regex_create(const char *pattern, size_t n, bool literal, regex **out, vkdlm_error *err)
{
    *out = NULL;
    vkdlm_status status = VKDLM_OUT_OF_HOST_MEMORY;
    text_bytes translated = {0};
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    regex *re = calloc(1, sizeof *re);
    if (!context || !re || !text_bytes_reserve(&translated, 1)) {
        error_set(err, status, "out of memory for a regular expression");
        goto done;
    }
    uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK;
    if (literal) {
        options |= PCRE2_LITERAL;
    } else {
        options |= PCRE2_UCP | PCRE2_MULTILINE;
        status = regex_translate(pattern, n, &translated, err);
        if (status)
            goto done;
        pattern = translated.data;
        n = translated.size;
    }
    int code;
    PCRE2_SIZE offset;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    re->code = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &offset, context);
    if (!re->code) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        status = refusal(code);
        error_set(err, status, "regular expression: %s", (const char *)message);
        goto done;
    }
    /* Without a compiler for this machine matching is slower, not different. */
    pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
    status = VKDLM_OK;
    *out = re;
    re = NULL;
done:
    regex_destroy(re);
    pcre2_compile_context_free(context);
    text_bytes_deinit(&translated);
    return status;
}

void regex_destroy(regex *re)
{
    if (re)
        pcre2_code_free(re->code);
    free(re);
}

regex_match *regex_match_create(void)
{
    regex_match *match = calloc(1, sizeof *match);
    if (!match)
        return NULL;
    match->data = pcre2_match_data_create(1, NULL);
    match->context = pcre2_match_context_create(NULL);
    if (!match->data || !match->context) {
        regex_match_destroy(match);
        return NULL;
    }
    pcre2_set_heap_limit(match->context, MATCH_HEAP_KIB);
    return match;
}

void regex_match_destroy(regex_match *match)
{
    if (!match)
        return;
    pcre2_match_data_free(match->data);
    pcre2_match_context_free(match->context);
    free(match);
}

/* Backtracking steps allowed in n bytes of text. */
static uint32_t step_limit(size_t n)
{
    size_t per_byte = (UINT32_MAX - MATCH_STEPS) / MATCH_STEPS_PER_BYTE;
    return n > per_byte ? UINT32_MAX : MATCH_STEPS + MATCH_STEPS_PER_BYTE * (uint32_t)n;
}

vkdlm_status regex_find(const regex *re, regex_match *match, const char *text, size_t n, size_t from,
                        bool *found, size_t *start, size_t *end, vkdlm_error *err)
{
    pcre2_set_match_limit(match->context, step_limit(n - from));
    int count =
        pcre2_match(re->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, match->data, match->context);
    /* Deep nesting overflows the small stack of compiled code; the interpreter has the heap. */
    if (count == PCRE2_ERROR_JIT_STACKLIMIT)
        count = pcre2_match(re->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                            match->data, match->context);
    *found = count >= 0;
    if (count >= 0) {
        const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(match->data);
        *start = offsets[0];
        *end = offsets[1];
        return VKDLM_OK;
    }
    if (count == PCRE2_ERROR_NOMATCH)
        return VKDLM_OK;
    if (count == PCRE2_ERROR_NOMEMORY)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for matching a regular expression");
    PCRE2_UCHAR message[128];
    pcre2_get_error_message(count, message, sizeof message);
    return error_set(err, VKDLM_UNSUPPORTED, "the pre-tokenizer's regular expression fails on this text: %s",
                     (const char *)message);
}
