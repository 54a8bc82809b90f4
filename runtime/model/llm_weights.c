#include "model/llm_weights.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "format/convert.h"
#include "format/quant.h"

/* ---- matrices --------------------------------------------------------------------------------------- */

/* Where a matrix comes from; the parts are kept beside the source that points at them. */
typedef struct matrix {
    weight_part parts[L2D_CHUNKS];
    weight_source source;
} matrix;

static void set_parts(matrix *m, uint32_t n, const char *name)
{
    m->source = (weight_source){.parts = m->parts, .n_parts = n, .name = name};
}

static void stack(matrix *m, const vkdlm_tensor *first, const vkdlm_tensor *second, const vkdlm_tensor *third)
{
    const vkdlm_tensor *const tensors[] = {first, second, third};
    *m = (matrix){0};
    uint32_t n = 0;
    for (size_t i = 0; i < 3; i++)
        if (tensors[i])
            m->parts[n++].tensor = tensors[i];
    set_parts(m, n, first->name);
}

static void pair(matrix *m, const vkdlm_tensor *gate, const vkdlm_tensor *up)
{
    stack(m, gate, up, NULL);
    m->source.layout = WEIGHT_PAIRED;
}

/* A of one projection, or of the pair: [in, r] tensors, which give r columns each. */
static void lora_a(matrix *m, const vkdlm_tensor *first, const vkdlm_tensor *second)
{
    stack(m, first, second, NULL);
    m->source.widen = second && second->dtype != first->dtype;
    m->parts[0].transposed = m->parts[1].transposed = true;
    m->source.column_step = weight_part_depth((uint32_t)first->shape[1]);
}

/* B likewise: [r, out], widened and scaled. */
static void lora_b(matrix *m, const vkdlm_tensor *first, const vkdlm_tensor *second, double scale)
{
    stack(m, first, second, NULL);
    m->parts[0].transposed = m->parts[1].transposed = true;
    m->source.widen = true;
    m->source.scale = (float)scale;
    if (second) {
        m->source.layout = WEIGHT_PAIRED;
        m->source.diagonal = true;
    }
}

/* The six chunks of a block's modulation. */
static void chunks(matrix *m, const vkdlm_tensor *tensor, uint32_t hidden_dim)
{
    *m = (matrix){0};
    for (uint32_t i = 0; i < L2D_CHUNKS; i++)
        m->parts[i] = (weight_part){.tensor = tensor, .first = i * hidden_dim, .n_columns = hidden_dim};
    set_parts(m, L2D_CHUNKS, tensor->name);
    m->source.column_step = l2d_stride(hidden_dim);
}

/* Called for each matrix in upload order; stops at the first failure. */
typedef vkdlm_status (*matrix_visitor)(void *user, const weight_source *source, weight *slot,
                                       vkdlm_error *err);

typedef struct visit {
    matrix_visitor visitor;
    void *user;
    vkdlm_status status;
    vkdlm_error *err;
} visit;

static void visit_matrix(visit *v, const matrix *m, weight *slot)
{
    if (!v->status)
        v->status = v->visitor(v->user, &m->source, slot, v->err);
}

static void visit_tensor(visit *v, const vkdlm_tensor *tensor, weight *slot)
{
    matrix m;
    stack(&m, tensor, NULL, NULL);
    visit_matrix(v, &m, slot);
}

static bool is_quantised(const vkdlm_tensor *tensor)
{
    uint32_t block_bytes;
    return vkdlm_dtype_block(tensor->dtype, &block_bytes) > 1;
}

static void visit_qkv(visit *v, const llm_config *config, const llm_block_tensors *from, llm_block *to)
{
    const vkdlm_tensor *const tensors[] = {from->q, from->k, from->v};
    const qkv_columns columns = llm_qkv_columns(config);
    const uint32_t first_column[] = {columns.q, columns.k, columns.v};
    uint32_t n_pieces = 0;
    for (uint32_t first = 0, last; first < 3; first = last + 1) {
        matrix m;
        last = first;
        while (last < 2 && tensors[last + 1]->dtype == tensors[first]->dtype)
            last++;
        stack(&m, tensors[first], last > first ? tensors[first + 1] : NULL,
              last > first + 1 ? tensors[first + 2] : NULL);
        m.source.column_step = l2d_stride(1);
        for (uint32_t i = first; config->interleaved && i <= last && i < 2; i++)
            m.parts[i - first].interleaved = config->head_dim;
        to->qkv_column[n_pieces] = first_column[first];
        visit_matrix(v, &m, &to->qkv[n_pieces++]);
    }
}

