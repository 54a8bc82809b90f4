/* The run bar's fields as people type them. Knows no window. */
#ifndef VIEWER_FORM_H
#define VIEWER_FORM_H

#include <string>
#include <vector>

#include "live/live.h"

namespace viewer
{

struct run_form {
    bool causal = false; /* which options the fields are of */
    live_settings::given kind = live_settings::given::prompt;
    std::string text;
    /* Numbers; empty: the default. length: of the canvas, or new tokens. */
    std::string seed = "0", steps, length, temperature, top_k, top_p;
    int method = 0; /* index into method_names */
};

/* Samplers of a masked model, or solvers of a causal one: first the model's own, last the base model alone.
 */
const std::vector<std::string> &method_names(bool causal);
const char *given_name(live_settings::given kind);

/* Fields as they would be typed for these settings. */
run_form write_form(const live_settings &settings, bool causal);

/* Puts the fields into settings, whose other options stay. False with a sentence in error, and settings as
 * they were, when a field is no number; bounds are the run's to check. */
bool read_form(const run_form &form, live_settings &settings, std::string &error);

/* Copies settings, whose schedule of temperatures points into themselves. */
void copy_settings(const live_settings &from, live_settings &to);

/* The number of the next random stream. A seed that is no number becomes 0. */
void take_next_seed(run_form &form);
void take_next_method(run_form &form);
void take_next_given(run_form &form);

/* Steps (new tokens of a causal model) that a run with these settings is expected to take, 0: not known.
 * n_masked: positions to fill. */
uint32_t expected_steps(const live_settings &settings, bool causal, uint32_t n_masked);

} // namespace viewer

#endif
