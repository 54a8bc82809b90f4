#include "model/l2d_checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"

#define WEIGHTS_NAME "l2d.safetensors"
#define CONFIG_NAME  "l2d.json"

/* ---- keys of a GGUF file ---------------------------------------------------------------------------- */

/* NULL: the value has no form in JSON, or memory is out. */
static json_t *json_of_value(const gguf *file, const gguf_value *value)
{
    bool truth;
    int64_t integer;
    double number;
    switch (value->type) {
    case GGUF_STRING:
        return json_stringn((const char *)value->data, (size_t)value->count);
    case GGUF_BOOL:
        return gguf_get_bool(file, value->key, &truth, NULL) ? NULL : json_boolean(truth);
    case GGUF_F32:
    case GGUF_F64:
        return gguf_get_number(file, value->key, -HUGE_VAL, HUGE_VAL, &number, NULL) ? NULL
                                                                                     : json_real(number);
    case GGUF_ARRAY:
        return NULL;
    default:
        return gguf_get_integer(file, value->key, INT64_MIN, INT64_MAX, &integer, NULL)
                   ? NULL
                   : json_integer(integer);
    }
}

/* Where a key goes: the object itself, or one inside that the key names before a point. NULL: out of memory,
 * or a scalar is called so too. */
static json_t *find_place(json_t *config, const char **key)
{
    const char *point = strchr(*key, '.');
    if (!point)
        return config;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(point - *key < 63 ? point - *key : 63), *key);
    if (!json_object_get(config, name) && json_object_set_new(config, name, json_object()))
        return NULL;
    *key = point + 1;
    json_t *inside = json_object_get(config, name);
    return json_is_object(inside) ? inside : NULL;
}

static vkdlm_status read_keys(const gguf *file, json_t **out, vkdlm_error *err)
{
    const size_t n_prefix = strlen(L2D_KEY_PREFIX);
    json_t *config = json_object();
    for (size_t i = 0; config && i < file->n_values; i++) {
        const gguf_value *value = &file->values[i];
        if (strncmp(value->key, L2D_KEY_PREFIX, n_prefix) != 0)
            continue;
        const char *key = value->key + n_prefix;
        json_t *place = find_place(config, &key);
        if (!place || json_object_set_new(place, key, json_of_value(file, value))) {
            json_decref(config);
            return gguf_refuse(file, value->key, "a string, a bool or a finite number", err);
        }
    }
    *out = config;
    return config
               ? VKDLM_OK
               : error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory reading the keys", file->path);
}

static vkdlm_status open_gguf(const char *path, checkpoint **out, vkdlm_error *err)
{
    checkpoint *ck;
    vkdlm_status status = checkpoint_open(path, &ck, err);
    if (status)
        return status;
    if (strcmp(ck->architecture, L2D_ARCHITECTURE) != 0)
        status = error_set(err, VKDLM_UNSUPPORTED,
                           "'%s': general.architecture: expected a diffusion path (" L2D_ARCHITECTURE
                           "), found '%.100s'",
                           path, ck->architecture);
    if (!status)
        status = read_keys(ck->metadata, &ck->config, err);
    if (status)
        checkpoint_close(ck);
    else
        *out = ck;
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------ */

static vkdlm_status open_pair(const char *given, const char *base_directory, checkpoint **out,
                              vkdlm_error *err)
{
    bool is_file = given && file_probe(given) == FILE_REGULAR;
    char *directory = is_file ? file_dirname(given) : strdup(given ? given : base_directory);
    char *config = directory ? file_join(directory, CONFIG_NAME) : NULL;
    char *weights = is_file ? strdup(given) : directory ? file_join(directory, WEIGHTS_NAME) : NULL;
    vkdlm_status status = VKDLM_OK;
    if (!config || !weights) {
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening a diffusion path");
    } else if (!given && (file_probe(config) == FILE_MISSING || file_probe(weights) == FILE_MISSING)) {
        /* A base model alone. */
    } else if (given && file_probe(given) == FILE_MISSING) {
        status = error_set(err, VKDLM_NOT_FOUND,
                           "'%s': expected a directory with " CONFIG_NAME " and " WEIGHTS_NAME
                           ", that .safetensors file, or a .gguf file, found nothing",
                           given);
    } else if (file_probe(config) == FILE_MISSING) {
        status =
            error_set(err, VKDLM_NOT_FOUND, "'%s': expected " CONFIG_NAME " there, found none", directory);
    } else {
        status = checkpoint_open_files(weights, config, out, err);
    }
    free(directory);
    free(config);
    free(weights);
    return status;
}

vkdlm_status l2d_checkpoint_open(const char *given, const char *base_directory, checkpoint **out,
                                 vkdlm_error *err)
{
    *out = NULL;
    return given && gguf_probe(given) ? open_gguf(given, out, err)
                                      : open_pair(given, base_directory, out, err);
}

static bool is_beside(const char *directory, const char *name)
{
    char *path = directory ? file_join(directory, name) : NULL;
    bool found = path && file_probe(path) != FILE_MISSING;
    free(path);
    return found;
}

bool l2d_checkpoint_probe(const char *path)
{
    file_kind kind = file_probe(path);
    const char *slash = strrchr(path, '/');
    if (kind == FILE_DIRECTORY)
        return is_beside(path, CONFIG_NAME) && !is_beside(path, "config.json");
    if (kind != FILE_REGULAR || strcmp(slash ? slash + 1 : path, WEIGHTS_NAME) != 0)
        return false;
    char *directory = file_dirname(path);
    bool found = is_beside(directory, CONFIG_NAME);
    free(directory);
    return found;
}
