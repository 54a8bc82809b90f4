#include "base/rng.h"

#include <math.h>

#define TWO_PI 6.283185307179586

rng_block rng_philox(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (rng_block){{c0, c1, c2, c3}};
}

void rng_normals(uint64_t key, uint32_t c1, uint32_t c2, uint32_t c3, double *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2) {
        rng_block block = rng_philox(key, i / 2, c1, c2, c3);
        /* 1 - u is in (0, 1]: its logarithm is finite. */
        double radius = sqrt(-2 * log(1 - rng_uniform(block.word[0], block.word[1])));
        double angle = TWO_PI * rng_uniform(block.word[2], block.word[3]);
        out[i] = radius * cos(angle);
        if (i + 1 < n)
            out[i + 1] = radius * sin(angle);
    }
}
