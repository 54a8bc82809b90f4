/* Tensor files for the scripts: made up, or taken out of golden data. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/vkdlm.h>

#include "tool.h"

enum { MAX_SPECS = 64, MAX_POINTS = 64, MAX_NAME = 64 };

/* A file under construction: data[i] is what tensor i holds. */
typedef struct output {
    char names[MAX_SPECS][MAX_NAME];
    vkdlm_tensor_spec specs[MAX_SPECS];
    void *data[MAX_SPECS];
    size_t n;
} output;

static uint64_t n_bytes_of(const vkdlm_tensor_spec *spec)
{
    uint64_t n = vkdlm_dtype_size(spec->dtype);
    for (uint32_t i = 0; i < spec->n_dims; i++)
        n *= spec->shape[i];
    return n;
}

/* Adds a tensor of zeros; NULL when there is no room. */
static void *add(output *out, const char *name, vkdlm_dtype dtype, uint32_t n_dims, const uint64_t *shape)
{
    if (out->n == MAX_SPECS || n_dims > VKDLM_MAX_DIMS || strlen(name) >= MAX_NAME)
        return NULL;
    strcpy(out->names[out->n], name);
    out->specs[out->n] = (vkdlm_tensor_spec){.name = out->names[out->n], .dtype = dtype, .n_dims = n_dims};
    memcpy(out->specs[out->n].shape, shape, n_dims * sizeof *shape);
    uint64_t n = n_bytes_of(&out->specs[out->n]);
    out->data[out->n] = calloc(1, n ? n : 1);
    return out->data[out->n++];
}

static int finish(output *out, const char *path)
{
    vkdlm_error err;
    vkdlm_tensors_writer *writer = NULL;
    vkdlm_status status = vkdlm_tensors_writer_create(path, out->specs, out->n, NULL, 0, &writer, &err);
    for (size_t i = 0; i < out->n; i++) {
        if (!status)
            status = vkdlm_tensors_writer_write(writer, i, 0, out->data[i], n_bytes_of(&out->specs[i]), &err);
        free(out->data[i]);
    }
    if (!status)
        status = vkdlm_tensors_writer_finish(writer, &err);
    return status ? tool_fail("cannot write", err.message) : 0;
}

int tool_make(int argc, char **argv)
{
    output out = {.n = 0};
    for (int i = 1; i < argc; i++) {
        char *rest = argv[i], *name = strsep(&rest, ":"), *type = strsep(&rest, ":"),
             *sizes = strsep(&rest, ":");
        vkdlm_dtype dtype = !type                  ? VKDLM_DTYPE_U8
                            : !strcmp(type, "I32") ? VKDLM_DTYPE_I32
                            : !strcmp(type, "I64") ? VKDLM_DTYPE_I64
                            : !strcmp(type, "F32") ? VKDLM_DTYPE_F32
                                                   : VKDLM_DTYPE_U8;
        uint64_t shape[3] = {0}, n = 1;
        uint32_t n_dims = 0;
        if (!rest || dtype == VKDLM_DTYPE_U8)
            return tool_fail("not NAME:DTYPE:SHAPE:VALUE", argv[i]);
        for (char *size; n_dims < 3 && (size = strsep(&sizes, "x")); n_dims++)
            n *= shape[n_dims] = strtoull(size, NULL, 10);
        void *data = add(&out, name, dtype, n_dims, shape);
        if (!data)
            return tool_fail("memory", argv[0]);
        for (uint64_t k = 0; k < n; k++) {
            if (dtype == VKDLM_DTYPE_F32)
                ((float *)data)[k] = strtof(rest, NULL);
            else if (dtype == VKDLM_DTYPE_I32)
                ((int32_t *)data)[k] = (int32_t)strtol(rest, NULL, 10);
            else
                ((int64_t *)data)[k] = strtol(rest, NULL, 10);
        }
    }
    return finish(&out, argv[0]);
}

int tool_take(int argc, char **argv)
{
    vkdlm_error err;
    vkdlm_tensors *in = NULL;
    output out = {.n = 0};
    if (vkdlm_tensors_open(argv[1], &in, &err))
        return tool_fail("cannot open", err.message);
    for (int i = 2; i + 1 < argc; i += 2) {
        const vkdlm_tensor *t = vkdlm_tensors_find(in, argv[i]);
        void *data = t ? add(&out, argv[i + 1], t->dtype, t->n_dims, t->shape) : NULL;
        if (!data)
            return tool_fail("no tensor", argv[i]);
        memcpy(data, t->data, t->n_bytes);
    }
    vkdlm_tensors_close(in);
    return finish(&out, argv[0]);
}

