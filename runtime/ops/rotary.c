#include "ops/rotary.h"

#include <assert.h>
#include <math.h>

#include "base/error.h"
#include "base/size.h"
#include "shaders/params.h"

#define UPLOAD_HALF_BYTES (1u << 18)

static double scaled_frequency(const rotary_scaling *scaling, uint32_t i, double frequency)
{
    if (scaling->divisors)
        frequency /= (double)scaling->divisors[i];
    if (scaling->original_length == 0)
        return frequency / scaling->factor;
    double turns = scaling->original_length * frequency / (2 * M_PI); /* o / l */
    double mix = (turns - scaling->low_freq_factor) / (scaling->high_freq_factor - scaling->low_freq_factor);
    mix = fmin(fmax(mix, 0), 1);
    return (1 - mix) * frequency / scaling->factor + mix * frequency;
}

static void fill_frequencies(double *out, uint32_t head_dim, double base, const rotary_scaling *scaling)
{
    for (uint32_t i = 0; i < head_dim / 2; i++) {
        double frequency = pow(base, -2.0 * i / head_dim);
        out[i] = scaling ? scaled_frequency(scaling, i, frequency) : frequency;
    }
}

static void fill_row(float *out, uint32_t position, uint32_t head_dim, const double *frequencies)
{
    for (uint32_t i = 0; i < head_dim / 2; i++) {
        double angle = position * frequencies[i];
        out[2 * i] = (float)cos(angle);
        out[2 * i + 1] = (float)sin(angle);
    }
}

vkdlm_status rotary_table_create(gpu_device *device, uint32_t max_length, uint32_t head_dim, double base,
                                 const rotary_scaling *scaling, rotary_table *out, vkdlm_error *err)
{
    assert(max_length > 0 && head_dim % 2 == 0 && head_dim > 0 && head_dim <= ATTENTION_MAX_HEAD_DIM);
    double frequencies[ATTENTION_MAX_HEAD_DIM / 2];
    fill_frequencies(frequencies, head_dim, base, scaling);
    gpu_upload *upload = NULL;
    uint32_t row_bytes = head_dim * (uint32_t)sizeof(float);
    vkdlm_status status = gpu_buffer_create(device, GPU_MEMORY_DEVICE, (uint64_t)max_length * row_bytes,
                                            "rotary table", &out->buffer, err);
    if (status != VKDLM_OK)
        goto fail;
    status = gpu_upload_create(device, UPLOAD_HALF_BYTES, &upload, err);
    if (status != VKDLM_OK)
        goto fail;

    uint32_t rows_at_once = (uint32_t)(gpu_upload_max_bytes(upload) / row_bytes);
    for (uint32_t row = 0; row < max_length; row += rows_at_once) {
        uint32_t n = u32_min(rows_at_once, max_length - row);
        void *to;
        status = gpu_upload_reserve(upload, &out->buffer, (uint64_t)row * row_bytes, (uint64_t)n * row_bytes,
                                    &to, err);
        if (status != VKDLM_OK)
            goto fail;
        for (uint32_t i = 0; i < n; i++)
            fill_row((float *)to + (size_t)i * head_dim, row + i, head_dim, frequencies);
    }
    status = gpu_upload_flush(upload, err);
    if (status != VKDLM_OK)
        goto fail;
    gpu_upload_destroy(upload);
    out->max_length = max_length;
    out->head_dim = head_dim;
    return VKDLM_OK;

fail:
    gpu_upload_destroy(upload);
    rotary_table_destroy(out);
    return status;
}

void rotary_table_destroy(rotary_table *table)
{
    gpu_buffer_destroy(&table->buffer);
    *table = (rotary_table){0};
}

void rotary_record(gpu_commands *commands, const attention *op, const rotary_table *table,
                   const attention_plan *plan, gpu_view qkv, uint32_t ld, gpu_view index, gpu_view workspace)
{
    uint32_t dim = op->shape.head_dim;
    uint32_t share = attention_share(&op->shape);
    assert(table->head_dim == dim && plan->max_length <= table->max_length);

    attention_slice slice;
    for (uint32_t head = 0; attention_slice_at(op, plan, workspace, head, &slice); head += slice.n_kv_heads) {
        struct rotary_params push = {
            .ld = ld,
            .capacity = plan->capacity,
            .n_kv_heads = op->shape.n_kv_heads,
            .share = share,
            .first_kv_head = slice.first_kv_head,
            .bound_kv_heads = slice.n_kv_heads,
            .scale = (float)(M_LOG2E / sqrt(dim)), /* attention works with powers of two */
        };
        gpu_view views[] = {qkv,
                            attention_slots_view(plan, index),
                            gpu_view_all(&table->buffer),
                            slice.queries,
                            slice.keys,
                            slice.values};
        uint32_t pairs = slice.n_kv_heads * share * (dim / 2);
        gpu_dispatch(commands, op->rotate, views, 6, &push, sizeof push,
                     (pairs + ROTARY_INVOCATIONS - 1) / ROTARY_INVOCATIONS, plan->n_slots / ATTENTION_GROUP,
                     1);
    }
}
