/* The GGUF parser on bytes in memory. What it accepts must be consistent: every tensor lies in the file, with
 * the size of its shape, behind the one before it; values can be found and shown; a tokenizer that is
 * built from them encodes a text to ids that exist; and as a model the file is runnable or says why it is
 * not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vkdlm/model.h>

#include "base/size.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "text/tokenizer_gguf.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_failure(vkdlm_status status, const vkdlm_error *err)
{
    size_t n = strlen(err->message);
    require(err->status == status && strstr(err->message, "fuzz.gguf"));
    require(!strpbrk(err->message, "\r\n") && utf8_valid((const unsigned char *)err->message, n));
}

static void check_tensor(const vkdlm_tensor *tensor, const uint8_t *data, size_t size)
{
    const uint8_t *begin = tensor->data;
    uint32_t block_bytes;
    uint64_t n_elements = 1, n_bytes = 0, block = vkdlm_dtype_block(tensor->dtype, &block_bytes);
    size_t n_name = strlen(tensor->name);
    require(n_name > 0 && n_name < 64 && utf8_valid((const unsigned char *)tensor->name, n_name));
    require(begin >= data && begin <= data + size && tensor->n_bytes <= (uint64_t)(data + size - begin));
    require(tensor->n_dims <= 4);
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        require(size_mul(n_elements, tensor->shape[i], &n_elements) || tensor->n_elements == 0);
    require(n_elements == tensor->n_elements || tensor->n_elements == 0);
    require(tensor->n_elements % block == 0 && size_mul(tensor->n_elements / block, block_bytes, &n_bytes));
    require(n_bytes == tensor->n_bytes);
}

static void check_value(const gguf *file, const gguf_value *value, const uint8_t *data, size_t size)
{
    char text[160];
    gguf_string string;
    int64_t integer;
    double number;
    bool flag;
    vkdlm_error err = {0};
    require(gguf_find(file, value->key) == value);
    require(value->data >= data && value->data <= data + size);
    gguf_describe(value, text, sizeof text);
    require(text[0] && strlen(text) < sizeof text);
    if (gguf_get_string(file, value->key, &string, &err))
        check_failure(VKDLM_MALFORMED, &err);
    if (!gguf_get_integer(file, value->key, -100, 100, &integer, NULL))
        require(integer >= -100 && integer <= 100);
    if (!gguf_get_number(file, value->key, -100, 100, &number, NULL))
        require(number >= -100 && number <= 100);
    gguf_get_bool(file, value->key, &flag, NULL);
    if (value->type != GGUF_ARRAY || value->element != GGUF_STRING)
        return;
    const unsigned char *cursor = value->data;
    for (uint64_t i = 0; i < value->count; i++) {
        string = gguf_next_string(&cursor);
        require(cursor <= data + size && (const unsigned char *)string.bytes + string.size == cursor);
    }
}

static void check_tokenizer(const gguf *file)
{
    static const char text[] =
        "The  cat's 12 caf\xC3\xA9s, e\xCC\x81t\xC3\xA9\r\n\n<|a|> <b>word\xE4\xB8\x80";
    vkdlm_tokenizer *t;
    vkdlm_ids ids;
    vkdlm_text decoded;
    vkdlm_error err = {0};
    vkdlm_status status = tokenizer_from_gguf(file, &t, &err);
    if (status) {
        check_failure(status, &err);
        require(!t);
        return;
    }
    if (!vkdlm_tokenize(t, text, sizeof text - 1, 0, &ids, &err)) {
        for (size_t i = 0; i < ids.count; i++)
            require(ids.ids[i] >= 0 && (uint32_t)ids.ids[i] < vkdlm_tokenizer_vocab_size(t));
        if (!vkdlm_detokenize(t, ids.ids, ids.count, false, &decoded, &err)) {
            require(utf8_valid((const unsigned char *)decoded.bytes, decoded.size));
            vkdlm_text_free(&decoded);
        }
        vkdlm_ids_free(&ids);
    }
    vkdlm_tokenizer_close(t);
}

/* The file as a diffusion path beside a base model. */
static void check_path(const char *path)
{
    vkdlm_error err = {0};
    vkdlm_checkpoint *checkpoint;
    vkdlm_checkpoint_info info;
    vkdlm_status status = vkdlm_checkpoint_open_l2d(FUZZ_BASE, path, &checkpoint, &err);
    if (status) {
        require(!checkpoint && err.status == status && strstr(err.message, path));
        require(!strpbrk(err.message, "\r\n"));
        return;
    }
    char *config = vkdlm_checkpoint_l2d_config(checkpoint);
    require(config && config[0] == '{');
    free(config);
    vkdlm_checkpoint_get_info(checkpoint, &info);
    require(info.runnable || (strstr(info.why_not, path) && !strpbrk(info.why_not, "\r\n")));
    vkdlm_checkpoint_close(checkpoint);
}

/* The bytes as a file in memory: its configuration, its tensors, and what it would take to run them. */
static void check_model(const uint8_t *data, size_t size)
{
    char path[64];
    vkdlm_error err = {0};
    vkdlm_checkpoint *checkpoint;
    vkdlm_checkpoint_info info;
    vkdlm_parameter parameter;
    int fd = memfd_create("fuzz.gguf", MFD_CLOEXEC);
    if (fd < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return;
    }
    vkdlm_status status = vkdlm_checkpoint_open(path, &checkpoint, &err);
    if (status) {
        require(!checkpoint && err.status == status && strstr(err.message, path));
        require(!strpbrk(err.message, "\r\n"));
        close(fd);
        return;
    }
    vkdlm_checkpoint_get_info(checkpoint, &info);
    require(info.runnable ? info.device_bytes > 0 && !info.why_not
                          : info.why_not && strstr(info.why_not, path));
    require(info.runnable || !strpbrk(info.why_not, "\r\n"));
    for (size_t i = 0; vkdlm_checkpoint_parameter(checkpoint, i, &parameter); i++)
        require(parameter.name[0]);
    bool is_path = strcmp(info.architecture, "l2d") == 0;
    vkdlm_checkpoint_close(checkpoint);
    if (is_path)
        check_path(path);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gguf file;
    vkdlm_error err = {0};
    vkdlm_status status = gguf_parse(data, size, "fuzz.gguf", &file, &err);
    if (status) {
        check_failure(status, &err);
        require(!file.tensors && file.n_tensors == 0 && !file.values && file.n_values == 0);
        return 0;
    }
    for (size_t i = 0; i < file.n_values; i++)
        check_value(&file, &file.values[i], data, size);
    for (size_t i = 0; i < file.n_tensors; i++) {
        check_tensor(&file.tensors[i], data, size);
        if (i > 0) {
            const vkdlm_tensor *before = &file.tensors[i - 1];
            const uint8_t *end = (const uint8_t *)before->data + before->n_bytes;
            const uint8_t *begin = file.tensors[i].data;
            require(begin >= end && (uint64_t)(begin - end) < file.alignment);
        }
    }
    check_tokenizer(&file);
    check_model(data, size);
    gguf_deinit(&file);
    return 0;
}
