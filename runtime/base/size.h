/* Checked arithmetic on sizes that come from files, options or devices. */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* *out = a * b (a + b); false, with *out unspecified, when the result does not fit 64 bits. */
static inline bool size_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool size_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* Smallest multiple of step (> 0) that is >= value; value must be far from 2^64. */
static inline uint64_t size_round_up(uint64_t value, uint64_t step)
{
    return (value + step - 1) / step * step;
}

static inline uint32_t u32_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
