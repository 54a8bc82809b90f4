/* Public conversion to GGUF: the plan, then tensor by tensor, the rows of a piece by several threads. */
#include "quantize.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/size.h"
#include "format/quant.h"
#include "model/l2d_checkpoint.h"
#include "session.h"

enum { MAX_THREADS = 16 };
#define PIECE_ELEMENTS (1u << 20) /* of a tensor that are in memory at a time, at least a row */

/* Rows first .. first + n of a tensor, converted by one thread. */
typedef struct work {
    const quantize_item *item;
    uint64_t first, n, n_row;         /* n_row: elements of a row */
    uint64_t source_bytes, out_bytes; /* of a row */
    float *row;                       /* [n_row] */
    unsigned char *out;
    vkdlm_status status;
    vkdlm_error err;
} work;

/* Row of the source that becomes row `row`. */
static uint64_t source_row(uint32_t head_dim, uint64_t row)
{
    if (head_dim == 0)
        return row;
    uint64_t j = row % head_dim;
    return row - j + j % 2 * (head_dim / 2) + j / 2;
}

static void *convert_rows(void *user)
{
    work *w = user;
    const vkdlm_tensor *source = w->item->source;
    vkdlm_dtype from = source->dtype, to = w->item->dtype;
    bool copied = !quant_is_supported(from) || (from == to && vkdlm_dtype_size(from) == 0);
    for (uint64_t i = 0; i < w->n && !w->status; i++) {
        uint64_t row = source_row(w->item->head_dim, w->first + i);
        const unsigned char *in = (const unsigned char *)source->data + row * w->source_bytes;
        unsigned char *out = w->out + i * w->out_bytes;
        if (copied) {
            memcpy(out, in, (size_t)w->out_bytes);
            continue;
        }
        quant_dequantize_row(from, in, w->n_row, w->row);
        w->status =
            quant_check_row(to, w->row, w->n_row, source->file, source->name, row * w->n_row, &w->err);
        if (!w->status)
            quant_quantize_row(to, w->row, w->n_row, out);
    }
    return NULL;
}

/* Converts rows first .. first + n to out; rows holds n_threads rows. */
static vkdlm_status convert_piece(const work *all, uint32_t n_threads, float *rows, vkdlm_error *err)
{
    work works[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    bool started[MAX_THREADS] = {false};
    for (uint32_t t = 0; t < n_threads; t++) {
        uint64_t begin = all->n * t / n_threads, end = all->n * (t + 1) / n_threads;
        works[t] = *all;
        works[t].first += begin;
        works[t].n = end - begin;
        works[t].row = rows + t * all->n_row;
        works[t].out += begin * all->out_bytes;
        started[t] = t > 0 && end > begin && pthread_create(&threads[t], NULL, convert_rows, &works[t]) == 0;
        if (t > 0 && !started[t])
            convert_rows(&works[t]);
    }
    convert_rows(&works[0]);
    for (uint32_t t = 1; t < n_threads; t++)
        if (started[t])
            pthread_join(threads[t], NULL);
    for (uint32_t t = 0; t < n_threads; t++)
        if (works[t].status) {
            if (err)
                *err = works[t].err;
            return works[t].status;
        }
    return VKDLM_OK;
}

typedef struct conversion {
    const vkdlm_quantize_options *options;
    gguf_writer *writer;
    uint64_t done_bytes, total_bytes; /* of the sources */
    uint32_t n_threads;
} conversion;

static uint32_t count_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (uint32_t)n;
}

static vkdlm_status report(conversion *c, uint64_t n_bytes, vkdlm_error *err)
{
    const vkdlm_quantize_options *o = c->options;
    c->done_bytes += n_bytes;
    if (o->progress && !o->progress(o->user, c->done_bytes, c->total_bytes))
        return error_set(err, VKDLM_CANCELLED, "the conversion was stopped");
    return VKDLM_OK;
}

