/* Philox4x32-10: a counter-based generator (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). Draw number `counter` under `key` is a pure function: any thread, host or
 * device, obtains it without state. shaders/lib/philox.glsl is the same function.
 *
 * How vkdlm uses the counter (one place for this fact, shared with the shaders):
 *   counter[0]  element: vocabulary index / 4 for token draws (word v % 4 belongs to token v), component
 *               / 2 for the state a flow starts from, the position for unmasking decisions, a running
 *               number elsewhere
 *   counter[1]  position on the canvas for token draws; index of the token among the new ones (causal
 *               models: its draws and the state it starts from); 0 elsewhere
 *   counter[2]  purpose << 28 | step: steps of different purposes never share numbers
 *   counter[3]  sample: stream i of a run
 *   key         the 64-bit seed, low word first
 * So a number depends on (seed, sample, step, position) alone, never on the batch it ran in. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

enum rng_purpose {
    RNG_TOKEN = 0,   /* Gumbel noise of a token draw, on the device */
    RNG_UNMASK = 1,  /* does this position unmask in this step */
    RNG_TIME = 2,    /* times of first-hitting and of the likelihood bounds */
    RNG_CHOICE = 3,  /* which position first-hitting unmasks */
    RNG_CORRUPT = 4, /* masking of a text for the likelihood bounds */
    RNG_STATE = 5,   /* normal numbers of the state x_0 that a flow starts from */
};

typedef struct rng_block {
    uint32_t word[4];
} rng_block;

/* The largest step that fits beside the purpose. */
#define RNG_MAX_STEP 0x0FFFFFFFu

rng_block rng_philox(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3);

static inline uint32_t rng_counter2(enum rng_purpose purpose, uint32_t step)
{
    return (uint32_t)purpose << 28 | (step & RNG_MAX_STEP);
}

/* Uniform double in [0, 1) with 53 random bits from two words of a block. */
static inline double rng_uniform(uint32_t high, uint32_t low)
{
    return (double)((uint64_t)(high >> 5) << 26 | low >> 6) * 0x1p-53;
}

/* n standard normal numbers: components 2i and 2i + 1 are r cos(a) and r sin(a) of Box and Muller, with
 * r = sqrt(-2 log(1 - u)) and a = 2 pi u' from the block of counter[0] = i, u of its words 0 and 1, u' of its
 * words 2 and 3. */
void rng_normals(uint64_t key, uint32_t c1, uint32_t c2, uint32_t c3, double *out, uint32_t n);

#endif
