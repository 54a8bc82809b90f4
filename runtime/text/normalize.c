#include "text/normalize.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/utf8.h"

/* No character decomposes into more: U+FDFA, 18, is the longest. */
#define MAX_DECOMPOSITION 32

static const struct {
    utf8proc_option_t options;
    /* Lead bytes below it start characters that the form neither changes nor joins with others. */
    unsigned char first_lead;
} forms[] = {
    [NORMAL_FORM_C] = {UTF8PROC_STABLE | UTF8PROC_COMPOSE, 0xCC}, /* from U+0300 */
    [NORMAL_FORM_D] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, 0xC3},
    [NORMAL_FORM_KC] = {UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, 0xC2},
    [NORMAL_FORM_KD] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, 0xC2},
};

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
    return (unsigned)utf8proc_get_property(cp)->combining_class & 0xFF;
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

static bool append_utf8(text_bytes *out, const code_points *points, size_t count)
{
    if (!text_bytes_reserve(out, 4 * count + 1))
        return false;
    for (size_t i = 0; i < count; i++)
        out->size += utf8_encode((uint32_t)points->data[i], (unsigned char *)out->data + out->size);
    return true;
}

/* Appends one normal form of text to out. */
static bool normalize(normal_form form, const char *text, size_t n, text_bytes *out)
{
    code_points points = {0};
    bool ok = decompose(&points, text, n, forms[form].options) && order_marks(&points);
    utf8proc_ssize_t count = (utf8proc_ssize_t)points.count;
    if (ok && forms[form].options & UTF8PROC_COMPOSE)
        count = utf8proc_normalize_utf32(points.data, count, forms[form].options);
    ok = ok && count >= 0 && append_utf8(out, &points, (size_t)count);
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
