/* One evaluation of a model against the limits of the device:
 *   bench_model DIR [--device SELECT] [--rounds 3] [--length L]
 * Times the blocks with the output layer at every position, at one position, and for a canvas that is all
 * masks; the multiply-add limit is measured in the same rounds. Sizes come from DIR's config.json
 * (benchmarks/random_model). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "bench.h"
#include "model/mdlm.h"
#include "probe.h"

typedef struct evaluation {
    denoiser *network;
    eval_sequence sequence;
    eval_row *rows;
    eval_result *results;
    uint32_t n_rows;
} evaluation;

static void run_evaluation(void *user)
{
    evaluation *e = user;
    eval_request request = {.sequences = &e->sequence,
                            .n_sequences = 1,
                            .rows = e->rows,
                            .n_rows = e->n_rows,
                            .seed = 1,
                            .temperature = 1.0f,
                            .top_p = 1.0f};
    vkdlm_error err;
    if (e->network->evaluate(e->network, &request, e->results, &err))
        bench_die(&err);
}

/* Multiply-adds of the blocks at `length` rows and of the output layer at n_rows, times two. */
static double count_flops(const mdlm_config *c, double length, double n_rows)
{
    double d = c->hidden_dim;
    return c->n_blocks * (24.0 * length * d * d + 4.0 * length * length * d) +
           2.0 * n_rows * d * c->vocab_size;
}

static void add_evaluation(bench_item *item, evaluation *e, denoiser *network, const char *name,
                           const int32_t *tokens, uint32_t length, uint32_t n_rows, double flops)
{
    *e = (evaluation){.network = network,
                      .sequence = {tokens, length, 0.5f},
                      .n_rows = n_rows,
                      .rows = calloc(n_rows, sizeof *e->rows),
                      .results = calloc(n_rows, sizeof *e->results)};
    if (!e->rows || !e->results)
        abort();
    for (uint32_t i = 0; i < n_rows; i++)
        e->rows[i] = (eval_row){.position = i, .mode = EVAL_DRAW, .target = -1};
    *item = (bench_item){.flops = flops, .calls = 1, .run = run_evaluation, .user = e};
    snprintf(item->name, sizeof item->name, "%s", name);
}

int main(int argc, char **argv)
{
    gpu_options options = {0};
    uint32_t n_rounds = 3, length = 0;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--device") == 0)
            options.select = argv[i + 1];
        else if (strcmp(argv[i], "--rounds") == 0)
            n_rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--length") == 0)
            length = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    vkdlm_error err;
    gpu_device *device;
    checkpoint *ck;
    mdlm *model;
    mdlm_workspace *workspace;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_model DIR [--device SELECT] [--rounds N] [--length L]\n");
        return 2;
    }
    double start = bench_clock();
    if (gpu_device_open(&options, &device, &err) || checkpoint_open(argv[1], &ck, &err) ||
        mdlm_open(device, ck, NULL, NULL, &model, &err) || mdlm_workspace_create(model, &workspace, &err))
        bench_die(&err);
    checkpoint_close(ck);
    const mdlm_config *config = mdlm_get_config(model);
    length = length ? u32_min(length, config->length) : config->length;
    printf("device: %s, %s\nmodel: %u blocks of %u, V = %u, L = %u; opened in %.2f s, weights %.1f MiB\n",
           gpu_device_caps(device)->name, gpu_device_caps(device)->driver, config->n_blocks,
           config->hidden_dim, config->vocab_size, length, bench_clock() - start,
           (double)mdlm_weight_bytes(model) / 0x1p20);

    denoiser network = mdlm_denoiser(workspace);
    int32_t *tokens = calloc(2 * (size_t)length, sizeof *tokens), *masks = tokens + length;
    if (!tokens)
        abort();
    for (uint32_t i = 0; i < length; i++) {
        tokens[i] = i % 2 ? network.mask_id : (int32_t)(i * 7919u % (config->vocab_size - 1));
        masks[i] = network.mask_id;
    }
    bench_item items[PROBE_COUNT + 3];
    probe probes[PROBE_COUNT];
    evaluation evaluations[3];
    uint32_t n = probe_add(probes, device, items);
    add_evaluation(&items[n++], &evaluations[0], &network, "evaluation, every output row", tokens, length,
                   length, count_flops(config, length, length));
    add_evaluation(&items[n++], &evaluations[1], &network, "evaluation, one output row", tokens, length, 1,
                   count_flops(config, length, 1));
    add_evaluation(&items[n++], &evaluations[2], &network, "all masked, every output row", masks, length,
                   length, count_flops(config, 1, length));
    bench_run(items, n, n_rounds);

    double limit = items[PROBE_FMA].flops / bench_median(&items[PROBE_FMA], n_rounds);
    double cpu_limit = items[PROBE_FMA].flops / bench_median_cpu(&items[PROBE_FMA], n_rounds);
    printf("%-32s %10s %24s %10s %10s %10s\n", "item", "median s", "(best .. worst)", "GFLOP/s", "% of limit",
           "by CPU s");
    for (uint32_t i = 0; i < n; i++) {
        double median = bench_median(&items[i], n_rounds);
        printf("%-32s %10.4f %11.4f .. %9.4f %10.2f %10.1f %10.1f\n", items[i].name, median / items[i].calls,
               items[i].seconds[0] / items[i].calls, items[i].seconds[n_rounds - 1] / items[i].calls,
               items[i].flops / median * 1e-9, 100 * items[i].flops / median / limit,
               100 * items[i].flops / bench_median_cpu(&items[i], n_rounds) / cpu_limit);
    }
    printf("peak device memory: %.1f MiB\n", (double)gpu_device_peak_bytes(device) / 0x1p20);

    bench_free(items, n);
    for (int i = 0; i < 3; i++) {
        free(evaluations[i].rows);
        free(evaluations[i].results);
    }
    free(tokens);
    probe_remove(probes);
    mdlm_workspace_destroy(workspace);
    mdlm_close(model);
    gpu_device_close(device);
    return 0;
}
