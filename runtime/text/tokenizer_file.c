#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "text/tokenizer_gguf.h"

static vkdlm_status out_of_memory(vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for reading a tokenizer");
}

/* Reports what is wrong in a file, with the file's name in front. */
static vkdlm_status in_file(const char *path, vkdlm_status status, const vkdlm_error *inner, vkdlm_error *err)
{
    return status ? error_set(err, status, "'%s': %s", path, inner->message) : VKDLM_OK;
}

static vkdlm_status open_json(const char *path, vkdlm_tokenizer **out, vkdlm_error *err)
{
    char *text;
    size_t size;
    vkdlm_error inner;
    vkdlm_status status = file_read(path, TOKENIZER_MAX_FILE, &text, &size, err);
    if (status)
        return status;
    status = in_file(path, tokenizer_parse_json(text, size, out, &inner), &inner, err);
    free(text);
    return status;
}

static vkdlm_status open_gpt2(const char *path, vkdlm_tokenizer **out, vkdlm_error *err)
{
    char *vocab_json = NULL, *merges = NULL;
    size_t vocab_size, merges_size;
    vkdlm_error inner;
    char *folder = file_dirname(path);
    char *merges_path = folder ? file_join(folder, "merges.txt") : NULL;
    vkdlm_status status = VKDLM_OK;
    if (!merges_path)
        status = out_of_memory(err);
    if (!status)
        status = file_read(path, TOKENIZER_MAX_FILE, &vocab_json, &vocab_size, err);
    if (!status)
        status = file_read(merges_path, TOKENIZER_MAX_FILE, &merges, &merges_size, err);
    if (!status)
        status = in_file(path, tokenizer_parse_gpt2(vocab_json, vocab_size, merges, merges_size, out, &inner),
                         &inner, err);
    free(vocab_json);
    free(merges);
    free(merges_path);
    free(folder);
    return status;
}

static vkdlm_status open_directory(const char *path, vkdlm_tokenizer **out, vkdlm_error *err)
{
    static const struct {
        const char *name;
        vkdlm_status (*open)(const char *path, vkdlm_tokenizer **out, vkdlm_error *err);
    } files[] = {{"tokenizer.json", open_json}, {"vocab.json", open_gpt2}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *file = file_join(path, files[i].name);
        if (!file)
            return out_of_memory(err);
        bool there = file_probe(file) != FILE_MISSING;
        vkdlm_status status = there ? files[i].open(file, out, err) : VKDLM_OK;
        free(file);
        if (there)
            return status;
    }
    return error_set(err, VKDLM_NOT_FOUND, "'%s' holds neither tokenizer.json nor vocab.json", path);
}

vkdlm_status vkdlm_tokenizer_open(const char *path, vkdlm_tokenizer **out, vkdlm_error *err)
{
    if (out)
        *out = NULL;
    if (!path || !out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_tokenizer_open: %s is NULL",
                         path ? "out" : "path");
    if (file_probe(path) == FILE_DIRECTORY)
        return open_directory(path, out, err);
    if (gguf_probe(path))
        return tokenizer_open_gguf(path, out, err);
    return file_has_suffix(path, "vocab.json") ? open_gpt2(path, out, err) : open_json(path, out, err);
}
