/* Small tokenizer.json texts for tests, written with ' for ". */
#ifndef TEST_TOKENIZER_UTIL_H
#define TEST_TOKENIZER_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/tokenizer.h"

/* Byte-level tokens of "a", "b", "c", " ", CR, LF, the two bytes of "é", and a few merges of them. */
#define VOCAB                                                                            \
    "{'a':0,'b':1,'c':2,'\xC4\xA0':3,'\xC3\x83':4,'\xC2\xA9':5,'ab':6,'abc':7,'\xC4\xA0" \
    "a':8,'\xC3\x83\xC2\xA9':9,"                                                         \
    "'\xC4\x8A':10,'\xC4\x8D':11}"
#define MERGES                    "['a b','ab c','\xC4\xA0 a','\xC3\x83 \xC2\xA9']"
#define MODEL                     "{'type':'BPE','vocab':" VOCAB ",'merges':" MERGES "}"
#define BYTE_LEVEL                "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':true}"
#define PLAIN_LEVEL               "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':false}"
#define ADDED(id, content, flags) "{'id':" id ",'content':'" content "'" flags "}"

/* A file of these components; each is a JSON value. */
#define TOKENIZER_FILE(model, added, normalizer, pre_tokenizer, post_processor, decoder)   \
    "{'version':'1.0','model':" model ",'added_tokens':" added ",'normalizer':" normalizer \
    ",'pre_tokenizer':" pre_tokenizer ",'post_processor':" post_processor ",'decoder':" decoder "}"

/* Parses a text written with ' for ". */
static inline vkdlm_status parse_quoted(const char *text, vkdlm_tokenizer **out, vkdlm_error *err)
{
    char *json = strdup(text);
    assert_non_null(json);
    for (char *s = json; *s; s++)
        if (*s == '\'')
            *s = '"';
    vkdlm_status status = tokenizer_parse_json(json, strlen(json), out, err);
    free(json);
    return status;
}

static inline vkdlm_tokenizer *must_parse(const char *text)
{
    vkdlm_tokenizer *t;
    vkdlm_error err = {0};
    if (parse_quoted(text, &t, &err))
        fail_msg("%s", err.message);
    return t;
}

/* Encodes text and compares with expected, ids separated by spaces. */
static inline void expect_ids(const vkdlm_tokenizer *t, const char *text, uint32_t flags,
                              const char *expected)
{
    vkdlm_ids ids;
    vkdlm_error err = {0};
    char found[4096] = "";
    size_t size = 0;
    if (vkdlm_tokenize(t, text, strlen(text), flags, &ids, &err))
        fail_msg("'%s': %s", text, err.message);
    for (size_t i = 0; i < ids.count && size < sizeof found - 16; i++)
        size += (size_t)snprintf(found + size, sizeof found - size, "%s%d", i ? " " : "", ids.ids[i]);
    vkdlm_ids_free(&ids);
    if (strcmp(found, expected) != 0)
        fail_msg("'%s' gives '%s', expected '%s'", text, found, expected);
}

#endif
