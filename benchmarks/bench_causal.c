/* What a token costs by evaluations of the diffusion path:
 *   bench_causal DIR [--l2d PATH] [--device SELECT] [--rounds 7] [--context 256] [--batch 1,8] [--evaluations
 * 0,2,4,8,16]
 *                [--cache f32|f16]
 * Every item is the prediction of one token of each sequence of a batch, one submission: the main path on the
 * last token, the solve (euler; the base's logits at t = 0 cost no evaluation, the final one at t = 1
 * counts), and the draw. The context is filled with keys and values of zeros: their values do not change the
 * work. Items take turns in every round. Guidance is the solve with two branches.
 *
 * Columns: median time, tokens a second, the cost against the same batch without the path, and the cost of
 * one evaluation, (item - base) / evaluations, against one decoding step of the base. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "bench.h"
#include "model/l2d_checkpoint.h"
#include "model/llm.h"
#include "sample/flow_grid.h"

enum { MAX_ITEMS = 64, MAX_LIST = 8, MAX_STEPS = 512 };

typedef struct prediction {
    causal *network;
    causal_work work;
    causal_chunk *chunks;
    causal_row *rows;
    causal_result *results;
    float *x0;
    int32_t token;
    flow_program program;
    flow_step steps[MAX_STEPS];
    uint32_t batch, evaluations;
} prediction;

static void run_prediction(void *user)
{
    prediction *p = user;
    vkdlm_error err;
    if (p->network->run(p->network, &p->work, p->results, &err))
        bench_die(&err);
}

static void *zeros(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        abort();
    return p;
}

/* Euler with this many evaluations of the network, the final one included. All times share row 0 of the
 * modulation: which row is read does not change the work. */
static void set_program(prediction *p, uint32_t evaluations, uint32_t branches)
{
    if (evaluations > MAX_STEPS)
        abort();
    for (uint32_t i = 0; i < evaluations; i++)
        p->steps[i] = (flow_step){.kind = i ? FLOW_NETWORK : FLOW_BASE,
                                  .factor = 0.5f,
                                  .step = {0.1f},
                                  .advance = true,
                                  .input_scale = 0.05f};
    p->program = (flow_program){.steps = p->steps,
                                .n_steps = evaluations,
                                .n_branches = branches,
                                .branch_weight = {branches == 2 ? 1.5f : 1.0f, -0.5f}};
    p->work.program = &p->program;
    p->evaluations = evaluations;
}

static void add_prediction(bench_item *item, causal *network, uint32_t batch, uint32_t context,
                           uint32_t evaluations, uint32_t branches)
{
    prediction *p = zeros(1, sizeof *p);
    *p = (prediction){.network = network,
                      .chunks = zeros(batch, sizeof *p->chunks),
                      .rows = zeros(batch, sizeof *p->rows),
                      .results = zeros(batch, sizeof *p->results),
                      .x0 = zeros((size_t)batch * (network->flow_dim + 1), sizeof *p->x0),
                      .token = 5,
                      .batch = batch};
    for (uint32_t i = 0; i < batch; i++) {
        p->chunks[i] = (causal_chunk){.sequence = i,
                                      .first = context - 1,
                                      .tokens = &p->token,
                                      .length = 1,
                                      .keep = KEEP_LAST,
                                      .held = i};
        p->rows[i] = (causal_row){
            .sequence = i, .position = context - 1, .held = i, .sample = i, .counter = 0, .target = -1};
    }
    for (uint32_t i = 0; i < batch * network->flow_dim; i++)
        p->x0[i] = (float)network->noise_scale * ((float)(i * 7919u % 1000u) / 500.0f - 1.0f);
    p->work = (causal_work){.chunks = p->chunks,
                            .n_chunks = batch,
                            .rows = p->rows,
                            .n_rows = batch,
                            .draw = true,
                            .inv_temperature = 1,
                            .top_p = 1,
                            .x0 = p->x0};
    if (evaluations)
        set_program(p, evaluations, branches);
    *item = (bench_item){.run = run_prediction, .user = p};
    snprintf(item->name, sizeof item->name, "batch %u, %u evaluations%s", batch, evaluations,
             branches == 2 ? " x 2, guided" : "");
}

static uint32_t read_list(const char *text, uint32_t out[MAX_LIST])
{
    uint32_t n = 0;
    for (char *end; n < MAX_LIST && *text; text = *end ? end + 1 : end)
        out[n++] = (uint32_t)strtoul(text, &end, 10);
    return n;
}

