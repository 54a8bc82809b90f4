/* How close the kernels come to the limits of the device:
 *   bench_kernels [--device SELECT] [--rounds 9] [--rows 256]
 * Every line is the median of the rounds, with the best and the worst; the items of a round run in turn.
 * Limits are measured by probe shaders in the same rounds. Times are whole submissions (several dispatches
 * each), so the cost of submitting is in them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "bench.h"
#include "gpu/gpu.h"
#include "ops/matmul.h"
#include "ops/rotary.h"
#include "probe.h"

enum { MAX_ITEMS = 64, REPEATS = 4 };

static gpu_device *device;
static gpu_commands *commands;

/* About 0.5 in f32 and bf16, 1.75 in f16: every product is a normal number. */
static gpu_buffer make_buffer(uint64_t bytes)
{
    return probe_buffer(device, bytes, 0x3F003F00u);
}

static void begin(void)
{
    vkdlm_error err;
    if (gpu_commands_begin(commands, &err))
        bench_die(&err);
}

static void submit(void)
{
    vkdlm_error err;
    if (gpu_submit_wait(commands, &err))
        bench_die(&err);
}

/* ---- matmul --------------------------------------------------------------------------------------- */

typedef struct product {
    weight w;
    gpu_buffer x, y;
    uint32_t n_rows;
} product;

static void run_product(void *user)
{
    const product *p = user;
    begin();
    for (int i = 0; i < REPEATS; i++)
        ops_matmul(device, commands,
                   &(matmul_args){.w = &p->w,
                                  .x = gpu_view_all(&p->x),
                                  .y = gpu_view_all(&p->y),
                                  .ldx = weight_pad(p->w.depth),
                                  .ldy = weight_pad(p->w.n_columns),
                                  .n_rows = p->n_rows});
    submit();
}

static void add_product(bench_item *items, uint32_t *n, product *p, vkdlm_dtype dtype, uint32_t n_columns,
                        uint32_t depth, uint32_t n_rows)
{
    vkdlm_error err;
    vkdlm_tensor shape = {.name = "w", .file = "", .dtype = dtype, .n_dims = 2, .shape = {n_columns, depth}};
    if (weight_describe(&shape, &p->w, &err))
        bench_die(&err);
    p->w.buffer = make_buffer(p->w.bytes);
    p->n_rows = n_rows;
    p->x = make_buffer(size_round_up(n_rows, 64) * weight_pad(depth) * 4);
    p->y = make_buffer(size_round_up(n_rows, 64) * weight_pad(n_columns) * 4);
    bench_item *item = &items[(*n)++];
    *item = (bench_item){.run = run_product,
                         .user = p,
                         .calls = REPEATS,
                         .flops = 2.0 * REPEATS * n_rows * (double)n_columns * depth,
                         .bytes = (double)REPEATS * (double)p->w.bytes};
    snprintf(item->name, sizeof item->name, "matmul %s %u x %u x %u", vkdlm_dtype_name(dtype), n_rows,
             n_columns, depth);
}

/* ---- attention ------------------------------------------------------------------------------------ */

typedef struct attention_layer {
    attention op;
    attention_plan plan;
    rotary_table table;
    gpu_buffer index, workspace, qkv, output;
    uint32_t ld_qkv, ld;
} attention_layer;

static void run_attention(void *user)
{
    const attention_layer *a = user;
    begin();
    for (int i = 0; i < REPEATS; i++) {
        rotary_record(commands, &a->op, &a->table, &a->plan, gpu_view_all(&a->qkv), a->ld_qkv,
                      gpu_view_all(&a->index), gpu_view_all(&a->workspace));
        attention_record(commands, &a->op, &a->plan, gpu_view_all(&a->index), gpu_view_all(&a->workspace),
                         gpu_view_all(&a->output), a->ld);
    }
    submit();
}

static void add_attention(bench_item *items, uint32_t *n, attention_layer *a, uint32_t length, uint32_t heads,
                          uint32_t dim)
{
    vkdlm_error err;
    attention_shape shape = {.n_heads = heads, .n_kv_heads = heads, .head_dim = dim};
    if (attention_init(&a->op, device, &shape, NULL, &err) ||
        rotary_table_create(device, length, dim, 10000.0, NULL, &a->table, &err))
        bench_die(&err);
    uint32_t capacity = attention_capacity(length, 1);
    if (gpu_buffer_create(device, GPU_MEMORY_UPLOAD, attention_index_bytes(capacity), "index", &a->index,
                          &err))
        bench_die(&err);
    attention_begin_plan(&a->op, &a->plan, a->index.mapped, capacity);
    attention_plan_add(&a->plan, 0, length);
    attention_plan_end(&a->plan);
    a->ld = weight_pad(heads * dim);
    a->ld_qkv = weight_pad(3 * heads * dim);
    a->workspace = make_buffer(attention_workspace_bytes(&shape, capacity));
    a->qkv = make_buffer(size_round_up(length, 64) * a->ld_qkv * 4);
    a->output = make_buffer(size_round_up(length, 64) * a->ld * 4);
    bench_item *item = &items[(*n)++];
    *item = (bench_item){.run = run_attention,
                         .user = a,
                         .calls = REPEATS,
                         .flops = 4.0 * REPEATS * (double)length * length * heads * dim};
    snprintf(item->name, sizeof item->name, "attention %u x %u heads of %u", length, heads, dim);
}

