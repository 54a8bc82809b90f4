/* What a driver's compiler makes of every pipeline that a device would use, without running any:
 *   compile_stats [--device SELECT] [--only GROUP] [--all] [--optional]
 * Prints one line a kernel and variant, with tabs between the columns: the most that any of its pipelines
 * (types of weights, epilogues, head sizes) takes, and the fewest waves; --all prints every pipeline. Exit
 * status 1 when a pipeline spills registers or has scratch memory, 2 when something else fails, and with
 * --optional 77 where there is no such driver.
 *
 * The operations themselves are called, on a device that only compiles: which pipelines there are and with
 * which constants is known to them alone. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "bench.h"
#include "gpu/gpu.h"
#include "ops/cached_attention.h"
#include "ops/condition.h"
#include "ops/embed.h"
#include "ops/flow.h"
#include "ops/matmul_select.h"
#include "ops/norm.h"
#include "ops/output.h"
#include "ops/rms.h"
#include "ops/rotary.h"
#include "ops/weight_blocks.h"

/* ---- what the compiler says ----------------------------------------------------------------------- */

enum column { REGISTERS, SCALAR_REGISTERS, SPILLED, SCRATCH, SHARED, WAVES, CODE, N_COLUMNS };

static const char *const column_names[N_COLUMNS] = {
    "registers", "scalar registers", "spilled", "scratch bytes", "shared bytes", "waves", "code bytes"};

/* The drivers' names for them. Several of one column are added up. */
static const struct {
    const char *name;
    enum column column;
} drivers_names[] = {
    /* RADV */
    {"VGPRs", REGISTERS},
    {"SGPRs", SCALAR_REGISTERS},
    {"Spilled VGPRs", SPILLED},
    {"Spilled SGPRs", SPILLED},
    {"Scratch size", SCRATCH},
    {"LDS size", SHARED},
    {"Subgroups per SIMD", WAVES},
    {"Code size", CODE},
    /* NVK */
    {"Number of GPRs", REGISTERS},
    {"Spills to memory", SPILLED},
    {"SLM size", SCRATCH},
    {"Max warps/SM", WAVES},
    /* Turnip */
    {"Registers used", REGISTERS},
    {"STP Count", SPILLED},
    {"Max Waves Per Core", WAVES},
    /* Honeykrisp: halves of registers, and threads of a core */
    {"GPRs", REGISTERS},
    {"Spills", SPILLED},
    {"Scratch", SCRATCH},
    {"Threads", WAVES},
    /* ANV */
    {"Spill Count", SPILLED},
    {"Scratch Memory Size", SCRATCH},
};

typedef struct summary {
    char label[128];
    uint32_t n_pipelines;
    bool has[N_COLUMNS];
    double value[N_COLUMNS]; /* of WAVES the least, of the others the most */
} summary;

enum { MAX_SUMMARIES = 512 };

static gpu_device *device;
static gpu_commands *commands;
static gpu_buffer memory;
static summary summaries[MAX_SUMMARIES];
static uint32_t n_summaries, n_seen, n_bad;
static bool print_all;
static const char *only; /* a group; NULL: all */
static char variant[64];

static void read_pipeline(const gpu_compiled *compiled, summary *out)
{
    for (uint32_t i = 0; i < compiled->n_statistics; i++)
        for (size_t j = 0; j < sizeof drivers_names / sizeof *drivers_names; j++)
            if (strcmp(compiled->statistics[i].name, drivers_names[j].name) == 0) {
                out->has[drivers_names[j].column] = true;
                out->value[drivers_names[j].column] += compiled->statistics[i].value;
            }
}

static void print_values(const summary *s)
{
    for (int c = 0; c < N_COLUMNS; c++)
        if (s->has[c])
            printf("\t%.0f", s->value[c]);
        else
            printf("\t-");
}

static void print_pipeline(const summary *one, const gpu_compiled *compiled)
{
    printf("%s\t%s\t%u", one->label, gpu_kernel_name(compiled->kernel), compiled->subgroup_size);
    print_values(one);
    for (uint32_t i = 0; i < compiled->spec.n; i++)
        printf("%s%u", i ? "," : "\t", compiled->spec.value[i]);
    printf("\n");
}

static void add_to_summary(const summary *one)
{
    uint32_t i = 0;
    while (i < n_summaries && strcmp(summaries[i].label, one->label) != 0)
        i++;
    if (i == MAX_SUMMARIES) {
        fprintf(stderr, "compile_stats: more than %d kernels and variants\n", MAX_SUMMARIES);
        exit(2);
    }
    summary *s = &summaries[i];
    if (i == n_summaries) {
        n_summaries++;
        *s = *one;
        s->n_pipelines = 0;
    }
    s->n_pipelines++;
    for (int c = 0; c < N_COLUMNS; c++)
        if (c == WAVES ? one->value[c] < s->value[c] : one->value[c] > s->value[c])
            s->value[c] = one->value[c];
}

