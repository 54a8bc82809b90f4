/* The law of tokens that a flow refined, against the exact one: x_hat is drawn anew at every evaluation, so
 * the law of a token is a sum over all that could have been drawn, which a vocabulary of five tokens allows
 * to write out. The sums are written from the definition (Cetin et al., arXiv 2501.15781), not from the
 * solvers' code. x_0 is given, but for a test of the numbers it is made of. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "golden/law.h"
#include "ref/ref_causal.h"
#include "ref/ref_output.h"
#include "sample/complete.h"

enum { VOCAB = 5, DIM = 2, N_NEW = 2, N_CELLS = VOCAB * VOCAB, N_SAMPLES = 20000, SEED = 20250131 };

static const ref_causal_config small = {.vocab_size = VOCAB,
                                        .context = 8,
                                        .flow_dim = DIM,
                                        .n_classes = 2,
                                        .auto_rows = 64,
                                        .sharpness = 1.2,
                                        .noise_scale = 2,
                                        .seed = 17};
static const int32_t prompt[] = {1, 3};
static const float noise[N_NEW][DIM] = {{1.5f, -2.5f}, {-0.75f, 3.25f}};

/* ---- the exact law ----------------------------------------------------------------------------------- */

typedef struct law_spec {
    const char *name;
    vkdlm_flow_options flow; /* steps, solver and end_time given, unless it is off */
    double temperature;      /* of the token; 0: 1 */
    uint32_t top_k;
    double top_p;
    /* What the flow's options say, once more: tau(s) = tau, or (1 - s)^tau_power where that is above 0. */
    double tau, tau_power;
    bool unshifted; /* tau at the time of the evaluation: wrong */
} law_spec;

typedef struct exact {
    const law_spec *spec;
    const causal *network;
    int32_t before, last;
    double law[VOCAB];
} exact;

static void distribution(const double *logits, double temperature, uint32_t top_k, double top_p, double *p)
{
    double scaled[VOCAB];
    bool keep[VOCAB];
    uint32_t order[VOCAB];
    for (uint32_t v = 0; v < VOCAB; v++)
        scaled[v] = logits[v] / temperature;
    ref_distribution d = ref_output(scaled, VOCAB, -1, top_k, top_p > 0 ? top_p : 1, keep, order);
    for (uint32_t v = 0; v < VOCAB; v++)
        p[v] = keep[v] ? exp(scaled[v] - d.log_sum_exp) : 0;
}

static int32_t class_of(const exact *e)
{
    return e->spec->flow.has_class ? (int32_t)e->spec->flow.class_id : -1;
}

static void add_final(exact *e, const double *x, double t, double probability)
{
    double logits[VOCAB], p[VOCAB];
    if (e->spec->flow.off)
        ref_causal_base(e->network, e->before, e->last, logits);
    else
        ref_causal_flow(e->network, e->before, e->last, x, t, class_of(e), logits);
    distribution(logits, e->spec->temperature > 0 ? e->spec->temperature : 1, e->spec->top_k, e->spec->top_p,
                 p);
    for (uint32_t v = 0; v < VOCAB; v++)
        e->law[v] += probability * p[v];
}

/* The probabilities of x_hat = V_y at (x, t). */
static void estimate_law(const exact *e, const double *x, double t, double ahead, int32_t class_id, double *p)
{
    double logits[VOCAB], tau = e->spec->tau;
    if (e->spec->tau_power > 0)
        tau = pow(fmax(1 - (e->spec->unshifted ? t : t + ahead), 0), e->spec->tau_power);
    if (t == 0)
        ref_causal_base(e->network, e->before, e->last, logits);
    else
        ref_causal_flow(e->network, e->before, e->last, x, t, class_id, logits);
    if (tau > 1e-9) {
        distribution(logits, tau, 0, 1, p);
        return;
    }
    uint32_t best = 0;
    for (uint32_t v = 0; v < VOCAB; v++) {
        p[v] = 0;
        best = logits[v] > logits[best] ? v : best;
    }
    p[best] = 1;
}