int tool_ints(int argc, char **argv)
{
    vkdlm_error err;
    vkdlm_tensors *in = NULL;
    if (argc != 3 || vkdlm_tensors_open(argv[0], &in, &err))
        return tool_fail("cannot open", argv[0]);
    const vkdlm_tensor *t = vkdlm_tensors_find(in, argv[1]);
    uint64_t row = strtoull(argv[2], NULL, 10);
    uint64_t width = t ? t->shape[t->n_dims ? t->n_dims - 1 : 0] : 0;
    if (!t || t->dtype != VKDLM_DTYPE_I32 || t->n_dims < 1 || (row + 1) * width > t->n_elements)
        return tool_fail("no such row of I32", argv[1]);
    for (uint64_t i = 0; i < width; i++) {
        int32_t value;
        memcpy(&value, (const char *)t->data + 4 * (row * width + i), 4);
        printf("%s%" PRId32, i ? " " : "", value);
    }
    putchar('\n');
    vkdlm_tensors_close(in);
    return 0;
}

/* eval.K.NAME */
static const vkdlm_tensor *find_eval(const vkdlm_tensors *in, uint64_t k, const char *name)
{
    char full[MAX_NAME];
    snprintf(full, sizeof full, "eval.%" PRIu64 ".%s", k, name);
    return vkdlm_tensors_find(in, full);
}

/* Copies row k of `to` (row_bytes each) from eval.K.NAME. */
static bool copy_row(const vkdlm_tensors *in, uint64_t k, const char *name, void *to, uint64_t row_bytes)
{
    const vkdlm_tensor *t = find_eval(in, k, name);
    if (!t || !to || t->n_bytes != row_bytes)
        return false;
    memcpy((char *)to + k * row_bytes, t->data, row_bytes);
    return true;
}

/* hidden.0 is y.in, hidden.N + 1 is y.N. */
static bool add_states(const vkdlm_tensors *in, uint64_t n_points, output *out)
{
    for (int layer = -1;; layer++) {
        char from[MAX_NAME] = "y.in", to[MAX_NAME];
        if (layer >= 0)
            snprintf(from, sizeof from, "y.%d", layer);
        snprintf(to, sizeof to, "hidden.%d", layer + 1);
        const vkdlm_tensor *first = find_eval(in, 0, from);
        if (!first)
            return layer > 0;
        void *data = add(out, to, VKDLM_DTYPE_F32, 2, (uint64_t[]){n_points, first->n_elements});
        for (uint64_t k = 0; k < n_points; k++)
            if (!copy_row(in, k, from, data, first->n_bytes))
                return false;
    }
}

int tool_points(int argc, char **argv)
{
    vkdlm_error err;
    vkdlm_tensors *in = NULL;
    output input = {.n = 0}, expected = {.n = 0};
    if (argc != 3 || vkdlm_tensors_open(argv[0], &in, &err))
        return tool_fail("cannot open", argv[0]);
    const vkdlm_tensor *prompt = vkdlm_tensors_find(in, "prompt"), *x = find_eval(in, 0, "x"),
                       *logits = find_eval(in, 0, "logits");
    uint64_t n_points = 0;
    while (n_points < MAX_POINTS && find_eval(in, n_points, "x"))
        n_points++;
    if (!prompt || !x || !logits)
        return tool_fail("no evaluations", argv[0]);
    uint64_t length = prompt->shape[1];
    int32_t *tokens = add(&input, "tokens", VKDLM_DTYPE_I32, 2, (uint64_t[]){n_points, length});
    float *points = add(&input, "x", VKDLM_DTYPE_F32, 2, (uint64_t[]){n_points, x->n_elements});
    float *t = add(&input, "t", VKDLM_DTYPE_F32, 1, &n_points);
    int32_t *class_ids = add(&input, "class", VKDLM_DTYPE_I32, 1, &n_points);
    float *rows = add(&expected, "logits", VKDLM_DTYPE_F32, 2, (uint64_t[]){n_points, logits->n_elements});
    for (uint64_t k = 0; k < n_points; k++) {
        int32_t row;
        double time;
        const vkdlm_tensor *row_of = find_eval(in, k, "row"), *time_of = find_eval(in, k, "t");
        if (!tokens || !t || !row_of || !time_of || !copy_row(in, k, "x", points, x->n_bytes) ||
            !copy_row(in, k, "class", class_ids, 4) || !copy_row(in, k, "logits", rows, logits->n_bytes))
            return tool_fail("an evaluation lacks something", argv[0]);
        memcpy(&row, row_of->data, sizeof row);
        memcpy(&time, time_of->data, sizeof time);
        t[k] = (float)time;
        memcpy(tokens + k * length, (const char *)prompt->data + 4 * length * (uint64_t)row, 4 * length);
    }
    bool complete = add_states(in, n_points, &expected);
    vkdlm_tensors_close(in);
    if (!complete)
        return tool_fail("states are missing", argv[0]);
    return finish(&input, argv[1]) || finish(&expected, argv[2]);
}