typedef struct settings {
    const char *l2d;
    gpu_options device;
    uint32_t rounds, context;
    uint32_t batches[MAX_LIST], n_batches, evaluations[MAX_LIST], n_evaluations;
    bool f16;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = {.rounds = 7, .context = 256};
    s.n_batches = read_list("1,8", s.batches);
    s.n_evaluations = read_list("0,2,4,8,16", s.evaluations);
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (strcmp(name, "--l2d") == 0)
            s.l2d = value;
        else if (strcmp(name, "--device") == 0)
            s.device.select = value;
        else if (strcmp(name, "--rounds") == 0)
            s.rounds = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--context") == 0)
            s.context = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--batch") == 0)
            s.n_batches = read_list(value, s.batches);
        else if (strcmp(name, "--evaluations") == 0)
            s.n_evaluations = read_list(value, s.evaluations);
        else if (strcmp(name, "--cache") == 0)
            s.f16 = strcmp(value, "f16") == 0;
    }
    return s;
}

static void print_items(const bench_item *items, uint32_t n, const settings *s)
{
    double base = 0;
    printf("%-36s %10s %24s %10s %10s %14s\n", "item", "median ms", "(best .. worst)", "tokens/s", "x base",
           "evaluation");
    for (uint32_t i = 0; i < n; i++) {
        const prediction *p = items[i].user;
        double median = bench_median(&items[i], s->rounds);
        if (!p->evaluations)
            base = median;
        printf("%-36s %10.3f %11.3f .. %9.3f %10.1f %10.2f", items[i].name, median * 1e3,
               items[i].seconds[0] * 1e3, items[i].seconds[s->rounds - 1] * 1e3, p->batch / median,
               median / base);
        if (p->evaluations)
            printf(" %8.2f x base", (median - base) / p->evaluations / base);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_causal DIR [--l2d PATH] [--device SELECT] [--rounds N] [--context N] "
                        "[--batch LIST] [--evaluations LIST] [--cache f32|f16]\n");
        return 2;
    }
    settings s = read_settings(argc, argv);
    vkdlm_error err;
    gpu_device *device;
    checkpoint *base, *path;
    llm *model;
    llm_workspace *workspace;
    double start = bench_clock();
    if (gpu_device_open(&s.device, &device, &err) || checkpoint_open(argv[1], &base, &err) ||
        l2d_checkpoint_open(s.l2d, base->directory, &path, &err) ||
        llm_open(device, base, path, NULL, NULL, &model, &err) ||
        llm_workspace_create(model, &workspace, &err))
        bench_die(&err);
    checkpoint_close(base);
    checkpoint_close(path);
    const llm_config *config = llm_get_config(model);
    printf("device: %s, %s\nmodel: %s, %u blocks of %u, V = %u; opened in %.2f s, weights %.1f MiB\n"
           "context %u, cache %s, %u rounds\n",
           gpu_device_caps(device)->name, gpu_device_caps(device)->driver, config->architecture,
           config->n_blocks, config->hidden_dim, config->vocab_size, bench_clock() - start,
           (double)llm_weight_bytes(model) / 0x1p20, s.context, s.f16 ? "f16" : "f32", s.rounds);

    causal network = llm_causal(workspace);
    bool flow = network.flow_dim > 0;
    uint32_t most_batch = 1, most_calls = 1;
    for (uint32_t i = 0; i < s.n_batches; i++)
        most_batch = s.batches[i] > most_batch ? s.batches[i] : most_batch;
    for (uint32_t i = 0; i < s.n_evaluations; i++)
        most_calls = s.evaluations[i] > most_calls ? s.evaluations[i] : most_calls;
    const causal_capacity capacity = {.sequences = most_batch,
                                      .context = s.context,
                                      .chunk_rows = most_batch,
                                      .held = most_batch,
                                      .rows = most_batch,
                                      .branches = flow ? 2 : 0,
                                      .calls = most_calls,
                                      .times = 2,
                                      .cache_f16 = s.f16};
    const float time = 0.5f;
    const int32_t class_id = -1;
    if (network.reserve(network.self, &capacity, &err) ||
        (flow && network.prepare(network.self, &time, 1, &class_id, 1, &err)))
        bench_die(&err);

    bench_item items[MAX_ITEMS];
    uint32_t n = 0;
    for (uint32_t b = 0; b < s.n_batches; b++)
        for (uint32_t e = 0; e < s.n_evaluations; e++)
            for (uint32_t branches = 1; branches <= (flow && s.evaluations[e] ? 2u : 1u); branches++)
                if ((flow || !s.evaluations[e]) && n < MAX_ITEMS)
                    add_prediction(&items[n++], &network, s.batches[b], s.context, s.evaluations[e],
                                   branches);
    bench_run(items, n, s.rounds);
    print_items(items, n, &s);
    printf("peak device memory: %.1f MiB\n", (double)gpu_device_peak_bytes(device) / 0x1p20);

    for (uint32_t i = 0; i < n; i++) {
        prediction *p = items[i].user;
        free(p->chunks);
        free(p->rows);
        free(p->results);
        free(p->x0);
        free(p);
    }
    bench_free(items, n);
    llm_workspace_destroy(workspace);
    llm_close(model);
    gpu_device_close(device);
    return 0;
}
