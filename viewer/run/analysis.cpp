#include "run/analysis.h"

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
    clear();
    update();
}

void analysis::clear()
{
    const vkdlm_trajectory_info &info = run_->info();
    flow_ = info.kind == VKDLM_TRAJECTORY_FLOW;
    n_candidates_ = info.n_candidates;
    length_ = flow_ ? 0 : info.length;
    n_steps_ = 0;
    most_entropy_ = 0.01F;
    final_.assign(length_, -1);
    committed_.assign(length_, -1);
    probability_.assign(length_, not_known);
    by_hand_.assign(length_, false);
    looks_.assign(length_, {});
    masked_.clear();
    if (flow_)
        curves_ = {{"entropy of the base", " nats", {not_known}, 0},
                   {"entropy refined", " nats", {not_known}, 0},
                   {"evaluations", "", {not_known}, 0},
                   {"time a token", " ms", {not_known}, 0}};
    else
        curves_ = {{"masked", "", {}, 0},
                   {"mean entropy", " nats", {}, 0},
                   {"evaluations", "", {}, 0},
                   {"time a step", " ms", {}, 0}};
}

/* A number that steps of different runs hardly share. */
uint64_t analysis::print_of_last() const
{
    uint64_t print = 0xcbf29ce484222325;
    auto take = [&](uint64_t value) { print = (print ^ value) * 0x100000001b3; };
    vkdlm_trajectory_step s;
    vkdlm_trajectory_evaluation v;
    if (flow_) {
        for (uint32_t i = 0; i < n_steps_; i++)
            take(static_cast<uint32_t>(run_->info().tokens[i]));
        uint32_t end = n_steps_ ? run_->first_evaluation(n_steps_) : 0;
        if (end && run_->evaluation(end - 1, &v))
            take(static_cast<uint64_t>(v.device_ns));
        take(end);
        return print;
    }
    for (uint32_t step : {0U, n_steps_}) {
        if (!run_->step(step, &s))
            continue;
        for (uint32_t i = 0; i < length_; i++)
            take(static_cast<uint32_t>(s.tokens[i]));
        take(static_cast<uint64_t>(s.host_ns));
    }
    return print;
}

uint32_t analysis::update()
{
    const vkdlm_trajectory_info &info = run_->info();
    const bool flow = info.kind == VKDLM_TRAJECTORY_FLOW;
    const uint32_t n = flow ? info.n_tokens : info.n_steps;
    if (flow != flow_ || n < n_steps_ || n_candidates_ != info.n_candidates ||
        (!flow && length_ != info.length) || (version_ && print_of_last() != print_))
        clear();
    const uint32_t from = n_steps_;
    const auto first = static_cast<uint32_t>(flow ? from : masked_.size());
    n_steps_ = n;
    read_edits();
    if (flow)
        read_flow(from);
    else
        read_masked();
    print_ = print_of_last();
    version_++;
    return first;
}

void analysis::read_edits()
{
    const vkdlm_trajectory_info &info = run_->info();
    hands_.clear();
    for (uint32_t r = 0; r < info.n_resumptions; r++)
        for (uint32_t i = 0; i < info.resumptions[r].n_edits; i++) {
            const vkdlm_trajectory_edit &e = info.resumptions[r].edits[i];
            hands_[e.position].push_back({flow_ ? e.position + 1 : info.resumptions[r].step, e});
        }
}

const analysis::hand *analysis::edited(uint32_t step, uint32_t position) const
{
    const hand *last = nullptr;
    if (auto found = hands_.find(position); found != hands_.end())
        for (const hand &h : found->second)
            if (h.step <= step)
                last = &h;
    return last;
}

bool analysis::is_by_hand(uint32_t step, uint32_t position, int32_t token) const
{
    const hand *h = edited(step, position);
    return h && h->step == step && h->edit.to == token;
}

