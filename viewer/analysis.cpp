#include "analysis.h"

#include <algorithm>
#include <cmath>

namespace viewer
{
namespace
{

constexpr float not_known = NAN;

float milliseconds(int64_t ns)
{
    return static_cast<float>(ns) * 1e-6F;
}

/* Probability of `id` among the candidates, NaN when it is none of them. */
float probability_of(int32_t id, const int32_t *ids, const float *probabilities, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == id)
            return probabilities[i];
    return not_known;
}

} // namespace

analysis::analysis(const run &r) : run_(&r)
{
    const vkdlm_trajectory_info &info = r.info();
    flow_ = info.kind == VKDLM_TRAJECTORY_FLOW;
    n_steps_ = flow_ ? info.n_tokens : info.n_steps;
    length_ = flow_ ? info.n_tokens : info.length;
    n_candidates_ = info.n_candidates;
    final_.assign(length_, -1);
    committed_.assign(length_, -1);
    probability_.assign(length_, not_known);
    masked_.assign(size_t{n_steps_} + 1, 0);
    if (flow_)
        read_flow();
    else
        read_masked();
}

void analysis::add_series(const char *name, const char *unit, std::vector<float> values)
{
    float most = 0;
    for (float value : values)
        if (std::isfinite(value))
            most = std::max(most, value);
    curves_.push_back({name, unit, std::move(values), most});
}

void analysis::read_masked()
{
    const int32_t mask = run_->info().mask_id;
    const size_t n = size_t{n_steps_} + 1;
    std::vector<float> masked(n), mean(n, not_known), evaluations(n), time(n, not_known);
    std::vector<uint32_t> count(length_, 0);
    vkdlm_trajectory_step s;
    for (uint32_t step = 0; step <= n_steps_ && run_->step(step, &s); step++) {
        double sum = 0;
        uint32_t n_evaluated = 0;
        for (uint32_t i = 0; i < length_; i++) {
            masked_[step] += s.tokens[i] == mask;
            if (s.tokens[i] == mask)
                committed_[i] = -1;
            else if (step == 0)
                committed_[i] = 0;
            else if (s.tokens[i] != s.previous[i]) {
                committed_[i] = static_cast<int32_t>(step);
                probability_[i] = s.confidence[i];
            }
            final_[i] = s.tokens[i] == mask ? -1 : s.tokens[i];
            if (s.entropy && std::isfinite(s.entropy[i])) {
                sum += static_cast<double>(s.entropy[i]);
                most_entropy_ = std::max(most_entropy_, s.entropy[i]);
                n_evaluated++;
                count[i]++;
            }
        }
        masked[step] = static_cast<float>(masked_[step]);
        if (n_evaluated)
            mean[step] = static_cast<float>(sum / n_evaluated);
        evaluations[step] = static_cast<float>(s.evaluations);
        if (step)
            time[step] = milliseconds(s.host_ns);
    }
    first_look_.assign(size_t{length_} + 1, 0);
    for (uint32_t i = 0; i < length_; i++)
        first_look_[i + 1] = first_look_[i] + count[i];
    looks_.resize(first_look_[length_]);
    std::vector<size_t> next(first_look_.begin(), first_look_.end() - 1);
    for (uint32_t step = 1; step <= n_steps_ && run_->step(step, &s); step++)
        for (uint32_t i = 0; i < length_; i++)
            if (std::isfinite(s.entropy[i]))
                looks_[next[i]++] = step;
    add_series("masked", "", std::move(masked));
    add_series("mean entropy", " nats", std::move(mean));
    add_series("evaluations", "", std::move(evaluations));
    add_series("time a step", " ms", std::move(time));
}

