/* The file of choices: what was measured on a device, for the next start and for people.
 *
 * JSON: {"format", "device", "driver", "subgroup_size", "subgroup_shuffle", "shaders", "choices": [{"group",
 * "type", "size", "problem", "variant", "measured", "bits", "variants": [{"name", "state", "us"}]}]}. Only
 * what fits this build, device and driver is taken; "problem", "variant" and "measured" are for the reader
 * and follow from the rest. It is small, and written whole (temporary name, then rename) after every
 * decision. */
#ifndef OPS_TUNE_FILE_H
#define OPS_TUNE_FILE_H

#include "ops/tune.h"

/* The choices in the file, at most `capacity`; 0 when there is none, or it is damaged or of something else.
 */
uint32_t tune_file_read(const char *path, const gpu_caps *caps, tune_choice *choices, uint32_t capacity);

/* Replaces the file. Choices that another process has put there and that are not among these are kept.
 * Failures are ignored: the next start measures again. */
void tune_file_write(const char *path, const gpu_caps *caps, const tune_choice *choices, uint32_t n);

#endif
