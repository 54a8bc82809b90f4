/* Small JSON files, read strictly: no duplicate keys, bounded size and depth, and values taken by type
 * with a sentence that names file and key when something else is found.
 *
 * A key whose value is null counts as absent, as in the configuration files of model hubs. */
#ifndef FORMAT_JSON_H
#define FORMAT_JSON_H

#include <jansson.h>

#include <vkdlm/status.h>

#define JSON_MAX_FILE_BYTES (64u << 20)
/* Configurations, tokenizers and tensor headers need less than ten levels. */
#define JSON_MAX_DEPTH 64

/* Parses n_bytes of text that hold one object. `where` begins the message ("'config.json'").
 * Errors: MALFORMED, OUT_OF_HOST_MEMORY. *out is owned by the caller; NULL on failure. */
vkdlm_status json_parse_object(const char *text, size_t n_bytes, const char *where, json_t **out,
                               vkdlm_error *err);

/* The same of text that holds one array. */
vkdlm_status json_parse_array(const char *text, size_t n_bytes, const char *where, json_t **out,
                              vkdlm_error *err);

/* The object in the file at `path`, through file_map_open, at most JSON_MAX_FILE_BYTES. */
vkdlm_status json_open(const char *path, json_t **out, vkdlm_error *err);

/* An object together with what messages call it. Plain pointers: it owns nothing, and a child scope
 * needs its parent to stay where it is. */
typedef struct json_scope {
    const json_t *object;
    const char *file;                /* path */
    const char *name;                /* key of this object in its parent; NULL at the root */
    const struct json_scope *parent; /* NULL at the root */
} json_scope;

/* MALFORMED with "'FILE': KEY: expected EXPECTED, found VALUE"; key is given with its parents' names. */
vkdlm_status json_refuse(const json_scope *scope, const char *key, const char *expected, vkdlm_error *err);

/* Writes what a message calls `value` (NULL for absent): "3", "an array", "\"text\"", cut
 * to size (at least 64) bytes. */
void json_describe(const json_t *value, char *out, size_t size);

/* True when the key is there and not null. */
bool json_has(const json_scope *scope, const char *key);

/* Required values. A string lives as long as the document and may be empty. Integers lie in
 * [min, max] and are written without fraction; numbers may be written either way. */
vkdlm_status json_get_string(const json_scope *scope, const char *key, const char **out, vkdlm_error *err);
vkdlm_status json_get_bool(const json_scope *scope, const char *key, bool *out, vkdlm_error *err);
vkdlm_status json_get_integer(const json_scope *scope, const char *key, int64_t min, int64_t max,
                              int64_t *out, vkdlm_error *err);
vkdlm_status json_get_number(const json_scope *scope, const char *key, double min, double max, double *out,
                             vkdlm_error *err);
vkdlm_status json_get_array(const json_scope *scope, const char *key, const json_t **out, vkdlm_error *err);
vkdlm_status json_get_object(const json_scope *scope, const char *key, json_scope *out, vkdlm_error *err);

/* The same with a default for an absent key; a value of a wrong type or out of range is still refused.
 * The default itself is not checked. */
vkdlm_status json_get_string_or(const json_scope *scope, const char *key, const char *otherwise,
                                const char **out, vkdlm_error *err);
vkdlm_status json_get_bool_or(const json_scope *scope, const char *key, bool otherwise, bool *out,
                              vkdlm_error *err);
vkdlm_status json_get_integer_or(const json_scope *scope, const char *key, int64_t min, int64_t max,
                                 int64_t otherwise, int64_t *out, vkdlm_error *err);
vkdlm_status json_get_number_or(const json_scope *scope, const char *key, double min, double max,
                                double otherwise, double *out, vkdlm_error *err);

#endif
