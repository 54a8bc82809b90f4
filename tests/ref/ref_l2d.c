#include "ref/ref_l2d.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- loading ---------------------------------------------------------------------------------------- */

typedef struct settings {
    int n, n_classes, rank;
    double sigma, alpha;
    const char *rescaling;
} settings;

static bool load_settings(json_t *root, settings *s)
{
    return json_unpack(root, "{si s?i s?i s?F sF s:s}", "flow_representation_dim", &s->n,
                       "guidance_modulation_num_classes", &s->n_classes, "flow_lora_rank", &s->rank,
                       "flow_lora_alpha", &s->alpha, "noise_rescaling", &s->sigma,
                       "flow_representation_rescaling", &s->rescaling) == 0;
}

/* The flow's projection of layer `index`: a full linear, or LoRA on the base's of the same name. */
static ref_linear load_projection(const vkdlm_tensors *file, uint32_t index, const char *block,
                                  const char *part, const ref_linear *base, const settings *s)
{
    char name[128], full[160];
    snprintf(name, sizeof name, "model.layers.%u.%s.flow_%s_proj", index, block, part);
    ref_linear layer = ref_llm_load_linear(file, name);
    if (layer.weight)
        return layer;
    snprintf(full, sizeof full, "%s.A", name);
    double *a = ref_llm_load(file, full);
    snprintf(full, sizeof full, "%s.B", name);
    double *b = ref_llm_load(file, full);
    if (a && b) {
        uint32_t rank = (uint32_t)s->rank, in = base->in, out = base->out;
        double scale = (s->alpha > 0 ? s->alpha : 2.0 * rank) / rank;
        layer.in = in;
        layer.out = out;
        layer.weight = ref_llm_allocate((size_t)in * out, sizeof *layer.weight);
        memcpy(layer.weight, base->weight, (size_t)in * out * sizeof *layer.weight);
        for (uint32_t i = 0; i < in; i++)
            for (uint32_t r = 0; r < rank; r++)
                for (uint32_t o = 0; o < out; o++)
                    layer.weight[(size_t)i * out + o] +=
                        scale * a[(size_t)i * rank + r] * b[(size_t)r * out + o];
        if (base->bias) {
            layer.bias = ref_llm_allocate(out, sizeof *layer.bias);
            memcpy(layer.bias, base->bias, out * sizeof *layer.bias);
        }
    }
    free(a);
    free(b);
    return layer;
}

static bool load_layer(ref_l2d *net, const vkdlm_tensors *file, uint32_t index, const settings *s)
{
    ref_l2d_layer *layer = &net->layers[index];
    const ref_llm_layer *base = &net->base->layers[index];
    char name[96];
    snprintf(name, sizeof name, "model.layers.%u.modulation_head.mlp.0", index);
    layer->modulation0 = ref_llm_load_linear(file, name);
    snprintf(name, sizeof name, "model.layers.%u.modulation_head.mlp.2", index);
    layer->modulation2 = ref_llm_load_linear(file, name);
    layer->q = load_projection(file, index, "self_attn", "q", &base->q, s);
    layer->o = load_projection(file, index, "self_attn", "o", &base->o, s);
    layer->gate = load_projection(file, index, "mlp", "gate", &base->gate, s);
    layer->up = load_projection(file, index, "mlp", "up", &base->up, s);
    layer->down = load_projection(file, index, "mlp", "down", &base->down, s);
    return layer->modulation0.weight && layer->modulation2.weight && layer->q.weight && layer->o.weight &&
           layer->gate.weight && layer->up.weight && layer->down.weight;
}

static void set_sizes(ref_l2d *net, const settings *s)
{
    double n = s->n;
    net->n = (uint32_t)s->n;
    net->n_classes = (uint32_t)s->n_classes;
    net->sigma = s->sigma;
    net->n_features = net->timestep0.in;
    net->cond_dim = net->timestep0.out;
    net->rescale = sqrt(n);
    net->variance = 1;
    if (strcmp(s->rescaling, "div") == 0) {
        net->rescale = 1 / sqrt(n);
        net->variance = 1 / (n * n);
    } else if (strcmp(s->rescaling, "none") == 0) {
        net->rescale = 1;
        net->variance = 1 / n;
    }
}

static bool load_tensors(ref_l2d *net, const vkdlm_tensors *file, const settings *s)
{
    const struct {
        const char *name;
        ref_linear *layer;
    } parts[] = {
        {"model.timestep_embedder.mlp.0", &net->timestep0},
        {"model.timestep_embedder.mlp.2", &net->timestep2},
        {"model.flow_token_embedder.embedder.layers_module.0", &net->token},
        {"model.flow_to_lm_encoder.embedder.layers_module.0", &net->encoder0},
        {"model.flow_to_lm_encoder.embedder.layers_module.2", &net->encoder2},
        {"model.modulation_head.mlp.0", &net->modulation0},
        {"model.modulation_head.mlp.2", &net->modulation2},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].layer = ref_llm_load_linear(file, parts[i].name);
        ok = ok && parts[i].layer->weight;
    }
    net->labels = ref_llm_load(file, "model.data_label_embedder.weight");
    net->layers = ref_llm_allocate(net->base->n_layers, sizeof *net->layers);
    for (uint32_t i = 0; i < net->base->n_layers; i++)
        ok = load_layer(net, file, i, s) && ok;
    if (ok)
        set_sizes(net, s);
    return ok && net->token.out == net->n && (net->n_classes == 0) == (net->labels == NULL);
}