static vkdlm_status convert_source(conversion *c, const quantize_item *item, vkdlm_error *err)
{
    const vkdlm_tensor *source = item->source;
    uint64_t n_row = source->n_dims ? source->shape[source->n_dims - 1] : 1;
    if (source->n_elements == 0)
        return VKDLM_OK;
    work all = {.item = item,
                .n_row = n_row,
                .source_bytes = quant_row_bytes(source->dtype, n_row),
                .out_bytes = quant_row_bytes(item->dtype, n_row)};
    uint64_t n_rows = source->n_elements / n_row;
    uint64_t n_piece = u64_min(n_rows, n_row < PIECE_ELEMENTS ? PIECE_ELEMENTS / n_row : 1);
    uint32_t n_threads = n_piece < c->n_threads ? (uint32_t)n_piece : c->n_threads;
    float *rows = malloc((size_t)n_threads * n_row * sizeof *rows);
    all.out = malloc((size_t)(n_piece * all.out_bytes));
    vkdlm_status status = VKDLM_OK;
    if (!rows || !all.out)
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for rows of tensor '%.200s'",
                           source->name);
    for (; all.first < n_rows && !status; all.first += all.n) {
        all.n = u64_min(n_piece, n_rows - all.first);
        status = convert_piece(&all, n_threads, rows, err);
        if (!status)
            status = gguf_writer_write(c->writer, all.out, all.n * all.out_bytes, err);
        if (!status)
            status = report(c, all.n * all.source_bytes, err);
    }
    free(rows);
    free(all.out);
    return status;
}

/* ---- the plan ----------------------------------------------------------------------------------------- */

static bool is_ours(const char *key)
{
    static const char *const keys[] = {"general.alignment", "general.file_type",
                                       "general.quantization_version"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

/* Everything of a GGUF file, by the same names. */
static vkdlm_status plan_gguf(const checkpoint *ck, quantize_plan *plan, gguf_writer *w, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < ck->metadata->n_values; i++)
        if (!is_ours(ck->metadata->values[i].key))
            gguf_writer_put_value(w, &ck->metadata->values[i]);
    for (size_t i = 0; i < vkdlm_tensors_count(ck->tensors) && !status; i++) {
        const vkdlm_tensor *source = vkdlm_tensors_at(ck->tensors, i);
        status = quantize_add(plan, source, source->name, QUANTIZE_NO_BLOCK, 0, err);
    }
    return status;
}

static uint64_t count_ids(const quantize_plan *plan)
{
    for (size_t i = 0; i < plan->n_items; i++)
        if (strcmp(plan->items[i].name, "token_embd.weight") == 0)
            return plan->items[i].source->shape[0];
    return 0;
}

/* Metadata and tensors of the model. */
static vkdlm_status make_plan(checkpoint *ck, bool is_path, quantize_plan *plan, gguf_writer *w,
                              vkdlm_quantize_info *info, vkdlm_error *err)
{
    const char *architecture = ck->architecture;
    json_scope config = checkpoint_config(ck);
    const char *kind;
    vkdlm_status status;
    if (is_path) {
        status = quantize_plan_path(ck, plan, w, &architecture, err);
        snprintf(info->no_tokenizer, sizeof info->no_tokenizer,
                 "'%.300s': a diffusion path takes the tokenizer of its base model", ck->directory);
    } else if (ck->metadata) {
        status = plan_gguf(ck, plan, w, err);
        info->tokenizer = gguf_find(ck->metadata, "tokenizer.ggml.tokens") != NULL;
        if (!info->tokenizer)
            snprintf(info->no_tokenizer, sizeof info->no_tokenizer,
                     "'%.300s': expected a tokenizer in the metadata, found none", ck->config_path);
    } else {
        bool masked =
            json_get_string(&config, "model_type", &kind, NULL) == VKDLM_OK && strcmp(kind, "mdlm") == 0;
        vkdlm_error why = {0};
        status = masked ? quantize_plan_mdlm(ck, plan, w, &architecture, err)
                        : quantize_plan_llm(ck, plan, w, &architecture, err);
        if (status)
            return status;
        status = quantize_put_tokenizer(ck, count_ids(plan), w, &why);
        info->tokenizer = status == VKDLM_OK;
        if (status == VKDLM_UNSUPPORTED) {
            snprintf(info->no_tokenizer, sizeof info->no_tokenizer, "%s", why.message);
            status = VKDLM_OK;
        } else if (status && err) {
            *err = why;
        }
    }
    if (!status)
        snprintf(info->architecture, sizeof info->architecture, "%s", architecture);
    return status;
}

static void declare(const quantize_plan *plan, const vkdlm_quantize_options *options, gguf_writer *w,
                    vkdlm_quantize_info *info)
{
    for (size_t i = 0; i < plan->n_items; i++) {
        const quantize_item *item = &plan->items[i];
        const uint64_t one = 1;
        const vkdlm_tensor *s = item->source;
        if (s)
            gguf_writer_declare(w, item->name, item->dtype, s->n_dims ? s->n_dims : 1,
                                s->n_dims ? s->shape : &one);
        else
            gguf_writer_declare(w, item->name, VKDLM_DTYPE_F32, 1, &item->n_values);
        info->n_parameters += s ? s->n_elements : item->n_values;
        info->source_bytes += s ? s->n_bytes : 0;
        info->n_fell_back += item->fell_back;
        info->n_tensors++;
        const vkdlm_quantize_tensor tensor = {.name = item->name,
                                              .from = s ? s->dtype : VKDLM_DTYPE_F32,
                                              .to = item->dtype,
                                              .fell_back = item->fell_back};
        if (options->tensor)
            options->tensor(options->user, &tensor);
    }
}

static vkdlm_status write_data(conversion *c, const quantize_plan *plan, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < plan->n_items && !status; i++) {
        const quantize_item *item = &plan->items[i];
        status = item->source
                     ? convert_source(c, item, err)
                     : gguf_writer_write(c->writer, item->values, item->n_values * sizeof *item->values, err);
    }
    return status;
}

