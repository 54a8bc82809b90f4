/* Tests of law: the distribution of whole samples against the exact one, by Pearson's chi-square.
 *
 * The tables name the cases once; what draws the samples is a function, so that the same cases run on the
 * scalar reference and on any device. Every run has a fixed seed. */
#ifndef TESTS_LAW_H
#define TESTS_LAW_H

#include <vkdlm/session.h>
#include <vkdlm/tensors.h>

/* The probability that a correct sampler fails one case, over seeds. With the 23 cases of law_cases on two
 * models, one seed in twenty thousand would fail somewhere. */
#define LAW_FALSE_ALARM 1e-6

typedef struct law_case {
    const char *tensor; /* law.TENSOR of the golden file */
    vkdlm_sampler sampler;
    vkdlm_schedule schedule;
    uint32_t steps;
    double end_time;
    bool kept;   /* no final noise removal; masked positions count as states */
    bool infill; /* from law.infill.start */
    uint32_t stride, strides;
} law_case;

extern const law_case law_cases[];
extern const size_t n_law_cases;

/* NULL when there is none of that name and sampler. */
const law_case *law_find(const char *tensor, vkdlm_sampler sampler);

/* Where samples come from: vkdlm_generate on something. */
typedef struct law_source {
    vkdlm_status (*generate)(void *self, const vkdlm_generate_options *options, vkdlm_generate_stats *stats,
                             vkdlm_error *err);
    void *self;
    int32_t mask_id;
    uint32_t length;
} law_source;

typedef struct law_result {
    double chi_square;
    uint32_t freedom;   /* degrees of freedom */
    double p_value;     /* 0 when a sequence of probability 0 occurred */
    double evaluations; /* of the network, a sample on average */
} law_result;

/* Draws n samples by `c` and compares them with the law that `expected` names in the golden file (normally c
 * itself). A failing run fails the test. */
law_result law_measure(const law_source *source, const law_case *c, const char *expected,
                       const vkdlm_tensors *golden, uint64_t n, uint64_t seed);

/* Fails the test when the p-value is below LAW_FALSE_ALARM. */
void law_check(const law_source *source, const law_case *c, const vkdlm_tensors *golden, uint64_t n,
               uint64_t seed);

/* Chi-square statistic of counts against probabilities, [n_cells]; cells that expect fewer than five are
 * pooled. */
law_result law_chi_square(const uint64_t *counts, const double *probabilities, size_t n_cells);

/* Upper tail of the chi-square distribution. */
double law_chi_square_tail(double chi_square, uint32_t freedom);

#endif
