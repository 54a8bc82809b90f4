/* Causal models as samplers see them (model/causal.h). */
#include "model/llm_workspace.h"

static vkdlm_status prepare(void *self, const float *times, uint32_t n_times, const int32_t *classes,
                            uint32_t n_classes, vkdlm_error *err)
{
    llm_workspace *ws = self;
    uint32_t n_rows = n_times * n_classes;
    for (uint32_t i = 0; i < n_times; i++)
        for (uint32_t j = 0; j < n_classes; j++)
            l2d_write_time(ws, i * n_classes + j, times[i], classes[j], n_rows + j);
    for (uint32_t j = 0; j < n_classes; j++)
        l2d_write_time(ws, n_rows + j, 0, classes[j], n_rows + j);
    vkdlm_status status = gpu_commands_begin(ws->commands, err);
    if (status)
        return status;
    l2d_record_modulation(ws, n_rows, n_classes);
    llm_record_gates(ws, n_rows);
    ws->prepared_classes = n_classes;
    return gpu_submit_wait(ws->commands, err);
}

/* ---- the interface
 * ------------------------------------------------------------------------------------------ */

static vkdlm_status reserve(void *self, const causal_capacity *capacity, vkdlm_error *err)
{
    return llm_workspace_reserve(self, capacity, err);
}

static uint32_t max_sequences(void *self, const causal_capacity *one)
{
    return llm_workspace_max_sequences(self, one);
}

/* Rows at which the weights that a row reads are amortised. */
#define AUTO_ROWS_CPU 16u
#define AUTO_ROWS_GPU 128u

causal llm_causal(llm_workspace *ws)
{
    const llm *model = ws->model;
    const l2d_config *path = llm_get_path_config(model);
    bool cpu = gpu_device_caps(model->device)->type == GPU_TYPE_CPU;
    return (causal){.self = ws,
                    .vocab_size = model->config.vocab_size,
                    .context = model->config.context,
                    .flow_dim = path ? path->flow_dim : 0,
                    .n_classes = path ? path->n_classes : 0,
                    .noise_scale = path ? path->noise_scale : 0,
                    .data_variance = path ? l2d_vocabulary_variance(path) : 0,
                    .max_sequences = max_sequences,
                    .auto_rows = cpu ? AUTO_ROWS_CPU : AUTO_ROWS_GPU,
                    .reserve = reserve,
                    .prepare = prepare,
                    .run = llm_run,
                    .evaluate = llm_evaluate};
}
