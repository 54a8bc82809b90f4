/* The choices of variants as the public header tells them. */
#ifndef OPS_VARIANTS_H
#define OPS_VARIANTS_H

#include <vkdlm/device.h>

#include "gpu/gpu.h"

/* What an open device takes: at most `capacity` entries; returns how many there are. */
uint32_t variants_of_device(gpu_device *device, vkdlm_kernel_choice *choices, uint32_t capacity);

/* What a device would take that is not open; path: of its file of choices, or NULL. */
uint32_t variants_of_file(const gpu_caps *caps, const char *path, vkdlm_kernel_choice *choices,
                          uint32_t capacity);

#endif