/* Whether one product can take both. */
static bool are_paired(const vkdlm_tensor *gate, const vkdlm_tensor *up)
{
    return gate->dtype == up->dtype;
}

static void visit_gate_up(visit *v, const vkdlm_tensor *gate, const vkdlm_tensor *up, weight *slots)
{
    matrix m;
    if (are_paired(gate, up)) {
        pair(&m, gate, up);
        visit_matrix(v, &m, &slots[0]);
        return;
    }
    visit_tensor(v, gate, &slots[0]);
    visit_tensor(v, up, &slots[1]);
}

static void visit_base(visit *v, const llm_config *config, const llm_tensors *tensors, llm *model)
{
    for (uint32_t i = 0; i < config->n_blocks; i++) {
        const llm_block_tensors *from = &tensors->blocks[i];
        llm_block *to = &model->blocks[i];
        visit_qkv(v, config, from, to);
        visit_tensor(v, from->o, &to->o);
        visit_gate_up(v, from->gate, from->up, to->gate_up);
        visit_tensor(v, from->down, &to->down);
    }
    visit_tensor(v, tensors->head, &model->head);
    if (is_quantised(tensors->embedding) && !config->tied)
        visit_tensor(v, tensors->embedding, &model->embedding_weight);
}

/* One projection, or the pair of gate and up. */
static void visit_linear(visit *v, const l2d_projection *first, const l2d_projection *second, double scale,
                         l2d_linear *to)
{
    matrix m;
    if (first->full) {
        if (second)
            pair(&m, first->full, second->full);
        else
            stack(&m, first->full, NULL, NULL);
        visit_matrix(v, &m, &to->w);
        return;
    }
    lora_a(&m, first->a, second ? second->a : NULL);
    visit_matrix(v, &m, &to->a);
    lora_b(&m, first->b, second ? second->b : NULL, scale);
    visit_matrix(v, &m, &to->b);
}

