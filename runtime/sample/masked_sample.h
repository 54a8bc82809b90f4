/* One sample of a masked generation run: a canvas on its way through the reverse process. */
#ifndef SAMPLE_MASKED_SAMPLE_H
#define SAMPLE_MASKED_SAMPLE_H

#include "model/denoiser.h"
#include "sample/masked_plan.h"

/* The next evaluation that a sample needs. */
typedef struct masked_event {
    enum eval_mode mode; /* how `picked` take their tokens */
    double sigma;        /* noise level at which the network runs */
    double time;         /* t afterwards */
    uint32_t number;     /* step number of the token draws; unique in the sample */
    uint32_t
        step; /* steps of the reverse process that will have been done; the final noise removal is one more */
} masked_event;

typedef struct masked_sample {
    uint64_t index, prompt;
    uint32_t stream; /* of random numbers */
    int32_t *tokens; /* the whole output, [length]; masked where nothing was drawn yet */
    uint32_t length, window_length;
    uint32_t start; /* of the window in tokens */
    uint32_t stage, step;
    double move_chance; /* first-hitting: at the last event */
    /* Positions in the window, ascending: masked beyond the next event, and those that unmask in it. */
    uint32_t *masked, *picked;
    uint32_t n_masked, n_picked;
    masked_event event;
    uint32_t evaluations, n_filled;
    uint64_t output_rows;
    double begun_seconds, seconds; /* on the loop's clock; from begun to finished */
    bool finished;
} masked_sample;

/* Starts sample `index` of the run on its canvas. tokens [plan->max_output], masked and picked
 * [plan->max_window] must be set and are filled; everything else is reset. */
void masked_sample_begin(masked_sample *sample, const masked_plan *plan, uint64_t index);

/* Decides steps until one needs an evaluation and describes it in sample->event and sample->picked (which is
 * empty for a step of `ddpm` that unmasks nothing). False, and sample->finished, when the reverse process is
 * over. */
bool masked_sample_advance(masked_sample *sample, const masked_plan *plan);

/* Takes the tokens that the evaluation gave the picked positions, [n_picked]. */
void masked_sample_apply(masked_sample *sample, const eval_result *results);

/* The window, [window_length]: what the network evaluates. */
static inline const int32_t *masked_sample_window(const masked_sample *sample)
{
    return sample->tokens + sample->start;
}

/* Positions of the output that hold no token yet. */
uint32_t masked_sample_n_masked(const masked_sample *sample);

#endif
