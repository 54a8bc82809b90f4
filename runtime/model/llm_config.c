#include "model/llm_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "model/architecture.h"

static const struct architecture {
    const char *name;
    bool qkv_bias;
} architectures[] = {{"llama", false}, {"qwen2", true}};

static const struct architecture *find_architecture(const char *name)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strcmp(architectures[i].name, name) == 0)
            return &architectures[i];
    return NULL;
}

bool llm_config_is(const checkpoint *ck)
{
    if (ck->metadata)
        return find_architecture(ck->architecture) != NULL;
    json_scope scope = checkpoint_config(ck);
    const char *type;
    vkdlm_error ignored;
    return json_get_string(&scope, "model_type", &type, &ignored) == VKDLM_OK &&
           find_architecture(type) != NULL;
}

static vkdlm_status read_scaling(const json_scope *root, llm_config *out, vkdlm_error *err)
{
    json_scope scope;
    const char *type;
    int64_t original;
    if (!json_has(root, "rope_scaling"))
        return VKDLM_OK;
    vkdlm_status status = json_get_object(root, "rope_scaling", &scope, err);
    if (status)
        return status;
    const char *key = json_has(&scope, "rope_type") ? "rope_type" : "type";
    status = json_get_string(&scope, key, &type, err);
    if (status || strcmp(type, "default") == 0)
        return status;
    if (strcmp(type, "llama3") != 0)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "'%s': rope_scaling.%s: expected \"llama3\" or none, found \"%.100s\"", scope.file,
                         key, type);
    rotary_scaling *s = &out->scaling;
    status = json_get_number(&scope, "factor", 1, 1e6, &s->factor, err);
    if (!status)
        status = json_get_number(&scope, "low_freq_factor", 1e-6, 1e6, &s->low_freq_factor, err);
    if (!status)
        status = json_get_number(&scope, "high_freq_factor", 1e-6, 1e6, &s->high_freq_factor, err);
    if (!status)
        status =
            json_get_integer(&scope, "original_max_position_embeddings", 1, LLM_MAX_CONTEXT, &original, err);
    if (status)
        return status;
    if (s->high_freq_factor <= s->low_freq_factor)
        return json_refuse(&scope, "high_freq_factor", "a number above low_freq_factor", err);
    s->original_length = (uint32_t)original;
    out->has_scaling = true;
    return VKDLM_OK;
}

static vkdlm_status add_end_id(llm_config *out, const json_scope *scope, const json_t *value,
                               vkdlm_error *err)
{
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= (json_int_t)out->vocab_size)
        return json_refuse(scope, "eos_token_id", "token ids below vocab_size", err);
    for (uint32_t i = 0; i < out->n_end_ids; i++)
        if (out->end_ids[i] == id)
            return VKDLM_OK;
    if (out->n_end_ids == LLM_MAX_END_IDS)
        return json_refuse(scope, "eos_token_id", "at most 16 token ids", err);
    out->end_ids[out->n_end_ids++] = (int32_t)id;
    return VKDLM_OK;
}

/* Begin and end of text of one file; those of an earlier file stay. */
static vkdlm_status read_ids(const json_scope *scope, llm_config *out, vkdlm_error *err)
{
    int64_t begin;
    vkdlm_status status = VKDLM_OK;
    if (out->begin_id < 0) {
        status = json_get_integer_or(scope, "bos_token_id", 0, (int64_t)out->vocab_size - 1, -1, &begin, err);
        if (!status)
            out->begin_id = (int32_t)begin;
    }
    if (!json_has(scope, "eos_token_id"))
        return status;
    const json_t *ids = json_object_get(scope->object, "eos_token_id");
    if (!json_is_array(ids))
        return status ? status : add_end_id(out, scope, ids, err);
    for (size_t i = 0; i < json_array_size(ids) && !status; i++)
        status = add_end_id(out, scope, json_array_get(ids, i), err);
    return status;
}

static vkdlm_status read_generation_config(const checkpoint *ck, llm_config *out, vkdlm_error *err)
{
    char *path = file_join(ck->directory, "generation_config.json");
    json_t *object = NULL;
    vkdlm_status status = VKDLM_OK;
    if (!path)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", ck->directory);
    if (file_probe(path) != FILE_MISSING) {
        status = json_open(path, &object, err);
        if (!status) {
            json_scope scope = {.object = object, .file = path};
            status = read_ids(&scope, out, err);
        }
    }
    json_decref(object);
    free(path);
    return status;
}