/* Begins a recording, which creates pipelines; end lists those that are new by kernel and `variant`. False
 * when --only leaves the group out. */
__attribute__((format(printf, 2, 3))) static bool begin(const char *group, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(variant, sizeof variant, format, args);
    va_end(args);
    vkdlm_error err;
    if (only && strcmp(group, only) != 0)
        return false;
    if (gpu_commands_begin(commands, &err))
        bench_die(&err);
    return true;
}

/* Kernels that differ in the types of weights or keys, or in a low-rank part, count as one; those for
 * quantised weights are another. */
static void make_label(char *text, size_t size, enum gpu_kernel kernel)
{
    static const char *const suffixes[] = {"_lora", "_f32", "_f16", "_bf16"};
    const char *name = gpu_kernel_name(kernel);
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t cut = strlen(suffixes[i]);
        if (n > cut && strncmp(name + n - cut, suffixes[i], cut) == 0)
            n -= cut;
    }
    bool all_variants = kernel == GPU_KERNEL_OUTPUT_MERGE || kernel == GPU_KERNEL_OUTPUT_SELECT;
    if (variant[0] && !all_variants)
        snprintf(text, size, "%.*s, %s", (int)n, name, variant);
    else
        snprintf(text, size, "%.*s", (int)n, name);
}

static void end(void)
{
    vkdlm_error err;
    if (gpu_submit_wait(commands, &err))
        bench_die(&err);
    for (; n_seen < gpu_device_pipelines(device); n_seen++) {
        gpu_compiled compiled;
        if (gpu_compiled_get(device, n_seen, &compiled, &err))
            bench_die(&err);
        summary one = {0};
        make_label(one.label, sizeof one.label, compiled.kernel);
        read_pipeline(&compiled, &one);
        bool bad = one.value[SPILLED] > 0 || one.value[SCRATCH] > 0;
        n_bad += bad;
        if (print_all || bad)
            print_pipeline(&one, &compiled);
        add_to_summary(&one);
    }
}

/* ---- what is compiled ------------------------------------------------------------------------------ */

enum { COLUMNS = 1024, LD = COLUMNS, MANY = 256, POSITIONS = 1024 };

/* The first N_FULL_DTYPES with every epilogue: types differ in how they are unpacked, not in what follows. */
static const vkdlm_dtype dtypes[] = {VKDLM_DTYPE_F16,  VKDLM_DTYPE_Q4_K,  VKDLM_DTYPE_F32,  VKDLM_DTYPE_BF16,
                                     VKDLM_DTYPE_Q8_0, VKDLM_DTYPE_Q4_0,  VKDLM_DTYPE_Q4_1, VKDLM_DTYPE_Q5_0,
                                     VKDLM_DTYPE_Q5_1, VKDLM_DTYPE_Q2_K,  VKDLM_DTYPE_Q3_K, VKDLM_DTYPE_Q5_K,
                                     VKDLM_DTYPE_Q6_K, VKDLM_DTYPE_IQ4_NL};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes, N_FULL_DTYPES = 2 };

static gpu_view part(uint64_t bytes)
{
    return (gpu_view){&memory, 0, u64_min(bytes, memory.size_bytes)};
}

static gpu_view anything(void)
{
    return part(UINT64_MAX);
}

static weight make_weight(vkdlm_dtype dtype)
{
    vkdlm_error err;
    weight w;
    vkdlm_tensor tensor = {.name = "w", .file = "", .dtype = dtype, .n_dims = 2, .shape = {COLUMNS, COLUMNS}};
    if (weight_describe(&tensor, &w, &err))
        bench_die(&err);
    w.buffer = memory;
    return w;
}

/* Epilogues that models use, the one that takes most first. */
enum { N_EPILOGUES = 14, N_FEW_EPILOGUES = 1 };