void analysis::read_flow()
{
    const size_t n = size_t{n_steps_} + 1;
    std::vector<float> before(n, not_known), after(n, not_known), evaluations(n, not_known),
        time(n, not_known);
    vkdlm_trajectory_evaluation v;
    for (uint32_t i = 0; i < length_; i++) {
        final_[i] = run_->info().tokens[i];
        committed_[i] = static_cast<int32_t>(i) + 1;
        uint32_t first = run_->first_evaluation(i), end = run_->first_evaluation(i + 1);
        evaluations[i + 1] = static_cast<float>(end - first);
        int64_t ns = 0;
        for (uint32_t e = first; e < end && run_->evaluation(e, &v); e++) {
            ns += v.device_ns;
            if (std::isfinite(v.entropy))
                most_entropy_ = std::max(most_entropy_, v.entropy);
            if (e == first)
                before[i + 1] = v.entropy;
            after[i + 1] = v.entropy;
            if (e + 1 == end)
                probability_[i] = probability_of(final_[i], v.topk_ids, v.topk_probs, n_candidates_);
        }
        if (first < end)
            time[i + 1] = milliseconds(ns);
    }
    for (uint32_t step = 0; step <= n_steps_; step++)
        masked_[step] = n_steps_ - step;
    add_series("entropy of the base", " nats", std::move(before));
    add_series("entropy refined", " nats", std::move(after));
    add_series("evaluations", "", std::move(evaluations));
    add_series("time a token", " ms", std::move(time));
}

moment analysis::at(uint32_t step, uint32_t position) const
{
    if (flow_) {
        bool reached = position < step;
        return {reached ? final_[position] : -1, false, position + 1 == step};
    }
    vkdlm_trajectory_step s;
    if (!run_->step(step, &s))
        return {-1, false, false};
    int32_t id = s.tokens[position];
    if (id == run_->info().mask_id)
        return {-1, false, false};
    return {id, committed_[position] == 0, s.previous && s.previous[position] != id};
}

uint32_t analysis::n_looks(uint32_t position) const
{
    if (flow_)
        return run_->first_evaluation(position + 1) - run_->first_evaluation(position);
    return static_cast<uint32_t>(first_look_[position + 1] - first_look_[position]);
}

look analysis::get_look(uint32_t position, uint32_t index) const
{
    if (flow_) {
        vkdlm_trajectory_evaluation v;
        run_->evaluation(run_->first_evaluation(position) + index, &v);
        return {position + 1, v.time, v.entropy, n_candidates_ ? v.topk_ids : nullptr, v.topk_probs};
    }
    uint32_t step = looks_[first_look_[position] + index];
    vkdlm_trajectory_step s;
    run_->step(step, &s);
    size_t at = size_t{position} * n_candidates_;
    return {step, s.time, s.entropy[position], n_candidates_ ? s.topk_ids + at : nullptr,
            n_candidates_ ? s.topk_probs + at : nullptr};
}

uint32_t analysis::looks_until(uint32_t step, uint32_t position) const
{
    if (flow_)
        return position < step ? n_looks(position) : 0;
    auto first = looks_.begin() + static_cast<std::ptrdiff_t>(first_look_[position]);
    auto end = looks_.begin() + static_cast<std::ptrdiff_t>(first_look_[position + 1]);
    return static_cast<uint32_t>(std::upper_bound(first, end, step) - first);
}

float analysis::entropy(uint32_t step, uint32_t position) const
{
    uint32_t n = looks_until(step, position);
    return n ? get_look(position, flow_ ? 0 : n - 1).entropy : not_known;
}

int32_t analysis::candidate(uint32_t step, uint32_t position) const
{
    uint32_t n = looks_until(step, position);
    if (!n || !n_candidates_)
        return -1;
    return get_look(position, flow_ ? 0 : n - 1).ids[0];
}

uint32_t analysis::n_masked(uint32_t step) const
{
    return masked_[std::min(step, n_steps_)];
}

double analysis::time(uint32_t step) const
{
    vkdlm_trajectory_step s;
    return run_->step(step, &s) ? static_cast<double>(s.time) : NAN;
}

int64_t analysis::evaluations(uint32_t step) const
{
    if (flow_)
        return run_->first_evaluation(std::min(step, n_steps_));
    vkdlm_trajectory_step s;
    return run_->step(step, &s) ? s.evaluations : 0;
}

} // namespace viewer
