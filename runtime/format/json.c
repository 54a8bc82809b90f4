#include "format/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"

/* True when brackets outside of strings nest at most JSON_MAX_DEPTH deep. jansson's parser recurses
 * up to 2048 levels, which a thread with a small stack may not have. */
static bool depth_is_bounded(const char *text, size_t n_bytes)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_MAX_DEPTH)
                return false;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return true;
}

static vkdlm_status parse(const char *text, size_t n_bytes, const char *where, bool array, json_t **out,
                          vkdlm_error *err)
{
    *out = NULL;
    if (!depth_is_bounded(text, n_bytes))
        return error_set(err, VKDLM_MALFORMED, "%s: expected JSON of at most %d levels, found deeper nesting",
                         where, JSON_MAX_DEPTH);
    json_error_t why = {0};
    json_t *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &why);
    /* Most failed allocations leave no text. */
    if (!root && (why.text[0] == 0 || json_error_code(&why) == json_error_out_of_memory))
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "%s: out of memory while parsing JSON", where);
    if (!root)
        return error_set(err, VKDLM_MALFORMED, "%s: expected JSON, found an error at byte %d: %s", where,
                         why.position, why.text);
    if (json_is_array(root) != array) {
        json_decref(root);
        return error_set(err, VKDLM_MALFORMED, "%s: expected a JSON %s, found %s", where,
                         array ? "array" : "object", array ? "an object" : "an array");
    }
    *out = root;
    return VKDLM_OK;
}

vkdlm_status json_parse_object(const char *text, size_t n_bytes, const char *where, json_t **out,
                               vkdlm_error *err)
{
    return parse(text, n_bytes, where, false, out, err);
}

vkdlm_status json_parse_array(const char *text, size_t n_bytes, const char *where, json_t **out,
                              vkdlm_error *err)
{
    return parse(text, n_bytes, where, true, out, err);
}

vkdlm_status json_open(const char *path, json_t **out, vkdlm_error *err)
{
    *out = NULL;
    file_map map;
    vkdlm_status status = file_map_open(path, &map, err);
    if (status)
        return status;
    char where[512];
    snprintf(where, sizeof where, "'%.500s'", path);
    if (map.size > JSON_MAX_FILE_BYTES)
        status = error_set(err, VKDLM_MALFORMED, "%s: expected a JSON file of at most %u bytes, found %zu",
                           where, JSON_MAX_FILE_BYTES, map.size);
    else if (map.size == 0)
        status = error_set(err, VKDLM_MALFORMED, "%s: expected a JSON object, found an empty file", where);
    else
        status = json_parse_object((const char *)map.data, map.size, where, out, err);
    file_map_close(&map);
    return status;
}

/* Writes the scope's dotted name and a final dot ("rope_scaling.") to out; nothing for the root. */
static void scope_name(const json_scope *scope, char *out, size_t size)
{
    out[0] = 0;
    if (!scope->parent)
        return;
    scope_name(scope->parent, out, size);
    size_t n = strlen(out);
    snprintf(out + n, size - n, "%s.", scope->name);
}

void json_describe(const json_t *value, char *out, size_t size)
{
    static const char *const words[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    if (!value)
        snprintf(out, size, "nothing");
    else if (json_is_string(value))
        snprintf(out, size, "\"%.100s\"", json_string_value(value));
    else if (json_is_number(value))
        out[json_dumpb(value, out, size - 1, JSON_ENCODE_ANY)] = 0;
    else
        snprintf(out, size, "%s", words[json_typeof(value)]);
}

vkdlm_status json_refuse(const json_scope *scope, const char *key, const char *expected, vkdlm_error *err)
{
    char parents[256], found[128];
    scope_name(scope, parents, sizeof parents);
    json_describe(json_object_get(scope->object, key), found, sizeof found);
    return error_set(err, VKDLM_MALFORMED, "'%s': %s%s: expected %s, found %s", scope->file, parents, key,
                     expected, found);
}

bool json_has(const json_scope *scope, const char *key)
{
    const json_t *value = json_object_get(scope->object, key);
    return value && !json_is_null(value);
}

vkdlm_status json_get_string(const json_scope *scope, const char *key, const char **out, vkdlm_error *err)
{
    const json_t *value = json_object_get(scope->object, key);
    if (!json_is_string(value))
        return json_refuse(scope, key, "a string", err);
    *out = json_string_value(value);
    return VKDLM_OK;
}

vkdlm_status json_get_bool(const json_scope *scope, const char *key, bool *out, vkdlm_error *err)
{
    const json_t *value = json_object_get(scope->object, key);
    if (!json_is_boolean(value))
        return json_refuse(scope, key, "true or false", err);
    *out = json_is_true(value);
    return VKDLM_OK;
}

vkdlm_status json_get_integer(const json_scope *scope, const char *key, int64_t min, int64_t max,
                              int64_t *out, vkdlm_error *err)
{
    const json_t *value = json_object_get(scope->object, key);
    int64_t integer = json_integer_value(value);
    if (!json_is_integer(value) || integer < min || integer > max) {
        char expected[96];
        snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, min, max);
        return json_refuse(scope, key, expected, err);
    }
    *out = integer;
    return VKDLM_OK;
}

vkdlm_status json_get_number(const json_scope *scope, const char *key, double min, double max, double *out,
                             vkdlm_error *err)
{
    const json_t *value = json_object_get(scope->object, key);
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= min && number <= max)) {
        char expected[96];
        snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
        return json_refuse(scope, key, expected, err);
    }
    *out = number;
    return VKDLM_OK;
}

vkdlm_status json_get_array(const json_scope *scope, const char *key, const json_t **out, vkdlm_error *err)
{
    const json_t *value = json_object_get(scope->object, key);
    if (!json_is_array(value))
        return json_refuse(scope, key, "an array", err);
    *out = value;
    return VKDLM_OK;
}

vkdlm_status json_get_object(const json_scope *scope, const char *key, json_scope *out, vkdlm_error *err)
{
    const json_t *value = json_object_get(scope->object, key);
    if (!json_is_object(value))
        return json_refuse(scope, key, "an object", err);
    *out = (json_scope){.object = value, .file = scope->file, .name = key, .parent = scope};
    return VKDLM_OK;
}

vkdlm_status json_get_string_or(const json_scope *scope, const char *key, const char *otherwise,
                                const char **out, vkdlm_error *err)
{
    if (json_has(scope, key))
        return json_get_string(scope, key, out, err);
    *out = otherwise;
    return VKDLM_OK;
}

vkdlm_status json_get_bool_or(const json_scope *scope, const char *key, bool otherwise, bool *out,
                              vkdlm_error *err)
{
    if (json_has(scope, key))
        return json_get_bool(scope, key, out, err);
    *out = otherwise;
    return VKDLM_OK;
}

vkdlm_status json_get_integer_or(const json_scope *scope, const char *key, int64_t min, int64_t max,
                                 int64_t otherwise, int64_t *out, vkdlm_error *err)
{
    if (json_has(scope, key))
        return json_get_integer(scope, key, min, max, out, err);
    *out = otherwise;
    return VKDLM_OK;
}

vkdlm_status json_get_number_or(const json_scope *scope, const char *key, double min, double max,
                                double otherwise, double *out, vkdlm_error *err)
{
    if (json_has(scope, key))
        return json_get_number(scope, key, min, max, out, err);
    *out = otherwise;
    return VKDLM_OK;
}
