#include "ops/variants.h"

#include "ops/attention.h"
#include "ops/matmul.h"

/* Rows that stand for "few" and "many" in a product. */
enum { FEW_ROWS = 1, MANY_ROWS = 256 };

/* Heads of a common size; the choice hardly depends on it. */
static const attention_shape common_heads = {.n_heads = 12, .n_kv_heads = 12, .head_dim = 64};

static const char *matmul_few(const gpu_caps *caps)
{
    return matmul_select(caps, FEW_ROWS)->name;
}

static const char *matmul_many(const gpu_caps *caps)
{
    return matmul_select(caps, MANY_ROWS)->name;
}

static const char *attention_name(const gpu_caps *caps)
{
    attention_variant variants[ATTENTION_MAX_VARIANTS];
    attention_variants(caps, &common_heads, variants);
    switch (variants[0].kernel) {
    case GPU_KERNEL_ATTENTION_SHARED:
        return "shared";
    case GPU_KERNEL_ATTENTION_SUBGROUP:
        return "subgroup";
    default:
        return "plain";
    }
}

/* The output layer has the cores of matmul. */
static const struct {
    const char *group;
    const char *(*name)(const gpu_caps *caps);
} groups[] = {
    {"matmul, 1 row", matmul_few},           {"matmul, 256 rows", matmul_many},
    {"attention", attention_name},           {"output layer, 1 row", matmul_few},
    {"output layer, 256 rows", matmul_many},
};

uint32_t variants_list(const gpu_caps *caps, vkdlm_kernel_choice *choices, uint32_t capacity)
{
    uint32_t n = sizeof groups / sizeof *groups;
    for (uint32_t i = 0; i < n && i < capacity; i++)
        choices[i] = (vkdlm_kernel_choice){.group = groups[i].group, .variant = groups[i].name(caps)};
    return n;
}
