/* Whole models: single evaluations, samplers, and tokens one after another. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "bench.h"
#include "session.h"

enum { STEPS = 32, CANVAS = 128, PROMPT = 256, NEW_TOKENS = 32, PATH_STEPS = 8, MOST_BATCH = 8 };

/* What one run did. */
typedef struct work_done {
    double evaluations, tokens;
    double network_rows, output_rows; /* token positions through the blocks, and through the output layer */
    double keys;                      /* that each of those positions attends to */
    double passes;                    /* over the weights */
} work_done;

/* An open model and what is to be run with it. */
struct bench_models {
    const vkdlm_bench_model *which;
    vkdlm_model *model;
    vkdlm_session *session;
    vkdlm_model_info info;
    const struct measurement *what;
    int32_t *tokens;
    eval_row *rows;
    eval_result *results;
    work_done done; /* by the last run */
};

typedef struct measurement {
    const char *name;
    vkdlm_family family;
    bool path; /* needs a diffusion path */
    bool selected;
    bench_call_fn call;
    uint32_t value; /* the call's own */
} measurement;

/* ---- masked models ------------------------------------------------------------------------------------ */

enum evaluation { EVERY_ROW, ONE_ROW, ALL_MASKED };

static vkdlm_status run_evaluation(void *self, vkdlm_error *err)
{
    bench_models *b = self;
    denoiser network = mdlm_denoiser(b->session->masked);
    uint32_t length = b->info.length;
    for (uint32_t i = 0; i < length; i++)
        b->tokens[i] = b->what->value == ALL_MASKED || i % 2
                           ? b->info.mask_id
                           : (int32_t)(i * 7919u % (b->info.vocab_size - 1));
    eval_sequence sequence = {b->tokens, length, 0.5f};
    eval_request request = {.sequences = &sequence,
                            .n_sequences = 1,
                            .rows = b->rows,
                            .n_rows = b->what->value == ONE_ROW ? 1 : length,
                            .seed = 1,
                            .temperature = 1,
                            .top_p = 1};
    vkdlm_status status = network.evaluate(&network, &request, b->results, err);
    b->done = (work_done){.evaluations = 1,
                          .network_rows = (double)network.counters.network_rows,
                          .output_rows = (double)network.counters.output_rows,
                          .keys = length,
                          .passes = 1};
    return status;
}

static vkdlm_status run_sampler(void *self, vkdlm_error *err)
{
    bench_models *b = self;
    uint32_t length = u32_min(CANVAS, b->info.length);
    for (uint32_t i = 0; i < length; i++)
        b->tokens[i] = b->info.mask_id;
    const vkdlm_canvas canvas = {b->tokens, length};
    const vkdlm_generate_options options = {
        .canvases = &canvas, .n_canvases = 1, .sampler = (vkdlm_sampler)b->what->value, .steps = STEPS};
    vkdlm_generate_stats stats;
    vkdlm_status status = vkdlm_generate(b->session, &options, &stats, err);
    b->done = (work_done){.evaluations = (double)stats.evaluations,
                          .tokens = (double)stats.tokens,
                          .network_rows = (double)stats.network_rows,
                          .output_rows = (double)stats.output_rows,
                          .keys = length,
                          .passes = (double)stats.submissions};
    return status;
}

/* ---- causal models ------------------------------------------------------------------------------------ */

static vkdlm_status complete(bench_models *b, uint32_t length, uint32_t new_tokens, uint32_t batch,
                             uint32_t steps, vkdlm_error *err)
{
    for (uint32_t i = 0; i < length; i++)
        b->tokens[i] = (int32_t)((5 + i * 7919u) % b->info.vocab_size);
    const vkdlm_canvas prompt = {b->tokens, length};
    const vkdlm_complete_options options = {.prompts = &prompt,
                                            .n_prompts = 1,
                                            .num_samples = batch,
                                            .batch = batch,
                                            .max_tokens = new_tokens,
                                            .ignore_end = true,
                                            .flow = {.steps = steps, .off = steps == 0}};
    vkdlm_complete_stats stats;
    vkdlm_status status = vkdlm_complete(b->session, &options, &stats, err);
    double path = (double)stats.counts.path, tokens = (double)stats.tokens;
    double base_rows = (double)stats.prompt_tokens + tokens - batch;
    b->done = (work_done){.evaluations = (double)stats.counts.main + path,
                          .tokens = new_tokens > 1 ? tokens : (double)stats.prompt_tokens,
                          .network_rows = base_rows + path,
                          .output_rows = tokens + path,
                          .keys = new_tokens > 1 ? length + 0.5 * new_tokens : 0.5 * length,
                          .passes = new_tokens + path / batch};
    return status;
}

