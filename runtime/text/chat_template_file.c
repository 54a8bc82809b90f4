#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "base/file.h"
#include "format/gguf.h"
#include "text/chat_template.h"

#define MAX_FILE      ((size_t)16 << 20)
#define CONFIG_FILE   "tokenizer_config.json"
#define TEMPLATE_FILE "chat_template.jinja"

static vkdlm_status out_of_memory(vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for reading a chat template");
}

/* The text of `chat_template`: a string, or the entry called "default" of a list of named ones. */
static const char *find_template(const json_t *value)
{
    size_t i;
    json_t *entry;
    if (json_is_string(value))
        return json_string_value(value);
    json_array_foreach(value, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && !strcmp(name, "default"))
            return json_string_value(json_object_get(entry, "template"));
    }
    return NULL;
}

/* A token's text: a string, or the `content` of an object. */
static const char *token_text(const json_t *value)
{
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

/* Reads the configuration at `path`. An absent one is NULL when `optional`. The caller drops *out. */
static vkdlm_status read_config(const char *path, bool optional, json_t **out, vkdlm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    json_error_t why;
    *out = NULL;
    if (optional && file_probe(path) == FILE_MISSING)
        return VKDLM_OK;
    vkdlm_status status = file_read(path, MAX_FILE, &text, &size, err);
    if (status)
        return status;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (json_is_object(*out))
        return VKDLM_OK;
    status = *out ? error_set(err, VKDLM_MALFORMED, "'%s': expected an object, found another value", path)
                  : error_set(err, VKDLM_MALFORMED, "'%s' is not JSON: %s", path, why.text);
    json_decref(*out);
    *out = NULL;
    return status;
}

static vkdlm_status recognise(const char *path, const char *source, const json_t *config,
                              vkdlm_chat_template **out, vkdlm_error *err)
{
    vkdlm_error inner;
    vkdlm_status status =
        chat_template_recognise(source, token_text(json_object_get(config, "bos_token")), out, &inner);
    return status ? error_set(err, status, "'%s': %s", path, inner.message) : VKDLM_OK;
}

/* The template in a file of its own, whose tokens the configuration beside it tells. */
static vkdlm_status open_jinja(const char *path, const char *config_path, vkdlm_chat_template **out,
                               vkdlm_error *err)
{
    char *source = NULL;
    size_t size = 0;
    json_t *config = NULL;
    vkdlm_status status = file_read(path, MAX_FILE, &source, &size, err);
    if (!status && strlen(source) != size)
        status = error_set(err, VKDLM_MALFORMED, "'%s' holds a NUL, expected text", path);
    if (!status)
        status = read_config(config_path, true, &config, err);
    if (!status)
        status = recognise(path, source, config, out, err);
    json_decref(config);
    free(source);
    return status;
}

static vkdlm_status open_config(const char *path, vkdlm_chat_template **out, vkdlm_error *err)
{
    json_t *config = NULL;
    vkdlm_status status = read_config(path, false, &config, err);
    if (status)
        return status;
    const json_t *value = json_object_get(config, "chat_template");
    const char *source = find_template(value);
    if (source)
        status = recognise(path, source, config, out, err);
    else if (!value || json_is_null(value))
        status = error_set(err, VKDLM_NOT_FOUND, "'%s' has no chat_template", path);
    else
        status =
            error_set(err, VKDLM_MALFORMED,
                      "'%s': expected chat_template to be text or a list with one named \"default\"", path);
    json_decref(config);
    return status;
}

/* The text of the token that begins texts, NULL when the file names none (or memory is short: the family's
 * own serves as well). The caller frees it. */
static char *gguf_begin(const gguf *file)
{
    const gguf_value *tokens;
    int64_t id;
    gguf_string token = {0};
    if (gguf_get_array(file, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, NULL) ||
        gguf_get_integer(file, "tokenizer.ggml.bos_token_id", 0, INT64_MAX, &id, NULL) ||
        (uint64_t)id >= tokens->count)
        return NULL;
    const unsigned char *cursor = tokens->data;
    for (int64_t i = 0; i <= id; i++)
        token = gguf_next_string(&cursor);
    return strndup(token.bytes, token.size);
}

static vkdlm_status gguf_template(const gguf *file, vkdlm_chat_template **out, vkdlm_error *err)
{
    static const char key[] = "tokenizer.chat_template";
    gguf_string text;
    vkdlm_error inner;
    if (!gguf_find(file, key))
        return error_set(err, VKDLM_NOT_FOUND, "'%s' has no %s", file->path, key);
    vkdlm_status status = gguf_get_string(file, key, &text, err);
    if (status)
        return status;
    char *source = strndup(text.bytes, text.size), *begin = gguf_begin(file);
    if (source)
        status = chat_template_recognise(source, begin, out, &inner);
    else
        status = out_of_memory(&inner);
    free(source);
    free(begin);
    return status ? error_set(err, status, "'%s': %s", file->path, inner.message) : VKDLM_OK;
}

/* The template in the metadata of a GGUF file. */
static vkdlm_status open_gguf(const char *path, vkdlm_chat_template **out, vkdlm_error *err)
{
    file_map map;
    gguf file;
    vkdlm_status status = file_map_open(path, &map, err);
    if (status)
        return status;
    status = gguf_parse(map.data, map.size, path, &file, err);
    if (!status)
        status = gguf_template(&file, out, err);
    gguf_deinit(&file);
    file_map_close(&map);
    return status;
}

vkdlm_status vkdlm_chat_template_open(const char *path, vkdlm_chat_template **out, vkdlm_error *err)
{
    *out = NULL;
    if (gguf_probe(path))
        return open_gguf(path, out, err);
    bool named = file_has_suffix(path, ".jinja") || file_has_suffix(path, CONFIG_FILE);
    char *folder = file_probe(path) == FILE_DIRECTORY ? strdup(path) : file_dirname(path);
    char *config = folder ? file_join(folder, CONFIG_FILE) : NULL;
    char *jinja = folder ? file_join(folder, TEMPLATE_FILE) : NULL;
    vkdlm_status status;
    if (!config || !jinja)
        status = out_of_memory(err);
    else if (named && file_has_suffix(path, ".jinja"))
        status = open_jinja(path, config, out, err);
    else if (named)
        status = open_config(path, out, err);
    else if (file_probe(jinja) != FILE_MISSING)
        status = open_jinja(jinja, config, out, err);
    else if (file_probe(config) != FILE_MISSING)
        status = open_config(config, out, err);
    else
        status = error_set(err, VKDLM_NOT_FOUND,
                           "'%s' has no chat template: it holds neither " TEMPLATE_FILE " nor " CONFIG_FILE,
                           folder);
    free(folder);
    free(config);
    free(jinja);
    return status;
}
