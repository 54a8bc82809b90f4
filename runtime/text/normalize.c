#include "text/normalize.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/utf8.h"

/* No character decomposes into more: U+FDFA, 18, is the longest. */
#define MAX_DECOMPOSITION 32

static const struct {
    utf8proc_option_t options; /* of utf8proc_decompose_char */
    bool compose;
    /* Lead bytes below it start characters that the form neither changes nor joins with others. */
    unsigned char first_lead;
} forms[] = {
    [NORMAL_FORM_C] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, true, 0xCC}, /* from U+0300 */
    [NORMAL_FORM_D] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, false, 0xC3},
    [NORMAL_FORM_KC] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, true, 0xC2},
    [NORMAL_FORM_KD] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, false, 0xC2},
};

/* Hugging Face's tokenizers normalize by Unicode 9, which knows no later character: neither
 * decompositions nor combining classes of these, assigned from Unicode 10 to 15, apply. */
static const struct {
    utf8proc_int32_t first, last;
} unknown_ranges[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785},
    {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
    {0x11839, 0x1183A}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C},
    {0x1FBF0, 0x1FBF9},
};

static bool unknown(utf8proc_int32_t cp)
{
    size_t low = 0, high = sizeof unknown_ranges / sizeof *unknown_ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cp > unknown_ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof unknown_ranges / sizeof *unknown_ranges && cp >= unknown_ranges[low].first;
}

vkdlm_status normalizer_add(normalizer *z, normal_form form, vkdlm_error *err)
{
    if (z->n_steps == NORMALIZER_MAX_STEPS)
        return error_set(err, VKDLM_UNSUPPORTED, "more than %d normalizers are not supported",
                         NORMALIZER_MAX_STEPS);
    z->steps[z->n_steps++] = form;
    return VKDLM_OK;
}

typedef struct code_points {
    utf8proc_int32_t *data;
    size_t count, capacity;
} code_points;

static bool reserve(code_points *points, size_t n)
{
    if (points->capacity - points->count >= n)
        return true;
    size_t capacity = points->capacity + points->capacity / 2 + n;
    if (capacity > SIZE_MAX / 2 / sizeof *points->data)
        return false;
    utf8proc_int32_t *data = realloc(points->data, capacity * sizeof *data);
    if (!data)
        return false;
    points->data = data;
    points->capacity = capacity;
    return true;
}

/* Appends the decompositions of all characters, not yet in canonical order. */
static bool decompose(code_points *points, const char *text, size_t n, utf8proc_option_t options)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += utf8_decode((const unsigned char *)text + i, n - i, &cp);
        if (!reserve(points, MAX_DECOMPOSITION))
            return false;
        if (unknown((utf8proc_int32_t)cp)) {
            points->data[points->count++] = (utf8proc_int32_t)cp;
            continue;
        }
        utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)cp, points->data + points->count,
                                                         MAX_DECOMPOSITION, options, NULL);
        if (count < 0 || count > MAX_DECOMPOSITION)
            return false;
        points->count += (size_t)count;
    }
    return true;
}

static unsigned combining_class(utf8proc_int32_t cp)
{
    unsigned class = (unsigned)utf8proc_get_property(cp)->combining_class & 0xFF;
    return class && !unknown(cp) ? class : 0;
}

/* Sorts a run of combining marks by class, keeping the order of equals. */
static bool sort_run(utf8proc_int32_t *run, size_t n)
{
    size_t starts[257] = {0};
    utf8proc_int32_t *sorted = malloc(n * sizeof *sorted);
    if (!sorted)
        return false;
    for (size_t i = 0; i < n; i++)
        starts[combining_class(run[i]) + 1]++;
    for (size_t c = 0; c < 256; c++)
        starts[c + 1] += starts[c];
    for (size_t i = 0; i < n; i++)
        sorted[starts[combining_class(run[i])]++] = run[i];
    memcpy(run, sorted, n * sizeof *sorted);
    free(sorted);
    return true;
}

static bool order_marks(code_points *points)
{
    for (size_t i = 0; i < points->count;) {
        size_t start = i;
        bool ordered = true;
        unsigned previous = 0;
        for (; i < points->count; i++) {
            unsigned class = combining_class(points->data[i]);
            if (class == 0)
                break;
            ordered = ordered && class >= previous;
            previous = class;
        }
        if (!ordered && !sort_run(points->data + start, i - start))
            return false;
        if (i == start)
            i++;
    }
    return true;
}

/* The character that two compose to; 0 when they do not. */
static utf8proc_int32_t compose_pair(utf8proc_int32_t first, utf8proc_int32_t second)
{
    utf8proc_int32_t pair[] = {first, second};
    /* utf8proc takes U+11A7, one before the first trailing consonant, for an empty one and drops it. */
    if (second == 0x11A7 || unknown(first) || unknown(second))
        return 0;
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1 || unknown(pair[0]))
        return 0;
    return pair[0];
}

/* Canonical composition in place, of characters in canonical order (Unicode 3.11, D117). */
static void compose(code_points *points)
{
    size_t n = 0, starter = SIZE_MAX;
    unsigned previous = 0; /* class of the last character kept behind the starter, 0 without */
    for (size_t i = 0; i < points->count; i++) {
        utf8proc_int32_t cp = points->data[i];
        unsigned class = combining_class(cp);
        if (starter != SIZE_MAX && (previous < class || starter + 1 == n)) {
            utf8proc_int32_t composed = compose_pair(points->data[starter], cp);
            if (composed) {
                points->data[starter] = composed;
                continue;
            }
        }
        if (class == 0)
            starter = n;
        previous = class;
        points->data[n++] = cp;
    }
    points->count = n;
}

static bool append_utf8(text_bytes *out, const code_points *points)
{
    if (!text_bytes_reserve(out, 4 * points->count + 1))
        return false;
    for (size_t i = 0; i < points->count; i++)
        out->size += utf8_encode((uint32_t)points->data[i], (unsigned char *)out->data + out->size);
    return true;
}

/* Appends one normal form of text to out. */
static bool normalize(normal_form form, const char *text, size_t n, text_bytes *out)
{
    code_points points = {0};
    bool ok = decompose(&points, text, n, forms[form].options) && order_marks(&points);
    if (ok && forms[form].compose)
        compose(&points);
    ok = ok && append_utf8(out, &points);
    free(points.data);
    return ok;
}

static bool unchanged(normal_form form, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= forms[form].first_lead)
            return false;
    return true;
}

vkdlm_status normalizer_run(const normalizer *z, const char *text, size_t n, text_bytes *buffer,
                            const char **out, size_t *out_size, vkdlm_error *err)
{
    for (size_t i = 0; i < z->n_steps; i++) {
        if (unchanged(z->steps[i], text, n))
            continue;
        text_bytes result = {0};
        if (!normalize(z->steps[i], text, n, &result)) {
            text_bytes_deinit(&result);
            return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for normalizing %zu bytes of text",
                             n);
        }
        text_bytes_deinit(buffer);
        *buffer = result;
        text = result.data;
        n = result.size;
    }
    *out = text;
    *out_size = n;
    return VKDLM_OK;
}
