/* Which tensor gets which type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/quant.h"
#include "quantize.h"

#define PLAIN(name, file_type, dtype)                                                  \
    {                                                                                  \
        name, file_type, VKDLM_DTYPE_##dtype, VKDLM_DTYPE_##dtype, VKDLM_DTYPE_##dtype \
    }

static const quantize_type types[] = {
    PLAIN("f32", 0, F32),
    PLAIN("f16", 1, F16),
    PLAIN("bf16", 32, BF16),
    PLAIN("q8_0", 7, Q8_0),
    PLAIN("q4_0", 2, Q4_0),
    PLAIN("q4_1", 3, Q4_1),
    PLAIN("q5_0", 8, Q5_0),
    PLAIN("q5_1", 9, Q5_1),
    PLAIN("q2_k", 10, Q2_K),
    PLAIN("q3_k", 11, Q3_K),
    PLAIN("q4_k", 14, Q4_K),
    PLAIN("q5_k", 16, Q5_K),
    PLAIN("q6_k", 18, Q6_K),
    PLAIN("iq4_nl", 25, IQ4_NL),
    {"q4_k_m", 15, VKDLM_DTYPE_Q4_K, VKDLM_DTYPE_Q6_K, VKDLM_DTYPE_Q6_K},
    {"q5_k_m", 17, VKDLM_DTYPE_Q5_K, VKDLM_DTYPE_Q6_K, VKDLM_DTYPE_Q6_K},
};
#define N_TYPES (sizeof types / sizeof *types)

const char *vkdlm_quantize_type(size_t index)
{
    return index < N_TYPES ? types[index].name : NULL;
}

const quantize_type *quantize_find_type(const char *name)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* N of "blk.N.", -1 for a tensor of no block. */
static long block_of(const char *name)
{
    char *end;
    if (strncmp(name, "blk.", 4) != 0)
        return -1;
    long block = strtol(name + 4, &end, 10);
    return end > name + 4 && *end == '.' ? block : -1;
}

/* What a row is too short for is given a type of shorter blocks and about as many bits, or halves. */
static vkdlm_dtype fitting(vkdlm_dtype dtype, uint64_t n_row)
{
    static const struct {
        vkdlm_dtype dtype, next;
    } chain[] = {
        {VKDLM_DTYPE_Q2_K, VKDLM_DTYPE_IQ4_NL}, {VKDLM_DTYPE_Q3_K, VKDLM_DTYPE_IQ4_NL},
        {VKDLM_DTYPE_Q4_K, VKDLM_DTYPE_Q5_0},   {VKDLM_DTYPE_Q5_K, VKDLM_DTYPE_Q5_1},
        {VKDLM_DTYPE_Q6_K, VKDLM_DTYPE_Q8_0},
    };
    uint32_t n_bytes;
    for (size_t i = 0; i < sizeof chain / sizeof *chain; i++)
        if (dtype == chain[i].dtype && n_row % vkdlm_dtype_block(dtype, &n_bytes) != 0)
            dtype = chain[i].next;
    return n_row % vkdlm_dtype_block(dtype, &n_bytes) == 0 ? dtype : VKDLM_DTYPE_F16;
}

typedef struct layout {
    long n_blocks;
    bool has_output;
} layout;

/* What tells a network the time: few matrices, on which every block depends. */
static bool is_conditioning(const char *name)
{
    static const char *const ends[] = {"mod.weight", ".mod_in.weight", ".mod_out.weight"};
    static const char *const begins[] = {"time_", "flow_gate_"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_in(name, ends[i]))
            return true;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

/* What the device reads otherwise than as the rows of a product. */
static bool is_never_in_blocks(const char *name)
{
    return ends_in(name, ".lora_a") || ends_in(name, ".lora_b") || strcmp(name, "class_embd.weight") == 0;
}

static vkdlm_dtype wanted(const quantize_type *type, const layout *l, const char *name)
{
    bool is_block_type = vkdlm_dtype_size(type->most) == 0;
    if (strcmp(name, l->has_output ? "output.weight" : "token_embd.weight") == 0)
        return type->output;
    if (is_block_type && is_never_in_blocks(name))
        return VKDLM_DTYPE_F16;
    if (is_block_type && is_conditioning(name))
        return VKDLM_DTYPE_Q8_0;
    long block = block_of(name), n = l->n_blocks;
    bool outer = block < n / 8 || block >= 7 * n / 8 || (block - n / 8) % 3 == 2;
    if (block >= 0 && outer && (ends_in(name, ".attn_v.weight") || ends_in(name, ".ffn_down.weight")))
        return type->more;
    return type->most;
}

void quantize_choose_types(const quantize_type *type, quantize_plan *plan)
{
    layout l = {0};
    for (size_t i = 0; i < plan->n_items; i++) {
        long block = block_of(plan->items[i].name);
        l.n_blocks = block >= l.n_blocks ? block + 1 : l.n_blocks;
        l.has_output |= strcmp(plan->items[i].name, "output.weight") == 0;
    }
    for (size_t i = 0; i < plan->n_items; i++) {
        quantize_item *item = &plan->items[i];
        const vkdlm_tensor *source = item->source;
        item->dtype = VKDLM_DTYPE_F32;
        if (source && !quant_is_supported(source->dtype))
            item->dtype = source->dtype;
        else if (source && source->n_dims > 1) {
            vkdlm_dtype dtype = wanted(type, &l, item->name);
            item->dtype = fitting(dtype, source->shape[source->n_dims - 1]);
            item->fell_back = item->dtype != dtype;
        }
    }
}