static vkdlm_status run_prompt(void *self, vkdlm_error *err)
{
    bench_models *b = self;
    return complete(b, u32_min(PROMPT, b->info.length - 1), 1, 1, 0, err);
}

static vkdlm_status run_decoding(void *self, vkdlm_error *err)
{
    bench_models *b = self;
    return complete(b, 1, u32_min(NEW_TOKENS, b->info.length - 1), b->what->value, 0, err);
}

static vkdlm_status run_path(void *self, vkdlm_error *err)
{
    bench_models *b = self;
    return complete(b, 1, u32_min(NEW_TOKENS, b->info.length - 1), b->what->value, PATH_STEPS, err);
}

/* ---- which there are ---------------------------------------------------------------------------------- */

static const measurement measurements[] = {
    {"evaluation, every output row", VKDLM_FAMILY_MASKED, false, true, run_evaluation, EVERY_ROW},
    {"evaluation, one output row", VKDLM_FAMILY_MASKED, false, true, run_evaluation, ONE_ROW},
    {"evaluation, all masked", VKDLM_FAMILY_MASKED, false, true, run_evaluation, ALL_MASKED},
    {"128 tokens, ddpm-cache, 32 steps", VKDLM_FAMILY_MASKED, false, true, run_sampler,
     VKDLM_SAMPLER_DDPM_CACHE},
    {"128 tokens, ddpm, 32 steps", VKDLM_FAMILY_MASKED, false, true, run_sampler, VKDLM_SAMPLER_DDPM},
    {"128 tokens, analytic, 32 steps", VKDLM_FAMILY_MASKED, false, true, run_sampler, VKDLM_SAMPLER_ANALYTIC},
    {"128 tokens, first-hitting", VKDLM_FAMILY_MASKED, false, true, run_sampler, VKDLM_SAMPLER_FIRST_HITTING},
    {"prompt of 256 tokens", VKDLM_FAMILY_CAUSAL, false, true, run_prompt, 0},
    {"32 new tokens", VKDLM_FAMILY_CAUSAL, false, true, run_decoding, 1},
    {"32 new tokens, batch 8", VKDLM_FAMILY_CAUSAL, false, true, run_decoding, MOST_BATCH},
    {"32 new tokens, diffusion path, 8 steps", VKDLM_FAMILY_CAUSAL, true, true, run_path, 1},
    {"32 new tokens, diffusion path, 8 steps, batch 8", VKDLM_FAMILY_CAUSAL, true, false, run_path,
     MOST_BATCH},
};
enum { N_MEASUREMENTS = sizeof measurements / sizeof *measurements };

