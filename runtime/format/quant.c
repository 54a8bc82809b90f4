/* Rows of every type, one table. */
#include "format/quant.h"

#include <string.h>

#include "format/quant_blocks.h"

static void read_f32(const uint8_t *block, float *out)
{
    memcpy(out, block, sizeof *out);
}

static void read_f16(const uint8_t *block, float *out)
{
    *out = quant_read_half(block);
}

static void read_bf16(const uint8_t *block, float *out)
{
    *out = f32_from_bf16((uint16_t)(block[0] | block[1] << 8));
}

static const struct {
    void (*read)(const uint8_t *block, float *out);
} types[VKDLM_DTYPE_COUNT] = {
    [VKDLM_DTYPE_F32] = {read_f32},         [VKDLM_DTYPE_F16] = {read_f16},
    [VKDLM_DTYPE_BF16] = {read_bf16},       [VKDLM_DTYPE_Q8_0] = {quant_read_q8_0},
    [VKDLM_DTYPE_Q4_0] = {quant_read_q4_0}, [VKDLM_DTYPE_Q4_1] = {quant_read_q4_1},
    [VKDLM_DTYPE_Q5_0] = {quant_read_q5_0}, [VKDLM_DTYPE_Q5_1] = {quant_read_q5_1},
    [VKDLM_DTYPE_Q2_K] = {quant_read_q2_k}, [VKDLM_DTYPE_Q3_K] = {quant_read_q3_k},
    [VKDLM_DTYPE_Q4_K] = {quant_read_q4_k}, [VKDLM_DTYPE_Q5_K] = {quant_read_q5_k},
    [VKDLM_DTYPE_Q6_K] = {quant_read_q6_k}, [VKDLM_DTYPE_IQ4_NL] = {quant_read_iq4_nl},
};

bool quant_is_supported(vkdlm_dtype dtype)
{
    return dtype < VKDLM_DTYPE_COUNT && types[dtype].read;
}

uint64_t quant_row_bytes(vkdlm_dtype dtype, uint64_t n_elements)
{
    uint32_t n_bytes;
    uint32_t n_block = vkdlm_dtype_block(dtype, &n_bytes);
    return n_elements / n_block * n_bytes;
}

void quant_dequantize_row(vkdlm_dtype dtype, const void *blocks, uint64_t n_elements, float *out)
{
    uint32_t n_bytes;
    uint32_t n_block = vkdlm_dtype_block(dtype, &n_bytes);
    const uint8_t *block = blocks;
    for (uint64_t i = 0; i < n_elements; i += n_block, block += n_bytes)
        types[dtype].read(block, out + i);
}
