#include "ops/condition.h"

#include "ops/groups.h"
#include "shaders/params.h"

/* Invocations of a workgroup of the shader; each makes one cosine and one sine. */
enum { LOCAL_SIZE = 64, FREQUENCIES = TIMESTEP_FEATURES / 2 };

void ops_timestep(gpu_device *device, gpu_commands *commands, gpu_view sigma, uint32_t n_sequences,
                  gpu_view features)
{
    vkdlm_error err;
    const gpu_pipeline *pipeline;
    if (gpu_pipeline_get(device, GPU_KERNEL_TIMESTEP, NULL, &pipeline, &err)) {
        gpu_commands_fail(commands, &err);
        return;
    }
    const gpu_view views[] = {sigma, features};
    const struct timestep_params push = {.n_sequences = n_sequences};
    uint32_t groups_x, groups_y;
    groups_fold(device, (uint64_t)n_sequences * (FREQUENCIES / LOCAL_SIZE), &groups_x, &groups_y);
    gpu_dispatch(commands, pipeline, views, 2, &push, sizeof push, groups_x, groups_y, 1);
}
