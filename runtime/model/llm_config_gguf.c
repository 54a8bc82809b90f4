/* What the metadata of a GGUF file says about a causal language model. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "model/llm_config.h"

enum { MAX_KEY = 128 };

/* Writes "ARCHITECTURE.name" to key. */
static const char *key_of(const llm_config *config, const char *name, char key[MAX_KEY])
{
    snprintf(key, MAX_KEY, "%s.%s", config->architecture, name);
    return key;
}

static vkdlm_status read_integer(const checkpoint *ck, const llm_config *config, const char *name,
                                 int64_t max, uint32_t *out, vkdlm_error *err)
{
    char key[MAX_KEY];
    int64_t value;
    vkdlm_status status = gguf_get_integer(ck->metadata, key_of(config, name, key), 1, max, &value, err);
    if (!status)
        *out = (uint32_t)value;
    return status;
}

static vkdlm_status read_integer_or(const checkpoint *ck, const llm_config *config, const char *name,
                                    int64_t max, uint32_t otherwise, uint32_t *out, vkdlm_error *err)
{
    char key[MAX_KEY];
    *out = otherwise;
    return gguf_find(ck->metadata, key_of(config, name, key)) ? read_integer(ck, config, name, max, out, err)
                                                              : VKDLM_OK;
}

/* The rows of the embedding. */
static vkdlm_status read_vocab_size(const checkpoint *ck, llm_config *out, vkdlm_error *err)
{
    const char *name = "token_embd.weight";
    const vkdlm_tensor *table = vkdlm_tensors_find(ck->tensors, name);
    if (!table || table->n_dims != 2 || table->shape[0] < 2 || table->shape[0] > LLM_MAX_VOCAB)
        return error_set(err, VKDLM_MALFORMED,
                         "'%s': tensor '%s': expected a matrix of 2 to %d rows, found %s", ck->config_path,
                         name, LLM_MAX_VOCAB, table ? "another shape" : "no such tensor");
    out->vocab_size = (uint32_t)table->shape[0];
    return VKDLM_OK;
}

static vkdlm_status read_heads(const checkpoint *ck, llm_config *out, vkdlm_error *err)
{
    char key[MAX_KEY];
    uint32_t value_dim = 0;
    vkdlm_status status =
        read_integer_or(ck, out, "attention.head_count_kv", 4096, out->n_heads, &out->n_kv_heads, err);
    if (!status)
        status = read_integer_or(ck, out, "attention.key_length", LLM_MAX_WIDTH, 0, &out->head_dim, err);
    if (!status && out->head_dim == 0) {
        if (out->hidden_dim % out->n_heads != 0)
            return gguf_refuse(ck->metadata, key_of(out, "attention.head_count", key),
                               "a divisor of embedding_length", err);
        out->head_dim = out->hidden_dim / out->n_heads;
    }
    if (!status)
        status =
            read_integer_or(ck, out, "attention.value_length", LLM_MAX_WIDTH, out->head_dim, &value_dim, err);
    if (status)
        return status;
    if (out->n_heads % out->n_kv_heads != 0)
        return gguf_refuse(ck->metadata, key_of(out, "attention.head_count_kv", key),
                           "a divisor of attention.head_count", err);
    if (out->head_dim % 2 != 0)
        return error_set(err, VKDLM_MALFORMED, "'%s': expected heads of an even size, found %u",
                         ck->config_path, out->head_dim);
    if (value_dim != out->head_dim || out->head_dim > ATTENTION_MAX_HEAD_DIM)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "'%s': expected keys and values of the same size of at most %u, found %u and %u",
                         ck->config_path, ATTENTION_MAX_HEAD_DIM, out->head_dim, value_dim);
    return VKDLM_OK;
}

