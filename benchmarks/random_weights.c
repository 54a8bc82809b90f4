#include "random_weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"

enum { CHUNK = 1 << 16 };

void random_declare(random_tensors *list, const char *prefix, const char *name, uint32_t rows,
                    uint32_t columns, float scale, float centre)
{
    char full[160];
    if (list->n == RANDOM_MAX_TENSORS)
        abort();
    snprintf(full, sizeof full, "%s%s", prefix, name);
    vkdlm_tensor_spec *spec = &list->specs[list->n];
    *spec = (vkdlm_tensor_spec){
        .name = strdup(full), .dtype = list->dtype, .n_dims = columns ? 2 : 1, .shape = {rows, columns}};
    list->scale[list->n] = scale;
    list->centre[list->n++] = centre;
}

void random_declare_linear(random_tensors *list, const char *prefix, const char *name, uint32_t rows,
                           uint32_t columns, bool bias)
{
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    random_declare(list, prefix, full, rows, columns, 1.0f / sqrtf((float)columns), 0.0f);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        random_declare(list, prefix, full, rows, 0, 0.1f, 0.0f);
}

static vkdlm_status fill(vkdlm_tensors_writer *writer, const random_tensors *list, size_t index,
                         uint32_t seed, vkdlm_error *err)
{
    static float wide[CHUNK];
    static uint16_t narrow[CHUNK];
    const vkdlm_tensor_spec *spec = &list->specs[index];
    uint64_t n = spec->shape[0] * (spec->n_dims == 2 ? spec->shape[1] : 1);
    size_t size = vkdlm_dtype_size(spec->dtype);
    for (uint64_t at = 0; at < n; at += CHUNK) {
        uint32_t count = (uint32_t)(n - at < CHUNK ? n - at : CHUNK);
        for (uint32_t i = 0; i < count; i += 4) {
            rng_block block = rng_philox(seed, (uint32_t)((at + i) / 4), (uint32_t)index, 0, 0);
            for (uint32_t j = 0; j < 4 && i + j < count; j++) {
                float u = (float)block.word[j] * 0x1p-31f - 1.0f;
                wide[i + j] = list->centre[index] + u * sqrtf(3.0f) * list->scale[index];
            }
        }
        for (uint32_t i = 0; i < count; i++)
            narrow[i] = spec->dtype == VKDLM_DTYPE_F16 ? f16_from_f32(wide[i])
                                                       : (uint16_t)(f32_to_bits(wide[i]) >> 16);
        const void *data = spec->dtype == VKDLM_DTYPE_F32 ? (const void *)wide : narrow;
        vkdlm_status status = vkdlm_tensors_writer_write(writer, index, at * size, data, count * size, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

vkdlm_status random_write(const char *path, random_tensors *list, uint32_t seed, vkdlm_error *err)
{
    vkdlm_tensors_writer *writer;
    vkdlm_status status = vkdlm_tensors_writer_create(path, list->specs, list->n, NULL, 0, &writer, err);
    for (size_t i = 0; i < list->n && !status; i++)
        status = fill(writer, list, i, seed, err);
    if (!status)
        status = vkdlm_tensors_writer_finish(writer, err);
    for (size_t i = 0; i < list->n; i++)
        free((void *)(uintptr_t)list->specs[i].name);
    list->n = 0;
    return status;
}

bool random_read_dtype(const char *text, vkdlm_dtype *out)
{
    static const vkdlm_dtype types[] = {VKDLM_DTYPE_F32, VKDLM_DTYPE_F16, VKDLM_DTYPE_BF16};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(text, vkdlm_dtype_name(types[i])) == 0) {
            *out = types[i];
            return true;
        }
    return false;
}
