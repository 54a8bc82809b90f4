/* The golden solves of the diffusion path (solve.* of tests/golden/l2d), checked with any implementation of
 * its network. */
#ifndef TESTS_SOLVE_H
#define TESTS_SOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include <vkdlm/tensors.h>

#include "sample/flow_grid.h"

/* One evaluation behind row `row` of the golden prompts: logits [V] at (x, t), and x_hat [n], the mean of V_y
 * at temperature tau with `average`, V_y of the most probable token otherwise (and where tau <= 0). x_hat may
 * be NULL. */
typedef struct solve_point {
    uint32_t row;
    const double *x; /* [n] */
    double t;
    int32_t class_id; /* -1: none */
    double tau;
    bool average;
} solve_point;

typedef struct solve_network {
    void *self;
    uint32_t n, vocab_size;
    double sigma, variance;
    bool single; /* computes in f32: the counts of dopri8 are not compared, since noise of 5e-5 in the logits
                    of an exact network changes them */
    void (*evaluate)(void *self, const solve_point *point, double *x_hat, double *logits);
} solve_network;

/* One recorded solve on a grid. */
typedef struct solve_case {
    const vkdlm_tensors *file;
    char name[64]; /* solve.NAME.SOLVER.stepsN */
    flow_options options;
    uint32_t row;
    bool average;
    bool guided;
    int32_t class_id; /* -1: none */
    double weight;    /* of the guidance */
} solve_case;

/* How far results may be from the recorded ones. */
typedef struct solve_tolerance {
    double logits;         /* absolute */
    double average_logits; /* absolute, of solves by averages */
    double state;          /* absolute; 1e-5 of a component's value comes on top */
} solve_tolerance;

/* Calls `check` for each solve on a grid that the file records; fails when one of them is not recognised. */
void solve_each_fixed(const vkdlm_tensors *file, void (*check)(void *user, const solve_case *c), void *user);

/* Compares with the recorded tensor NAME.part. */
void solve_check(const solve_case *c, const char *part, const double *found, size_t n, double tolerance,
                 bool absolute);
/* Compares states [n] with the recorded NAME.part. */
void solve_check_states(const solve_case *c, const char *part, const double *found, size_t n,
                        const solve_tolerance *tolerance);
/* Compares times and counts of calls. */
void solve_check_calls(const solve_case *c, const flow_grid *grid);
/* NAME.x0, which the caller frees. */
double *solve_start(const solve_case *c, uint32_t n);

/* Runs the solve on the host call by call: counts, times, tokens, states, final logits. */
void solve_check_fixed(const solve_network *network, const solve_case *c, const solve_tolerance *tolerance);

/* All adaptive solves that the file records and that end at `end_time`, 0.9 or 1; returns how many. */
uint32_t solve_check_adaptive(const solve_network *network, const vkdlm_tensors *file, double end_time);

#endif