/* The first layers of every modulation head, stacked. */
static void visit_modulation_in(visit *v, const llm_config *config, const l2d_tensors *tensors, l2d *path)
{
    weight_part *parts = calloc(config->n_blocks + 1, sizeof *parts);
    if (!parts) {
        if (!v->status)
            v->status = error_set(v->err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for the modulation");
        return;
    }
    for (uint32_t i = 0; i < config->n_blocks; i++)
        parts[i].tensor = tensors->blocks[i].mod_in;
    parts[config->n_blocks].tensor = tensors->gate_in;
    matrix m = {.source = {.parts = parts,
                           .n_parts = config->n_blocks + 1,
                           .column_step = l2d_stride(path->config.cond_dim),
                           .widen = true,
                           .dequantise = quant_dequantize_row,
                           .name = "modulation"}};
    visit_matrix(v, &m, &path->modulation_in);
    free(parts);
}

static void visit_path(visit *v, const llm_config *config, const llm_tensors *base,
                       const l2d_tensors *tensors, l2d *path)
{
    matrix m;
    double scale = path->config.lora_scale;
    for (uint32_t i = 0; i < config->n_blocks; i++) {
        const l2d_block_tensors *from = &tensors->blocks[i];
        const llm_block_tensors *shared = &base->blocks[i];
        l2d_block *to = &path->blocks[i];
        bool paired = from->gate.full ? are_paired(from->gate.full, from->up.full)
                                      : are_paired(shared->gate, shared->up);
        visit_linear(v, &from->q, NULL, scale, &to->q);
        visit_linear(v, &from->o, NULL, scale, &to->o);
        visit_linear(v, &from->gate, paired ? &from->up : NULL, scale, &to->gate_up[0]);
        if (!paired)
            visit_linear(v, &from->up, NULL, scale, &to->gate_up[1]);
        visit_linear(v, &from->down, NULL, scale, &to->down);
        chunks(&m, from->mod_out, config->hidden_dim);
        visit_matrix(v, &m, &to->modulation);
    }
    visit_modulation_in(v, config, tensors, path);
    visit_tensor(v, tensors->time_in, &path->time_in);
    visit_tensor(v, tensors->time_out, &path->time_out);
    visit_tensor(v, tensors->gate_out, &path->gate_out);
    visit_tensor(v, tensors->encode_in, &path->encode_in);
    visit_tensor(v, tensors->encode_out, &path->encode_out);
    visit_tensor(v, tensors->vocabulary, &path->vocabulary);
}

/* ---- vectors ---------------------------------------------------------------------------------------- */

/* Copies a tensor into `out` at `at`. */
static void put(float *out, uint64_t at, const vkdlm_tensor *tensor, uint64_t first, uint64_t n)
{
    for (uint64_t i = 0; out && i < n; i++)
        out[at + i] = convert_element(tensor, first + i);
}

static void collect_base(llm *model, vector_list *list, const llm_tensors *tensors)
{
    const llm_config *config = &model->config;
    qkv_columns columns = llm_qkv_columns(config);
    for (uint32_t i = 0; i < config->n_blocks; i++) {
        const llm_block_tensors *from = &tensors->blocks[i];
        llm_block *to = &model->blocks[i];
        vectors_add_tensor(list, from->attn_norm, &to->attn_norm);
        vectors_add_tensor(list, from->mlp_norm, &to->mlp_norm);
        if (!config->qkv_bias)
            continue;
        float *bias = vectors_add(list, columns.v + weight_pad(llm_kv_dim(config)), &to->qkv_bias);
        put(bias, columns.q, from->q_bias, 0, from->q_bias->n_elements);
        put(bias, columns.k, from->k_bias, 0, from->k_bias->n_elements);
        put(bias, columns.v, from->v_bias, 0, from->v_bias->n_elements);
    }
    vectors_add_tensor(list, tensors->norm, &model->norm);
}

static void collect_path(llm *model, vector_list *list, const l2d_tensors *tensors)
{
    const llm_config *config = &model->config;
    l2d *path = &model->path;
    uint32_t d = config->hidden_dim, stride = l2d_stride(d), cond = path->config.cond_dim,
             cond_stride = l2d_stride(cond);
    for (uint32_t i = 0; i < config->n_blocks; i++) {
        const l2d_block_tensors *from = &tensors->blocks[i];
        l2d_block *to = &path->blocks[i];
        /* LoRA wraps the frozen projection with its bias. */
        if (from->q.bias)
            vectors_add_tensor(list, from->q.bias, &to->q.bias);
        else if (path->config.lora_rank)
            to->q.bias = model->blocks[i].qkv_bias;
        float *bias = vectors_add(list, (uint64_t)L2D_CHUNKS * stride, &to->modulation_bias);
        for (uint32_t chunk = 0; chunk < L2D_CHUNKS; chunk++)
            put(bias, (uint64_t)chunk * stride, from->mod_out_bias, (uint64_t)chunk * d, d);
    }
    float *bias =
        vectors_add(list, (uint64_t)(config->n_blocks + 1) * cond_stride, &path->modulation_in_bias);
    for (uint32_t i = 0; i <= config->n_blocks; i++)
        put(bias, (uint64_t)i * cond_stride,
            i < config->n_blocks ? tensors->blocks[i].mod_in_bias : tensors->gate_in_bias, 0, cond);
    vectors_add_tensor(list, tensors->time_in_bias, &path->time_in_bias);
    vectors_add_tensor(list, tensors->time_out_bias, &path->time_out_bias);
    vectors_add_tensor(list, tensors->encode_in_bias, &path->encode_in_bias);
    vectors_add_tensor(list, tensors->encode_out_bias, &path->encode_out_bias);
    vectors_add_tensor(list, tensors->vocabulary_bias, &path->vocabulary_bias);
}

/* Floats of all vectors: an upper estimate that counts each as padded to what it can be bound at. */
static uint64_t vector_floats(const llm_config *config, const l2d_config *path)
{
    uint64_t d = l2d_stride(config->hidden_dim), n = config->n_blocks;
    uint64_t floats = (2 * n + 1) * d;
    if (config->qkv_bias)
        floats += n * l2d_stride(llm_qkv_columns(config).v + weight_pad(llm_kv_dim(config)));
    if (path)
        floats += n * (L2D_CHUNKS * d + l2d_stride(llm_q_dim(config))) +
                  (n + 3) * l2d_stride(path->cond_dim) + d + l2d_stride(path->encoder_dim) +
                  l2d_stride(path->flow_dim);
    return floats;
}

/* ---- uploads ---------------------------------------------------------------------------------------- */

static vkdlm_status visit_send(void *user, const weight_source *source, weight *slot, vkdlm_error *err)
{
    return loader_send_source(user, source, slot, err);
}

static vkdlm_status visit_count(void *user, const weight_source *source, weight *slot, vkdlm_error *err)
{
    weight described;
    (void)slot;
    vkdlm_status status = weight_describe_source(source, &described, err);
    *(uint64_t *)user += described.bytes;
    return status;
}

static vkdlm_status allocate_blocks(llm *model, vkdlm_error *err)
{
    uint32_t n = model->config.n_blocks;
    model->blocks = calloc(n, sizeof *model->blocks);
    model->path.blocks = calloc(n, sizeof *model->path.blocks);
    if (!model->blocks || !model->path.blocks)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", n);
    return VKDLM_OK;
}

vkdlm_status llm_weights_estimate(const llm_config *config, const llm_tensors *tensors,
                                  const l2d_config *path_config, const l2d_tensors *path, uint64_t *bytes,
                                  vkdlm_error *err)
{
    /* Places to visit; nothing is written to them. */
    llm model = {.config = *config};
    vkdlm_status status = allocate_blocks(&model, err);
    *bytes = (config->tied || is_quantised(tensors->embedding) ? 0 : tensors->embedding->n_bytes) +
             vector_floats(config, path_config) * sizeof(float) +
             (uint64_t)config->context * config->head_dim * sizeof(float);
    visit v = {.visitor = visit_count, .user = bytes, .status = status, .err = err};
    if (!v.status)
        visit_base(&v, config, tensors, &model);
    if (!v.status && path) {
        model.path.config = *path_config;
        visit_path(&v, config, tensors, path, &model.path);
        *bytes += path->labels ? path->labels->n_bytes : 0;
    }
    free(model.blocks);
    free(model.path.blocks);
    return v.status;
}

/* With LoRA, a projection reads the base's weights. */
static void share_base(llm *model)
{
    for (uint32_t i = 0; model->path.config.lora_rank && i < model->config.n_blocks; i++) {
        const llm_block *from = &model->blocks[i];
        l2d_block *to = &model->path.blocks[i];
        to->q.w = weight_first_columns(&from->qkv[0], weight_pad(llm_q_dim(&model->config)));
        to->o.w = from->o;
        for (uint32_t piece = 0; piece < 2; piece++)
            to->gate_up[piece].w = from->gate_up[piece];
        to->down.w = from->down;
    }
}

/* The table of rotations, with the divisors that a file may give. */
static vkdlm_status create_rotary(llm *model, const vkdlm_tensor *divisors, vkdlm_error *err)
{
    const llm_config *config = &model->config;
    rotary_scaling scaling = config->has_scaling ? config->scaling : (rotary_scaling){.factor = 1};
    float values[ATTENTION_MAX_HEAD_DIM / 2];
    for (uint64_t i = 0; divisors && i < divisors->n_elements; i++) {
        values[i] = convert_element(divisors, i);
        if (!(values[i] > 0) || !isfinite(values[i]))
            return error_set(err, VKDLM_MALFORMED,
                             "'%s': tensor '%s': expected positive finite values, found %g", divisors->file,
                             divisors->name, (double)values[i]);
    }
    scaling.divisors = divisors ? values : NULL;
    return rotary_table_create(model->device, config->context, config->head_dim, config->rope_base,
                               config->has_scaling || divisors ? &scaling : NULL, &model->rotary, err);
}

vkdlm_status llm_weights_upload(llm *model, const llm_tensors *tensors, const l2d_tensors *path,
                                loader_progress_fn progress, void *user, vkdlm_error *err)
{
    const llm_config *config = &model->config;
    loader l = {.device = model->device, .progress = progress, .user = user};
    vector_list vectors = {.buffer = &model->vectors};
    uint64_t bytes_before = gpu_device_bytes(model->device);
    vkdlm_status status =
        llm_weights_estimate(config, tensors, path ? &model->path.config : NULL, path, &l.total_bytes, err);
    model->ld = weight_pad(config->hidden_dim);
    if (!status)
        status = allocate_blocks(model, err);
    if (status)
        return status;
    collect_base(model, &vectors, tensors);
    if (path)
        collect_path(model, &vectors, path);
    status = vectors_check(&vectors, err);
    if (!status)
        status = create_rotary(model, tensors->divisors, err);
    if (!status)
        status = loader_begin(&l, err);
    if (!status)
        status = loader_send_vectors(&l, &vectors, &model->vectors, err);
    if (!status && !config->tied && !is_quantised(tensors->embedding))
        status = loader_send_table(&l, tensors->embedding, &model->embedding_buffer, &model->embedding, err);
    visit v = {.visitor = visit_send, .user = &l, .status = status, .err = err};
    if (!v.status)
        visit_base(&v, config, tensors, model);
    if (!v.status && path)
        visit_path(&v, config, tensors, path, &model->path);
    status = v.status;
    if (!status && path && path->labels)
        status = loader_send_table(&l, path->labels, &model->path.labels_buffer, &model->path.labels, err);
    status = loader_end(&l, status, err);
    if (!status && config->tied)
        model->embedding = embed_table_of(&model->head);
    else if (!status && is_quantised(tensors->embedding))
        model->embedding = embed_table_of(&model->embedding_weight);
    if (!status && path)
        share_base(model);
    model->weight_bytes = gpu_device_bytes(model->device) - bytes_before;
    free(vectors.data);
    return status;
}

static void destroy_linear(l2d_linear *linear, bool shared)
{
    if (!shared)
        weight_destroy(&linear->w);
    weight_destroy(&linear->a);
    weight_destroy(&linear->b);
}

static void destroy_path(l2d *path, uint32_t n_blocks)
{
    bool shared = path->config.lora_rank != 0;
    for (uint32_t i = 0; path->blocks && i < n_blocks; i++) {
        l2d_block *block = &path->blocks[i];
        destroy_linear(&block->q, shared);
        destroy_linear(&block->o, shared);
        for (uint32_t piece = 0; piece < 2; piece++)
            destroy_linear(&block->gate_up[piece], shared);
        destroy_linear(&block->down, shared);
        weight_destroy(&block->modulation);
    }
    weight *const weights[] = {&path->time_in,   &path->time_out,   &path->modulation_in, &path->gate_out,
                               &path->encode_in, &path->encode_out, &path->vocabulary};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        weight_destroy(weights[i]);
    gpu_buffer_destroy(&path->labels_buffer);
    free(path->blocks);
    path->blocks = NULL;
}

void llm_weights_destroy(llm *model)
{
    destroy_path(&model->path, model->config.n_blocks);
    for (uint32_t i = 0; model->blocks && i < model->config.n_blocks; i++) {
        llm_block *block = &model->blocks[i];
        for (uint32_t piece = 0; piece < 3; piece++)
            weight_destroy(&block->qkv[piece]);
        weight_destroy(&block->o);
        for (uint32_t piece = 0; piece < 2; piece++)
            weight_destroy(&block->gate_up[piece]);
        weight_destroy(&block->down);
    }
    free(model->blocks);
    model->blocks = NULL;
    weight_destroy(&model->head);
    weight_destroy(&model->embedding_weight);
    gpu_buffer_destroy(&model->embedding_buffer);
    gpu_buffer_destroy(&model->vectors);
    rotary_table_destroy(&model->rotary);
}