/* From the grid point k at x, with the slopes of this interval so far: every way that leads to the end. */
static void follow(exact *e, uint32_t k, uint32_t stage, const double *grid, const double *x,
                   const double *k1, double probability);

static void take_slope(exact *e, uint32_t k, uint32_t stage, const double *grid, const double *k1,
                       const double *slope, double probability)
{
    const vkdlm_flow_options *o = &e->spec->flow;
    double h = o->end_time / (o->steps - 1), next[DIM];
    bool euler = o->solver == VKDLM_SOLVER_EULER, midpoint = o->solver == VKDLM_SOLVER_MIDPOINT;
    bool done = euler || stage == 1;
    for (uint32_t j = 0; j < DIM; j++) {
        if (!done)
            next[j] = grid[j] + (midpoint ? h / 2 : h) * slope[j];
        else if (euler || midpoint)
            next[j] = grid[j] + h * slope[j];
        else
            next[j] = grid[j] + h * (k1[j] + slope[j]) / 2;
    }
    if (done)
        follow(e, k + 1, 0, next, next, NULL, probability);
    else
        follow(e, k, 1, grid, next, slope, probability);
}

static void follow(exact *e, uint32_t k, uint32_t stage, const double *grid, const double *x,
                   const double *k1, double probability)
{
    const vkdlm_flow_options *o = &e->spec->flow;
    if (o->off || k + 1 == o->steps) {
        add_final(e, x, o->end_time, probability);
        return;
    }
    double h = o->end_time / (o->steps - 1), slope[DIM] = {0};
    bool midpoint = o->solver == VKDLM_SOLVER_MIDPOINT;
    double t = k * h + (stage ? (midpoint ? h / 2 : h) : 0);
    if (t > 1 - 1e-9) {
        take_slope(e, k, stage, grid, k1, slope, probability);
        return;
    }
    double factor = o->velocity == VKDLM_VELOCITY_EDM ? 1 / ((1 - t) * (1 - t)) : 1 / (1 - t);
    double w = o->has_guidance ? o->guidance : 1, p[VOCAB], q[VOCAB];
    const double *vocabulary = ref_causal_vocabulary(e->network);
    estimate_law(e, x, t, midpoint ? h / 2 : h, class_of(e), p);
    estimate_law(e, x, t, midpoint ? h / 2 : h, -1, q);
    if (o->estimate == VKDLM_ESTIMATE_AVERAGE) {
        for (uint32_t v = 0; v < VOCAB; v++)
            for (uint32_t j = 0; j < DIM; j++)
                slope[j] += (w * p[v] + (1 - w) * q[v]) * factor * (vocabulary[v * DIM + j] - x[j]);
        take_slope(e, k, stage, grid, k1, slope, probability);
        return;
    }
    for (uint32_t y = 0; y < VOCAB; y++) {
        for (uint32_t z = 0; z < (w != 1 ? VOCAB : 1); z++) {
            double chance = probability * p[y] * (w != 1 ? q[z] : 1);
            for (uint32_t j = 0; j < DIM; j++)
                slope[j] = factor * (w * (vocabulary[y * DIM + j] - x[j]) +
                                     (1 - w) * (vocabulary[z * DIM + j] - x[j]));
            if (chance > 0)
                take_slope(e, k, stage, grid, k1, slope, chance);
        }
    }
}

