#include "ref/ref_llm.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/convert.h"

/* ---- loading ---------------------------------------------------------------------------------------- */

void *ref_llm_allocate(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p)
        abort();
    return p;
}

static const vkdlm_tensor *find(const vkdlm_tensors *file, const char *name, uint32_t n_dims)
{
    const vkdlm_tensor *t = vkdlm_tensors_find(file, name);
    bool known =
        t && (t->dtype == VKDLM_DTYPE_F32 || t->dtype == VKDLM_DTYPE_F16 || t->dtype == VKDLM_DTYPE_BF16);
    return known && (n_dims == 0 || t->n_dims == n_dims) ? t : NULL;
}

double *ref_llm_load(const vkdlm_tensors *file, const char *name)
{
    const vkdlm_tensor *t = find(file, name, 0);
    if (!t)
        return NULL;
    double *out = ref_llm_allocate((size_t)t->n_elements, sizeof *out);
    for (uint64_t i = 0; i < t->n_elements; i++)
        out[i] = (double)convert_element(t, i);
    return out;
}

ref_linear ref_llm_load_linear(const vkdlm_tensors *file, const char *name)
{
    char full[160];
    ref_linear layer = {0};
    snprintf(full, sizeof full, "%s.weight", name);
    const vkdlm_tensor *t = find(file, full, 2);
    if (!t)
        return layer;
    layer.out = (uint32_t)t->shape[0];
    layer.in = (uint32_t)t->shape[1];
    layer.weight = ref_llm_allocate((size_t)t->n_elements, sizeof *layer.weight);
    for (uint32_t o = 0; o < layer.out; o++)
        for (uint32_t i = 0; i < layer.in; i++)
            layer.weight[(size_t)i * layer.out + o] = (double)convert_element(t, (uint64_t)o * layer.in + i);
    snprintf(full, sizeof full, "%s.bias", name);
    layer.bias = ref_llm_load(file, full);
    return layer;
}

void ref_llm_free_linear(ref_linear *layer)
{
    free(layer->weight);
    free(layer->bias);
}

/* Frequency of pair i: theta^(-2i/A), scaled as Llama 3 does where the configuration asks for it. */
static bool compute_frequencies(ref_llm *net, double theta, json_t *scaling)
{
    double factor = 1, low = 1, high = 1, original = 1;
    bool scaled = json_is_object(scaling);
    if (scaled && json_unpack(scaling, "{sF sF sF sF}", "factor", &factor, "low_freq_factor", &low,
                              "high_freq_factor", &high, "original_max_position_embeddings", &original))
        return false;
    net->frequencies = ref_llm_allocate(net->head_dim / 2, sizeof *net->frequencies);
    for (uint32_t i = 0; i < net->head_dim / 2; i++) {
        double w = pow(theta, -2.0 * i / net->head_dim);
        double wavelength = 2 * 3.14159265358979323846 / w;
        double mix = (original / wavelength - low) / (high - low);
        if (scaled && wavelength > original / low)
            w /= factor;
        else if (scaled && wavelength >= original / high)
            w = (1 - mix) * w / factor + mix * w;
        net->frequencies[i] = w;
    }
    return true;
}

static bool load_config(ref_llm *net, const char *dir)
{
    char path[512];
    snprintf(path, sizeof path, "%s/config.json", dir);
    int vocab, dim, layers, heads, kv_heads, mlp, head_dim = 0;
    double theta;
    json_t *scaling = NULL, *root = json_load_file(path, 0, NULL);
    bool ok = root && json_unpack(root, "{si si si si si si sF sF s?i s?o}", "vocab_size", &vocab,
                                  "hidden_size", &dim, "num_hidden_layers", &layers, "num_attention_heads",
                                  &heads, "num_key_value_heads", &kv_heads, "intermediate_size", &mlp,
                                  "rms_norm_eps", &net->norm_eps, "rope_theta", &theta, "head_dim", &head_dim,
                                  "rope_scaling", &scaling) == 0;
    if (ok) {
        net->vocab_size = (uint32_t)vocab;
        net->dim = (uint32_t)dim;
        net->n_layers = (uint32_t)layers;
        net->n_heads = (uint32_t)heads;
        net->n_kv_heads = (uint32_t)kv_heads;
        net->head_dim = head_dim ? (uint32_t)head_dim : net->dim / net->n_heads;
        net->mlp_dim = (uint32_t)mlp;
        ok = compute_frequencies(net, theta, scaling);
    }
    json_decref(root);
    return ok;
}

