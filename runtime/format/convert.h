/* Values of floating-point tensors, widened exactly. */
#ifndef FORMAT_CONVERT_H
#define FORMAT_CONVERT_H

#include <string.h>

#include <vkdlm/tensors.h>

#include "base/half.h"

/* Element `index` of an F32, F16 or BF16 tensor; the data may be unaligned. */
static inline float convert_element(const vkdlm_tensor *tensor, uint64_t index)
{
    if (tensor->dtype == VKDLM_DTYPE_F32) {
        float value;
        memcpy(&value, (const char *)tensor->data + index * sizeof value, sizeof value);
        return value;
    }
    uint16_t half;
    memcpy(&half, (const char *)tensor->data + index * sizeof half, sizeof half);
    return tensor->dtype == VKDLM_DTYPE_F16 ? f32_from_f16(half) : f32_from_bf16(half);
}

#endif
