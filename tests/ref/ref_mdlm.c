#include "ref/ref_mdlm.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/tensors.h>

#include "format/gguf.h"
#include "format/quant.h"

/* ---- loading ---------------------------------------------------------------------------------------- */

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p)
        abort();
    return p;
}

/* What GGUF files call the parts of the network. */
static const struct {
    const char *name, *gguf;
} names[] = {{"vocab_embed.embedding", "token_embd.weight"},
             {"sigma_map.mlp.0.", "time_in."},
             {"sigma_map.mlp.2.", "time_out."},
             {"output_layer.norm_final.", "output_norm."},
             {"output_layer.adaLN_modulation.", "output_mod."},
             {"output_layer.linear.", "output."},
             {"adaLN_modulation.", "mod."},
             {"attn_qkv.", "attn_qkv."},
             {"attn_out.", "attn_output."},
             {"mlp.0.", "ffn_up."},
             {"mlp.2.", "ffn_down."},
             {"norm1.", "attn_norm."},
             {"norm2.", "ffn_norm."}};

static const vkdlm_tensor *find(const vkdlm_tensors *file, const char *name)
{
    char full[128], block[32] = "";
    unsigned index;
    int n_prefix = 0;
    if (!gguf_of_tensors(file)) {
        snprintf(full, sizeof full, "backbone.%s", name);
        return vkdlm_tensors_find(file, full);
    }
    if (sscanf(name, "blocks.%u.%n", &index, &n_prefix) == 1)
        snprintf(block, sizeof block, "blk.%u.", index);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i].name);
        if (strncmp(name + n_prefix, names[i].name, n) == 0) {
            snprintf(full, sizeof full, "%s%s%s", block, names[i].gguf, name + n_prefix + n);
            return vkdlm_tensors_find(file, full);
        }
    }
    return NULL;
}

/* Tensor `name`, rows x columns (rows 0: any), dequantised; transposed when asked for. NULL when it is not
 * there. */
static double *load(const vkdlm_tensors *file, const char *name, uint32_t *rows, uint32_t *columns,
                    bool transpose)
{
    const vkdlm_tensor *t = find(file, name);
    if (!t || !quant_is_supported(t->dtype) || t->n_dims < 1 || t->n_dims > 2)
        return NULL;
    uint32_t n = t->n_dims == 2 ? (uint32_t)t->shape[0] : 1, m = (uint32_t)t->shape[t->n_dims - 1];
    uint64_t row_bytes = quant_row_bytes(t->dtype, m);
    double *out = allocate((size_t)t->n_elements, sizeof *out);
    float *row = allocate(m, sizeof *row);
    for (uint32_t i = 0; i < n; i++) {
        quant_dequantize_row(t->dtype, (const char *)t->data + i * row_bytes, m, row);
        for (uint32_t j = 0; j < m; j++)
            out[transpose ? (size_t)j * n + i : (size_t)i * m + j] = (double)row[j];
    }
    free(row);
    *rows = n;
    *columns = m;
    return out;
}

static double *load_vector(const vkdlm_tensors *file, const char *name)
{
    uint32_t rows, columns;
    return load(file, name, &rows, &columns, false);
}

static ref_linear load_linear(const vkdlm_tensors *file, const char *name)
{
    char full[96];
    ref_linear layer = {0};
    snprintf(full, sizeof full, "%s.weight", name);
    layer.weight = load(file, full, &layer.out, &layer.in, true);
    snprintf(full, sizeof full, "%s.bias", name);
    layer.bias = load_vector(file, full);
    return layer;
}

static void free_linear(ref_linear *layer)
{
    free(layer->weight);
    free(layer->bias);
}

static bool load_config(ref_mdlm *net, const char *dir)
{
    char path[512];
    snprintf(path, sizeof path, "%s/config.json", dir);
    int vocab, length, dim, cond, blocks, heads, conditioned;
    json_t *root = json_load_file(path, 0, NULL);
    bool ok = root && json_unpack(root, "{si si si si si si sb}", "vocab_size", &vocab, "model_length",
                                  &length, "hidden_dim", &dim, "cond_dim", &cond, "n_blocks", &blocks,
                                  "n_heads", &heads, "time_conditioning", &conditioned) == 0;
    if (ok) {
        net->vocab_size = (uint32_t)vocab;
        net->length = (uint32_t)length;
        net->dim = (uint32_t)dim;
        net->cond_dim = (uint32_t)cond;
        net->n_blocks = (uint32_t)blocks;
        net->n_heads = (uint32_t)heads;
        net->time_conditioning = conditioned;
    }
    json_decref(root);
    return ok;
}

