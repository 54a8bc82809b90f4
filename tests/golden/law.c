#include "golden/law.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"

#define CASE(name, sampler_, schedule_, n, ...)                                                      \
    {                                                                                                \
        .tensor = name, .sampler = VKDLM_SAMPLER_##sampler_, .schedule = VKDLM_SCHEDULE_##schedule_, \
        .steps = n, __VA_ARGS__                                                                      \
    }

const law_case law_cases[] = {
    CASE("ddpm.T1.loglinear", DDPM, LOGLINEAR, 1, .kept = false),
    CASE("ddpm.T2.loglinear", DDPM, LOGLINEAR, 2, .kept = false),
    CASE("ddpm.T4.loglinear", DDPM, LOGLINEAR, 4, .kept = false),
    CASE("ddpm.T8.loglinear", DDPM, LOGLINEAR, 8, .kept = false),
    CASE("ddpm.T1.cosine", DDPM, COSINE, 1, .kept = false),
    CASE("ddpm.T2.cosine", DDPM, COSINE, 2, .kept = false),
    CASE("ddpm.T4.cosine", DDPM, COSINE, 4, .kept = false),
    CASE("ddpm.T8.cosine", DDPM, COSINE, 8, .kept = false),
    CASE("ddpm.T4.cosinesqr", DDPM, COSINESQR, 4, .kept = false),
    CASE("ddpm.T4.linear", DDPM, LINEAR, 4, .kept = false),
    CASE("ddpm.T4.geometric", DDPM, GEOMETRIC, 4, .kept = false),
    CASE("ddpm_cache.T4.loglinear", DDPM_CACHE, LOGLINEAR, 4, .kept = false),
    /* skipping evaluations leaves the law of ddpm as it is */
    CASE("ddpm.T1.loglinear", DDPM_CACHE, LOGLINEAR, 1, .kept = false),
    CASE("ddpm.T8.loglinear", DDPM_CACHE, LOGLINEAR, 8, .kept = false),
    CASE("analytic.T4.loglinear", ANALYTIC, LOGLINEAR, 4, .kept = false),
    CASE("analytic.T4.geometric", ANALYTIC, GEOMETRIC, 4, .kept = false),
    CASE("ddpm.T3.loglinear.end0.25", DDPM, LOGLINEAR, 3, .end_time = 0.25),
    CASE("ddpm_cache.T3.loglinear.end0.25", DDPM_CACHE, LOGLINEAR, 3, .end_time = 0.25),
    CASE("analytic.T3.loglinear.end0.25", ANALYTIC, LOGLINEAR, 3, .end_time = 0.25),
    CASE("ddpm.T3.loglinear.end0.25.kept", DDPM, LOGLINEAR, 3, .end_time = 0.25, .kept = true),
    CASE("infill.ddpm.T4.loglinear", DDPM, LOGLINEAR, 4, .infill = true),
    CASE("first_hitting", FIRST_HITTING, LOGLINEAR, 0, .kept = false),
    CASE("semi_ar.T4.S1.K1", DDPM_CACHE, LOGLINEAR, 4, .stride = 1, .strides = 1),
};

const size_t n_law_cases = sizeof law_cases / sizeof *law_cases;

const law_case *law_find(const char *tensor, vkdlm_sampler sampler)
{
    for (size_t i = 0; i < n_law_cases; i++)
        if (strcmp(law_cases[i].tensor, tensor) == 0 && law_cases[i].sampler == sampler)
            return &law_cases[i];
    return NULL;
}

/* ---- chi-square ------------------------------------------------------------------------------------- */

/* Regularised upper incomplete gamma function Q(a, x): the series of its complement below a + 1, Lentz's
 * continued fraction above. */
static double gamma_upper(double a, double x)
{
    if (x <= 0)
        return 1;
    double front = exp(-x + a * log(x) - lgamma(a));
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (int n = 1; fabs(term) > 1e-17 * fabs(sum) && n < 100000; n++)
            sum += term *= x / (a + n);
        return 1 - front * sum;
    }
    double b = x + 1 - a, c = INFINITY, d = 1 / b, h = d, delta = 0;
    for (int n = 1; fabs(delta - 1) > 1e-15 && n < 100000; n++) {
        double an = -n * (n - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        delta = c * d;
        h *= delta;
    }
    return front * h;
}

double law_chi_square_tail(double chi_square, uint32_t freedom)
{
    return gamma_upper(freedom / 2.0, chi_square / 2);
}