/* Of a token behind these two, with the x_0 of token `index`. */
static void token_law(const law_spec *spec, const causal *network, uint32_t index, int32_t before,
                      int32_t last, double *law)
{
    exact e = {.spec = spec, .network = network, .before = before, .last = last};
    law_spec base = {.flow.off = true};
    double x0[DIM], logits[VOCAB], p[VOCAB], entropy = 0;
    for (uint32_t j = 0; j < DIM; j++)
        x0[j] = (double)noise[index][j];
    ref_causal_base(network, before, last, logits);
    distribution(logits, 1, 0, 1, p);
    for (uint32_t v = 0; v < VOCAB; v++)
        entropy -= p[v] * log(p[v]);
    base.temperature = spec->temperature;
    base.top_k = spec->top_k;
    base.top_p = spec->top_p;
    if (spec->flow.budget == VKDLM_BUDGET_ENTROPY && entropy < spec->flow.budget_threshold)
        e.spec = &base;
    follow(&e, 0, 0, x0, x0, NULL, 1);
    memcpy(law, e.law, sizeof e.law);
}

static void pair_law(const law_spec *spec, const causal *network, double *law)
{
    double first[VOCAB], second[VOCAB], sum = 0;
    token_law(spec, network, 0, prompt[0], prompt[1], first);
    for (int32_t a = 0; a < VOCAB; a++) {
        token_law(spec, network, 1, prompt[1], a, second);
        for (uint32_t b = 0; b < VOCAB; b++)
            law[(uint32_t)a * VOCAB + b] = first[a] * second[b];
    }
    for (uint32_t i = 0; i < N_CELLS; i++)
        sum += law[i];
    assert_true(fabs(sum - 1) < 1e-9);
}

/* ---- samples ---------------------------------------------------------------------------------------- */

static bool count_sample(void *user, const vkdlm_completion *c)
{
    uint64_t *counts = user;
    assert_int_equal(c->length, 2 + N_NEW);
    counts[c->tokens[2] * VOCAB + c->tokens[3]]++;
    return true;
}

static void draw(const law_spec *spec, causal *network, uint64_t seed, uint64_t *counts)
{
    vkdlm_canvas canvas = {.tokens = prompt, .length = 2};
    vkdlm_model_info info = {.flow = {.present = true, .dim = DIM, .n_classes = 2}};
    vkdlm_complete_options options = {.prompts = &canvas,
                                      .n_prompts = 1,
                                      .num_samples = N_SAMPLES,
                                      .max_tokens = N_NEW,
                                      .temperature = spec->temperature,
                                      .top_k = spec->top_k,
                                      .top_p = spec->top_p,
                                      .seed = seed,
                                      .flow = spec->flow,
                                      .on_sample = count_sample,
                                      .user = counts};
    vkdlm_error err = {0};
    memset(counts, 0, N_CELLS * sizeof *counts);
    if (!spec->flow.off) {
        options.flow.noise = &noise[0][0];
        options.flow.noise_tokens = N_NEW;
        options.flow.noise_rows = 1;
    }
    if (complete_run(network, &info, &options, NULL, &err) != VKDLM_OK)
        fail_msg("%s: %s", spec->name, err.message);
}

#define GRID(solver_, steps_) .solver = VKDLM_SOLVER_##solver_, .steps = (steps_), .end_time = 1
#define GUIDED(weight)        .has_class = true, .class_id = 1, .has_guidance = true, .guidance = (weight)