static bool load_metadata(ref_mdlm *net, const gguf *file)
{
    const struct {
        const char *key;
        uint32_t *to;
    } keys[] = {
        {"mdlm.vocab_size", &net->vocab_size}, {"mdlm.context_length", &net->length},
        {"mdlm.embedding_length", &net->dim},  {"mdlm.conditioning_length", &net->cond_dim},
        {"mdlm.block_count", &net->n_blocks},  {"mdlm.attention.head_count", &net->n_heads},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t value;
        if (gguf_get_integer(file, keys[i].key, 1, 1 << 20, &value, NULL))
            return false;
        *keys[i].to = (uint32_t)value;
    }
    return gguf_get_bool(file, "mdlm.time_conditioning", &net->time_conditioning, NULL) == VKDLM_OK;
}

/* Frequency i of the timestep features: 10000^(-i/128). Angle of pair i at position l: l 10000^(-i/half). */
static void compute_tables(ref_mdlm *net)
{
    const uint32_t n = REF_MDLM_FEATURES / 2, half = net->dim / net->n_heads / 2;
    net->frequencies = allocate(n, sizeof *net->frequencies);
    for (uint32_t i = 0; i < n; i++)
        net->frequencies[i] = pow(10000, -(double)i / n);
    net->rotary = allocate((size_t)net->length * half * 2, sizeof *net->rotary);
    for (uint32_t l = 0; l < net->length; l++)
        for (uint32_t i = 0; i < half; i++) {
            double angle = l * pow(10000, -(double)i / half);
            double *pair = net->rotary + ((size_t)l * half + i) * 2;
            pair[0] = cos(angle);
            pair[1] = sin(angle);
        }
}

static bool load_block(ref_mdlm_block *b, const vkdlm_tensors *file, uint32_t index)
{
    static const char *const parts[] = {"adaLN_modulation", "attn_qkv", "attn_out", "mlp.0", "mlp.2"};
    ref_linear *const layers[] = {&b->modulation, &b->qkv, &b->out, &b->up, &b->down};
    char name[64];
    bool ok = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "blocks.%u.%s", index, parts[i]);
        *layers[i] = load_linear(file, name);
        ok = ok && layers[i]->weight;
    }
    snprintf(name, sizeof name, "blocks.%u.norm1.weight", index);
    b->norm1 = load_vector(file, name);
    snprintf(name, sizeof name, "blocks.%u.norm2.weight", index);
    b->norm2 = load_vector(file, name);
    return ok && b->norm1 && b->norm2;
}

/* Opens the weights and reads the sizes. */
static bool open_files(ref_mdlm *net, const char *path, vkdlm_tensors **file, vkdlm_error *err)
{
    char weights[512];
    size_t n = strlen(path);
    if (n > 5 && strcmp(path + n - 5, ".gguf") == 0)
        return vkdlm_tensors_open(path, file, err) == VKDLM_OK && load_metadata(net, gguf_of_tensors(*file));
    snprintf(weights, sizeof weights, "%s/model.safetensors", path);
    return load_config(net, path) && vkdlm_tensors_open(weights, file, err) == VKDLM_OK;
}

ref_mdlm *ref_mdlm_open(const char *path)
{
    vkdlm_error err = {0};
    vkdlm_tensors *file = NULL;
    ref_mdlm *net = allocate(1, sizeof *net);
    bool ok = open_files(net, path, &file, &err);
    if (ok) {
        uint32_t rows, columns;
        compute_tables(net);
        net->embedding = load(file, "vocab_embed.embedding", &rows, &columns, false);
        net->sigma0 = load_linear(file, "sigma_map.mlp.0");
        net->sigma2 = load_linear(file, "sigma_map.mlp.2");
        net->norm_final = load_vector(file, "output_layer.norm_final.weight");
        net->modulation = load_linear(file, "output_layer.adaLN_modulation");
        net->head = load_linear(file, "output_layer.linear");
        ok = net->embedding && net->sigma0.weight && net->sigma2.weight && net->norm_final &&
             net->modulation.weight && net->head.weight;
        net->blocks = allocate(net->n_blocks, sizeof *net->blocks);
        for (uint32_t i = 0; i < net->n_blocks; i++)
            ok = load_block(&net->blocks[i], file, i) && ok;
    }
    vkdlm_tensors_close(file);
    if (ok)
        return net;
    fprintf(stderr, "cannot load the reference network from %s: %s\n", path, err.message);
    ref_mdlm_close(net);
    return NULL;
}

