/* Cutting text into words: a chain of splits, each applied to the pieces of the one before it. */
#ifndef TEXT_PRETOKENIZE_H
#define TEXT_PRETOKENIZE_H

#include "text/regex.h"

/* What becomes of the matches of a split. */
typedef enum split_behavior {
    SPLIT_REMOVED,              /* left out */
    SPLIT_ISOLATED,             /* words of their own */
    SPLIT_MERGED_WITH_PREVIOUS, /* appended to the piece before */
    SPLIT_MERGED_WITH_NEXT,     /* put in front of the piece behind */
    SPLIT_CONTIGUOUS,           /* neighbouring matches are one word */
} split_behavior;

typedef struct pretokenizer_stage {
    regex *pattern; /* NULL: the piece stays whole */
    split_behavior behavior;
    bool invert;           /* what lies between the matches counts as the match */
    bool add_prefix_space; /* a piece that does not start with a space gets one first */
} pretokenizer_stage;

#define PRETOKENIZER_MAX_STAGES 32

/* A zeroed struct has no stage and leaves text whole. Immutable once filled. */
typedef struct pretokenizer {
    pretokenizer_stage stages[PRETOKENIZER_MAX_STAGES];
    size_t n_stages;
    bool byte_level; /* the byte-level stage was added; it is the last */
} pretokenizer;

/* Adds a split by a pattern (a literal string or a regular expression). Errors: those of regex_create;
 * UNSUPPORTED when there are too many stages or the byte-level stage was added. */
vkdlm_status pretokenizer_add_split(pretokenizer *p, const char *pattern, size_t size, bool literal,
                                    split_behavior behavior, bool invert, vkdlm_error *err);

/* Adds the byte-level stage, which with use_regex splits as GPT-2 does. Errors as above. */
vkdlm_status pretokenizer_add_byte_level(pretokenizer *p, bool add_prefix_space, bool use_regex,
                                         vkdlm_error *err);

void pretokenizer_deinit(pretokenizer *p);

/* Takes one word of n > 0 bytes, valid during the call; a status other than OK ends the run. */
typedef vkdlm_status (*pretokenizer_word)(void *user, const char *word, size_t n, vkdlm_error *err);

/* One run over one text. */
typedef struct pretokenizer_run {
    const pretokenizer *p;
    regex_match *match;
    text_bytes prefixed; /* memory of the byte-level stage; zeroed at first, the caller frees it */
    pretokenizer_word word;
    void *user;
    vkdlm_error *err;
} pretokenizer_run;

/* Gives the words of the n bytes of well-formed UTF-8 at text to run->word in order. Errors: those of
 * regex_find and of run->word. */
vkdlm_status pretokenizer_split(pretokenizer_run *run, const char *text, size_t n);

#endif
