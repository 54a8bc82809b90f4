/* What tests of completions share: a small causal model (ref/ref_causal.h), prompts, and a record of a run
 * that checks what holds for any. */
#ifndef TESTS_UNIT_COMPLETE_UTIL_H
#define TESTS_UNIT_COMPLETE_UTIL_H

#include "ref/ref_causal.h"
#include "sample/complete.h"

enum {
    VOCAB = 11,
    CONTEXT = 40,
    DIM = 3,
    N_CLASSES = 2,
    MAX_SAMPLES = 64,
    END_ID = REF_CAUSAL_END,
    N_PROMPTS = 4
};

extern const ref_causal_config small;
extern const vkdlm_canvas prompts[N_PROMPTS];

/* Everything that a run delivers, with the checks that hold for any run. */
typedef struct record {
    uint32_t n_samples;
    vkdlm_completion samples[MAX_SAMPLES];
    int32_t tokens[MAX_SAMPLES][CONTEXT];
    uint32_t n_tokens; /* calls of on_token in all */
    uint32_t next[MAX_SAMPLES];
    double log_prob[MAX_SAMPLES], entropy[MAX_SAMPLES], base_entropy[MAX_SAMPLES];
    bool refined[MAX_SAMPLES][CONTEXT];
    uint32_t stop_after_tokens, stop_after_samples; /* 0: never */
    bool gaps;                                      /* samples that are not finished may be missing */
    vkdlm_complete_stats stats;
    vkdlm_error err;
} record;

/* Three samples of each prompt, nine tokens each. */
vkdlm_complete_options all_prompts(void);

/* Runs with the record as the user of all callbacks; what tells it when to stop stays. */
vkdlm_status complete_on(causal *network, const vkdlm_model_info *info, vkdlm_complete_options options,
                         record *r);
/* The same on a model of its own, where it must succeed. */
void complete_small(const ref_causal_config *config, vkdlm_complete_options options, record *r);

/* Whether the samples are the same to the bit. */
void check_same(const record *a, const record *b);

#endif
