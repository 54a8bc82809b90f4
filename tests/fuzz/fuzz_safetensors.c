/* The safetensors parser on bytes in memory. What it accepts must be consistent: every tensor lies in
 * the file, with the size of its shape, and no byte of data is left over. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "format/safetensors.h"
#include "fuzz.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static uint64_t check_tensor(const vkdlm_tensor *tensor, const uint8_t *data, size_t size)
{
    const uint8_t *begin = tensor->data;
    require(tensor->name[0] && utf8_valid((const unsigned char *)tensor->name, strlen(tensor->name)));
    require(begin >= data + 8 && tensor->n_bytes <= (uint64_t)(data + size - begin));
    require(tensor->n_dims <= VKDLM_MAX_DIMS);
    uint64_t n_elements = 1, n_bytes;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        require(size_mul(n_elements, tensor->shape[i], &n_elements));
    require(size_mul(n_elements, vkdlm_dtype_size(tensor->dtype), &n_bytes));
    require(n_elements == tensor->n_elements && n_bytes == tensor->n_bytes);
    return n_bytes;
}

static uint64_t header_length(const uint8_t *data)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | data[i];
    return length;
}

static void parse(const uint8_t *data, size_t size)
{
    safetensors contents;
    vkdlm_error err = {0};
    vkdlm_status status = safetensors_parse(data, size, "fuzz.safetensors", &contents, &err);
    if (status) {
        size_t n = strlen(err.message);
        require(err.status == status && strstr(err.message, "fuzz.safetensors"));
        require(!strpbrk(err.message, "\r\n") && utf8_valid((unsigned char *)err.message, n));
        require(!contents.tensors && contents.n_tensors == 0);
        return;
    }
    uint64_t end = 8 + header_length(data);
    for (size_t i = 0; i < contents.n_tensors; i++) {
        require(contents.tensors[i].data == data + end);
        end += check_tensor(&contents.tensors[i], data, size);
    }
    require(end == size);
    safetensors_deinit(&contents);
}

/* The bytes as they are, and once more with a length field that fits the last brace: a mutated header
 * seldom keeps its length, and would never get beyond that check. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    size_t end = size;
    while (end > 8 && data[end - 1] != '}')
        end--;
    if (end <= 8 || header_length(data) == end - 8)
        return 0;
    uint8_t *fitted = malloc(size);
    if (!fitted)
        return 0;
    memcpy(fitted, data, size);
    for (int i = 0; i < 8; i++)
        fitted[i] = (uint8_t)((uint64_t)(end - 8) >> 8 * i);
    parse(fitted, size);
    free(fitted);
    return 0;
}
