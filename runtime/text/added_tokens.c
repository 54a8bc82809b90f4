#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/utf8.h"

static added_token *append(added_set *set)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity * 2 + 32;
        added_token *tokens = realloc(set->tokens, capacity * sizeof *tokens);
        if (!tokens)
            return NULL;
        set->tokens = tokens;
        set->capacity = capacity;
    }
    return &set->tokens[set->count];
}

vkdlm_status added_tokens_add(added_tokens *added, const char *string, size_t n, int32_t id, uint32_t flags,
                              const normalizer *z, vkdlm_error *err)
{
    if (n > ADDED_MAX_SIZE)
        return error_set(err, VKDLM_UNSUPPORTED, "an added token of %zu bytes is not supported, at most %d",
                         n, ADDED_MAX_SIZE);
    added_set *set = flags & ADDED_NORMALIZED ? &added->normalized : &added->raw;
    text_bytes buffer = {0};
    if (flags & ADDED_NORMALIZED) {
        vkdlm_status status = normalizer_run(z, string, n, &buffer, &string, &n, err);
        if (status)
            return status;
    }
    added_token *token = append(set);
    char *copy = token ? malloc(n + 1) : NULL;
    if (!copy) {
        text_bytes_deinit(&buffer);
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for the added tokens");
    }
    memcpy(copy, string, n);
    text_bytes_deinit(&buffer);
    uint32_t order = (uint32_t)set->count | (flags & ADDED_SPECIAL ? 0 : 1u << 31);
    *token = (added_token){copy, n, id, flags, order};
    set->count++;
    return VKDLM_OK;
}

static int compare(const void *a, const void *b)
{
    const added_token *x = a, *y = b;
    int sign = memcmp(x->string, y->string, x->size < y->size ? x->size : y->size);
    if (sign)
        return sign;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void sort(added_set *set)
{
    if (set->count)
        qsort(set->tokens, set->count, sizeof *set->tokens, compare);
    uint32_t i = 0;
    for (unsigned byte = 0; byte <= 256; byte++) {
        while (i < set->count && (unsigned char)set->tokens[i].string[0] < byte)
            i++;
        set->first[byte] = byte < 256 ? i : (uint32_t)set->count;
    }
}

void added_tokens_sort(added_tokens *added)
{
    sort(&added->raw);
    sort(&added->normalized);
}

static void deinit(added_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->tokens[i].string);
    free(set->tokens);
    *set = (added_set){0};
}

void added_tokens_deinit(added_tokens *added)
{
    deinit(&added->raw);
    deinit(&added->normalized);
}

/* First token in [low, high), which all share `depth` bytes, whose next byte is at least `byte`. A token
 * that ends at depth sorts before all others. */
static size_t lower_bound(const added_set *set, size_t low, size_t high, size_t depth, unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const added_token *token = &set->tokens[middle];
        if (token->size <= depth || (unsigned char)token->string[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that starts at text, n > 0 bytes; NULL when none does. */
static const added_token *longest(const added_set *set, const char *text, size_t n)
{
    const added_token *best = NULL;
    unsigned byte = (unsigned char)text[0];
    size_t low = set->first[byte];
    size_t high = set->first[byte + 1];
    for (size_t depth = 1; low < high; depth++) {
        if (set->tokens[low].size == depth)
            best = &set->tokens[low];
        if (depth == n)
            break;
        byte = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return best;
}

static bool is_space(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F ||
           cp == 0x3000;
}

/* Unicode's word characters: alphabetic, marks, decimal digits, connectors, joiners. The enclosed letters
 * are the alphabetic characters that are neither letters, letter numbers nor marks. */
static bool is_word(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return (cp >= 0x24B6 && cp <= 0x24E9) || (cp >= 0x1F130 && cp <= 0x1F149) ||
               (cp >= 0x1F150 && cp <= 0x1F169) || (cp >= 0x1F170 && cp <= 0x1F189) || cp == 0x200C ||
               cp == 0x200D;
    }
}

/* Start of the character that ends at `end` > 0. */
static size_t character_before(const char *text, size_t end, uint32_t *cp)
{
    size_t start = end - 1;
    while (start > 0 && ((unsigned char)text[start] & 0xC0) == 0x80)
        start--;
    utf8_decode((const unsigned char *)text + start, end - start, cp);
    return start;
}

static bool stands_alone(const char *text, size_t n, size_t start, size_t end)
{
    uint32_t cp;
    if (start > 0) {
        character_before(text, start, &cp);
        if (is_word(cp))
            return false;
    }
    if (end < n) {
        utf8_decode((const unsigned char *)text + end, n - end, &cp);
        if (is_word(cp))
            return false;
    }
    return true;
}

/* Start of the white space before `start`, at least `floor`. */
static size_t strip_left(const char *text, size_t floor, size_t start)
{
    uint32_t cp;
    while (start > floor) {
        size_t previous = character_before(text, start, &cp);
        if (!is_space(cp))
            break;
        start = previous;
    }
    return start > floor ? start : floor;
}

static size_t strip_right(const char *text, size_t n, size_t end)
{
    uint32_t cp;
    while (end < n) {
        size_t length = utf8_decode((const unsigned char *)text + end, n - end, &cp);
        if (!is_space(cp))
            break;
        end += length;
    }
    return end;
}

vkdlm_status added_set_split(const added_set *set, const char *text, size_t n, bool plain, added_part part,
                             void *user, vkdlm_error *err)
{
    size_t done = 0; /* everything before it was given away */
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; set->count && i < n && !status;) {
        const added_token *token = longest(set, text + i, n - i);
        if (!token) {
            i++;
            continue;
        }
        size_t start = i;
        size_t end = i += token->size;
        if ((plain && token->flags & ADDED_SPECIAL) ||
            (token->flags & ADDED_SINGLE_WORD && !stands_alone(text, n, start, end)))
            continue;
        if (token->flags & ADDED_LSTRIP)
            start = strip_left(text, done, start);
        if (token->flags & ADDED_RSTRIP)
            end = strip_right(text, n, end);
        if (done < start)
            status = part(user, -1, text + done, start - done, err);
        /* White space that the token before took leaves nothing of a token made of it. */
        if (!status && start < end)
            status = part(user, token->id, NULL, 0, err);
        done = end;
    }
    if (!status && done < n)
        status = part(user, -1, text + done, n - done, err);
    return status;
}