static void compile_product(const matmul_shape *shape, vkdlm_dtype dtype, uint32_t epilogue)
{
    const gpu_view none = {0}, some = anything();
    const struct {
        gpu_view bias, gate, residual, row_seq;
        enum matmul_activation activation;
        bool lora;
    } epilogues[N_EPILOGUES] = {
        {some, some, some, some, MATMUL_LINEAR, true},  {none, none, none, none, MATMUL_LINEAR, false},
        {some, none, none, none, MATMUL_LINEAR, false}, {some, none, none, none, MATMUL_GELU, false},
        {some, none, none, none, MATMUL_SILU, false},   {none, none, none, none, MATMUL_SILU, false},
        {none, none, none, none, MATMUL_SWIGLU, false}, {none, none, some, none, MATMUL_LINEAR, false},
        {none, none, some, none, MATMUL_TIMES, false},  {none, some, some, none, MATMUL_LINEAR, false},
        {some, some, some, some, MATMUL_LINEAR, false}, {none, none, none, none, MATMUL_LINEAR, true},
        {none, none, none, none, MATMUL_SWIGLU, true},  {none, some, some, some, MATMUL_LINEAR, true},
    };
    weight w = make_weight(dtype), b = make_weight(VKDLM_DTYPE_F32);
    if (!begin("matmul", "%u row%s", shape->rows, shape->rows == 1 ? "" : "s"))
        return;
    ops_matmul_shape(device, commands,
                     &(matmul_args){.w = &w,
                                    .x = some,
                                    .y = some,
                                    .ldx = LD,
                                    .ldy = LD,
                                    .n_rows = 64,
                                    .bias = epilogues[epilogue].bias,
                                    .activation = epilogues[epilogue].activation,
                                    .gate = epilogues[epilogue].gate,
                                    .residual = epilogues[epilogue].residual,
                                    .row_seq = epilogues[epilogue].row_seq,
                                    .ld_gate = LD,
                                    .lora_b = epilogues[epilogue].lora ? &b : NULL,
                                    .lora_z = some,
                                    .ldz = LD},
                     shape);
    end();
}

static void compile_output(const matmul_shape *shape, vkdlm_dtype dtype)
{
    weight w = make_weight(dtype);
    output_args args = {.w = &w,
                        .bias = anything(),
                        .hidden = anything(),
                        .ld = LD,
                        .n_rows = MANY,
                        .vocab_size = COLUMNS,
                        .excluded = -1,
                        .draws = anything(),
                        .results = anything(),
                        .scratch = anything(),
                        .top_p = 1};
    for (; args.top_k < 2; args.top_k++)
        if (begin("output", "%u row%s", shape->rows, shape->rows == 1 ? "" : "s")) {
            ops_output_shape(device, commands, &args, shape);
            end();
        }
}

/* Every shape that may be chosen for some number of rows. */
static void compile_linear(bool output)
{
    bool done[MATMUL_N_SHAPES] = {false};
    for (uint32_t rows = 0; rows < MATMUL_N_ROWS; rows++) {
        const matmul_shape *shapes[TUNE_MAX_CANDIDATES];
        uint32_t n = matmul_candidates(gpu_device_caps(device), rows, output, shapes);
        for (uint32_t i = 0; i < n; i++) {
            bool *seen = &done[shapes[i] - matmul_shapes];
            for (int t = 0; !*seen && t < N_DTYPES; t++) {
                uint32_t n_epilogues = t < N_FULL_DTYPES ? N_EPILOGUES : N_FEW_EPILOGUES;
                for (uint32_t e = 0; !output && e < n_epilogues; e++)
                    compile_product(shapes[i], dtypes[t], e);
                if (output)
                    compile_output(shapes[i], dtypes[t]);
            }
            *seen = true;
        }
    }
}

static void compile_embeddings(void)
{
    for (int t = 0; t < N_DTYPES; t++) {
        weight w = make_weight(dtypes[t]);
        embed_table table = embed_table_of(&w);
        for (int tied = weight_blocks_supported(dtypes[t]); tied < 2; tied++) {
            table.tied = tied ? &w : NULL;
            if (begin("embed", "%s", "")) {
                ops_embed(device, commands, &table, anything(), 1, 0, MANY, anything(), LD);
                end();
            }
        }
    }
}

static void compile_norms(uint32_t width, gpu_view source, gpu_view rows)
{
    const gpu_view none = {0}, some = anything();
    if (begin("norm", "%s", "")) {
        ops_norm(device, commands,
                 &(norm_args){.x = some,
                              .y = some,
                              .weight = some,
                              .n_rows = MANY,
                              .n_columns = width,
                              .ld = width,
                              .modulation = some,
                              .mod_stride = width,
                              .source = source,
                              .row_seq = rows});
        end();
    }
    enum { PLAIN, MODULATED, GATED, N_KINDS };
    for (int kind = 0; kind < N_KINDS; kind++)
        if (begin("norm", "%s", "")) {
            ops_rms(device, commands,
                    &(rms_args){.x = some,
                                .y = some,
                                .weight = some,
                                .n_rows = MANY,
                                .n_columns = width,
                                .ld = width,
                                .eps = 1e-5F,
                                .source = source,
                                .row_mod = rows,
                                .modulation = kind == PLAIN ? none : some,
                                .mod_stride = width,
                                .scale_shift = kind == MODULATED,
                                .add = kind == GATED ? some : none});
            end();
        }
}

