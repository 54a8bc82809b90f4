/* The steps of a run that is made here. Rows and tokens never change once they are in; another run may share
 * them. */
#ifndef VIEWER_LIVE_STEPS_H
#define VIEWER_LIVE_STEPS_H

#include <memory>
#include <string>
#include <vector>

#include "live/live.h"

namespace viewer
{

/* A canvas and what the step before it found, laid out as in vkdlm_trajectory_step; the arrays but for tokens
 * are empty for the start. */
struct masked_row {
    uint32_t number = 0; /* steps behind it, as vkdlm_step counts */
    double time = 1;
    uint32_t evaluations = 0;
    std::vector<int32_t> tokens, ids;
    std::vector<float> probabilities, entropy, confidence;
    int64_t host_ns = 0, device_ns = 0;
};

/* An evaluation on the way to a token. */
struct flow_look {
    double time;
    std::vector<float> x, probabilities;
    std::vector<int32_t> ids;
    int32_t xhat_id;
    float entropy, wd_norm;
    int64_t device_ns;
};

struct flow_token {
    int32_t token;
    std::vector<flow_look> looks;
};

masked_row make_row(const vkdlm_step &step, uint32_t evaluations_before);
flow_look make_look(const vkdlm_flow_step &step);

/* The options of a run, whose pointers are into the settings or NULL; what tells where it goes on is zero. */
vkdlm_generate_options masked_options(const live_settings &settings);
vkdlm_complete_options causal_options(const live_settings &settings);

/* Where a model's files were found, and what they hold. */
struct live_model {
    std::string path, l2d, tokenizer_path, device;
    vkdlm_model_info info = {};
    const vkdlm_tokenizer *tokenizer = nullptr; /* NULL: it has none */
};

/* What a run that goes on begins from. */
struct resume_point {
    std::vector<int32_t> tokens; /* canvas, or prompt with new tokens */
    std::vector<vkdlm_trajectory_edit> edits;
    uint32_t kept = 0;        /* steps, or new tokens, that stay */
    uint32_t evaluations = 0; /* behind it */
    uint32_t first_step = 0;  /* of the options of both kinds */
    double first_time = 0;
    uint32_t first_token = 0;
};

/* Where the steps were gone on with, as vkdlm_trajectory_resumption. */
struct resumption {
    uint32_t step = 0;
    uint64_t seed = 0;
    std::string sampler;
    std::vector<vkdlm_trajectory_edit> edits;
};

class step_store
{
  public:
    step_store() = default;
    /* Those of a recorded run. */
    explicit step_store(const run &r);
    /* A run that begins: a canvas, or for a causal model a prompt, which is no step. */
    step_store(const live_model &model, const live_settings &settings, std::vector<int32_t> start);

    const vkdlm_trajectory_info &info() const;
    bool step(uint32_t index, vkdlm_trajectory_step *out) const;
    bool evaluation(uint32_t index, vkdlm_trajectory_evaluation *out) const;
    uint32_t first_evaluation(uint32_t token) const;

    bool is_flow() const
    {
        return info_.kind == VKDLM_TRAJECTORY_FLOW;
    }
    /* Semi-autoregressive. */
    bool is_staged() const
    {
        return !is_flow() && settings_.masked.strides != 0;
    }
    /* Last step that step() has, or number of tokens. */
    uint32_t n_steps() const
    {
        return static_cast<uint32_t>(is_flow() ? tokens_.size() : rows_.empty() ? 0 : rows_.size() - 1);
    }
    bool empty() const
    {
        return rows_.empty() && tokens_.empty();
    }
    const masked_row &row(uint32_t index) const
    {
        return *rows_[index];
    }
    const std::vector<int32_t> &tokens() const
    {
        return token_ids_;
    }
    const std::vector<int32_t> &prompt() const
    {
        return prompt_;
    }
    void set_prompt(std::vector<int32_t> prompt)
    {
        prompt_ = std::move(prompt);
    }

    void add(masked_row row);
    void add(flow_token token);
    /* Goes on from a place: what comes behind it is dropped, and the edits are made. */
    void resume(const live_model &model, const live_settings &settings, const resume_point &from);
    /* Nothing was run, but it will be by this model. */
    void describe(const live_model &model);

    /* Writes a recording. */
    bool save(const std::string &path, const live_model &model, std::string &error) const;

  private:
    void keep(uint32_t n_steps);
    void edit(std::vector<int32_t> tokens);
    void note(resumption now, uint32_t kept);
    void list_resumptions();
    void record(vkdlm_recorder *recorder) const;
    void record_row(vkdlm_recorder *recorder, uint32_t index) const;
    void record_token(vkdlm_recorder *recorder, uint32_t index) const;

    std::vector<std::shared_ptr<const masked_row>> rows_;
    std::vector<std::shared_ptr<const flow_token>> tokens_;
    std::vector<uint32_t> first_ = {0}; /* first evaluation of each token, [tokens + 1] */
    std::vector<int32_t> token_ids_, prompt_;
    live_settings settings_; /* that the run began with */
    vkdlm_prompt_kind prompt_kind_ = VKDLM_PROMPT_UNKNOWN;
    std::vector<std::shared_ptr<const resumption>> resumptions_;
    std::vector<vkdlm_trajectory_resumption> listed_; /* the same for the run's facts */
    std::string model_, sampler_, seed_, device_, prompt_text_, tokenizer_, l2d_;
    mutable vkdlm_trajectory_info info_ = {};
};

} // namespace viewer

#endif
