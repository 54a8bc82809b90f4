/* The public device handle. */
#ifndef RUNTIME_DEVICE_H
#define RUNTIME_DEVICE_H

#include <vkdlm/device.h>

#include "gpu/gpu.h"

struct vkdlm_device {
    gpu_device *gpu;
};

#endif
