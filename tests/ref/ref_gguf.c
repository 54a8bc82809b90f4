#include "ref/ref_gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "format/quant.h"

/* Value of "ARCHITECTURE.name", or otherwise. */
static double number(const gguf *file, const char *name, double otherwise)
{
    char key[160];
    double value = otherwise;
    gguf_string architecture = {0};
    if (!gguf_get_string(file, "general.architecture", &architecture, NULL)) {
        snprintf(key, sizeof key, "%.*s.%s", (int)architecture.size, architecture.bytes, name);
        gguf_get_number_or(file, key, 0, 1e30, otherwise, &value, NULL);
    }
    return value;
}

/* Values of a tensor in its own order; NULL when there is none. */
static double *load(const vkdlm_tensors *tensors, const char *name)
{
    const vkdlm_tensor *t = vkdlm_tensors_find(tensors, name);
    if (!t || t->n_dims < 1 || t->n_dims > 2 || !quant_is_supported(t->dtype))
        return NULL;
    uint64_t n = t->shape[t->n_dims - 1], n_rows = t->n_dims == 2 ? t->shape[0] : 1;
    uint64_t row_bytes = quant_row_bytes(t->dtype, n);
    double *out = ref_llm_allocate(t->n_elements, sizeof *out);
    float *row = ref_llm_allocate(n, sizeof *row);
    for (uint64_t r = 0; r < n_rows; r++) {
        quant_dequantize_row(t->dtype, (const char *)t->data + r * row_bytes, n, row);
        for (uint64_t i = 0; i < n; i++)
            out[r * n + i] = (double)row[i];
    }
    free(row);
    return out;
}

/* The row of the file that holds output o, when heads of `paired` outputs lie in pairs (0: as they are). */
static uint64_t row_of(uint64_t o, uint32_t paired)
{
    uint64_t half = paired / 2, in_head = paired ? o % paired : 0;
    if (!paired)
        return o;
    return o - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

static ref_linear load_linear(const vkdlm_tensors *tensors, const char *name, uint32_t paired)
{
    char full[96];
    ref_linear layer = {0};
    snprintf(full, sizeof full, "%s.weight", name);
    const vkdlm_tensor *t = vkdlm_tensors_find(tensors, full);
    double *values = load(tensors, full);
    if (!values)
        return layer;
    uint64_t n_rows = t->shape[0], n_columns = t->n_dims == 2 ? t->shape[1] : 1;
    layer.out = (uint32_t)n_rows;
    layer.in = (uint32_t)n_columns;
    layer.weight = ref_llm_allocate(n_rows * n_columns, sizeof *layer.weight);
    for (uint64_t o = 0; o < n_rows; o++)
        for (uint64_t i = 0; i < n_columns; i++)
            layer.weight[i * n_rows + o] = values[row_of(o, paired) * n_columns + i];
    free(values);
    snprintf(full, sizeof full, "%s.bias", name);
    layer.bias = load(tensors, full);
    return layer;
}

static bool load_layer(ref_llm_layer *layer, const vkdlm_tensors *tensors, uint32_t index, uint32_t paired)
{
    const struct {
        const char *name;
        ref_linear *to;
        uint32_t paired;
    } parts[] = {{"attn_q", &layer->q, paired}, {"attn_k", &layer->k, paired}, {"attn_v", &layer->v, 0},
                 {"attn_output", &layer->o, 0}, {"ffn_gate", &layer->gate, 0}, {"ffn_up", &layer->up, 0},
                 {"ffn_down", &layer->down, 0}};
    char name[64];
    bool ok = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "blk.%u.%s", index, parts[i].name);
        *parts[i].to = load_linear(tensors, name, parts[i].paired);
        ok = ok && parts[i].to->weight;
    }
    snprintf(name, sizeof name, "blk.%u.attn_norm.weight", index);
    layer->norm_attention = load(tensors, name);
    snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", index);
    layer->norm_mlp = load(tensors, name);
    return ok && layer->norm_attention && layer->norm_mlp;
}

static bool load_frequencies(ref_llm *net, const gguf *file, const vkdlm_tensors *tensors)
{
    const vkdlm_tensor *t = vkdlm_tensors_find(tensors, "rope_freqs.weight");
    double base = number(file, "rope.freq_base", 10000), factor = number(file, "rope.scaling.factor", 1);
    double *divisors = load(tensors, "rope_freqs.weight");
    bool ok = !divisors || t->n_elements == net->head_dim / 2;
    net->frequencies = ref_llm_allocate(net->head_dim / 2, sizeof *net->frequencies);
    for (uint32_t i = 0; ok && i < net->head_dim / 2; i++)
        net->frequencies[i] = pow(base, -2.0 * i / net->head_dim) / factor / (divisors ? divisors[i] : 1);
    free(divisors);
    return ok;
}

static bool load_all(ref_llm *net, const gguf *file, const vkdlm_tensors *tensors)
{
    gguf_string architecture;
    const vkdlm_tensor *table = vkdlm_tensors_find(tensors, "token_embd.weight");
    if (gguf_get_string(file, "general.architecture", &architecture, NULL))
        return false;
    net->embedding = load(tensors, "token_embd.weight");
    if (!net->embedding || table->n_dims != 2)
        return false;
    net->vocab_size = (uint32_t)table->shape[0];
    net->dim = (uint32_t)table->shape[1];
    net->n_layers = (uint32_t)number(file, "block_count", 0);
    net->n_heads = (uint32_t)number(file, "attention.head_count", 1);
    net->n_kv_heads = (uint32_t)number(file, "attention.head_count_kv", net->n_heads);
    net->head_dim = (uint32_t)number(file, "attention.key_length", net->dim / net->n_heads);
    net->mlp_dim = (uint32_t)number(file, "feed_forward_length", 0);
    net->norm_eps = number(file, "attention.layer_norm_rms_epsilon", 0);
    net->norm = load(tensors, "output_norm.weight");
    const char *head = vkdlm_tensors_find(tensors, "output.weight") ? "output" : "token_embd";
    net->head = load_linear(tensors, head, 0);
    net->layers = ref_llm_allocate(net->n_layers, sizeof *net->layers);
    bool ok = load_frequencies(net, file, tensors) && net->norm && net->head.weight;
    uint32_t paired = gguf_string_is(architecture, "llama") ? net->head_dim : 0;
    for (uint32_t i = 0; i < net->n_layers; i++)
        ok = load_layer(&net->layers[i], tensors, i, paired) && ok;
    return ok;
}

ref_llm *ref_gguf_open(const char *path)
{
    vkdlm_error err = {0};
    vkdlm_tensors *tensors = NULL;
    ref_llm *net = ref_llm_allocate(1, sizeof *net);
    bool ok = vkdlm_tensors_open(path, &tensors, &err) == VKDLM_OK &&
              load_all(net, gguf_of_tensors(tensors), tensors);
    vkdlm_tensors_close(tensors);
    if (ok)
        return net;
    fprintf(stderr, "cannot load the reference network from %s: %s\n", path, err.message);
    ref_llm_close(net);
    return NULL;
}
