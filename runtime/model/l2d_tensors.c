/* Names of a diffusion path's tensors in both kinds of files, their shapes, and finding them. */
#include "model/l2d_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/llm_dims.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- names ------------------------------------------------------------------------------------------ */

/* X(field, name in the authors' files behind "model.", name in GGUF files, outputs, inputs): layers with
 * weight and bias. */
#define PATH_LAYER_LIST(X)                                                                        \
    X(time_in, "timestep_embedder.mlp.0", "time_in", DIM_COND, DIM_FEATURES)                      \
    X(time_out, "timestep_embedder.mlp.2", "time_out", DIM_COND, DIM_COND)                        \
    X(vocabulary, "flow_token_embedder.embedder.layers_module.0", "flow_embd", DIM_FLOW, DIM_D)   \
    X(encode_in, "flow_to_lm_encoder.embedder.layers_module.0", "flow_in", DIM_ENCODER, DIM_FLOW) \
    X(encode_out, "flow_to_lm_encoder.embedder.layers_module.2", "flow_out", DIM_D, DIM_ENCODER)  \
    X(gate_in, "modulation_head.mlp.0", "flow_gate_in", DIM_COND, DIM_COND)                       \
    X(gate_out, "modulation_head.mlp.2", "flow_gate_out", DIM_D, DIM_COND)
/* The same of a block. */
#define BLOCK_LAYER_LIST(X)                                          \
    X(mod_in, "modulation_head.mlp.0", "mod_in", DIM_COND, DIM_COND) \
    X(mod_out, "modulation_head.mlp.2", "mod_out", DIM_6D, DIM_COND)

#define LAYER(type, field, name, out, in) \
    BINDING(type, field, name ".weight", out, in), BINDING(type, field##_bias, name ".bias", out)
#define HUB_PATH(field, hub, gguf, out, in)   LAYER(l2d_tensors, field, hub, out, in),
#define GGUF_PATH(field, hub, gguf, out, in)  LAYER(l2d_tensors, field, gguf, out, in),
#define HUB_BLOCK(field, hub, gguf, out, in)  LAYER(l2d_block_tensors, field, hub, out, in),
#define GGUF_BLOCK(field, hub, gguf, out, in) LAYER(l2d_block_tensors, field, gguf, out, in),

/* Row by row the same tensors. */
static const binding hub_path[] = {PATH_LAYER_LIST(HUB_PATH)};
static const binding gguf_path[] = {PATH_LAYER_LIST(GGUF_PATH)};
static const binding hub_block[] = {BLOCK_LAYER_LIST(HUB_BLOCK)};
static const binding gguf_block[] = {BLOCK_LAYER_LIST(GGUF_BLOCK)};
static const binding hub_labels[] = {
    BINDING(l2d_tensors, labels, "data_label_embedder.weight", DIM_LABELS, DIM_COND)};
static const binding gguf_labels[] = {
    BINDING(l2d_tensors, labels, "class_embd.weight", DIM_LABELS, DIM_COND)};

/* The five projections of a block. */
enum { N_PROJECTIONS = 5 };
static const struct {
    size_t offset;
    enum dim out, in;
    bool bias; /* in a model with biases on queries, keys and values */
} projections[N_PROJECTIONS] = {
    {offsetof(l2d_block_tensors, q), DIM_Q, DIM_D, true},
    {offsetof(l2d_block_tensors, o), DIM_D, DIM_Q, false},
    {offsetof(l2d_block_tensors, gate), DIM_F, DIM_D, false},
    {offsetof(l2d_block_tensors, up), DIM_F, DIM_D, false},
    {offsetof(l2d_block_tensors, down), DIM_D, DIM_F, false},
};
static const char *const hub_projections[N_PROJECTIONS] = {"self_attn.flow_q_proj", "self_attn.flow_o_proj",
                                                           "mlp.flow_gate_proj", "mlp.flow_up_proj",
                                                           "mlp.flow_down_proj"};
static const char *const gguf_projections[N_PROJECTIONS] = {"attn_q", "attn_output", "ffn_gate", "ffn_up",
                                                            "ffn_down"};

/* What a projection's tensors are called behind its name. */
enum part { PART_WEIGHT, PART_BIAS, PART_A, PART_B, N_PARTS };
static const char *const hub_parts[N_PARTS] = {".weight", ".bias", ".A", ".B"};
static const char *const gguf_parts[N_PARTS] = {".weight", ".bias", ".lora_a", ".lora_b"};

/* The frozen projection once more, as the authors save it. */
static const char *const repeated[] = {".wrapped_layer.weight", ".wrapped_layer.bias"};

/* How a kind of file names the tensors. */
typedef struct naming {
    const binding *path, *block, *labels; /* COUNT(hub_path), COUNT(hub_block), one */
    const char *const *projections, *const *parts;
    const char *prefix, *blocks; /* of all, and of a block, before its number */
} naming;

static const naming hub_naming = {hub_path,  hub_block, hub_labels,     hub_projections,
                                  hub_parts, "model.",  "model.layers."};
static const naming gguf_naming = {gguf_path,  gguf_block, gguf_labels, gguf_projections,
                                   gguf_parts, "",         "blk."};

/* ---- finding them ----------------------------------------------------------------------------------- */

static vkdlm_status bind_projections(checkpoint *ck, const naming *names, const llm_config *base,
                                     const l2d_config *config, const uint64_t *sizes, const char *prefix,
                                     l2d_block_tensors *out, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < N_PROJECTIONS && !status; i++) {
        const uint32_t o = projections[i].out, in = projections[i].in;
        const char *const *parts = names->parts;
        const binding full[] = {BINDING(l2d_projection, full, parts[PART_WEIGHT], o, in)};
        const binding bias[] = {BINDING(l2d_projection, bias, parts[PART_BIAS], o)};
        const binding lora[] = {BINDING(l2d_projection, a, parts[PART_A], in, DIM_RANK),
                                BINDING(l2d_projection, b, parts[PART_B], DIM_RANK, o)};
        l2d_projection *to = (l2d_projection *)(void *)((char *)out + projections[i].offset);
        char name[BINDING_MAX_NAME], wrapped[BINDING_MAX_NAME];
        snprintf(name, sizeof name, "%s%s", prefix, names->projections[i]);
        if (config->lora_rank) {
            status = binding_take(ck, sizes, lora, COUNT(lora), name, to, err);
            for (size_t j = 0; j < COUNT(repeated); j++) {
                snprintf(wrapped, sizeof wrapped, "%.90s%s", name, repeated[j]);
                checkpoint_ignore(ck, wrapped);
            }
        } else {
            status = binding_take(ck, sizes, full, COUNT(full), name, to, err);
            if (!status && base->qkv_bias && projections[i].bias)
                status = binding_take(ck, sizes, bias, COUNT(bias), name, to, err);
        }
    }
    return status;
}

