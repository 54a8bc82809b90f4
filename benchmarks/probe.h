/* The limits of a device as shaders measure them: multiply-add rate and read bandwidth. */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include "bench.h"
#include "gpu/gpu.h"

enum { PROBE_FMA, PROBE_READ, PROBE_COUNT };

typedef struct probe {
    gpu_device *device;
    gpu_commands *commands;
    enum gpu_kernel kernel;
    uint32_t steps, groups;
    gpu_buffer input, output;
} probe;

/* Fills items[PROBE_FMA] and items[PROBE_READ]; returns PROBE_COUNT. The probes must outlive the items. */
uint32_t probe_add(probe probes[PROBE_COUNT], gpu_device *device, bench_item *items);
void probe_remove(probe probes[PROBE_COUNT]);

/* A device buffer filled with a repeated word. */
gpu_buffer probe_buffer(gpu_device *device, uint64_t bytes, uint32_t word);

#endif
