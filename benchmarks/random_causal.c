/* Writes a Llama checkpoint with random weights, and a diffusion path (L2D) for it in the same directory:
 *   random_causal DIR [--hidden 2048] [--heads 32] [--kv-heads 8] [--head-dim 64] [--mlp 8192] [--blocks 16]
 *                 [--vocab 128256] [--context 2048] [--flow 256] [--rank 32] [--dtype F16|F32|BF16] [--seed
 * 0] The defaults are the sizes of Llama-3.2-1B (tied) and of the published paths; --rank 0 writes full
 * weights. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "random_weights.h"

typedef struct settings {
    uint32_t hidden, heads, kv_heads, head_dim, mlp, blocks, vocab, context, flow, rank, seed;
    vkdlm_dtype dtype;
} settings;

static void declare_base(random_tensors *list, const settings *s)
{
    uint32_t d = s->hidden, q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    random_declare(list, "model.", "embed_tokens.weight", s->vocab, d, 0.05f, 0.0f);
    for (uint32_t i = 0; i < s->blocks; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "model.layers.%u.", i);
        random_declare(list, prefix, "input_layernorm.weight", d, 0, 0.1f, 1.0f);
        random_declare(list, prefix, "post_attention_layernorm.weight", d, 0, 0.1f, 1.0f);
        random_declare_linear(list, prefix, "self_attn.q_proj", q, d, false);
        random_declare_linear(list, prefix, "self_attn.k_proj", kv, d, false);
        random_declare_linear(list, prefix, "self_attn.v_proj", kv, d, false);
        random_declare_linear(list, prefix, "self_attn.o_proj", d, q, false);
        random_declare_linear(list, prefix, "mlp.gate_proj", s->mlp, d, false);
        random_declare_linear(list, prefix, "mlp.up_proj", s->mlp, d, false);
        random_declare_linear(list, prefix, "mlp.down_proj", d, s->mlp, false);
    }
    random_declare(list, "model.", "norm.weight", d, 0, 0.1f, 1.0f);
}

static void declare_projection(random_tensors *list, const settings *s, const char *prefix, const char *name,
                               uint32_t out, uint32_t in)
{
    char full[96];
    if (!s->rank) {
        random_declare_linear(list, prefix, name, out, in, false);
        return;
    }
    snprintf(full, sizeof full, "%s.A", name);
    random_declare(list, prefix, full, in, s->rank, 0.02f, 0.0f);
    snprintf(full, sizeof full, "%s.B", name);
    random_declare(list, prefix, full, s->rank, out, 0.02f, 0.0f);
}

static void declare_path(random_tensors *list, const settings *s)
{
    uint32_t d = s->hidden, q = s->heads * s->head_dim, c = s->flow;
    random_declare_linear(list, "model.", "timestep_embedder.mlp.0", c, c, true);
    random_declare_linear(list, "model.", "timestep_embedder.mlp.2", c, c, true);
    random_declare_linear(list, "model.", "flow_token_embedder.embedder.layers_module.0", s->flow, d, true);
    random_declare_linear(list, "model.", "flow_to_lm_encoder.embedder.layers_module.0", c, s->flow, true);
    random_declare_linear(list, "model.", "flow_to_lm_encoder.embedder.layers_module.2", d, c, true);
    random_declare_linear(list, "model.", "modulation_head.mlp.0", c, c, true);
    random_declare_linear(list, "model.", "modulation_head.mlp.2", d, c, true);
    for (uint32_t i = 0; i < s->blocks; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "model.layers.%u.", i);
        random_declare_linear(list, prefix, "modulation_head.mlp.0", c, c, true);
        random_declare_linear(list, prefix, "modulation_head.mlp.2", 6 * d, c, true);
        declare_projection(list, s, prefix, "self_attn.flow_q_proj", q, d);
        declare_projection(list, s, prefix, "self_attn.flow_o_proj", d, q);
        declare_projection(list, s, prefix, "mlp.flow_gate_proj", s->mlp, d);
        declare_projection(list, s, prefix, "mlp.flow_up_proj", s->mlp, d);
        declare_projection(list, s, prefix, "mlp.flow_down_proj", d, s->mlp);
    }
}

static FILE *create(const char *directory, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return fopen(path, "w");
}

static bool write_configs(const char *directory, const settings *s)
{
    FILE *base = create(directory, "config.json"), *path = create(directory, "l2d.json");
    bool good = base && path;
    if (base) {
        fprintf(base,
                "{\"model_type\": \"llama\", \"vocab_size\": %u, \"hidden_size\": %u, \"intermediate_size\": "
                "%u,\n"
                " \"num_hidden_layers\": %u, \"num_attention_heads\": %u, \"num_key_value_heads\": %u,\n"
                " \"head_dim\": %u, \"max_position_embeddings\": %u, \"rms_norm_eps\": 1e-5,\n"
                " \"rope_theta\": 500000.0, \"tie_word_embeddings\": true, \"eos_token_id\": 1}\n",
                s->vocab, s->hidden, s->mlp, s->blocks, s->heads, s->kv_heads, s->head_dim, s->context);
        good &= fclose(base) == 0;
    }
    if (path) {
        fprintf(path,
                "{\"format\": \"l2d\", \"version\": 1, \"base_model_type\": \"llama\",\n"
                " \"flow_representation_dim\": %u, \"flow_to_lm_hidden_size\": %u,\n"
                " \"timestep_modulation_hidden_size\": %u, \"timestep_modulation_freq_embedding_size\": %u,\n"
                " \"separate_flow_params_with_lora\": %s, \"flow_lora_rank\": %u, \"flow_lora_alpha\": %u}\n",
                s->flow, s->flow, s->flow, s->flow, s->rank ? "true" : "false", s->rank ? s->rank : 1,
                s->rank ? s->rank : 1);
        good &= fclose(path) == 0;
    }
    return good;
}

static bool parse(int argc, char **argv, settings *s)
{
    const struct {
        const char *name;
        uint32_t *value;
    } numbers[] = {{"--hidden", &s->hidden},     {"--heads", &s->heads}, {"--kv-heads", &s->kv_heads},
                   {"--head-dim", &s->head_dim}, {"--mlp", &s->mlp},     {"--blocks", &s->blocks},
                   {"--vocab", &s->vocab},       {"--flow", &s->flow},   {"--context", &s->context},
                   {"--rank", &s->rank},         {"--seed", &s->seed}};
    for (int i = 2; i < argc; i += 2) {
        bool known =
            i + 1 < argc && strcmp(argv[i], "--dtype") == 0 && random_read_dtype(argv[i + 1], &s->dtype);
        for (size_t j = 0; !known && i + 1 < argc && j < sizeof numbers / sizeof *numbers; j++) {
            if (strcmp(argv[i], numbers[j].name) == 0) {
                *numbers[j].value = (uint32_t)strtoul(argv[i + 1], NULL, 10);
                known = true;
            }
        }
        if (!known)
            return false;
    }
    return argc >= 2 && 16 * (s->blocks + 1) < RANDOM_MAX_TENSORS;
}

int main(int argc, char **argv)
{
    static random_tensors list;
    settings s = {.hidden = 2048,
                  .heads = 32,
                  .kv_heads = 8,
                  .head_dim = 64,
                  .mlp = 8192,
                  .blocks = 16,
                  .vocab = 128256,
                  .context = 2048,
                  .flow = 256,
                  .rank = 32,
                  .dtype = VKDLM_DTYPE_F16};
    if (!parse(argc, argv, &s)) {
        fprintf(stderr,
                "usage: random_causal DIR [--hidden N] [--heads N] [--kv-heads N] [--head-dim N] [--mlp N] "
                "[--blocks N] [--vocab N] [--context N] [--flow N] [--rank N] [--dtype F32|F16|BF16] "
                "[--seed N]\n");
        return 2;
    }
    if ((mkdir(argv[1], 0777) && errno != EEXIST) || !write_configs(argv[1], &s)) {
        fprintf(stderr, "random_causal: cannot write into '%s': %s\n", argv[1], strerror(errno));
        return 1;
    }
    char path[4096];
    vkdlm_error err;
    list.dtype = s.dtype;
    declare_base(&list, &s);
    snprintf(path, sizeof path, "%s/model.safetensors", argv[1]);
    vkdlm_status status = random_write(path, &list, s.seed, &err);
    if (!status) {
        declare_path(&list, &s);
        snprintf(path, sizeof path, "%s/l2d.safetensors", argv[1]);
        status = random_write(path, &list, s.seed + 1, &err);
    }
    if (status)
        fprintf(stderr, "random_causal: %s\n", err.message);
    return status ? 1 : 0;
}