static const law_spec specs[] = {
    {.name = "base", .flow.off = true, .temperature = 0.8, .top_k = 4},
    {.name = "euler 2", .flow = {GRID(EULER, 2), .temperature = "1"}, .tau = 1},
    {.name = "euler 4", .flow = {GRID(EULER, 4), .temperature = "1"}, .tau = 1},
    {.name = "euler 4 cold", .flow = {GRID(EULER, 4), .temperature = "0.6"}, .tau = 0.6},
    {.name = "euler 4 argmax", .flow = {GRID(EULER, 4), .temperature = "0"}},
    {.name = "midpoint 2", .flow = {GRID(MIDPOINT, 2), .temperature = "1"}, .tau = 1},
    {.name = "midpoint 3", .flow = {GRID(MIDPOINT, 3), .temperature = "1"}, .tau = 1, .temperature = 1.3},
    {.name = "midpoint 3 polynomial",
     .flow = {GRID(MIDPOINT, 3), .temperature = "polynomial_1_1"},
     .tau_power = 1},
    {.name = "euler 4 polynomial", .flow = {GRID(EULER, 4), .temperature = "polynomial_2_1"}, .tau_power = 2},
    {.name = "heun2 3", .flow = {GRID(HEUN2, 3), .temperature = "1"}, .tau = 1, .top_p = 0.8},
    {.name = "edm",
     .flow = {.solver = VKDLM_SOLVER_EULER,
              .steps = 4,
              .end_time = 0.5,
              .velocity = VKDLM_VELOCITY_EDM,
              .temperature = "1"},
     .tau = 1},
    {.name = "class",
     .flow = {GRID(EULER, 3), .temperature = "1", .has_class = true, .class_id = 1},
     .tau = 1},
    {.name = "guided 1.5", .flow = {GRID(EULER, 3), .temperature = "1", GUIDED(1.5)}, .tau = 1},
    {.name = "guided 0", .flow = {GRID(EULER, 3), .temperature = "1", GUIDED(0)}, .tau = 1},
    {.name = "guided -1", .flow = {GRID(MIDPOINT, 2), .temperature = "1", GUIDED(-1)}, .tau = 1},
    {.name = "average",
     .flow = {GRID(MIDPOINT, 4), .temperature = "1", .estimate = VKDLM_ESTIMATE_AVERAGE},
     .tau = 1,
     .temperature = 0.9},
    {.name = "guided average",
     .flow = {GRID(HEUN2, 3), .temperature = "0.5", .estimate = VKDLM_ESTIMATE_AVERAGE, GUIDED(2)},
     .tau = 0.5},
    {.name = "budget",
     .flow = {GRID(EULER, 3), .temperature = "1", .budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 1.2},
     .tau = 1},
    {.name = "budget with cuts",
     .flow = {GRID(EULER, 3), .temperature = "1", .budget = VKDLM_BUDGET_ENTROPY, .budget_threshold = 1.2},
     .tau = 1,
     .temperature = 0.7,
     .top_k = 4},
};
enum { N_SPECS = sizeof specs / sizeof *specs };

static const law_spec *find(const char *name)
{
    for (size_t i = 0; i < N_SPECS; i++)
        if (strcmp(specs[i].name, name) == 0)
            return &specs[i];
    fail_msg("no law '%s'", name);
    return NULL;
}

/* One seed in fifty thousand would fail somewhere (LAW_FALSE_ALARM for each of the laws). */
static void laws(void **state)
{
    (void)state;
    causal *network = ref_causal_create(&small);
    for (size_t i = 0; i < N_SPECS; i++) {
        uint64_t counts[N_CELLS];
        double law[N_CELLS];
        pair_law(&specs[i], network, law);
        draw(&specs[i], network, SEED + i, counts);
        law_result r = law_chi_square(counts, law, N_CELLS);
        print_message("%-24s chi-square %6.1f, %2u degrees of freedom, p = %.3g\n", specs[i].name,
                      r.chi_square, r.freedom, r.p_value);
        if (!(r.p_value >= LAW_FALSE_ALARM))
            fail_msg("%s: p = %g, expected at least %g", specs[i].name, r.p_value, LAW_FALSE_ALARM);
    }
    ref_causal_destroy(network);
}

