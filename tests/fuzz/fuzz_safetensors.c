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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    safetensors contents;
    vkdlm_error err = {0};
    vkdlm_status status = safetensors_parse(data, size, "fuzz.safetensors", &contents, &err);
    if (status) {
        size_t n = strlen(err.message);
        require(err.status == status && strstr(err.message, "fuzz.safetensors"));
        require(!strpbrk(err.message, "\r\n") && utf8_valid((unsigned char *)err.message, n));
        require(!contents.tensors && contents.n_tensors == 0);
        return 0;
    }
    uint64_t header = 0, n_bytes = 0;
    for (int i = 7; i >= 0; i--)
        header = header << 8 | data[i];
    for (size_t i = 0; i < contents.n_tensors; i++) {
        require(contents.tensors[i].data == data + 8 + header + n_bytes);
        n_bytes += check_tensor(&contents.tensors[i], data, size);
    }
    require(8 + header + n_bytes == size);
    safetensors_deinit(&contents);
    return 0;
}