static void compile_all_norms(void)
{
    static const uint32_t widths[] = {256, 768, 4096};
    const gpu_view none = {0}, some = anything();
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int uses = 0; uses < 4; uses++)
            compile_norms(widths[i], uses & 1 ? some : none, uses & 2 ? some : none);
}

static void compile_flow(void)
{
    const gpu_view some = anything();
    if (begin("flow", "%s", "")) {
        ops_timestep(device, commands, some, MANY, some);
        end();
    }
    for (int i = 0; i < 4; i++)
        if (begin("flow", "%s", "")) {
            ops_flow_stage(device, commands,
                           &(flow_stage_args){.n_rows = MANY,
                                              .n_columns = LD,
                                              .ld = LD,
                                              .n_branches = 1 + (i & 1),
                                              .target = some,
                                              .normalise = i & 2,
                                              .state = some,
                                              .stage = some,
                                              .slopes = some,
                                              .input = some});
            end();
        }
    if (begin("flow", "%s", "")) {
        ops_flow_difference(device, commands, some, MANY, LD, LD, some, some, LD);
        end();
    }
    if (begin("flow", "%s", "")) {
        ops_flow_softmax(device, commands, some, MANY, LD, LD, some);
        end();
    }
    if (begin("flow", "%s", "")) {
        weight w = flow_vocabulary_describe(COLUMNS, COLUMNS);
        w.buffer = memory;
        ops_flow_vocabulary(device, commands, &w, 0, some, MANY, LD, 1);
        end();
    }
}

static void compile_attention(const attention_shape *shape)
{
    vkdlm_error err;
    attention op;
    if (!begin("attention", "head size %u", shape->head_dim))
        return;
    if (attention_init(&op, device, shape, NULL, &err))
        bench_die(&err);
    end();
}

static void compile_cached_attention(const attention_shape *shape, enum kv_type type)
{
    vkdlm_error err;
    cached_attention op;
    if (!begin("attention", "head size %u", shape->head_dim))
        return;
    if (cached_attention_init(&op, device, shape, type, &err))
        bench_die(&err);
    end();
}

static void compile_heads(void)
{
    static const uint32_t head_dims[] = {32, 64, 96, 128}, shares[] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t i = 0; i < sizeof head_dims / sizeof *head_dims; i++) {
        attention_shape shape = {.n_heads = 8, .n_kv_heads = 8, .head_dim = head_dims[i]};
        compile_attention(&shape);
        shape.causal = true;
        for (int type = 0; type < KV_N_TYPES; type++)
            for (size_t j = 0; j < sizeof shares / sizeof *shares; j++) {
                shape.n_heads = shares[j] * shape.n_kv_heads;
                compile_cached_attention(&shape, (enum kv_type)type);
            }
    }
}

/* ---- the program ----------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    gpu_options options = {.compile_only = true};
    bool optional = false;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            options.select = argv[++i];
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--all") == 0)
            print_all = true;
        else if (strcmp(argv[i], "--optional") == 0)
            optional = true;
        else {
            fprintf(stderr, "compile_stats: unknown option '%s'\n", argv[i]);
            return 2;
        }
    vkdlm_error err;
    vkdlm_status status = gpu_device_open(&options, &device, &err);
    if (status == VKDLM_NO_DEVICE && optional) {
        fprintf(stderr, "compile_stats: skipped: %s\n", err.message);
        return 77;
    }
    if (status || gpu_commands_create(device, &commands, &err))
        bench_die(&err);
    const gpu_caps *caps = gpu_device_caps(device);
    printf("# %s, %s\n", caps->name, caps->driver);
    uint64_t bytes = u64_min(caps->max_allocation_bytes, caps->max_storage_range_bytes) / 16 * 16;
    if (gpu_buffer_create(device, GPU_MEMORY_DEVICE, u64_min(bytes, 1u << 30), "everything", &memory, &err))
        bench_die(&err);

    compile_linear(false);
    compile_linear(true);
    compile_embeddings();
    compile_all_norms();
    compile_flow();
    compile_heads();

    if (!print_all) {
        printf("kernel and variant\tpipelines");
        for (int c = 0; c < N_COLUMNS; c++)
            printf("\t%s", column_names[c]);
        printf("\n");
        for (uint32_t i = 0; i < n_summaries; i++) {
            printf("%s\t%u", summaries[i].label, summaries[i].n_pipelines);
            print_values(&summaries[i]);
            printf("\n");
        }
    }
    printf("# %u pipelines, %u of them spill registers or have scratch memory\n", n_seen, n_bad);
    gpu_buffer_destroy(&memory);
    gpu_commands_destroy(commands);
    gpu_device_close(device);
    return n_bad > 0;
}
