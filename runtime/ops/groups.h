/* How a count of workgroups is spread over a dispatch. */
#ifndef OPS_GROUPS_H
#define OPS_GROUPS_H

#include "gpu/gpu.h"

/* Spreads n workgroups over x and y within the device's limits; the shader takes
 * gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x as its number and returns when that is >= n. */
static inline void groups_fold(const gpu_device *device, uint64_t n, uint32_t *x, uint32_t *y)
{
    uint64_t most = gpu_device_caps(device)->max_workgroups[0];
    uint64_t rows = n ? (n + most - 1) / most : 0;
    *x = rows ? (uint32_t)((n + rows - 1) / rows) : 0;
    *y = rows > UINT32_MAX ? UINT32_MAX : (uint32_t)rows;
}

#endif