ref_l2d *ref_l2d_open(const char *dir, const ref_llm *base)
{
    char path[512];
    vkdlm_error err = {0};
    vkdlm_tensors *file = NULL;
    settings s = {0};
    ref_l2d *net = ref_llm_allocate(1, sizeof *net);
    net->base = base;
    snprintf(path, sizeof path, "%s/l2d.json", dir);
    json_t *root = json_load_file(path, 0, NULL);
    snprintf(path, sizeof path, "%s/l2d.safetensors", dir);
    bool ok = root && load_settings(root, &s) && vkdlm_tensors_open(path, &file, &err) == VKDLM_OK &&
              load_tensors(net, file, &s);
    vkdlm_tensors_close(file);
    json_decref(root);
    if (ok)
        return net;
    fprintf(stderr, "cannot load the reference diffusion path from %s: %s\n", dir, err.message);
    ref_l2d_close(net);
    return NULL;
}

void ref_l2d_close(ref_l2d *net)
{
    if (!net)
        return;
    for (uint32_t i = 0; net->layers && i < net->base->n_layers; i++) {
        ref_l2d_layer *layer = &net->layers[i];
        ref_linear *const layers[] = {&layer->modulation0, &layer->modulation2, &layer->q,   &layer->o,
                                      &layer->gate,        &layer->up,          &layer->down};
        for (size_t j = 0; j < sizeof layers / sizeof *layers; j++)
            ref_llm_free_linear(layers[j]);
    }
    free(net->layers);
    free(net->labels);
    ref_linear *const layers[] = {&net->timestep0, &net->timestep2,   &net->token,      &net->encoder0,
                                  &net->encoder2,  &net->modulation0, &net->modulation2};
    for (size_t j = 0; j < sizeof layers / sizeof *layers; j++)
        ref_llm_free_linear(layers[j]);
    free(net);
}

/* ---- network ---------------------------------------------------------------------------------------- */

/* y = second(SiLU(first(x))). */
static void two_layers(const ref_linear *first, const ref_linear *second, const double *x, double *y)
{
    double *inner = ref_llm_allocate(first->out, sizeof *inner);
    ref_linear_apply(first, x, inner);
    ref_llm_silu(inner, first->out);
    ref_linear_apply(second, inner, y);
    free(inner);
}

void ref_l2d_vocabulary(const ref_l2d *net, int32_t token, double *v)
{
    double norm = 0;
    ref_linear_apply(&net->token, net->base->embedding + (size_t)token * net->base->dim, v);
    for (uint32_t i = 0; i < net->n; i++)
        norm += v[i] * v[i];
    norm = fmax(sqrt(norm), 1e-12);
    for (uint32_t i = 0; i < net->n; i++)
        v[i] *= net->rescale / norm;
}

void ref_l2d_condition(const ref_l2d *net, double t, int32_t class_id, double *emb)
{
    const uint32_t half = net->n_features / 2;
    double *features = ref_llm_allocate(net->n_features, sizeof *features);
    for (uint32_t i = 0; i < half; i++) {
        double w = pow(10000, -2.0 * i / net->n_features);
        features[i] = cos(t * w);
        features[half + i] = sin(t * w);
    }
    two_layers(&net->timestep0, &net->timestep2, features, emb);
    const double *label = net->labels ? net->labels + (class_id < 0 ? net->n_classes : (uint32_t)class_id) *
                                                          (size_t)net->cond_dim
                                      : NULL;
    for (uint32_t i = 0; label && i < net->cond_dim; i++)
        emb[i] += label[i];
    free(features);
}

void ref_l2d_gain(const ref_l2d *net, double t, int32_t class_id, double *gain)
{
    double *emb = ref_llm_allocate(net->cond_dim, sizeof *emb);
    double *start = ref_llm_allocate(net->base->dim, sizeof *start);
    ref_l2d_condition(net, 0, class_id, emb);
    two_layers(&net->modulation0, &net->modulation2, emb, start);
    ref_l2d_condition(net, t, class_id, emb);
    two_layers(&net->modulation0, &net->modulation2, emb, gain);
    for (uint32_t i = 0; i < net->base->dim; i++)
        gain[i] -= start[i];
    free(start);
    free(emb);
}

/* h = RMS(y) (weight + more) + shift. */
static void modulated_norm(const ref_llm *base, const double *y, const double *weight, const double *more,
                           const double *shift, double *h)
{
    ref_llm_rms(base, y, h);
    for (uint32_t i = 0; i < base->dim; i++)
        h[i] = h[i] * (weight[i] + more[i]) + shift[i];
}

