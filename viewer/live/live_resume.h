/* Where a run goes on. */
#ifndef VIEWER_LIVE_RESUME_H
#define VIEWER_LIVE_RESUME_H

#include <map>

#include "live/live_steps.h"

namespace viewer
{

/* Step of the options' grid whose end is nearest to t. */
uint32_t grid_step(const vkdlm_generate_options &options, double time);

/* Edits as in live_run. False with a sentence in error when there is nothing to go on with. */
bool resume_masked(const step_store &steps, uint32_t step, const std::map<uint32_t, int32_t> &edits,
                   const live_settings &settings, resume_point &out, std::string &error);
bool resume_flow(const step_store &steps, uint32_t step, const std::map<uint32_t, int32_t> &edits,
                 const live_settings &settings, const vkdlm_model_info &model, resume_point &out,
                 std::string &error);

/* Whether the steps could be the model's. False with a sentence in error. */
bool fits_model(const step_store &steps, const vkdlm_model_info &model, std::string &error);

} // namespace viewer

#endif