static bool load_layer(ref_llm_layer *layer, const vkdlm_tensors *file, uint32_t index)
{
    static const char *const parts[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                        "mlp.down_proj"};
    ref_linear *const layers[] = {&layer->q,    &layer->k,  &layer->v,   &layer->o,
                                  &layer->gate, &layer->up, &layer->down};
    char name[96];
    bool ok = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "model.layers.%u.%s", index, parts[i]);
        *layers[i] = ref_llm_load_linear(file, name);
        ok = ok && layers[i]->weight;
    }
    snprintf(name, sizeof name, "model.layers.%u.input_layernorm.weight", index);
    layer->norm_attention = ref_llm_load(file, name);
    snprintf(name, sizeof name, "model.layers.%u.post_attention_layernorm.weight", index);
    layer->norm_mlp = ref_llm_load(file, name);
    return ok && layer->norm_attention && layer->norm_mlp;
}

/* A tied head is the embedding. */
static void load_head(ref_llm *net, const vkdlm_tensors *file)
{
    net->head = ref_llm_load_linear(file, "lm_head");
    if (net->head.weight || !net->embedding)
        return;
    net->head.in = net->dim;
    net->head.out = net->vocab_size;
    net->head.weight = ref_llm_allocate((size_t)net->dim * net->vocab_size, sizeof(double));
    for (uint32_t o = 0; o < net->vocab_size; o++)
        for (uint32_t i = 0; i < net->dim; i++)
            net->head.weight[(size_t)i * net->vocab_size + o] = net->embedding[(size_t)o * net->dim + i];
}

ref_llm *ref_llm_open(const char *dir)
{
    vkdlm_error err = {0};
    vkdlm_tensors *file = NULL;
    ref_llm *net = ref_llm_allocate(1, sizeof *net);
    bool ok = load_config(net, dir) && vkdlm_tensors_open(dir, &file, &err) == VKDLM_OK;
    if (ok) {
        net->embedding = ref_llm_load(file, "model.embed_tokens.weight");
        net->norm = ref_llm_load(file, "model.norm.weight");
        load_head(net, file);
        ok = net->embedding && net->norm && net->head.weight;
        net->layers = ref_llm_allocate(net->n_layers, sizeof *net->layers);
        for (uint32_t i = 0; i < net->n_layers; i++)
            ok = load_layer(&net->layers[i], file, i) && ok;
    }
    vkdlm_tensors_close(file);
    if (ok)
        return net;
    fprintf(stderr, "cannot load the reference network from %s: %s\n", dir, err.message);
    ref_llm_close(net);
    return NULL;
}

void ref_llm_close(ref_llm *net)
{
    if (!net)
        return;
    for (uint32_t i = 0; net->layers && i < net->n_layers; i++) {
        ref_llm_layer *layer = &net->layers[i];
        ref_linear *const layers[] = {&layer->q,    &layer->k,  &layer->v,   &layer->o,
                                      &layer->gate, &layer->up, &layer->down};
        for (size_t j = 0; j < sizeof layers / sizeof *layers; j++)
            ref_llm_free_linear(layers[j]);
        free(layer->norm_attention);
        free(layer->norm_mlp);
    }
    free(net->layers);
    free(net->frequencies);
    free(net->embedding);
    free(net->norm);
    ref_llm_free_linear(&net->head);
    free(net);
}

ref_llm_cache ref_llm_cache_create(const ref_llm *net, uint32_t capacity)
{
    size_t n = (size_t)net->n_layers * capacity * net->n_kv_heads * net->head_dim;
    return (ref_llm_cache){.capacity = capacity,
                           .keys = ref_llm_allocate(n, sizeof(double)),
                           .values = ref_llm_allocate(n, sizeof(double)),
                           .states = ref_llm_allocate((size_t)capacity * net->dim, sizeof(double))};
}

void ref_llm_cache_destroy(ref_llm_cache *cache)
{
    free(cache->keys);
    free(cache->values);
    free(cache->states);
    *cache = (ref_llm_cache){0};
}

/* ---- network ---------------------------------------------------------------------------------------- */

void ref_llm_silu(double *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] /= 1 + exp(-x[i]);
}

void ref_llm_rms(const ref_llm *net, const double *x, double *y)
{
    double mean = 0;
    for (uint32_t i = 0; i < net->dim; i++)
        mean += x[i] * x[i] / net->dim;
    for (uint32_t i = 0; i < net->dim; i++)
        y[i] = x[i] / sqrt(mean + net->norm_eps);
}

static void weighted_norm(const ref_llm *net, const double *weight, const double *x, double *y)
{
    ref_llm_rms(net, x, y);
    for (uint32_t i = 0; i < net->dim; i++)
        y[i] *= weight[i];
}

void ref_llm_rotate(const ref_llm *net, double *heads, uint32_t n_heads, uint32_t position)
{
    const uint32_t half = net->head_dim / 2;
    for (uint32_t h = 0; h < n_heads; h++) {
        double *x = heads + (size_t)h * net->head_dim;
        for (uint32_t i = 0; i < half; i++) {
            double angle = position * net->frequencies[i], a = x[i], b = x[i + half];
            x[i] = a * cos(angle) - b * sin(angle);
            x[i + half] = b * cos(angle) + a * sin(angle);
        }
    }
}