void ref_mdlm_close(ref_mdlm *net)
{
    if (!net)
        return;
    for (uint32_t i = 0; net->blocks && i < net->n_blocks; i++) {
        ref_mdlm_block *b = &net->blocks[i];
        ref_linear *const layers[] = {&b->modulation, &b->qkv, &b->out, &b->up, &b->down};
        for (size_t j = 0; j < sizeof layers / sizeof *layers; j++)
            free_linear(layers[j]);
        free(b->norm1);
        free(b->norm2);
    }
    free(net->blocks);
    free(net->rotary);
    free(net->frequencies);
    free(net->embedding);
    free(net->norm_final);
    free_linear(&net->sigma0);
    free_linear(&net->sigma2);
    free_linear(&net->modulation);
    free_linear(&net->head);
    free(net);
}

/* ---- network ---------------------------------------------------------------------------------------- */

static void silu(double *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] /= 1 + exp(-x[i]);
}

static void gelu_tanh(double *x, uint32_t n)
{
    const double root = 0.79788456080286535588; /* sqrt(2/pi) */
    for (uint32_t i = 0; i < n; i++)
        x[i] = 0.5 * x[i] * (1 + tanh(root * (x[i] + 0.044715 * x[i] * x[i] * x[i])));
}

/* y = LN(x) * weight * (1 + scale) + shift, eps 1e-5. */
static void modulated_norm(const double *x, const double *weight, const double *shift, const double *scale,
                           uint32_t n, double *y)
{
    double mean = 0, variance = 0;
    for (uint32_t i = 0; i < n; i++)
        mean += x[i] / n;
    for (uint32_t i = 0; i < n; i++)
        variance += (x[i] - mean) * (x[i] - mean) / n;
    double inverse = 1 / sqrt(variance + 1e-5);
    for (uint32_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * inverse * weight[i] * (1 + scale[i]) + shift[i];
}

/* Rotates the pairs (i, i + half) of one head; angles [half, 2]. */
static void rotate(double *x, uint32_t half, const double *angles)
{
    for (uint32_t i = 0; i < half; i++) {
        double a = x[i], b = x[i + half], cosine = angles[2 * i], sine = angles[2 * i + 1];
        x[i] = a * cosine - b * sine;
        x[i + half] = b * cosine + a * sine;
    }
}

/* Bidirectional attention of one head: qkv [n, 3D] (rotated), out [n, D]; `head` is the head's first column.
 */
static void attend(const double *qkv, uint32_t n, uint32_t dim, uint32_t head, uint32_t head_dim,
                   double *weights, double *out)
{
    for (uint32_t l = 0; l < n; l++) {
        const double *q = qkv + (size_t)l * 3 * dim + head;
        double max = -INFINITY, sum = 0;
        for (uint32_t j = 0; j < n; j++) {
            const double *k = qkv + (size_t)j * 3 * dim + dim + head;
            double dot = 0;
            for (uint32_t d = 0; d < head_dim; d++)
                dot += q[d] * k[d];
            weights[j] = dot / sqrt(head_dim);
            max = fmax(max, weights[j]);
        }
        for (uint32_t j = 0; j < n; j++)
            sum += weights[j] = exp(weights[j] - max);
        double *o = out + (size_t)l * dim + head;
        memset(o, 0, head_dim * sizeof *o);
        for (uint32_t j = 0; j < n; j++) {
            const double *v = qkv + (size_t)j * 3 * dim + (size_t)2 * dim + head;
            for (uint32_t d = 0; d < head_dim; d++)
                o[d] += weights[j] / sum * v[d];
        }
    }
}

void ref_mdlm_condition(const ref_mdlm *net, double sigma, double *features, double *c)
{
    double e[REF_MDLM_FEATURES];
    const uint32_t half = REF_MDLM_FEATURES / 2;
    double level = net->time_conditioning ? sigma : 0;
    for (uint32_t i = 0; i < half; i++) {
        e[i] = cos(level * net->frequencies[i]);
        e[i + half] = sin(level * net->frequencies[i]);
    }
    if (features)
        memcpy(features, e, sizeof e);
    double *inner = allocate(net->cond_dim, sizeof *inner);
    ref_linear_apply(&net->sigma0, e, inner);
    silu(inner, net->cond_dim);
    ref_linear_apply(&net->sigma2, inner, c);
    silu(c, net->cond_dim);
    free(inner);
}

/* x [n, D] through one block, in place; scratch [n * 3D + 2 * n * D + n + 4D]. */
static void run_block(const ref_mdlm *net, const ref_mdlm_block *b, const double *c, double *x, uint32_t n,
                      double *scratch)
{
    const uint32_t dim = net->dim, head_dim = dim / net->n_heads;
    double *qkv = scratch, *h = qkv + (size_t)n * 3 * dim, *o = h + (size_t)n * dim;
    double *weights = o + (size_t)n * dim, *wide = weights + n;
    double *mod = allocate((size_t)6 * dim, sizeof *mod);
    ref_linear_apply(&b->modulation, c, mod);
    const double *shift_a = mod, *scale_a = mod + dim, *gate_a = mod + (size_t)2 * dim;
    const double *shift_m = mod + (size_t)3 * dim, *scale_m = mod + (size_t)4 * dim,
                 *gate_m = mod + (size_t)5 * dim;

    for (uint32_t l = 0; l < n; l++) {
        double *row = qkv + (size_t)l * 3 * dim;
        modulated_norm(x + (size_t)l * dim, b->norm1, shift_a, scale_a, dim, h);
        ref_linear_apply(&b->qkv, h, row);
        for (uint32_t head = 0; head < 2 * dim; head += head_dim)
            rotate(row + head, head_dim / 2, net->rotary + (size_t)l * head_dim);
    }
    for (uint32_t head = 0; head < dim; head += head_dim)
        attend(qkv, n, dim, head, head_dim, weights, o);
    for (uint32_t l = 0; l < n; l++) {
        double *row = x + (size_t)l * dim;
        ref_linear_apply(&b->out, o + (size_t)l * dim, h);
        for (uint32_t i = 0; i < dim; i++)
            row[i] += gate_a[i] * h[i];
        modulated_norm(row, b->norm2, shift_m, scale_m, dim, h);
        ref_linear_apply(&b->up, h, wide);
        gelu_tanh(wide, 4 * dim);
        ref_linear_apply(&b->down, wide, h);
        for (uint32_t i = 0; i < dim; i++)
            row[i] += gate_m[i] * h[i];
    }
    free(mod);
}

void ref_mdlm_forward(const ref_mdlm *net, const int32_t *tokens, uint32_t n, double sigma, double *hidden,
                      double *logits)
{
    const uint32_t dim = net->dim;
    double *x = allocate((size_t)n * dim, sizeof *x);
    double *scratch = allocate((size_t)n * 5 * dim + n + (size_t)4 * dim, sizeof *scratch);
    double *c = allocate(net->cond_dim, sizeof *c), *mod = allocate((size_t)2 * dim, sizeof *mod);
    ref_mdlm_condition(net, sigma, NULL, c);
    for (uint32_t l = 0; l < n; l++)
        memcpy(x + (size_t)l * dim, net->embedding + (size_t)tokens[l] * dim, dim * sizeof *x);
    for (uint32_t i = 0; i <= net->n_blocks; i++) {
        if (hidden)
            memcpy(hidden + (size_t)i * n * dim, x, (size_t)n * dim * sizeof *x);
        if (i < net->n_blocks)
            run_block(net, &net->blocks[i], c, x, n, scratch);
    }
    ref_linear_apply(&net->modulation, c, mod);
    for (uint32_t l = 0; logits && l < n; l++) {
        modulated_norm(x + (size_t)l * dim, net->norm_final, mod, mod + dim, dim, scratch);
        ref_linear_apply(&net->head, scratch, logits + (size_t)l * net->vocab_size);
    }
    free(mod);
    free(c);
    free(scratch);
    free(x);
}
