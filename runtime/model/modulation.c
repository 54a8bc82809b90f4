#include "model/modulation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/convert.h"
#include "format/quant.h"

void modulation_source(const mdlm_tensors *tensors, const mdlm_config *config, uint32_t chunk,
                       const vkdlm_tensor **weight, const vkdlm_tensor **bias, uint32_t *first_row)
{
    uint32_t block = chunk / MODULATION_BLOCK_CHUNKS;
    bool final = block >= config->n_blocks;
    *weight = final ? tensors->final_modulation : tensors->blocks[block].modulation;
    *bias = final ? tensors->final_modulation_bias : tensors->blocks[block].modulation_bias;
    *first_row = (chunk - (final ? config->n_blocks : block) * MODULATION_BLOCK_CHUNKS) * config->hidden_dim;
}

/* y[i] = bias[first + i] + sum_k weight[first + i, k] x[k] for i < n. row: memory for a row of the weight. */
static void dense(const vkdlm_tensor *weight, const vkdlm_tensor *bias, uint32_t first, uint32_t n,
                  const double *x, double *y, float *row)
{
    uint64_t width = weight->shape[1], row_bytes = quant_row_bytes(weight->dtype, width);
    for (uint32_t i = 0; i < n; i++) {
        double sum = (double)convert_element(bias, first + i);
        quant_dequantize_row(weight->dtype, (const char *)weight->data + (first + i) * row_bytes, width, row);
        for (uint64_t k = 0; k < width; k++)
            sum += (double)row[k] * x[k];
        y[i] = sum;
    }
}

static void silu(double *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] /= 1.0 + exp(-x[i]);
}

vkdlm_status modulation_fold(const mdlm_tensors *tensors, const mdlm_config *config, float *row,
                             vkdlm_error *err)
{
    uint32_t c = config->cond_dim, d = config->hidden_dim, stride = modulation_stride(config);
    double *work = calloc(MDLM_TIMESTEP_FEATURES + 2 * (size_t)c + d, sizeof *work);
    float *widened = calloc(MDLM_TIMESTEP_FEATURES + (size_t)c, sizeof *widened);
    if (!work || !widened) {
        free(work);
        free(widened);
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory folding the modulation");
    }
    double *features = work, *inner = features + MDLM_TIMESTEP_FEATURES, *cond = inner + c,
           *values = cond + c;

    /* At sigma = 0 every cosine is 1 and every sine 0. */
    for (uint32_t i = 0; i < MDLM_TIMESTEP_FEATURES / 2; i++)
        features[i] = 1.0;
    dense(tensors->time_in, tensors->time_in_bias, 0, c, features, inner, widened);
    silu(inner, c);
    dense(tensors->time_out, tensors->time_out_bias, 0, c, inner, cond, widened);
    silu(cond, c);

    for (uint32_t chunk = 0; chunk < modulation_chunks(config); chunk++) {
        const vkdlm_tensor *weight, *bias;
        uint32_t first_row;
        modulation_source(tensors, config, chunk, &weight, &bias, &first_row);
        dense(weight, bias, first_row, d, cond, values, widened);
        float *out = row + (size_t)chunk * stride;
        for (uint32_t i = 0; i < stride; i++)
            out[i] = i < d ? (float)values[i] : 0.0f;
    }
    free(widened);
    free(work);
    return VKDLM_OK;
}
