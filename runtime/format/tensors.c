/* vkdlm_tensors: one safetensors or GGUF file, or the shards that an index names. */
#include <vkdlm/tensors.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "format/gguf.h"
#include "format/json.h"
#include "format/safetensors.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME  "model.safetensors.index.json"

typedef struct shard {
    char *path;
    file_map map;
    safetensors contents;
    gguf of_gguf; /* instead of contents; zeroed otherwise */
} shard;

struct vkdlm_tensors {
    shard *shards;
    size_t n_shards;
    vkdlm_tensor *tensors; /* of all shards, shard by shard, in the order of their data */
    const vkdlm_tensor **by_name;
    size_t count;
};

const char *vkdlm_dtype_name(vkdlm_dtype dtype)
{
    static const char *const names[] = {
#define DTYPE_NAME(suffix, name, size) name,
        VKDLM_DTYPE_LIST(DTYPE_NAME)
#undef DTYPE_NAME
#define DTYPE_NAME(suffix, name, block, size) name,
            VKDLM_BLOCK_DTYPE_LIST(DTYPE_NAME)
#undef DTYPE_NAME
    };
    return (size_t)dtype < sizeof names / sizeof *names ? names[dtype] : "unknown";
}

size_t vkdlm_dtype_size(vkdlm_dtype dtype)
{
    static const unsigned char sizes[] = {
#define DTYPE_SIZE(suffix, name, size) size,
        VKDLM_DTYPE_LIST(DTYPE_SIZE)
#undef DTYPE_SIZE
    };
    return (size_t)dtype < sizeof sizes / sizeof *sizes ? sizes[dtype] : 0;
}

uint32_t vkdlm_dtype_block(vkdlm_dtype dtype, uint32_t *bytes)
{
    static const struct {
        uint32_t elements, bytes;
    } blocks[] = {
#define DTYPE_BLOCK(suffix, name, block, size) {block, size},
        VKDLM_BLOCK_DTYPE_LIST(DTYPE_BLOCK)
#undef DTYPE_BLOCK
    };
    size_t index = (size_t)dtype - VKDLM_DTYPE_Q8_0;
    if ((size_t)dtype < VKDLM_DTYPE_Q8_0 || index >= sizeof blocks / sizeof *blocks) {
        *bytes = (uint32_t)vkdlm_dtype_size(dtype);
        return 1;
    }
    *bytes = blocks[index].bytes;
    return blocks[index].elements;
}

/* Maps and parses one file; takes over `path`, which may be NULL (out of memory). */
static vkdlm_status shard_open(shard *out, char *path, bool is_gguf, vkdlm_error *err)
{
    out->path = path;
    if (!path)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory while opening tensors");
    vkdlm_status status = file_map_open(path, &out->map, err);
    if (status)
        return status;
    return is_gguf ? gguf_parse(out->map.data, out->map.size, path, &out->of_gguf, err)
                   : safetensors_parse(out->map.data, out->map.size, path, &out->contents, err);
}

/* The tensors of one file; *n is how many. */
static const vkdlm_tensor *shard_tensors(const shard *s, size_t *n)
{
    *n = s->of_gguf.path ? s->of_gguf.n_tensors : s->contents.n_tensors;
    return s->of_gguf.path ? s->of_gguf.tensors : s->contents.tensors;
}

static int compare_names(const void *a, const void *b)
{
    const vkdlm_tensor *const *s = a, *const *t = b;
    return strcmp((*s)->name, (*t)->name);
}

