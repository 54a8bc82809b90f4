/* Which shape a product takes. */
#include "ops/matmul.h"

/* What each device prefers, and up to how many rows a shape is taken. */
struct preference {
    enum matmul_family family;
    uint32_t rows, most_rows;
};
static const struct preference prefer_cpu[] = {
    {MATMUL_TEXELS, 1, 1},           {MATMUL_TEXELS, 2, 2},
    {MATMUL_TEXELS, 4, 4},           {MATMUL_TEXELS, 8, 8},
    {MATMUL_TEXELS, 16, UINT32_MAX}, {MATMUL_SUBGROUP, 1, 1},
    {MATMUL_SUBGROUP, 2, 2},         {MATMUL_SUBGROUP, 4, 4},
    {MATMUL_SUBGROUP, 8, 8},         {MATMUL_SUBGROUP, 32, UINT32_MAX},
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

static const matmul_shape *first_usable(const gpu_caps *caps, const struct preference *list, size_t n,
                                        uint32_t n_rows)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < MATMUL_N_SHAPES; j++)
            if (n_rows <= list[i].most_rows && matmul_shapes[j].family == list[i].family &&
                matmul_shapes[j].rows == list[i].rows && matmul_shape_usable(caps, &matmul_shapes[j]))
                return &matmul_shapes[j];
    return NULL;
}

const matmul_shape *matmul_select(const gpu_caps *caps, uint32_t n_rows)
{
    const matmul_shape *shape = NULL;
    if (caps->type != GPU_TYPE_CPU)
        shape = first_usable(caps, prefer_gpu, sizeof prefer_gpu / sizeof *prefer_gpu, n_rows);
    else if (caps->subgroup_size >= 8)
        shape = first_usable(caps, prefer_cpu, sizeof prefer_cpu / sizeof *prefer_cpu, n_rows);
    if (!shape)
        shape = first_usable(caps, prefer_narrow, sizeof prefer_narrow / sizeof *prefer_narrow, n_rows);
    return shape;
}
