/* The kernel groups that have several variants, each in <group>_tune.c. */
#ifndef OPS_TUNE_TABLES_H
#define OPS_TUNE_TABLES_H

#include "ops/tune.h"

extern const tune_table matmul_tune_table, output_tune_table, attention_tune_table, cached_rows_tune_table;

#endif
