#include "jsonl.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"

static vkdlm_status malformed(const jsonl_reader *reader, const char *what, vkdlm_error *err)
{
    return message_set(err, VKDLM_MALFORMED, "line %zu of '%.400s' %s", reader->number, reader->path, what);
}

static vkdlm_status read_ids(const jsonl_reader *reader, const json_t *array, jsonl_line *line,
                             vkdlm_error *err)
{
    size_t n = json_array_size(array);
    line->ids = malloc((n ? n : 1) * sizeof *line->ids);
    if (!line->ids)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for line %zu of '%.400s'",
                           reader->number, reader->path);
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(array, i);
        json_int_t value = json_integer_value(entry);
        if (!json_is_integer(entry) || value < 0 || value > INT32_MAX)
            return malformed(reader, "has an entry in \"ids\" that is not a token id", err);
        line->ids[i] = (int32_t)value;
    }
    line->n_ids = n;
    return VKDLM_OK;
}

static vkdlm_status read_line(const jsonl_reader *reader, const char *bytes, size_t size, jsonl_line *line,
                              vkdlm_error *err)
{
    json_error_t why;
    line->object = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!line->object)
        return message_set(err, VKDLM_MALFORMED, "line %zu of '%.400s' is not JSON: %s", reader->number,
                           reader->path, why.text);
    const json_t *text = json_object_get(line->object, "text");
    const json_t *ids = json_object_get(line->object, "ids");
    if (!text == !ids)
        return malformed(reader, "is not an object with either \"text\" or \"ids\"", err);
    if (ids && !json_is_array(ids))
        return malformed(reader, "has an \"ids\" that is not an array", err);
    if (ids)
        return read_ids(reader, ids, line, err);
    if (!json_is_string(text))
        return malformed(reader, "has a \"text\" that is not a string", err);
    line->text = json_string_value(text);
    line->text_size = json_string_length(text);
    return VKDLM_OK;
}

bool jsonl_next(jsonl_reader *reader, jsonl_line *line, vkdlm_status *status, vkdlm_error *err)
{
    *line = (jsonl_line){0};
    *status = VKDLM_OK;
    while (reader->size) {
        const char *bytes = reader->rest;
        const char *end = memchr(bytes, '\n', reader->size);
        size_t size = end ? (size_t)(end - bytes) : reader->size;
        size_t used = end ? size + 1 : size;
        reader->rest += used;
        reader->size -= used;
        reader->number++;
        while (size && strchr(" \t\r", bytes[size - 1]) && bytes[size - 1])
            size--;
        if (!size)
            continue;
        *status = read_line(reader, bytes, size, line, err);
        if (*status)
            jsonl_line_deinit(line);
        return !*status;
    }
    return false;
}

void jsonl_line_deinit(jsonl_line *line)
{
    json_decref(line->object);
    free(line->ids);
    *line = (jsonl_line){0};
}