void analysis::add(size_t curve, float value)
{
    series &s = curves_[curve];
    s.values.push_back(value);
    if (std::isfinite(value))
        s.most = std::max(s.most, value);
}

void analysis::read_masked()
{
    const int32_t mask = run_->info().mask_id;
    vkdlm_trajectory_step s;
    for (auto step = static_cast<uint32_t>(masked_.size()); step <= n_steps_ && run_->step(step, &s);
         step++) {
        double sum = 0;
        uint32_t n_evaluated = 0, n_masked = 0;
        for (uint32_t i = 0; i < length_; i++) {
            n_masked += s.tokens[i] == mask;
            if (s.tokens[i] == mask)
                committed_[i] = -1;
            else if (step == 0) {
                committed_[i] = 0;
                by_hand_[i] = is_by_hand(0, i, s.tokens[i]);
            } else if (s.tokens[i] != s.previous[i]) {
                committed_[i] = static_cast<int32_t>(step);
                by_hand_[i] = is_by_hand(step, i, s.tokens[i]);
                probability_[i] = by_hand_[i] ? not_known : s.confidence[i];
            }
            final_[i] = s.tokens[i] == mask ? -1 : s.tokens[i];
            if (s.entropy && std::isfinite(s.entropy[i])) {
                sum += static_cast<double>(s.entropy[i]);
                most_entropy_ = std::max(most_entropy_, s.entropy[i]);
                n_evaluated++;
                looks_[i].push_back(step);
            }
        }
        masked_.push_back(n_masked);
        add(0, static_cast<float>(n_masked));
        add(1, n_evaluated ? static_cast<float>(sum / n_evaluated) : not_known);
        add(2, static_cast<float>(s.evaluations));
        add(3, step ? milliseconds(s.host_ns) : not_known);
    }
}

void analysis::read_flow(uint32_t from)
{
    vkdlm_trajectory_evaluation v;
    length_ = n_steps_;
    final_.resize(length_, -1);
    committed_.resize(length_, -1);
    probability_.resize(length_, not_known);
    by_hand_.resize(length_, false);
    for (uint32_t i = from; i < length_; i++) {
        final_[i] = run_->info().tokens[i];
        committed_[i] = static_cast<int32_t>(i) + 1;
        by_hand_[i] = is_by_hand(i + 1, i, final_[i]);
        uint32_t first = run_->first_evaluation(i), end = run_->first_evaluation(i + 1);
        float before = not_known, after = not_known;
        int64_t ns = 0;
        for (uint32_t e = first; e < end && run_->evaluation(e, &v); e++) {
            ns += v.device_ns;
            if (std::isfinite(v.entropy))
                most_entropy_ = std::max(most_entropy_, v.entropy);
            if (e == first)
                before = v.entropy;
            after = v.entropy;
            if (e + 1 == end)
                probability_[i] = probability_of(final_[i], v.topk_ids, v.topk_probs, n_candidates_);
        }
        add(0, before);
        add(1, after);
        add(2, static_cast<float>(end - first));
        add(3, first < end ? milliseconds(ns) : not_known);
    }
    masked_.resize(size_t{n_steps_} + 1);
    for (uint32_t step = 0; step <= n_steps_; step++)
        masked_[step] = n_steps_ - step;
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
    return static_cast<uint32_t>(looks_[position].size());
}

look analysis::get_look(uint32_t position, uint32_t index) const
{
    if (flow_) {
        vkdlm_trajectory_evaluation v;
        run_->evaluation(run_->first_evaluation(position) + index, &v);
        return {position + 1, v.time, v.entropy, n_candidates_ ? v.topk_ids : nullptr, v.topk_probs};
    }
    uint32_t step = looks_[position][index];
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
    const std::vector<uint32_t> &steps = looks_[position];
    return static_cast<uint32_t>(std::upper_bound(steps.begin(), steps.end(), step) - steps.begin());
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
    return masked_.empty() ? 0 : masked_[std::min<size_t>(step, masked_.size() - 1)];
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
