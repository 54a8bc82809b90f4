#include "probe.h"

#include "base/size.h"

enum { REPEATS = 4, FMA_STEPS = 1000, FMA_GROUPS = 512, READ_STEPS = 256 };

/* Invocations of a workgroup: one subgroup suffices on a CPU, GPUs want several. */
static uint32_t width(const gpu_device *device)
{
    const gpu_caps *caps = gpu_device_caps(device);
    return caps->type == GPU_TYPE_CPU ? caps->subgroup_size : 256;
}

static void run_probe(void *user)
{
    const probe *p = user;
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    bool own_piece = gpu_device_caps(p->device)->type == GPU_TYPE_CPU;
    gpu_spec spec = {.n = p->kernel == GPU_KERNEL_PROBE_READ ? 3 : 2,
                     .value = {width(p->device), p->steps, own_piece}};
    if (gpu_pipeline_get(p->device, p->kernel, &spec, &pipeline, &err) ||
        gpu_commands_begin(p->commands, &err))
        bench_die(&err);
    gpu_view views[] = {gpu_view_all(&p->input), gpu_view_all(&p->output)};
    for (int i = 0; i < REPEATS; i++)
        gpu_dispatch(p->commands, pipeline, views, 2, NULL, 0, p->groups, 1, 1);
    if (gpu_submit_wait(p->commands, &err))
        bench_die(&err);
}

gpu_buffer probe_buffer(gpu_device *device, uint64_t bytes, uint32_t word)
{
    vkdlm_error err;
    gpu_buffer buffer;
    gpu_commands *commands;
    if (gpu_buffer_create(device, GPU_MEMORY_DEVICE, bytes, "benchmark", &buffer, &err) ||
        gpu_commands_create(device, &commands, &err) || gpu_commands_begin(commands, &err))
        bench_die(&err);
    gpu_fill(commands, &buffer, 0, bytes / 4 * 4, word);
    if (gpu_submit_wait(commands, &err))
        bench_die(&err);
    gpu_commands_destroy(commands);
    return buffer;
}

uint32_t probe_add(probe probes[PROBE_COUNT], gpu_device *device, bench_item *items)
{
    uint64_t lanes = width(device);
    uint64_t group_bytes = READ_STEPS * 4 * sizeof(float[4]) * lanes;
    uint64_t bytes = (64u << 20) / group_bytes * group_bytes;
    /* 0.5: a <- 0.5 a + 0.5 converges to 1, never to numbers that are slow. */
    uint32_t word = 0x3F000000u;
    probes[PROBE_FMA] = (probe){.kernel = GPU_KERNEL_PROBE_FMA,
                                .steps = FMA_STEPS,
                                .groups = FMA_GROUPS,
                                .input = probe_buffer(device, 256, word)};
    probes[PROBE_READ] = (probe){.kernel = GPU_KERNEL_PROBE_READ,
                                 .steps = READ_STEPS,
                                 .groups = (uint32_t)(bytes / group_bytes),
                                 .input = probe_buffer(device, bytes, word)};
    items[PROBE_FMA] =
        (bench_item){.name = "probe: multiply-add limit",
                     .flops = 2.0 * REPEATS * 12 * 16 * FMA_STEPS * FMA_GROUPS * (double)lanes};
    items[PROBE_READ] = (bench_item){.name = "probe: read bandwidth", .bytes = REPEATS * (double)bytes};
    for (int i = 0; i < PROBE_COUNT; i++) {
        vkdlm_error err;
        probes[i].device = device;
        probes[i].output = probe_buffer(device, 256, 0);
        if (gpu_commands_create(device, &probes[i].commands, &err))
            bench_die(&err);
        items[i].run = run_probe;
        items[i].user = &probes[i];
        items[i].calls = REPEATS;
    }
    return PROBE_COUNT;
}

void probe_remove(probe probes[PROBE_COUNT])
{
    for (int i = 0; i < PROBE_COUNT; i++) {
        gpu_commands_destroy(probes[i].commands);
        gpu_buffer_destroy(&probes[i].input);
        gpu_buffer_destroy(&probes[i].output);
    }
}
