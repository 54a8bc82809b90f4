/* The entry point that replay.c and libFuzzer call. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Feeds `size` bytes to the code under test; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
