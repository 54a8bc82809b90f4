/* Opening and closing causal models and their diffusion paths. */
#include <stdlib.h>

#include "base/error.h"
#include "model/llm_workspace.h"

/* Configurations and tensors of a base and its path, found and checked. */
typedef struct contents {
    llm_config config;
    llm_tensors tensors;
    l2d_config path_config;
    l2d_tensors path;
} contents;

static void contents_deinit(contents *c)
{
    llm_tensors_deinit(&c->tensors);
    l2d_tensors_deinit(&c->path);
}

/* On failure nothing is held. */
static vkdlm_status contents_read(checkpoint *base, checkpoint *path, contents *out, vkdlm_error *err)
{
    *out = (contents){0};
    vkdlm_status status = llm_config_read(base, &out->config, err);
    if (!status)
        status = llm_tensors_bind(base, &out->config, &out->tensors, err);
    if (!status && path)
        status = l2d_config_read(path, &out->path_config, err);
    if (!status && path)
        status = l2d_tensors_bind(path, &out->config, &out->path_config, &out->path, err);
    if (status)
        contents_deinit(out);
    return status;
}

/* What one sequence of the whole context takes at the default steps. */
static causal_capacity capacity_of_one(const contents *c, bool has_path)
{
    uint32_t steps = has_path ? c->path_config.steps : 0;
    return (causal_capacity){.sequences = 1,
                             .context = c->config.context,
                             .chunk_rows = 128,
                             .held = 1,
                             .rows = 1,
                             .branches = has_path,
                             .calls = 4 * steps,
                             .times = 4 * steps};
}

/* Device bytes of the weights and of a workspace for one sequence. */
static vkdlm_status estimate(const contents *c, bool has_path, uint64_t *bytes, vkdlm_error *err)
{
    llm model = {.config = c->config, .ld = weight_pad(c->config.hidden_dim), .has_path = has_path};
    model.path.config = c->path_config;
    vkdlm_status status = llm_weights_estimate(&c->config, &c->tensors, has_path ? &c->path_config : NULL,
                                               has_path ? &c->path : NULL, bytes, err);
    if (!status)
        status = weight_describe(c->tensors.head, &model.head, err);
    if (status)
        return status;
    causal_capacity capacity = capacity_of_one(c, has_path);
    uint64_t workspace = llm_workspace_bytes(&model, &capacity);
    /* The staging ring goes before the workspace comes. */
    *bytes += workspace > LOADER_STAGING_BYTES ? workspace : LOADER_STAGING_BYTES;
    return VKDLM_OK;
}

vkdlm_status llm_estimate(checkpoint *base, checkpoint *path, uint64_t *device_bytes, vkdlm_error *err)
{
    contents c;
    *device_bytes = 0;
    vkdlm_status status = contents_read(base, path, &c, err);
    if (status)
        return status;
    status = estimate(&c, path != NULL, device_bytes, err);
    contents_deinit(&c);
    return status;
}

/* Says how much is needed before anything is uploaded, rather than failing at some tensor in the middle. */
static vkdlm_status check_memory(gpu_device *device, const contents *c, bool has_path, const checkpoint *base,
                                 vkdlm_error *err)
{
    uint64_t needed;
    vkdlm_status status = llm_weights_estimate(&c->config, &c->tensors, has_path ? &c->path_config : NULL,
                                               has_path ? &c->path : NULL, &needed, err);
    uint64_t available = gpu_device_available_bytes(device);
    if (status || needed + LOADER_STAGING_BYTES <= available)
        return status;
    return error_set(err, VKDLM_OUT_OF_DEVICE_MEMORY,
                     "'%s': expected %.1f MiB of free memory on device '%s' for the weights, found %.1f MiB",
                     checkpoint_name(base), (double)(needed + LOADER_STAGING_BYTES) / 0x1p20,
                     gpu_device_caps(device)->name, (double)available / 0x1p20);
}

vkdlm_status llm_open(gpu_device *device, checkpoint *base, checkpoint *path, loader_progress_fn progress,
                      void *user, llm **out, vkdlm_error *err)
{
    contents c;
    *out = NULL;
    vkdlm_status status = contents_read(base, path, &c, err);
    if (status)
        return status;
    llm *model = calloc(1, sizeof *model);
    if (!model)
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory opening '%s'", base->directory);
    if (!status)
        status = check_memory(device, &c, path != NULL, base, err);
    if (!status) {
        model->device = device;
        model->config = c.config;
        model->has_path = path != NULL;
        model->path.config = c.path_config;
        model->path.config.base = c.config.architecture; /* the checkpoint's text goes with it */
        status = llm_weights_upload(model, &c.tensors, path ? &c.path : NULL, progress, user, err);
    }
    contents_deinit(&c);
    if (status) {
        llm_close(model);
        return status;
    }
    *out = model;
    return VKDLM_OK;
}

void llm_close(llm *model)
{
    if (!model)
        return;
    llm_weights_destroy(model);
    free(model);
}

const llm_config *llm_get_config(const llm *model)
{
    return &model->config;
}

const l2d_config *llm_get_path_config(const llm *model)
{
    return model->has_path ? &model->path.config : NULL;
}

uint64_t llm_weight_bytes(const llm *model)
{
    return model->weight_bytes;
}
