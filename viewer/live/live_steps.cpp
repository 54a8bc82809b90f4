#include "live/live_steps.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "live/live_resume.h"

namespace viewer
{

vkdlm_generate_options masked_options(const live_settings &settings)
{
    vkdlm_generate_options o = settings.masked;
    o.canvases = nullptr;
    o.n_canvases = 0;
    o.num_samples = o.batch = 1;
    o.first_step = 0;
    o.first_time = 0;
    o.on_step = nullptr;
    o.on_sample = nullptr;
    o.user = nullptr;
    return o;
}

vkdlm_complete_options causal_options(const live_settings &settings)
{
    vkdlm_complete_options o = settings.causal;
    o.prompts = nullptr;
    o.n_prompts = 0;
    o.num_samples = o.batch = 1;
    o.max_tokens = settings.length;
    o.first_token = 0;
    if (o.flow.temperature)
        o.flow.temperature = settings.temperature;
    o.flow.noise = nullptr;
    o.flow.noise_tokens = o.flow.noise_rows = 0;
    o.on_flow_step = nullptr;
    o.on_token = nullptr;
    o.on_sample = nullptr;
    o.user = nullptr;
    return o;
}

masked_row make_row(const vkdlm_step &step, uint32_t evaluations_before)
{
    masked_row row;
    const size_t k = step.n_candidates;
    row.number = step.step;
    row.time = step.time;
    row.evaluations = evaluations_before + step.evaluations;
    row.tokens.assign(step.tokens, step.tokens + step.length);
    row.ids.assign(step.length * k, -1);
    row.probabilities.assign(step.length * k, 0);
    row.entropy.assign(step.length, NAN);
    row.confidence.assign(step.length, NAN);
    for (size_t i = 0; i < step.n_evaluated; i++) {
        const size_t at = step.changed[i];
        row.entropy[at] = step.entropy[i];
        row.confidence[at] = step.probability[i];
        std::copy_n(step.candidate_ids + i * k, k, row.ids.begin() + static_cast<std::ptrdiff_t>(at * k));
        std::copy_n(step.candidate_probs + i * k, k,
                    row.probabilities.begin() + static_cast<std::ptrdiff_t>(at * k));
    }
    row.host_ns = static_cast<int64_t>(step.host_ns);
    row.device_ns = static_cast<int64_t>(step.device_ns);
    return row;
}

flow_look make_look(const vkdlm_flow_step &step)
{
    flow_look look;
    look.time = step.time;
    look.x.assign(step.x, step.x + step.dim);
    if (step.n_candidates) {
        look.ids.assign(step.candidate_ids, step.candidate_ids + step.n_candidates);
        look.probabilities.assign(step.candidate_probs, step.candidate_probs + step.n_candidates);
    }
    look.xhat_id = step.xhat_id;
    look.entropy = step.entropy;
    look.wd_norm = step.wd_norm;
    look.device_ns = static_cast<int64_t>(step.device_ns);
    return look;
}

namespace
{

masked_row copy_row(const vkdlm_trajectory_step &s, uint32_t length, uint32_t n_candidates)
{
    const size_t n = size_t{length} * n_candidates;
    masked_row row;
    row.number = row.evaluations = static_cast<uint32_t>(std::max(s.evaluations, 0));
    row.time = static_cast<double>(s.time);
    row.tokens.assign(s.tokens, s.tokens + length);
    if (!s.previous)
        return row;
    if (n) {
        row.ids.assign(s.topk_ids, s.topk_ids + n);
        row.probabilities.assign(s.topk_probs, s.topk_probs + n);
    }
    row.entropy.assign(s.entropy, s.entropy + length);
    row.confidence.assign(s.confidence, s.confidence + length);
    row.host_ns = s.host_ns;
    row.device_ns = s.device_ns;
    return row;
}

flow_look copy_look(const vkdlm_trajectory_evaluation &v, uint32_t dim, uint32_t n_candidates)
{
    flow_look look;
    look.time = static_cast<double>(v.time);
    look.x.assign(v.x, v.x + dim);
    if (n_candidates) {
        look.ids.assign(v.topk_ids, v.topk_ids + n_candidates);
        look.probabilities.assign(v.topk_probs, v.topk_probs + n_candidates);
    }
    look.xhat_id = v.xhat_id;
    look.entropy = v.entropy;
    look.wd_norm = v.wd_norm;
    look.device_ns = v.device_ns;
    return look;
}

vkdlm_prompt_kind kind_of(live_settings::given kind)
{
    switch (kind) {
    case live_settings::given::masks:
        return VKDLM_PROMPT_TEMPLATE;
    case live_settings::given::ids:
        return VKDLM_PROMPT_IDS;
    default:
        return VKDLM_PROMPT_TEXT;
    }
}

/* The options of a run of `n_candidates` from a place, as JSON. */
std::string write_options(const live_model &model, const live_settings &settings, const resume_point &from,
                          uint32_t n_candidates)
{
    vkdlm_generate_options masked = masked_options(settings);
    vkdlm_complete_options causal = causal_options(settings);
    masked.n_candidates = causal.n_candidates = n_candidates;
    masked.first_step = from.first_step;
    masked.first_time = from.first_time;
    causal.first_token = from.first_token;
    char *text = model.info.family == VKDLM_FAMILY_CAUSAL
                     ? vkdlm_complete_options_write(&causal, &model.info.flow)
                     : vkdlm_generate_options_write(&masked);
    std::string out = text ? text : "";
    free(text);
    return out;
}

template <typename T> const T *data_or_null(const std::vector<T> &v)
{
    return v.empty() ? nullptr : v.data();
}

} // namespace

step_store::step_store(const run &r)
    : model_(r.info().model), sampler_(r.info().sampler), seed_(r.info().seed), device_(r.info().device),
      prompt_text_(r.info().prompt), tokenizer_(r.info().tokenizer), l2d_(r.info().l2d), info_(r.info())
{
    const vkdlm_trajectory_info &from = r.info();
    std::string ignored;
    read_settings(r, settings_, ignored, part_of_run::beginning);
    prompt_kind_ = from.prompt_kind;
    prompt_.assign(from.prompt_ids, from.prompt_ids + from.n_prompt_ids);
    for (uint32_t i = 0; i < from.n_resumptions; i++) {
        const vkdlm_trajectory_resumption &x = from.resumptions[i];
        resumptions_.push_back(std::make_shared<resumption>(
            resumption{x.step, x.seed, x.sampler, {x.edits, x.edits + x.n_edits}}));
    }
    list_resumptions();
    vkdlm_trajectory_step s;
    for (uint32_t i = 0; !is_flow() && i <= from.n_steps && r.step(i, &s); i++)
        add(copy_row(s, from.length, from.n_candidates));
    for (uint32_t i = 0; is_flow() && i < from.n_tokens; i++) {
        flow_token token = {from.tokens[i], {}};
        vkdlm_trajectory_evaluation v;
        for (uint32_t e = r.first_evaluation(i); e < r.first_evaluation(i + 1) && r.evaluation(e, &v); e++)
            token.looks.push_back(copy_look(v, from.dim, from.n_candidates));
        add(std::move(token));
    }
    info_.n_pieces = 0;
}

step_store::step_store(const live_model &model, const live_settings &settings, std::vector<int32_t> start)
{
    describe(model);
    info_.n_candidates = is_flow() ? settings.causal.n_candidates : settings.masked.n_candidates;
    settings_ = settings;
    settings_.masked.n_candidates = settings_.causal.n_candidates = info_.n_candidates;
    sampler_ = write_options(model, settings_, {}, info_.n_candidates);
    seed_ = std::to_string(is_flow() ? settings.causal.seed : settings.masked.seed);
    prompt_text_ = settings.text;
    prompt_kind_ = kind_of(settings.kind);
    if (is_flow()) {
        prompt_ = std::move(start);
        return;
    }
    masked_row row;
    row.tokens = std::move(start);
    info_.length = static_cast<uint32_t>(row.tokens.size());
    rows_.push_back(std::make_shared<masked_row>(std::move(row)));
}

const vkdlm_trajectory_info &step_store::info() const
{
    info_.n_steps = is_flow() ? 0 : n_steps();
    info_.n_tokens = static_cast<uint32_t>(tokens_.size());
    info_.n_evaluations = first_.back();
    info_.tokens = data_or_null(token_ids_);
    info_.model = model_.c_str();
    info_.sampler = sampler_.c_str();
    info_.seed = seed_.c_str();
    info_.device = device_.c_str();
    info_.prompt = prompt_text_.c_str();
    info_.tokenizer = tokenizer_.c_str();
    info_.l2d = l2d_.c_str();
    info_.prompt_kind = prompt_kind_;
    info_.n_prompt_ids = is_flow() ? static_cast<uint32_t>(prompt_.size()) : 0;
    info_.prompt_ids = is_flow() ? data_or_null(prompt_) : nullptr;
    info_.n_resumptions = static_cast<uint32_t>(listed_.size());
    info_.resumptions = data_or_null(listed_);
    return info_;
}

bool step_store::step(uint32_t index, vkdlm_trajectory_step *out) const
{
    *out = {};
    if (index >= rows_.size())
        return false;
    const masked_row &row = *rows_[index];
    out->tokens = row.tokens.data();
    out->time = static_cast<float>(row.time);
    out->evaluations = static_cast<int32_t>(row.evaluations);
    if (!index)
        return true;
    out->previous = rows_[index - 1]->tokens.data();
    out->topk_ids = row.ids.data();
    out->topk_probs = row.probabilities.data();
    out->entropy = row.entropy.data();
    out->confidence = row.confidence.data();
    out->host_ns = row.host_ns;
    out->device_ns = row.device_ns;
    return true;
}

bool step_store::evaluation(uint32_t index, vkdlm_trajectory_evaluation *out) const
{
    *out = {};
    if (index >= first_.back())
        return false;
    const auto behind = std::upper_bound(first_.begin(), first_.end(), index);
    const auto token = static_cast<uint32_t>(behind - first_.begin() - 1);
    const flow_look &look = tokens_[token]->looks[index - first_[token]];
    out->token_index = token;
    out->time = static_cast<float>(look.time);
    out->x = look.x.data();
    out->xhat_id = look.xhat_id;
    out->topk_ids = look.ids.data();
    out->topk_probs = look.probabilities.data();
    out->entropy = look.entropy;
    out->wd_norm = look.wd_norm;
    out->device_ns = look.device_ns;
    return true;
}

uint32_t step_store::first_evaluation(uint32_t token) const
{
    return first_[std::min<size_t>(token, first_.size() - 1)];
}

void step_store::add(masked_row row)
{
    /* Stages of a semi-autoregressive run lengthen the canvas. */
    info_.length = static_cast<uint32_t>(row.tokens.size());
    rows_.push_back(std::make_shared<masked_row>(std::move(row)));
}

void step_store::add(flow_token token)
{
    token_ids_.push_back(token.token);
    first_.push_back(first_.back() + static_cast<uint32_t>(token.looks.size()));
    tokens_.push_back(std::make_shared<flow_token>(std::move(token)));
}

void step_store::keep(uint32_t n_steps)
{
    if (is_flow()) {
        tokens_.resize(std::min<size_t>(n_steps, tokens_.size()));
        token_ids_.resize(tokens_.size());
        first_.resize(tokens_.size() + 1);
    } else {
        rows_.resize(std::min<size_t>(size_t{n_steps} + 1, rows_.size()));
    }
}

void step_store::edit(std::vector<int32_t> tokens)
{
    if (rows_.back()->tokens == tokens)
        return;
    masked_row row = *rows_.back();
    row.tokens = std::move(tokens);
    rows_.back() = std::make_shared<masked_row>(std::move(row));
}

void step_store::describe(const live_model &model)
{
    info_.kind = model.info.family == VKDLM_FAMILY_CAUSAL ? VKDLM_TRAJECTORY_FLOW : VKDLM_TRAJECTORY_MASKED;
    info_.mask_id = model.info.mask_id;
    info_.dim = is_flow() ? model.info.flow.dim : 0;
    model_ = model.path;
    device_ = model.device;
    tokenizer_ = model.tokenizer_path;
    l2d_ = model.l2d;
}

void step_store::list_resumptions()
{
    listed_.clear();
    for (const auto &r : resumptions_)
        listed_.push_back({r->step, static_cast<uint32_t>(r->edits.size()), data_or_null(r->edits),
                           r->sampler.c_str(), r->seed});
}

/* Those behind which no step is left become part of `now`: first they, then its own edits were made. */
void step_store::note(resumption now, uint32_t kept)
{
    std::map<uint32_t, vkdlm_trajectory_edit> made;
    auto make = [&](const vkdlm_trajectory_edit &e) {
        auto at = made.insert({e.position, e}).first;
        at->second.to = e.to;
        if (at->second.from == at->second.to)
            made.erase(at);
    };
    auto first = resumptions_.begin();
    while (first != resumptions_.end() && (*first)->step < kept)
        ++first;
    for (auto old = first; old != resumptions_.end(); ++old)
        for (const vkdlm_trajectory_edit &e : (*old)->edits)
            /* Of a flow, tokens that were written may have stayed when those behind them went. */
            if (is_flow() ? e.position < kept || (e.position == kept && e.to < 0) : (*old)->step == kept)
                make(e);
    resumptions_.erase(first, resumptions_.end());
    for (const vkdlm_trajectory_edit &e : now.edits)
        make(e);
    now.edits.clear();
    for (const auto &[position, e] : made)
        now.edits.push_back(e);
    resumptions_.push_back(std::make_shared<resumption>(std::move(now)));
    list_resumptions();
}

void step_store::resume(const live_model &model, const live_settings &settings, const resume_point &from)
{
    describe(model);
    keep(from.kept);
    if (!is_flow())
        edit(from.tokens);
    for (uint32_t i = from.kept; is_flow() && i < from.first_token; i++)
        add(flow_token{from.tokens[prompt_.size() + i], {}});
    note({is_flow() ? from.first_token : from.kept, is_flow() ? settings.causal.seed : settings.masked.seed,
          write_options(model, settings, from, info_.n_candidates), from.edits},
         from.kept);
}

/* ---- recordings ------------------------------------------------------------------------------------- */

void step_store::record_row(vkdlm_recorder *recorder, uint32_t index) const
{
    const masked_row &row = *rows_[index];
    const std::vector<int32_t> &before = rows_[index - 1]->tokens;
    const size_t k = info_.n_candidates;
    std::vector<uint32_t> evaluated;
    std::vector<int32_t> ids;
    std::vector<float> probabilities, entropy, confidence;
    uint32_t n_changed = 0;
    for (bool changed : {true, false}) {
        for (uint32_t i = 0; i < row.tokens.size(); i++) {
            bool known = !std::isnan(row.entropy[i]) || !std::isnan(row.confidence[i]);
            if (!known || (row.tokens[i] != before[i]) != changed)
                continue;
            evaluated.push_back(i);
            entropy.push_back(row.entropy[i]);
            confidence.push_back(row.confidence[i]);
            for (size_t c = i * k; c < (i + 1) * k; c++) {
                ids.push_back(row.ids[c]);
                probabilities.push_back(row.probabilities[c]);
            }
        }
        if (changed)
            n_changed = static_cast<uint32_t>(evaluated.size());
    }
    vkdlm_step step = {};
    step.step = row.number;
    step.time = row.time;
    step.evaluations = row.evaluations;
    step.tokens = row.tokens.data();
    step.length = static_cast<uint32_t>(row.tokens.size());
    step.changed = evaluated.data();
    step.n_changed = n_changed;
    step.n_evaluated = static_cast<uint32_t>(evaluated.size());
    step.probability = confidence.data();
    step.entropy = entropy.data();
    step.n_candidates = info_.n_candidates;
    step.candidate_ids = ids.data();
    step.candidate_probs = probabilities.data();
    step.host_ns = static_cast<uint64_t>(row.host_ns);
    step.device_ns = static_cast<uint64_t>(row.device_ns);
    vkdlm_recorder_on_step(recorder, &step);
}

void step_store::record_token(vkdlm_recorder *recorder, uint32_t index) const
{
    const flow_token &token = *tokens_[index];
    std::vector<int32_t> text = prompt_;
    text.insert(text.end(), token_ids_.begin(), token_ids_.begin() + index + 1);
    for (size_t i = 0; i < token.looks.size(); i++) {
        const flow_look &look = token.looks[i];
        vkdlm_flow_step step = {};
        step.token_index = index;
        step.index = static_cast<uint32_t>(i);
        step.last = i + 1 == token.looks.size();
        step.time = look.time;
        step.x = look.x.data();
        step.dim = info_.dim;
        step.xhat_id = look.xhat_id;
        step.entropy = look.entropy;
        step.n_candidates = info_.n_candidates;
        step.candidate_ids = look.ids.data();
        step.candidate_probs = look.probabilities.data();
        step.wd_norm = look.wd_norm;
        step.device_ns = static_cast<uint64_t>(look.device_ns);
        vkdlm_recorder_on_flow_step(recorder, &step);
    }
    vkdlm_flow_counts counts = {};
    vkdlm_token_step step = {};
    step.index = index;
    step.token = token.token;
    step.tokens = text.data();
    step.length = static_cast<uint32_t>(text.size());
    step.counts = &counts;
    vkdlm_recorder_on_token(recorder, &step);
}

/* What a callback fails at, vkdlm_recorder_finish tells. */
void step_store::record(vkdlm_recorder *recorder) const
{
    if (!is_flow()) {
        /* The start, which edits may have changed, is not what the first step says that it was. */
        vkdlm_sample start = {};
        start.tokens = rows_[0]->tokens.data();
        start.length = static_cast<uint32_t>(rows_[0]->tokens.size());
        vkdlm_recorder_on_sample(recorder, &start);
    }
    for (uint32_t i = 1; i < rows_.size(); i++)
        record_row(recorder, i);
    for (uint32_t i = 0; i < tokens_.size(); i++)
        record_token(recorder, i);
}

bool step_store::save(const std::string &path, const live_model &model, std::string &error) const
{
    if (empty()) {
        error = "there is no step to be saved yet";
        return false;
    }
    vkdlm_generate_options masked = masked_options(settings_);
    vkdlm_complete_options causal = causal_options(settings_);
    masked.n_candidates = causal.n_candidates = info_.n_candidates;
    if (!is_flow() && rows_[0]->time < 1) {
        /* A recording that begins on its way says where. */
        masked.first_step = grid_step(masked, rows_[0]->time);
        masked.first_time = masked.sampler == VKDLM_SAMPLER_FIRST_HITTING ? rows_[0]->time : 0;
    }
    vkdlm_recorder_options options = {};
    options.masked = is_flow() ? nullptr : &masked;
    options.flow = is_flow() ? &causal : nullptr;
    vkdlm_model_info info = model.info;
    info.mask_id = info_.mask_id;
    info.flow.dim = info_.dim;
    options.info = &info;
    options.model = model_.c_str();
    options.device = device_.c_str();
    options.prompt = prompt_text_.c_str();
    options.prompt_kind = prompt_kind_;
    options.resumptions = listed_.data();
    options.n_resumptions = static_cast<uint32_t>(listed_.size());
    options.tokenizer_path = tokenizer_.c_str();
    options.l2d = l2d_.c_str();
    options.tokenizer = model.tokenizer;
    vkdlm_recorder *recorder = nullptr;
    vkdlm_error err = {};
    vkdlm_status status = vkdlm_recorder_create(path.c_str(), &options, &recorder, &err);
    if (!status) {
        record(recorder);
        status = vkdlm_recorder_finish(recorder, &err);
    }
    if (status)
        error = err.message;
    return status == VKDLM_OK;
}

} // namespace viewer