/* First component of a token's keys or values in a layer of the cache. */
static size_t cached(const ref_llm *net, const ref_llm_cache *cache, uint32_t layer, uint32_t token)
{
    return ((size_t)layer * cache->capacity + token) * net->n_kv_heads * net->head_dim;
}

void ref_llm_attend(const ref_llm *net, const ref_llm_cache *cache, uint32_t layer, uint32_t n_keys,
                    const double *q, double *out)
{
    const uint32_t head_dim = net->head_dim;
    double *weights = ref_llm_allocate(n_keys, sizeof *weights);
    memset(out, 0, (size_t)net->n_heads * head_dim * sizeof *out);
    for (uint32_t h = 0; h < net->n_heads; h++) {
        size_t group = (size_t)(h / (net->n_heads / net->n_kv_heads)) * head_dim;
        const double *query = q + (size_t)h * head_dim;
        double *o = out + (size_t)h * head_dim, max = -INFINITY, sum = 0;
        for (uint32_t j = 0; j < n_keys; j++) {
            const double *key = cache->keys + cached(net, cache, layer, j) + group;
            double dot = 0;
            for (uint32_t i = 0; i < head_dim; i++)
                dot += query[i] * key[i];
            weights[j] = dot / sqrt(head_dim);
            max = fmax(max, weights[j]);
        }
        for (uint32_t j = 0; j < n_keys; j++)
            sum += weights[j] = exp(weights[j] - max);
        for (uint32_t j = 0; j < n_keys; j++) {
            const double *value = cache->values + cached(net, cache, layer, j) + group;
            for (uint32_t i = 0; i < head_dim; i++)
                o[i] += weights[j] / sum * value[i];
        }
    }
    free(weights);
}

/* x [D], the state of the token at `position`, through one layer in place; scratch [2 D + 2 HA + 2 F]. */
static void run_layer(const ref_llm *net, uint32_t index, ref_llm_cache *cache, uint32_t position, double *x,
                      double *scratch)
{
    const ref_llm_layer *layer = &net->layers[index];
    double *h = scratch, *y = h + net->dim, *q = y + net->dim, *o = q + (size_t)net->n_heads * net->head_dim,
           *gate = o + (size_t)net->n_heads * net->head_dim, *up = gate + net->mlp_dim;
    double *key = cache->keys + cached(net, cache, index, position);

    weighted_norm(net, layer->norm_attention, x, h);
    ref_linear_apply(&layer->q, h, q);
    ref_linear_apply(&layer->k, h, key);
    ref_linear_apply(&layer->v, h, cache->values + cached(net, cache, index, position));
    ref_llm_rotate(net, q, net->n_heads, position);
    ref_llm_rotate(net, key, net->n_kv_heads, position);
    ref_llm_attend(net, cache, index, position + 1, q, o);
    ref_linear_apply(&layer->o, o, y);
    for (uint32_t i = 0; i < net->dim; i++)
        x[i] += y[i];

    weighted_norm(net, layer->norm_mlp, x, h);
    ref_linear_apply(&layer->gate, h, gate);
    ref_linear_apply(&layer->up, h, up);
    ref_llm_silu(gate, net->mlp_dim);
    for (uint32_t i = 0; i < net->mlp_dim; i++)
        gate[i] *= up[i];
    ref_linear_apply(&layer->down, gate, y);
    for (uint32_t i = 0; i < net->dim; i++)
        x[i] += y[i];
}

void ref_llm_logits(const ref_llm *net, const double *state, double *logits)
{
    double *h = ref_llm_allocate(net->dim, sizeof *h);
    weighted_norm(net, net->norm, state, h);
    ref_linear_apply(&net->head, h, logits);
    free(h);
}

void ref_llm_forward(const ref_llm *net, ref_llm_cache *cache, const int32_t *tokens, uint32_t n,
                     double *hidden, double *logits)
{
    size_t n_scratch =
        2 * (size_t)net->dim + 2 * (size_t)net->n_heads * net->head_dim + 2 * (size_t)net->mlp_dim;
    double *scratch = ref_llm_allocate(n_scratch, sizeof *scratch);
    if (n > cache->capacity - cache->length)
        abort();
    for (uint32_t t = 0; t < n; t++) {
        uint32_t position = cache->length;
        double *x = cache->states + (size_t)position * net->dim;
        memcpy(x, net->embedding + (size_t)tokens[t] * net->dim, net->dim * sizeof *x);
        for (uint32_t i = 0; i <= net->n_layers; i++) {
            if (hidden)
                memcpy(hidden + ((size_t)i * n + t) * net->dim, x, net->dim * sizeof *x);
            if (i < net->n_layers)
                run_layer(net, i, cache, position, x, scratch);
        }
        cache->length++;
        if (logits)
            ref_llm_logits(net, x, logits + (size_t)t * net->vocab_size);
    }
    free(scratch);
}
