/* Access to golden tensors in tests: what is missing or has another size fails the test at once. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vkdlm/tensors.h>

/* Path of a file or folder of the MDLM golden data. */
#define GOLDEN_MDLM(name) TESTS_DIR "/golden/mdlm/" name

vkdlm_tensors *golden_open(const char *path);

/* An F64 or F32 tensor, widened; the caller frees it. */
double *golden_doubles(const vkdlm_tensors *file, const char *name, size_t n);
int32_t *golden_ints(const vkdlm_tensors *file, const char *name, size_t n);

/* Extent of dimension `dim`. */
size_t golden_extent(const vkdlm_tensors *file, const char *name, uint32_t dim);

/* max |a - b| <= tolerance * max |b| (absolute: max |a - b| <= tolerance); NaN fails. */
void golden_check_close(const char *what, const double *a, const double *b, size_t n, double tolerance,
                        bool absolute);

#endif