/* Samples of one law must not pass for another that is near. */
static void laws_are_told_apart(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"euler 2", "euler 4"},        {"euler 4", "euler 4 cold"}, {"midpoint 2", "heun2 3"},
        {"guided 1.5", "class"},       {"guided 0", "class"},       {"midpoint 3 polynomial", "midpoint 3"},
        {"guided average", "average"}, {"budget", "base"},          {"euler 4 argmax", "euler 4 cold"},
    };
    causal *network = ref_causal_create(&small);
    uint64_t counts[N_CELLS];
    double law[N_CELLS];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        pair_law(find(pairs[i][1]), network, law);
        draw(find(pairs[i][0]), network, SEED, counts);
        double p = law_chi_square(counts, law, N_CELLS).p_value;
        if (!(p < LAW_FALSE_ALARM))
            fail_msg("%s passes for %s: p = %g", pairs[i][0], pairs[i][1], p);
    }
    /* The schedule of tau is taken ahead of the evaluation. */
    law_spec late = *find("euler 4 polynomial");
    late.unshifted = true;
    pair_law(&late, network, law);
    draw(find("euler 4 polynomial"), network, SEED, counts);
    assert_true(law_chi_square(counts, law, N_CELLS).p_value < LAW_FALSE_ALARM);
    ref_causal_destroy(network);
}

/* An adaptive solver follows averages to where a fine grid leads, and the token is drawn from there. */
static void adaptive_law(void **state)
{
    (void)state;
    law_spec fine = {.name = "adaptive",
                     .flow = {.solver = VKDLM_SOLVER_MIDPOINT,
                              .steps = 400,
                              .end_time = 0.9,
                              .temperature = "1",
                              .estimate = VKDLM_ESTIMATE_AVERAGE,
                              GUIDED(1.5)},
                     .tau = 1,
                     .temperature = 0.9,
                     .top_k = 4};
    causal *network = ref_causal_create(&small);
    uint64_t counts[N_CELLS];
    double law[N_CELLS];
    pair_law(&fine, network, law);
    law_spec adaptive = fine;
    adaptive.flow.solver = VKDLM_SOLVER_BOSH3;
    adaptive.flow.steps = 0;
    draw(&adaptive, network, SEED, counts);
    assert_true(law_chi_square(counts, law, N_CELLS).p_value >= LAW_FALSE_ALARM);
    ref_causal_destroy(network);
}

/* ---- x_0 -------------------------------------------------------------------------------------------- */

static double normal_cell(double z, uint32_t n)
{
    return floor(0.5 * erfc(-z / sqrt(2)) * n);
}

/* The numbers that x_0 is made of are normal, and those of neighbouring components, tokens and samples have
 * nothing to do with each other. */
static void starting_states(void **state)
{
    (void)state;
    enum { CELLS = 16, N = 30000, WIDTH = 5 };
    static const char *const what[] = {"components 0 and 1", "components 1 and 2", "components 3 and 4",
                                       "two tokens",         "two samples",        "two seeds"};
    for (size_t c = 0; c < sizeof what / sizeof *what; c++) {
        uint64_t counts[CELLS * CELLS] = {0};
        double law[CELLS * CELLS], x[WIDTH], y[WIDTH];
        for (uint32_t i = 0; i < CELLS * CELLS; i++)
            law[i] = 1.0 / (CELLS * CELLS);
        for (uint32_t i = 0; i < N; i++) {
            uint32_t token = 2 * (i % 300), sample = 2 * (i / 300), step = rng_counter2(RNG_STATE, 0);
            rng_normals(SEED, token, step, sample, x, WIDTH);
            rng_normals(SEED + (c == 5), token + (c == 3), step, sample + (c == 4), y, WIDTH);
            double a = x[c == 1 ? 1 : c == 2 ? 3 : 0];
            double b = y[c == 0 ? 1 : c == 1 ? 2 : c == 2 ? 4 : 0];
            counts[(uint32_t)(normal_cell(a, CELLS) * CELLS + normal_cell(b, CELLS))]++;
        }
        law_result r = law_chi_square(counts, law, CELLS * CELLS);
        if (!(r.p_value >= LAW_FALSE_ALARM))
            fail_msg("%s: p = %g", what[c], r.p_value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws),
        cmocka_unit_test(laws_are_told_apart),
        cmocka_unit_test(adaptive_law),
        cmocka_unit_test(starting_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
