/* What the generators of random checkpoints share: a list of tensors, written with random values. */
#ifndef RANDOM_WEIGHTS_H
#define RANDOM_WEIGHTS_H

#include <vkdlm/tensors.h>

enum { RANDOM_MAX_TENSORS = 4096 };

typedef struct random_tensors {
    vkdlm_dtype dtype;
    vkdlm_tensor_spec specs[RANDOM_MAX_TENSORS];
    float scale[RANDOM_MAX_TENSORS], centre[RANDOM_MAX_TENSORS];
    size_t n;
} random_tensors;

/* Declares a tensor of one (columns 0) or two dimensions whose values are uniform in centre +- scale *
 * sqrt(3). */
void random_declare(random_tensors *list, const char *prefix, const char *name, uint32_t rows,
                    uint32_t columns, float scale, float centre);
/* name.weight [rows, columns], with the variance that keeps activations of order 1, and name.bias [rows]. */
void random_declare_linear(random_tensors *list, const char *prefix, const char *name, uint32_t rows,
                           uint32_t columns, bool bias);
/* Writes the file and empties the list. */
vkdlm_status random_write(const char *path, random_tensors *list, uint32_t seed, vkdlm_error *err);

/* Reads "F32", "F16" or "BF16". */
bool random_read_dtype(const char *text, vkdlm_dtype *out);

#endif
