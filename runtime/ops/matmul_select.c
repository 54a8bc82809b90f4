#include "ops/matmul_select.h"

#include <stdio.h>

#include "ops/output.h"
#include "ops/weight_blocks.h"

const matmul_rows matmul_row_classes[MATMUL_N_ROWS] = {
    {1, 1, "1 row"},       {2, 2, "2 rows"},         {4, 4, "3 to 4 rows"},
    {8, 8, "5 to 8 rows"}, {32, 24, "9 to 32 rows"}, {UINT32_MAX, 64, "more rows"},
};

/* What each device prefers, and up to how many rows a shape is taken. */
struct preference {
    enum matmul_family family;
    uint32_t rows, most_rows;
};
static const struct preference prefer_cpu[] = {
    {MATMUL_TEXELS, 1, 1},           {MATMUL_TEXELS, 2, 2},   {MATMUL_TEXELS, 4, 4},
    {MATMUL_TEXELS, 8, 8},           {MATMUL_TEXELS, 16, 32}, {MATMUL_STREAM, 256, UINT32_MAX},
    {MATMUL_TEXELS, 16, UINT32_MAX}, {MATMUL_SUBGROUP, 1, 1}, {MATMUL_SUBGROUP, 2, 2},
    {MATMUL_SUBGROUP, 4, 4},         {MATMUL_SUBGROUP, 8, 8}, {MATMUL_SUBGROUP, 32, UINT32_MAX},
};
static const struct preference prefer_narrow[] = {
    {MATMUL_PLAIN_1, 4, 3},
    {MATMUL_PLAIN_4, 16, UINT32_MAX},
};
static const struct preference prefer_gpu[] = {
    {MATMUL_SUBGROUP, 1, 1},          {MATMUL_SUBGROUP, 2, 2},         {MATMUL_SUBGROUP, 4, 4},
    {MATMUL_SUBGROUP, 8, 8},          {MATMUL_SHARED, 64, UINT32_MAX}, {MATMUL_PLAIN_1, 4, 3},
    {MATMUL_PLAIN_4, 16, UINT32_MAX},
};

/* A shape may waste this factor of its rows and still be worth trying. */
enum { MOST_WASTE = 4 };

struct candidates {
    const gpu_caps *caps;
    uint32_t rows;
    bool output;
    const matmul_shape **shapes;
    uint32_t n;
};

/* Returns whether the device can run it; no shape is added twice. */
static bool add(struct candidates *c, const matmul_shape *shape)
{
    if (!(c->output ? output_shape_usable(c->caps, shape) : matmul_shape_usable(c->caps, shape)))
        return false;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->shapes[i] == shape)
            return true;
    if (c->n < TUNE_MAX_CANDIDATES)
        c->shapes[c->n++] = shape;
    return true;
}

static void add_preferred(struct candidates *c, const struct preference *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < MATMUL_N_SHAPES; j++)
            if (c->rows <= list[i].most_rows && matmul_shapes[j].family == list[i].family &&
                matmul_shapes[j].rows == list[i].rows && add(c, &matmul_shapes[j]))
                return;
}

/* Of each family the largest shape that the rows fill, and the smallest that they do not unless they fill the
 * former exactly. */
static void add_sensible(struct candidates *c)
{
    for (size_t j = 0; j < MATMUL_N_SHAPES; j++) {
        const matmul_shape *shape = &matmul_shapes[j];
        bool best = shape->rows <= MOST_WASTE * c->rows;
        for (size_t k = 0; k < MATMUL_N_SHAPES; k++) {
            const matmul_shape *other = &matmul_shapes[k];
            if (other->family != shape->family)
                continue;
            if (shape->rows <= c->rows ? other->rows > shape->rows && other->rows <= c->rows
                                       : other->rows < shape->rows && other->rows >= c->rows)
                best = false;
        }
        if (best)
            add(c, shape);
    }
}