/* Gathers the tensors of all shards and sorts them by name. */
static vkdlm_status collect(vkdlm_tensors *self, vkdlm_error *err)
{
    size_t count = 0, n;
    for (size_t i = 0; i < self->n_shards; i++) {
        shard_tensors(&self->shards[i], &n);
        count += n;
    }
    self->tensors = calloc(count + 1, sizeof *self->tensors);
    self->by_name = calloc(count + 1, sizeof *self->by_name);
    if (!self->tensors || !self->by_name)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory for %zu tensors",
                         self->shards[0].path, count);
    for (size_t i = 0; i < self->n_shards; i++) {
        const vkdlm_tensor *tensors = shard_tensors(&self->shards[i], &n);
        for (size_t k = 0; k < n; k++)
            self->tensors[self->count++] = tensors[k];
    }
    for (size_t i = 0; i < count; i++)
        self->by_name[i] = &self->tensors[i];
    qsort(self->by_name, count, sizeof *self->by_name, compare_names);
    for (size_t i = 1; i < count; i++) {
        const vkdlm_tensor *a = self->by_name[i - 1], *b = self->by_name[i];
        if (strcmp(a->name, b->name) == 0)
            return error_set(err, VKDLM_MALFORMED,
                             "'%s': tensor '%.200s': expected it in one shard, found it in '%s' too", a->file,
                             a->name, b->file);
    }
    return VKDLM_OK;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name that stays in the index's directory. */
static bool is_plain_name(const char *name)
{
    return name[0] && !strpbrk(name, "/\\") && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* The different file names in weight_map, sorted, as an array to be freed whose strings belong to it. */
static vkdlm_status list_shards(const char *path, const json_scope *weight_map, const char ***out,
                                size_t *n_out, vkdlm_error *err)
{
    size_t n = 0;
    const char **names = calloc(json_object_size(weight_map->object) + 1, sizeof *names);
    if (!names)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    vkdlm_status status = VKDLM_OK;
    const char *tensor;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)weight_map->object, tensor, value)
    {
        names[n] = json_string_value(value);
        if (!names[n] || !is_plain_name(names[n])) {
            status = json_refuse(weight_map, tensor, "the name of a file in the same directory", err);
            free(names);
            return status;
        }
        n++;
    }
    if (n == 0) {
        free(names);
        return error_set(err, VKDLM_MALFORMED, "'%s': weight_map: expected tensors, found none", path);
    }
    qsort(names, n, sizeof *names, compare_strings);
    size_t n_unique = 1;
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i], names[n_unique - 1]) != 0)
            names[n_unique++] = names[i];
    }
    *out = names;
    *n_out = n_unique;
    return VKDLM_OK;
}

static vkdlm_status open_shards(vkdlm_tensors *self, const char *path, const json_scope *weight_map,
                                vkdlm_error *err)
{
    const char **names = NULL;
    size_t n_names = 0;
    vkdlm_status status = list_shards(path, weight_map, &names, &n_names, err);
    if (status)
        return status;
    char *directory = file_dirname(path);
    self->shards = calloc(n_names, sizeof *self->shards);
    if (!directory || !self->shards)
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    for (size_t i = 0; !status && i < n_names; i++) {
        self->n_shards++;
        status = shard_open(&self->shards[i], file_join(directory, names[i]), false, err);
        if (status == VKDLM_NOT_FOUND)
            status = error_set(err, VKDLM_NOT_FOUND,
                               "'%s': expected the shard '%.200s' beside it, found none", path, names[i]);
    }
    free(directory);
    free(names);
    return status;
}

/* The index and its shards must name the same tensors in the same places. */
static vkdlm_status check_index(const vkdlm_tensors *self, const char *path, const json_scope *weight_map,
                                vkdlm_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)weight_map->object, name, value)
    {
        const vkdlm_tensor *tensor = vkdlm_tensors_find(self, name);
        const char *file = json_string_value(value);
        const char *slash = tensor ? strrchr(tensor->file, '/') : NULL;
        if (!slash || strcmp(slash + 1, file) != 0)
            return error_set(err, VKDLM_MALFORMED,
                             "'%s': tensor '%.200s': expected it in '%.200s', found no such tensor there",
                             path, name, file);
    }
    for (size_t i = 0; i < self->count; i++) {
        if (!json_object_get(weight_map->object, self->tensors[i].name))
            return error_set(
                err, VKDLM_MALFORMED,
                "'%s': tensor '%.200s': expected every tensor of '%s' in the index, found it missing", path,
                self->tensors[i].name, self->tensors[i].file);
    }
    return VKDLM_OK;
}

