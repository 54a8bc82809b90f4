#include "text/pretokenize.h"

#include <string.h>

#include "base/error.h"

static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static vkdlm_status add_stage(pretokenizer *p, pretokenizer_stage stage, vkdlm_error *err)
{
    if (p->byte_level || p->n_stages == PRETOKENIZER_MAX_STAGES) {
        regex_destroy(stage.pattern);
        return p->byte_level
                   ? error_set(err, VKDLM_UNSUPPORTED, "a pre-tokenizer behind ByteLevel is not supported")
                   : error_set(err, VKDLM_UNSUPPORTED, "more than %d pre-tokenizers are not supported",
                               PRETOKENIZER_MAX_STAGES);
    }
    p->stages[p->n_stages++] = stage;
    return VKDLM_OK;
}

vkdlm_status pretokenizer_add_split(pretokenizer *p, const char *pattern, size_t size, bool literal,
                                    split_behavior behavior, bool invert, vkdlm_error *err)
{
    pretokenizer_stage stage = {.behavior = behavior, .invert = invert};
    vkdlm_status status = regex_create(pattern, size, literal, &stage.pattern, err);
    return status ? status : add_stage(p, stage, err);
}

vkdlm_status pretokenizer_add_byte_level(pretokenizer *p, bool add_prefix_space, bool use_regex,
                                         vkdlm_error *err)
{
    pretokenizer_stage stage = {.behavior = SPLIT_ISOLATED, .add_prefix_space = add_prefix_space};
    vkdlm_status status = VKDLM_OK;
    if (use_regex)
        status = regex_create(gpt2_pattern, sizeof gpt2_pattern - 1, false, &stage.pattern, err);
    if (!status)
        status = add_stage(p, stage, err);
    p->byte_level = p->byte_level || !status;
    return status;
}

void pretokenizer_deinit(pretokenizer *p)
{
    for (size_t i = 0; i < p->n_stages; i++)
        regex_destroy(p->stages[i].pattern);
    *p = (pretokenizer){0};
}

static vkdlm_status run_stage(pretokenizer_run *run, size_t index, const char *text, size_t n);

/* The piece under construction while a stage walks over its matches. */
typedef struct pending {
    size_t start, end;
    bool matched; /* its last part was a match */
    bool any;
} pending;

static vkdlm_status flush(pretokenizer_run *run, size_t index, const char *text, const pending *piece)
{
    if (!piece->any)
        return VKDLM_OK;
    return run_stage(run, index + 1, text + piece->start, piece->end - piece->start);
}

/* True when a part joins the piece before it. */
static bool joins(split_behavior behavior, const pending *piece, bool matched)
{
    if (!piece->any)
        return false;
    switch (behavior) {
    case SPLIT_MERGED_WITH_PREVIOUS:
        return matched && !piece->matched;
    case SPLIT_MERGED_WITH_NEXT:
        return !matched && piece->matched;
    case SPLIT_CONTIGUOUS:
        return matched == piece->matched;
    case SPLIT_REMOVED:
    case SPLIT_ISOLATED:
        break;
    }
    return false;
}

/* Takes the next part of the text, a match or what lies before one. */
static vkdlm_status take_part(pretokenizer_run *run, size_t index, const char *text, pending *piece,
                              size_t start, size_t end, bool matched)
{
    const pretokenizer_stage *stage = &run->p->stages[index];
    matched = matched != stage->invert;
    if (joins(stage->behavior, piece, matched)) {
        piece->end = end;
        piece->matched = matched;
        return VKDLM_OK;
    }
    vkdlm_status status = flush(run, index, text, piece);
    *piece = (pending){start, end, matched, !(matched && stage->behavior == SPLIT_REMOVED)};
    return status;
}

/* Length of the character at text[i], 1 at the end. */
static size_t character_length(const char *text, size_t n, size_t i)
{
    size_t length = 1;
    while (i + length < n && ((unsigned char)text[i + length] & 0xC0) == 0x80)
        length++;
    return length;
}

static vkdlm_status split_by_pattern(pretokenizer_run *run, size_t index, const char *text, size_t n)
{
    const regex *pattern = run->p->stages[index].pattern;
    pending piece = {0};
    size_t from = 0, previous_end = 0;
    bool any_match = false;
    while (from <= n) {
        bool found;
        size_t start, end;
        vkdlm_status status = regex_find(pattern, run->match, text, n, from, &found, &start, &end, run->err);
        if (status)
            return status;
        if (!found)
            break;
        /* An empty match that touches the one before it is none. */
        if (start == end && any_match && end == previous_end) {
            from += character_length(text, n, from);
            continue;
        }
        if (start > previous_end)
            status = take_part(run, index, text, &piece, previous_end, start, false);
        if (!status)
            status = take_part(run, index, text, &piece, start, end, true);
        if (status)
            return status;
        any_match = true;
        from = previous_end = end;
    }
    vkdlm_status status = VKDLM_OK;
    if (previous_end < n)
        status = take_part(run, index, text, &piece, previous_end, n, false);
    return status ? status : flush(run, index, text, &piece);
}

/* Runs stage `index` and those behind it over one piece. */
static vkdlm_status run_stage(pretokenizer_run *run, size_t index, const char *text, size_t n)
{
    if (n == 0)
        return VKDLM_OK;
    if (index == run->p->n_stages)
        return run->word(run->user, text, n, run->err);
    const pretokenizer_stage *stage = &run->p->stages[index];
    if (stage->add_prefix_space && text[0] != ' ') {
        /* Only the byte-level stage, the last, asks for it: one buffer is enough. */
        run->prefixed.size = 0;
        if (!text_bytes_append(&run->prefixed, " ", 1) || !text_bytes_append(&run->prefixed, text, n))
            return error_set(run->err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for %zu bytes of text", n);
        text = run->prefixed.data;
        n++;
    }
    return stage->pattern ? split_by_pattern(run, index, text, n) : run_stage(run, index + 1, text, n);
}

vkdlm_status pretokenizer_split(pretokenizer_run *run, const char *text, size_t n)
{
    return run_stage(run, 0, text, n);
}
