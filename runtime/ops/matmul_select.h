/* Which shape a product takes: chosen by tune.h for a type of weights and a class of row counts. */
#ifndef OPS_MATMUL_SELECT_H
#define OPS_MATMUL_SELECT_H

#include "ops/matmul.h"
#include "ops/tune.h"

/* Classes of the number of rows. */
typedef struct matmul_rows {
    uint32_t most; /* the class holds counts up to this, from the one before on */
    uint32_t typical;
    const char *text; /* "3 to 4 rows" */
} matmul_rows;

enum { MATMUL_N_ROWS = 6 };
extern const matmul_rows matmul_row_classes[MATMUL_N_ROWS];

/* The shapes worth trying for a class, the one expected to be fastest first; 0 for no class. output: those
 * that the output layer can run (ops/output.h). */
uint32_t matmul_candidates(const gpu_caps *caps, uint32_t row_class, bool output,
                           const matmul_shape *shapes[TUNE_MAX_CANDIDATES]);

/* The key of a product (group TUNE_MATMUL or TUNE_OUTPUT), and of one with low-rank adaptation (TUNE_MATMUL).
 */
tune_key matmul_key(enum tune_group group, vkdlm_dtype dtype, bool lora, uint32_t n_rows);

/* What such keys stand for: tables of the two groups are made of these. */
vkdlm_dtype matmul_key_dtype(tune_key key);
bool matmul_key_lora(tune_key key);
void matmul_key_describe(tune_key key, char text[TUNE_TEXT]);
uint32_t matmul_key_list(const gpu_caps *caps, tune_key key, const char *names[TUNE_MAX_CANDIDATES]);
/* The usual types of weights with every class of rows, without adaptation. */
uint32_t matmul_key_all(enum tune_group group, tune_key *keys);

/* The shape that a product takes on this device. UNSUPPORTED when every one is wrong. */
vkdlm_status matmul_select(gpu_device *device, tune_key key, const matmul_shape **shape, vkdlm_error *err);

/* The name of the shape that a product of n_rows rows takes; "none" when every one is wrong. */
const char *matmul_variant(gpu_device *device, enum tune_group group, vkdlm_dtype dtype, uint32_t n_rows);

#endif
