/* Which variant every kernel group takes on a device, for `devices`. */
#ifndef OPS_VARIANTS_H
#define OPS_VARIANTS_H

#include <vkdlm/device.h>

#include "gpu/gpu.h"

/* Fills at most `capacity` entries; returns how many there are. */
uint32_t variants_list(const gpu_caps *caps, vkdlm_kernel_choice *choices, uint32_t capacity);

#endif
