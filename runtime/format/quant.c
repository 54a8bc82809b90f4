/* Rows of every type, one table. */
#include "format/quant.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
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

static void write_f32(const float *x, uint8_t *block)
{
    memcpy(block, x, sizeof *x);
}

static void write_f16(const float *x, uint8_t *block)
{
    quant_write_half(block, f16_from_f32(*x));
}

static void write_bf16(const float *x, uint8_t *block)
{
    uint32_t bits = f32_to_bits(*x);
    bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    quant_write_half(block, (uint16_t)(nan ? bits >> 16 | 64u : (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16));
}

#define MOST_HALF 65504.0f

/* most: the largest magnitude whose block is finite; for the types whose scales are searched, a lower one. */
static const struct {
    void (*read)(const uint8_t *block, float *out);
    void (*write)(const float *x, uint8_t *block);
    float most;
} types[VKDLM_DTYPE_COUNT] = {
    [VKDLM_DTYPE_F32] = {read_f32, write_f32, FLT_MAX},
    [VKDLM_DTYPE_F16] = {read_f16, write_f16, MOST_HALF},
    [VKDLM_DTYPE_BF16] = {read_bf16, write_bf16, 0x1.FEp127f},
    [VKDLM_DTYPE_Q8_0] = {quant_read_q8_0, quant_write_q8_0, 127 * MOST_HALF},
    [VKDLM_DTYPE_Q4_0] = {quant_read_q4_0, quant_write_q4_0, 8 * MOST_HALF},
    [VKDLM_DTYPE_Q4_1] = {quant_read_q4_1, quant_write_q4_1, MOST_HALF},
    [VKDLM_DTYPE_Q5_0] = {quant_read_q5_0, quant_write_q5_0, 16 * MOST_HALF},
    [VKDLM_DTYPE_Q5_1] = {quant_read_q5_1, quant_write_q5_1, MOST_HALF},
    [VKDLM_DTYPE_Q2_K] = {quant_read_q2_k, quant_write_q2_k, MOST_HALF},
    [VKDLM_DTYPE_Q3_K] = {quant_read_q3_k, quant_write_q3_k, MOST_HALF},
    [VKDLM_DTYPE_Q4_K] = {quant_read_q4_k, quant_write_q4_k, MOST_HALF},
    [VKDLM_DTYPE_Q5_K] = {quant_read_q5_k, quant_write_q5_k, MOST_HALF},
    [VKDLM_DTYPE_Q6_K] = {quant_read_q6_k, quant_write_q6_k, MOST_HALF},
    [VKDLM_DTYPE_IQ4_NL] = {quant_read_iq4_nl, quant_write_iq4_nl, MOST_HALF},
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

void quant_quantize_row(vkdlm_dtype dtype, const float *in, uint64_t n_elements, void *blocks)
{
    uint32_t n_bytes;
    uint32_t n_block = vkdlm_dtype_block(dtype, &n_bytes);
    uint8_t *block = blocks;
    for (uint64_t i = 0; i < n_elements; i += n_block, block += n_bytes)
        types[dtype].write(in + i, block);
}

vkdlm_status quant_check_row(vkdlm_dtype dtype, const float *in, uint64_t n_elements, const char *file,
                             const char *tensor, uint64_t first, vkdlm_error *err)
{
    float most = types[dtype].most;
    for (uint64_t i = 0; i < n_elements; i++)
        if (!(fabsf(in[i]) <= most))
            return error_set(err, VKDLM_UNSUPPORTED,
                             "'%s': tensor '%.200s': element %" PRIu64
                             ": expected a magnitude of at most %g for %s, found %g",
                             file, tensor, first + i, (double)most, vkdlm_dtype_name(dtype), (double)in[i]);
    return VKDLM_OK;
}
