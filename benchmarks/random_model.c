/* Writes an MDLM checkpoint with random weights:
 *   random_model DIR [--hidden 768] [--heads 12] [--blocks 12] [--cond 128] [--vocab 50258] [--length 1024]
 *                [--dtype F32|F16|BF16] [--time-conditioning] [--seed 0]
 * The defaults are the sizes of mdlm-owt. Weights are uniform with the variance that keeps activations of
 * order 1. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <vkdlm/tensors.h>

#include "base/half.h"
#include "base/rng.h"

typedef struct settings {
    uint32_t hidden, heads, blocks, cond, vocab, length, seed;
    vkdlm_dtype dtype;
    bool time_conditioning;
} settings;

enum { MAX_TENSORS = 4096, CHUNK = 1 << 16 };

typedef struct spec_list {
    vkdlm_tensor_spec specs[MAX_TENSORS];
    float scale[MAX_TENSORS], centre[MAX_TENSORS];
    size_t n;
} spec_list;

/* Declares a tensor of one (columns 0) or two dimensions whose values are centre +- scale * sqrt(3). */
static void declare(spec_list *list, vkdlm_dtype dtype, const char *prefix, const char *name, uint32_t rows,
                    uint32_t columns, float scale, float centre)
{
    char full[160];
    snprintf(full, sizeof full, "backbone.%s%s", prefix, name);
    vkdlm_tensor_spec *spec = &list->specs[list->n];
    *spec = (vkdlm_tensor_spec){
        .name = strdup(full), .dtype = dtype, .n_dims = columns ? 2 : 1, .shape = {rows, columns}};
    list->scale[list->n] = scale;
    list->centre[list->n++] = centre;
}

static void declare_linear(spec_list *list, vkdlm_dtype dtype, const char *prefix, const char *name,
                           uint32_t rows, uint32_t columns, bool bias)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    declare(list, dtype, prefix, full, rows, columns, 1.0f / sqrtf((float)columns), 0.0f);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        declare(list, dtype, prefix, full, rows, 0, 0.1f, 0.0f);
}

static void declare_all(spec_list *list, const settings *s)
{
    uint32_t d = s->hidden;
    declare(list, s->dtype, "", "vocab_embed.embedding", s->vocab, d, 1.0f, 0.0f);
    declare_linear(list, s->dtype, "", "sigma_map.mlp.0", s->cond, 256, true);
    declare_linear(list, s->dtype, "", "sigma_map.mlp.2", s->cond, s->cond, true);
    for (uint32_t i = 0; i < s->blocks; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "blocks.%u.", i);
        declare(list, s->dtype, prefix, "norm1.weight", d, 0, 0.1f, 1.0f);
        declare(list, s->dtype, prefix, "norm2.weight", d, 0, 0.1f, 1.0f);
        declare_linear(list, s->dtype, prefix, "attn_qkv", 3 * d, d, false);
        declare_linear(list, s->dtype, prefix, "attn_out", d, d, false);
        declare_linear(list, s->dtype, prefix, "mlp.0", 4 * d, d, true);
        declare_linear(list, s->dtype, prefix, "mlp.2", d, 4 * d, true);
        declare_linear(list, s->dtype, prefix, "adaLN_modulation", 6 * d, s->cond, true);
    }
    declare(list, s->dtype, "", "output_layer.norm_final.weight", d, 0, 0.1f, 1.0f);
    declare_linear(list, s->dtype, "", "output_layer.adaLN_modulation", 2 * d, s->cond, true);
    declare_linear(list, s->dtype, "", "output_layer.linear", s->vocab, d, true);
}