/* A size that the configuration leaves open is that of the first tensor that has it. */
static void complete_sizes(const checkpoint *ck, const naming *names, l2d_config *config)
{
    uint32_t *const sizes[N_DIMS] = {[DIM_FLOW] = &config->flow_dim,
                                     [DIM_ENCODER] = &config->encoder_dim,
                                     [DIM_COND] = &config->cond_dim,
                                     [DIM_FEATURES] = &config->features};
    for (size_t i = 0; i < COUNT(hub_path); i++) {
        char name[BINDING_MAX_NAME];
        snprintf(name, sizeof name, "%s%s", names->prefix, names->path[i].name);
        const vkdlm_tensor *tensor = vkdlm_tensors_find(ck->tensors, name);
        for (uint32_t dim = 0; dim < 2; dim++) {
            uint32_t *size = sizes[names->path[i].shape[dim]];
            if (size && !*size && tensor && dim < tensor->n_dims && tensor->shape[dim] <= 1 << 16)
                *size = (uint32_t)tensor->shape[dim];
        }
    }
}

static void block_name(char name[BINDING_MAX_NAME], const naming *names, uint32_t block)
{
    snprintf(name, BINDING_MAX_NAME, "%s%u.%s", names->blocks, block, names->block[0].name);
}

static vkdlm_status check_base(const checkpoint *ck, const naming *names, const llm_config *base,
                               const l2d_config *config, vkdlm_error *err)
{
    if (strcmp(config->base, base->architecture) != 0)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "'%s': base_model_type: expected the base model's, \"%s\", found \"%.100s\"",
                         ck->config_path, base->architecture, config->base);
    if (config->features % 2)
        return error_set(err, VKDLM_MALFORMED, "'%s': expected an even number of timestep features, found %u",
                         ck->config_path, config->features);
    char name[BINDING_MAX_NAME];
    uint32_t found = base->n_blocks;
    for (block_name(name, names, found); checkpoint_has(ck, name); block_name(name, names, found))
        found++;
    if (found == base->n_blocks)
        return VKDLM_OK;
    return error_set(err, VKDLM_MALFORMED,
                     "'%s': expected a diffusion path of the base model's %u layers, found %u",
                     checkpoint_name(ck), base->n_blocks, found);
}

