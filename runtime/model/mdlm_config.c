#include "model/mdlm_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "model/architecture.h"
#include "ops/attention.h"

/* Bounds that keep every product of sizes far from overflow. */
#define MAX_VOCAB  (1 << 24)
#define MAX_LENGTH (1 << 20)
#define MAX_WIDTH  (1 << 16)
#define MAX_BLOCKS (1 << 12)

/* A size by its names in config.json and in GGUF files. */
typedef struct size_key {
    const char *json, *gguf;
    uint32_t *value;
    int64_t min, max;
} size_key;

static vkdlm_status read_json(const checkpoint *ck, const size_key *keys, size_t n, mdlm_config *out,
                              vkdlm_error *err)
{
    json_scope scope = checkpoint_config(ck);
    const char *type;
    vkdlm_status status = json_get_string(&scope, "model_type", &type, err);
    if (!status && strcmp(type, "mdlm") != 0)
        status = architecture_refuse(ck, type, err);
    for (size_t i = 0; i < n && !status; i++) {
        int64_t value;
        status = json_get_integer(&scope, keys[i].json, keys[i].min, keys[i].max, &value, err);
        if (!status)
            *keys[i].value = (uint32_t)value;
    }
    return status ? status : json_get_bool(&scope, "time_conditioning", &out->time_conditioning, err);
}

/* What the metadata repeats must agree with the sizes. */
static vkdlm_status check_repeated(const gguf *file, const mdlm_config *config, vkdlm_error *err)
{
    const struct {
        const char *key;
        int64_t expected;
    } integers[] = {
        {"mdlm.feed_forward_length", 4 * (int64_t)config->hidden_dim},
        {"tokenizer.ggml.mask_token_id", (int64_t)config->vocab_size - 1},
    };
    bool causal;
    vkdlm_status status = gguf_get_bool_or(file, "mdlm.attention.causal", false, &causal, err);
    if (!status && causal)
        status = gguf_refuse(file, "mdlm.attention.causal", "false", err);
    for (size_t i = 0; i < sizeof integers / sizeof *integers && !status; i++) {
        int64_t found, expected = integers[i].expected;
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, expected);
        status = gguf_get_integer_or(file, integers[i].key, 0, INT64_MAX, expected, &found, err);
        if (!status && found != expected)
            status = gguf_refuse(file, integers[i].key, text, err);
    }
    return status;
}

static vkdlm_status read_gguf(const checkpoint *ck, const size_key *keys, size_t n, mdlm_config *out,
                              vkdlm_error *err)
{
    const gguf *file = ck->metadata;
    vkdlm_status status = VKDLM_OK;
    if (strcmp(ck->architecture, "mdlm") != 0)
        return architecture_refuse(ck, ck->architecture, err);
    for (size_t i = 0; i < n && !status; i++) {
        int64_t value;
        status = gguf_get_integer(file, keys[i].gguf, keys[i].min, keys[i].max, &value, err);
        if (!status)
            *keys[i].value = (uint32_t)value;
    }
    if (!status)
        status = gguf_get_bool(file, "mdlm.time_conditioning", &out->time_conditioning, err);
    return status ? status : check_repeated(file, out, err);
}

vkdlm_status mdlm_config_read(const checkpoint *ck, mdlm_config *out, vkdlm_error *err)
{
    *out = (mdlm_config){0};
    const size_key keys[] = {
        {"vocab_size", "mdlm.vocab_size", &out->vocab_size, 2, MAX_VOCAB},
        {"model_length", "mdlm.context_length", &out->length, 1, MAX_LENGTH},
        {"hidden_dim", "mdlm.embedding_length", &out->hidden_dim, 2, MAX_WIDTH},
        {"cond_dim", "mdlm.conditioning_length", &out->cond_dim, 1, MAX_WIDTH},
        {"n_blocks", "mdlm.block_count", &out->n_blocks, 1, MAX_BLOCKS},
        {"n_heads", "mdlm.attention.head_count", &out->n_heads, 1, MAX_WIDTH},
    };
    size_t n = sizeof keys / sizeof *keys;
    vkdlm_status status = ck->metadata ? read_gguf(ck, keys, n, out, err) : read_json(ck, keys, n, out, err);
    if (status)
        return status;
    if (out->hidden_dim % out->n_heads != 0 || mdlm_head_dim(out) % 2 != 0)
        return error_set(err, VKDLM_MALFORMED,
                         "'%s': %s: expected a divisor of %s %u with an even quotient, found %u",
                         ck->config_path, ck->metadata ? keys[5].gguf : keys[5].json,
                         ck->metadata ? keys[2].gguf : keys[2].json, out->hidden_dim, out->n_heads);
    if (mdlm_head_dim(out) > ATTENTION_MAX_HEAD_DIM)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "'%s': expected heads of at most %u values, found %u / %u = %u", ck->config_path,
                         ATTENTION_MAX_HEAD_DIM, out->hidden_dim, out->n_heads, mdlm_head_dim(out));
    return VKDLM_OK;
}