/* y [D] through one layer in place; scratch [8 D + 2 HA + 2 F]. */
static void run_layer(const ref_l2d *net, uint32_t index, const ref_llm_cache *cache, uint32_t position,
                      const double *emb, double *y, double *scratch)
{
    const ref_llm *base = net->base;
    const ref_l2d_layer *layer = &net->layers[index];
    const size_t dim = base->dim, width = (size_t)base->n_heads * base->head_dim;
    double *mod = scratch, *h = mod + 6 * dim, *more = h + dim, *q = more + dim, *o = q + width,
           *gate = o + width, *up = gate + base->mlp_dim;
    two_layers(&layer->modulation0, &layer->modulation2, emb, mod);

    modulated_norm(base, y, base->layers[index].norm_attention, mod, mod + dim, h);
    ref_linear_apply(&layer->q, h, q);
    ref_llm_rotate(base, q, base->n_heads, position);
    ref_llm_attend(base, cache, index, position + 1, q, o);
    ref_linear_apply(&layer->o, o, more);
    for (size_t i = 0; i < dim; i++)
        y[i] += mod[2 * dim + i] * more[i];

    modulated_norm(base, y, base->layers[index].norm_mlp, mod + 3 * dim, mod + 4 * dim, h);
    ref_linear_apply(&layer->gate, h, gate);
    ref_linear_apply(&layer->up, h, up);
    ref_llm_silu(gate, base->mlp_dim);
    for (uint32_t i = 0; i < base->mlp_dim; i++)
        gate[i] *= up[i];
    ref_linear_apply(&layer->down, gate, more);
    for (size_t i = 0; i < dim; i++)
        y[i] += mod[5 * dim + i] * more[i];
}

void ref_l2d_evaluate(const ref_l2d *net, const ref_llm_cache *cache, uint32_t position, const double *x,
                      double t, int32_t class_id, double *y, double *logits)
{
    const ref_llm *base = net->base;
    const size_t dim = base->dim;
    size_t n_scratch = 8 * dim + 2 * (size_t)base->n_heads * base->head_dim + 2 * (size_t)base->mlp_dim;
    double *scratch = ref_llm_allocate(n_scratch, sizeof *scratch);
    double *emb = ref_llm_allocate(net->cond_dim, sizeof *emb);
    double *input = ref_llm_allocate(net->n, sizeof *input);
    double *state = ref_llm_allocate(dim, sizeof *state), *gain = ref_llm_allocate(dim, sizeof *gain);
    double scale = 1 / sqrt((1 - t) * (1 - t) * net->sigma * net->sigma + t * t * net->variance);

    for (uint32_t i = 0; i < net->n; i++)
        input[i] = x[i] * scale;
    two_layers(&net->encoder0, &net->encoder2, input, state);
    ref_l2d_condition(net, t, class_id, emb);
    for (uint32_t i = 0; i <= base->n_layers; i++) {
        if (y)
            memcpy(y + i * dim, state, dim * sizeof *y);
        if (i < base->n_layers)
            run_layer(net, i, cache, position, emb, state, scratch);
    }
    ref_l2d_gain(net, t, class_id, gain);
    for (size_t i = 0; i < dim; i++)
        state[i] = cache->states[position * dim + i] + gain[i] * state[i];
    ref_llm_logits(base, state, logits);
    free(gain);
    free(state);
    free(input);
    free(emb);
    free(scratch);
}

uint32_t ref_l2d_argmax(const double *values, uint32_t n, double *lead)
{
    uint32_t best = 0;
    double second = -INFINITY;
    for (uint32_t i = 1; i < n; i++) {
        if (values[i] > values[best]) {
            second = values[best];
            best = i;
        } else {
            second = fmax(second, values[i]);
        }
    }
    if (lead)
        *lead = values[best] - second;
    return best;
}

double ref_l2d_euler(const ref_l2d *net, const ref_llm_cache *cache, uint32_t position, uint32_t steps,
                     int32_t class_id, double *x, double *logits)
{
    double least = INFINITY, lead, h = 1.0 / (steps - 1);
    double *target = ref_llm_allocate(net->n, sizeof *target);
    for (uint32_t i = 0; i + 1 < steps; i++) {
        double t = i * h;
        ref_l2d_evaluate(net, cache, position, x, t, class_id, NULL, logits);
        uint32_t token = ref_l2d_argmax(logits, net->base->vocab_size, &lead);
        least = fmin(least, lead);
        ref_l2d_vocabulary(net, (int32_t)token, target);
        for (uint32_t j = 0; j < net->n; j++)
            x[j] += h * (target[j] - x[j]) / (1 - t);
    }
    ref_l2d_evaluate(net, cache, position, x, 1, class_id, NULL, logits);
    ref_l2d_argmax(logits, net->base->vocab_size, &lead);
    free(target);
    return fmin(least, lead);
}