static vkdlm_status open_index(vkdlm_tensors *self, const char *path, vkdlm_error *err)
{
    json_t *root;
    vkdlm_status status = json_open(path, &root, err);
    if (status)
        return status;
    json_scope scope = {.object = root, .file = path}, weight_map;
    status = json_get_object(&scope, "weight_map", &weight_map, err);
    if (!status)
        status = open_shards(self, path, &weight_map, err);
    if (!status)
        status = collect(self, err);
    if (!status)
        status = check_index(self, path, &weight_map, err);
    json_decref(root);
    return status;
}

static vkdlm_status open_single(vkdlm_tensors *self, const char *path, vkdlm_error *err)
{
    self->shards = calloc(1, sizeof *self->shards);
    if (!self->shards)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    self->n_shards = 1;
    vkdlm_status status = shard_open(self->shards, strdup(path), gguf_probe(path), err);
    return status ? status : collect(self, err);
}

static vkdlm_status open_directory(vkdlm_tensors *self, const char *path, vkdlm_error *err)
{
    char *single = file_join(path, SINGLE_NAME);
    char *index = file_join(path, INDEX_NAME);
    vkdlm_status status;
    if (!single || !index)
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    else if (file_probe(single) != FILE_MISSING)
        status = open_single(self, single, err);
    else if (file_probe(index) != FILE_MISSING)
        status = open_index(self, index, err);
    else
        status = error_set(err, VKDLM_NOT_FOUND,
                           "'%s': expected " SINGLE_NAME " or " INDEX_NAME " in the directory, found neither",
                           path);
    free(single);
    free(index);
    return status;
}

vkdlm_status vkdlm_tensors_open(const char *path, vkdlm_tensors **out, vkdlm_error *err)
{
    if (!out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tensors_open: out is NULL");
    *out = NULL;
    if (!path)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tensors_open: path is NULL");
    vkdlm_tensors *self = calloc(1, sizeof *self);
    if (!self)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    vkdlm_status status;
    if (file_probe(path) == FILE_DIRECTORY)
        status = open_directory(self, path, err);
    else if (file_has_suffix(path, ".json"))
        status = open_index(self, path, err);
    else
        status = open_single(self, path, err);
    if (status) {
        vkdlm_tensors_close(self);
        return status;
    }
    *out = self;
    return VKDLM_OK;
}

void vkdlm_tensors_close(vkdlm_tensors *tensors)
{
    if (!tensors)
        return;
    for (size_t i = 0; i < tensors->n_shards; i++) {
        shard *s = &tensors->shards[i];
        safetensors_deinit(&s->contents);
        gguf_deinit(&s->of_gguf);
        file_map_close(&s->map);
        free(s->path);
    }
    free(tensors->shards);
    free(tensors->by_name);
    free(tensors->tensors);
    free(tensors);
}

size_t vkdlm_tensors_count(const vkdlm_tensors *tensors)
{
    return tensors->count;
}

const vkdlm_tensor *vkdlm_tensors_at(const vkdlm_tensors *tensors, size_t index)
{
    return index < tensors->count ? &tensors->tensors[index] : NULL;
}

const vkdlm_tensor *vkdlm_tensors_find(const vkdlm_tensors *tensors, const char *name)
{
    vkdlm_tensor key = {.name = name};
    const vkdlm_tensor *pointer = &key;
    const vkdlm_tensor **found =
        bsearch(&pointer, tensors->by_name, tensors->count, sizeof *tensors->by_name, compare_names);
    return found ? *found : NULL;
}

const char *vkdlm_tensors_metadata(const vkdlm_tensors *tensors, const char *key)
{
    for (size_t i = 0; i < tensors->n_shards; i++) {
        const char *text = json_string_value(json_object_get(tensors->shards[i].contents.metadata, key));
        if (text)
            return text;
    }
    return NULL;
}

const gguf *gguf_of_tensors(const vkdlm_tensors *tensors)
{
    return tensors->n_shards == 1 && tensors->shards[0].of_gguf.path ? &tensors->shards[0].of_gguf : NULL;
}
