#include "model/mdlm_config.h"

#include <string.h>

#include "base/error.h"
#include "ops/attention.h"

/* Bounds that keep every product of sizes far from overflow. */
#define MAX_VOCAB  (1 << 24)
#define MAX_LENGTH (1 << 20)
#define MAX_WIDTH  (1 << 16)
#define MAX_BLOCKS (1 << 12)

vkdlm_status mdlm_config_read(const checkpoint *ck, mdlm_config *out, vkdlm_error *err)
{
    json_scope scope = checkpoint_config(ck);
    const char *type;
    if (ck->metadata)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "'%s': general.architecture: expected an architecture that this version runs from a"
                         " GGUF file (llama, qwen2), found '%.100s'",
                         ck->config_path, ck->architecture);
    vkdlm_status status = json_get_string(&scope, "model_type", &type, err);
    if (status)
        return status;
    if (strcmp(type, "mdlm") != 0)
        return error_set(
            err, VKDLM_UNSUPPORTED,
            "'%s': model_type: expected an architecture that this version runs (mdlm), found '%s'",
            ck->config_path, type);

    *out = (mdlm_config){0};
    const struct {
        const char *key;
        uint32_t *value;
        int64_t min, max;
    } integers[] = {
        {"vocab_size", &out->vocab_size, 2, MAX_VOCAB}, {"model_length", &out->length, 1, MAX_LENGTH},
        {"hidden_dim", &out->hidden_dim, 2, MAX_WIDTH}, {"cond_dim", &out->cond_dim, 1, MAX_WIDTH},
        {"n_blocks", &out->n_blocks, 1, MAX_BLOCKS},    {"n_heads", &out->n_heads, 1, MAX_WIDTH},
    };
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        int64_t value;
        status = json_get_integer(&scope, integers[i].key, integers[i].min, integers[i].max, &value, err);
        if (status)
            return status;
        *integers[i].value = (uint32_t)value;
    }
    status = json_get_bool(&scope, "time_conditioning", &out->time_conditioning, err);
    if (status)
        return status;

    if (out->hidden_dim % out->n_heads != 0 || mdlm_head_dim(out) % 2 != 0)
        return error_set(err, VKDLM_MALFORMED,
                         "'%s': n_heads: expected a divisor of hidden_dim %u with an even quotient, found %u",
                         ck->config_path, out->hidden_dim, out->n_heads);
    if (mdlm_head_dim(out) > ATTENTION_MAX_HEAD_DIM)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "'%s': expected heads of at most %u values, found %u / %u = %u", ck->config_path,
                         ATTENTION_MAX_HEAD_DIM, out->hidden_dim, out->n_heads, mdlm_head_dim(out));
    return VKDLM_OK;
}