static vkdlm_status read_rope(const checkpoint *ck, llm_config *out, vkdlm_error *err)
{
    char key[MAX_KEY];
    const gguf *file = ck->metadata;
    gguf_string type = {"none", 4};
    uint32_t n_rotated;
    vkdlm_status status =
        read_integer_or(ck, out, "rope.dimension_count", LLM_MAX_WIDTH, out->head_dim, &n_rotated, err);
    if (!status)
        status = gguf_get_number_or(file, key_of(out, "rope.freq_base", key), 1, 1e12, 10000, &out->rope_base,
                                    err);
    if (!status && gguf_find(file, key_of(out, "rope.scaling.type", key)))
        status = gguf_get_string(file, key, &type, err);
    if (status)
        return status;
    if (n_rotated != out->head_dim)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "'%s': %s: expected all %u dimensions of a head to be rotated, found %u",
                         ck->config_path, key_of(out, "rope.dimension_count", key), out->head_dim, n_rotated);
    if (gguf_string_is(type, "none"))
        return VKDLM_OK;
    if (!gguf_string_is(type, "linear"))
        return error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected \"linear\" or \"none\", found \"%.*s\"",
                         ck->config_path, key, (int)(type.size < 100 ? type.size : 100), type.bytes);
    out->has_scaling = true;
    return gguf_get_number(file, key_of(out, "rope.scaling.factor", key), 1e-6, 1e6, &out->scaling.factor,
                           err);
}

/* Where generation begins and ends. */
static vkdlm_status read_ids(const checkpoint *ck, llm_config *out, vkdlm_error *err)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    int64_t id, last = (int64_t)out->vocab_size - 1;
    vkdlm_status status =
        gguf_get_integer_or(ck->metadata, "tokenizer.ggml.bos_token_id", 0, last, -1, &id, err);
    if (!status)
        out->begin_id = (int32_t)id;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !status; i++) {
        status = gguf_get_integer_or(ck->metadata, ends[i], 0, last, -1, &id, err);
        if (!status && id >= 0 && (out->n_end_ids == 0 || out->end_ids[0] != id))
            out->end_ids[out->n_end_ids++] = (int32_t)id;
    }
    return status;
}

/* What these architectures may have and this code does not do. */
static vkdlm_status refuse_variants(const checkpoint *ck, const llm_config *config, vkdlm_error *err)
{
    static const char *const absent[] = {"expert_count", "attention.sliding_window", "rope.scale_linear"};
    char key[MAX_KEY];
    bool causal;
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        double value;
        vkdlm_status status =
            gguf_get_number_or(ck->metadata, key_of(config, absent[i], key), 0, 1e12, 0, &value, err);
        if (status)
            return status;
        if (value != 0)
            return error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected 0 or none, found %g",
                             ck->config_path, key, value);
    }
    vkdlm_status status =
        gguf_get_bool_or(ck->metadata, key_of(config, "attention.causal", key), true, &causal, err);
    if (!status && !causal)
        return error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected true, found false", ck->config_path,
                         key);
    return status;
}

vkdlm_status llm_config_read_gguf(const checkpoint *ck, llm_config *out, vkdlm_error *err)
{
    const struct {
        const char *name;
        uint32_t *value;
        int64_t most;
    } integers[] = {
        {"context_length", &out->context, LLM_MAX_CONTEXT},
        {"embedding_length", &out->hidden_dim, LLM_MAX_WIDTH},
        {"feed_forward_length", &out->mlp_dim, LLM_MAX_WIDTH},
        {"block_count", &out->n_blocks, LLM_MAX_BLOCKS},
        {"attention.head_count", &out->n_heads, 4096},
    };
    char key[MAX_KEY];
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < sizeof integers / sizeof *integers && !status; i++)
        status = read_integer(ck, out, integers[i].name, integers[i].most, integers[i].value, err);
    if (!status)
        status = read_vocab_size(ck, out, err);
    if (!status)
        status = read_heads(ck, out, err);
    if (!status)
        status = gguf_get_number(ck->metadata, key_of(out, "attention.layer_norm_rms_epsilon", key), 0, 1,
                                 &out->norm_eps, err);
    if (!status)
        status = read_rope(ck, out, err);
    if (!status)
        status = refuse_variants(ck, out, err);
    if (status)
        return status;
    out->tied = !checkpoint_has(ck, "output.weight");
    out->interleaved = strcmp(out->architecture, "llama") == 0;
    return read_ids(ck, out, err);
}
