/* Reads what `bench --json` wrote. */
#include "bench_lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "message.h"

enum { MOST_BYTES = 64 << 20, MOST_NUMBER = 1 << 30 };

void bench_lines_free(bench_lines *lines)
{
    free(lines->rows);
    json_decref(lines->conditions);
    *lines = (bench_lines){0};
}

static vkdlm_status malformed(const char *path, size_t line, const char *what, vkdlm_error *err)
{
    return message_set(err, VKDLM_MALFORMED, "line %zu of '%.400s' %s", line, path, what);
}

static vkdlm_status out_of_memory(const char *path, vkdlm_error *err)
{
    return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for '%.400s'", path);
}

/* A text member of at most size - 1 bytes, "" when absent. */
static bool read_text(const json_t *object, const char *key, char *out, size_t size)
{
    const json_t *value = json_object_get(object, key);
    out[0] = 0;
    if (!value)
        return true;
    if (!json_is_string(value) || json_string_length(value) >= size)
        return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return strlen(out) == json_string_length(value);
}

/* A whole number from 0 on, 0 when absent. */
static bool read_count(const json_t *object, const char *key, uint32_t *out)
{
    const json_t *value = json_object_get(object, key);
    *out = 0;
    if (!value)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > MOST_NUMBER)
        return false;
    *out = (uint32_t)json_integer_value(value);
    return true;
}

static vkdlm_status read_row(const char *path, size_t number, const json_t *object, bench_line *row,
                             vkdlm_error *err)
{
    static const struct {
        const char *key;
        size_t offset, size;
    } texts[] = {{"kind", offsetof(bench_line, kind), sizeof row->kind},
                 {"group", offsetof(bench_line, group), sizeof row->group},
                 {"type", offsetof(bench_line, type), sizeof row->type},
                 {"of", offsetof(bench_line, of), sizeof row->of}};
    *row = (bench_line){0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!read_text(object, texts[i].key, (char *)row + texts[i].offset, texts[i].size))
            return message_set(err, VKDLM_MALFORMED,
                               "line %zu of '%.400s' has a \"%s\" that is not a text of at most %zu bytes",
                               number, path, texts[i].key, texts[i].size - 1);
    if (!*row->group)
        return malformed(path, number, "has no \"group\"", err);
    if (!read_count(object, "m", &row->m) || !read_count(object, "n", &row->n) ||
        !read_count(object, "k", &row->k))
        return malformed(path, number, "has an \"m\", \"n\" or \"k\" that is not a whole number", err);
    const json_t *us = json_object_get(object, "us");
    row->us = json_number_value(us);
    if (!json_is_number(us) || !(row->us > 0) || !isfinite(row->us))
        return malformed(path, number, "has no \"us\" above 0", err);
    const json_t *percent = json_object_get(object, "percent_of_limit");
    row->percent = percent ? json_number_value(percent) : NAN;
    if (percent && (!json_is_number(percent) || !(row->percent >= 0)))
        return malformed(path, number, "has a \"percent_of_limit\" that is not a number from 0 on", err);
    return VKDLM_OK;
}

static vkdlm_status add_line(const char *path, size_t number, const json_t *object, bench_lines *lines,
                             size_t *room, vkdlm_error *err)
{
    static const char *const kinds[] = {"probe", "kernel", "model"};
    const char *kind = json_string_value(json_object_get(object, "kind"));
    if (!kind)
        return malformed(path, number, "is not an object with a \"kind\"", err);
    if (!strcmp(kind, "conditions") && !lines->conditions)
        lines->conditions = json_deep_copy(object);
    if (!strcmp(kind, "summary"))
        lines->complete = json_is_true(json_object_get(object, "complete"));
    bool known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known |= !strcmp(kind, kinds[i]);
    if (!known)
        return VKDLM_OK; /* conditions, what was left out, the summary, what later versions add */
    if (lines->n == *room) {
        bench_line *grown = realloc(lines->rows, (2 * *room + 64) * sizeof *grown);
        if (!grown)
            return out_of_memory(path, err);
        lines->rows = grown;
        *room = 2 * *room + 64;
    }
    vkdlm_status status = read_row(path, number, object, &lines->rows[lines->n], err);
    lines->n += !status;
    return status;
}

vkdlm_status bench_lines_parse(const char *path, const char *bytes, size_t size, bench_lines *out,
                               vkdlm_error *err)
{
    size_t room = 0, number = 0;
    vkdlm_status status = VKDLM_OK;
    *out = (bench_lines){0};
    while (size && !status) {
        const char *end = memchr(bytes, '\n', size);
        size_t length = end ? (size_t)(end - bytes) : size, used = end ? length + 1 : length;
        number++;
        if (length) {
            json_error_t why;
            json_t *object = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &why);
            status = object ? add_line(path, number, object, out, &room, err)
                            : message_set(err, VKDLM_MALFORMED, "line %zu of '%.400s' is not JSON: %s",
                                          number, path, why.text);
            json_decref(object);
        }
        bytes += used;
        size -= used;
    }
    if (!status && !out->n)
        status = message_set(err, VKDLM_MALFORMED, "'%.400s' has no row of 'bench --json'", path);
    if (status)
        bench_lines_free(out);
    return status;
}

vkdlm_status bench_lines_read(const char *path, bench_lines *out, vkdlm_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    *out = (bench_lines){0};
    vkdlm_status status = input_read(path, MOST_BYTES, &bytes, &size, err);
    if (!status)
        status = bench_lines_parse(path, bytes, size, out, err);
    free(bytes);
    return status;
}
