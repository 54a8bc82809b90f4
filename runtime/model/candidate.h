/* One of the most probable tokens of a row of the output layer. */
#ifndef MODEL_CANDIDATE_H
#define MODEL_CANDIDATE_H

#include <stdint.h>

/* A token and the natural log of its probability; token -1 where fewer tokens have one. */
typedef struct candidate {
    int32_t token;
    float log_prob;
} candidate;

#endif
