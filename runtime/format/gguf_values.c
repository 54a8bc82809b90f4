/* Taking values out of the metadata of a GGUF file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "format/gguf.h"

static int compare_key(const void *key, const void *element)
{
    const gguf_value *const *value = element;
    return strcmp(key, (*value)->key);
}

const gguf_value *gguf_find(const gguf *file, const char *key)
{
    const gguf_value **found = bsearch(key, file->by_key, file->n_values, sizeof *file->by_key, compare_key);
    return found ? *found : NULL;
}

/* An integer as two's complement of 64 bits; *is_signed tells how to read it. False for another type. */
static bool integer_bits(const gguf_value *value, uint64_t *out, bool *is_signed)
{
    static const struct {
        unsigned char n_bytes;
        bool is_signed;
    } forms[] = {
        [GGUF_U8] = {1, false},  [GGUF_I8] = {1, true},  [GGUF_U16] = {2, false}, [GGUF_I16] = {2, true},
        [GGUF_U32] = {4, false}, [GGUF_I32] = {4, true}, [GGUF_U64] = {8, false}, [GGUF_I64] = {8, true},
    };
    size_t n = (size_t)value->type < sizeof forms / sizeof *forms ? forms[value->type].n_bytes : 0;
    if (n == 0)
        return false;
    *is_signed = forms[value->type].is_signed;
    bool negative = *is_signed && value->data[n - 1] & 0x80;
    uint64_t bits = negative ? UINT64_MAX : 0;
    for (size_t i = n; i-- > 0;)
        bits = bits << 8 | value->data[i];
    *out = bits;
    return true;
}

static bool number_of(const gguf_value *value, double *out)
{
    uint64_t bits;
    bool is_signed;
    if (value->type == GGUF_F32) {
        float number;
        memcpy(&number, value->data, sizeof number);
        *out = (double)number;
        return true;
    }
    if (value->type == GGUF_F64) {
        memcpy(out, value->data, sizeof *out);
        return true;
    }
    if (!integer_bits(value, &bits, &is_signed))
        return false;
    *out = is_signed ? (double)(int64_t)bits : (double)bits;
    return true;
}

static const char *type_name(gguf_type type)
{
    static const char *const names[] = {
#define TYPE_NAME(suffix, number, name, size) [number] = name,
        GGUF_TYPE_LIST(TYPE_NAME)
#undef TYPE_NAME
    };
    return names[type];
}

void gguf_describe(const gguf_value *value, char *out, size_t size)
{
    uint64_t bits;
    bool is_signed;
    double number;
    if (!value)
        snprintf(out, size, "nothing");
    else if (value->type == GGUF_ARRAY)
        snprintf(out, size, "an array of %" PRIu64 " x %s", value->count, type_name(value->element));
    else if (value->type == GGUF_STRING)
        snprintf(out, size, "\"%.*s\"", (int)(value->count < 100 ? value->count : 100), value->data);
    else if (value->type == GGUF_BOOL)
        snprintf(out, size, "%s", value->data[0] ? "true" : "false");
    else if (integer_bits(value, &bits, &is_signed))
        snprintf(out, size, is_signed && bits > INT64_MAX ? "-%" PRIu64 : "%" PRIu64,
                 is_signed && bits > INT64_MAX ? 0 - bits : bits);
    else if (number_of(value, &number))
        snprintf(out, size, "%.*g", value->type == GGUF_F32 ? 9 : 17, number);
}

vkdlm_status gguf_refuse(const gguf *file, const char *key, const char *expected, vkdlm_error *err)
{
    char found[160];
    gguf_describe(gguf_find(file, key), found, sizeof found);
    return error_set(err, VKDLM_MALFORMED, "'%s': %s: expected %s, found %s", file->path, key, expected,
                     found);
}

vkdlm_status gguf_get_string(const gguf *file, const char *key, gguf_string *out, vkdlm_error *err)
{
    const gguf_value *value = gguf_find(file, key);
    if (!value || value->type != GGUF_STRING || memchr(value->data, 0, (size_t)value->count) ||
        !utf8_valid(value->data, (size_t)value->count))
        return gguf_refuse(file, key, "a string of UTF-8 without NUL", err);
    *out = (gguf_string){(const char *)value->data, (size_t)value->count};
    return VKDLM_OK;
}

vkdlm_status gguf_get_bool(const gguf *file, const char *key, bool *out, vkdlm_error *err)
{
    const gguf_value *value = gguf_find(file, key);
    if (!value || value->type != GGUF_BOOL)
        return gguf_refuse(file, key, "a bool", err);
    *out = value->data[0] != 0;
    return VKDLM_OK;
}

vkdlm_status gguf_get_integer(const gguf *file, const char *key, int64_t min, int64_t max, int64_t *out,
                              vkdlm_error *err)
{
    const gguf_value *value = gguf_find(file, key);
    uint64_t bits;
    bool is_signed;
    if (value && integer_bits(value, &bits, &is_signed) && (is_signed || bits <= INT64_MAX) &&
        (int64_t)bits >= min && (int64_t)bits <= max) {
        *out = (int64_t)bits;
        return VKDLM_OK;
    }
    char expected[96];
    snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, min, max);
    return gguf_refuse(file, key, expected, err);
}

vkdlm_status gguf_get_number(const gguf *file, const char *key, double min, double max, double *out,
                             vkdlm_error *err)
{
    const gguf_value *value = gguf_find(file, key);
    double number;
    if (value && number_of(value, &number) && number >= min && number <= max) {
        *out = number;
        return VKDLM_OK;
    }
    char expected[96];
    snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
    return gguf_refuse(file, key, expected, err);
}

vkdlm_status gguf_get_array(const gguf *file, const char *key, gguf_type element, const gguf_value **out,
                            vkdlm_error *err)
{
    const gguf_value *value = gguf_find(file, key);
    if (!value || value->type != GGUF_ARRAY || value->element != element) {
        char expected[64];
        snprintf(expected, sizeof expected, "an array of %s", type_name(element));
        return gguf_refuse(file, key, expected, err);
    }
    *out = value;
    return VKDLM_OK;
}

vkdlm_status gguf_get_bool_or(const gguf *file, const char *key, bool otherwise, bool *out, vkdlm_error *err)
{
    if (gguf_find(file, key))
        return gguf_get_bool(file, key, out, err);
    *out = otherwise;
    return VKDLM_OK;
}

vkdlm_status gguf_get_integer_or(const gguf *file, const char *key, int64_t min, int64_t max,
                                 int64_t otherwise, int64_t *out, vkdlm_error *err)
{
    if (gguf_find(file, key))
        return gguf_get_integer(file, key, min, max, out, err);
    *out = otherwise;
    return VKDLM_OK;
}

vkdlm_status gguf_get_number_or(const gguf *file, const char *key, double min, double max, double otherwise,
                                double *out, vkdlm_error *err)
{
    if (gguf_find(file, key))
        return gguf_get_number(file, key, min, max, out, err);
    *out = otherwise;
    return VKDLM_OK;
}

bool gguf_string_is(gguf_string string, const char *text)
{
    return string.size == strlen(text) && memcmp(string.bytes, text, string.size) == 0;
}

gguf_string gguf_next_string(const unsigned char **cursor)
{
    uint64_t size = 0;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | (*cursor)[i];
    gguf_string string = {(const char *)*cursor + 8, (size_t)size};
    *cursor += 8 + size;
    return string;
}

int32_t gguf_i32_at(const gguf_value *array, uint64_t index)
{
    const unsigned char *bytes = array->data + 4 * index;
    return (int32_t)((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                     (uint32_t)bytes[3] << 24);
}