vkdlm_status bench_models_list(const vkdlm_bench_options *options, bench_list *list, vkdlm_error *err)
{
    for (uint32_t i = 0; i < options->n_models; i++) {
        const vkdlm_bench_model *m = &options->models[i];
        vkdlm_checkpoint *file = NULL;
        vkdlm_checkpoint_info info;
        vkdlm_status status = m->l2d ? vkdlm_checkpoint_open_l2d(m->path, m->l2d, &file, err)
                                     : vkdlm_checkpoint_open(m->path, &file, err);
        if (status)
            return status;
        vkdlm_checkpoint_get_info(file, &info);
        if (!info.runnable)
            status = error_set(err, VKDLM_UNSUPPORTED, "%s", info.why_not);
        for (uint32_t j = 0; j < N_MEASUREMENTS && !status; j++) {
            const measurement *what = &measurements[j];
            bench_case one = {.detail = m, .variation = j, .selected = what->selected};
            if (what->family != info.family || (what->path && !info.flow.present))
                continue;
            snprintf(one.of, sizeof one.of, "%.40s: %s", m->name, what->name);
            bench_list_add(list, &one);
        }
        vkdlm_checkpoint_close(file);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

/* ---- running ------------------------------------------------------------------------------------------ */

void bench_models_close(bench_models *b)
{
    if (!b)
        return;
    vkdlm_session_destroy(b->session);
    vkdlm_model_close(b->model);
    free(b->tokens);
    free(b->rows);
    free(b->results);
    free(b);
}

static bool on_upload(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    const bench_lab *lab = user;
    (void)done_bytes, (void)total_bytes;
    return bench_check(lab, NULL) == VKDLM_OK;
}

static vkdlm_status open_model(bench_lab *lab, const vkdlm_bench_model *which, bench_models **out,
                               vkdlm_error *err)
{
    bench_models *b = calloc(1, sizeof *b);
    *out = b;
    if (!b)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for a model");
    const vkdlm_model_options options = {.progress = on_upload, .user = lab, .l2d = which->l2d};
    vkdlm_status status = vkdlm_model_open(lab->owner, which->path, &options, &b->model, err);
    if (!status)
        status = vkdlm_session_create(b->model, &b->session, err);
    if (status)
        return status;
    vkdlm_model_get_info(b->model, &b->info);
    b->which = which;
    uint32_t length = b->info.length > PROMPT ? b->info.length : PROMPT;
    b->tokens = calloc(length, sizeof *b->tokens);
    b->rows = calloc(length, sizeof *b->rows);
    b->results = calloc(length, sizeof *b->results);
    if (!b->tokens || !b->rows || !b->results)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u positions", length);
    for (uint32_t i = 0; i < length; i++)
        b->rows[i] = (eval_row){.position = i, .mode = EVAL_DRAW, .target = -1};
    return VKDLM_OK;
}

/* Multiply-adds, times two, of what a run did. An evaluation of a diffusion path counts like one of the base.
 */
static double count_flops(const vkdlm_model_info *info, const work_done *done)
{
    double d = info->hidden_dim, heads = d, block = 12 * d * d;
    if (info->family == VKDLM_FAMILY_CAUSAL) {
        heads = (double)info->n_heads * info->head_dim;
        block = d * (2 * heads + 2.0 * info->n_kv_heads * info->head_dim + 3.0 * info->mlp_dim);
    }
    return done->network_rows * info->n_blocks * (2 * block + 4 * done->keys * heads) +
           2 * done->output_rows * d * info->vocab_size;
}

vkdlm_status bench_models_run(bench_lab *lab, bench_models **models, const bench_case *one,
                              vkdlm_bench_row *row, vkdlm_error *err)
{
    const vkdlm_bench_model *which = one->detail;
    vkdlm_status status = VKDLM_OK;
    if (!*models || (*models)->which != which) {
        bench_models_close(*models);
        *models = NULL;
        status = open_model(lab, which, models, err);
        if (status)
            return status;
    }
    bench_models *b = *models;
    bench_times t;
    b->what = &measurements[one->variation];
    status = bench_measure_calls(lab, b->what->call, b, &t, err);
    if (status)
        return status;
    const work_done *done = &b->done;
    row->us = t.us;
    row->us_min = t.us_min;
    row->us_max = t.us_max;
    row->repeats = t.repeats;
    row->gflops = count_flops(&b->info, done) / t.us * 1e-3;
    row->gbps = done->passes * (double)b->info.weight_bytes / t.us * 1e-3;
    row->evaluations = done->evaluations;
    row->seconds_per_evaluation = done->evaluations > 0 ? t.us * 1e-6 / done->evaluations : NAN;
    row->tokens_per_second = done->tokens > 0 ? done->tokens / t.us * 1e6 : NAN;
    return VKDLM_OK;
}