static vkdlm_status fill(vkdlm_tensors_writer *writer, const spec_list *list, size_t index, uint32_t seed,
                         vkdlm_error *err)
{
    static float wide[CHUNK];
    static uint16_t narrow[CHUNK];
    const vkdlm_tensor_spec *spec = &list->specs[index];
    uint64_t n = spec->shape[0] * (spec->n_dims == 2 ? spec->shape[1] : 1);
    size_t size = vkdlm_dtype_size(spec->dtype);
    for (uint64_t at = 0; at < n; at += CHUNK) {
        uint32_t count = (uint32_t)(n - at < CHUNK ? n - at : CHUNK);
        for (uint32_t i = 0; i < count; i += 4) {
            rng_block block = rng_philox(seed, (uint32_t)((at + i) / 4), (uint32_t)index, 0, 0);
            for (uint32_t j = 0; j < 4 && i + j < count; j++) {
                float u = (float)block.word[j] * 0x1p-31f - 1.0f;
                wide[i + j] = list->centre[index] + u * sqrtf(3.0f) * list->scale[index];
            }
        }
        for (uint32_t i = 0; i < count; i++)
            narrow[i] = spec->dtype == VKDLM_DTYPE_F16 ? f16_from_f32(wide[i])
                                                       : (uint16_t)(f32_to_bits(wide[i]) >> 16);
        const void *data = spec->dtype == VKDLM_DTYPE_F32 ? (const void *)wide : narrow;
        vkdlm_status status = vkdlm_tensors_writer_write(writer, index, at * size, data, count * size, err);
        if (status)
            return status;
    }
    return VKDLM_OK;
}

static bool write_config(const char *directory, const settings *s)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/config.json", directory);
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fprintf(
        file,
        "{\"model_type\": \"mdlm\", \"vocab_size\": %u, \"model_length\": %u, \"hidden_dim\": %u, "
        "\"cond_dim\": %u, \"n_blocks\": %u, \"n_heads\": %u, \"time_conditioning\": %s, \"dropout\": 0.0}\n",
        s->vocab, s->length, s->hidden, s->cond, s->blocks, s->heads,
        s->time_conditioning ? "true" : "false");
    return fclose(file) == 0;
}

static bool parse(int argc, char **argv, settings *s)
{
    const struct {
        const char *name;
        uint32_t *value;
    } numbers[] = {{"--hidden", &s->hidden}, {"--heads", &s->heads}, {"--blocks", &s->blocks},
                   {"--cond", &s->cond},     {"--vocab", &s->vocab}, {"--length", &s->length},
                   {"--seed", &s->seed}};
    for (int i = 2; i < argc; i++) {
        bool known = false;
        if (strcmp(argv[i], "--time-conditioning") == 0) {
            s->time_conditioning = known = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--dtype") == 0) {
            i++;
            s->dtype = strcmp(argv[i], "F16") == 0    ? VKDLM_DTYPE_F16
                       : strcmp(argv[i], "BF16") == 0 ? VKDLM_DTYPE_BF16
                                                      : VKDLM_DTYPE_F32;
            known = strcmp(argv[i], vkdlm_dtype_name(s->dtype)) == 0;
        }
        for (size_t j = 0; !known && i + 1 < argc && j < sizeof numbers / sizeof *numbers; j++) {
            if (strcmp(argv[i], numbers[j].name) == 0) {
                *numbers[j].value = (uint32_t)strtoul(argv[++i], NULL, 10);
                known = true;
            }
        }
        if (!known)
            return false;
    }
    return argc >= 2 && 12 * (s->blocks + 1) < MAX_TENSORS;
}

int main(int argc, char **argv)
{
    static spec_list list;
    settings s = {.hidden = 768, .heads = 12, .blocks = 12, .cond = 128, .vocab = 50258, .length = 1024};
    if (!parse(argc, argv, &s)) {
        fprintf(stderr,
                "usage: random_model DIR [--hidden N] [--heads N] [--blocks N] [--cond N] [--vocab N] "
                "[--length N] [--dtype F32|F16|BF16] [--time-conditioning] [--seed N]\n");
        return 2;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/model.safetensors", argv[1]);
    if ((mkdir(argv[1], 0777) && errno != EEXIST) || !write_config(argv[1], &s)) {
        fprintf(stderr, "random_model: cannot write into '%s': %s\n", argv[1], strerror(errno));
        return 1;
    }
    declare_all(&list, &s);
    vkdlm_error err;
    vkdlm_tensors_writer *writer;
    vkdlm_status status = vkdlm_tensors_writer_create(path, list.specs, list.n, NULL, 0, &writer, &err);
    for (size_t i = 0; i < list.n && !status; i++)
        status = fill(writer, &list, i, s.seed, &err);
    if (!status)
        status = vkdlm_tensors_writer_finish(writer, &err);
    for (size_t i = 0; i < list.n; i++)
        free((void *)(uintptr_t)list.specs[i].name);
    if (status)
        fprintf(stderr, "random_model: %s\n", err.message);
    return status ? 1 : 0;
}
