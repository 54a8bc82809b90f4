/* Writes an MDLM checkpoint with random weights:
 *   random_model DIR [--hidden 768] [--heads 12] [--blocks 12] [--cond 128] [--vocab 50258] [--length 1024]
 *                [--dtype F32|F16|BF16] [--time-conditioning] [--seed 0]
 * The defaults are the sizes of mdlm-owt. Weights are uniform with the variance that keeps activations of
 * order 1. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "random_weights.h"

typedef struct settings {
    uint32_t hidden, heads, blocks, cond, vocab, length, seed;
    vkdlm_dtype dtype;
    bool time_conditioning;
} settings;

static void declare_all(random_tensors *list, const settings *s)
{
    uint32_t d = s->hidden;
    list->dtype = s->dtype;
    random_declare(list, "backbone.", "vocab_embed.embedding", s->vocab, d, 1.0f, 0.0f);
    random_declare_linear(list, "backbone.", "sigma_map.mlp.0", s->cond, 256, true);
    random_declare_linear(list, "backbone.", "sigma_map.mlp.2", s->cond, s->cond, true);
    for (uint32_t i = 0; i < s->blocks; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "backbone.blocks.%u.", i);
        random_declare(list, prefix, "norm1.weight", d, 0, 0.1f, 1.0f);
        random_declare(list, prefix, "norm2.weight", d, 0, 0.1f, 1.0f);
        random_declare_linear(list, prefix, "attn_qkv", 3 * d, d, false);
        random_declare_linear(list, prefix, "attn_out", d, d, false);
        random_declare_linear(list, prefix, "mlp.0", 4 * d, d, true);
        random_declare_linear(list, prefix, "mlp.2", d, 4 * d, true);
        random_declare_linear(list, prefix, "adaLN_modulation", 6 * d, s->cond, true);
    }
    random_declare(list, "backbone.", "output_layer.norm_final.weight", d, 0, 0.1f, 1.0f);
    random_declare_linear(list, "backbone.", "output_layer.adaLN_modulation", 2 * d, s->cond, true);
    random_declare_linear(list, "backbone.", "output_layer.linear", s->vocab, d, true);
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
            known = random_read_dtype(argv[++i], &s->dtype);
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
    return argc >= 2 && 12 * (s->blocks + 1) < RANDOM_MAX_TENSORS;
}

int main(int argc, char **argv)
{
    static random_tensors list;
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
    vkdlm_status status = random_write(path, &list, s.seed, &err);
    if (status)
        fprintf(stderr, "random_model: %s\n", err.message);
    return status ? 1 : 0;
}