/* Rows of the classes are read one by one, which blocks are not made for. */
static vkdlm_status check_labels(const l2d_tensors *tensors, vkdlm_error *err)
{
    uint32_t block_bytes;
    const vkdlm_tensor *labels = tensors->labels;
    if (!labels || vkdlm_dtype_block(labels->dtype, &block_bytes) == 1)
        return VKDLM_OK;
    return error_set(err, VKDLM_UNSUPPORTED, "'%s': tensor '%s': expected dtype F32, F16 or BF16, found %s",
                     labels->file, labels->name, vkdlm_dtype_name(labels->dtype));
}

vkdlm_status l2d_tensors_bind(checkpoint *ck, const llm_config *base, l2d_config *config, l2d_tensors *out,
                              vkdlm_error *err)
{
    uint64_t sizes[N_DIMS];
    const naming *names = ck->metadata ? &gguf_naming : &hub_naming;
    *out = (l2d_tensors){0};
    complete_sizes(ck, names, config);
    vkdlm_status status = check_base(ck, names, base, config, err);
    if (status)
        return status;
    llm_list_sizes(base, config, sizes);
    out->blocks = calloc(base->n_blocks, sizeof *out->blocks);
    if (!out->blocks)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory for %u blocks", base->n_blocks);
    status = binding_take(ck, sizes, names->path, COUNT(hub_path), names->prefix, out, err);
    if (!status && config->n_classes)
        status = binding_take(ck, sizes, names->labels, 1, names->prefix, out, err);
    if (!status)
        status = check_labels(out, err);
    for (uint32_t i = 0; i < base->n_blocks && !status; i++) {
        char prefix[BINDING_MAX_NAME / 2];
        snprintf(prefix, sizeof prefix, "%s%u.", names->blocks, i);
        status = bind_projections(ck, names, base, config, sizes, prefix, &out->blocks[i], err);
        if (!status)
            status = binding_take(ck, sizes, names->block, COUNT(hub_block), prefix, &out->blocks[i], err);
    }
    if (!status)
        status = checkpoint_refuse_unexpected(ck, err);
    if (status)
        l2d_tensors_deinit(out);
    return status;
}

void l2d_tensors_deinit(l2d_tensors *tensors)
{
    free(tensors->blocks);
    *tensors = (l2d_tensors){0};
}

/* ---- from one naming to the other ------------------------------------------------------------------- */

/* What follows a prefix; NULL: the text begins otherwise. */
static const char *behind(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static const char *find_row(const char *name, const binding *from, const binding *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(from[i].name, name) == 0)
            return to[i].name;
    return NULL;
}

static bool name_projection(const char *name, char *out, size_t size)
{
    for (size_t i = 0; i < N_PROJECTIONS; i++) {
        const char *part = behind(name, hub_projections[i]);
        for (size_t j = 0; part && j < N_PARTS; j++)
            if (strcmp(part, hub_parts[j]) == 0) {
                snprintf(out, size, "%s%s", gguf_projections[i], gguf_parts[j]);
                return true;
            }
    }
    return false;
}

bool l2d_tensor_is_repeated(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < COUNT(repeated); i++) {
        size_t m = strlen(repeated[i]);
        if (n > m && strcmp(name + n - m, repeated[i]) == 0)
            return true;
    }
    return false;
}

bool l2d_tensor_gguf_name(const char *name, char out[64])
{
    const char *inside = behind(name, hub_naming.prefix), *rest = behind(name, hub_naming.blocks);
    const char *found = NULL;
    char projection[48];
    if (!rest) {
        if (inside)
            found = find_row(inside, hub_path, gguf_path, COUNT(hub_path));
        if (inside && !found)
            found = find_row(inside, hub_labels, gguf_labels, COUNT(hub_labels));
        if (found)
            snprintf(out, 64, "%s", found);
        return found;
    }
    size_t n_digits = strspn(rest, "0123456789");
    if (n_digits == 0 || n_digits > 5 || rest[n_digits] != '.')
        return false;
    const char *in_block = rest + n_digits + 1;
    found = find_row(in_block, hub_block, gguf_block, COUNT(hub_block));
    if (!found && name_projection(in_block, projection, sizeof projection))
        found = projection;
    if (found)
        snprintf(out, 64, "%s%.*s.%s", gguf_naming.blocks, (int)n_digits, rest, found);
    return found;
}
