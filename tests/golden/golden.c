#include "golden/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

vkdlm_tensors *golden_open(const char *path)
{
    vkdlm_tensors *file = NULL;
    vkdlm_error err = {0};
    if (vkdlm_tensors_open(path, &file, &err) != VKDLM_OK)
        fail_msg("%s", err.message);
    return file;
}

static const vkdlm_tensor *find(const vkdlm_tensors *file, const char *name)
{
    const vkdlm_tensor *t = vkdlm_tensors_find(file, name);
    if (!t)
        fail_msg("no golden tensor '%s'", name);
    return t;
}

static const vkdlm_tensor *find_sized(const vkdlm_tensors *file, const char *name, size_t n)
{
    const vkdlm_tensor *t = find(file, name);
    if (t->n_elements != n)
        fail_msg("golden tensor '%s': expected %zu elements, found %llu", name, n,
                 (unsigned long long)t->n_elements);
    return t;
}

double *golden_doubles(const vkdlm_tensors *file, const char *name, size_t n)
{
    const vkdlm_tensor *t = find_sized(file, name, n);
    double *out = malloc(n * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < n; i++) {
        if (t->dtype == VKDLM_DTYPE_F64) {
            memcpy(&out[i], (const char *)t->data + i * sizeof(double), sizeof(double));
        } else {
            float value;
            assert_int_equal(t->dtype, VKDLM_DTYPE_F32);
            memcpy(&value, (const char *)t->data + i * sizeof value, sizeof value);
            out[i] = (double)value;
        }
    }
    return out;
}

int32_t *golden_ints(const vkdlm_tensors *file, const char *name, size_t n)
{
    const vkdlm_tensor *t = find_sized(file, name, n);
    assert_int_equal(t->dtype, VKDLM_DTYPE_I32);
    int32_t *out = malloc(n * sizeof *out);
    assert_non_null(out);
    memcpy(out, t->data, n * sizeof *out);
    return out;
}

size_t golden_extent(const vkdlm_tensors *file, const char *name, uint32_t dim)
{
    const vkdlm_tensor *t = find(file, name);
    assert_true(dim < t->n_dims);
    return (size_t)t->shape[dim];
}

void golden_check_close(const char *what, const double *a, const double *b, size_t n, double tolerance,
                        bool absolute)
{
    double scale = absolute ? 1 : 0;
    for (size_t i = 0; i < n && !absolute; i++)
        scale = fmax(scale, fabs(b[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance * scale))
            fail_msg("%s[%zu]: expected %.17g, found %.17g, tolerance %g", what, i, b[i], a[i],
                     tolerance * scale);
}