/* What these models may say and this code does not do. */
static vkdlm_status refuse_variants(const json_scope *scope, vkdlm_error *err)
{
    const char *activation;
    vkdlm_status status = json_get_string_or(scope, "hidden_act", "silu", &activation, err);
    if (status)
        return status;
    if (strcmp(activation, "silu") != 0)
        return error_set(err, VKDLM_UNSUPPORTED, "'%s': hidden_act: expected \"silu\", found \"%.100s\"",
                         scope->file, activation);
    static const char *const flags[] = {"attention_bias", "mlp_bias", "use_sliding_window"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool set;
        status = json_get_bool_or(scope, flags[i], false, &set, err);
        if (status)
            return status;
        if (set)
            return error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected false, found true", scope->file,
                             flags[i]);
    }
    return VKDLM_OK;
}

static vkdlm_status check_heads(const checkpoint *ck, const llm_config *c, vkdlm_error *err)
{
    if (c->n_heads % c->n_kv_heads != 0)
        return error_set(err, VKDLM_MALFORMED,
                         "'%s': num_key_value_heads: expected a divisor of num_attention_heads %u, found %u",
                         ck->config_path, c->n_heads, c->n_kv_heads);
    if (c->head_dim % 2 != 0)
        return error_set(err, VKDLM_MALFORMED, "'%s': head_dim: expected an even number, found %u",
                         ck->config_path, c->head_dim);
    if (c->head_dim > ATTENTION_MAX_HEAD_DIM)
        return error_set(err, VKDLM_UNSUPPORTED, "'%s': head_dim: expected at most %u, found %u",
                         ck->config_path, ATTENTION_MAX_HEAD_DIM, c->head_dim);
    return VKDLM_OK;
}

vkdlm_status llm_config_read(const checkpoint *ck, llm_config *out, vkdlm_error *err)
{
    json_scope scope = checkpoint_config(ck);
    const char *type = ck->architecture;
    vkdlm_status status = ck->metadata ? VKDLM_OK : json_get_string(&scope, "model_type", &type, err);
    if (status)
        return status;
    const struct architecture *architecture = find_architecture(type);
    if (!architecture)
        return architecture_refuse(ck, type, err);
    *out =
        (llm_config){.architecture = architecture->name, .qkv_bias = architecture->qkv_bias, .begin_id = -1};
    if (ck->metadata)
        return llm_config_read_gguf(ck, out, err);
    const struct {
        const char *key;
        uint32_t *value;
        int64_t most;
    } integers[] = {
        {"vocab_size", &out->vocab_size, LLM_MAX_VOCAB},
        {"max_position_embeddings", &out->context, LLM_MAX_CONTEXT},
        {"hidden_size", &out->hidden_dim, LLM_MAX_WIDTH},
        {"intermediate_size", &out->mlp_dim, LLM_MAX_WIDTH},
        {"num_hidden_layers", &out->n_blocks, LLM_MAX_BLOCKS},
        {"num_attention_heads", &out->n_heads, 4096},
    };
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        int64_t value;
        status = json_get_integer(&scope, integers[i].key, i == 0 ? 2 : 1, integers[i].most, &value, err);
        if (status)
            return status;
        *integers[i].value = (uint32_t)value;
    }
    int64_t n_kv_heads, head_dim;
    status = json_get_integer_or(&scope, "num_key_value_heads", 1, 4096, out->n_heads, &n_kv_heads, err);
    if (!status)
        status = json_get_integer_or(&scope, "head_dim", 1, LLM_MAX_WIDTH, out->hidden_dim / out->n_heads,
                                     &head_dim, err);
    if (status)
        return status;
    if (!json_has(&scope, "head_dim") && out->hidden_dim % out->n_heads != 0)
        return error_set(err, VKDLM_MALFORMED,
                         "'%s': num_attention_heads: expected a divisor of hidden_size %u, found %u",
                         ck->config_path, out->hidden_dim, out->n_heads);
    out->n_kv_heads = (uint32_t)n_kv_heads;
    out->head_dim = (uint32_t)head_dim;
    status = check_heads(ck, out, err);
    if (!status)
        status = json_get_number_or(&scope, "rms_norm_eps", 0, 1, 1e-6, &out->norm_eps, err);
    if (!status)
        status = json_get_number_or(&scope, "rope_theta", 1, 1e12, 10000.0, &out->rope_base, err);
    if (!status)
        status = json_get_bool_or(&scope, "tie_word_embeddings", false, &out->tied, err);
    if (!status)
        status = refuse_variants(&scope, err);
    if (!status)
        status = read_scaling(&scope, out, err);
    if (!status)
        status = read_ids(&scope, out, err);
    return status ? status : read_generation_config(ck, out, err);
}