/* ---- report --------------------------------------------------------------------------------------- */

static void report(const bench_item *items, uint32_t n, uint32_t n_rounds)
{
    const bench_item *fma = &items[PROBE_FMA], *read = &items[PROBE_READ];
    double flops_limit = fma->flops / bench_median(fma, n_rounds);
    double bytes_limit = read->bytes / bench_median(read, n_rounds);
    double cpu_limit = fma->flops / bench_median_cpu(fma, n_rounds);
    printf("%-34s %10s %22s %9s %8s %8s %8s %8s\n", "item", "median ms", "(best .. worst)", "GFLOP/s", "GB/s",
           "% flops", "by CPU s", "% bytes");
    for (uint32_t i = 0; i < n; i++) {
        const bench_item *item = &items[i];
        double median = bench_median(item, n_rounds);
        printf("%-34s %10.3f %10.3f .. %8.3f %9.2f %8.2f %8.1f %8.1f %8.1f\n", item->name,
               1e3 * median / item->calls, 1e3 * item->seconds[0] / item->calls,
               1e3 * item->seconds[n_rounds - 1] / item->calls, item->flops / median * 1e-9,
               item->bytes / median * 1e-9, 100 * item->flops / median / flops_limit,
               100 * item->flops / bench_median_cpu(item, n_rounds) / cpu_limit,
               100 * item->bytes / median / bytes_limit);
    }
}

int main(int argc, char **argv)
{
    static bench_item items[MAX_ITEMS];
    static product products[MAX_ITEMS];
    static attention_layer layer;
    gpu_options options = {0};
    uint32_t n_rounds = 9, n_rows = 256, n = 0, n_products = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--device") == 0)
            options.select = argv[i + 1];
        else if (strcmp(argv[i], "--rounds") == 0)
            n_rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--rows") == 0)
            n_rows = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    vkdlm_error err;
    if (gpu_device_open(&options, &device, &err) || gpu_commands_create(device, &commands, &err))
        bench_die(&err);
    printf("device: %s, %s; %u rounds\n", gpu_device_caps(device)->name, gpu_device_caps(device)->driver,
           n_rounds);

    static const uint32_t shapes[][2] = {{768, 768}, {3072, 768}, {768, 3072}, {2048, 2048}};
    static const vkdlm_dtype types[] = {VKDLM_DTYPE_F32, VKDLM_DTYPE_F16, VKDLM_DTYPE_BF16};
    probe probes[PROBE_COUNT];
    n = probe_add(probes, device, items);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            add_product(items, &n, &products[n_products++], types[t], shapes[s][0], shapes[s][1], n_rows);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        add_product(items, &n, &products[n_products++], types[t], 4096, 4096, 1);
    /* Decoding: the products of a layer of 2048 columns, for one sequence and for eight. */
    static const uint32_t decoded[][2] = {{2048, 2048}, {16384, 2048}, {2048, 8192}};
    for (uint32_t rows = 1; rows <= 8; rows += 7)
        for (size_t s = 0; s < sizeof decoded / sizeof *decoded; s++)
            add_product(items, &n, &products[n_products++], VKDLM_DTYPE_F16, decoded[s][0], decoded[s][1],
                        rows);
    /* Quantised weights beside the same in f32 and f16. */
    static const vkdlm_dtype compared[] = {VKDLM_DTYPE_F32,  VKDLM_DTYPE_F16,  VKDLM_DTYPE_Q8_0,
                                           VKDLM_DTYPE_Q4_0, VKDLM_DTYPE_Q4_K, VKDLM_DTYPE_Q6_K};
    for (size_t t = 0; t < sizeof compared / sizeof *compared; t++) {
        add_product(items, &n, &products[n_products++], compared[t], 2048, 2048, 1);
        if (t > 1)
            add_product(items, &n, &products[n_products++], compared[t], 2048, 2048, n_rows);
    }
    add_attention(items, &n, &layer, 1024, 12, 64);
    bench_run(items, n, n_rounds);
    report(items, n, n_rounds);

    bench_free(items, n);
    for (uint32_t i = 0; i < n_products; i++) {
        weight_destroy(&products[i].w);
        gpu_buffer_destroy(&products[i].x);
        gpu_buffer_destroy(&products[i].y);
    }
    gpu_buffer *const buffers[] = {&layer.index, &layer.workspace, &layer.qkv, &layer.output};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        gpu_buffer_destroy(buffers[i]);
    rotary_table_destroy(&layer.table);
    probe_remove(probes);
    gpu_commands_destroy(commands);
    gpu_device_close(device);
    return 0;
}
