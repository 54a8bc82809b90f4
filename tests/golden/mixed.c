#include "golden/mixed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "format/gguf_writer.h"
#include "format/quant.h"

static const vkdlm_dtype cycle[] = {VKDLM_DTYPE_F16,  VKDLM_DTYPE_Q8_0,   VKDLM_DTYPE_Q4_K, VKDLM_DTYPE_Q5_1,
                                    VKDLM_DTYPE_BF16, VKDLM_DTYPE_Q6_K,   VKDLM_DTYPE_F32,  VKDLM_DTYPE_Q4_0,
                                    VKDLM_DTYPE_Q5_K, VKDLM_DTYPE_IQ4_NL, VKDLM_DTYPE_Q4_1, VKDLM_DTYPE_Q3_K,
                                    VKDLM_DTYPE_Q5_0, VKDLM_DTYPE_Q2_K};
enum { N_CYCLE = sizeof cycle / sizeof *cycle };

static vkdlm_dtype next_type(const vkdlm_tensor *t, unsigned *at)
{
    uint32_t block_bytes;
    if (t->n_dims < 2)
        return VKDLM_DTYPE_F32;
    while (t->shape[1] % vkdlm_dtype_block(cycle[*at % N_CYCLE], &block_bytes) != 0)
        ++*at;
    return cycle[(*at)++ % N_CYCLE];
}

static void check(vkdlm_status status, const vkdlm_error *err)
{
    if (status)
        fail_msg("%s", err->message);
}

void mixed_write(const char *from, const char *to)
{
    vkdlm_error err = {0};
    vkdlm_tensors *file;
    gguf_writer *w;
    check(vkdlm_tensors_open(from, &file, &err), &err);
    check(gguf_writer_create(to, &w, &err), &err);
    const gguf *metadata = gguf_of_tensors(file);
    for (size_t i = 0; i < metadata->n_values; i++)
        gguf_writer_put_value(w, &metadata->values[i]);
    size_t n = vkdlm_tensors_count(file);
    vkdlm_dtype *types = calloc(n, sizeof *types);
    assert_non_null(types);
    unsigned at = 0;
    for (size_t i = 0; i < n; i++) {
        const vkdlm_tensor *t = vkdlm_tensors_at(file, i);
        types[i] = next_type(t, &at);
        gguf_writer_declare(w, t->name, types[i], t->n_dims, t->shape);
    }
    assert_true(at >= N_CYCLE);
    check(gguf_writer_begin(w, &err), &err);
    for (size_t i = 0; i < n; i++) {
        const vkdlm_tensor *t = vkdlm_tensors_at(file, i);
        uint64_t width = t->shape[t->n_dims - 1], row_bytes = quant_row_bytes(types[i], width);
        float *row = calloc(width, sizeof *row);
        void *blocks = calloc(1, row_bytes);
        assert_true(row && blocks);
        for (uint64_t r = 0; r < t->n_elements / width; r++) {
            quant_dequantize_row(t->dtype, (const char *)t->data + r * quant_row_bytes(t->dtype, width),
                                 width, row);
            quant_quantize_row(types[i], row, width, blocks);
            check(gguf_writer_write(w, blocks, row_bytes, &err), &err);
        }
        free(blocks);
        free(row);
    }
    check(gguf_writer_finish(w, &err), &err);
    free(types);
    vkdlm_tensors_close(file);
}