uint32_t matmul_candidates(const gpu_caps *caps, uint32_t row_class, bool output,
                           const matmul_shape *shapes[TUNE_MAX_CANDIDATES])
{
    if (row_class >= MATMUL_N_ROWS)
        return 0;
    struct candidates c = {caps, matmul_row_classes[row_class].typical, output, shapes, 0};
#define PREFER(list) add_preferred(&c, list, sizeof list / sizeof *list)
    if (caps->type != GPU_TYPE_CPU)
        PREFER(prefer_gpu);
    else if (caps->subgroup_size >= 8)
        PREFER(prefer_cpu);
    PREFER(prefer_narrow);
#undef PREFER
    add_sensible(&c);
    return c.n;
}

/* ---- keys ------------------------------------------------------------------------------------------- */

enum { LORA = 0x100 }; /* beside the type */

tune_key matmul_key(enum tune_group group, vkdlm_dtype dtype, bool lora, uint32_t n_rows)
{
    uint32_t row_class = 0;
    while (n_rows > matmul_row_classes[row_class].most)
        row_class++;
    return (tune_key){group, (uint32_t)dtype | (lora ? LORA : 0), row_class};
}

vkdlm_dtype matmul_key_dtype(tune_key key)
{
    return (vkdlm_dtype)(key.type & (LORA - 1));
}

bool matmul_key_lora(tune_key key)
{
    return key.type & LORA;
}

void matmul_key_describe(tune_key key, char text[TUNE_TEXT])
{
    snprintf(text, TUNE_TEXT, "%s%s, %s", vkdlm_dtype_name(matmul_key_dtype(key)),
             matmul_key_lora(key) ? " with LoRA" : "", matmul_row_classes[key.size % MATMUL_N_ROWS].text);
}

static bool is_weight_type(vkdlm_dtype dtype)
{
    return dtype == VKDLM_DTYPE_F32 || dtype == VKDLM_DTYPE_F16 || dtype == VKDLM_DTYPE_BF16 ||
           weight_blocks_supported(dtype);
}

uint32_t matmul_key_list(const gpu_caps *caps, tune_key key, const char *names[TUNE_MAX_CANDIDATES])
{
    const matmul_shape *shapes[TUNE_MAX_CANDIDATES];
    bool output = key.group == TUNE_OUTPUT;
    if (matmul_key_dtype(key) >= VKDLM_DTYPE_COUNT || !is_weight_type(matmul_key_dtype(key)) ||
        (matmul_key_lora(key) && output) || key.type >= 2 * LORA)
        return 0;
    uint32_t n = matmul_candidates(caps, key.size, output, shapes);
    for (uint32_t i = 0; i < n; i++)
        names[i] = shapes[i]->name;
    return n;
}

uint32_t matmul_key_all(enum tune_group group, tune_key *keys)
{
    /* What files of models have; another type is measured when it is met. */
    static const vkdlm_dtype dtypes[] = {VKDLM_DTYPE_F32,  VKDLM_DTYPE_F16,  VKDLM_DTYPE_BF16,
                                         VKDLM_DTYPE_Q8_0, VKDLM_DTYPE_Q4_0, VKDLM_DTYPE_Q4_K,
                                         VKDLM_DTYPE_Q6_K};
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        for (uint32_t c = 0; c < MATMUL_N_ROWS; c++)
            keys[n++] = (tune_key){group, (uint32_t)dtypes[i], c};
    return n;
}

vkdlm_status matmul_select(gpu_device *device, tune_key key, const matmul_shape **shape, vkdlm_error *err)
{
    const matmul_shape *shapes[TUNE_MAX_CANDIDATES];
    uint32_t chosen;
    vkdlm_status status = tune_choose(device, key, &chosen, err);
    if (status)
        return status;
    matmul_candidates(gpu_device_caps(device), key.size, key.group == TUNE_OUTPUT, shapes);
    *shape = shapes[chosen];
    return VKDLM_OK;
}

const char *matmul_variant(gpu_device *device, enum tune_group group, vkdlm_dtype dtype, uint32_t n_rows)
{
    const matmul_shape *shape;
    return matmul_select(device, matmul_key(group, dtype, false, n_rows), &shape, NULL) ? "none"
                                                                                        : shape->name;
}