law_result law_chi_square(const uint64_t *counts, const double *probabilities, size_t n_cells)
{
    law_result result = {0};
    uint64_t n = 0;
    for (size_t i = 0; i < n_cells; i++)
        n += counts[i];

    double pooled_expected = 0, pooled_count = 0;
    uint32_t n_terms = 0;
    for (size_t i = 0; i < n_cells; i++) {
        double expected = probabilities[i] * (double)n, count = (double)counts[i];
        if (expected >= 5) {
            result.chi_square += (count - expected) * (count - expected) / expected;
            n_terms++;
        } else if (probabilities[i] > 0) {
            pooled_expected += expected;
            pooled_count += count;
        } else if (counts[i] > 0) {
            return (law_result){.chi_square = INFINITY, .freedom = 1, .p_value = 0};
        }
    }
    if (pooled_expected > 0) {
        /* A pool that expects little is a Poisson count; the tail of a term of its own would be too heavy. */
        double spread = fmax(pooled_expected, 5);
        result.chi_square += (pooled_count - pooled_expected) * (pooled_count - pooled_expected) / spread;
        n_terms++;
    }
    result.freedom = n_terms - 1;
    result.p_value = law_chi_square_tail(result.chi_square, result.freedom);
    return result;
}

/* ---- samples ---------------------------------------------------------------------------------------- */

typedef struct histogram {
    uint64_t *counts;
    size_t n_cells;
    uint32_t base, length; /* states of a position, positions */
    uint64_t next;         /* expected index of the next sample */
    bool bad;
} histogram;

static bool count_sample(void *user, const vkdlm_sample *sample)
{
    histogram *h = user;
    size_t cell = 0;
    h->bad = h->bad || sample->sample != h->next++ || !sample->complete || sample->length != h->length;
    for (uint32_t i = 0; i < sample->length; i++) {
        h->bad = h->bad || sample->tokens[i] < 0 || (uint32_t)sample->tokens[i] >= h->base;
        cell = cell * h->base + (size_t)sample->tokens[i];
    }
    if (!h->bad)
        h->counts[cell]++;
    return !h->bad;
}

law_result law_measure(const law_source *source, const law_case *c, const char *expected,
                       const vkdlm_tensors *golden, uint64_t n, uint64_t seed)
{
    char name[96];
    histogram h = {.base = (uint32_t)source->mask_id + (c->kept ? 1 : 0), .length = source->length};
    h.length += c->stride * c->strides;
    h.n_cells = 1;
    for (uint32_t i = 0; i < h.length; i++)
        h.n_cells *= h.base;
    h.counts = calloc(h.n_cells, sizeof *h.counts);
    assert_non_null(h.counts);
    snprintf(name, sizeof name, "law.%s", expected);
    double *probabilities = golden_doubles(golden, name, h.n_cells);
    int32_t *start = golden_ints(golden, "law.infill.start", source->length);
    vkdlm_canvas canvas = {.tokens = start, .length = source->length};

    vkdlm_generate_options options = {.canvases = c->infill ? &canvas : NULL,
                                      .n_canvases = c->infill ? 1 : 0,
                                      .num_samples = n,
                                      .sampler = c->sampler,
                                      .steps = c->steps,
                                      .noise.schedule = c->schedule,
                                      .end_time = c->end_time,
                                      .no_final_denoise = c->kept,
                                      .stride = c->stride,
                                      .strides = c->strides,
                                      .seed = seed,
                                      .on_sample = count_sample,
                                      .user = &h};
    vkdlm_generate_stats stats = {0};
    vkdlm_error err = {0};
    vkdlm_status status = source->generate(source->self, &options, &stats, &err);
    if (status != VKDLM_OK)
        fail_msg("%s: %s", c->tensor,
                 h.bad ? "a sample is out of order, unfinished or has a bad token" : err.message);
    assert_true(h.next == n);
    law_result result = law_chi_square(h.counts, probabilities, h.n_cells);
    result.evaluations = (double)stats.evaluations / (double)n;
    free(start);
    free(probabilities);
    free(h.counts);
    return result;
}

void law_check(const law_source *source, const law_case *c, const vkdlm_tensors *golden, uint64_t n,
               uint64_t seed)
{
    law_result r = law_measure(source, c, c->tensor, golden, n, seed);
    print_message("%-36s %-13s chi-square %7.1f, %3u degrees of freedom, p = %.3g, %.3f evaluations\n",
                  c->tensor, vkdlm_sampler_name(c->sampler), r.chi_square, r.freedom, r.p_value,
                  r.evaluations);
    if (!(r.p_value >= LAW_FALSE_ALARM))
        fail_msg("%s by %s: p = %g, expected at least %g", c->tensor, vkdlm_sampler_name(c->sampler),
                 r.p_value, LAW_FALSE_ALARM);
}
