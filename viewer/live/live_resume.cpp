#include "live/live_resume.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace viewer
{
namespace
{

struct time_grid {
    double steps, end;
};

time_grid grid_of(const vkdlm_generate_options &o)
{
    return {o.steps ? static_cast<double>(o.steps) : 64, o.end_time != 0 ? o.end_time : 1e-5};
}

bool set_error(const vkdlm_error &err, std::string &error)
{
    error = err.message;
    return false;
}

} // namespace

uint32_t grid_step(const vkdlm_generate_options &options, double time)
{
    const time_grid grid = grid_of(options);
    const double step = std::round((1 - time) / (1 - grid.end) * grid.steps);
    return static_cast<uint32_t>(std::isfinite(step) ? std::clamp(step, 0.0, grid.steps) : 0);
}

namespace
{

/* Sets where the run goes on from a canvas whose time is known, or (over) from one where nothing was left to
 * do: where as many positions would be masked as are. */
bool set_time(const masked_row &row, bool over, double share, const vkdlm_generate_options &o,
              resume_point &out, std::string &error)
{
    const bool hitting = o.sampler == VKDLM_SAMPLER_FIRST_HITTING;
    double time = row.time;
    vkdlm_error err = {};
    if (over && vkdlm_noise_time(&o.noise, share, &time, &err) != VKDLM_OK)
        return set_error(err, error);
    if (hitting) {
        out.first_step = row.number;
        out.first_time = std::clamp(time, DBL_MIN, 1.0);
    } else {
        out.first_step = grid_step(o, time);
        if (over)
            out.first_step = std::min(out.first_step, static_cast<uint32_t>(grid_of(o).steps) - 1);
    }
    return true;
}

/* The canvas of a step as the run left it. */
std::vector<int32_t> unedited(const step_store &steps, uint32_t step)
{
    const vkdlm_trajectory_info &info = steps.info();
    std::vector<int32_t> out = steps.row(step).tokens;
    for (uint32_t r = 0; r < info.n_resumptions; r++)
        for (uint32_t i = 0; info.resumptions[r].step == step && i < info.resumptions[r].n_edits; i++) {
            const vkdlm_trajectory_edit &e = info.resumptions[r].edits[i];
            out[e.position] = e.from < 0 ? info.mask_id : e.from;
        }
    return out;
}

} // namespace

bool resume_masked(const step_store &steps, uint32_t step, const std::map<uint32_t, int32_t> &edits,
                   const live_settings &settings, resume_point &out, std::string &error)
{
    const vkdlm_generate_options o = masked_options(settings);
    const masked_row &row = steps.row(step);
    const int32_t mask = steps.info().mask_id;
    out.tokens = row.tokens;
    for (auto [position, token] : edits) {
        if (position >= out.tokens.size())
            continue;
        int32_t &at = out.tokens[position];
        out.edits.push_back({position, at == mask ? -1 : at, token == live_run::masked_again ? -1 : token});
        at = token == live_run::masked_again ? mask : token;
    }
    const std::vector<int32_t> before = unedited(steps, step);
    size_t n_before = 0, n_masked = 0, n_open = 0;
    for (size_t i = 0; i < row.tokens.size(); i++) {
        const bool masked = out.tokens[i] == mask;
        n_before += before[i] == mask;
        n_masked += masked;
        n_open += masked || steps.row(0).tokens[i] == mask;
    }
    if (!n_masked) {
        error = "no position is masked, so there is nothing to go on with";
        return false;
    }
    out.kept = step;
    out.evaluations = row.evaluations;
    const bool hitting = o.sampler == VKDLM_SAMPLER_FIRST_HITTING;
    /* The final noise removal, which tells time 0, may be what is left. */
    const bool steps_left = hitting || grid_step(o, row.time) < static_cast<uint32_t>(grid_of(o).steps) ||
                            (!o.no_final_denoise && row.time > 0);
    const double share = static_cast<double>(n_masked) / static_cast<double>(n_open);
    return set_time(row, !n_before || !steps_left, share, o, out, error);
}

bool resume_flow(const step_store &steps, uint32_t step, const std::map<uint32_t, int32_t> &edits,
                 const live_settings &settings, const vkdlm_model_info &model, resume_point &out,
                 std::string &error)
{
    std::vector<int32_t> tokens(steps.tokens().begin(), steps.tokens().begin() + step);
    out.kept = step;
    if (!edits.empty() && edits.begin()->first <= step) {
        /* Those that follow one another; behind a token that is taken back there is nothing. */
        uint32_t at = edits.begin()->first;
        tokens.resize(out.kept = at);
        for (auto edit = edits.begin(); edit != edits.end() && edit->first == at; ++edit, at++) {
            const int32_t from = at < step ? steps.tokens()[at] : -1;
            out.edits.push_back({at, from, edit->second == live_run::masked_again ? -1 : edit->second});
            if (edit->second == live_run::masked_again)
                break;
            tokens.push_back(edit->second);
        }
    }
    const int32_t *end = model.end_ids + model.n_end_ids;
    if (!tokens.empty() && !settings.causal.ignore_end &&
        std::find(model.end_ids, end, tokens.back()) != end) {
        error = "the text has ended, so there is nothing to go on with";
        return false;
    }
    if (settings.length && tokens.size() >= settings.length) {
        error = "all " + std::to_string(settings.length) +
                " tokens are there, so there is nothing to go on with; a greater length has room for more";
        return false;
    }
    out.first_token = static_cast<uint32_t>(tokens.size());
    out.tokens = steps.prompt();
    out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
    return true;
}

bool fits_model(const step_store &steps, const vkdlm_model_info &model, std::string &error)
{
    const bool flow = model.family == VKDLM_FAMILY_CAUSAL;
    const vkdlm_trajectory_info &info = steps.info();
    if (steps.is_flow() != flow) {
        error = flow ? "the steps are of masked diffusion, but the model is autoregressive"
                     : "the steps are of an autoregressive model, but the model is of masked diffusion";
        return false;
    }
    if (!flow && info.mask_id != model.mask_id) {
        error = "the model's mask token is " + std::to_string(model.mask_id) + ", but that of the steps is " +
                std::to_string(info.mask_id);
        return false;
    }
    if (flow && info.n_evaluations && info.dim != model.flow.dim) {
        error = "the model's diffusion space has " + std::to_string(model.flow.dim) +
                " dimensions, but that of the steps has " + std::to_string(info.dim);
        return false;
    }
    if (!flow && info.length > model.length) {
        error = "the canvas has " + std::to_string(info.length) + " tokens, but the model's length is " +
                std::to_string(model.length);
        return false;
    }
    int32_t most = -1;
    for (uint32_t i = 0; !flow && i <= steps.n_steps(); i++)
        for (int32_t id : steps.row(i).tokens)
            most = std::max(most, id);
    for (int32_t id : steps.tokens())
        most = std::max(most, id);
    if (most >= 0 && static_cast<uint32_t>(most) >= model.vocab_size) {
        error = "the steps have token " + std::to_string(most) + ", but the model's ids are 0 to " +
                std::to_string(model.vocab_size - 1);
        return false;
    }
    return true;
}

} // namespace viewer