vkdlm_status vkdlm_quantize(const char *model, const char *path, const vkdlm_quantize_options *options,
                            vkdlm_quantize_info *info, vkdlm_error *err)
{
    const vkdlm_quantize_options defaults = {0};
    vkdlm_quantize_info ignored;
    options = options ? options : &defaults;
    info = info ? info : &ignored;
    *info = (vkdlm_quantize_info){0};
    if (!model || !path)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_quantize: an argument is NULL");
    const quantize_type *type = quantize_find_type(options->type ? options->type : "q4_k_m");
    if (!type)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "expected a type of weights (f16, q8_0, q4_k_m, ...), found '%.100s'",
                         options->type);
    checkpoint *ck = NULL;
    quantize_plan plan = {0};
    conversion c = {.options = options, .n_threads = count_threads()};
    bool is_path = l2d_checkpoint_probe(model);
    vkdlm_status status =
        is_path ? l2d_checkpoint_open(model, NULL, &ck, err) : checkpoint_open(model, &ck, err);
    if (!status)
        status = gguf_writer_create(path, &c.writer, err);
    if (!status)
        status = make_plan(ck, is_path, &plan, c.writer, info, err);
    if (!status) {
        quantize_choose_types(type, &plan);
        gguf_writer_put_u32(c.writer, "general.file_type", type->file_type);
        gguf_writer_put_u32(c.writer, "general.quantization_version", 2);
        declare(&plan, options, c.writer, info);
        c.total_bytes = info->source_bytes;
        status = gguf_writer_begin(c.writer, err);
    }
    if (!status)
        status = report(&c, 0, err);
    if (!status)
        status = write_data(&c, &plan, err);
    if (!status) {
        info->file_bytes = gguf_writer_file_bytes(c.writer);
        status = gguf_writer_finish(c.writer, err);
        c.writer = NULL;
    }
    gguf_writer_abort(c.writer);
    quantize_plan_deinit(&plan);
    checkpoint_close(ck);
    return status;
}
